//go:build tools

// Package critools names the program that is built from this module's pins.
package critools

import (
	_ "sigs.k8s.io/cri-tools/cmd/crictl"
)
