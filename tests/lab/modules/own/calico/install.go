package main

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
)

const (
	hostNetworks = "/host/etc/cni/net.d"
	hostPlugins  = "/host/opt/cni/bin"
	ownPlugins   = "/opt/cni/bin"
	kubeconfig   = "/etc/cni/net.d/calico-kubeconfig"
)

// install is Calico's init container: plugins, credentials, and the configuration last, so that no pod
// is started before the rest is there.
func install() error {
	entries, err := os.ReadDir(ownPlugins)
	if err != nil {
		return err
	}
	for _, entry := range entries {
		if entry.Name() == "install" {
			continue
		}
		content, err := os.ReadFile(filepath.Join(ownPlugins, entry.Name()))
		if err != nil {
			return err
		}
		if err := replaceFile(filepath.Join(hostPlugins, entry.Name()), content, 0o755); err != nil {
			return err
		}
	}
	a, err := inCluster()
	if err != nil {
		return err
	}
	if err := renewToken(a); err != nil {
		return fmt.Errorf("unable to create token for CNI kubeconfig: %w", err)
	}
	mtu := os.Getenv("CNI_MTU")
	if mtu == "" || mtu == "0" {
		mtu = "1450"
	}
	conf := strings.NewReplacer(
		"__KUBERNETES_NODE_NAME__", os.Getenv("KUBERNETES_NODE_NAME"),
		"__KUBECONFIG_FILEPATH__", kubeconfig,
		"__CNI_MTU__", mtu,
	).Replace(os.Getenv("CNI_NETWORK_CONFIG"))
	return replaceFile(filepath.Join(hostNetworks, os.Getenv("CNI_CONF_NAME")), []byte(conf), 0o644)
}

// renewToken asks for a new token of the plugin's account and writes it to the host.
func renewToken(a *api) error {
	namespace, err := os.ReadFile(account + "namespace")
	if err != nil {
		return err
	}
	answer, err := a.create("/api/v1/namespaces/"+string(namespace)+"/serviceaccounts/calico-cni-plugin/token", object{
		"apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest",
		"spec": object{"expirationSeconds": 24 * 60 * 60},
	})
	if err != nil {
		return err
	}
	return writeKubeconfig("/host"+kubeconfig, text(answer, "status", "token"))
}
