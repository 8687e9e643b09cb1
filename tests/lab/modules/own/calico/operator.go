package main

import (
	_ "embed"
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"slices"
	"strings"
	"time"
)

const (
	operatorGroup = "/apis/operator.tigera.io/v1"
	installations = operatorGroup + "/installations"
	installation  = installations + "/default"
	system        = "calico-system"
	// protector keeps what CNI DEL needs until the Installation lets go of it.
	protector = "tigera.io/cni-protector"
	cleanup   = "tigera.io/operator-cleanup"
	core      = "operator.tigera.io/installation-controller"
	// settle is how long a change waits for those that come with it.
	settle = 300 * time.Millisecond
)

// operated is what the operator makes of an Installation, in the order in which it makes it.
//
//go:embed operated.json
var operated []byte

// collections says where objects of a kind are; namespaced ones have a place for their namespace.
var collections = map[string]string{
	"Namespace":           "/api/v1/namespaces",
	"ServiceAccount":      "/api/v1/namespaces/%s/serviceaccounts",
	"ConfigMap":           "/api/v1/namespaces/%s/configmaps",
	"ClusterRole":         "/apis/rbac.authorization.k8s.io/v1/clusterroles",
	"ClusterRoleBinding":  "/apis/rbac.authorization.k8s.io/v1/clusterrolebindings",
	"DaemonSet":           "/apis/apps/v1/namespaces/%s/daemonsets",
	"Deployment":          "/apis/apps/v1/namespaces/%s/deployments",
	"PodDisruptionBudget": "/apis/policy/v1/namespaces/%s/poddisruptionbudgets",
}

func collection(kind, namespace string) string {
	if at := collections[kind]; !strings.Contains(at, "%s") {
		return at
	}
	return fmt.Sprintf(collections[kind], namespace)
}

func place(kind, name string) string { return collection(kind, system) + "/" + name }

// operator stands in for Tigera's: it makes Calico of the Installation, makes anew what somebody edits or
// deletes, and takes it down in its own order when the Installation is deleted.
func operator() error {
	a, err := inCluster()
	if err != nil {
		return err
	}
	changed := make(chan struct{}, 1)
	watched := []string{installations, group + "/ippools", collections["ClusterRole"], collections["ClusterRoleBinding"]}
	for _, kind := range []string{"ServiceAccount", "ConfigMap", "DaemonSet", "Deployment"} {
		watched = append(watched, collection(kind, system))
	}
	for _, path := range watched {
		go a.watch(path, changed)
	}
	for {
		if err := reconcile(a); err != nil {
			fmt.Println("reconciling:", err)
			time.AfterFunc(retry, func() {
				select {
				case changed <- struct{}{}:
				default:
				}
			})
		} else if err := os.WriteFile(readyFile, nil, 0o644); err != nil {
			return err
		}
		<-changed
		time.Sleep(settle)
		// The account's token is renewed on the disk.
		if a, err = inCluster(); err != nil {
			return err
		}
	}
}

// find is nil when there is no such object.
func find(a *api, path string) (object, error) {
	found, err := a.get(path)
	if hasCode(err, http.StatusNotFound) {
		return nil, nil
	}
	return found, err
}

func reconcile(a *api) error {
	wanted, err := find(a, installation)
	if err != nil {
		return err
	}
	if wanted == nil {
		return a.remove(operatorGroup + "/tigerastatuses/calico")
	}
	if text(wanted, "metadata", "deletionTimestamp") != "" {
		return takeDown(a, wanted)
	}
	if names := append(finalizers(wanted), missing(finalizers(wanted), cleanup, core)...); len(names) > len(finalizers(wanted)) {
		wanted["metadata"].(object)["finalizers"] = names
		// The change brings the operator back here.
		_, err := a.update(installation, wanted)
		return err
	}
	if err := pools(a, wanted); err != nil {
		return err
	}
	if err := letGo(a); err != nil {
		return err
	}
	var all []object
	if err := json.Unmarshal(operated, &all); err != nil {
		return err
	}
	for _, one := range all {
		if err := put(a, one, wanted); err != nil {
			return fmt.Errorf("%s %s: %w", text(one, "kind"), text(one, "metadata", "name"), err)
		}
	}
	return report(a)
}

func finalizers(o object) []string {
	metadata, _ := o["metadata"].(object)
	list, _ := metadata["finalizers"].([]any)
	var names []string
	for _, one := range list {
		names = append(names, one.(string))
	}
	return names
}

func missing(there []string, wanted ...string) []string {
	return slices.DeleteFunc(wanted, func(name string) bool { return slices.Contains(there, name) })
}

// pools makes those that the Installation names, when there is none.
func pools(a *api, wanted object) error {
	there, err := a.list(group + "/ippools")
	if err != nil || len(there) > 0 {
		return err
	}
	spec, _ := wanted["spec"].(object)
	network, _ := spec["calicoNetwork"].(object)
	for _, pool := range objects(network["ipPools"]) {
		vxlan := map[string]string{"VXLAN": "Always", "VXLANCrossSubnet": "CrossSubnet"}[text(pool, "encapsulation")]
		if vxlan == "" {
			vxlan = "Never"
		}
		made := resource("IPPool", text(pool, "name"), object{
			"allowedUses": []string{"Workload", "Tunnel"}, "blockSize": pool["blockSize"], "cidr": pool["cidr"],
			"ipipMode": "Never", "natOutgoing": true, "nodeSelector": "all()", "vxlanMode": vxlan,
		})
		made["metadata"].(object)["labels"] = object{"app.kubernetes.io/managed-by": "tigera-operator"}
		if err := a.ensure(group+"/ippools", made); err != nil {
			return err
		}
	}
	return nil
}

// put makes an object as it shall be. Nothing is written where nothing differs: the server sees to that.
func put(a *api, one, owner object) error {
	kind, name := text(one, "kind"), text(one, "metadata", "name")
	at := collection(kind, text(one, "metadata", "namespace"))
	metadata := one["metadata"].(object)
	if kind != "Namespace" {
		metadata["ownerReferences"] = []object{{
			"apiVersion": "operator.tigera.io/v1", "kind": "Installation", "name": "default",
			"uid": text(owner, "metadata", "uid"), "controller": true, "blockOwnerDeletion": true,
		}}
	}
	if kind == "DaemonSet" {
		if affinity := nested(owner, "spec", "calicoNodeDaemonSet", "spec", "template", "spec", "affinity"); affinity != nil {
			nested(one, "spec", "template", "spec").(object)["affinity"] = affinity
		}
	}
	there, err := find(a, at+"/"+name)
	if err != nil {
		return err
	}
	if there == nil {
		_, err := a.create(at, one)
		return err
	}
	known := there["metadata"].(object)
	if known["deletionTimestamp"] != nil {
		// It is made anew once it is gone.
		return nil
	}
	for _, key := range []string{"annotations", "labels"} {
		merged, _ := known[key].(object)
		if merged == nil {
			merged = object{}
		}
		own, _ := metadata[key].(object)
		for name, value := range own {
			merged[name] = value
		}
		metadata[key] = merged
	}
	metadata["resourceVersion"] = known["resourceVersion"]
	metadata["finalizers"] = append(finalizers(there), missing(finalizers(there), finalizers(one)...)...)
	if kind == "Namespace" {
		one["spec"] = there["spec"]
	}
	_, err = a.update(at+"/"+name, one)
	return err
}

func nested(o object, path ...string) any {
	var value any = o
	for _, key := range path {
		inner, ok := value.(object)
		if !ok {
			return nil
		}
		value = inner[key]
	}
	return value
}

func protected() []string {
	var paths []string
	for _, name := range []string{"calico-node", "calico-cni-plugin"} {
		for _, kind := range []string{"ServiceAccount", "ClusterRole", "ClusterRoleBinding"} {
			paths = append(paths, place(kind, name))
		}
	}
	return paths
}

// letGo gives up protected objects that somebody deleted while the Installation stays.
func letGo(a *api) error {
	for _, path := range protected() {
		found, err := find(a, path)
		if err != nil {
			return err
		}
		if text(found, "metadata", "deletionTimestamp") != "" {
			if err := releaseFinalizer(a, path, protector); err != nil {
				return err
			}
		}
	}
	return nil
}

func releaseFinalizer(a *api, path, name string) error {
	found, err := find(a, path)
	if err != nil || !slices.Contains(finalizers(found), name) {
		return err
	}
	found["metadata"].(object)["finalizers"] = missing([]string{name}, finalizers(found)...)
	if _, err := a.update(path, found); err != nil && !hasCode(err, http.StatusNotFound) {
		return err
	}
	return nil
}

// takeDown ends first what runs in the pod network, then what makes it; each part holds the Installation by a
// finalizer until it is gone.
func takeDown(a *api, wanted object) error {
	controllers := place("Deployment", "calico-kube-controllers")
	if err := a.remove(controllers); err != nil {
		return err
	}
	if slices.Contains(finalizers(wanted), core) {
		if there, err := find(a, controllers); err != nil || there != nil {
			return err
		}
		return releaseFinalizer(a, installation, core)
	}
	for _, path := range protected() {
		if err := releaseFinalizer(a, path, protector); err != nil {
			return err
		}
	}
	for _, path := range []string{place("ConfigMap", "cni-config"), place("DaemonSet", "calico-node")} {
		if err := a.remove(path); err != nil {
			return err
		}
	}
	return releaseFinalizer(a, installation, cleanup)
}

// report writes what `kubectl get tigerastatus` shows.
func report(a *api) error {
	path := operatorGroup + "/tigerastatuses"
	status := object{"apiVersion": "operator.tigera.io/v1", "kind": "TigeraStatus", "metadata": object{"name": "calico"}}
	if err := a.ensure(path, status); err != nil {
		return err
	}
	available := "True"
	for _, one := range [][2]string{{"DaemonSet", "calico-node"}, {"Deployment", "calico-kube-controllers"}} {
		there, err := find(a, place(one[0], one[1]))
		if err != nil {
			return err
		}
		wanted, ready := nested(there, "status", "desiredNumberScheduled"), nested(there, "status", "numberReady")
		if one[0] == "Deployment" {
			wanted, ready = nested(there, "spec", "replicas"), nested(there, "status", "readyReplicas")
		}
		if wanted == nil || wanted != ready {
			available = "False"
		}
	}
	condition := object{"type": "Available", "status": available, "lastTransitionTime": time.Now().UTC().Format(time.RFC3339)}
	there, err := find(a, path+"/calico")
	if err != nil {
		return err
	}
	if known := objects(nested(there, "status", "conditions")); len(known) > 0 && known[0]["status"] == available {
		return nil
	}
	body := object{"status": object{"conditions": []object{condition}}}
	_, err = a.call(http.MethodPatch, path+"/calico/status", "application/merge-patch+json", body)
	return err
}
