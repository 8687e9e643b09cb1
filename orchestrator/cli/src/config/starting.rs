//! A commented file to start from.

use replank_planning::intent::Intent;

/// The file: every setting with what it is for, commented out where it would say no more than what is so
/// without it. A line behind `#: ` can be taken in as it is.
pub(crate) fn starting_file() -> String {
    let Intent { nodes, drain, provider, .. } = Intent::default();
    let provider = provider.name;
    let (soak, surge, deadline) = (nodes.canary_soak_seconds, nodes.max_surge, drain.deadline_seconds);
    format!(
        "\
# What `replank plan --config FILE` makes a plan of. Lines behind `#: ` say what
# is so without them. `replank config schema` prints the schema for your editor.
apiVersion: replank.dev/v1alpha1
kind: Migration

# How the networks change places. rolling: Calico stays on the old nodes until
# the last of them is gone. cutover: Calico is removed whole first, an outage.
strategy: rolling

network:
  # The new pod network, one range of each family; a range that overlaps nothing
  # is chosen where none is given.
#:   podCidrs: [10.244.0.0/16]
  # vxlan (UDP 8472 between nodes), host-gw (all nodes on one layer-2 segment) or
  # wireguard (UDP 51820 and 51821).
  backend: vxlan
  # Bytes; Flannel finds it by itself.
#:   mtu: 1450
  # Flannel's image, or a manifest of your own beside this file, never both.
  # image: ghcr.io/flannel-io/flannel:v0.28.9
  # manifest: kube-flannel.yml

nodes:
  # The worker to begin with, and how long its replacement is watched before the
  # next node.
#:   canary: worker-1
  canarySoakSeconds: {soak}
  # How many workers may be under way at once.
  maxSurge: {surge}

drain:
  # After this many seconds the run pauses and says what it waits for.
  deadlineSeconds: {deadline}
  # pause, or delete: pods that are still there are then deleted, budgets or not.
  atDeadline: pause
  # Overrides every pod's own grace period.
#:   graceSeconds: 30

provider:
  # replank-provider-NAME beside replank or on PATH, or the path of a program.
  name: {provider}
  # Its own settings.
  settings: {{}}

# Consents given in advance; `replank check` names the findings that need one.
accept: []
"
    )
}
