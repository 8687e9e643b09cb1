//! Ranges: families, overlaps, allocation.
