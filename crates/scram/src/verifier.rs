//! Passwords in the form of SCRAM-SHA-256: what is kept of one, and what stands for one that is not there. Stretching a
//! password takes its time and is done where argon2 is; nothing here waits for it.

use std::num::NonZeroU32;

use aws_lc_rs::{hmac, pbkdf2};
use records::ScramVerifier;
use sha2::{Digest, Sha256};

/// Random bytes that a password is stretched with.
pub const SALT_BYTES: usize = 16;

/// What is kept of a password. Slow, as many times as `iterations` says.
///
/// RFC 5802, section 3. A password that SASLprep does not take (RFC 4013: it has characters that Unicode 3.2 did not have
/// yet, such as most emoji, or that it forbids) is used as it is, as PostgreSQL and its clients do.
pub fn derive(password: &str, salt: [u8; SALT_BYTES], iterations: u32) -> ScramVerifier {
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
pub fn pretended(secret: &[u8; 32], name: &str, iterations: u32) -> ScramVerifier {
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
pub(crate) fn hmac(key: &[u8], parts: &[&[u8]]) -> [u8; 32] {
    let mut mac = hmac::Context::with_key(&hmac::Key::new(hmac::HMAC_SHA256, key));
    for part in parts {
        mac.update(part);
    }
    let mut tag = [0; 32];
    tag.copy_from_slice(mac.sign().as_ref());
    tag
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use base64::Engine as _;
    use base64::engine::general_purpose::STANDARD;

    /// The example of RFC 7677, section 3: user `user`, password `pencil`.
    pub(crate) fn pencil() -> ScramVerifier {
        let salt = STANDARD.decode("W22ZaJ0SNY7soEsUEjb6gQ==");
        derive(
            "pencil",
            salt.expect("base64").try_into().expect("16 bytes"),
            4096,
        )
    }

    #[test]
    fn another_salt_count_or_password_is_another_verifier() {
        let one = derive("pencil", [1; SALT_BYTES], 4096);
        assert_ne!(
            derive("pencil", [2; SALT_BYTES], 4096).stored_key,
            one.stored_key
        );
        assert_eq!((one.salt, one.iterations), ([1; SALT_BYTES], 4096));
        assert_eq!(derive("pencil", one.salt, 4096), one);
        assert_ne!(derive("pencil", one.salt, 4097).stored_key, one.stored_key);
        assert_ne!(derive("pencils", one.salt, 4096).stored_key, one.stored_key);
    }

    #[test]
    fn passwords_are_prepared_as_clients_prepare_them() {
        let same = |one: &str, other: &str| derive(one, [7; 16], 10) == derive(other, [7; 16], 10);
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
