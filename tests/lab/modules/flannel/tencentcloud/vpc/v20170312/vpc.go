// Package v20170312 declares what flanneld's tencent-vpc backend needs to compile; see ../../../go.mod.
package v20170312

import "errors"

var errAbsent = errors.New("this flanneld was built without the tencent-vpc backend")

// Filter, Route and RouteTable have the fields that the backend reads and writes.
type (
	Filter struct {
		Name   *string
		Values []*string
	}
	Route struct {
		RouteId              *uint64
		DestinationCidrBlock *string
		GatewayType          *string
		GatewayId            *string
		RouteType            *string
		Enabled              *bool
	}
	RouteTable struct {
		RouteTableId *string
		RouteSet     []*Route
	}
)

// Requests and responses of the three calls.
type (
	DescribeRouteTablesRequest  struct{ Filters []*Filter }
	DescribeRouteTablesResponse struct {
		Response *struct{ RouteTableSet []*RouteTable }
	}
	DeleteRoutesRequest struct {
		RouteTableId *string
		Routes       []*Route
	}
	DeleteRoutesResponse struct{}
	CreateRoutesRequest  struct {
		RouteTableId *string
		Routes       []*Route
	}
	CreateRoutesResponse struct{}
)

func NewDescribeRouteTablesRequest() *DescribeRouteTablesRequest { return &DescribeRouteTablesRequest{} }
func NewDeleteRoutesRequest() *DeleteRoutesRequest               { return &DeleteRoutesRequest{} }
func NewCreateRoutesRequest() *CreateRoutesRequest               { return &CreateRoutesRequest{} }

// Client answers every call with the same error.
type Client struct{}

// NewClientWithSecretId makes a client that can't reach anything.
func NewClientWithSecretId(_, _, _ string) (*Client, error) { return &Client{}, errAbsent }

func (*Client) DescribeRouteTables(*DescribeRouteTablesRequest) (*DescribeRouteTablesResponse, error) {
	return nil, errAbsent
}

func (*Client) DeleteRoutes(*DeleteRoutesRequest) (*DeleteRoutesResponse, error) {
	return nil, errAbsent
}

func (*Client) CreateRoutes(*CreateRoutesRequest) (*CreateRoutesResponse, error) {
	return nil, errAbsent
}
