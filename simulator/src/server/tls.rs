//! The certificates of a served cluster: its authority, the server and the administrator.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, DistinguishedName, DnType, ExtendedKeyUsagePurpose,
    IsCa, KeyPair, KeyUsagePurpose,
};
use rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer};
use rustls::server::WebPkiClientVerifier;
use rustls::{RootCertStore, ServerConfig};
use std::sync::Arc;

/// Why no certificates could be made.
#[derive(Debug, thiserror::Error)]
pub enum PkiError {
    /// A certificate could not be made.
    #[error("a certificate could not be made")]
    Certificate(#[from] rcgen::Error),
    /// The certificates could not be used.
    #[error("the certificates could not be used for TLS")]
    Tls(#[from] rustls::Error),
    /// Client certificates could not be checked.
    #[error("client certificates could not be checked")]
    Verifier(#[from] rustls::server::VerifierBuilderError),
}

/// The certificates of a served cluster.
pub struct Pki {
    /// The authority's certificate, PEM.
    pub ca: String,
    client: String,
    client_key: String,
    server: CertificateDer<'static>,
    server_key: Vec<u8>,
    ca_der: CertificateDer<'static>,
}

impl Pki {
    /// An authority, a server certificate for these names and addresses, and one for an
    /// administrator.
    pub fn generate(hosts: &[String]) -> Result<Self, PkiError> {
        let mut params = CertificateParams::default();
        params.distinguished_name = named("kubernetes", None);
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::DigitalSignature];
        let authority = CertifiedIssuer::self_signed(params, KeyPair::generate()?)?;

        let server_key = KeyPair::generate()?;
        let mut params = CertificateParams::new(hosts.to_vec())?;
        params.distinguished_name = named("kube-apiserver", None);
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
        let server = params.signed_by(&server_key, &authority)?;

        let client_key = KeyPair::generate()?;
        let mut params = CertificateParams::default();
        params.distinguished_name = named("kubernetes-admin", Some("system:masters"));
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
        let client = params.signed_by(&client_key, &authority)?;

        Ok(Self {
            ca: authority.pem(),
            client: client.pem(),
            client_key: client_key.serialize_pem(),
            server: server.der().clone(),
            server_key: server_key.serialize_der(),
            ca_der: authority.der().clone(),
        })
    }

    /// A kubeconfig with everything in it, for a server at this URL.
    pub fn kubeconfig(&self, url: &str) -> String {
        let encode = |text: &str| STANDARD.encode(text);
        format!(
            "apiVersion: v1\nkind: Config\ncurrent-context: simulator\nclusters:\n- name: simulator\n  cluster:\n    \
             server: {url}\n    certificate-authority-data: {}\ncontexts:\n- name: simulator\n  context:\n    cluster: \
             simulator\n    user: kubernetes-admin\nusers:\n- name: kubernetes-admin\n  user:\n    \
             client-certificate-data: {}\n    client-key-data: {}\n",
            encode(&self.ca),
            encode(&self.client),
            encode(&self.client_key),
        )
    }

    /// The server's side of TLS: HTTP/2 or HTTP/1.1, client certificates welcome and not required.
    pub(crate) fn server_config(&self) -> Result<ServerConfig, PkiError> {
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let mut roots = RootCertStore::empty();
        roots.add(self.ca_der.clone())?;
        let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider.clone())
            .allow_unauthenticated()
            .build()?;
        let key = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(self.server_key.clone()));
        let mut config = ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()?
            .with_client_cert_verifier(verifier)
            .with_single_cert(vec![self.server.clone()], key)?;
        config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
        Ok(config)
    }
}

fn named(common_name: &str, organization: Option<&str>) -> DistinguishedName {
    let mut name = DistinguishedName::new();
    if let Some(organization) = organization {
        name.push(DnType::OrganizationName, organization);
    }
    name.push(DnType::CommonName, common_name);
    name
}
