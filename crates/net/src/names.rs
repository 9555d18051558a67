//! What is read in certificates: a client's name, of what the handshake has verified, and when one ends. Whom the name belongs
//! to is not decided here.

use x509_parser::extensions::GeneralName;
use x509_parser::prelude::{FromDer as _, X509Certificate};

/// Where in a certificate the name stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NameFrom {
    /// The common name of the subject.
    CommonName,
    /// The first DNS name among the alternative names.
    AlternativeName,
}

/// The name in a certificate in DER form, if it has one there.
pub fn certificate_name(certificate: &[u8], from: NameFrom) -> Option<String> {
    let (_, certificate) = X509Certificate::from_der(certificate).ok()?;
    match from {
        NameFrom::CommonName => {
            let mut names = certificate.subject().iter_common_name();
            let name = names.next()?.as_str().ok()?.to_owned();
            // Two of them say nothing certain.
            names.next().is_none().then_some(name)
        }
        NameFrom::AlternativeName => {
            let extension = certificate.subject_alternative_name().ok()??;
            extension.value.general_names.iter().find_map(|name| {
                if let GeneralName::DNSName(name) = name {
                    Some((*name).to_owned())
                } else {
                    None
                }
            })
        }
    }
}

/// When a certificate in DER form ends, in seconds since the Unix epoch.
pub(crate) fn certificate_expiry(certificate: &[u8]) -> Option<i64> {
    let (_, certificate) = X509Certificate::from_der(certificate).ok()?;
    Some(certificate.validity().not_after.timestamp())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

    use rcgen::{CertificateParams, DnType, KeyPair, SanType};

    use super::*;

    fn certificate(common: Option<&str>, alternatives: Vec<SanType>) -> Vec<u8> {
        let mut params = CertificateParams::default();
        params.distinguished_name = rcgen::DistinguishedName::new();
        if let Some(name) = common {
            params.distinguished_name.push(DnType::CommonName, name);
        }
        params.subject_alt_names = alternatives;
        let key = KeyPair::generate().unwrap();
        params.self_signed(&key).unwrap().der().to_vec()
    }

    #[test]
    fn names_are_read_from_where_they_are_asked_for() {
        let dns = |name: &str| SanType::DnsName(name.try_into().unwrap());
        let mail = SanType::Rfc822Name("mail@example.org".try_into().unwrap());
        let both = certificate(Some("alice"), vec![mail, dns("bob"), dns("carol")]);
        assert_eq!(
            certificate_name(&both, NameFrom::CommonName).as_deref(),
            Some("alice")
        );
        assert_eq!(
            certificate_name(&both, NameFrom::AlternativeName).as_deref(),
            Some("bob")
        );
        let neither = certificate(None, Vec::new());
        assert_eq!(certificate_name(&neither, NameFrom::CommonName), None);
        assert_eq!(certificate_name(&neither, NameFrom::AlternativeName), None);
        assert_eq!(
            certificate_name(b"no certificate", NameFrom::CommonName),
            None
        );
    }
}
