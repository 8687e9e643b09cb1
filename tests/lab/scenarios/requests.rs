//! What a run asks of the API server, by verb, as the client's log tells it.

use std::collections::BTreeMap;
use std::fmt;

/// What makes the client tell, for `REPLANK_LOG`.
pub(crate) const LOG: &str = "warn,kube_client::client::builder=debug";

/// How often which verb was sent.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Requests(BTreeMap<&'static str, u32>);

impl Requests {
    /// Those that a log tells of.
    pub(crate) fn add(&mut self, log: &str) {
        for line in log.lines().filter(|line| is_one(line)) {
            if let Some(verb) = verb(line) {
                *self.0.entry(verb).or_default() += 1;
            }
        }
    }
}

/// Whether a line of the log tells of a request.
pub(crate) fn is_one(line: &str) -> bool {
    line.ends_with("requesting")
}

fn verb(line: &str) -> Option<&'static str> {
    let field = |name: &str| {
        let (_, rest) = line.split_once(name)?;
        rest.split([' ', '}']).next()
    };
    let url = field("http.url=")?;
    match field("http.method=")? {
        "GET" if url.contains("watch=") => Some("watch"),
        "GET" if is_collection(url) => Some("list"),
        "GET" => Some("get"),
        "POST" => Some("create"),
        "PUT" => Some("update"),
        "PATCH" => Some("patch"),
        "DELETE" => Some("delete"),
        _ => None,
    }
}

fn is_collection(url: &str) -> bool {
    let path = url.split('?').next().unwrap_or_default();
    let segments = path.split('/').skip_while(|segment| !["api", "apis"].contains(segment));
    let segments: Vec<&str> = segments.collect();
    let root = if segments.first() == Some(&"api") { 2 } else { 3 };
    match segments.get(root..) {
        Some(["namespaces", _, plural @ ..]) if !plural.is_empty() => plural.len() == 1,
        Some(rest) => rest.len() == 1,
        None => false,
    }
}

impl fmt::Display for Requests {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let all: u32 = self.0.values().sum();
        let each: Vec<String> = self.0.iter().map(|(verb, count)| format!("{verb} {count}")).collect();
        write!(f, "{all} API requests ({})", each.join(", "))
    }
}

#[test]
fn requests_are_counted_by_verb() {
    let line = |method: &str, url: &str| {
        format!(
            "2026-01-01T00:00:00Z DEBUG HTTP{{http.method={method} http.url=https://127.0.0.1:1{url} otel.name=\"HTTP\"}}: \
             kube_client::client::builder: requesting\n"
        )
    };
    let log = [
        line("GET", "/api/v1/nodes?watch=true&resourceVersion=5"),
        line("GET", "/api/v1/namespaces"),
        line("GET", "/api/v1/namespaces/a"),
        line("GET", "/api/v1/namespaces/a/pods?limit=500"),
        line("GET", "/apis/apps/v1/namespaces/a/deployments/b"),
        line("PATCH", "/api/v1/nodes/n/status"),
        "something else\n".to_owned(),
    ];
    let mut requests = Requests::default();
    requests.add(&log.concat());
    assert_eq!(requests.0, BTreeMap::from([("get", 2), ("list", 2), ("patch", 1), ("watch", 1)]));
    assert_eq!(requests.to_string(), "6 API requests (get 2, list 2, patch 1, watch 1)");
}
