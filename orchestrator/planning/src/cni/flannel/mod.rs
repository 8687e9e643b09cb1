//! Flannel: its objects, rendered from types, and the node gate.
