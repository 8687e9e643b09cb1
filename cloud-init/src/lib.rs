//! Part of replank.
