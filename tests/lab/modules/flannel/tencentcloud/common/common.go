// Package common declares what flanneld's tencent-vpc backend needs to compile; see ../../go.mod.
package common

// StringPtr points at a copy of a string.
func StringPtr(value string) *string { return &value }

// StringPtrs points at a copy of each string.
func StringPtrs(values []string) []*string {
	pointers := make([]*string, len(values))
	for i := range values {
		pointers[i] = &values[i]
	}
	return pointers
}

// BoolPtr points at a copy of a boolean.
func BoolPtr(value bool) *bool { return &value }
