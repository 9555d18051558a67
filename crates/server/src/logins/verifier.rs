//! Passwords in the form of SCRAM-SHA-256: what is kept of one, and what stands for one that is not there. Stretching a
//! password takes its time and is done where argon2 is; nothing here waits for it.

use std::num::NonZeroU32;

use aws_lc_rs::{hmac, pbkdf2};
use records::ScramVerifier;
use sha2::{Digest, Sha256};

use crate::handle::Secret;

const SALT_BYTES: usize = 16;

/// What is kept of a password; `None` only if the operating system has no random numbers.
pub(crate) fn derive(password: &Secret, iterations: u32) -> Option<ScramVerifier> {
    let mut salt = [0; SALT_BYTES];
    getrandom::fill(&mut salt).ok()?;
    Some(with_salt(password.expose(), salt, iterations))
}

/// RFC 5802, section 3. A password that SASLprep does not take (RFC 4013: it has characters that Unicode 3.2 did not have
/// yet, such as most emoji, or that it forbids) is used as it is, as PostgreSQL and its clients do.
fn with_salt(password: &str, salt: [u8; SALT_BYTES], iterations: u32) -> ScramVerifier {
    let prepared = stringprep::saslprep(password);
    let prepared = prepared.as_deref().unwrap_or(password);
    let mut salted = [0; 32];
    pbkdf2::derive(
        pbkdf2::PBKDF2_HMAC_SHA256,
        NonZeroU32::new(iterations).unwrap_or(NonZeroU32::MIN),
        &salt,
        prepared.as_bytes(),
        &mut salted,
    );
    let client_key = hmac(&salted, &[b"Client Key"]);
    ScramVerifier {
        salt,
        iterations,
        stored_key: Sha256::digest(client_key).into(),
        server_key: hmac(&salted, &[b"Server Key"]),
    }
}

/// For a name that has no verifier: always the same, as a real one would be, and nobody's password fits it.
pub(super) fn pretended(secret: &[u8; 32], name: &str, iterations: u32) -> ScramVerifier {
    let part = |what: &[u8]| {
        hmac(
            secret,
            &[b"SCRAM-SHA-256 of nobody, ", what, name.as_bytes()],
        )
    };
    let mut salt = [0; SALT_BYTES];
    salt.copy_from_slice(&part(b"salt: ")[..SALT_BYTES]);
    ScramVerifier {
        salt,
        iterations,
        stored_key: part(b"stored key: "),
        server_key: part(b"server key: "),
    }
}

/// HMAC-SHA-256 of some parts after each other.
pub(super) fn hmac(key: &[u8], parts: &[&[u8]]) -> [u8; 32] {
    let mut mac = hmac::Context::with_key(&hmac::Key::new(hmac::HMAC_SHA256, key));
    for part in parts {
        mac.update(part);
    }
    let mut tag = [0; 32];
    tag.copy_from_slice(mac.sign().as_ref());
    tag
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use base64::Engine as _;
    use base64::engine::general_purpose::STANDARD;

    /// The example of RFC 7677, section 3: user `user`, password `pencil`.
    pub(in crate::logins) fn pencil() -> ScramVerifier {
        let salt = STANDARD.decode("W22ZaJ0SNY7soEsUEjb6gQ==");
        with_salt(
            "pencil",
            salt.expect("base64").try_into().expect("16 bytes"),
            4096,
        )
    }

    #[test]
    fn a_verifier_has_its_own_salt_and_the_asked_iterations() {
        let password = Secret::new("pencil");
        let (one, other) = (derive(&password, 4096), derive(&password, 4096));
        let (one, other) = (one.expect("random"), other.expect("random"));
        assert_ne!(one.salt, other.salt);
        assert_ne!(one.stored_key, other.stored_key);
        assert_eq!(one.iterations, 4096);
        assert_eq!(with_salt("pencil", one.salt, 4096), one);
        assert_ne!(
            with_salt("pencil", one.salt, 4097).stored_key,
            one.stored_key
        );
        assert_ne!(
            with_salt("pencils", one.salt, 4096).stored_key,
            one.stored_key
        );
    }

    #[test]
    fn passwords_are_prepared_as_clients_prepare_them() {
        let same =
            |one: &str, other: &str| with_salt(one, [7; 16], 10) == with_salt(other, [7; 16], 10);
        // RFC 4013, section 3, and Hangul in its parts.
        assert!(same("I\u{AD}X", "IX"));
        assert!(same("\u{2168}", "IX"));
        assert!(same("\u{1101}\u{1161}\u{110E}\u{1175}", "까치"));
        assert!(!same("USER", "user"));
        // What SASLprep does not take is used as it is.
        assert!(!same("🫠 melting", "melting"));
        assert!(!same("a\u{7}", "a"));
    }

    #[test]
    fn what_stands_for_nobody_is_stable_and_each_names_own() {
        let secret = [9; 32];
        let nobody = pretended(&secret, "nobody", 4096);
        assert_eq!(pretended(&secret, "nobody", 4096), nobody);
        assert_ne!(pretended(&secret, "nobodx", 4096).salt, nobody.salt);
        assert_ne!(pretended(&[8; 32], "nobody", 4096).salt, nobody.salt);
    }
}
