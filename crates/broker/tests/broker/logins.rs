//! Who is who in the world of these tests: the accounts `alice`, `bob` and the administrator `root`, and `m0`, `m1` …, with the
//! password `secret`, and one method of enhanced authentication.

use std::sync::Arc;

use broker::{AuthenticationRequest, ExchangeRequest, Exchanged, Identity};
use mqtt_codec::ReasonCode;
use records::AccountId;

/// The method: the client names an account, is asked for the word, and says `secret`, or `again` to be asked again.
pub(crate) const METHOD: &str = "WORD";
const QUESTION: &[u8] = b"the word?";

/// The account of the member `m<number>` of a large group.
pub(crate) fn member(number: u64) -> AccountId {
    AccountId::new(100 + number)
}

/// The accounts of this world.
pub(crate) fn account(name: &str) -> Option<AccountId> {
    match name {
        "alice" => Some(AccountId::new(1)),
        "bob" => Some(AccountId::new(2)),
        "root" => Some(AccountId::new(3)),
        _ => name.strip_prefix('m')?.parse().ok().map(member),
    }
}

/// What an account of this world is called.
pub(crate) fn name(account: AccountId) -> String {
    match account.value() {
        1 => "alice".to_owned(),
        2 => "bob".to_owned(),
        3 => "root".to_owned(),
        number => format!("m{}", number.saturating_sub(100)),
    }
}

/// Whoever is called `bob` has come by a token.
pub(crate) fn token_of(name: &str) -> Option<Arc<[u8; 32]>> {
    (name == "bob").then(|| Arc::new([7; 32]))
}

fn identity(name: &str, word: Option<&[u8]>) -> Result<Identity, ReasonCode> {
    match account(name) {
        Some(account) if word == Some(b"secret") => Ok(Identity {
            account: Some(account),
            name: name.into(),
            admin: name == "root",
            token: token_of(name),
        }),
        _ => Err(ReasonCode::BAD_USER_NAME_OR_PASSWORD),
    }
}

/// The word on a password.
pub(crate) fn verdict(request: &AuthenticationRequest) -> Result<Identity, ReasonCode> {
    identity(&request.username, request.password.as_deref())
}

/// The word on a step of the method.
pub(crate) fn judge(request: &ExchangeRequest) -> Exchanged {
    if &*request.method != METHOD {
        return Exchanged::Refused(ReasonCode::BAD_AUTHENTICATION_METHOD);
    }
    let ask = |state: &[u8]| Exchanged::Continue {
        data: QUESTION.into(),
        state: state.into(),
    };
    match request.data.as_deref() {
        None => Exchanged::Continue {
            data: Box::default(),
            state: Box::default(),
        },
        Some(name) if request.state.is_empty() => ask(name),
        Some(b"again") => ask(&request.state),
        Some(word) => match identity(&String::from_utf8_lossy(&request.state), Some(word)) {
            Ok(identity) => Exchanged::Proved {
                identity,
                data: b"welcome"[..].into(),
            },
            Err(reason) => Exchanged::Refused(reason),
        },
    }
}
