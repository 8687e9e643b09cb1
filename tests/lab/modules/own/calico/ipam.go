package main

import (
	"encoding/binary"
	"errors"
	"fmt"
	"net"
	"net/http"
	"strings"
	"time"
)

// How often a change is tried that others may make at the same time.
const races = 20

var errNoPool = errors.New("failed to request IPv4 addresses: no configured Calico pools")

func blockName(cidr string) string { return strings.NewReplacer(".", "-", "/", "-").Replace(cidr) }

func blockPath(cidr string) string { return group + "/ipamblocks/" + blockName(cidr) }

func handlePath(handle string) string { return group + "/ipamhandles/" + strings.ToLower(handle) }

// assign takes the first free address of the node's blocks, and a new block when they are full.
func assign(a *api, node, handle string, secondary object) (net.IP, error) {
	for range races {
		blocks, err := a.list(group + "/ipamblocks")
		if err != nil {
			return nil, err
		}
		pools, err := usable(a)
		if err != nil {
			return nil, err
		}
		for _, block := range blocks {
			if text(block, "spec", "affinity") != "host:"+node || !within(text(block, "spec", "cidr"), pools) {
				continue
			}
			ip, err := take(a, block, handle, secondary)
			if hasCode(err, http.StatusConflict) {
				break
			}
			if err != nil || ip != nil {
				return ip, err
			}
		}
		if err := claim(a, node, pools, blocks); err != nil && !hasCode(err, http.StatusConflict) {
			return nil, err
		}
	}
	return nil, fmt.Errorf("failed to request IPv4 addresses: no free address on node %s", node)
}

// usable are the pools that give new addresses and blocks.
func usable(a *api) ([]object, error) {
	pools, err := a.list(group + "/ippools")
	if err != nil {
		return nil, err
	}
	var open []object
	for _, pool := range pools {
		spec, _ := pool["spec"].(object)
		if spec["disabled"] != true && !strings.HasPrefix(text(pool, "spec", "nodeSelector"), "!all()") {
			open = append(open, pool)
		}
	}
	if len(open) == 0 {
		return nil, errNoPool
	}
	return open, nil
}

func within(cidr string, pools []object) bool {
	ip, _, err := net.ParseCIDR(cidr)
	if err != nil {
		return false
	}
	for _, pool := range pools {
		if _, network, err := net.ParseCIDR(text(pool, "spec", "cidr")); err == nil && network.Contains(ip) {
			return true
		}
	}
	return false
}

// take is nil without an error when the block is full.
func take(a *api, block object, handle string, secondary object) (net.IP, error) {
	spec := block["spec"].(object)
	free, _ := spec["unallocated"].([]any)
	allocations, _ := spec["allocations"].([]any)
	if len(free) == 0 {
		return nil, nil
	}
	ordinal := int(free[0].(float64))
	attributes, _ := spec["attributes"].([]any)
	spec["attributes"] = append(attributes, object{"handle_id": handle, "secondary": secondary})
	allocations[ordinal] = len(attributes)
	spec["unallocated"] = free[1:]
	if _, err := a.update(blockPath(text(block, "spec", "cidr")), block); err != nil {
		return nil, err
	}
	cidr := text(block, "spec", "cidr")
	note := resource("IPAMHandle", strings.ToLower(handle), object{
		"handleID": handle, "block": object{cidr: 1}, "deleted": false,
	})
	if err := a.ensure(group+"/ipamhandles", note); err != nil {
		return nil, err
	}
	return nth(cidr, ordinal), nil
}

func nth(cidr string, ordinal int) net.IP {
	ip, _, _ := net.ParseCIDR(cidr)
	number := binary.BigEndian.Uint32(ip.To4()) + uint32(ordinal)
	return binary.BigEndian.AppendUint32(nil, number)
}

// claim makes the first block of the pools that nobody has the node's.
func claim(a *api, node string, pools, blocks []object) error {
	taken := map[string]bool{}
	for _, block := range blocks {
		taken[text(block, "spec", "cidr")] = true
	}
	for _, pool := range pools {
		_, network, err := net.ParseCIDR(text(pool, "spec", "cidr"))
		if err != nil {
			continue
		}
		length := 26
		if spec := pool["spec"].(object); spec["blockSize"] != nil {
			length = int(spec["blockSize"].(float64))
		}
		ones, _ := network.Mask.Size()
		size := 1 << (32 - length)
		for at := range 1 << max(length-ones, 0) {
			cidr := fmt.Sprintf("%s/%d", nth(network.String(), at*size), length)
			if !taken[cidr] {
				return claimBlock(a, node, cidr, size)
			}
		}
	}
	return fmt.Errorf("failed to request IPv4 addresses: no block is left for node %s", node)
}

func claimBlock(a *api, node, cidr string, size int) error {
	affinity := resource("BlockAffinity", node+"-"+blockName(cidr), object{
		"cidr": cidr, "node": node, "state": "pending", "deleted": "false", "type": "host",
	})
	if err := a.ensure(group+"/blockaffinities", affinity); err != nil {
		return err
	}
	free := make([]int, size)
	for at := range free {
		free[at] = at
	}
	path := group + "/blockaffinities/" + text(affinity, "metadata", "name")
	_, err := a.create(group+"/ipamblocks", resource("IPAMBlock", blockName(cidr), object{
		"affinity": "host:" + node, "allocations": make([]any, size), "attributes": []any{}, "cidr": cidr,
		"deleted": false, "strictAffinity": false, "unallocated": free,
		"sequenceNumber": time.Now().UnixNano() / 1000, "sequenceNumberForAllocation": object{},
	}))
	if err != nil {
		// Somebody was faster: another node, or another pod of this one, whose affinity it is then.
		if now, found := a.get(blockPath(cidr)); found == nil && text(now, "spec", "affinity") != "host:"+node {
			return errors.Join(err, a.remove(path))
		}
		return err
	}
	now, err := a.get(path)
	if err != nil {
		return err
	}
	now["spec"].(object)["state"] = "confirmed"
	_, err = a.update(path, now)
	return err
}

// release gives back what a handle holds. One that is gone holds nothing.
func release(a *api, handle string) error {
	held, err := a.get(handlePath(handle))
	if hasCode(err, http.StatusNotFound) {
		return nil
	}
	if err != nil {
		return err
	}
	blocks, _ := held["spec"].(object)["block"].(object)
	for cidr := range blocks {
		if err := releaseFrom(a, cidr, handle); err != nil {
			return err
		}
	}
	return a.remove(handlePath(handle))
}

func releaseFrom(a *api, cidr, handle string) error {
	for range races {
		block, err := a.get(blockPath(cidr))
		if hasCode(err, http.StatusNotFound) {
			return nil
		}
		if err != nil {
			return err
		}
		if !free(block["spec"].(object), handle) {
			return nil
		}
		if _, err = a.update(blockPath(cidr), block); !hasCode(err, http.StatusConflict) {
			return err
		}
	}
	return fmt.Errorf("block %s changes too often", cidr)
}

// free takes a handle out of a block; false if it is not in it.
func free(spec object, handle string) bool {
	allocations, _ := spec["allocations"].([]any)
	attributes, _ := spec["attributes"].([]any)
	unallocated, _ := spec["unallocated"].([]any)
	var kept []any
	renumbered := map[int]int{}
	for at, attribute := range attributes {
		if o, ok := attribute.(object); ok && o["handle_id"] == handle {
			continue
		}
		renumbered[at] = len(kept)
		kept = append(kept, attribute)
	}
	if len(kept) == len(attributes) {
		return false
	}
	for ordinal, value := range allocations {
		number, ok := value.(float64)
		if !ok {
			continue
		}
		if now, stays := renumbered[int(number)]; stays {
			allocations[ordinal] = now
		} else {
			allocations[ordinal] = nil
			// To the end: an address rests before it is given again.
			unallocated = append(unallocated, ordinal)
		}
	}
	if kept == nil {
		kept = []any{}
	}
	spec["attributes"], spec["unallocated"] = kept, unallocated
	return true
}
