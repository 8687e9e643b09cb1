//! What a URL asks for.

use std::collections::BTreeMap;

/// A path of the API, taken apart.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Route {
    /// A collection, an object or a part of one.
    Resource(ResourcePath),
    /// Anything else: discovery, health, version, schemas.
    Other,
}

/// A path to objects.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct ResourcePath {
    pub(crate) group: String,
    pub(crate) version: String,
    pub(crate) namespace: Option<String>,
    pub(crate) plural: String,
    pub(crate) name: Option<String>,
    pub(crate) subresource: String,
    /// The old `/watch/` form of a path.
    pub(crate) watch: bool,
}

impl ResourcePath {
    /// `plural`, `plural.group` and `/subresource`, as the request log and faults name it.
    pub(crate) fn label(&self) -> String {
        let mut label = self.plural.clone();
        if !self.group.is_empty() {
            label.push('.');
            label.push_str(&self.group);
        }
        if !self.subresource.is_empty() {
            label.push('/');
            label.push_str(&self.subresource);
        }
        label
    }

    /// `plural` and `/subresource`.
    pub(crate) fn short(&self) -> String {
        if self.subresource.is_empty() {
            self.plural.clone()
        } else {
            format!("{}/{}", self.plural, self.subresource)
        }
    }
}

/// Takes a path apart the way the API server does.
pub(crate) fn parse(path: &str) -> Route {
    let parts: Vec<String> = path.split('/').filter(|part| !part.is_empty()).map(percent_decode).collect();
    let mut found = ResourcePath::default();
    let mut rest: &[String] = match parts.first().map(String::as_str) {
        Some("api") if parts.len() > 2 => {
            found.version.clone_from(&parts[1]);
            &parts[2..]
        }
        Some("apis") if parts.len() > 3 => {
            found.group.clone_from(&parts[1]);
            found.version.clone_from(&parts[2]);
            &parts[3..]
        }
        _ => return Route::Other,
    };
    if rest[0] == "watch" && rest.len() > 1 {
        found.watch = true;
        rest = &rest[1..];
    }
    if rest[0] == "namespaces" && rest.len() > 2 && !["status", "finalize"].contains(&rest[2].as_str()) {
        found.namespace = Some(rest[1].clone());
        rest = &rest[2..];
    }
    found.plural.clone_from(&rest[0]);
    found.name = rest.get(1).cloned();
    found.subresource = rest.get(2..).map(|more| more.join("/")).unwrap_or_default();
    Route::Resource(found)
}

/// The parameters of a URL.
#[derive(Clone, Debug, Default)]
pub(crate) struct Query(BTreeMap<String, String>);

impl Query {
    pub(crate) fn parse(text: &str) -> Self {
        let pairs = text.split('&').filter(|pair| !pair.is_empty()).map(|pair| {
            let (key, value) = pair.split_once('=').unwrap_or((pair, ""));
            (percent_decode(&key.replace('+', " ")), percent_decode(&value.replace('+', " ")))
        });
        Self(pairs.collect())
    }

    /// The value, or the empty string.
    pub(crate) fn get(&self, key: &str) -> &str {
        self.0.get(key).map_or("", String::as_str)
    }

    pub(crate) fn has(&self, key: &str) -> bool {
        self.0.contains_key(key)
    }

    /// Whether it is `true` or `1`.
    pub(crate) fn flag(&self, key: &str) -> bool {
        ["true", "1"].contains(&self.get(key))
    }

    pub(crate) fn number(&self, key: &str) -> Option<u64> {
        self.get(key).parse().ok()
    }
}

fn percent_decode(text: &str) -> String {
    if !text.contains('%') {
        return text.to_owned();
    }
    let bytes = text.as_bytes();
    let mut out = Vec::with_capacity(bytes.len());
    let mut at = 0;
    while at < bytes.len() {
        let escaped = (bytes[at] == b'%')
            .then(|| text.get(at + 1..at + 3).and_then(|hex| u8::from_str_radix(hex, 16).ok()))
            .flatten();
        if let Some(byte) = escaped {
            out.push(byte);
            at += 3;
        } else {
            out.push(bytes[at]);
            at += 1;
        }
    }
    String::from_utf8_lossy(&out).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn resource(path: &str) -> ResourcePath {
        match parse(path) {
            Route::Resource(found) => found,
            Route::Other => panic!("{path} is not a resource's path"),
        }
    }

    #[test]
    fn namespaces_are_both_a_place_and_a_thing() {
        let pod = resource("/api/v1/namespaces/web/pods/a/eviction");
        assert_eq!((pod.namespace.as_deref(), pod.name.as_deref()), (Some("web"), Some("a")));
        assert_eq!(pod.label(), "pods/eviction");
        let namespace = resource("/api/v1/namespaces/web");
        assert_eq!((namespace.plural.as_str(), namespace.name.as_deref()), ("namespaces", Some("web")));
        assert_eq!(resource("/api/v1/namespaces/web/finalize").label(), "namespaces/finalize");
        assert_eq!(resource("/apis/apps/v1/deployments").label(), "deployments.apps");
        assert_eq!(parse("/apis/apps/v1"), Route::Other);
    }

    #[test]
    fn queries_are_decoded() {
        let query = Query::parse("labelSelector=app%3Dweb%2Ctier+in+%28a%29&watch=1");
        assert_eq!(query.get("labelSelector"), "app=web,tier in (a)");
        assert!(query.flag("watch") && !query.has("limit"));
    }
}
