//! Paths that aren't objects: health, version, discovery, schemas.

use super::http::{Answer, Asked};
use super::state::EtcdHealth;
use super::status::Status;
use serde_json::json;

/// The version the server says it is.
pub(crate) const VERSION: &str = "v1.34.4";

/// Answers a path that isn't an object's.
pub(crate) fn answer(asked: &Asked<'_>, foreign: &[super::documents::Foreign]) -> Result<Answer, Status> {
    let path = asked.parts.uri.path().trim_end_matches('/');
    if let Some(check) = path.split('/').nth(1)
        && ["healthz", "readyz", "livez"].contains(&check)
    {
        return Ok(health(asked, check));
    }
    match path {
        "/version" => Ok(Answer::Json(200, version().to_string().into())),
        "/metrics" => Ok(Answer::Text(200, metrics(asked))),
        _ => super::documents::answer(asked, path, foreign),
    }
}

fn version() -> serde_json::Value {
    let mut parts = VERSION.trim_start_matches('v').split('.');
    json!({
        "major": parts.next(), "minor": parts.next(), "gitVersion": VERSION, "gitCommit": "", "gitTreeState": "clean",
        "buildDate": "2026-01-05T08:00:00Z", "goVersion": "go1.24.0", "compiler": "gc", "platform": "linux/amd64",
        "emulationMajor": "1", "emulationMinor": "34", "minCompatibilityMajor": "1", "minCompatibilityMinor": "33",
    })
}

fn health(asked: &Asked<'_>, check: &str) -> Answer {
    let ready = asked.server.state().etcd == EtcdHealth::Quorum;
    let verbose = asked.query.has("verbose");
    if ready && !verbose {
        return Answer::Text(200, "ok".to_owned());
    }
    let mark = if ready { "[+]etcd ok" } else { "[-]etcd failed: reason withheld" };
    let result = if ready { "passed" } else { "failed" };
    let code = if ready { 200 } else { 500 };
    Answer::Text(code, format!("[+]ping ok\n{mark}\n{check} check {result}\n"))
}

fn metrics(asked: &Asked<'_>) -> String {
    let mut out = String::from("# TYPE apiserver_request_total counter\n");
    for ((client, verb, resource), count) in asked.server.requests().counts() {
        out.push_str(&format!(
            "apiserver_request_total{{client=\"{client}\",verb=\"{verb}\",resource=\"{resource}\"}} {count}\n"
        ));
    }
    out
}
