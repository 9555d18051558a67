//! How a messenger behaves in which very much was said long ago: how long it takes until it is ready, what it holds in memory, and how
//! long whoever comes waits for the list of conversations, the first message to a conversation that was silent, and what was missed.
//! The rows are written where the server keeps them, not over the wire.
//!
//!     MAGPIE_BIN=target/release/magpie cargo run --release -p magpie --example large_messenger -- [accounts] [looks]
//!
//! With 100,000 accounts (the default) there are 1,000,000 conversations with 10,000,000 members: each account talks to 18 others and is in
//! 82 groups.

#![allow(
    clippy::unwrap_used,
    reason = "a measurement that cannot go on says where"
)]

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use bytes::Bytes;
use harness::{Client, Launch, QoS, Server, Version};
use records::{
    Account, AccountId, AccountName, Conversation, ConversationId, ConversationKind, Entry,
    EntryKind, GroupSlug, HistoryAccess, Joined, Member, MemberRole, Millis, PartitionId, Place,
    Pos, Role, Seq, Token, Write, key,
};
use serde_json::json;
use sha2::{Digest as _, Sha256};
use store::{Batch, DataDir, EmbeddedStore, Holder, OpenOptions, Store as _};

const ACCOUNTS: u64 = 100_000;
const LOOKS: usize = 500;
/// Direct chats that each account has begun.
const CHATS: u64 = 9;
/// Members of a group. There is one group for each account.
const MEMBERS: u64 = 82;
/// Messages in each conversation.
const MESSAGES: u64 = 3;
/// Bytes written at once.
const BATCH_BYTES: usize = 4 * 1024 * 1024;
/// 2025-06-01, long ago.
const THEN: u64 = 1_748_736_000_000;

fn main() {
    let mut arguments = std::env::args().skip(1);
    let accounts = arguments
        .next()
        .map_or(ACCOUNTS, |given| given.parse().unwrap());
    let looks = arguments
        .next()
        .map_or(LOOKS, |given| given.parse().unwrap());
    let config = "[chat]\nmessages_per_second_max = 100000\nmessages_burst_max = 100000\n";
    let mut server = Launch::new().config(config).keeps_addresses().start();
    let empty = resident(&server);
    assert!(server.terminate().0.success());

    let begun = Instant::now();
    let filled = Filling::new(&server, accounts).fill();
    println!(
        "{} conversations, {} members, {} messages of {accounts} accounts, written in {:.0} s",
        filled.conversations,
        filled.members,
        filled.messages,
        begun.elapsed().as_secs_f64()
    );
    // The first start after so much was written still has the journal to read, and years of tables to merge in a minute.
    server.restart();
    let merged = settle(&server);
    println!("merged for {:.0} s", merged.as_secs_f64());
    assert!(server.terminate().0.success());
    let begun = Instant::now();
    server.restart();
    println!("ready after {:.2} s", begun.elapsed().as_secs_f64());
    println!(
        "resident before anybody talks: {:.1} MB ({:.1} MB when empty)",
        resident(&server),
        empty
    );

    let stride = (accounts / looks as u64).max(1);
    let mut lists = Vec::new();
    let mut first_messages = Vec::new();
    let mut catch_ups = Vec::new();
    for look in 0..looks as u64 {
        let account = look * stride;
        let mut client = connect(&server, account);
        client
            .subscribe(&[("im/answer/+", QoS::AtMostOnce)])
            .unwrap();
        let (listed, took) = timed(|| client.ask("conversations", "l", &json!({})).unwrap());
        assert!(
            listed["conversations"]
                .as_array()
                .is_some_and(|list| list.len() > 90),
            "{listed}"
        );
        lists.push(took);
        let peer = (account + 1 + look % CHATS) % accounts;
        let topic = format!("im/to/@{}", name(peer));
        let (said, took) =
            timed(|| client.publish(&topic, "are you still there?", QoS::AtLeastOnce));
        assert_eq!(said, Ok(0));
        first_messages.push(took);
        // Somebody else, who has been away since before it.
        let mut other = connect(&server, (account + accounts / 2) % accounts);
        other
            .subscribe(&[("im/answer/+", QoS::AtMostOnce)])
            .unwrap();
        let since = Pos::at(Pos::tick_of(THEN) + 1, PartitionId::new(0));
        let asked = json!({"since": format!("{since}-")});
        let (missed, took) = timed(|| other.ask("sync", "s", &asked).unwrap());
        assert!(
            missed["entries"]
                .as_array()
                .is_some_and(|entries| entries.len() > 90),
            "{missed}"
        );
        catch_ups.push(took);
    }
    tell(
        "`conversations` of an account that has not been here",
        lists,
    );
    tell(
        "first message of a cold conversation, with its fsync",
        first_messages,
    );
    tell("`sync` of 100 cold conversations, 200 entries", catch_ups);
    println!(
        "resident after {looks} have talked: {:.1} MB, of which conversations {:.1} MB",
        resident(&server),
        server.metric("magpie_chat_loaded_bytes", "") as f64 / 1e6
    );
}

/// Waits until the store has nothing more to merge.
fn settle(server: &Server) -> Duration {
    const QUIET: Duration = Duration::from_secs(3);
    let begun = Instant::now();
    let mut written = 0;
    let mut since = begun;
    while since.elapsed() < QUIET {
        std::thread::sleep(Duration::from_millis(100));
        let now = server.metric("magpie_store_table_written_bytes_total", "");
        if now != written {
            (written, since) = (now, Instant::now());
        }
    }
    begun.elapsed()
}

fn timed<T>(work: impl FnOnce() -> T) -> (T, Duration) {
    let begun = Instant::now();
    let done = work();
    (done, begun.elapsed())
}

fn tell(what: &str, mut took: Vec<Duration>) {
    took.sort_unstable();
    let at = |share: f64| took[((took.len() - 1) as f64 * share) as usize].as_secs_f64() * 1e3;
    println!(
        "{what}: p50 {:.2} ms, p99 {:.2} ms, at most {:.2} ms",
        at(0.5),
        at(0.99),
        at(1.0)
    );
}

fn resident(server: &Server) -> f64 {
    server.metric("process_resident_memory_bytes", "") as f64 / 1e6
}

fn name(account: u64) -> String {
    format!("person{account:06}")
}

fn secret(account: u64) -> String {
    format!("mpt_large{account:06}")
}

fn connect(server: &Server, account: u64) -> Client {
    let dial = harness::Dial::new(server.mqtt(), Version::V5, "phone");
    dial.login(&name(account), &secret(account))
        .connect()
        .unwrap()
}

fn id(account: u64) -> AccountId {
    AccountId::new(account + 1)
}

#[derive(Default)]
struct Filled {
    conversations: u64,
    members: u64,
    messages: u64,
}

struct Filling {
    store: EmbeddedStore,
    accounts: u64,
    batch: Vec<Write>,
    bytes: usize,
    tick: u64,
    numbers: BTreeMap<PartitionId, u64>,
    filled: Filled,
}

impl Filling {
    fn new(server: &Server, accounts: u64) -> Self {
        let directory = DataDir::open(&server.data(), Holder::this_process(Millis::ZERO)).unwrap();
        Self {
            store: EmbeddedStore::open(&directory, OpenOptions::default()).unwrap(),
            accounts,
            batch: Vec::new(),
            bytes: 0,
            tick: Pos::tick_of(THEN),
            numbers: BTreeMap::new(),
            filled: Filled::default(),
        }
    }

    fn fill(mut self) -> Filled {
        for account in 0..self.accounts {
            self.account(account);
        }
        for account in 0..self.accounts {
            for other in 1..=CHATS {
                let (one, other) = (id(account), id((account + other) % self.accounts));
                let kind = ConversationKind::Direct {
                    low: one.min(other),
                    high: one.max(other),
                };
                let partition = PartitionId::of_pair(one, other);
                let address = key::pair_address(one, other);
                self.conversation(partition, address, kind, &[one.min(other), one.max(other)]);
            }
            let slug = GroupSlug::parse(&format!("group{account:06}")).unwrap();
            let stride = (self.accounts / MEMBERS).max(1);
            let mut members: Vec<AccountId> = (0..MEMBERS)
                .map(|member| id((account + member * stride) % self.accounts))
                .collect();
            members.sort_unstable();
            members.dedup();
            let partition = PartitionId::of_group(slug.as_str());
            let address = key::group_address(slug.as_str());
            let kind = ConversationKind::Group {
                title: slug.to_string(),
                slug,
                open: false,
                history: HistoryAccess::All,
                left_by: None,
            };
            self.conversation(partition, address, kind, &members);
        }
        let ceiling = key::encode_number(self.tick + 1);
        self.put(key::meta(key::META_POSITIONS), ceiling);
        self.flush();
        self.filled
    }

    fn account(&mut self, account: u64) {
        let record = Account {
            name: AccountName::parse(&name(account)).unwrap(),
            display: format!("Person Number {account}"),
            role: Role::Member,
            // As long as one is.
            password: Some(format!("$argon2id$v=19$m=19456,t=2,p=1${}", "x".repeat(66))),
            disabled: false,
            removed: false,
            created: Millis::new(THEN),
            profile_text: String::new(),
            scram: None,
        };
        self.put(key::account(id(account)), record.encode());
        let token = Token {
            account: id(account),
            label: "phone".to_owned(),
            created: Millis::new(THEN),
            expires: None,
        };
        let sha256: [u8; 32] = Sha256::digest(secret(account)).into();
        self.put(key::token(&sha256), token.encode());
    }

    fn conversation(
        &mut self,
        partition: PartitionId,
        address: Vec<u8>,
        kind: ConversationKind,
        members: &[AccountId],
    ) {
        let number = self.numbers.entry(partition).or_default();
        *number += 1;
        let conversation = ConversationId::in_partition(partition, *number);
        let is_direct = matches!(kind, ConversationKind::Direct { .. });
        let slug = match &kind {
            ConversationKind::Group { slug, .. } => Some(slug.clone()),
            ConversationKind::Direct { .. } | ConversationKind::Ended { .. } => None,
        };
        let record = Conversation {
            kind,
            created: Millis::new(THEN),
            created_by: members[0],
            member_count: members.len() as u32,
        };
        self.put(key::conversation(conversation), record.encode());
        self.put(address, key::encode_number(conversation.value()));
        self.tick += 1;
        let joined = Pos::at(self.tick, partition);
        for member in members {
            let row = Member {
                role: if is_direct || *member != members[0] {
                    MemberRole::Member
                } else {
                    MemberRole::Owner
                },
                joined,
                joined_at: Millis::new(THEN),
                read: Seq::new(1),
                received: Seq::new(MESSAGES),
                moved: joined,
                own: is_direct && *member == members[0],
                stored_bytes: 0,
                shown: None,
            };
            self.put(key::member(conversation, *member), row.encode());
            let place = match &slug {
                Some(slug) => Place::Group { slug: slug.clone() },
                None => Place::Direct {
                    peer: *members
                        .iter()
                        .find(|other| *other != member)
                        .unwrap_or(member),
                },
            };
            let list = Joined {
                place,
                since: Some(joined),
                own: row.own,
                abandoned: false,
                stays: Vec::new(),
            };
            self.put(key::joined(*member, conversation), list.encode());
        }
        for seq in 1..=MESSAGES {
            self.tick += 1;
            let pos = Pos::at(self.tick, partition);
            let author = members[seq as usize % members.len()];
            let text = "the quick brown fox jumps over the lazy dog";
            let wire = json!({
                "kind": "message", "seq": seq, "pos": pos.to_string(), "from": name(author.value() - 1),
                "device": "phone", "at": THEN, "text": text,
            });
            let entry = Entry {
                pos,
                seq: Some(Seq::new(seq)),
                from: author,
                at: Millis::new(THEN),
                kind: EntryKind::Message,
                wire: Bytes::from(wire.to_string()),
            };
            self.put(key::entry(conversation, Seq::new(seq), pos), entry.encode());
        }
        self.filled.conversations += 1;
        self.filled.members += members.len() as u64;
        self.filled.messages += MESSAGES;
    }

    fn put(&mut self, key: Vec<u8>, value: Vec<u8>) {
        self.bytes += key.len() + value.len();
        self.batch.push(Write::Put { key, value });
        if self.bytes >= BATCH_BYTES {
            self.flush();
        }
    }

    fn flush(&mut self) {
        let batch = Batch {
            writes: std::mem::take(&mut self.batch),
            ..Batch::default()
        };
        self.bytes = 0;
        self.store.commit(batch).unwrap();
    }
}
