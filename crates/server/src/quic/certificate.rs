//! The certificate of a QUIC address, its key, and the authorities of its clients: out of PEM files into what rustls wants.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustls::pki_types::pem::{self, PemObject};
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::WebPkiClientVerifier;
use rustls::{RootCertStore, ServerConfig};

use crate::config::{ClientCertificate, TlsConfig};

/// A certificate that cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum CertificateError {
    /// A file cannot be read, or is not what it should be.
    #[error("{}: {source}", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// Why.
        source: pem::Error,
    },
    /// Certificate and key do not go together, or are of a kind that is not supported.
    #[error("{}: {source}", path.display())]
    Unfit {
        /// The certificate's file.
        path: PathBuf,
        /// Why.
        source: rustls::Error,
    },
    /// The authorities of clients' certificates do not do.
    #[error("{}: {source}", path.display())]
    Authorities {
        /// Their file.
        path: PathBuf,
        /// Why.
        source: rustls::client::VerifierBuilderError,
    },
}

/// Reads what `config` names.
pub(super) fn read(config: &TlsConfig) -> Result<Arc<ServerConfig>, CertificateError> {
    let unfit = |path: &Path| {
        let path = path.to_path_buf();
        move |source| CertificateError::Unfit { path, source }
    };
    let chain = certificates(&config.certificate)?;
    let key = PrivateKeyDer::from_pem_file(&config.key).map_err(file(&config.key))?;
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let builder = ServerConfig::builder_with_provider(provider.clone())
        .with_protocol_versions(&[&rustls::version::TLS13])
        .map_err(unfit(&config.certificate))?;
    let builder = match &config.client_ca {
        None => builder.with_no_client_auth(),
        Some(path) => {
            let mut roots = RootCertStore::empty();
            for root in certificates(path)? {
                roots.add(root).map_err(unfit(path))?;
            }
            let verifier =
                WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider.clone());
            let verifier = match config.client_certificate {
                ClientCertificate::None | ClientCertificate::Optional => {
                    verifier.allow_unauthenticated()
                }
                ClientCertificate::Required => verifier,
            };
            builder.with_client_cert_verifier(verifier.build().map_err(|source| {
                CertificateError::Authorities {
                    path: path.clone(),
                    source,
                }
            })?)
        }
    };
    let config = builder
        .with_single_cert(chain, key)
        .map_err(unfit(&config.certificate))?;
    Ok(Arc::new(config))
}

fn certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>, CertificateError> {
    CertificateDer::pem_file_iter(path)
        .and_then(Iterator::collect)
        .map_err(file(path))
}

fn file(path: &Path) -> impl FnOnce(pem::Error) -> CertificateError {
    let path = path.to_path_buf();
    move |source| CertificateError::File { path, source }
}
