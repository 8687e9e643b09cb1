//! The cluster's CA, and the pin of its public key.

use crate::api::path;
use crate::engine::{StepContext, StepError};
use crate::steps::support::text;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use replank_planning::yaml;
use serde_json::Value;
use sha2::{Digest, Sha256};

/// What a joining machine checks the API server by.
pub struct Authority {
    /// `sha256:` and the digest of the CA's public key.
    pub pin: String,
}

/// Reads the CA from `kube-public/cluster-info`, over our own authenticated connection.
///
/// # Errors
/// When it is not there or not understood.
pub async fn read(cx: &StepContext<'_>) -> Result<Authority, StepError> {
    of(cx.find(&place()).await?)
}

/// Where the CA is shown to everybody.
pub fn place() -> String {
    path::core("kube-public", "configmaps", "cluster-info")
}

/// The CA in what [`place`] holds.
///
/// # Errors
/// When it is not there or not understood.
pub fn of(map: Option<Value>) -> Result<Authority, StepError> {
    let unread = |why: &str| StepError::changed("ConfigMap kube-public/cluster-info", why);
    let map = map.ok_or_else(|| unread("it is gone; `kubeadm init phase bootstrap-token` makes it"))?;
    let config =
        yaml::read(text(&map, "/data/kubeconfig")).map_err(|_| unread("its kubeconfig is not YAML"))?;
    let data = text(&config, "/clusters/0/cluster/certificate-authority-data");
    let pem = STANDARD.decode(data).map_err(|_| unread("its CA is not base64"))?;
    let pem = String::from_utf8(pem).map_err(|_| unread("its CA is not PEM"))?;
    let pin = pin(&pem).ok_or_else(|| unread("its CA is no certificate"))?;
    Ok(Authority { pin })
}

/// The digest of a certificate's SubjectPublicKeyInfo, as kubeadm writes pins.
pub fn pin(pem: &str) -> Option<String> {
    let body = pem.split_once("-----BEGIN CERTIFICATE-----")?.1.split_once("-----END CERTIFICATE-----")?.0;
    let der = STANDARD.decode(body.split_whitespace().collect::<String>()).ok()?;
    let key = public_key(&der)?;
    Some(format!("sha256:{}", hex::encode(Sha256::digest(key))))
}

const SEQUENCE: u8 = 0x30;
const VERSION: u8 = 0xa0;

/// Certificate → TBSCertificate → (version), serial, algorithm, issuer, validity, subject, key.
fn public_key(der: &[u8]) -> Option<&[u8]> {
    let (certificate, _) = enter(der)?;
    let (fields, _) = enter(certificate)?;
    let mut rest = fields;
    if *rest.first()? == VERSION {
        rest = skip(rest)?;
    }
    for _ in 0..5 {
        rest = skip(rest)?;
    }
    let after = skip(rest)?;
    (*rest.first()? == SEQUENCE).then(|| &rest[..rest.len() - after.len()])
}

/// The content of the first value, and what follows the value.
fn enter(der: &[u8]) -> Option<(&[u8], &[u8])> {
    let (&first, rest) = der.get(1..)?.split_first()?;
    let (length, rest) = if first < 0x80 {
        (usize::from(first), rest)
    } else {
        let count = usize::from(first & 0x7f);
        if count == 0 || count > 4 {
            return None;
        }
        let (bytes, rest) = rest.split_at_checked(count)?;
        (bytes.iter().fold(0, |n, b| n << 8 | usize::from(*b)), rest)
    };
    rest.split_at_checked(length)
}

fn skip(der: &[u8]) -> Option<&[u8]> {
    enter(der).map(|(_, after)| after)
}

#[cfg(test)]
mod tests {
    #[test]
    fn nonsense_is_no_certificate() {
        assert_eq!(super::pin("hello"), None);
        assert_eq!(super::public_key(&[0x30, 0x84, 0xff]), None);
    }
}
