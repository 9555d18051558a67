//! Accounts and tokens: made, changed, ended, and nobody told before it is on disk.

use chat::{
    AccountAnswer, AccountCommand, AccountError, CredentialsChange, HashedPassword, Input, Settings,
};
use records::{Millis, Role, ScramVerifier};
use serde_json::json;

use crate::world::{World, new_account};

fn token(world: &World, name: &str, first: u8) -> AccountCommand {
    AccountCommand::AddToken {
        account: world.id(name),
        sha256: [first; 32],
        label: "web".to_owned(),
        expires: Some(Millis::MAX),
    }
}

fn add(name: &str, display: &str, first: bool) -> AccountCommand {
    AccountCommand::Add {
        name: name.to_owned(),
        display: display.to_owned(),
        role: Role::Member,
        password: None,
        first,
        similar: false,
    }
}

fn hashed(argon2: &str, scram: Option<ScramVerifier>) -> HashedPassword {
    HashedPassword {
        argon2: argon2.to_owned(),
        scram,
    }
}

fn verifier(iterations: u32) -> ScramVerifier {
    ScramVerifier {
        salt: [1; 16],
        iterations,
        stored_key: [2; 32],
        server_key: [3; 32],
    }
}

/// The short form of what the doors that check logins were told.
fn changes(world: &mut World) -> Vec<String> {
    std::mem::take(&mut world.credentials)
        .into_iter()
        .map(|change| match change {
            CredentialsChange::Account { account, .. } => format!(
                "{} {:?} disabled={} removed={}",
                account.name, account.password, account.disabled, account.removed
            ),
            CredentialsChange::Token { sha256, .. } => format!("token {}", sha256[0]),
            CredentialsChange::TokenRevoked { sha256 } => format!("revoked {}", sha256[0]),
        })
        .collect()
}

#[test]
fn the_first_account_is_an_administrator_and_the_first_only() {
    let mut world = World::new();
    assert!(world.chat.is_empty());
    match world.command(add("alice", " 앨리스 ", true)) {
        Ok(AccountAnswer::Added { account, .. }) => {
            assert_eq!(
                (account.role, account.display.as_str()),
                (Role::Admin, "앨리스")
            );
        }
        other => panic!("{other:?}"),
    }
    assert!(!world.chat.is_empty());
    assert_eq!(
        world.command(add("bob", "", true)),
        Err(AccountError::SetupDone)
    );
    match world.command(add("bob", "", false)) {
        Ok(AccountAnswer::Added { account, .. }) => {
            assert_eq!(
                (account.role, account.display.as_str()),
                (Role::Member, "bob")
            );
        }
        other => panic!("{other:?}"),
    }
    let listed = world.chat.accounts();
    let names: Vec<_> = listed.iter().map(|account| account.name.as_str()).collect();
    assert_eq!(names, ["alice", "bob"]);
}

#[test]
fn an_account_is_answered_and_can_log_in_once_it_is_on_disk() {
    let mut world = World::new();
    world.holding = true;
    let request = world.request(new_account("alice", Role::Member));
    assert!(world.answered.is_empty());
    assert_eq!(changes(&mut world), [] as [&str; 0]);
    world.commit();
    assert!(world.answered[&request].is_ok());
    assert_eq!(
        changes(&mut world),
        [r#"alice Some("$argon2id$alice") disabled=false removed=false"#]
    );
}

#[test]
fn a_name_that_looks_like_another_has_to_be_insisted_on() {
    let mut world = World::new();
    for name in ["mary", "a1ice", "bob.l"] {
        world.add(name);
    }
    let name = "bob.l".to_owned();
    world.command(AccountCommand::Remove { name }).unwrap();
    world.restart();
    for (name, other) in [("rnary", "mary"), ("alice", "a1ice"), ("bob.1", "bob.l")] {
        let refused = world.command(add(name, "", false));
        let (name, other) = (name.to_owned(), other.to_owned());
        assert_eq!(refused, Err(AccountError::Similar { name, other }));
    }
    let mut insisted = add("rnary", "", false);
    if let AccountCommand::Add { similar, .. } = &mut insisted {
        *similar = true;
    }
    world.command(insisted).unwrap();
    world.add("bob");
}

#[test]
fn a_name_that_is_not_fit_or_taken_is_refused_with_a_sentence() {
    let mut world = World::with(Settings {
        accounts_max: 2,
        ..Settings::default()
    });
    world.add("alice");
    for name in ["", "Alice", "a b", "@bob", "-x", &"x".repeat(65)] {
        match world.command(add(name, "", false)) {
            Err(AccountError::Invalid(sentence)) => assert!(sentence.contains(' '), "{sentence}"),
            other => panic!("{name}: {other:?}"),
        }
    }
    for display in ["a\u{7}b", &"x".repeat(257)] {
        let refused = world.command(add("bob", display, false));
        assert!(
            matches!(refused, Err(AccountError::Invalid(_))),
            "{refused:?}"
        );
    }
    for display in ["Bo\u{200b}b", "B\u{43e}b", "\u{3164}"] {
        let refused = world.command(add("bob", display, false));
        assert!(
            matches!(refused, Err(AccountError::Invalid(_))),
            "{refused:?}"
        );
    }
    let taken = world.command(add("alice", "", false));
    assert_eq!(taken, Err(AccountError::Exists("alice".to_owned())));
    world.add("bob");
    let full = world.command(add("carol", "", false));
    assert!(matches!(full, Err(AccountError::Limit(_))), "{full:?}");
}

#[test]
fn another_password_ends_tokens_and_connections() {
    let mut world = World::of(&["alice", "bob"]);
    for (name, first) in [("alice", 1), ("alice", 2), ("bob", 3)] {
        let command = token(&world, name, first);
        world.command(command).unwrap();
    }
    changes(&mut world);
    let (alice, command) = (
        world.id("alice"),
        AccountCommand::SetPassword {
            name: "alice".to_owned(),
            password: hashed("new", None),
        },
    );
    assert_eq!(world.command(command), Ok(AccountAnswer::Done));
    assert_eq!(
        changes(&mut world),
        [
            r#"alice Some("new") disabled=false removed=false"#,
            "revoked 1",
            "revoked 2"
        ]
    );
    assert_eq!(world.closed, [alice]);
    assert_eq!(
        world.disk.in_range(records::Table::Token.range()).count(),
        1
    );
}

#[test]
fn a_disabled_account_is_closed_and_can_be_opened_again() {
    let mut world = World::of(&["alice", "bob"]);
    changes(&mut world);
    let command = |disabled| AccountCommand::SetDisabled {
        name: "bob".to_owned(),
        disabled,
    };
    assert_eq!(world.command(command(true)), Ok(AccountAnswer::Done));
    let bob = world.id("bob");
    assert_eq!(world.closed, [bob]);
    assert!(world.chat.accounts()[1].disabled);
    assert_eq!(
        world.refused("bob", "im/to/@alice", "hi").code,
        "not_allowed"
    );
    let refused = token(&world, "bob", 1);
    assert!(matches!(
        world.command(refused),
        Err(AccountError::NoSuch(_))
    ));
    // What is written to it waits for it.
    world.say("alice", "im/to/@bob", "hi");
    let appends = world.appends;
    assert_eq!(world.command(command(true)), Ok(AccountAnswer::Done));
    assert_eq!(world.appends, appends);
    assert_eq!(world.command(command(false)), Ok(AccountAnswer::Done));
    assert_eq!(changes(&mut world).len(), 2);
    world.say("bob", "im/to/@alice", "hi");
}

#[test]
fn a_disabled_account_has_no_tokens_when_it_is_opened_again() {
    let mut world = World::of(&["alice", "bob"]);
    for (name, first) in [("bob", 1), ("alice", 2), ("bob", 3)] {
        let command = token(&world, name, first);
        world.command(command).unwrap();
    }
    changes(&mut world);
    for disabled in [true, false] {
        let name = "bob".to_owned();
        let command = AccountCommand::SetDisabled { name, disabled };
        assert_eq!(world.command(command), Ok(AccountAnswer::Done));
    }
    let changes = changes(&mut world);
    assert_eq!(changes[1..3], ["revoked 1", "revoked 3"]);
    assert_eq!(changes.len(), 4, "{changes:?}");
    let left: Vec<_> = world.disk.in_range(records::Table::Token.range()).collect();
    assert_eq!(left.len(), 1);
    // All of its connections are closed, so none by its token.
    assert!(world.closed_tokens.is_empty());
}

#[test]
fn a_token_that_ends_ends_its_connections_and_one_that_is_used_lasts_longer() {
    let mut world = World::of(&["alice"]);
    for first in [1, 2] {
        let command = token(&world, "alice", first);
        world.command(command).unwrap();
    }
    changes(&mut world);
    let renew = |first| AccountCommand::RenewToken {
        sha256: [first; 32],
        expires: Millis::new(77),
    };
    assert_eq!(world.command(renew(2)), Ok(AccountAnswer::Done));
    let revoke = AccountCommand::RevokeToken { sha256: [1; 32] };
    assert_eq!(world.command(revoke), Ok(AccountAnswer::Done));
    assert_eq!(world.closed_tokens, [[1; 32]]);
    // What has ended is not brought back by a use that is told late.
    assert_eq!(world.command(renew(1)), Ok(AccountAnswer::Done));
    assert_eq!(changes(&mut world), ["token 2", "revoked 1"]);
    let (key, value) = world
        .disk
        .in_range(records::Table::Token.range())
        .next()
        .unwrap();
    let kept = records::Token::decode(&value).unwrap();
    assert_eq!(records::key::parse_token(key), Ok([2; 32]));
    assert_eq!((kept.expires, &*kept.label), (Some(Millis::new(77)), "web"));
}

#[test]
fn a_removed_account_leaves_its_groups_and_its_name_is_never_given_again() {
    let mut world = World::of(&["alice", "bob", "carol"]);
    world.ask(
        "bob",
        "group.create",
        r#"{"slug":"eng","accounts":["alice"]}"#,
    );
    world.say("bob", "im/to/eng", "mine");
    let command = token(&world, "bob", 1);
    world.command(command).unwrap();
    changes(&mut world);
    world.forget_inboxes();
    let bob = world.id("bob");
    let remove = || AccountCommand::Remove {
        name: "bob".to_owned(),
    };
    assert_eq!(world.command(remove()), Ok(AccountAnswer::Done));
    assert_eq!(
        changes(&mut world),
        ["bob None disabled=false removed=true", "revoked 1"]
    );
    assert_eq!(world.closed, [bob]);
    let events = world.take_json("alice", "im/in/eng/event");
    let told: Vec<_> = events
        .iter()
        .map(|(_, event)| (&event["action"], &event["accounts"][0]))
        .collect();
    assert_eq!(
        told,
        [
            (&json!("leave"), &json!("bob")),
            (&json!("role"), &json!("alice"))
        ]
    );
    let history = world.ask("alice", "history", r#"{"conv":"eng"}"#);
    assert_eq!(history["entries"][2]["from"], "bob");
    assert_eq!(world.chat.accounts().len(), 2);
    assert_eq!(
        world.command(remove()),
        Err(AccountError::NoSuch("bob".to_owned()))
    );
    let again = world.command(add("bob", "", false));
    assert_eq!(again, Err(AccountError::Exists("bob".to_owned())));
    world.restart();
    let again = world.command(add("bob", "", false));
    assert_eq!(again, Err(AccountError::Exists("bob".to_owned())));
}

#[test]
fn the_last_administrator_stays() {
    let mut world = World::new();
    world.command(add("alice", "", true)).unwrap();
    world.add("bob");
    let last = Err(AccountError::LastAdministrator("alice".to_owned()));
    let disable = |name: &str| AccountCommand::SetDisabled {
        name: name.to_owned(),
        disabled: true,
    };
    let remove = |name: &str| AccountCommand::Remove {
        name: name.to_owned(),
    };
    assert_eq!(world.command(disable("alice")), last);
    assert_eq!(world.command(remove("alice")), last);
    world.command(new_account("carol", Role::Admin)).unwrap();
    assert_eq!(world.command(disable("carol")), Ok(AccountAnswer::Done));
    assert_eq!(world.command(disable("alice")), last);
    let enable = AccountCommand::SetDisabled {
        name: "carol".to_owned(),
        disabled: false,
    };
    world.command(enable).unwrap();
    assert_eq!(world.command(remove("alice")), Ok(AccountAnswer::Done));
    let last = Err(AccountError::LastAdministrator("carol".to_owned()));
    assert_eq!(world.command(remove("carol")), last);
}

#[test]
fn too_many_tokens_end_the_oldest() {
    let mut world = World::new();
    world.add("alice");
    let account = world.id("alice");
    for number in 0..1_001_u32 {
        let mut sha256 = [0; 32];
        sha256[..4].copy_from_slice(&number.to_be_bytes());
        world.pass(1);
        world
            .command(AccountCommand::AddToken {
                account,
                sha256,
                label: "x".repeat(1_000),
                expires: None,
            })
            .unwrap();
    }
    let tokens = || records::Table::Token.range();
    assert_eq!(world.disk.in_range(tokens()).count(), 1_000);
    let first = world.disk.in_range(tokens()).next().unwrap();
    assert_eq!(
        records::key::parse_token(first.0).unwrap()[..4],
        [0, 0, 0, 1]
    );
    assert_eq!(world.chat.counters().tokens_displaced, 1);
    let mut last = [0; 32];
    last[..4].copy_from_slice(&1_000_u32.to_be_bytes());
    for _ in 0..2 {
        let revoke = AccountCommand::RevokeToken { sha256: last };
        assert_eq!(world.command(revoke), Ok(AccountAnswer::Done));
    }
    assert_eq!(world.disk.in_range(tokens()).count(), 999);
    // Where fewer are allowed after a reload, the next one ends as many as are too many.
    world.handle(Input::Reconfigure(Settings {
        tokens_max: 3,
        ..Settings::default()
    }));
    world.command(token(&world, "alice", 255)).unwrap();
    assert_eq!(world.disk.in_range(tokens()).count(), 3);
    assert_eq!(world.chat.counters().tokens_displaced, 998);
}

#[test]
fn a_verifier_belongs_to_its_password_and_ends_with_it() {
    let mut world = World::new();
    for name in ["root", "alice"] {
        world.command(new_account(name, Role::Member)).unwrap();
    }
    let id = world.id("alice");
    // How often the kept form was stretched, after a command; `None` if nobody was told anything.
    let kept = |world: &mut World, command| {
        world.credentials.clear();
        world.command(command).unwrap();
        let told = world.credentials.pop()?;
        match told {
            CredentialsChange::Account { account, .. } => {
                Some(account.scram.map(|kept| kept.iterations))
            }
            other => panic!("{other:?}"),
        }
    };
    let keep = |argon2: &str, iterations| AccountCommand::KeepVerifier {
        account: id,
        argon2: argon2.to_owned(),
        scram: verifier(iterations),
    };
    let set = |argon2: &str, scram| AccountCommand::SetPassword {
        name: "alice".to_owned(),
        password: hashed(argon2, scram),
    };
    assert_eq!(kept(&mut world, keep("$argon2id$alice", 1)), Some(Some(1)));
    assert_eq!(kept(&mut world, keep("$argon2id$alice", 2)), Some(Some(2)));
    assert_eq!(kept(&mut world, keep("of another password", 3)), None);
    assert_eq!(kept(&mut world, set("new", None)), Some(None));
    assert_eq!(kept(&mut world, keep("$argon2id$alice", 4)), None);
    assert_eq!(
        kept(&mut world, set("newer", Some(verifier(5)))),
        Some(Some(5))
    );
    let other = AccountCommand::KeepVerifier {
        account: records::AccountId::new(99),
        argon2: "newer".to_owned(),
        scram: verifier(6),
    };
    assert_eq!(kept(&mut world, other), None);
    let remove = AccountCommand::Remove {
        name: "alice".to_owned(),
    };
    assert_eq!(kept(&mut world, remove), Some(None));
}

#[test]
fn accounts_that_do_not_exist_are_no_mistake_of_the_servers() {
    let mut world = World::new();
    let name = || "nobody".to_owned();
    for command in [
        AccountCommand::SetPassword {
            name: name(),
            password: hashed("", None),
        },
        AccountCommand::SetDisabled {
            name: name(),
            disabled: true,
        },
        AccountCommand::Remove { name: name() },
    ] {
        assert_eq!(world.command(command), Err(AccountError::NoSuch(name())));
    }
    assert_eq!(world.appends, 0);
}
