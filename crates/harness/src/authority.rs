//! Certificates for tests, made anew each time: an authority, and what it signs. Nothing of it is ever committed.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use rcgen::{
    BasicConstraints, CertificateParams, DistinguishedName, DnType, ExtendedKeyUsagePurpose, IsCa,
    Issuer, KeyPair, SanType,
};
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{ClientConfig, RootCertStore, SupportedProtocolVersion};

/// An authority that signs certificates.
pub struct Authority {
    issuer: Issuer<'static, KeyPair>,
    certificate: String,
}

/// A certificate and its key, PEM.
#[derive(Debug, Clone)]
pub struct Signed {
    /// The certificate.
    pub certificate: String,
    /// Its key.
    pub key: String,
}

impl Authority {
    /// A new one.
    #[expect(clippy::new_without_default, reason = "each is another one")]
    pub fn new() -> Self {
        let mut params = CertificateParams::default();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.distinguished_name = called("test authority");
        let key = KeyPair::generate().expect("a key");
        let certificate = params.self_signed(&key).expect("a certificate").pem();
        Self {
            issuer: Issuer::new(params, key),
            certificate,
        }
    }

    /// Its own certificate, PEM.
    pub fn certificate(&self) -> &str {
        &self.certificate
    }

    /// A certificate for a server on this machine.
    pub fn server(&self) -> Signed {
        self.sign(
            "localhost",
            &["localhost"],
            ExtendedKeyUsagePurpose::ServerAuth,
        )
    }

    /// A certificate for a server on this machine that ended with the year 2020.
    pub fn expired_server(&self) -> Signed {
        let mut params = params(
            "localhost",
            &["localhost"],
            ExtendedKeyUsagePurpose::ServerAuth,
        );
        params.not_before = rcgen::date_time_ymd(2020, 1, 1);
        params.not_after = rcgen::date_time_ymd(2021, 1, 1);
        self.sign_params(&params)
    }

    /// A certificate for a client: the common name, and the DNS names among the alternative names.
    pub fn client(&self, common: &str, alternatives: &[&str]) -> Signed {
        self.sign(common, alternatives, ExtendedKeyUsagePurpose::ClientAuth)
    }

    fn sign(&self, common: &str, names: &[&str], purpose: ExtendedKeyUsagePurpose) -> Signed {
        self.sign_params(&params(common, names, purpose))
    }

    fn sign_params(&self, params: &CertificateParams) -> Signed {
        let key = KeyPair::generate().expect("a key");
        let certificate = params.signed_by(&key, &self.issuer).expect("a certificate");
        Signed {
            certificate: certificate.pem(),
            key: key.serialize_pem(),
        }
    }

    /// How a client connects that believes this authority, with a certificate of its own if it has one.
    pub fn client_config(&self, own: Option<&Signed>) -> Arc<ClientConfig> {
        self.client_config_for(own, rustls::DEFAULT_VERSIONS)
    }

    /// The same, with these versions of TLS only.
    pub fn client_config_for(
        &self,
        own: Option<&Signed>,
        versions: &[&'static SupportedProtocolVersion],
    ) -> Arc<ClientConfig> {
        let mut roots = RootCertStore::empty();
        let authority = CertificateDer::from_pem_slice(self.certificate.as_bytes());
        roots
            .add(authority.expect("a certificate"))
            .expect("an authority");
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let builder = ClientConfig::builder_with_provider(provider)
            .with_protocol_versions(versions)
            .expect("versions")
            .with_root_certificates(roots);
        Arc::new(match own {
            None => builder.with_no_client_auth(),
            Some(own) => {
                let chain = CertificateDer::from_pem_slice(own.certificate.as_bytes());
                let key = PrivateKeyDer::from_pem_slice(own.key.as_bytes());
                let chain = vec![chain.expect("a certificate")];
                builder
                    .with_client_auth_cert(chain, key.expect("a key"))
                    .expect("certificate and key")
            }
        })
    }
}

impl Signed {
    /// Writes both into `folder` as `<name>.pem` and `<name>.key`; a file is never seen half written.
    pub fn write(&self, folder: &Path, name: &str) -> (PathBuf, PathBuf) {
        let write = |file: String, text: &str| {
            let path = folder.join(file);
            let beside = path.with_extension("new");
            std::fs::write(&beside, text).expect("the folder can be written");
            std::fs::rename(&beside, &path).expect("the folder can be written");
            path
        };
        (
            write(format!("{name}.pem"), &self.certificate),
            write(format!("{name}.key"), &self.key),
        )
    }
}

/// What a certificate says.
fn params(common: &str, names: &[&str], purpose: ExtendedKeyUsagePurpose) -> CertificateParams {
    let mut params = CertificateParams::default();
    params.distinguished_name = called(common);
    params.extended_key_usages = vec![purpose];
    params.subject_alt_names = names
        .iter()
        .map(|&name| SanType::DnsName(name.try_into().expect("a DNS name")))
        .collect();
    if names.contains(&"localhost") {
        let here = std::net::Ipv4Addr::LOCALHOST;
        params
            .subject_alt_names
            .push(SanType::IpAddress(here.into()));
    }
    params
}

impl std::fmt::Debug for Authority {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        out.debug_struct("Authority").finish_non_exhaustive()
    }
}

fn called(name: &str) -> DistinguishedName {
    let mut called = DistinguishedName::new();
    called.push(DnType::CommonName, name);
    called
}
