//! Which pods are behind a Service: as Endpoints, and as EndpointSlices.

mod addresses;
pub(crate) mod endpoints;
pub(crate) mod slices;
