//! What every namespace has: its default account, and the cluster's certificate.

use crate::controllers::context::Cx;
use crate::controllers::objects::{about, is_terminating, name_of, namespace_of};
use crate::controllers::queue::Queue;
use crate::controllers::runtime::Controller;
use crate::schema::builtin::{CONFIG_MAPS, NAMESPACES, SERVICE_ACCOUNTS};
use crate::server::{Event, EventKind, Status};
use serde_json::json;

const ACCOUNT: &str = "default";
const CERTIFICATE: &str = "kube-root-ca.crt";

/// The service account controller, and the publisher of the root certificate.
#[derive(Default)]
pub(crate) struct Accounts;

impl Controller for Accounts {
    type Key = String;

    fn name(&self) -> &'static str {
        "serviceaccount-controller"
    }

    fn notice(&mut self, _: &Cx, event: &Event, queue: &mut Queue<String>) {
        let object = event.object();
        if about(event, &NAMESPACES) {
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
        if cx.get(&CONFIG_MAPS, namespace, CERTIFICATE).is_none() {
            let certificate = cx
                .get(&CONFIG_MAPS, "kube-system", CERTIFICATE)
                .map_or_else(|| json!({"ca.crt": ""}), |map| map["data"].clone());
            let map = json!({"metadata": {"name": CERTIFICATE, "namespace": namespace}, "data": certificate});
            cx.direct.create(&CONFIG_MAPS, map)?;
        }
        Ok(())
    }
}
