//! A program's surroundings: identity, environment variables, mounted files.

use std::collections::BTreeMap;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};

use super::node::Session;
use super::pod::PodWorker;
use crate::machines::api::{ApiFailure, core, text};
use crate::machines::container_files::ContainerFiles;
use crate::machines::host::HostFiles;

const TOKEN_DIRECTORY: &str = "/var/run/secrets/kubernetes.io/serviceaccount";
const API_SERVER_MANIFEST: &str = "/etc/kubernetes/manifests/kube-apiserver.yaml";
/// What the API server makes of the kubelet's usual hour, so that old clients keep working.
const TOKEN_SECONDS: u64 = 31_536_000;

/// What a program gets beside its pod.
pub(super) struct Surroundings {
    pub(super) client: kube::Client,
    pub(super) env: BTreeMap<String, String>,
    pub(super) command: Vec<String>,
    pub(super) args: Vec<String>,
    pub(super) files: ContainerFiles,
}

/// Resolves everything that a container's specification refers to.
pub(super) async fn of(
    session: &mut Session,
    worker: &mut PodWorker,
    spec: &Value,
) -> Result<Surroundings, ApiFailure> {
    let (client, token) = identity(session, worker).await?;
    let env = variables(session, worker, spec).await?;
    let words = |key: &str| -> Vec<String> {
        let words = spec[key].as_array().into_iter().flatten().filter_map(Value::as_str);
        words.map(|word| expand(word, &env)).collect()
    };
    let files = mounts(session, worker, spec, &token).await?;
    Ok(Surroundings { command: words("command"), args: words("args"), client, env, files })
}

/// A client with the pod's identity, and its token.
async fn identity(session: &Session, worker: &mut PodWorker) -> Result<(kube::Client, String), ApiFailure> {
    if let Some(known) = &worker.client {
        return Ok(known.clone());
    }
    let (namespace, name) = worker.full_name();
    let access = &session.machine.site.access;
    let agent = format!("{namespace}/{name}");
    let known = if worker.is_static() {
        let client = access.client(&agent);
        let local = session.machine.host.files().exists(API_SERVER_MANIFEST);
        (if local { session.machine.local_api.guard(client) } else { client }, String::new())
    } else {
        let account = match text(&worker.pod, "/spec/serviceAccountName") {
            "" => "default",
            account => account,
        };
        let request = json!({
            "apiVersion": "authentication.k8s.io/v1",
            "kind": "TokenRequest",
            "spec": {
                "audiences": [],
                "expirationSeconds": TOKEN_SECONDS,
                "boundObjectRef": {"apiVersion": "v1", "kind": "Pod", "name": name, "uid": worker.uid()},
            },
        });
        let path = format!("{}/token", core(&namespace, "serviceaccounts", account));
        let answer = session.api.create(&path, &request).await?;
        let token = text(&answer, "/status/token").to_owned();
        (access.client_with_token(&agent, &token), token)
    };
    worker.client = Some(known.clone());
    Ok(known)
}

async fn variables(
    session: &Session,
    worker: &PodWorker,
    spec: &Value,
) -> Result<BTreeMap<String, String>, ApiFailure> {
    let (namespace, _) = worker.full_name();
    let mut env = BTreeMap::new();
    for source in spec["envFrom"].as_array().into_iter().flatten() {
        let prefix = text(source, "/prefix");
        for (plural, key) in [("configmaps", "configMapRef"), ("secrets", "secretRef")] {
            let reference = &source[key];
            if reference.is_object() {
                let optional = reference["optional"] == true;
                let data = data(session, &namespace, plural, text(reference, "/name"), optional).await?;
                for (name, value) in data {
                    env.insert(format!("{prefix}{name}"), String::from_utf8_lossy(&value).into_owned());
                }
            }
        }
    }
    for entry in spec["env"].as_array().into_iter().flatten() {
        let name = text(entry, "/name").to_owned();
        let from = &entry["valueFrom"];
        let value = if let Some(path) = from["fieldRef"]["fieldPath"].as_str() {
            Some(field(session, worker, path))
        } else if let Some(resource) = from["resourceFieldRef"]["resource"].as_str() {
            Some(spec.pointer(&format!("/resources/{}", resource.replace('.', "/"))).map_or_else(
                || "0".to_owned(),
                |value| value.as_str().map_or_else(|| value.to_string(), str::to_owned),
            ))
        } else if from["configMapKeyRef"].is_object() {
            key_of(session, &namespace, "configmaps", &from["configMapKeyRef"]).await?
        } else if from["secretKeyRef"].is_object() {
            key_of(session, &namespace, "secrets", &from["secretKeyRef"]).await?
        } else {
            Some(expand(text(entry, "/value"), &env))
        };
        if let Some(value) = value {
            env.insert(name, value);
        }
    }
    Ok(env)
}

async fn key_of(
    session: &Session,
    namespace: &str,
    plural: &str,
    reference: &Value,
) -> Result<Option<String>, ApiFailure> {
    let optional = reference["optional"] == true;
    let name = text(reference, "/name");
    let key = text(reference, "/key");
    let data = data(session, namespace, plural, name, optional).await?;
    match data.get(key) {
        Some(value) => Ok(Some(String::from_utf8_lossy(value).into_owned())),
        None if optional => Ok(None),
        None => Err(absent(format!("couldn't find key {key} in {plural} {namespace}/{name}"))),
    }
}

fn absent(message: String) -> ApiFailure {
    ApiFailure::Status { code: 404, reason: "NotFound".to_owned(), message }
}

/// What a ConfigMap or Secret holds; nothing if it is optional and absent.
pub(super) async fn data(
    session: &Session,
    namespace: &str,
    plural: &str,
    name: &str,
    optional: bool,
) -> Result<BTreeMap<String, Vec<u8>>, ApiFailure> {
    let object = match session.api.get(&core(namespace, plural, name)).await {
        Ok(object) => object,
        Err(failure) if failure.is_not_found() && optional => return Ok(BTreeMap::new()),
        Err(failure) if failure.is_not_found() => {
            let kind = plural.trim_end_matches('s');
            return Err(absent(format!("{kind} \"{name}\" not found")));
        }
        Err(failure) => return Err(failure),
    };
    let decode = |value: &str| STANDARD.decode(value).unwrap_or_default();
    let mut data = BTreeMap::new();
    for (key, value) in object["data"].as_object().into_iter().flatten() {
        let value = value.as_str().unwrap_or_default();
        data.insert(key.clone(), if plural == "secrets" { decode(value) } else { value.as_bytes().to_vec() });
    }
    for (key, value) in object["binaryData"].as_object().into_iter().flatten() {
        data.insert(key.clone(), decode(value.as_str().unwrap_or_default()));
    }
    Ok(data)
}

/// A field of the downward API.
fn field(session: &Session, worker: &PodWorker, path: &str) -> String {
    let addresses = || worker.sandbox.as_ref().map(|sandbox| sandbox.addresses.clone()).unwrap_or_default();
    let joined = |all: Vec<String>| all.join(",");
    match path {
        "spec.nodeName" => session.node.clone(),
        "status.hostIP" => session.host_addresses().first().cloned().unwrap_or_default(),
        "status.hostIPs" => joined(session.host_addresses()),
        "status.podIP" => addresses().first().map(ToString::to_string).unwrap_or_default(),
        "status.podIPs" => joined(addresses().iter().map(ToString::to_string).collect()),
        path => {
            if let Some((map, key)) = path.strip_suffix("']").and_then(|path| path.split_once("['")) {
                let map = map.rsplit('.').next().unwrap_or_default();
                return worker.pod["metadata"][map][key].as_str().unwrap_or_default().to_owned();
            }
            let pointer = format!("/{}", path.replace('.', "/"));
            text(&worker.pod, &pointer).to_owned()
        }
    }
}

/// `$(NAME)` replaced by the variable's value, where there is one.
fn expand(word: &str, env: &BTreeMap<String, String>) -> String {
    let mut expanded = String::new();
    let mut rest = word;
    while let Some(at) = rest.find("$(") {
        let Some(end) = rest[at..].find(')') else { break };
        let name = &rest[at + 2..at + end];
        expanded.push_str(&rest[..at]);
        match env.get(name) {
            Some(value) => expanded.push_str(value),
            None => expanded.push_str(&rest[at..=at + end]),
        }
        rest = &rest[at + end + 1..];
    }
    expanded.push_str(rest);
    expanded
}

async fn mounts(
    session: &Session,
    worker: &mut PodWorker,
    spec: &Value,
    token: &str,
) -> Result<ContainerFiles, ApiFailure> {
    let mut files = ContainerFiles::new();
    let (namespace, _) = worker.full_name();
    let mut has_token = false;
    for mount in spec["volumeMounts"].as_array().into_iter().flatten() {
        let name = text(mount, "/name");
        let at = text(mount, "/mountPath");
        has_token |= at == TOKEN_DIRECTORY;
        let volumes = worker.pod["spec"]["volumes"].as_array();
        let Some(volume) = volumes.into_iter().flatten().find(|volume| volume["name"] == name).cloned()
        else {
            continue;
        };
        let inner = text(mount, "/subPath").to_owned();
        let read_only = mount["readOnly"] == true;
        if let Some(path) = volume["hostPath"]["path"].as_str() {
            let source = format!("{path}/{inner}");
            files.mount(at, session.machine.host.files().clone(), &source, read_only);
            continue;
        }
        let content = volume_files(session, worker, &namespace, &volume, token).await?;
        files.mount(at, content, &format!("/{inner}"), read_only && volume["emptyDir"].is_null());
    }
    if !has_token && !token.is_empty() && worker.pod["spec"]["automountServiceAccountToken"] != false {
        files.mount(TOKEN_DIRECTORY, token_files(session, &namespace, token), "/", true);
    }
    Ok(files)
}

fn put(files: &HostFiles, path: &str, content: impl AsRef<[u8]>) {
    // A fresh filesystem has nothing in the way but what the volume itself says twice.
    let _ = files.write(path, content, 0o644);
}

fn token_files(session: &Session, namespace: &str, token: &str) -> HostFiles {
    let files = HostFiles::new();
    let authority = session.machine.host.files().read_text("/etc/kubernetes/pki/ca.crt").unwrap_or_default();
    put(&files, "/token", token);
    put(&files, "/namespace", namespace);
    put(&files, "/ca.crt", authority);
    files
}

async fn volume_files(
    session: &Session,
    worker: &mut PodWorker,
    namespace: &str,
    volume: &Value,
    token: &str,
) -> Result<HostFiles, ApiFailure> {
    let name = text(volume, "/name").to_owned();
    for (plural, key, reference) in
        [("configmaps", "configMap", "/name"), ("secrets", "secret", "/secretName")]
    {
        let source = &volume[key];
        if source.is_object() {
            let data =
                data(session, namespace, plural, text(source, reference), source["optional"] == true).await?;
            let files = HostFiles::new();
            place(&files, data, source);
            return Ok(files);
        }
    }
    if let Some(sources) = volume["projected"]["sources"].as_array() {
        let files = HostFiles::new();
        for source in sources {
            if let Some(path) = source["serviceAccountToken"]["path"].as_str() {
                put(&files, path, token);
            }
            for (plural, key) in [("configmaps", "configMap"), ("secrets", "secret")] {
                if source[key].is_object() {
                    // The cluster's CA appears a moment after its namespace.
                    let optional =
                        source[key]["optional"] == true || source[key]["name"] == "kube-root-ca.crt";
                    let name = text(&source[key], "/name");
                    place(&files, data(session, namespace, plural, name, optional).await?, &source[key]);
                }
            }
            for item in source["downwardAPI"]["items"].as_array().into_iter().flatten() {
                let value = field(session, worker, text(item, "/fieldRef/fieldPath"));
                put(&files, text(item, "/path"), value);
            }
        }
        return Ok(files);
    }
    Ok(worker.scratch.entry(name).or_default().clone())
}

/// Puts keys in place, renamed by `items` if there are any.
fn place(files: &HostFiles, data: BTreeMap<String, Vec<u8>>, source: &Value) {
    match source["items"].as_array().filter(|items| !items.is_empty()) {
        Some(items) => {
            for item in items {
                if let Some(content) = data.get(text(item, "/key")) {
                    put(files, text(item, "/path"), content);
                }
            }
        }
        None => {
            for (key, content) in data {
                put(files, &key, content);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn references_to_variables_are_expanded() {
        let env = BTreeMap::from([("NODE".to_owned(), "w1".to_owned())]);
        assert_eq!(expand("--n=$(NODE)/$(OTHER)$", &env), "--n=w1/$(OTHER)$");
    }
}
