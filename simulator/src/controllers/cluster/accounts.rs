//! What every namespace has: its default account, and the cluster's certificate.

use crate::controllers::context::Cx;
use crate::controllers::objects::{about, is_terminating, name_of, namespace_of, text};
use crate::controllers::queue::Queue;
use crate::controllers::runtime::Controller;
use crate::schema::builtin::{CONFIG_MAPS, NAMESPACES, SERVICE_ACCOUNTS};
use crate::server::{Event, EventKind, Status};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};

const ACCOUNT: &str = "default";
const CERTIFICATE: &str = "kube-root-ca.crt";
/// Where kubeadm publishes the cluster's CA.
const AUTHORITY: (&str, &str) = ("kube-public", "cluster-info");

/// The service account controller, and the publisher of the root certificate.
#[derive(Default)]
pub(crate) struct Accounts;

impl Controller for Accounts {
    type Key = String;

    fn name(&self) -> &'static str {
        "serviceaccount-controller"
    }

    fn notice(&mut self, cx: &Cx, event: &Event, queue: &mut Queue<String>) {
        let object = event.object();
        if about(event, &CONFIG_MAPS) && (namespace_of(object), name_of(object)) == AUTHORITY {
            for namespace in cx.direct.list(&NAMESPACES, None) {
                queue.add(name_of(&namespace).to_owned());
            }
        } else if about(event, &NAMESPACES) {
            queue.add(name_of(object).to_owned());
        } else if event.kind == EventKind::Deleted {
            let lost = about(event, &SERVICE_ACCOUNTS) && name_of(object) == ACCOUNT
                || about(event, &CONFIG_MAPS) && name_of(object) == CERTIFICATE;
            if lost {
                queue.add(namespace_of(object).to_owned());
            }
        }
    }

    fn sync(&mut self, cx: &Cx, namespace: &String, _: &mut Queue<String>) -> Result<(), Status> {
        let there = cx.get(&NAMESPACES, "", namespace).is_some_and(|n| !is_terminating(&n));
        if !there {
            return Ok(());
        }
        if cx.get(&SERVICE_ACCOUNTS, namespace, ACCOUNT).is_none() {
            let account = json!({"metadata": {"name": ACCOUNT, "namespace": namespace}});
            cx.direct.create(&SERVICE_ACCOUNTS, account)?;
        }
        if cx.get(&CONFIG_MAPS, namespace, CERTIFICATE).is_none()
            && let Some(authority) = authority(cx)
        {
            let data = json!({"ca.crt": authority});
            let map = json!({"metadata": {"name": CERTIFICATE, "namespace": namespace}, "data": data});
            cx.direct.create(&CONFIG_MAPS, map)?;
        }
        Ok(())
    }
}

/// The cluster's CA, once kubeadm has published it.
fn authority(cx: &Cx) -> Option<String> {
    let map = cx.get(&CONFIG_MAPS, AUTHORITY.0, AUTHORITY.1)?;
    let kubeconfig: Value = serde_saphyr::from_str(text(&map, "/data/kubeconfig")).ok()?;
    let encoded = text(&kubeconfig, "/clusters/0/cluster/certificate-authority-data");
    String::from_utf8(STANDARD.decode(encoded).ok()?).ok()
}
