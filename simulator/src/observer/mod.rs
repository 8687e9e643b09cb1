//! Invariants and inventories, computed apart from the code they watch.
