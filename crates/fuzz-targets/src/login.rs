//! Target `scram`: both steps of a login by SCRAM-SHA-256, from a client that knows the password and from one that does
//! not but has overheard another login. Messages are read as the grammar of RFC 5802 says, and a proof is taken if and
//! only if it is the one that the RFC's formulas give for exactly these messages.

use std::sync::OnceLock;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use records::ScramVerifier;
use scram::{First, NONCE_BYTES, Proof, SALT_BYTES};
use sha2::{Digest, Sha256};

use crate::allocations::most_held;
use crate::feed::Feed;

const PASSWORD: &str = "pencil";
const SALT: [u8; SALT_BYTES] = *b"sixteen of these";
/// A few copies of what came, and fields of their own.
const MEMORY_MAX: usize = 16 * 1024;
/// Names: plain, of other alphabets, with signs that are escaped, and such as are none.
const NAMES: [&str; 8] = [
    "user",
    "까치",
    "a=2Cb",
    "=3D",
    "a=b",
    "",
    "\u{ff42}ob",
    "root",
];
const HEADERS: [&str; 8] = [
    "n,,",
    "y,,",
    "n,a=user,",
    "n,a=root,",
    "p=tls-exporter,,",
    "n,,m=1,",
    "n,a=a=2Cb,",
    "",
];
const BEHIND: [&str; 6] = ["", ",e=1", ",m=1", ",e", ",", ",p=AAAA"];

/// Keys that only who knows the password has.
struct Keys {
    verifier: ScramVerifier,
    client_key: [u8; 32],
}

fn keys() -> &'static Keys {
    static KEYS: OnceLock<Keys> = OnceLock::new();
    KEYS.get_or_init(|| {
        // PBKDF2 with one round.
        let salted = hmac(PASSWORD.as_bytes(), &[&SALT[..], &[0, 0, 0, 1]].concat());
        let verifier = scram::derive(PASSWORD, SALT, 1);
        let client_key = hmac(&salted, b"Client Key");
        assert_eq!(verifier.stored_key, sha256(&client_key));
        assert_eq!(verifier.server_key, hmac(&salted, b"Server Key"));
        Keys {
            verifier,
            client_key,
        }
    })
}

/// A client's two messages: built from parts with mistakes in them, or whatever the bytes are.
pub(crate) fn run(bytes: &[u8]) {
    let keys = keys();
    let ((), memory) = most_held(|| login(keys, bytes));
    assert!(memory <= MEMORY_MAX + 32 * bytes.len(), "{memory} bytes");
}

fn login(keys: &Keys, bytes: &[u8]) {
    let mut feed = Feed::new(bytes);
    let choice = feed.byte();
    let (knows, raw_first, raw_last) = (choice & 1 != 0, choice & 2 != 0, choice & 4 != 0);
    let first = if raw_first {
        text(feed.piece())
    } else {
        let (header, name) = (*feed.choose(&HEADERS), *feed.choose(&NAMES));
        let nonce = text(feed.piece());
        format!("{header}n={name},r={nonce}{}", feed.choose(&BEHIND))
    };
    let read = First::read(&first);
    let grammar = grammar(&first);
    assert_eq!(
        read.as_ref().ok().map(|first| &first.name),
        grammar.as_ref().map(|said| &said.name)
    );
    let (Ok(read), Some(said)) = (read, grammar) else {
        return;
    };
    let mut nonce = [0; NONCE_BYTES];
    nonce.fill_with(|| feed.byte());
    let challenge = read.challenge(&nonce, &keys.verifier);
    let server_nonce = format!("r={}{}", said.nonce, STANDARD.encode(nonce));
    let salt = STANDARD.encode(SALT);
    assert_eq!(challenge.message, format!("{server_nonce},s={salt},i=1"));

    let header = STANDARD.encode(&said.header);
    let last = if raw_last {
        text(feed.piece())
    } else {
        let binding = match feed.byte() % 8 {
            0 => text(feed.piece()),
            1 => STANDARD.encode("n,,"),
            _ => header.clone(),
        };
        let nonce = match feed.byte() % 8 {
            0 => text(feed.piece()),
            1 => format!("r={}", said.nonce),
            _ => server_nonce.clone(),
        };
        let without_proof = format!("c={binding},{nonce}{}", feed.choose(&BEHIND));
        let proof = if knows && feed.below(4) > 0 {
            let message = format!("{},{},{without_proof}", said.bare, challenge.message);
            STANDARD.encode(proof(keys, &message))
        } else if feed.flag() {
            overheard(keys)
        } else {
            let mut guess = [0; 32];
            guess.fill_with(|| feed.byte());
            STANDARD.encode(guess)
        };
        format!("{without_proof},p={proof}")
    };
    let proved = Proof::read(&challenge.state, &last);
    assert!(
        proved
            .as_ref()
            .map_or(true, |proof| proof.name == said.name)
    );
    let answer = proved.ok().and_then(|proof| proof.verify(&keys.verifier));
    let expected = answer_to(keys, &said, &challenge.message, &server_nonce, &last);
    assert_eq!(answer, expected, "{first:?}, then {last:?}");
    assert!(knows || answer.is_none(), "{first:?}, then {last:?}");
    // What stands for nobody is proved by nothing, nor by the password of somebody.
    let nobody = scram::pretended(&[7; 32], &said.name, 1);
    let nobodys = read.challenge(&nonce, &nobody);
    let proved = Proof::read(&nobodys.state, &last);
    assert!(!proved.is_ok_and(|proof| proof.verify(&nobody).is_some()));
}

/// The proof of a login that somebody has listened to.
fn overheard(keys: &Keys) -> String {
    let salt = STANDARD.encode(SALT);
    let message = format!("n=user,r=abc,r=abcdef,s={salt},i=1,c=biws,r=abcdef");
    STANDARD.encode(proof(keys, &message))
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// What a `client-first-message` says, by its grammar. (RFC 5802, section 7)
struct Said {
    header: String,
    bare: String,
    name: String,
    nonce: String,
}

fn grammar(message: &str) -> Option<Said> {
    let fields: Vec<&str> = message.split(',').collect();
    let [binding, identity, name, nonce, extensions @ ..] = &fields[..] else {
        return None;
    };
    let name = saslname(name.strip_prefix("n=")?)?;
    let nonce = nonce.strip_prefix("r=")?;
    let is_nonce = !nonce.is_empty()
        && nonce
            .bytes()
            .all(|byte| matches!(byte, 0x21..=0x2B | 0x2D..=0x7E));
    let acts_for_itself = match identity.strip_prefix("a=") {
        Some(identity) => saslname(identity)? == name,
        None => identity.is_empty(),
    };
    let sound = matches!(*binding, "n" | "y")
        && acts_for_itself
        && is_nonce
        && !message.contains('\0')
        && extensions.iter().all(|extension| is_extension(extension));
    sound.then(|| Said {
        header: format!("{binding},{identity},"),
        bare: fields[2..].join(","),
        name,
        nonce: (*nonce).to_owned(),
    })
}

fn saslname(text: &str) -> Option<String> {
    let mut name = String::new();
    let mut rest = text.chars();
    while let Some(letter) = rest.next() {
        name.push(match letter {
            '=' => match (rest.next()?, rest.next()?) {
                ('2', 'C') => ',',
                ('3', 'D') => '=',
                _ => return None,
            },
            letter => letter,
        });
    }
    (!name.is_empty()).then_some(name)
}

/// `attr-val`, but the one that has to be understood.
fn is_extension(text: &str) -> bool {
    match text.as_bytes() {
        [name, b'=', _, ..] => name.is_ascii_alphabetic() && *name != b'm',
        _ => false,
    }
}

/// The `server-final-message` if the client's last message is the right one.
fn answer_to(keys: &Keys, said: &Said, challenge: &str, nonce: &str, last: &str) -> Option<String> {
    let fields: Vec<&str> = last.split(',').collect();
    let [binding, its_nonce, extensions @ .., its_proof] = &fields[..] else {
        return None;
    };
    let header = format!("c={}", STANDARD.encode(&said.header));
    let sound = **binding == header
        && *its_nonce == nonce
        && extensions.iter().all(|extension| is_extension(extension));
    let without_proof = &last[..last.len() - its_proof.len() - 1];
    let message = format!("{},{challenge},{without_proof}", said.bare);
    let right = STANDARD.encode(proof(keys, &message));
    (sound && its_proof.strip_prefix("p=")? == right).then(|| {
        let signature = hmac(&keys.verifier.server_key, message.as_bytes());
        format!("v={}", STANDARD.encode(signature))
    })
}

fn proof(keys: &Keys, message: &str) -> [u8; 32] {
    let signature = hmac(&keys.verifier.stored_key, message.as_bytes());
    std::array::from_fn(|place| keys.client_key[place] ^ signature[place])
}

/// RFC 2104, for keys of up to a block.
fn hmac(key: &[u8], message: &[u8]) -> [u8; 32] {
    let mut block = [0; 64];
    block[..key.len()].copy_from_slice(key);
    let inner = sha256(&[&block.map(|byte| byte ^ 0x36)[..], message].concat());
    sha256(&[&block.map(|byte| byte ^ 0x5C)[..], &inner].concat())
}

fn sha256(bytes: &[u8]) -> [u8; 32] {
    Sha256::digest(bytes).into()
}
