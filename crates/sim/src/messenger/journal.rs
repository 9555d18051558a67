//! What was ever stored, and from that, who was where when: a model of the messenger that reads nothing but the entries themselves.

use std::collections::BTreeMap;

use records::key::{self, AddressKey};
use records::{
    AccountId, Conversation, ConversationId, ConversationKind, Entry, Pos, Table, Write,
};
use serde_json::Value;

const READABLE: &str = "a node writes what can be read";

/// See the file's header. Nothing is ever taken out of it.
#[derive(Clone, Default)]
pub(super) struct Journal {
    /// In the order in which they came to the disk.
    pub(super) entries: Vec<(ConversationId, Entry)>,
    places: BTreeMap<ConversationId, Place>,
    ended: BTreeMap<ConversationId, Pos>,
    newest: BTreeMap<ConversationId, Pos>,
}

/// Where a conversation is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Place {
    Pair(AccountId, AccountId),
    Group(String),
}

/// A conversation as its entries tell it.
#[derive(Debug)]
pub(super) struct Story {
    pub(super) id: ConversationId,
    pub(super) place: Place,
    pub(super) entries: Vec<Told>,
    /// Of each account by name: from which entry to which it was a member, both included.
    stays: BTreeMap<String, Vec<(Pos, Option<Pos>)>>,
    pub(super) ended: Option<Pos>,
}

/// An entry.
#[derive(Debug, Clone)]
pub(super) struct Told {
    pub(super) pos: Pos,
    pub(super) seq: Option<u64>,
    pub(super) json: Value,
    /// Its place among everything that came to the store.
    pub(super) number: usize,
}

impl Journal {
    pub(super) fn note(&mut self, write: &Write) {
        let Write::Put { key, value } = write else {
            return;
        };
        match Table::of(key) {
            Ok(Table::Entry) => {
                let (id, _, _) = key::parse_entry(key).expect(READABLE);
                let entry = Entry::decode(&value.clone().into()).expect(READABLE);
                self.newest.insert(id, entry.pos);
                self.entries.push((id, entry));
            }
            Ok(Table::Address) => {
                let id = key::decode_number(Table::Address, value).expect(READABLE);
                let place = match key::parse_address(key).expect(READABLE) {
                    AddressKey::Pair(low, high) => Place::Pair(low, high),
                    AddressKey::Slug(slug) => Place::Group(slug.to_owned()),
                };
                self.places.insert(ConversationId::new(id), place);
            }
            Ok(Table::Conversation) => {
                let id = key::parse_conversation(key).expect(READABLE);
                if let ConversationKind::Ended { at } =
                    Conversation::decode(value).expect(READABLE).kind
                {
                    self.ended.insert(id, at);
                }
            }
            Ok(_) | Err(_) => {}
        }
    }

    /// The newest entry of a conversation.
    pub(super) fn newest(&self, id: ConversationId) -> Option<Pos> {
        self.newest.get(&id).copied()
    }

    /// Every conversation there ever was.
    pub(super) fn stories(&self, name_of: impl Fn(AccountId) -> String) -> Vec<Story> {
        let mut stories: BTreeMap<ConversationId, Story> = BTreeMap::new();
        for (id, place) in &self.places {
            let always = |account: &AccountId| (name_of(*account), vec![(Pos::ZERO, None)]);
            let stays = match place {
                Place::Pair(low, high) => [low, high].map(always).into(),
                Place::Group(_) => BTreeMap::new(),
            };
            let story = Story {
                id: *id,
                place: place.clone(),
                entries: Vec::new(),
                stays,
                ended: self.ended.get(id).copied(),
            };
            stories.insert(*id, story);
        }
        for (number, (id, entry)) in self.entries.iter().enumerate() {
            let story = stories
                .get_mut(id)
                .expect("its address came with its first entry");
            let json: Value = serde_json::from_slice(&entry.wire).expect(READABLE);
            story.apply(entry.pos, &json);
            story.entries.push(Told {
                pos: entry.pos,
                seq: entry.seq.map(|seq| seq.value()),
                json,
                number,
            });
        }
        stories.into_values().collect()
    }
}

impl Story {
    fn apply(&mut self, pos: Pos, json: &Value) {
        if json["kind"] != "member" {
            return;
        }
        for name in json["accounts"].as_array().expect(READABLE) {
            let stays = self
                .stays
                .entry(name.as_str().expect(READABLE).to_owned())
                .or_default();
            match json["action"].as_str().expect(READABLE) {
                "join" => {
                    assert!(
                        stays.last().is_none_or(|(_, until)| until.is_some()),
                        "{json}"
                    );
                    stays.push((pos, None));
                }
                "leave" => {
                    let last = stays.last_mut().filter(|(_, until)| until.is_none());
                    last.expect("only a member leaves").1 = Some(pos);
                }
                "role" => {}
                other => panic!("{other}"),
            }
        }
    }

    /// Whether an account gets an entry of this position.
    pub(super) fn gets(&self, name: &str, pos: Pos) -> bool {
        let stays = self.stays.get(name).into_iter().flatten();
        stays
            .into_iter()
            .any(|(since, until)| *since <= pos && until.is_none_or(|until| pos <= until))
    }

    /// Whether an account is a member.
    pub(super) fn holds(&self, name: &str) -> bool {
        let last = self.stays.get(name).and_then(|stays| stays.last());
        self.ended.is_none() && last.is_some_and(|(_, until)| until.is_none())
    }

    /// When an account has left it, if it is none any more: by itself, or because the group was deleted.
    pub(super) fn left(&self, name: &str) -> Option<Pos> {
        let (_, until) = self.stays.get(name)?.last()?;
        until.or(self.ended)
    }

    pub(super) fn member_count(&self) -> usize {
        self.stays.keys().filter(|name| self.holds(name)).count()
    }

    /// How many times an account came into it.
    pub(super) fn stays(&self, name: &str) -> usize {
        self.stays.get(name).map_or(0, Vec::len)
    }

    /// What an account calls it.
    pub(super) fn called(
        &self,
        account: AccountId,
        name_of: impl Fn(AccountId) -> String,
    ) -> String {
        match &self.place {
            Place::Pair(low, high) if *low == account => format!("@{}", name_of(*high)),
            Place::Pair(low, _) => format!("@{}", name_of(*low)),
            Place::Group(slug) => slug.clone(),
        }
    }
}
