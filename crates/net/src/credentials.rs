//! A listener's certificates: read from their files, and read again when they change. A broken new file leaves the old
//! certificates in use. It must not decide when it is looked; whoever has the time calls `refresh`.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Arc, Mutex, PoisonError, RwLock};
use std::time::SystemTime;

use rustls::crypto::{CryptoProvider, aws_lc_rs};
use rustls::pki_types::pem::{self, PemObject};
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::{ClientCertVerifierBuilder, WebPkiClientVerifier};
use rustls::{RootCertStore, ServerConfig, version};

use crate::names::certificate_expiry;

/// The largest file that is read.
const FILE_BYTES_MAX: u64 = 1024 * 1024;

/// Where a listener's certificates stand, and what it asks of its clients.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CredentialFiles {
    /// The certificate and those of its authorities, PEM.
    pub certificate: PathBuf,
    /// Its private key, PEM.
    pub key: PathBuf,
    /// The authorities of clients' certificates, PEM; without it clients are asked for none.
    pub client_ca: Option<PathBuf>,
    /// Whether a client without a certificate is turned away.
    pub client_required: bool,
    /// Whether TLS 1.2 is spoken as well as 1.3.
    pub tls12: bool,
    /// Application protocols that are spoken. A client that names others only is turned away; one that names none is not.
    pub protocols: &'static [&'static [u8]],
}

/// Why there are no certificates.
#[derive(Debug, thiserror::Error)]
pub enum CredentialsError {
    /// A file cannot be read.
    #[error("cannot read {}: {source}", path.display())]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// A file does not hold what it should.
    #[error("{} {problem}", path.display())]
    Unusable {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        problem: String,
    },
    /// Certificate and key do not go together, or TLS does not take them.
    #[error("the certificate {} cannot be used with the key {}: {source}", certificate.display(), key.display())]
    Mismatch {
        /// The certificate's file.
        certificate: PathBuf,
        /// The key's file.
        key: PathBuf,
        /// Why.
        source: rustls::Error,
    },
}

/// Certificates in use.
#[derive(Debug)]
pub struct Credentials {
    files: CredentialFiles,
    current: RwLock<Arc<ServerConfig>>,
    /// Seconds since the Unix epoch at which the certificate in use ends; `i64::MAX` if it does not say so.
    expires: AtomicI64,
    /// What the files looked like when they were read last.
    seen: Mutex<Vec<Option<(SystemTime, u64)>>>,
}

impl Credentials {
    /// Reads them for the first time.
    pub fn load(files: CredentialFiles) -> Result<Self, CredentialsError> {
        let seen = files.look();
        let (config, expires) = files.read()?;
        Ok(Self {
            files,
            current: RwLock::new(Arc::new(config)),
            expires: AtomicI64::new(expires),
            seen: Mutex::new(seen),
        })
    }

    /// What a connection that begins now works with.
    pub fn current(&self) -> Arc<ServerConfig> {
        self.current
            .read()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }

    /// Reads them again. On an error the old ones stay in use.
    pub fn reload(&self) -> Result<(), CredentialsError> {
        let seen = self.files.look();
        *self.seen.lock().unwrap_or_else(PoisonError::into_inner) = seen;
        let (config, expires) = self.files.read()?;
        self.expires.store(expires, Ordering::Relaxed);
        *self.current.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(config);
        Ok(())
    }

    /// Reads them again if the files look different than the last time; `None` if they do not.
    pub fn refresh(&self) -> Option<Result<(), CredentialsError>> {
        let changed =
            self.files.look() != *self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        changed.then(|| self.reload())
    }

    /// When the certificate in use ends, in seconds since the Unix epoch, if it says so; those of its authorities are not
    /// looked at.
    pub fn expires(&self) -> Option<i64> {
        let expires = self.expires.load(Ordering::Relaxed);
        (expires != i64::MAX).then_some(expires)
    }

    /// Where they stand.
    pub fn files(&self) -> &CredentialFiles {
        &self.files
    }
}

impl CredentialFiles {
    /// Time and size of each file.
    fn look(&self) -> Vec<Option<(SystemTime, u64)>> {
        let files = [
            Some(&self.certificate),
            Some(&self.key),
            self.client_ca.as_ref(),
        ];
        files
            .into_iter()
            .flatten()
            .map(|path| {
                let metadata = std::fs::metadata(path).ok()?;
                Some((metadata.modified().ok()?, metadata.len()))
            })
            .collect()
    }

    /// What connections work with, and when the certificate ends.
    fn read(&self) -> Result<(ServerConfig, i64), CredentialsError> {
        let provider = Arc::new(aws_lc_rs::default_provider());
        let chain = certificates(&self.certificate)?;
        let expires = chain.first().and_then(|first| certificate_expiry(first));
        let key = private_key(&self.key)?;
        let mismatch = |source| CredentialsError::Mismatch {
            certificate: self.certificate.clone(),
            key: self.key.clone(),
            source,
        };
        let versions = if self.tls12 {
            &[&version::TLS13, &version::TLS12][..]
        } else {
            &[&version::TLS13]
        };
        let builder = ServerConfig::builder_with_provider(provider.clone())
            .with_protocol_versions(versions)
            .map_err(mismatch)?;
        let builder = match &self.client_ca {
            None => builder.with_no_client_auth(),
            Some(path) => {
                let verifier = self.verifier(path, provider)?;
                builder.with_client_cert_verifier(verifier.build().map_err(|error| {
                    unusable(
                        path,
                        format!("holds no authority that can be used: {error}"),
                    )
                })?)
            }
        };
        let mut config = builder.with_single_cert(chain, key).map_err(mismatch)?;
        config.alpn_protocols = self.protocols.iter().map(|name| name.to_vec()).collect();
        // A client that comes back needs no signature, and the server keeps nothing for it. The tickets' key is made anew
        // with every reading, so that none outlives the authorities it was checked against.
        config.ticketer = aws_lc_rs::Ticketer::new().map_err(mismatch)?;
        config.session_storage = Arc::new(rustls::server::NoServerSessionStorage {});
        config.send_tls13_tickets = 1;
        Ok((config, expires.unwrap_or(i64::MAX)))
    }

    fn verifier(
        &self,
        path: &Path,
        provider: Arc<CryptoProvider>,
    ) -> Result<ClientCertVerifierBuilder, CredentialsError> {
        let mut roots = RootCertStore::empty();
        for authority in certificates(path)? {
            roots.add(authority).map_err(|error| {
                unusable(
                    path,
                    format!("holds an authority that cannot be used: {error}"),
                )
            })?;
        }
        let builder = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider);
        Ok(if self.client_required {
            builder
        } else {
            builder.allow_unauthenticated()
        })
    }
}

fn certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>, CredentialsError> {
    let text = read(path)?;
    let certificates = CertificateDer::pem_slice_iter(&text).collect::<Result<Vec<_>, _>>();
    let certificates =
        certificates.map_err(|error| unusable(path, format!("is not in PEM form: {error}")))?;
    if certificates.is_empty() {
        let problem = "holds no certificate (no `-----BEGIN CERTIFICATE-----`)";
        return Err(unusable(path, problem.to_owned()));
    }
    Ok(certificates)
}

fn private_key(path: &Path) -> Result<PrivateKeyDer<'static>, CredentialsError> {
    let text = read(path)?;
    PrivateKeyDer::from_pem_slice(&text).map_err(|error| match error {
        pem::Error::NoItemsFound => unusable(
            path,
            "holds no private key that is not encrypted (no `-----BEGIN PRIVATE KEY-----`)"
                .to_owned(),
        ),
        error => unusable(path, format!("is not in PEM form: {error}")),
    })
}

fn read(path: &Path) -> Result<Vec<u8>, CredentialsError> {
    let unreadable = |source| CredentialsError::Unreadable {
        path: path.to_path_buf(),
        source,
    };
    let length = std::fs::metadata(path).map_err(unreadable)?.len();
    if length > FILE_BYTES_MAX {
        let problem = format!("has {length} bytes; certificates have at most {FILE_BYTES_MAX}");
        return Err(unusable(path, problem));
    }
    std::fs::read(path).map_err(unreadable)
}

fn unusable(path: &Path, problem: String) -> CredentialsError {
    CredentialsError::Unusable {
        path: path.to_path_buf(),
        problem,
    }
}
