//! What runs in the pods that matter: network agents, kube-proxy, CoreDNS.
