//! What guards or follows pods: disruption budgets, endpoints.

pub(super) mod disruption;
pub(super) mod endpoints;
