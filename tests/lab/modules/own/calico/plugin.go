package main

import (
	"crypto/sha1"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"strings"
	"time"

	"github.com/vishvananda/netlink"
	"github.com/vishvananda/netns"
)

const version = "0.3.1"

// gateway is the address that every pod's default route names; no device has it.
var gateway = net.IPv4(169, 254, 1, 1)

type networkConfig struct {
	Name       string
	Nodename   string
	MTU        int
	Kubernetes struct{ Kubeconfig string }
}

// plugin is Calico's CNI plugin: nothing happens without its credentials and its ClusterInformation.
func plugin() {
	command := os.Getenv("CNI_COMMAND")
	if command == "VERSION" {
		answer(object{"cniVersion": version, "supportedVersions": []string{"0.1.0", "0.2.0", "0.3.0", "0.3.1", "0.4.0", "1.0.0"}})
		return
	}
	var conf networkConfig
	if err := json.NewDecoder(os.Stdin).Decode(&conf); err != nil {
		refuse(err)
	}
	a, err := ask(conf.Kubernetes.Kubeconfig)
	if err != nil {
		refuse(fmt.Errorf("error getting ClusterInformation: %w", err))
	}
	handle := conf.Name + "." + os.Getenv("CNI_CONTAINERID")
	switch command {
	case "ADD":
		ip, err := add(a, conf, handle)
		if err != nil {
			refuse(err)
		}
		answer(object{
			"cniVersion": version,
			"interfaces": []object{{"name": hostDevice()}},
			"ips":        []object{{"version": "4", "address": ip.String() + "/32"}},
		})
	case "DEL":
		if err := release(a, handle); err != nil {
			refuse(err)
		}
		if link, err := netlink.LinkByName(hostDevice()); err == nil {
			if err := netlink.LinkDel(link); err != nil {
				refuse(err)
			}
		}
	}
}

func answer(result object) {
	encoded, _ := json.Marshal(result)
	fmt.Println(string(encoded))
}

func refuse(err error) {
	answer(object{"cniVersion": version, "code": 999, "msg": err.Error()})
	os.Exit(1)
}

// ask is the question that Calico's plugin asks first, with its failures' words.
func ask(kubeconfig string) (*api, error) {
	a, err := fromKubeconfig(kubeconfig)
	if err != nil {
		return nil, err
	}
	_, err = a.get(group + "/clusterinformations/default")
	switch {
	case hasCode(err, http.StatusUnauthorized):
		return nil, errors.New("connection is unauthorized: Unauthorized")
	case hasCode(err, http.StatusForbidden):
		return nil, fmt.Errorf("connection is unauthorized: %w", err)
	case hasCode(err, http.StatusNotFound):
		return nil, fmt.Errorf("resource does not exist: ClusterInformation(default) with error: %w", err)
	}
	return a, err
}

// argument is one of the words that the runtime passes on of the pod.
func argument(name string) string {
	for _, pair := range strings.Split(os.Getenv("CNI_ARGS"), ";") {
		if key, value, found := strings.Cut(pair, "="); found && key == name {
			return value
		}
	}
	return ""
}

func hostDevice() string {
	digest := sha1.Sum([]byte(argument("K8S_POD_NAMESPACE") + "." + argument("K8S_POD_NAME")))
	return "cali" + hex.EncodeToString(digest[:])[:11]
}

func add(a *api, conf networkConfig, handle string) (net.IP, error) {
	namespace, pod := argument("K8S_POD_NAMESPACE"), argument("K8S_POD_NAME")
	ip, err := assign(a, conf.Nodename, handle, object{
		"namespace": namespace, "node": conf.Nodename, "pod": pod, "timestamp": time.Now().UTC().String(),
	})
	if err != nil {
		return nil, err
	}
	if err := attach(ip, conf.MTU); err != nil {
		return nil, errors.Join(fmt.Errorf("error adding host side routes for %s: %w", ip, err), release(a, handle))
	}
	err = a.patch("/api/v1/namespaces/"+namespace+"/pods/"+pod+"/status", object{"metadata": object{"annotations": object{
		"cni.projectcalico.org/containerID": os.Getenv("CNI_CONTAINERID"),
		"cni.projectcalico.org/podIP":       ip.String() + "/32",
		"cni.projectcalico.org/podIPs":      ip.String() + "/32",
	}}})
	if err != nil && !hasCode(err, http.StatusNotFound) {
		return nil, fmt.Errorf("error adding annotation: %w", err)
	}
	return ip, nil
}

// attach makes the veth pair and both sides' routes.
func attach(ip net.IP, mtu int) error {
	sandbox, err := netns.GetFromPath(os.Getenv("CNI_NETNS"))
	if err != nil {
		return err
	}
	defer sandbox.Close()
	attributes := netlink.NewLinkAttrs()
	attributes.Name = hostDevice()
	if attributes.MTU = mtu; mtu == 0 {
		attributes.MTU = 1450
	}
	attributes.HardwareAddr = net.HardwareAddr{0xee, 0xee, 0xee, 0xee, 0xee, 0xee}
	// What an earlier pod of the name left.
	if old, err := netlink.LinkByName(attributes.Name); err == nil {
		if err := netlink.LinkDel(old); err != nil {
			return err
		}
	}
	veth := &netlink.Veth{LinkAttrs: attributes, PeerName: os.Getenv("CNI_IFNAME"), PeerNamespace: netlink.NsFd(sandbox)}
	if err := netlink.LinkAdd(veth); err != nil {
		return err
	}
	if err := inside(sandbox, ip); err != nil {
		return err
	}
	link, err := netlink.LinkByName(attributes.Name)
	if err != nil {
		return err
	}
	if err := netlink.LinkSetUp(link); err != nil {
		return err
	}
	settings := "/proc/sys/net/ipv4/conf/" + attributes.Name
	for _, setting := range []string{settings + "/proxy_arp", settings + "/forwarding"} {
		if err := os.WriteFile(setting, []byte("1"), 0o644); err != nil {
			return err
		}
	}
	return netlink.RouteReplace(&netlink.Route{
		LinkIndex: link.Attrs().Index, Scope: netlink.SCOPE_LINK, Dst: host(ip),
	})
}

func inside(sandbox netns.NsHandle, ip net.IP) error {
	handle, err := netlink.NewHandleAt(sandbox)
	if err != nil {
		return err
	}
	defer handle.Close()
	link, err := handle.LinkByName(os.Getenv("CNI_IFNAME"))
	if err != nil {
		return err
	}
	if err := handle.LinkSetUp(link); err != nil {
		return err
	}
	if err := handle.AddrAdd(link, &netlink.Addr{IPNet: host(ip)}); err != nil {
		return err
	}
	index := link.Attrs().Index
	if err := handle.RouteAdd(&netlink.Route{LinkIndex: index, Scope: netlink.SCOPE_LINK, Dst: host(gateway)}); err != nil {
		return err
	}
	_, everything, _ := net.ParseCIDR("0.0.0.0/0")
	return handle.RouteAdd(&netlink.Route{LinkIndex: index, Gw: gateway, Dst: everything})
}

func host(ip net.IP) *net.IPNet { return &net.IPNet{IP: ip, Mask: net.CIDRMask(32, 32)} }
