//! The certificates that kubeadm leaves. Only the cluster's CA is a real one, because clients
//! pin its key; the others are there to be carried and counted.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use sha2::{Digest, Sha256};

use super::Failure;
use crate::machines::host::HostFiles;
use crate::machines::site::Site;

/// Where they lie.
pub(super) const DIRECTORY: &str = "/etc/kubernetes/pki";

/// What every control plane has in common.
pub(super) const SHARED: [&str; 8] = [
    "ca.crt",
    "ca.key",
    "etcd/ca.crt",
    "etcd/ca.key",
    "front-proxy-ca.crt",
    "front-proxy-ca.key",
    "sa.key",
    "sa.pub",
];

/// What every control plane makes for itself.
const OWN: [&str; 14] = [
    "apiserver.crt",
    "apiserver.key",
    "apiserver-etcd-client.crt",
    "apiserver-etcd-client.key",
    "apiserver-kubelet-client.crt",
    "apiserver-kubelet-client.key",
    "etcd/healthcheck-client.crt",
    "etcd/healthcheck-client.key",
    "etcd/peer.crt",
    "etcd/peer.key",
    "etcd/server.crt",
    "etcd/server.key",
    "front-proxy-client.crt",
    "front-proxy-client.key",
];

fn mode(name: &str) -> u32 {
    if name.ends_with(".key") { 0o600 } else { 0o644 }
}

fn put(files: &HostFiles, name: &str, content: &str) -> Result<(), Failure> {
    Ok(files.write(&format!("{DIRECTORY}/{name}"), content, mode(name))?)
}

/// A stand-in for a PEM file.
fn stand_in(site: &Site, name: &str, owner: &str) -> String {
    let label = match name.rsplit_once('.') {
        Some((_, "key")) => "PRIVATE KEY",
        Some((_, "pub")) => "PUBLIC KEY",
        _ => "CERTIFICATE",
    };
    let body = STANDARD.encode(site.hex_id(&format!("pki/{owner}/{name}")));
    format!("-----BEGIN {label}-----\n{body}\n-----END {label}-----\n")
}

/// Makes what all control planes share, unless it is there.
pub(super) fn make_shared(site: &Site, files: &HostFiles) -> Result<(), Failure> {
    if !files.exists(&format!("{DIRECTORY}/ca.crt")) {
        let (certificate, key) = authority(site)?;
        put(files, "ca.crt", &certificate)?;
        put(files, "ca.key", &key)?;
    }
    for name in SHARED {
        if !files.exists(&format!("{DIRECTORY}/{name}")) {
            put(files, name, &stand_in(site, name, "cluster"))?;
        }
    }
    Ok(())
}

/// Makes what a control plane has for itself.
pub(super) fn make_own(site: &Site, files: &HostFiles, owner: &str) -> Result<(), Failure> {
    OWN.iter().try_for_each(|name| put(files, name, &stand_in(site, name, owner)))
}

/// A CA whose key is the seed's, so that every run with the same seed has the same one.
fn authority(site: &Site) -> Result<(String, String), Failure> {
    let seed = hex::decode(site.hex_id("pki/ca"))?;
    // PKCS #8 of an Ed25519 key: a fixed head, then the 32 bytes.
    let mut document = hex::decode("302e020100300506032b657004220420")?;
    document.extend(seed);
    let key = rcgen::KeyPair::try_from(document.as_slice())?;
    let mut params = rcgen::CertificateParams::default();
    params.distinguished_name.push(rcgen::DnType::CommonName, "kubernetes");
    params.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
    params.not_before = rcgen::date_time_ymd(2025, 1, 1);
    params.not_after = rcgen::date_time_ymd(2045, 1, 1);
    Ok((params.self_signed(&key)?.pem(), key.serialize_pem()))
}

/// The pin of a CA certificate, as `discovery.bootstrapToken.caCertHashes` has it.
pub(crate) fn pin(certificate: &str) -> Option<String> {
    let body: String = certificate.lines().filter(|line| !line.starts_with("-----")).collect();
    let der = STANDARD.decode(body).ok()?;
    Some(format!("sha256:{}", hex::encode(Sha256::digest(public_key(&der)?))))
}

/// The SubjectPublicKeyInfo inside a certificate.
fn public_key(certificate: &[u8]) -> Option<&[u8]> {
    let (_, certificate, _) = element(certificate)?;
    let (_, mut rest, _) = element(certificate)?;
    // An optional version, then serial, algorithm, issuer, validity and subject.
    if rest.first() == Some(&0xa0) {
        rest = element(rest)?.2;
    }
    for _ in 0..5 {
        rest = element(rest)?.2;
    }
    Some(element(rest)?.0)
}

/// The first DER element: all of it, its content, and what follows.
fn element(der: &[u8]) -> Option<(&[u8], &[u8], &[u8])> {
    let first = usize::from(*der.get(1)?);
    let (head, length) = if first < 0x80 {
        (2, first)
    } else {
        let bytes = der.get(2..2 + (first & 0x7f))?;
        (2 + bytes.len(), bytes.iter().fold(0, |length, byte| length << 8 | usize::from(*byte)))
    };
    let end = head.checked_add(length)?;
    Some((der.get(..end)?, der.get(head..end)?, der.get(end..)?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_pin_is_the_digest_of_the_public_key() {
        let mut document = hex::decode("302e020100300506032b657004220420").unwrap();
        document.extend([7; 32]);
        let key = rcgen::KeyPair::try_from(document.as_slice()).unwrap();
        let certificate = rcgen::CertificateParams::default().self_signed(&key).unwrap();
        let expected = hex::encode(Sha256::digest(rcgen::PublicKeyData::subject_public_key_info(&key)));
        assert_eq!(pin(&certificate.pem()), Some(format!("sha256:{expected}")));
    }
}
