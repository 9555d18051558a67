//! Members of shared subscriptions that read while the server is killed: of each group somebody gets each acknowledged
//! message, whoever is away, and at QoS 2 nobody gets it twice.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use crate::{Client, ClientError, Event, Message, PATIENCE, QoS, Server, Version};

use super::ledger::END;
use super::ledger::{Entries, Key};
use super::random::Random;
use super::stage::{Round, Stage};

/// One round in so many is missed.
const MISSED: u64 = 3;
/// How long one member is listened to before the others are.
const LISTEN: Duration = Duration::from_millis(20);

/// One group.
pub struct Crew {
    filter: String,
    qos: QoS,
    members: Vec<Member>,
}

struct Member {
    client: Client,
    /// It is away until everything is over.
    rests: bool,
    random: Random,
    messages: Vec<Message>,
}

impl Crew {
    /// Makes the sessions of a group at QoS 1 and of one at QoS 2.
    pub fn gather(server: &Server, random: &mut Random) -> Vec<Self> {
        let crews = [(QoS::AtLeastOnce, "one"), (QoS::ExactlyOnce, "two")];
        let gather = |(qos, name): (QoS, &str)| {
            let filter = format!("$share/{name}/plant/#");
            let members = [(Version::V5, 1), (Version::V311, 2), (Version::V5, 3)];
            let members = members.map(|(version, number)| {
                let device = format!("crew-{name}-{number}");
                let dial = server.dial(version, "bob", &device).persistent();
                let mut client = Client::connect(dial).expect("the server stays");
                let granted = client.subscribe(&[(&filter, qos)]);
                assert_eq!(granted, Ok(vec![qos as u8]));
                client.drop_connection();
                Member {
                    client,
                    rests: number == 3,
                    random: random.fork(),
                    messages: Vec::new(),
                }
            });
            Self {
                filter: filter.clone(),
                qos,
                members: members.into(),
            }
        };
        crews.map(gather).into()
    }

    /// The members read round after round, up to the last.
    pub fn spawn(self, stage: &Arc<Stage>) -> Reading {
        let spawn = |member: Member| {
            let stage = Arc::clone(stage);
            std::thread::spawn(move || member.read_rounds(&stage))
        };
        Reading {
            filter: self.filter,
            qos: self.qos,
            members: self.members.into_iter().map(spawn).collect(),
        }
    }
}

/// A group whose members read.
pub struct Reading {
    filter: String,
    qos: QoS,
    members: Vec<JoinHandle<Member>>,
}

impl Reading {
    /// Reads what is left once nobody writes any more, and counts.
    pub fn judge(self, ledger: &Entries) {
        let joined = self.members.into_iter().map(JoinHandle::join);
        let mut members: Vec<Member> = joined
            .map(|member| {
                member.expect("a member saw what it must not see; its message stands above")
            })
            .collect();
        for member in &mut members {
            let present = member.client.reconnect().expect("the server stays");
            assert!(present, "{}: a session is gone", self.filter);
        }
        let wanted: Vec<&Key> = ledger
            .acknowledged
            .iter()
            .filter(|(name, _)| name.starts_with("plant/"))
            .collect();
        let deadline = Instant::now() + PATIENCE;
        loop {
            let times = count(&members);
            let missing: Vec<_> = wanted
                .iter()
                .filter(|key| !times.contains_key(**key))
                .collect();
            if missing.is_empty() {
                break;
            }
            assert!(
                Instant::now() < deadline,
                "{}: acknowledged, and nobody got it: {missing:?}",
                self.filter
            );
            for member in &mut members {
                member.listen().expect("the server stays");
            }
        }
        for (key, (times, exactly_once)) in count(&members) {
            assert!(ledger.sent.contains(&key), "{key:?} was never sent");
            assert!(
                times == 1 || !exactly_once,
                "{} at {:?}: {key:?} came {times} times",
                self.filter,
                self.qos
            );
        }
    }
}

/// How often each message came to anybody, and whether at QoS 2.
fn count(members: &[Member]) -> BTreeMap<Key, (usize, bool)> {
    let mut times: BTreeMap<Key, (usize, bool)> = BTreeMap::new();
    let messages = members.iter().flat_map(|member| &member.messages);
    for message in messages.filter(|message| message.text() != END) {
        let key = (message.topic.clone(), message.text().to_owned());
        let entry = times.entry(key).or_default();
        entry.0 += 1;
        entry.1 |= message.qos == QoS::ExactlyOnce;
    }
    times
}

impl Member {
    fn read_rounds(mut self, stage: &Stage) -> Self {
        let mut seen = 0;
        loop {
            let round = stage.next_round(&mut seen);
            if let Round::Last(_) = round {
                return self;
            }
            if self.rests || self.random.below(MISSED) == 0 {
                continue;
            }
            let end = self.read(stage, round);
            self.client.drop_connection();
            match end {
                Ok(()) => {}
                Err(end) if round.explains(&end) => {}
                Err(end) => panic!("{end} in {round:?}"),
            }
        }
    }

    fn read(&mut self, stage: &Stage, round: Round) -> Result<(), ClientError> {
        assert!(self.client.reconnect()?, "a session is gone");
        while stage.goes_on(round) {
            self.listen()?;
        }
        Ok(())
    }

    fn listen(&mut self) -> Result<(), ClientError> {
        while let Some(event) = self.client.event(Instant::now() + LISTEN)? {
            if event == Event::Message {
                self.messages.extend(self.client.take_inbox());
            }
        }
        Ok(())
    }
}
