package main

import (
	"crypto/rand"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/signal"
	"regexp"
	"strings"
	"syscall"
	"time"

	"github.com/vishvananda/netlink"
)

const (
	// readyFile is what the probes look for, in the container's own file system.
	readyFile = "/tmp/ready"
	// routeProtocol marks routes as Felix marks its own.
	routeProtocol = 80
	renewal       = time.Hour
	retry         = 2 * time.Second
)

func nodeCommand(arguments string) error {
	switch {
	case arguments == "":
		fmt.Println(notice)
		return runNode()
	case strings.HasPrefix(arguments, "-init"):
		return nil
	case strings.HasPrefix(arguments, "-shutdown"):
		a, err := inCluster()
		if err != nil {
			return err
		}
		return setNetwork(a, "True", "CalicoIsDown", "Calico is shutting down on this node")
	case strings.Contains(arguments, "-felix-ready"), strings.Contains(arguments, "-felix-live"):
		_, err := os.Stat(readyFile)
		return err
	default:
		return fmt.Errorf("the stand-in for calico-node does not know %q", arguments)
	}
}

func nodeName() string {
	if name := os.Getenv("NODENAME"); name != "" {
		return name
	}
	name, _ := os.Hostname()
	return name
}

func runNode() error {
	a, err := inCluster()
	if err != nil {
		return err
	}
	for {
		if err := startUp(a); err == nil {
			break
		} else {
			fmt.Println("waiting for the datastore:", err)
		}
		time.Sleep(retry)
	}
	changed := make(chan struct{}, 1)
	go a.watch(group+"/ipamblocks", changed)
	go a.watch("/api/v1/nodes", changed)
	stop := make(chan os.Signal, 1)
	signal.Notify(stop, syscall.SIGTERM, syscall.SIGINT)
	renew := time.NewTicker(renewal)
	for {
		if err := syncRoutes(a); err != nil {
			fmt.Println("routes:", err)
			time.AfterFunc(retry, func() { changed <- struct{}{} })
		} else if err := os.WriteFile(readyFile, nil, 0o644); err != nil {
			return err
		}
		select {
		case <-stop:
			return nil
		case <-changed:
		case <-renew.C:
			if a, err = inCluster(); err != nil {
				return err
			}
			if err := renewToken(a); err != nil {
				fmt.Println("token:", err)
			}
		}
	}
}

// startUp writes Calico's defaults and what the Node says of itself.
func startUp(a *api) error {
	if err := defaults(a); err != nil {
		return err
	}
	if err := renewToken(a); err != nil {
		return err
	}
	node, err := a.get("/api/v1/nodes/" + nodeName())
	if err != nil {
		return err
	}
	address := internalAddress(node)
	annotations := object{"projectcalico.org/IPv4Address": address + "/24"}
	path := "/api/v1/nodes/" + nodeName() + "/status"
	if err := a.patch(path, object{"metadata": object{"annotations": annotations}}); err != nil {
		return err
	}
	if err := os.WriteFile("/var/lib/calico/nodename", []byte(nodeName()), 0o644); err != nil {
		return err
	}
	return setNetwork(a, "False", "CalicoIsUp", "Calico is running on this node")
}

func setNetwork(a *api, status, reason, message string) error {
	now := time.Now().UTC().Format(time.RFC3339)
	return a.patch("/api/v1/nodes/"+nodeName()+"/status", object{"status": object{"conditions": []object{{
		"type": "NetworkUnavailable", "status": status, "reason": reason, "message": message,
		"lastTransitionTime": now, "lastHeartbeatTime": now,
	}}}})
}

var podSubnet = regexp.MustCompile(`podSubnet: *"?([0-9./]+)`)

func defaults(a *api) error {
	guid := make([]byte, 16)
	if _, err := rand.Read(guid); err != nil {
		return err
	}
	cidr := os.Getenv("CALICO_IPV4POOL_CIDR")
	if cidr == "" {
		configuration, err := a.get("/api/v1/namespaces/kube-system/configmaps/kubeadm-config")
		if err == nil {
			if found := podSubnet.FindStringSubmatch(text(configuration, "data", "ClusterConfiguration")); found != nil {
				cidr = found[1]
			}
		} else if !hasCode(err, http.StatusNotFound) && !hasCode(err, http.StatusForbidden) {
			return err
		}
	}
	if cidr == "" {
		cidr = "192.168.0.0/16"
	}
	mode := func(name, otherwise string) string {
		if value := os.Getenv(name); value != "" {
			return value
		}
		return otherwise
	}
	made := []struct {
		collection string
		body       object
	}{
		{"clusterinformations", resource("ClusterInformation", "default", object{
			"calicoVersion": "v3.30.3", "clusterGUID": fmt.Sprintf("%x", guid),
			"clusterType": os.Getenv("CLUSTER_TYPE") + ",kdd", "datastoreReady": true,
		})},
		{"felixconfigurations", resource("FelixConfiguration", "default", object{
			"floatingIPs": "Disabled", "logSeverityScreen": "Info", "reportingInterval": "0s",
		})},
		{"ipamconfigs", resource("IPAMConfig", "default", object{"autoAllocateBlocks": true, "strictAffinity": false})},
	}
	for _, one := range made {
		if err := a.ensure(group+"/"+one.collection, one.body); err != nil {
			return err
		}
	}
	pools, err := a.list(group + "/ippools")
	if err != nil || len(pools) > 0 || os.Getenv("NO_DEFAULT_POOLS") == "true" {
		return err
	}
	return a.ensure(group+"/ippools", resource("IPPool", "default-ipv4-ippool", object{
		"allowedUses": []string{"Workload", "Tunnel"}, "blockSize": 26, "cidr": cidr,
		"ipipMode": mode("CALICO_IPV4POOL_IPIP", "Never"), "natOutgoing": true, "nodeSelector": "all()",
		"vxlanMode": mode("CALICO_IPV4POOL_VXLAN", "Never"),
	}))
}

func internalAddress(node object) string {
	status, _ := node["status"].(object)
	for _, address := range objects(status["addresses"]) {
		if address["type"] == "InternalIP" {
			return text(address, "address")
		}
	}
	return ""
}

// syncRoutes leads every other node's blocks to that node, and what nobody has of one's own to nowhere.
func syncRoutes(a *api) error {
	nodes, err := a.list("/api/v1/nodes")
	if err != nil {
		return err
	}
	blocks, err := a.list(group + "/ipamblocks")
	if err != nil {
		return err
	}
	addresses := map[string]net.IP{}
	for _, node := range nodes {
		addresses["host:"+text(node, "metadata", "name")] = net.ParseIP(internalAddress(node))
	}
	wanted := map[string]netlink.Route{}
	for _, block := range blocks {
		_, cidr, err := net.ParseCIDR(text(block, "spec", "cidr"))
		if err != nil {
			continue
		}
		route := netlink.Route{Dst: cidr, Protocol: routeProtocol}
		affinity := text(block, "spec", "affinity")
		if affinity == "host:"+nodeName() {
			route.Type = syscall.RTN_BLACKHOLE
		} else if route.Gw = addresses[affinity]; route.Gw == nil {
			continue
		}
		wanted[cidr.String()] = route
	}
	filter := &netlink.Route{Protocol: routeProtocol}
	present, err := netlink.RouteListFiltered(netlink.FAMILY_V4, filter, netlink.RT_FILTER_PROTOCOL)
	if err != nil {
		return err
	}
	for _, route := range present {
		if _, stays := wanted[route.Dst.String()]; !stays {
			if err := netlink.RouteDel(&route); err != nil {
				return err
			}
		}
	}
	for _, route := range wanted {
		if err := netlink.RouteReplace(&route); err != nil {
			return fmt.Errorf("%s: %w", route.Dst, err)
		}
	}
	return nil
}
