//go:build tools

// Package cniflannel names the program that is built from this module's pins.
package cniflannel

import (
	_ "github.com/containernetworking/plugins/plugins/meta/flannel"
)
