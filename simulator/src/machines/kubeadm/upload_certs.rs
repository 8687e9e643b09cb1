//! The Secret through which control planes share their certificates for two hours.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use k8s_openapi::jiff::ToSpan;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use super::config::documents;
use super::pki::{DIRECTORY, SHARED};
use super::{Done, Failure, Kubeadm, flag};
use crate::clock::rfc3339;
use crate::machines::api::core;

const SECRET: &str = "kubeadm-certs";

impl Kubeadm<'_> {
    /// `kubeadm init phase upload-certs`.
    pub(super) async fn upload_certs(&self, flags: &[&str]) -> Done {
        if !flags.contains(&"--upload-certs") {
            return Ok("[upload-certs] Skipping phase. Please see --upload-certs\n".to_owned());
        }
        let configured = self.configured_key(flags)?;
        let key = match flag(flags, "--certificate-key").map(str::to_owned).or(configured) {
            Some(key) => key,
            None => {
                self.machine.site.hex_id(&format!("certificate-key/{}", self.machine.site.clock.micro_now()))
            }
        };
        self.store_certs(&key).await?;
        Ok(format!(
            "[upload-certs] Storing the certificates in Secret \"{SECRET}\" in the \"kube-system\" Namespace\n\
             [upload-certs] Using certificate key:\n{key}\n"
        ))
    }

    /// The key in the `InitConfiguration` of `--config`.
    fn configured_key(&self, flags: &[&str]) -> Result<Option<String>, Failure> {
        let Some(path) = flag(flags, "--config") else { return Ok(None) };
        let content = self
            .machine
            .host
            .files()
            .read_text(path)
            .ok_or_else(|| format!("unable to read config from \"{path}\": no such file or directory"))?;
        let documents = documents(&content)?;
        let key = documents.get("InitConfiguration").and_then(|d| d["certificateKey"].as_str());
        Ok(key.map(str::to_owned))
    }

    /// Stores the shared certificates, locked with a key.
    pub(super) async fn store_certs(&self, key: &str) -> Result<(), Failure> {
        let key = decoded(key)?;
        let files = self.machine.host.files();
        let mut data = serde_json::Map::new();
        for name in SHARED {
            let path = format!("{DIRECTORY}/{name}");
            let file = files.read(&path).ok_or_else(|| format!("the file \"{path}\" does not exist"))?;
            data.insert(secret_key(name), json!(STANDARD.encode(lock(&key, name, &file.content))));
        }
        // The Secret goes with a token that lives two hours.
        let token = self.unused_token().await?;
        let (id, secret) = (&token[..6], &token[6..22]);
        let expiry = self.machine.site.clock.now().checked_add(2.hours())?;
        let owner = json!({
            "apiVersion": "v1", "kind": "Secret", "type": "bootstrap.kubernetes.io/token",
            "metadata": {"name": format!("bootstrap-token-{id}"), "namespace": "kube-system"},
            "data": {
                "token-id": STANDARD.encode(id),
                "token-secret": STANDARD.encode(secret),
                "expiration": STANDARD.encode(rfc3339(expiry)),
                "description": STANDARD.encode("Proxy for managing TTL for the kubeadm-certs secret"),
            },
        });
        let collection = core("kube-system", "secrets", "");
        let owner = self.api.create(&collection, &owner).await?;
        let certs = json!({
            "apiVersion": "v1", "kind": "Secret", "type": "Opaque",
            "metadata": {
                "name": SECRET, "namespace": "kube-system",
                "ownerReferences": [{
                    "apiVersion": "v1", "kind": "Secret", "name": owner["metadata"]["name"],
                    "uid": owner["metadata"]["uid"], "controller": true, "blockOwnerDeletion": true,
                }],
            },
            "data": data,
        });
        Ok(self.api.create_or_replace(&collection, &certs).await?)
    }

    /// A token that is nobody's yet: two uploads at one moment have two.
    async fn unused_token(&self) -> Result<String, Failure> {
        let now = self.machine.site.clock.micro_now();
        let mut at = 0_u32;
        loop {
            let token = self.machine.site.hex_id(&format!("certs-token/{now}/{at}"));
            let name = format!("bootstrap-token-{}", &token[..6]);
            if self.api.find(&core("kube-system", "secrets", &name)).await?.is_none() {
                return Ok(token);
            }
            at += 1;
        }
    }

    /// Fetches the shared certificates with the key that locked them.
    pub(super) async fn fetch_certs(&self, key: &str) -> Result<(), Failure> {
        let missing = "download-certs: error downloading certs: Secret \"kubeadm-certs\" was not found in the \
            \"kube-system\" Namespace. This Secret might have expired. Please, run `kubeadm init phase upload-certs \
            --upload-certs` on a control plane to generate a new one";
        let (api, path) = (&self.api, &core("kube-system", "secrets", SECRET));
        let found = self.patiently("download-certs", || async move { api.find(path).await }).await?;
        let secret: Value = found.ok_or(missing)?;
        let key = decoded(key)?;
        for name in SHARED {
            let content = STANDARD.decode(secret["data"][secret_key(name)].as_str().unwrap_or_default())?;
            let content = unlock(&key, name, &content)
                .ok_or("download-certs: error decoding secret data with provided key: cipher: message authentication failed")?;
            let mode = if name.ends_with(".key") { 0o600 } else { 0o644 };
            self.write(&format!("{DIRECTORY}/{name}"), content, mode)?;
        }
        Ok(())
    }
}

fn secret_key(name: &str) -> String {
    name.replace('/', "-")
}

fn decoded(key: &str) -> Result<Vec<u8>, Failure> {
    let bytes = hex::decode(key).ok().filter(|bytes| bytes.len() == 32);
    bytes.ok_or_else(|| Failure::from("the certificate key must be 32 bytes in hex"))
}

/// A key stream from a digest, enough to make a wrong key fail; these secrets guard nothing.
fn scrambled(key: &[u8], name: &str, content: &[u8]) -> Vec<u8> {
    let stream = (0_u32..).flat_map(|block| {
        let mut hasher = Sha256::new();
        hasher.update(key);
        hasher.update(name.as_bytes());
        hasher.update(block.to_be_bytes());
        hasher.finalize()
    });
    content.iter().zip(stream).map(|(byte, pad)| byte ^ pad).collect()
}

fn tag(key: &[u8], content: &[u8]) -> Vec<u8> {
    Sha256::new().chain_update(key).chain_update(content).finalize().to_vec()
}

fn lock(key: &[u8], name: &str, content: &[u8]) -> Vec<u8> {
    let mut locked = scrambled(key, name, content);
    locked.extend(tag(key, content));
    locked
}

fn unlock(key: &[u8], name: &str, locked: &[u8]) -> Option<Vec<u8>> {
    let (body, seal) = locked.split_at_checked(locked.len().checked_sub(32)?)?;
    let content = scrambled(key, name, body);
    (tag(key, &content) == seal).then_some(content)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_right_key_opens() {
        let locked = lock(&[1; 32], "ca.key", b"secret");
        assert_eq!(unlock(&[1; 32], "ca.key", &locked).as_deref(), Some(b"secret".as_slice()));
        assert_eq!(unlock(&[2; 32], "ca.key", &locked), None);
        assert_eq!(unlock(&[1; 32], "ca.key", b"short"), None);
    }
}
