//go:build tools

// Package flannel names the programs that are built from this module's pins.
package flannel

import (
	_ "github.com/flannel-io/flannel"
	_ "github.com/flannel-io/flannel/cmd/install_conf"
)
