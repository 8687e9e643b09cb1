// Package errors declares the error type that flanneld's tencent-vpc backend looks for.
package errors

// TencentCloudSDKError is never returned.
type TencentCloudSDKError struct{ Message string }

func (e *TencentCloudSDKError) Error() string { return e.Message }
