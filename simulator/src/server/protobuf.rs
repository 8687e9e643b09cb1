//! Bodies in protobuf, for the few kinds that kubectl's own commands send so (`create namespace`,
//! `create token`, `auth can-i`, evictions). Answers are JSON, which every client takes too.

use super::status::Status;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Map, Value, json};

/// How every such body begins.
const MAGIC: &[u8] = b"k8s\0";

/// What a field holds.
enum Holds {
    Text,
    /// A number that is left out when it is zero.
    Number,
    /// A number or truth value whose zero counts.
    Optional,
    Truth,
    Message(&'static [Field]),
    Texts,
    Messages(&'static [Field]),
    /// From text to text.
    TextMap,
    /// From text to bytes.
    ByteMap,
    /// What the server decides anyway.
    Ignored,
}

use Holds::{ByteMap, Ignored, Message, Messages, Number, Optional, Text, TextMap, Texts, Truth};

type Field = (u64, &'static str, Holds);

static OWNER: &[Field] = &[
    (1, "kind", Text),
    (3, "name", Text),
    (4, "uid", Text),
    (5, "apiVersion", Text),
    (6, "controller", Truth),
    (7, "blockOwnerDeletion", Truth),
];
static META: &[Field] = &[
    (1, "name", Text),
    (2, "generateName", Text),
    (3, "namespace", Text),
    (4, "selfLink", Ignored),
    (5, "uid", Text),
    (6, "resourceVersion", Text),
    (7, "generation", Ignored),
    (8, "creationTimestamp", Ignored),
    (11, "labels", TextMap),
    (12, "annotations", TextMap),
    (13, "ownerReferences", Messages(OWNER)),
    (14, "finalizers", Texts),
];
static NAMESPACE: &[Field] = &[(1, "metadata", Message(META)), (2, "spec", Ignored), (3, "status", Ignored)];
static CONFIG_MAP: &[Field] = &[
    (1, "metadata", Message(META)),
    (2, "data", TextMap),
    (3, "binaryData", ByteMap),
    (4, "immutable", Truth),
];
static SECRET: &[Field] = &[
    (1, "metadata", Message(META)),
    (2, "data", ByteMap),
    (3, "type", Text),
    (4, "stringData", TextMap),
    (5, "immutable", Truth),
];
static SERVICE_ACCOUNT: &[Field] =
    &[(1, "metadata", Message(META)), (4, "automountServiceAccountToken", Truth)];
static RESOURCE_WISH: &[Field] = &[
    (1, "namespace", Text),
    (2, "verb", Text),
    (3, "group", Text),
    (4, "version", Text),
    (5, "resource", Text),
    (6, "subresource", Text),
    (7, "name", Text),
];
static PATH_WISH: &[Field] = &[(1, "path", Text), (2, "verb", Text)];
static ACCESS_REVIEW: &[Field] = &[
    (1, "metadata", Message(META)),
    (
        2,
        "spec",
        Message(&[
            (1, "resourceAttributes", Message(RESOURCE_WISH)),
            (2, "nonResourceAttributes", Message(PATH_WISH)),
        ]),
    ),
    (3, "status", Ignored),
];
static RULES_REVIEW: &[Field] = &[
    (1, "metadata", Message(META)),
    (2, "spec", Message(&[(1, "namespace", Text)])),
    (3, "status", Ignored),
];
static TOKEN_REQUEST: &[Field] = &[
    (1, "metadata", Message(META)),
    (
        2,
        "spec",
        Message(&[
            (1, "audiences", Texts),
            (
                3,
                "boundObjectRef",
                Message(&[(1, "kind", Text), (2, "apiVersion", Text), (3, "name", Text), (4, "uid", Text)]),
            ),
            (4, "expirationSeconds", Optional),
        ]),
    ),
    (3, "status", Ignored),
];
static DELETE_OPTIONS: &[Field] = &[
    (1, "gracePeriodSeconds", Optional),
    (2, "preconditions", Message(&[(1, "uid", Text), (2, "resourceVersion", Text)])),
    (3, "orphanDependents", Truth),
    (4, "propagationPolicy", Text),
    (5, "dryRun", Texts),
];
static EVICTION: &[Field] = &[(1, "metadata", Message(META)), (2, "deleteOptions", Message(DELETE_OPTIONS))];
static PORT: &[Field] = &[
    (1, "name", Text),
    (2, "hostPort", Number),
    (3, "containerPort", Number),
    (4, "protocol", Text),
    (5, "hostIP", Text),
];
static CONTAINER: &[Field] = &[
    (1, "name", Text),
    (2, "image", Text),
    (3, "command", Texts),
    (4, "args", Texts),
    (5, "workingDir", Text),
    (6, "ports", Messages(PORT)),
    (7, "env", Messages(&[(1, "name", Text), (2, "value", Text)])),
    (8, "resources", Message(&[])),
    (13, "terminationMessagePath", Text),
    (14, "imagePullPolicy", Text),
    (16, "stdin", Ignored),
    (17, "stdinOnce", Ignored),
    (18, "tty", Ignored),
    (20, "terminationMessagePolicy", Text),
];
static POD_SPEC: &[Field] = &[
    (2, "containers", Messages(CONTAINER)),
    (3, "restartPolicy", Text),
    (6, "dnsPolicy", Text),
    (7, "nodeSelector", TextMap),
    (8, "serviceAccountName", Text),
    (9, "serviceAccount", Text),
    (10, "nodeName", Text),
    (11, "hostNetwork", Ignored),
    (12, "hostPID", Ignored),
    (13, "hostIPC", Ignored),
    (16, "hostname", Text),
    (17, "subdomain", Text),
    (19, "schedulerName", Text),
    (24, "priorityClassName", Text),
];
static DEPLOYMENT: &[Field] = &[
    (1, "metadata", Message(META)),
    (
        2,
        "spec",
        Message(&[
            (1, "replicas", Optional),
            (2, "selector", Message(&[(1, "matchLabels", TextMap)])),
            (3, "template", Message(&[(1, "metadata", Message(META)), (2, "spec", Message(POD_SPEC))])),
            (4, "strategy", Message(&[(1, "type", Text)])),
            (5, "minReadySeconds", Number),
            (7, "paused", Ignored),
        ]),
    ),
    (3, "status", Ignored),
];
static POD: &[Field] =
    &[(1, "metadata", Message(META)), (2, "spec", Message(POD_SPEC)), (3, "status", Ignored)];

fn fields_of(kind: &str) -> Option<&'static [Field]> {
    Some(match kind {
        "Namespace" => NAMESPACE,
        "ConfigMap" => CONFIG_MAP,
        "Secret" => SECRET,
        "ServiceAccount" => SERVICE_ACCOUNT,
        "SelfSubjectAccessReview" => ACCESS_REVIEW,
        "SelfSubjectRulesReview" => RULES_REVIEW,
        "TokenRequest" => TOKEN_REQUEST,
        "Eviction" => EVICTION,
        "DeleteOptions" => DELETE_OPTIONS,
        "Deployment" => DEPLOYMENT,
        "Pod" => POD,
        _ => return None,
    })
}

/// Reads such a body, if its kind is one of the few.
pub(crate) fn decode(body: &[u8]) -> Result<Value, Status> {
    object(body).ok_or_else(|| {
        Status::new(
            415,
            "UnsupportedMediaType",
            "the body of the request was in an unknown format - accepted media types include: application/json, \
             application/yaml",
        )
    })
}

fn object(body: &[u8]) -> Option<Value> {
    let (mut kind, mut api_version, mut raw) = (String::new(), String::new(), &[][..]);
    for part in Parts(body.strip_prefix(MAGIC)?) {
        match part? {
            (1, Part::Bytes(meta)) => {
                for part in Parts(meta) {
                    match part? {
                        (1, Part::Bytes(text)) => api_version = String::from_utf8(text.to_vec()).ok()?,
                        (2, Part::Bytes(text)) => kind = String::from_utf8(text.to_vec()).ok()?,
                        _ => return None,
                    }
                }
            }
            (2, Part::Bytes(bytes)) => raw = bytes,
            _ => {}
        }
    }
    let mut object = message(raw, fields_of(&kind)?)?;
    object["apiVersion"] = json!(api_version);
    object["kind"] = json!(kind);
    Some(object)
}

/// One field as it stands in the bytes.
enum Part<'a> {
    Number(u64),
    Bytes(&'a [u8]),
}

/// The fields of a message, one by one; `None` where the bytes make no sense.
struct Parts<'a>(&'a [u8]);

impl<'a> Parts<'a> {
    fn number(&mut self) -> Option<u64> {
        let mut value = 0u64;
        for at in 0..10 {
            let (byte, rest) = self.0.split_first()?;
            self.0 = rest;
            value |= u64::from(byte & 0x7f) << (7 * at);
            if byte & 0x80 == 0 {
                return Some(value);
            }
        }
        None
    }

    fn part(&mut self) -> Option<(u64, Part<'a>)> {
        let tag = self.number()?;
        let part = match tag & 7 {
            0 => Part::Number(self.number()?),
            2 => {
                let length = usize::try_from(self.number()?).ok()?;
                let (bytes, rest) = self.0.split_at_checked(length)?;
                self.0 = rest;
                Part::Bytes(bytes)
            }
            _ => return None,
        };
        Some((tag >> 3, part))
    }
}

impl<'a> Iterator for Parts<'a> {
    type Item = Option<(u64, Part<'a>)>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.0.is_empty() {
            return None;
        }
        let part = self.part();
        if part.is_none() {
            self.0 = &[];
        }
        Some(part)
    }
}

fn message(bytes: &[u8], fields: &'static [Field]) -> Option<Value> {
    let mut object = Map::new();
    for part in Parts(bytes) {
        let (number, part) = part?;
        // What isn't known can't be kept, and must not be lost in silence.
        let (_, name, holds) = fields.iter().find(|field| field.0 == number)?;
        field(&mut object, name, holds, &part)?;
    }
    Some(Value::Object(object))
}

fn text(bytes: &[u8]) -> Option<String> {
    String::from_utf8(bytes.to_vec()).ok()
}

fn field(object: &mut Map<String, Value>, name: &str, holds: &Holds, part: &Part<'_>) -> Option<()> {
    let value = match (holds, part) {
        (Ignored, _) | (Number, Part::Number(0)) => return Some(()),
        (Text, Part::Bytes([])) => return Some(()),
        (Text, Part::Bytes(bytes)) => json!(text(bytes)?),
        (Number | Optional, Part::Number(number)) => json!(number.cast_signed()),
        (Truth, Part::Number(number)) => json!(*number != 0),
        (Message(fields), Part::Bytes(bytes)) => message(bytes, fields)?,
        (Texts, Part::Bytes(bytes)) => return push(object, name, json!(text(bytes)?)),
        (Messages(fields), Part::Bytes(bytes)) => return push(object, name, message(bytes, fields)?),
        (TextMap | ByteMap, Part::Bytes(bytes)) => {
            let (key, value) = entry(bytes)?;
            let value = match holds {
                TextMap => text(value)?,
                _ => STANDARD.encode(value),
            };
            let map = object.entry(name).or_insert_with(|| json!({}));
            map[key] = json!(value);
            return Some(());
        }
        _ => return None,
    };
    object.insert(name.to_owned(), value);
    Some(())
}

fn push(object: &mut Map<String, Value>, name: &str, value: Value) -> Option<()> {
    object.entry(name).or_insert_with(|| json!([])).as_array_mut()?.push(value);
    Some(())
}

/// Key and value of a map's entry.
fn entry(bytes: &[u8]) -> Option<(String, &[u8])> {
    let (mut key, mut value) = (String::new(), &[][..]);
    for part in Parts(bytes) {
        match part? {
            (1, Part::Bytes(bytes)) => key = text(bytes)?,
            (2, Part::Bytes(bytes)) => value = bytes,
            _ => return None,
        }
    }
    Some((key, value))
}

#[cfg(test)]
mod tests {
    use super::decode;
    use serde_json::json;

    #[test]
    fn a_config_map_as_kubectl_sends_it() {
        let body = b"k8s\0\n\x0f\n\x02v1\x12\tConfigMap\x12\x1b\n\x11\n\x01a\x12\0\x1a\0\"\0*\x002\08\0B\0\x12\x06\n\x01a\x12\x01b\x1a\0\"\0";
        let wanted =
            json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "a"}, "data": {"a": "b"}});
        assert_eq!(decode(body).unwrap(), wanted);
    }

    #[test]
    fn broken_and_unknown_bodies_are_refused() {
        for body in [&b"k8s\0\xff"[..], b"{}", b"k8s\0\n\x08\n\x02v1\x12\x02No", b""] {
            assert_eq!(decode(body).unwrap_err().code, 415);
        }
    }
}
