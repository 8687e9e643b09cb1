// A stand-in for Calico: what of it matters to the change of a pod network, under the names and paths that
// Calico's manifests call. It is not Calico.
//
// What it does: the CNI plugin asks the API with its own token at every ADD and DEL and fails in Calico's
// words; addresses come from ipamblocks with affinities and handles; pods hang on cali* veths with /32
// routes; nodes have routes to each other's blocks; calico-node writes the defaults, the annotations and
// the condition of its Node, renews the plugin's token, and tells of its end; kube-controllers takes back
// what deleted nodes held; the operator makes all of this of an Installation, keeps it so, and takes it down
// in Tigera's order, held back by Tigera's finalizers.
//
// What it leaves out: policy, BGP, tunnels (every node is reached directly, whatever a pool says), IPv6,
// masquerading, Typha, metrics, borrowing from other nodes' blocks; of the operator, everything but the
// Installation: its API server, certificates, Goldmane, Whisker, kube-proxy.
package main

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
)

// notice is printed wherever somebody may look.
const notice = "replank lab: this is a stand-in for Calico, not Calico"

func main() {
	name, arguments := filepath.Base(os.Args[0]), os.Args[1:]
	var err error
	switch name {
	case "calico":
		plugin()
	case "calico-ipam":
		// Calico's manifest runs its upgrade; there is nothing to upgrade.
	case "install":
		fmt.Println(notice)
		err = install()
	case "calico-node":
		err = nodeCommand(strings.Join(arguments, " "))
	case "kube-controllers":
		fmt.Println(notice)
		err = controllers()
	case "operator":
		fmt.Println(notice)
		err = operator()
	case "check-status":
		_, err = os.Stat(readyFile)
	default:
		err = fmt.Errorf("the stand-in for Calico was called as %q", name)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}
