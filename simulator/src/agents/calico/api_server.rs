//! Calico's API server: `projectcalico.org/v3`, kept in the custom resources of
//! `crd.projectcalico.org/v1`.

use std::sync::Arc;

use axum::body::Body;
use bytes::Bytes;
use futures::{FutureExt, StreamExt};
use http::{Request, Response};
use http_body_util::BodyExt;
use serde_json::{Value, json};

use super::datastore;
use crate::agents::support::{Fatal, unless_stopped};
use crate::machines::ProgramContext;
use crate::server::Server;

const GROUP: &str = "projectcalico.org";
const VERSION: &str = "v3";
const SERVED: &str = "projectcalico.org/v3";
const STORED: &str = "crd.projectcalico.org/v1";
const CERTIFICATE: &str = "/code/apiserver.local.config/certificates/apiserver.crt";

/// The kinds behind the API: internal ones of the address management are not among them.
const HIDDEN: [&str; 2] = ["ipamblocks", "ipamhandles"];

/// The container: ready once its certificate is there and its storage answers.
pub(super) async fn run(context: &ProgramContext) -> Result<(), Fatal> {
    let mounted = context.files.mounts().keys().any(|at| CERTIFICATE.starts_with(at.as_str()));
    if mounted && context.files.list("/code/apiserver.local.config/certificates").is_empty() {
        return Err(Fatal::Because(format!("open {CERTIFICATE}: no such file or directory")));
    }
    let Some(_) = datastore::wait(context).await else { return Ok(()) };
    if unless_stopped(context, tokio::time::sleep(context.durations.probe)).await.is_some() {
        context.set_ready(true);
        context.stop.cancelled().await;
    }
    Ok(())
}

/// Makes a server pass the group on to Calico's API server, wherever an APIService says so and a
/// ready pod stands behind it. Without that nothing changes.
pub fn serve(server: &Server) {
    let client = server.client("calico-apiserver");
    server.set_aggregated(
        GROUP,
        VERSION,
        Arc::new(move |request| {
            let client = client.clone();
            async move { pass(&client, request).await }.boxed()
        }),
    );
}

fn refusal(code: u16, reason: &str, message: &str) -> Response<Body> {
    let status = json!({
        "kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Failure",
        "message": message, "reason": reason, "code": code,
    });
    let response = Response::builder().status(code).header(http::header::CONTENT_TYPE, "application/json");
    response.body(Body::from(status.to_string())).unwrap_or_default()
}

/// The stored path of a served one.
fn stored_path(path: &str) -> Option<String> {
    let rest = path.strip_prefix("/apis/")?.strip_prefix(SERVED)?.trim_end_matches('/');
    if HIDDEN.iter().any(|plural| rest.split('/').any(|part| part == *plural)) {
        return None;
    }
    Some(format!("/apis/{STORED}{}", rest.replace("/ipamconfigurations", "/ipamconfigs")))
}

async fn pass(client: &kube::Client, request: Request<Bytes>) -> Response<Body> {
    let (mut parts, body) = request.into_parts();
    let Some(path) = stored_path(parts.uri.path()) else {
        return refusal(404, "NotFound", "the server could not find the requested resource");
    };
    let discovery = path == format!("/apis/{STORED}");
    let watch = parts.uri.query().is_some_and(|query| {
        query.split('&').any(|pair| pair.starts_with("watch=") && pair != "watch=false")
    });
    let uri = match parts.uri.query() {
        Some(query) => format!("{path}?{query}"),
        None => path,
    };
    let Ok(uri) = uri.parse() else { return refusal(400, "BadRequest", "the path is not valid") };
    parts.uri = uri;
    // The caller was judged by the server in front; what follows is done with our own rights.
    parts.headers.remove(http::header::AUTHORIZATION);
    parts.headers.remove(http::header::CONTENT_LENGTH);
    let body = renamed(&body, SERVED, STORED);
    let request = Request::from_parts(parts, kube::client::Body::from(body));
    let answer = match client.send(request).await {
        Ok(answer) => answer,
        Err(error) => return refusal(500, "InternalError", &error.to_string()),
    };
    let (mut parts, body) = answer.into_parts();
    parts.headers.remove(http::header::CONTENT_LENGTH);
    if watch {
        return Response::from_parts(parts, Body::from_stream(lines(body)));
    }
    match body.collect().await {
        Ok(whole) => {
            let whole = whole.to_bytes();
            let body = if discovery { listed(&whole) } else { renamed(&whole, STORED, SERVED) };
            Response::from_parts(parts, Body::from(body))
        }
        Err(error) => refusal(500, "InternalError", &error.to_string()),
    }
}

/// Every line of a stream, with the group renamed in whole lines only.
fn lines(body: kube::client::Body) -> impl futures::Stream<Item = Result<Bytes, kube::Error>> {
    futures::stream::unfold((body.into_data_stream(), Vec::new()), |(mut stream, mut rest)| async move {
        loop {
            match stream.next().await {
                Some(Ok(chunk)) => {
                    rest.extend_from_slice(&chunk);
                    if let Some(end) = rest.iter().rposition(|byte| *byte == b'\n') {
                        let tail = rest.split_off(end + 1);
                        return Some((Ok(Bytes::from(renamed(&rest, STORED, SERVED))), (stream, tail)));
                    }
                }
                Some(Err(error)) => return Some((Err(error), (stream, Vec::new()))),
                None if rest.is_empty() => return None,
                None => return Some((Ok(Bytes::from(renamed(&rest, STORED, SERVED))), (stream, Vec::new()))),
            }
        }
    })
}

fn renamed(body: &[u8], from: &str, to: &str) -> Vec<u8> {
    match std::str::from_utf8(body) {
        Ok(text) => {
            let text = text.replace(&format!("\"{from}\""), &format!("\"{to}\""));
            let (from, to) = match from == STORED {
                true => ("\"IPAMConfig\"", "\"IPAMConfiguration\""),
                false => ("\"IPAMConfiguration\"", "\"IPAMConfig\""),
            };
            text.replace(from, to).into_bytes()
        }
        Err(_) => body.to_vec(),
    }
}

/// The list of served kinds, made from the stored ones.
fn listed(body: &[u8]) -> Vec<u8> {
    let Ok(mut list) = serde_json::from_slice::<Value>(body) else { return body.to_vec() };
    list["groupVersion"] = json!(SERVED);
    if let Some(resources) = list["resources"].as_array_mut() {
        resources.retain(|resource| {
            let name = resource["name"].as_str().unwrap_or_default();
            !HIDDEN.contains(&name.split('/').next().unwrap_or_default())
        });
        for resource in resources {
            if let Some(fields) = resource.as_object_mut() {
                fields.remove("group");
                fields.remove("version");
            }
            if resource["name"] == "ipamconfigs" {
                resource["name"] = json!("ipamconfigurations");
                resource["singularName"] = json!("ipamconfiguration");
                resource["kind"] = json!("IPAMConfiguration");
            }
        }
    }
    list.to_string().into_bytes()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_lead_to_the_stored_kinds() {
        let of = |path: &str| stored_path(path);
        assert_eq!(
            of("/apis/projectcalico.org/v3/namespaces/a/networkpolicies/b").as_deref(),
            Some("/apis/crd.projectcalico.org/v1/namespaces/a/networkpolicies/b")
        );
        assert_eq!(
            of("/apis/projectcalico.org/v3/ipamconfigurations/default").as_deref(),
            Some("/apis/crd.projectcalico.org/v1/ipamconfigs/default")
        );
        assert_eq!(of("/apis/projectcalico.org/v3/ipamblocks"), None);
    }
}
