//! A certificate authority for one run, and the certificate of the stub: made at the start, gone with the run.
//!
//! Functions trust it by `SSL_CERT_FILE`, which the SDK's HTTP client reads its roots from instead of the system's places.
//! The file holds the system's roots too, unless told otherwise, because reading all of them is part of what a cold start
//! costs.

use anyhow::{Context as _, Result};
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair, KeyUsagePurpose};
use std::{fs, path::Path, sync::Arc};
use tokio_rustls::rustls::{
    ServerConfig,
    pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer},
};

/// Where systems keep their roots in one file: Amazon Linux, which is what functions run on, then Debian, then others.
const ROOTS: [&str; 4] = [
    "/etc/pki/tls/certs/ca-bundle.crt",
    "/etc/ssl/certs/ca-certificates.crt",
    "/etc/ssl/cert.pem",
    "/etc/pki/ca-trust/extracted/pem/tls-ca-bundle.pem",
];

/// What the stub answers under: the name that all services but S3 are called by, and the address that keeps S3 from putting
/// its bucket before the name.
const NAMES: [&str; 2] = ["localhost", "127.0.0.1"];

/// Which roots a function is told of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Roots {
    /// The system's, and the one of this run.
    System,
    /// The one of this run alone: what a function could save that trusts few.
    Lean,
}

/// What a TLS server needs, and what its clients need to trust it.
#[derive(Debug)]
pub struct Authority {
    /// For the server. ALPN is not set.
    pub server: Arc<ServerConfig>,
    /// The authority's own certificate.
    root_pem: String,
}

impl Authority {
    /// Makes keys and certificates.
    ///
    /// # Errors
    /// The TLS library refuses.
    pub fn new(protocols: &[&str]) -> Result<Self> {
        let mut root = CertificateParams::default();
        root.distinguished_name.push(DnType::CommonName, "order pipeline bench");
        root.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
        root.key_usages = vec![KeyUsagePurpose::KeyCertSign];
        let root = CertifiedIssuer::self_signed(root, KeyPair::generate()?)?;
        let key = KeyPair::generate()?;
        let leaf = CertificateParams::new(NAMES.map(str::to_owned))?.signed_by(&key, &root)?;
        let key = PrivateKeyDer::from(PrivatePkcs8KeyDer::from(key.serialize_der()));
        let mut server = ServerConfig::builder().with_no_client_auth().with_single_cert(vec![leaf.der().clone()], key)?;
        server.alpn_protocols = protocols.iter().map(|protocol| protocol.as_bytes().to_vec()).collect();
        Ok(Self { server: Arc::new(server), root_pem: root.pem() })
    }

    /// Writes the file that `SSL_CERT_FILE` names. Returns how many roots are in it.
    ///
    /// # Errors
    /// The system has no roots in any of the usual places, or the file cannot be written.
    pub fn write_roots(&self, file: &Path, roots: Roots) -> Result<usize> {
        let mut pem = match roots {
            Roots::Lean => String::new(),
            Roots::System => {
                let found = ROOTS.iter().find_map(|place| fs::read_to_string(place).ok());
                found.context("this system keeps its root certificates in none of the usual places; run with --lean-roots")?
            }
        };
        pem.push_str(&self.root_pem);
        fs::write(file, &pem).with_context(|| format!("cannot write {}", file.display()))?;
        Ok(pem.matches("BEGIN CERTIFICATE").count())
    }
}
