//! Whether a server could be started out of a configuration: reads the certificates that it names, as `start` does. Must
//! not listen, and not touch the data directory.

use net::{CredentialFiles, Credentials, CredentialsError};

use crate::config::{CertificatePlace, Config};
use crate::listener;

/// Everything that is wrong with the certificates, and where in the configuration that stands.
pub fn check_certificates(config: &Config) -> Vec<(CertificatePlace, CredentialsError)> {
    let listeners = config.mqtt.listeners.iter().enumerate();
    let mqtt = listeners.filter_map(|(index, listener)| {
        let files = listener::files(listener.tls.as_ref()?, listener.kind);
        wrong(Some(index), files)
    });
    let http = match (&config.http.certificate, &config.http.key) {
        (Some(certificate), Some(key)) => wrong(None, listener::http_files(certificate, key)),
        (_, _) => None,
    };
    mqtt.chain(http).collect()
}

/// `listener` is its number in the configuration; none is the HTTP server.
fn wrong(
    listener: Option<usize>,
    files: CredentialFiles,
) -> Option<(CertificatePlace, CredentialsError)> {
    let (key, client_ca) = (files.key.clone(), files.client_ca.clone());
    let error = Credentials::load(files).err()?;
    let key = match &error {
        CredentialsError::Unreadable { path, .. } | CredentialsError::Unusable { path, .. } => {
            if *path == key {
                "key"
            } else if Some(path) == client_ca.as_ref() {
                "client_ca"
            } else {
                "certificate"
            }
        }
        CredentialsError::Mismatch { .. } => "certificate",
    };
    Some((CertificatePlace { listener, key }, error))
}
