//! Certificate signing requests: kubelets' client certificates are approved, approved ones signed.

use crate::controllers::context::Cx;
use crate::controllers::objects::{about, condition_status, conditions_of, items, name_of, text};
use crate::controllers::queue::Queue;
use crate::controllers::runtime::Controller;
use crate::schema::builtin::CERTIFICATE_SIGNING_REQUESTS;
use crate::server::{Event, Status, Subresource};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};

const KUBELET_CLIENT: &str = "kubernetes.io/kube-apiserver-client-kubelet";
const SIGNERS: &[&str] =
    &[KUBELET_CLIENT, "kubernetes.io/kubelet-serving", "kubernetes.io/kube-apiserver-client"];

/// The approver of kubelets' client certificates. Serving certificates are for others to approve.
#[derive(Default)]
pub(crate) struct Approver;

impl Controller for Approver {
    type Key = String;

    fn name(&self) -> &'static str {
        "certificatesigningrequest-approving-controller"
    }

    fn notice(&mut self, _: &Cx, event: &Event, queue: &mut Queue<String>) {
        notice(event, queue);
    }

    fn sync(&mut self, cx: &Cx, name: &String, _: &mut Queue<String>) -> Result<(), Status> {
        let Some(request) = cx.get(&CERTIFICATE_SIGNING_REQUESTS, "", name) else { return Ok(()) };
        if text(&request, "/spec/signerName") != KUBELET_CLIENT || decided(&request) || !may_ask(&request) {
            return Ok(());
        }
        let now = cx.stamp();
        let written = cx.edit(&CERTIFICATE_SIGNING_REQUESTS, "", name, Subresource::Approval, |request| {
            let mut conditions = conditions_of(request);
            conditions.push(json!({
                "type": "Approved", "status": "True", "reason": "AutoApproved",
                "message": "Auto approving kubelet client certificate after SubjectAccessReview.",
                "lastUpdateTime": now, "lastTransitionTime": now,
            }));
            request["status"]["conditions"] = json!(conditions);
        });
        written.map(|_| ())
    }
}

/// The signer of approved requests. Nothing here looks into a certificate, so it holds only a name.
#[derive(Default)]
pub(crate) struct Signer;

impl Controller for Signer {
    type Key = String;

    fn name(&self) -> &'static str {
        "certificatesigningrequest-signing-controller"
    }

    fn notice(&mut self, _: &Cx, event: &Event, queue: &mut Queue<String>) {
        notice(event, queue);
    }

    fn sync(&mut self, cx: &Cx, name: &String, _: &mut Queue<String>) -> Result<(), Status> {
        let Some(request) = cx.get(&CERTIFICATE_SIGNING_REQUESTS, "", name) else { return Ok(()) };
        let ours = SIGNERS.contains(&text(&request, "/spec/signerName"));
        let approved = condition_status(&request, "Approved") == "True";
        let signed = !text(&request, "/status/certificate").is_empty();
        if !ours || !approved || signed || condition_status(&request, "Denied") == "True" {
            return Ok(());
        }
        let body = STANDARD.encode(format!("certificate of {name}"));
        let pem = format!("-----BEGIN CERTIFICATE-----\n{body}\n-----END CERTIFICATE-----\n");
        let written = cx.edit(&CERTIFICATE_SIGNING_REQUESTS, "", name, Subresource::Status, |request| {
            request["status"]["certificate"] = json!(STANDARD.encode(&pem));
        });
        written.map(|_| ())
    }
}

fn notice(event: &Event, queue: &mut Queue<String>) {
    if about(event, &CERTIFICATE_SIGNING_REQUESTS) && event.new.is_some() {
        queue.add(name_of(event.object()).to_owned());
    }
}

fn decided(request: &Value) -> bool {
    ["Approved", "Denied"].iter().any(|kind| condition_status(request, kind) == "True")
}

/// Whether who asks is a node, or on the way to become one.
fn may_ask(request: &Value) -> bool {
    text(request, "/spec/username").starts_with("system:node:")
        || items(request, "/spec/groups").iter().any(|group| group == "system:bootstrappers")
}
