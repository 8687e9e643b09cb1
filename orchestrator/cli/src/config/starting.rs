//! A commented file to start from.

use ipnet::IpNet;
use replank_planning::checks::Consent;
use replank_planning::cidr;
use replank_planning::intent::Intent;
use std::fmt::Write as _;

/// What was seen of the cluster that the file is for.
#[derive(Clone, Debug, Default)]
pub(crate) struct Seen {
    /// The network that is there, in a few words.
    pub(crate) old: Option<String>,
    /// The ranges that would be chosen for the new one.
    pub(crate) ranges: Vec<IpNet>,
    /// The worker that would be replaced first.
    pub(crate) canary: Option<String>,
    /// Consents for what needs one now.
    pub(crate) consents: Vec<Consent>,
}

/// The file: every setting with what it is for, commented out where it would say no more than what is so
/// without it. A line behind `#: ` can be taken in as it is.
pub(crate) fn starting_file(provider: &str, seen: Option<&Seen>) -> String {
    let Intent { nodes, drain, .. } = Intent::default();
    let seen = seen.cloned().unwrap_or_default();
    let old = seen.old.map(|old| format!("# The network now: {old}\n\n")).unwrap_or_default();
    let ranges = match seen.ranges.is_empty() {
        true => "10.244.0.0/16".to_owned(),
        false => cidr::join(&seen.ranges),
    };
    let canary = seen.canary.as_deref().unwrap_or("worker-1");
    let provider = serde_json::Value::from(provider);
    let (soak, surge, deadline) = (nodes.canary_soak_seconds, nodes.max_surge, drain.deadline_seconds);
    let mut out = String::new();
    // Writing to a String can't fail.
    let _ = write!(
        out,
        "\
# What `replank plan --config FILE` makes a plan of. Lines behind `#: ` say what
# is so without them. `replank config schema` prints the schema for your editor.
apiVersion: replank.dev/v1alpha1
kind: Migration

{old}# How the networks change places. rolling: Calico stays on the old nodes until
# the last of them is gone. cutover: Calico is removed whole first, an outage.
strategy: rolling

network:
  # The new pod network, one range of each family; a range that overlaps nothing
  # is chosen where none is given.
#:   podCidrs: [{ranges}]
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
#:   canary: {canary}
  canarySoakSeconds: {soak}
  # How many workers may be under way at once.
  maxSurge: {surge}
  # Cloud-config documents and scripts of your own, beside this file, for every
  # new machine; docs/node-image.md tells how they are merged.
  # userData: [base.yaml, disks.sh]
  # What new kubelets are told on their command lines.
  # kubeletExtraArgs: {{cloud-provider: external}}

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
"
    );
    out.push_str(&accept(&seen.consents));
    out
}

/// The consents, each for its reader to take in.
fn accept(consents: &[Consent]) -> String {
    if consents.is_empty() {
        return "accept: []\n".to_owned();
    }
    let mut out =
        "# These are needed here: take in those that you have read and mean.\n# accept:\n".to_owned();
    for consent in consents {
        // JSON on one line is YAML.
        let shown = serde_json::to_string(consent).unwrap_or_default();
        let _ = writeln!(out, "# - {shown}");
    }
    out
}
