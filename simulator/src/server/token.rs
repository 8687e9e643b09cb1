//! Service account tokens: issued on request, bound to the account and perhaps a pod.

use super::core::Server;
use super::object::{name_of, text, uid_of};
use super::state::State;
use super::status::Status;
use crate::clock::rfc3339;
use crate::schema::Resource;
use crate::schema::builtin::{PODS, SECRETS, SERVICE_ACCOUNTS};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use k8s_openapi::jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use std::sync::Arc;

/// A token is issued for this long unless the request says otherwise, in seconds.
const DEFAULT_LIFE: i64 = 3600;
/// And for no shorter time than this.
const SHORTEST_LIFE: i64 = 600;
/// How many tokens are remembered once they have been read.
const KNOWN_TOKENS: usize = 4096;
/// What tokens are for unless the request says otherwise.
const AUDIENCE: &str = "https://kubernetes.default.svc.cluster.local";

/// The key tokens are signed with.
pub(crate) fn key(seed: u64) -> [u8; 32] {
    Sha256::digest(format!("service account tokens of {seed}").as_bytes()).into()
}

/// A service account, as shown by a token.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Account {
    pub(crate) namespace: String,
    pub(crate) name: String,
    pub(crate) uid: String,
}

fn sign(key: &[u8; 32], payload: &str) -> String {
    let mut hash = Sha256::new();
    hash.update(key);
    hash.update(payload.as_bytes());
    URL_SAFE_NO_PAD.encode(hash.finalize())
}

fn encode(key: &[u8; 32], claims: &Value) -> String {
    let header = URL_SAFE_NO_PAD.encode(json!({"alg": "RS256", "kid": "simulator"}).to_string());
    let payload = format!("{header}.{}", URL_SAFE_NO_PAD.encode(claims.to_string()));
    format!("{payload}.{}", sign(key, &payload))
}

fn decode(key: &[u8; 32], token: &str) -> Option<Value> {
    let (payload, signature) = token.rsplit_once('.')?;
    if sign(key, payload) != signature {
        return None;
    }
    let (_, claims) = payload.split_once('.')?;
    serde_json::from_slice(&URL_SAFE_NO_PAD.decode(claims).ok()?).ok()
}

impl Server {
    /// Answers a TokenRequest.
    pub(crate) fn issue_token(&self, namespace: &str, name: &str, request: &Value) -> Result<Value, Status> {
        let state = self.state();
        let account = state.current(&SERVICE_ACCOUNTS, namespace, name)?;
        let asked = request.pointer("/spec/expirationSeconds").and_then(Value::as_i64);
        let seconds = asked.unwrap_or(DEFAULT_LIFE);
        if seconds < SHORTEST_LIFE {
            let why = format!("Invalid value: {seconds}: may not specify a duration less than 10 minutes");
            let resource =
                Resource::builtin("authentication.k8s.io", "v1", "tokenrequests", "TokenRequest", true);
            return Err(Status::invalid(
                &resource,
                "",
                &[("spec.expirationSeconds", "FieldValueInvalid", why)],
            ));
        }
        let bound = &request["spec"]["boundObjectRef"];
        let mut kubernetes =
            json!({"namespace": namespace, "serviceaccount": {"name": name, "uid": uid_of(&account.object)}});
        if text(bound, "/kind") == "Pod" {
            let pod = state.current(&PODS, namespace, text(bound, "/name"))?;
            let (wanted, found) = (text(bound, "/uid"), uid_of(&pod.object));
            if !wanted.is_empty() && wanted != found {
                let why = format!(
                    "the UID in the bound object reference ({wanted}) does not match the UID in record. The object \
                     might have been deleted and then recreated"
                );
                return Err(Status::conflict(&PODS, name_of(&pod.object), &why));
            }
            kubernetes["pod"] = json!({"name": name_of(&pod.object), "uid": found});
        }
        drop(state);
        let audiences = match &request["spec"]["audiences"] {
            Value::Array(list) if !list.is_empty() => json!(list),
            _ => json!([AUDIENCE]),
        };
        let now = self.clock().now();
        let expires = now.checked_add(SignedDuration::from_secs(seconds)).unwrap_or(now);
        let claims = json!({
            "aud": audiences, "iss": AUDIENCE, "iat": now.as_second(), "nbf": now.as_second(),
            "exp": expires.as_second(), "sub": format!("system:serviceaccount:{namespace}:{name}"),
            "kubernetes.io": kubernetes,
        });
        Ok(json!({
            "kind": "TokenRequest", "apiVersion": "authentication.k8s.io/v1",
            "metadata": {"name": name, "namespace": namespace, "creationTimestamp": rfc3339(now)},
            "spec": {"audiences": audiences, "expirationSeconds": seconds,
                "boundObjectRef": request["spec"].get("boundObjectRef").cloned().unwrap_or(Value::Null)},
            "status": {"token": encode(&self.0.token_key, &claims), "expirationTimestamp": rfc3339(expires)},
        }))
    }

    /// A token without an end, as Secrets of service accounts hold it.
    pub(crate) fn mint_token(&self, namespace: &str, name: &str) -> Result<String, Status> {
        let account = self.state().current(&SERVICE_ACCOUNTS, namespace, name)?;
        let claims = json!({
            "iss": "kubernetes/serviceaccount", "sub": format!("system:serviceaccount:{namespace}:{name}"),
            "kubernetes.io": {"namespace": namespace,
                "serviceaccount": {"name": name, "uid": uid_of(&account.object)}},
        });
        Ok(encode(&self.0.token_key, &claims))
    }

    /// What a token says, if it is genuine. Whoever shows a token shows it again and
    /// again, and what it says never changes.
    fn claims(&self, token: &str) -> Option<Arc<Value>> {
        let mut known = self.0.tokens.lock().expect("the tokens' lock is never poisoned");
        if let Some(claims) = known.get(token) {
            return Some(claims.clone());
        }
        let claims = Arc::new(decode(&self.0.token_key, token)?);
        if known.len() >= KNOWN_TOKENS {
            known.clear();
        }
        known.insert(token.to_owned(), claims.clone());
        Some(claims)
    }

    /// Who shows this token; nobody if it is forged or has expired, or the account or pod it is
    /// bound to is gone.
    pub(crate) fn account_of(&self, state: &State, token: &str, now: Timestamp) -> Option<Account> {
        let claims = self.claims(token)?;
        if claims["exp"].as_i64().is_some_and(|end| now.as_second() >= end) {
            return None;
        }
        let bound = &claims["kubernetes.io"];
        let account = Account {
            namespace: text(bound, "/namespace").to_owned(),
            name: text(bound, "/serviceaccount/name").to_owned(),
            uid: text(bound, "/serviceaccount/uid").to_owned(),
        };
        let found = state.store.get(&SERVICE_ACCOUNTS, &account.namespace, &account.name)?;
        if uid_of(&found.object) != account.uid {
            return None;
        }
        if !bound["pod"].is_null() {
            let pod = state.store.get(&PODS, &account.namespace, text(bound, "/pod/name"))?;
            if uid_of(&pod.object) != text(bound, "/pod/uid") {
                return None;
            }
        }
        Some(account)
    }
}

/// Whether this is the token of an unexpired bootstrap Secret; answers its id.
pub(crate) fn bootstrap_token(state: &State, token: &str, now: Timestamp) -> Option<String> {
    let (id, secret) = token.split_once('.')?;
    let found = state.store.get(&SECRETS, "kube-system", &format!("bootstrap-token-{id}"))?;
    let field = |name: &str| {
        let encoded = found.object["data"][name].as_str()?;
        String::from_utf8(base64::engine::general_purpose::STANDARD.decode(encoded).ok()?).ok()
    };
    let expired =
        field("expiration").and_then(|at| crate::clock::parse_rfc3339(&at)).is_some_and(|at| at <= now);
    (field("token-secret").as_deref() == Some(secret) && !expired).then(|| id.to_owned())
}
