//! What replank installs as Flannel means what upstream's manifest of that version means.

use replank_planning::cni::flannel::config::NetConf;
use replank_planning::cni::flannel::{VERSION, render};
use replank_planning::cni::{GATE_LABEL, NEW_SIDE};
use replank_planning::intent::Backend;
use replank_planning::yaml;
use replank_tests::{manifests, skip};
use serde_json::Value;
use std::collections::BTreeMap;

/// Objects by kind, what stands as text in them read.
fn by_kind(objects: impl IntoIterator<Item = Value>) -> BTreeMap<String, Value> {
    let read = |mut object: Value| {
        for text in object.get_mut("data").and_then(Value::as_object_mut).into_iter().flatten() {
            *text.1 = serde_json::from_str(text.1.as_str().unwrap()).unwrap();
        }
        (object["kind"].as_str().unwrap().to_owned(), object)
    };
    objects.into_iter().map(read).collect()
}

#[test]
fn flannel_differs_from_upstreams_by_its_gate_alone() {
    let manifest = manifests().map(|folder| folder.join(format!("kube-flannel-{VERSION}.yml")));
    let Some(text) = manifest.and_then(|path| std::fs::read_to_string(path).ok()) else {
        return skip(
            "flannel_differs_from_upstreams_by_its_gate_alone",
            "no manifest: set REPLANK_MANIFESTS",
        );
    };
    let network = vec!["10.244.0.0/16".parse().unwrap()];
    let conf = NetConf { network, backend: Backend::Vxlan, vni: None, mtu: None };
    let ours = by_kind(render::objects(&conf, None, render::ROLE).into_iter().map(|new| new.body));
    let mut upstream = by_kind(yaml::documents(&text).unwrap());
    upstream.get_mut("DaemonSet").unwrap()["spec"]["template"]["spec"]["nodeSelector"][GATE_LABEL] =
        NEW_SIDE.into();
    assert_eq!(ours.keys().collect::<Vec<_>>(), upstream.keys().collect::<Vec<_>>());
    for (kind, theirs) in &upstream {
        assert_eq!(&ours[kind], theirs, "{kind}");
    }
}
