//! Sessions and their subscriptions: since when they may be there and since when they are, until when they are
//! sure and until when possible. It does not look at deliveries.

use std::collections::BTreeMap;

use super::order::{Progress, Stream};
use super::{ClientNumber, Got, MessageNumber, Model, Moment, NEVER, Verdict, topics};
use crate::wire::{Hello, Wish};

/// A session as its client knows it.
#[derive(Debug)]
pub(crate) struct Session {
    pub(crate) client: ClientNumber,
    pub(crate) v5: bool,
    pub(crate) subscriptions: Vec<Subscription>,
    pub(crate) got: Got,
    pub(super) order: BTreeMap<Stream, Progress>,
    /// The life of the server in which its connection was opened.
    pub(super) life: usize,
    /// When its first CONNECT was sent.
    pub(crate) begun: Moment,
    /// Seconds it is kept after its connection.
    pub(crate) expiry: u32,
    pub(crate) ended: bool,
    /// The smallest Maximum Packet Size of its connections.
    pub(crate) packet_max: u32,
    /// Since when its connection is open.
    pub(crate) connected: Moment,
    /// A CONNECT that was never answered may have ended it.
    doubtful: bool,
    /// Before this time of the world it cannot have expired.
    kept_until: u64,
    /// A CONNECT that was never answered may have been acted upon, and from this time of the world on with the
    /// session expired, so that it made another one.
    pub(super) unanswered_until: u64,
    /// When its connection's CONNECT was sent, in the world's time.
    pub(super) connect_at: u64,
}

/// A CONNECT without its CONNACK.
#[derive(Debug, Clone)]
pub(crate) struct Connecting {
    sent: Moment,
    life: usize,
    clean: bool,
    expiry: u32,
    v5: bool,
    packet_max: u32,
    sent_at: u64,
    /// The session had surely expired when it was sent.
    over: bool,
}

/// A filter, from its first SUBSCRIBE on.
#[derive(Debug)]
pub(crate) struct Subscription {
    /// As the client wrote it.
    pub(crate) filter: String,
    pub(crate) versions: Vec<Version>,
    /// From here on it is no longer sure.
    pub(crate) unsure: Moment,
    /// From here on it is surely gone.
    pub(crate) gone: Moment,
}

/// What one SUBSCRIBE made of it.
#[derive(Debug, Clone)]
pub(crate) struct Version {
    pub(crate) requested: Moment,
    pub(crate) granted: Moment,
    pub(crate) qos: u8,
    pub(crate) no_local: bool,
    pub(crate) as_published: bool,
    pub(crate) handling: u8,
    /// Zero is none.
    pub(crate) identifier: u32,
}

impl Subscription {
    pub(crate) fn shared(&self) -> bool {
        topics::shared(&self.filter).is_some()
    }

    pub(crate) fn matches(&self, topic: &str) -> bool {
        let plain = topics::shared(&self.filter).map_or(self.filter.as_str(), |(_, plain)| plain);
        topics::matches(plain, topic)
    }

    /// When a version may have been replaced at the earliest, and when it surely was.
    pub(super) fn replaced(&self, place: usize) -> (Moment, Moment) {
        let next = self.versions.get(place + 1);
        next.map_or((NEVER, NEVER), |next| (next.requested, next.granted))
    }
}

impl Model {
    /// A client sends CONNECT. `disconnected_at` is since when the server has known that all its connections have ended.
    pub(crate) fn connect_sent(
        &mut self,
        client: ClientNumber,
        hello: &Hello,
        disconnected_at: Option<u64>,
    ) {
        let now = self.tick();
        let time = self.time;
        let over = self
            .session(client)
            .is_some_and(|session| session.is_surely_over(disconnected_at, time));
        let expiry = match (hello.v5, hello.clean) {
            (true, _) => hello.expiry,
            (false, true) => 0,
            (false, false) => u32::MAX,
        };
        self.connecting[client] = Some(Connecting {
            sent: now,
            life: self.crashes.len(),
            clean: hello.clean,
            expiry: expiry.min(self.expiry_max),
            v5: hello.v5,
            packet_max: hello.packet_max.unwrap_or(u32::MAX),
            sent_at: time,
            over,
        });
        if hello.clean
            && let Some(session) = self.session_mut(client)
        {
            session.doubtful = true;
            for subscription in &mut session.subscriptions {
                subscription.unsure = subscription.unsure.min(now);
            }
        }
    }

    /// A client reads that it is accepted; true when its session goes on.
    pub(crate) fn connack(
        &mut self,
        client: ClientNumber,
        present: bool,
        time: u64,
    ) -> Result<bool, String> {
        let now = self.tick();
        let Some(connecting) = self.connecting[client].take() else {
            return Err("a CONNACK that nobody asked for".into());
        };
        if connecting.clean && present {
            return Err(
                "[MQTT-3.2.2-2] a clean start, and the session is said to be present".into(),
            );
        }
        if connecting.over && present {
            return Err(format!(
                "[MQTT-4.1.0-2] the session of client {client} had expired, and it is said to be present"
            ));
        }
        let maybe_made = std::mem::take(&mut self.maybe_made[client]);
        let goes_on = match self.session_mut(client) {
            Some(session) if present => {
                session.doubtful = false;
                true
            }
            Some(session) => {
                let kept = !connecting.clean && !session.doubtful && time < session.kept_until;
                if kept {
                    return Err(format!(
                        "[MQTT-3.1.2-4] the session of client {client} is gone though it was stored"
                    ));
                }
                false
            }
            None if present && !maybe_made => {
                return Err(format!(
                    "[MQTT-3.2.2-3] client {client} has no session, and it is said to be present"
                ));
            }
            None => false,
        };
        if !goes_on {
            self.end_session(client, now);
            self.current[client] = Some(self.sessions.len());
            self.sessions.push(Session {
                client,
                v5: connecting.v5,
                subscriptions: Vec::new(),
                got: Got::new(),
                order: BTreeMap::new(),
                life: 0,
                begun: connecting.sent,
                expiry: 0,
                ended: false,
                packet_max: u32::MAX,
                connected: now,
                doubtful: false,
                kept_until: u64::MAX,
                unanswered_until: u64::MAX,
                connect_at: 0,
            });
        }
        if let Some(session) = self.session_mut(client) {
            session.life = connecting.life;
            session.expiry = connecting.expiry;
            session.packet_max = session.packet_max.min(connecting.packet_max);
            session.connected = now;
            session.connect_at = connecting.sent_at;
            session.kept_until = u64::MAX;
            session.unanswered_until = u64::MAX;
        }
        Ok(goes_on)
    }

    /// A client has lost its connection or closed it, at a time of the world. Returns whether it has to begin
    /// anew: it could not tell its own session from another that a lost CONNECT made.
    ///
    /// So many older CONNECTs were never answered, and the server may act upon them once the session is over: nothing orders the
    /// connections of one client but that the newer one takes over what is there. [3.1.1 MQTT-3.1.4-2] [5 MQTT-3.1.4-3]
    pub(crate) fn connection_lost(
        &mut self,
        client: ClientNumber,
        time: u64,
        unanswered: usize,
    ) -> bool {
        let now = self.tick();
        let connecting = self.connecting[client].take();
        if let Some(connecting) = connecting {
            self.maybe_made[client] = true;
            let Some(session) = self.session_mut(client) else {
                return connecting.clean;
            };
            let in_doubt = session.doubtful;
            session.unanswered_until = session.unanswered_until.min(session.kept_until);
            session.doubtful |= connecting.expiry == 0;
            session.packet_max = session.packet_max.min(connecting.packet_max);
            session.keep_at_most(time, connecting.expiry);
            return connecting.clean || in_doubt;
        }
        self.maybe_made[client] = unanswered > 0;
        if let Some(session) = self.session_mut(client) {
            let expiry = session.expiry;
            session.keep_at_most(time, expiry);
            if unanswered > 0 {
                session.unanswered_until = session.unanswered_until.min(session.kept_until);
            }
            if expiry == 0 {
                self.end_session(client, now);
            }
        }
        false
    }

    /// Whether a client that connects again could not tell its own session from one that a lost CONNECT made after
    /// it had expired.
    pub(crate) fn must_begin_anew(&self, client: ClientNumber, time: u64) -> bool {
        self.session(client)
            .is_some_and(|session| time >= session.unanswered_until)
    }

    fn end_session(&mut self, client: ClientNumber, now: Moment) {
        let Some(number) = self.current[client].take() else {
            return;
        };
        let session = &mut self.sessions[number];
        session.ended = true;
        for subscription in &mut session.subscriptions {
            subscription.unsure = subscription.unsure.min(now);
            subscription.gone = subscription.gone.min(now);
        }
    }

    /// A client subscribes.
    pub(crate) fn subscribe_sent(
        &mut self,
        client: ClientNumber,
        identifier: u32,
        wishes: &[Wish],
    ) {
        let now = self.tick();
        let Some(session) = self.session_mut(client) else {
            return;
        };
        for wish in wishes {
            let version = Version {
                requested: now,
                granted: NEVER,
                qos: wish.qos,
                no_local: wish.no_local,
                as_published: wish.as_published,
                handling: wish.handling,
                identifier,
            };
            let known = session.subscriptions.iter_mut().find(|known| {
                known.filter == wish.filter && known.unsure == NEVER && known.gone == NEVER
            });
            match known {
                Some(known) => known.versions.push(version),
                None => session.subscriptions.push(Subscription {
                    filter: wish.filter.clone(),
                    versions: vec![version],
                    unsure: NEVER,
                    gone: NEVER,
                }),
            }
        }
    }

    /// A client reads SUBACK.
    pub(crate) fn suback(
        &mut self,
        client: ClientNumber,
        wishes: &[Wish],
        codes: &[u8],
    ) -> Verdict {
        let now = self.tick();
        if wishes.len() != codes.len() {
            return Err(format!(
                "[MQTT-3.8.4-5] {} codes for {} filters",
                codes.len(),
                wishes.len()
            ));
        }
        let Some(session) = self.session_mut(client) else {
            return Ok(());
        };
        for (wish, code) in wishes.iter().zip(codes) {
            if *code != wish.qos {
                return Err(format!("{} was answered with {code}", wish.filter));
            }
            for known in &mut session.subscriptions {
                if known.filter != wish.filter || known.gone != NEVER {
                    continue;
                }
                if known.unsure == NEVER {
                    if let Some(newest) = known.versions.last_mut() {
                        newest.granted = now;
                    }
                } else {
                    // What may have been left of an older one is replaced.
                    known.gone = now;
                }
            }
        }
        Ok(())
    }

    /// A client unsubscribes.
    pub(crate) fn unsubscribe_sent(&mut self, client: ClientNumber, filter: &str) {
        let now = self.tick();
        for known in self.session_mut(client).into_iter().flat_map(|session| {
            session
                .subscriptions
                .iter_mut()
                .filter(|known| known.filter == filter)
        }) {
            known.unsure = known.unsure.min(now);
        }
    }

    /// A client reads UNSUBACK.
    pub(crate) fn unsuback(&mut self, client: ClientNumber, filter: &str, codes: &[u8]) -> Verdict {
        const NO_SUBSCRIPTION_EXISTED: u8 = 0x11;
        let now = self.tick();
        let Some(session) = self.session_mut(client) else {
            return Ok(());
        };
        let connected = session.connected;
        let mut sure = false;
        for known in session
            .subscriptions
            .iter_mut()
            .filter(|known| known.filter == filter && known.gone == NEVER)
        {
            // Not if an UNSUBSCRIBE of an earlier connection was never answered.
            sure |= known.versions[0].granted != NEVER && known.unsure > connected;
            known.gone = now;
        }
        // [5 MQTT-3.11.3-1]; before MQTT 5 there are no codes.
        let expected = if session.v5 { 1 } else { 0 };
        if codes.len() != expected || (sure && codes.contains(&NO_SUBSCRIPTION_EXISTED)) {
            return Err(format!(
                "unsubscribing from {filter} was answered with {codes:?}"
            ));
        }
        Ok(())
    }
}

impl Session {
    /// A message that is not a repetition has come. `sendings` tells when its publisher sent it, and sent it again.
    pub(super) fn keep_order(
        &mut self,
        number: MessageNumber,
        sendings: &[Moment],
        stream: Stream,
        first: bool,
    ) -> Verdict {
        let (client, topic) = (self.client, stream.topic.clone());
        let progress = self.order.entry(stream).or_default();
        let kept = progress.keep_order(number, sendings, self.life, first);
        kept.map_err(|behind| {
            format!("[MQTT-4.6.0-6] client {client} got m{number} on {topic} after {behind}")
        })
    }

    fn keep_at_most(&mut self, time: u64, expiry: u32) {
        let until = time.saturating_add(u64::from(expiry) * 1000);
        self.kept_until = self.kept_until.min(until);
    }
}
