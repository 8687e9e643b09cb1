package main

import (
	"fmt"
	"os"
	"strings"
	"time"
)

// controllers takes back the blocks, addresses and handles of nodes that are gone.
func controllers() error {
	a, err := inCluster()
	if err != nil {
		return err
	}
	changed := make(chan struct{}, 1)
	go a.watch("/api/v1/nodes", changed)
	for {
		if err := collect(a); err != nil {
			fmt.Println("collecting:", err)
			time.AfterFunc(retry, func() { changed <- struct{}{} })
		} else if err := os.WriteFile(readyFile, nil, 0o644); err != nil {
			return err
		}
		<-changed
		// The account's token is renewed on the disk.
		if a, err = inCluster(); err != nil {
			return err
		}
	}
}

func collect(a *api) error {
	nodes, err := a.list("/api/v1/nodes")
	if err != nil {
		return err
	}
	alive := map[string]bool{}
	for _, node := range nodes {
		alive[text(node, "metadata", "name")] = true
	}
	blocks, err := a.list(group + "/ipamblocks")
	if err != nil {
		return err
	}
	for _, block := range blocks {
		owner := strings.TrimPrefix(text(block, "spec", "affinity"), "host:")
		if alive[owner] {
			continue
		}
		fmt.Println("node", owner, "is gone: releasing", text(block, "spec", "cidr"))
		for _, attribute := range objects(block["spec"].(object)["attributes"]) {
			if err := release(a, text(attribute, "handle_id")); err != nil {
				return err
			}
		}
		if err := a.remove(blockPath(text(block, "spec", "cidr"))); err != nil {
			return err
		}
	}
	affinities, err := a.list(group + "/blockaffinities")
	if err != nil {
		return err
	}
	for _, affinity := range affinities {
		if !alive[text(affinity, "spec", "node")] {
			if err := a.remove(group + "/blockaffinities/" + text(affinity, "metadata", "name")); err != nil {
				return err
			}
		}
	}
	return nil
}
