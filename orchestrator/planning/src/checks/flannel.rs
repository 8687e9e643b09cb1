//! Flannel where there is none yet by rights: one that runs, Canal's own, and objects in the new one's place.

use super::{Code, Finding, Severity, Situation};
use crate::cni::calico::detect::InstallKind;
use crate::cni::calico::{canal, images};
use crate::cni::flannel::config::NetConf;
use crate::cni::flannel::{manifest, render};
use crate::object::{Object, ObjectRef};
use crate::plan::action::NewObject;

pub(super) fn check(situation: &Situation<'_>) -> Vec<Finding> {
    let canal = situation.install().is_some_and(|i| i.kind == InstallKind::Canal);
    let mut found = if canal { canals(situation) } else { running(situation) };
    let taken = taken(situation, &found);
    found.extend(taken);
    found
}

fn running(situation: &Situation<'_>) -> Vec<Finding> {
    let runs_flannel = |set: &&Object| {
        set.at("/spec/template").is_some_and(|t| images::of_template(t).any(images::is_flannel))
            && !situation.calico.holds(&set.id.object)
    };
    let sets = situation.state.inventory.of("apps", "DaemonSet").filter(runs_flannel);
    sets.map(|set| {
        Finding::new(
            Severity::Blocker,
            Code::FlannelPresent,
            set.id.object.to_string(),
            "Flannel runs here already; replank's own would fight with it over routes and port 8472.",
            "Remove it, or finish the migration that brought it.",
        )
    })
    .collect()
}

/// Two Flannels at once, which must not take each other's packets.
fn canals(situation: &Situation<'_>) -> Vec<Finding> {
    let (state, wanted) = (situation.state, &situation.intent.network);
    let Some(install) = situation.install() else { return Vec::new() };
    let Some(old) = canal::vxlan(state, install) else { return Vec::new() };
    let own = wanted.manifest.as_deref().map(manifest::read).and_then(Result::ok);
    let object = install.agents.first().map_or_else(|| "cluster".to_owned(), |a| a.id.object.to_string());
    if own.as_ref().is_some_and(|own| own.vxlan.is_some_and(|new| new.vni == old.vni && new.port == old.port))
    {
        return vec![Finding::new(
            Severity::Blocker,
            Code::FlannelPresent,
            object,
            format!(
                "Canal's Flannel and the one of your manifest both use VXLAN network {} on UDP port {}: while both exist, each would take the other's packets past the policies.",
                old.vni, old.port
            ),
            "Set another Backend.VNI in the manifest's net-conf.json.",
        )];
    }
    let apart = match (own, canal::number_apart(state, install, wanted.backend)) {
        (None, Some(number)) => format!("the new one gets VXLAN network {number}"),
        _ => "the new one does not use that network".to_owned(),
    };
    vec![Finding::new(
        Severity::Note,
        Code::FlannelPresent,
        object,
        format!(
            "Canal's Flannel uses VXLAN network {}; {apart}, so that neither takes the other's packets while both exist. Both announce themselves in the same annotations of their Nodes.",
            old.vni
        ),
        "Nothing is to be done; firewalls see the same UDP port as before.",
    )]
}

/// Objects that the new Flannel brings and that are there already: applying them would change someone's, and the API
/// server would refuse it when Calico is withdrawn already.
fn taken(situation: &Situation<'_>, told: &[Finding]) -> Vec<Finding> {
    let wanted = situation.intent.network.manifest.as_deref();
    let (objects, message, fix) = match wanted.map(manifest::read) {
        Some(Ok(own)) => (
            own.objects,
            "your Flannel manifest brings an object of this name, and there is one already that something else may live by.",
            "Rename it in the manifest, with whatever refers to it there, or remove the one in the cluster if it is nobody's.",
        ),
        // A manifest that can't be used is a problem of the intent.
        Some(Err(_)) => return Vec::new(),
        None => (
            ours(situation),
            "replank's Flannel brings an object of this name, and there is one already: left by a Flannel that ran here, or somebody's.",
            "Remove it if it is nobody's, or give a Flannel manifest of your own (--flannel-manifest) with other names.",
        ),
    };
    let there = |object: &ObjectRef| {
        // A namespace is shared.
        object.kind.kind != "Namespace" && situation.state.inventory.find(object).is_some()
    };
    let names = objects.into_iter().map(|new| new.object).filter(there).map(|object| object.to_string());
    names
        .filter(|name| !told.iter().any(|f| f.severity == Severity::Blocker && f.object == *name))
        .map(|name| Finding::new(Severity::Blocker, Code::FlannelPresent, name, message, fix))
        .collect()
}

/// What would be installed without a manifest; only the names matter here.
fn ours(situation: &Situation<'_>) -> Vec<NewObject> {
    let conf =
        NetConf { network: Vec::new(), backend: situation.intent.network.backend, vni: None, mtu: None };
    render::objects(&conf, None, &render::free_role(&situation.state.inventory))
}
