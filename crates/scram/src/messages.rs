//! The messages as a server reads and writes them. Nothing is kept: what has to be known again at the second step is
//! [`Challenge::state`].

use aws_lc_rs::constant_time::verify_slices_are_equal;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use records::ScramVerifier;
use sha2::{Digest, Sha256};

use crate::verifier::hmac;

/// The method's name in CONNECT and AUTH.
pub const METHOD: &str = "SCRAM-SHA-256";
/// Random bytes of the server's part of the nonce.
pub const NONCE_BYTES: usize = 18;
/// Between the client's first message and the server's in a state; no message contains it.
const SEPARATOR: char = '\0';

/// Why a message is none of SCRAM, or not one we can answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not a SCRAM message this server takes: {0}")]
pub struct Unreadable(&'static str);

/// `client-first-message`.
#[derive(Debug, PartialEq, Eq)]
pub struct First<'a> {
    /// `gs2-header`: channel binding and authorisation identity.
    header: &'a str,
    /// `client-first-message-bare`.
    bare: &'a str,
    /// Who it says it is.
    pub name: String,
    nonce: &'a str,
}

/// `server-first-message`.
#[derive(Debug)]
pub struct Challenge {
    /// What the client gets.
    pub message: String,
    /// For [`Proof::read`].
    pub state: String,
}

impl<'a> First<'a> {
    /// Reads the client's first message.
    ///
    /// # Errors
    /// When it is none, or asks for what is not offered: channel binding, another identity, an extension.
    pub fn read(message: &'a str) -> Result<Self, Unreadable> {
        if message.contains(SEPARATOR) {
            return Err(Unreadable("it contains a NUL"));
        }
        let mut parts = message.splitn(3, ',');
        let (binding, identity) = (parts.next(), parts.next());
        let bare = parts.next().ok_or(Unreadable("it has no header"))?;
        match binding {
            // The second is that of a client that could bind the channel but believes that we can't, which is so.
            Some("n" | "y") => {}
            _ => return Err(Unreadable("channel binding is not offered")),
        }
        let mut fields = bare.split(',');
        // `m=` would be an extension that must be understood.
        let name = fields
            .next()
            .and_then(|field| field.strip_prefix("n="))
            .ok_or(Unreadable("it has no user name"))
            .and_then(unescape)?;
        let nonce = fields
            .next()
            .and_then(|field| field.strip_prefix("r="))
            .filter(|nonce| !nonce.is_empty() && nonce.bytes().all(|byte| byte.is_ascii_graphic()))
            .ok_or(Unreadable("it has no nonce"))?;
        pass_over(fields)?;
        match identity {
            Some("") => {}
            Some(identity)
                if identity.strip_prefix("a=").map(unescape) == Some(Ok(name.clone())) => {}
            _ => return Err(Unreadable("nobody may act for somebody else")),
        }
        Ok(Self {
            header: &message[..message.len() - bare.len()],
            bare,
            name,
            nonce,
        })
    }

    /// The answer, with random bytes that were never used before.
    pub fn challenge(&self, nonce: &[u8; NONCE_BYTES], verifier: &ScramVerifier) -> Challenge {
        self.challenge_with(&STANDARD.encode(nonce), verifier)
    }

    fn challenge_with(&self, nonce: &str, verifier: &ScramVerifier) -> Challenge {
        let salt = STANDARD.encode(verifier.salt);
        let message = format!("r={}{nonce},s={salt},i={}", self.nonce, verifier.iterations);
        Challenge {
            state: format!("{}{}{SEPARATOR}{message}", self.header, self.bare),
            message,
        }
    }
}

/// `client-final-message`, with what went before.
#[derive(Debug)]
pub struct Proof {
    /// Who it says it is.
    pub name: String,
    auth_message: String,
    proof: [u8; 32],
}

impl Proof {
    /// Reads the client's last message to a challenge with this state.
    ///
    /// # Errors
    /// When it is none, or does not belong to this exchange.
    pub fn read(state: &str, message: &str) -> Result<Self, Unreadable> {
        let (first, server_first) = state
            .split_once(SEPARATOR)
            .ok_or(Unreadable("there was no first one"))?;
        let first = First::read(first)?;
        let (without_proof, proof) = message
            .rsplit_once(",p=")
            .ok_or(Unreadable("it has no proof"))?;
        let mut fields = without_proof.split(',');
        let binding = fields.next().and_then(|field| field.strip_prefix("c="));
        if binding != Some(&STANDARD.encode(first.header)) {
            return Err(Unreadable("its header is another than the first message's"));
        }
        let wanted = server_first.split(',').next();
        if wanted.is_none() || fields.next() != wanted {
            return Err(Unreadable("its nonce is not the one of this exchange"));
        }
        pass_over(fields)?;
        let proof = STANDARD
            .decode(proof)
            .ok()
            .and_then(|bytes| bytes.try_into().ok())
            .ok_or(Unreadable("its proof is not 32 bytes in base64"))?;
        Ok(Self {
            auth_message: format!("{},{server_first},{without_proof}", first.bare),
            name: first.name,
            proof,
        })
    }

    /// `server-final-message` if the proof is right.
    pub fn verify(&self, verifier: &ScramVerifier) -> Option<String> {
        let message: &[&[u8]] = &[self.auth_message.as_bytes()];
        let signature = hmac(&verifier.stored_key, message);
        let mut client_key = self.proof;
        for (byte, mask) in client_key.iter_mut().zip(signature) {
            *byte ^= mask;
        }
        let stored_key = Sha256::digest(client_key);
        let right = verify_slices_are_equal(&stored_key, &verifier.stored_key).is_ok();
        right.then(|| {
            let ours = hmac(&verifier.server_key, message);
            format!("v={}", STANDARD.encode(ours))
        })
    }
}

/// Extensions, none of which is known here, except that `m=` is one that has to be. (RFC 5802, 5.1)
fn pass_over<'f>(fields: impl Iterator<Item = &'f str>) -> Result<(), Unreadable> {
    for field in fields {
        match field.split_once('=') {
            Some(("m", _)) => {
                return Err(Unreadable("it has an extension that must be understood"));
            }
            Some((name, value))
                if name.len() == 1
                    && name.bytes().all(|byte| byte.is_ascii_alphabetic())
                    && !value.is_empty() => {}
            Some(_) | None => {
                return Err(Unreadable("what stands behind its nonce is no extension"));
            }
        }
    }
    Ok(())
}

/// `saslname`: `=2C` is a comma, `=3D` an equals sign, and there is no other `=`.
fn unescape(name: &str) -> Result<String, Unreadable> {
    let mut pieces = name.split('=');
    let mut plain = pieces.next().unwrap_or_default().to_owned();
    for piece in pieces {
        let (sign, rest) = match (piece.strip_prefix("2C"), piece.strip_prefix("3D")) {
            (Some(rest), _) => (',', rest),
            (None, Some(rest)) => ('=', rest),
            (None, None) => return Err(Unreadable("its user name has an `=` of its own")),
        };
        plain.push(sign);
        plain.push_str(rest);
    }
    if plain.is_empty() {
        return Err(Unreadable("its user name is empty"));
    }
    Ok(plain)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::verifier::tests::pencil;

    const CLIENT_FIRST: &str = "n,,n=user,r=rOprNGfwEbeRWgbNEkqO";
    const SERVER_PART: &str = "%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0";
    const SERVER_FIRST: &str =
        "r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096";
    const CLIENT_FINAL: &str = "c=biws,r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,p=dHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVQ=";
    const SERVER_FINAL: &str = "v=6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4=";

    fn challenge(client_first: &str) -> Challenge {
        let first = First::read(client_first).expect("a sound first message");
        first.challenge_with(SERVER_PART, &pencil())
    }

    /// RFC 7677, section 3, to the letter.
    #[test]
    fn the_example_of_the_rfc_holds() {
        let first = First::read(CLIENT_FIRST).expect("a sound first message");
        assert_eq!(first.name, "user");
        let challenge = challenge(CLIENT_FIRST);
        assert_eq!(challenge.message, SERVER_FIRST);
        let proof = Proof::read(&challenge.state, CLIENT_FINAL).expect("a sound last message");
        assert_eq!(proof.name, "user");
        assert_eq!(proof.verify(&pencil()).as_deref(), Some(SERVER_FINAL));
    }

    #[test]
    fn another_password_nonce_or_first_message_proves_nothing() {
        let state = challenge(CLIENT_FIRST).state;
        let proof = Proof::read(&state, CLIENT_FINAL).expect("a sound last message");
        let mut other = pencil();
        other.stored_key[31] ^= 1;
        assert_eq!(proof.verify(&other), None);
        // The same last message to another challenge.
        let again = First::read(CLIENT_FIRST).expect("sound");
        let again = again.challenge(&[7; NONCE_BYTES], &pencil());
        assert!(Proof::read(&again.state, CLIENT_FINAL).is_err(), "a replay");
        assert_ne!(again.message, SERVER_FIRST);
        // A first message that was changed on its way.
        let tampered = state.replacen("n=user", "n=root", 1);
        let proof = Proof::read(&tampered, CLIENT_FINAL).expect("a sound last message");
        assert_eq!(
            (proof.name.as_str(), proof.verify(&pencil())),
            ("root", None)
        );
    }

    #[test]
    fn first_messages() {
        let name = |message: &str| First::read(message).map(|first| first.name);
        for sound in [
            "n,,n=user,r=x",
            "y,,n=user,r=x",
            "n,a=user,n=user,r=x",
            "n,,n=user,r=x,e=1",
            "n,,n=user,r=x,e=a=b,f=\u{ae4c}",
        ] {
            assert_eq!(name(sound).as_deref(), Ok("user"), "{sound}");
        }
        assert_eq!(name("n,,n=a=2Cb=3Dc,r=x").as_deref(), Ok("a,b=c"));
        for wrong in [
            "",
            "n",
            "n,",
            "n,,",
            "n=user,r=x",
            "n,,n=user",
            "n,,n=user,r=",
            "n,,n=user,r=\u{e9}",
            "n,,n=user,r=a b",
            "n,,n=,r=x",
            "n,,n=a=b,r=x",
            "n,,r=x,n=user",
            "n,,m=must,n=user,r=x",
            "n,,n=user,r=x,m=must",
            "n,,n=user,r=x,e=1,m=must",
            "n,,n=user,r=x,ext=1",
            "n,,n=user,r=x,e=",
            "n,,n=user,r=x,",
            "n,a=root,n=user,r=x",
            "n,user,n=user,r=x",
            "p=tls-exporter,,n=user,r=x",
            "p=tls-server-end-point,,n=user,r=x",
            "x,,n=user,r=x",
            "n,,n=us\0er,r=x",
        ] {
            assert!(name(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn last_messages() {
        let state = challenge(CLIENT_FIRST).state;
        let nonce = "r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0";
        let proof = "p=dHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVQ=";
        for wrong in [
            String::new(),
            "c=biws".to_owned(),
            format!("c=biws,{nonce}"),
            format!("c=eSws,{nonce},{proof}"),
            format!("c=,{nonce},{proof}"),
            format!("{nonce},c=biws,{proof}"),
            format!("c=biws,r=rOprNGfwEbeRWgbNEkqO,{proof}"),
            format!("c=biws,{nonce},p="),
            format!("c=biws,{nonce},p=AAAA"),
            format!("c=biws,{nonce},p=!"),
            format!("c=biws,{nonce},{proof},x=1"),
            format!("c=biws,{nonce},m=must,{proof}"),
            format!("c=biws,{nonce},,{proof}"),
        ] {
            assert!(Proof::read(&state, &wrong).is_err(), "{wrong}");
        }
        assert!(Proof::read(&state, &format!("c=biws,{nonce},x=1,{proof}")).is_ok());
        assert!(Proof::read("", CLIENT_FINAL).is_err());
        assert!(Proof::read("no state of ours", CLIENT_FINAL).is_err());
        // A client that could bind the channel says so again, in its header.
        let state = challenge("y,,n=user,r=rOprNGfwEbeRWgbNEkqO").state;
        assert!(Proof::read(&state, CLIENT_FINAL).is_err());
        assert!(Proof::read(&state, &format!("c=eSws,{nonce},{proof}")).is_ok());
    }
}
