//! Groups served by somebody else behind this server.

use super::admission::{Backend, backend};
use super::http::{Answer, Asked};
use super::object::{child, name_of, text};
use super::options::Act;
use super::path::Route;
use super::state::State;
use super::status::Status;
use crate::schema::builtin::API_SERVICES;
use serde_json::{Value, json};

/// The APIService that takes a group and version away from this server, if one does.
fn delegated(state: &State, group: &str, version: &str) -> Option<(String, String)> {
    let entry = state.store.get(&API_SERVICES, "", &format!("{version}.{group}"))?;
    let service = &entry.object["spec"]["service"];
    service.is_object().then(|| (text(service, "/namespace").to_owned(), text(service, "/name").to_owned()))
}

/// Whether a group and version is delegated, and its backend can't answer.
pub(crate) fn is_unavailable(state: &State, group: &str, version: &str) -> bool {
    delegated(state, group, version)
        .is_some_and(|(namespace, name)| backend(state, &namespace, &name) != Backend::Ready)
}

/// Answers for a delegated group; nothing if the path belongs to this server.
pub(crate) async fn answer(asked: &Asked<'_>, route: &Route) -> Option<Result<Answer, Status>> {
    let path = asked.parts.uri.path();
    let (group, version) = match route {
        Route::Resource(found) => (found.group.clone(), found.version.clone()),
        Route::Other => {
            let mut parts = path.strip_prefix("/apis/")?.trim_end_matches('/').split('/');
            (parts.next()?.to_owned(), parts.next()?.to_owned())
        }
    };
    {
        let state = asked.server.state();
        let (namespace, name) = delegated(&state, &group, &version)?;
        if backend(&state, &namespace, &name) != Backend::Ready {
            return Some(Ok(Answer::Text(503, "service unavailable\n".to_owned())));
        }
    }
    let handler = {
        let handlers = asked.server.0.aggregated.lock().expect("the handlers' lock is never poisoned");
        handlers.get(&(group, version)).cloned()
    };
    let Some(handler) = handler else { return Some(Err(Status::no_such_path())) };
    let request = ::http::Request::from_parts(asked.parts.clone(), asked.body.clone());
    Some(Ok(Answer::Whole(handler(request).await)))
}

impl State {
    /// Says in every APIService whether its backend answers.
    pub(crate) fn refresh_api_services(&mut self, act: &Act) {
        for entry in self.store.list(&API_SERVICES, None) {
            let service = &entry.object["spec"]["service"];
            let (namespace, name) = (text(service, "/namespace"), text(service, "/name"));
            let (status, reason, message) = if service.is_object() {
                match backend(self, namespace, name) {
                    Backend::Ready => ("True", "Passed", "all checks passed".to_owned()),
                    Backend::NoService => (
                        "False",
                        "ServiceNotFound",
                        format!("service/{name} in \"{namespace}\" is not present"),
                    ),
                    Backend::NoEndpoints => (
                        "False",
                        "MissingEndpoints",
                        format!(
                            "endpoints for service/{name} in \"{namespace}\" have no addresses with port name \"\""
                        ),
                    ),
                }
            } else {
                ("True", "Local", "Local APIServices are always available".to_owned())
            };
            let conditions = entry.object.pointer("/status/conditions").and_then(Value::as_array);
            let before = conditions.and_then(|list| list.iter().find(|c| c["type"] == "Available"));
            if before.is_some_and(|c| c["status"] == status && c["reason"] == reason) {
                continue;
            }
            let moved = before.is_none_or(|c| c["status"] != status);
            let since = if moved {
                json!(act.stamp())
            } else {
                before.map(|c| c["lastTransitionTime"].clone()).unwrap_or_default()
            };
            let mut next = (*entry.object).clone();
            child(&mut next, "status").insert(
                "conditions".into(),
                json!([{"type": "Available", "status": status, "reason": reason, "message": message,
                    "lastTransitionTime": since}]),
            );
            let name = name_of(&entry.object).to_owned();
            self.store.put(&API_SERVICES, "", &name, next, entry.managers.clone(), &"kube-apiserver".into());
        }
    }

    /// Whether a change of this kind of object can change whether a backend answers.
    pub(crate) fn concerns_backends(&self, plural: &str) -> bool {
        ["apiservices", "services", "endpointslices"].contains(&plural)
            && self.store.table(&API_SERVICES).is_some_and(|table| !table.is_empty())
    }
}
