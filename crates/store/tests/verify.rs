//! `verify` on running stores, stopped ones and backups: it finds what was spoilt and nothing else, and changes nothing.

#![allow(clippy::unwrap_used, reason = "a test")]

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use records::key;
use records::{
    Account, AccountId, AccountName, Conversation, ConversationId, ConversationKind, Dedup, Entry,
    EntryKind, GroupSlug, Member, MemberRole, Millis, Pos, Role, Seq, Session, SessionNumber,
    Stamp, Subscription, Token, Write,
};
use store::{
    BackupOptions, Batch, DataDir, Durability, EmbeddedStore, FolderTarget, Holder, OpenOptions,
    Store, Verification, VerifyError, VerifyEvent, verify_backup, verify_data_dir,
};

const MESSAGES: u64 = 3000;

fn holder() -> Holder {
    Holder::this_process(Millis::ZERO)
}

fn open(path: &Path) -> EmbeddedStore {
    let data_dir = DataDir::open(path, holder()).unwrap();
    let options = OpenOptions {
        // Thousands of commits, and no power cut.
        durability: Durability::Interval(Duration::from_secs(1)),
        ..OpenOptions::default()
    };
    EmbeddedStore::open(&data_dir, options).unwrap()
}

fn put(key: Vec<u8>, value: Vec<u8>) -> Write {
    Write::Put { key, value }
}

fn commit(store: &EmbeddedStore, writes: Vec<Write>) {
    let preconditions = Vec::new();
    store
        .commit(Batch {
            preconditions,
            writes,
            ..Batch::default()
        })
        .unwrap();
}

fn account(name: &str) -> Vec<u8> {
    Account {
        name: AccountName::parse(name).unwrap(),
        display: name.to_owned(),
        role: Role::Member,
        password: None,
        disabled: false,
        created: Millis::ZERO,
        profile_text: String::new(),
        removed: false,
        scram: None,
        departed_bytes: 0,
    }
    .encode()
}

fn member() -> Vec<u8> {
    Member {
        role: MemberRole::Member,
        joined: Pos::ZERO,
        joined_at: Millis::ZERO,
        read: Seq::ZERO,
        received: Seq::ZERO,
        own: true,
        stored_bytes: 0,
    }
    .encode()
}

fn conversation(kind: ConversationKind) -> Vec<u8> {
    Conversation {
        kind,
        created: Millis::ZERO,
        created_by: AccountId::new(1),
    }
    .encode()
}

/// A small server's rows: three accounts, a direct chat, a group with messages, a session.
fn fill(store: &EmbeddedStore) {
    let (alice, bob, carol) = (AccountId::new(1), AccountId::new(2), AccountId::new(3));
    let (direct, group) = (ConversationId::new(1), ConversationId::new(2));
    let mut writes = vec![
        put(key::account(alice), account("alice")),
        put(key::account(bob), account("bob")),
        put(key::account(carol), account("carol")),
        put(
            key::token(&[7; 32]),
            Token {
                account: alice,
                label: "laptop".to_owned(),
                created: Millis::ZERO,
                expires: Some(Millis::MAX),
            }
            .encode(),
        ),
        put(
            key::conversation(direct),
            conversation(ConversationKind::Direct {
                low: alice,
                high: bob,
            }),
        ),
        put(
            key::conversation(group),
            conversation(ConversationKind::Group {
                slug: GroupSlug::parse("eng").unwrap(),
                title: "Engineering".to_owned(),
                open: false,
            }),
        ),
    ];
    for (conversation, account) in [
        (direct, alice),
        (direct, bob),
        (group, alice),
        (group, carol),
    ] {
        writes.push(put(key::member(conversation, account), member()));
    }
    let session = Session {
        number: SessionNumber::new(77),
        expiry_secs: 60,
        disconnected_at: None,
        chat_cursor: Pos::ZERO,
        queue_cursors: Vec::new(),
        protocol_level: 5,
        progress: records::Progress::default(),
    };
    writes.push(put(key::session(alice, "laptop"), session.encode()));
    let subscription = Subscription {
        since: Stamp::new(1),
        ..Subscription::default()
    };
    writes.push(put(
        key::subscription(session.number, "a/#"),
        subscription.encode(),
    ));
    commit(store, writes);
    for number in 1..=MESSAGES {
        let conversation = if number % 3 == 0 { direct } else { group };
        let seq = match number % 3 {
            0 => number / 3,
            rest => number / 3 * 2 + rest,
        };
        message(store, conversation, seq, number);
    }
}

fn message(store: &EmbeddedStore, conversation: ConversationId, seq: u64, pos: u64) {
    let (seq, pos) = (Seq::new(seq), Pos::new(pos));
    let entry = Entry {
        pos,
        seq: Some(seq),
        from: AccountId::new(1),
        at: Millis::new(5),
        kind: EntryKind::Message,
        wire: format!("{{\"text\":\"{}\"}}", "x".repeat(40)).into(),
    };
    let dedup = Dedup {
        conversation,
        seq,
        pos,
        at: Millis::new(5),
    };
    let mid = format!("mid-{}", pos.value());
    commit(
        store,
        vec![
            put(key::entry(conversation, pos), entry.encode()),
            put(key::seq(conversation, seq), key::encode_pos(pos)),
            put(key::dedup(1, AccountId::new(1), &mid), dedup.encode()),
        ],
    );
}

/// What is found, in words, and the outcome.
#[derive(Default)]
struct Told(Vec<String>);

impl Told {
    fn hear(&mut self, event: VerifyEvent) {
        match event {
            VerifyEvent::Finding(finding) => self.0.push(finding.what),
            VerifyEvent::Progress(progress) => {
                assert!(progress.total.is_some_and(|total| progress.done <= total));
            }
        }
    }
}

fn running(store: &EmbeddedStore) -> (Vec<String>, Verification) {
    let mut told = Told::default();
    let outcome = store.verifier().unwrap().run(&mut |event| told.hear(event));
    (told.0, outcome)
}

fn stopped(data: &Path) -> (Vec<String>, Verification) {
    let mut told = Told::default();
    let outcome = verify_data_dir(data, holder(), &mut |event| told.hear(event)).unwrap();
    (told.0, outcome)
}

fn backup(target: &Path) -> (Vec<String>, Verification) {
    let mut told = Told::default();
    let (_, outcome) = verify_backup(target, None, &mut |event| told.hear(event)).unwrap();
    (told.0, outcome)
}

fn back_up(store: &EmbeddedStore, target: &Path) {
    let options = BackupOptions {
        at: Millis::new(1),
        rate: None,
        keep: None,
    };
    let folder = FolderTarget::open(target).unwrap();
    let mut image = store.image().unwrap();
    folder.write(&mut image, &options, &mut |_| ()).unwrap();
}

/// Name and contents of every file below a folder, but for the lock.
fn contents(folder: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
    let mut found = BTreeMap::new();
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            found.extend(contents(&path));
        } else if !path.ends_with("lock") {
            found.insert(path.clone(), fs::read(&path).unwrap());
        }
    }
    found
}

#[test]
fn a_whole_store_is_found_whole_and_left_as_it_is() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data");
    let store = open(&data);
    fill(&store);
    let rows = 3 * MESSAGES + 12 + 1;
    // In memtables alone, and then in tables and memtables.
    for _ in 0..2 {
        let (found, outcome) = running(&store);
        assert_eq!(found, Vec::<String>::new());
        assert_eq!((outcome.findings, outcome.leftovers), (0, 0));
        assert_eq!(outcome.rows, rows);
        assert_eq!(outcome.commit, MESSAGES + 2);
        store.flush().unwrap();
    }
    assert!(running(&store).1.tables >= 3);
    let target = folder.path().join("backup");
    back_up(&store, &target);
    drop(store);
    let before = contents(folder.path());
    for (found, outcome) in [stopped(&data), backup(&target)] {
        assert_eq!(found, Vec::<String>::new());
        assert_eq!(outcome.rows, rows);
        assert_eq!(outcome.commit, MESSAGES + 2);
    }
    assert!(contents(folder.path()) == before, "verify changed a file");
}

#[test]
fn whatever_is_cut_off_unacknowledged_is_no_damage() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data");
    let store = open(&data);
    fill(&store);
    drop(store);
    let journals = contents(&data.join("store"));
    let newest = journals
        .keys()
        .rfind(|path| path.extension().is_some_and(|end| end == "jnl"));
    let newest = newest.unwrap();
    let mut torn = fs::read(newest).unwrap();
    torn.extend_from_slice(b"MGPC and what else a write leaves that was cut off");
    fs::write(newest, &torn).unwrap();
    assert_eq!(stopped(&data).0, Vec::<String>::new());
    assert_eq!(fs::read(newest).unwrap(), torn);
    // What was acknowledged is missed.
    fs::write(newest, &torn[..torn.len() / 2]).unwrap();
    let (found, _) = stopped(&data);
    assert!(
        found.iter().any(|what| what.contains("was acknowledged")),
        "{found:?}"
    );
}

#[test]
fn every_flipped_byte_of_a_table_is_found() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data");
    let store = open(&data);
    fill(&store);
    store.flush().unwrap();
    let target = folder.path().join("backup");
    back_up(&store, &target);
    drop(store);
    let tables: Vec<PathBuf> = contents(&data.join("store"))
        .into_keys()
        .filter(|path| path.extension().is_some_and(|end| end == "tab"))
        .collect();
    assert!(tables.len() >= 3);
    for table in tables {
        let whole = fs::read(&table).unwrap();
        for at in (0..whole.len())
            .step_by(whole.len() / 25 + 1)
            .chain([whole.len() - 1])
        {
            let mut spoilt = whole.clone();
            spoilt[at] ^= 0x40;
            fs::write(&table, &spoilt).unwrap();
            let (found, outcome) = stopped(&data);
            assert!(outcome.findings > 0, "{} byte {at}", table.display());
            let name = table.file_name().unwrap().to_string_lossy();
            assert!(found[0].contains(&*name), "{found:?}");
        }
        fs::write(&table, &whole).unwrap();
    }
    assert_eq!(stopped(&data).1.findings, 0);
    let tables = contents(&target.join("tables"));
    let (table, bytes) = tables.first_key_value().unwrap();
    let mut spoilt = bytes.clone();
    spoilt[100] ^= 1;
    fs::write(table, spoilt).unwrap();
    let (found, _) = backup(&target);
    assert!(found[0].contains("is not what was written"), "{found:?}");
    // Which rows it costs follows.
    assert!(
        found[1].contains("rows from the first row up to"),
        "{found:?}"
    );
}

#[test]
fn rows_that_name_what_is_not_there_are_found() {
    let (alice, bob) = (AccountId::new(1), AccountId::new(2));
    let (direct, group) = (ConversationId::new(1), ConversationId::new(2));
    let delete = |key| Write::Delete { key };
    let cases: Vec<(Write, &str)> = vec![
        (
            delete(key::entry(direct, Pos::new(3))),
            "number 1 of conversation 1: its message is missing",
        ),
        (
            delete(key::seq(group, Seq::new(1))),
            "entry 1 of conversation 2: its number is missing",
        ),
        (delete(key::account(alice)), "its account does not exist"),
        (
            delete(key::conversation(group)),
            "member 1 of conversation 2: its conversation does not exist",
        ),
        (
            delete(key::member(direct, bob)),
            "conversation 1: one of its two members is missing",
        ),
        (
            put(key::account(bob), account("alice")),
            "account 2: another account has the same name",
        ),
        (
            put(key::account(bob), vec![9, 9]),
            "account 2: it cannot be read",
        ),
        (
            put(key::member(direct, AccountId::new(3)), member()),
            "it is in a direct chat of two others",
        ),
        (
            put(key::seq(group, Seq::new(2)), key::encode_pos(Pos::new(1))),
            "it names another entry",
        ),
        (
            put(
                key::incoming(SessionNumber::new(5), 1),
                records::Incoming {}.encode(),
            ),
            "its session does not exist",
        ),
        (
            put(key::queue(Stamp::new(4)), vec![1]),
            "queued message 4: it cannot be read",
        ),
        (
            put(key::meta("format"), vec![0, 0, 0, 9]),
            "it is no version of this release",
        ),
    ];
    let folder = tempfile::tempdir().unwrap();
    for (number, (write, expected)) in cases.into_iter().enumerate() {
        let store = open(&folder.path().join(number.to_string()));
        fill(&store);
        commit(&store, vec![write]);
        let (found, _) = running(&store);
        assert!(
            found.iter().any(|what| what.contains(expected)),
            "{expected}: {found:?}"
        );
        assert!(found.len() <= 90, "{} are told", found.len());
    }
}

#[test]
fn what_is_no_store_is_said() {
    let folder = tempfile::tempdir().unwrap();
    let refused = verify_data_dir(folder.path(), holder(), &mut |_| ()).unwrap_err();
    assert!(matches!(refused, VerifyError::Nothing(_)), "{refused}");
    let data = folder.path().join("data");
    let _store = open(&data);
    let refused = verify_data_dir(&data, holder(), &mut |_| ()).unwrap_err();
    assert!(matches!(refused, VerifyError::DataDir(_)), "{refused}");
}
