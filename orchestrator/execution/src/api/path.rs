//! Where objects live.

use replank_planning::object::{Kind, ObjectRef, Scope};

/// The collection of a kind; with an empty namespace the objects of all namespaces.
pub fn collection(kind: &Kind, namespace: &str) -> String {
    let root = if kind.group.is_empty() {
        format!("/api/{}", kind.version)
    } else {
        format!("/apis/{}/{}", kind.group, kind.version)
    };
    if namespace.is_empty() || kind.scope == Scope::Cluster {
        format!("{root}/{}", kind.plural)
    } else {
        format!("{root}/namespaces/{}/{}", encode(namespace), kind.plural)
    }
}

/// One object.
pub fn object(reference: &ObjectRef) -> String {
    format!("{}/{}", collection(&reference.kind, &reference.namespace), encode(&reference.name))
}

/// A Node.
pub fn node(name: &str) -> String {
    format!("/api/v1/nodes/{}", encode(name))
}

/// An object of the core group in a namespace.
pub fn core(namespace: &str, plural: &str, name: &str) -> String {
    format!("/api/v1/namespaces/{}/{plural}/{}", encode(namespace), encode(name))
}

/// A field selector for a query, such as `spec.nodeName=worker-1`.
pub fn fields(selector: &str) -> String {
    format!("fieldSelector={}", encode(selector))
}

/// A label selector for a query.
pub fn labels(selector: &str) -> String {
    format!("labelSelector={}", encode(selector))
}

/// A path with the parts of its query that are not empty.
pub fn with_query(path: &str, parts: &[&str]) -> String {
    let parts: Vec<&str> = parts.iter().filter(|p| !p.is_empty()).copied().collect();
    if parts.is_empty() { path.to_owned() } else { format!("{path}?{}", parts.join("&")) }
}

/// Percent-encodes one component.
pub fn encode(text: &str) -> String {
    use std::fmt::Write as _;
    let mut out = String::with_capacity(text.len());
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.' | b'~') {
            out.push(char::from(byte));
        } else {
            let _ = write!(out, "%{byte:02X}");
        }
    }
    out
}
