//! Calico: recognising an install, withdrawing it from nodes, removing it.
