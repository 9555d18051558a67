//! Whether a PUBLISH that a client has just read may be what the server had to send. It changes nothing but what
//! the session has got.

use super::order::Stream;
use super::session::{Subscription, Version};
use super::{ClientNumber, Copy, Message, Model, Moment, NEVER, Verdict, number_in};
use crate::wire::Publish;

/// The versions of one subscription under which a message may have been delivered, and the one under which it
/// surely was if at all.
pub(super) struct InForce<'a> {
    possible: Vec<&'a Version>,
    sure: Option<&'a Version>,
    /// Whether one of the possible ones lets the message through: No Local keeps a client's own from it.
    /// A subscription that does not may still lend its QoS and identifier to one that does.
    delivers: bool,
}

/// Whether the packet is one the client had in hand already.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Repeated {
    Yes,
    No,
}

impl Model {
    /// A client reads a PUBLISH; `resumed` when its connection goes on with an earlier session.
    pub(crate) fn delivered(
        &mut self,
        client: ClientNumber,
        publish: &Publish,
        repeated: Repeated,
        resumed: bool,
    ) -> Verdict {
        let now = self.tick();
        if publish.payload.is_empty() {
            return self.check_empty(client, publish, now);
        }
        let message = number_in(&publish.payload).filter(|number| *number < self.messages.len());
        let Some(number) = message else {
            return Err(format!(
                "a message nobody published came on {}",
                publish.topic
            ));
        };
        let message = &self.messages[number];
        if message.topic != publish.topic || message.payload != publish.payload {
            return Err(format!("m{number} came changed, on {}", publish.topic));
        }
        if publish.dup && !resumed {
            return Err(format!(
                "[MQTT-3.3.1-1] m{number} came with DUP on a new session"
            ));
        }
        self.check_reasons(client, number, publish, now)?;
        if let Some(session) = self.session(client) {
            self.check_expiry(session, number, publish)?;
        }
        if repeated == Repeated::Yes {
            return Ok(());
        }
        self.enter(client, number, publish, now)
    }

    /// Whether any subscription explains the packet.
    fn check_reasons(
        &self,
        client: ClientNumber,
        number: usize,
        publish: &Publish,
        now: Moment,
    ) -> Verdict {
        let message = &self.messages[number];
        let Some(session) = self.session(client) else {
            return Err(format!("m{number} came without a session"));
        };
        let mut reasons = Vec::new();
        match self.check_live(client, number, publish, now) {
            Ok(()) => return Ok(()),
            Err(reason) => reasons.push(reason),
        }
        let matching = session
            .subscriptions
            .iter()
            .filter(|known| known.matches(&message.topic));
        for subscription in matching {
            if subscription.shared() {
                let force = self.in_force(subscription, message, now, client);
                let again = publish.dup
                    && publish.qos == 1
                    && self.goes_on_at(client, subscription, message, now, publish.qos);
                match check_share(&force, message, publish, again) {
                    Ok(()) => return Ok(()),
                    Err(reason) => reasons.push(format!("{}: {reason}", subscription.filter)),
                }
            } else if publish.retain {
                match self.check_retained(subscription, number, publish) {
                    Ok(()) => return Ok(()),
                    Err(reason) => reasons.push(format!("{}: {reason}", subscription.filter)),
                }
            }
        }
        Err(format!(
            "client {client} got m{number} on {} (QoS {}, retain {}, dup {}, identifiers {:?}): {}",
            publish.topic,
            publish.qos,
            publish.retain,
            publish.dup,
            publish.identifiers,
            reasons.join("; ")
        ))
    }

    /// As one message for all subscriptions that match. [5 MQTT-3.3.4-2]
    fn check_live(
        &self,
        client: ClientNumber,
        number: usize,
        publish: &Publish,
        now: Moment,
    ) -> Verdict {
        let message = &self.messages[number];
        let forces: Vec<InForce<'_>> = self
            .session(client)
            .into_iter()
            .flat_map(|session| &session.subscriptions)
            .filter(|known| !known.shared() && known.matches(&message.topic))
            .map(|known| self.in_force(known, message, now, client))
            .filter(|force| !force.possible.is_empty())
            .collect();
        let possible = || forces.iter().flat_map(|force| &force.possible);
        let sure = || forces.iter().filter_map(|force| force.sure);
        if !forces.iter().any(|force| force.delivers) {
            return Err("no subscription matches".into());
        }
        // [3.1.1 MQTT-3.8.4-6] [5 MQTT-3.8.4-8]
        let least = sure().map(|version| message.qos.min(version.qos)).max();
        let qos = publish.qos;
        if !possible().any(|version| message.qos.min(version.qos) == qos)
            || least.is_some_and(|least| qos < least)
        {
            return Err(format!("QoS {qos}"));
        }
        // [3.1.1 MQTT-3.3.1-9] [5 MQTT-3.3.1-12] [5 MQTT-3.3.1-13]
        let may = message.retain && possible().any(|version| version.as_published);
        let must = message.retain && sure().any(|version| version.as_published);
        if (publish.retain && !may) || (!publish.retain && must) {
            return Err(format!("retain {}", publish.retain));
        }
        check_identifiers(&forces, &publish.identifiers)
    }

    /// What of a subscription may have been in force when the server processed a message, which was between its
    /// sending and its acknowledgement.
    pub(super) fn in_force<'a>(
        &self,
        subscription: &'a Subscription,
        message: &Message,
        now: Moment,
        client: ClientNumber,
    ) -> InForce<'a> {
        let (begin, end) = (message.sent, message.done.min(now));
        let mut force = InForce {
            possible: Vec::new(),
            sure: None,
            delivers: false,
        };
        if message.refused {
            return force;
        }
        for (place, version) in subscription.versions.iter().enumerate() {
            let (replaced_soonest, replaced_latest) = subscription.replaced(place);
            let gone = subscription.gone.min(replaced_latest);
            // A group keeps its messages for whoever of it comes, whenever that is.
            let kept = subscription.shared() && message.qos > 0;
            let requested = version.requested < if kept { now } else { end };
            if requested && begin < gone {
                force.possible.push(version);
            }
            let unsure = subscription.unsure.min(replaced_soonest);
            if version.granted <= begin && unsure > end {
                force.sure = Some(version);
            }
        }
        // [5 MQTT-3.8.3-3], as far as the session that published is the one that subscribes.
        let begun = self.session(client).map_or(0, |session| session.begun);
        let own = message.publisher == client && message.sent > begun;
        force.delivers = force
            .possible
            .iter()
            .any(|version| !(own && version.no_local));
        force.sure = force.sure.filter(|version| !(own && version.no_local));
        force
    }

    /// Whether a delivery may have begun at a QoS under any subscription to the same filter, and goes on at it though its
    /// group was left and joined anew. [5 MQTT-3.10.4-3] [5 MQTT-4.4.0-1]
    fn goes_on_at(
        &self,
        client: ClientNumber,
        subscription: &Subscription,
        message: &Message,
        now: Moment,
        qos: u8,
    ) -> bool {
        let session = self.session(client).into_iter();
        session
            .flat_map(|session| &session.subscriptions)
            .filter(|known| known.filter == subscription.filter)
            .any(|known| {
                let force = self.in_force(known, message, now, client);
                let mut possible = force.possible.iter();
                possible.any(|version| message.qos.min(version.qos) == qos)
            })
    }

    /// Counts the copy, and looks at number and order.
    fn enter(
        &mut self,
        client: ClientNumber,
        number: usize,
        publish: &Publish,
        now: Moment,
    ) -> Verdict {
        let copies = self
            .session(client)
            .and_then(|session| session.got.get(&number));
        let qos1 = publish.qos == 1
            || copies.is_some_and(|copies| copies.iter().any(|copy| copy.qos == 1));
        let allowed = self.copies_allowed(client, number, qos1, now);
        let plain = !self.has_share(client, number);
        let message = &self.messages[number];
        let stream = Stream {
            publisher: message.session,
            topic: message.topic.clone(),
            published: message.qos,
            delivered: publish.qos,
        };
        // One that was too large for a connection may come on a later one, after a crash.
        let fits = self
            .session(client)
            .is_some_and(|session| self.fits(number, session));
        let ordered = fits && plain && !publish.retain && !publish.dup && !message.will;
        let sendings = &self.sendings[number];
        let Some(session) = self.current[client].map(|place| &mut self.sessions[place]) else {
            return Ok(());
        };
        let copies = session.got.entry(number).or_default();
        let first = copies.is_empty();
        // A crash ends all connections: nobody can have been sent before what was published after this one was opened.
        if first && publish.dup && message.sent > session.connected {
            return Err(format!(
                "[MQTT-3.3.1-1] client {client} got m{number} with DUP, which was never sent before"
            ));
        }
        copies.push(Copy {
            at: now,
            qos: publish.qos,
            retain: publish.retain,
            dup: publish.dup,
        });
        let counted = copies
            .iter()
            .filter(|copy| copy.qos == 2 || !copy.dup)
            .count();
        if counted > allowed {
            let what = match publish.qos {
                0 => "[MQTT-4.3.1-1] at most once",
                1 => "[MQTT-3.3.1-1] repeated without DUP",
                _ => "[MQTT-4.3.3] exactly once",
            };
            return Err(format!(
                "{what}: client {client} got m{number} {counted} times where {allowed} are allowed"
            ));
        }
        if ordered {
            session.keep_order(number, sendings, stream, first)?;
        }
        Ok(())
    }

    /// How many copies, other than repetitions with DUP, the session may have by now.
    fn copies_allowed(
        &self,
        client: ClientNumber,
        number: usize,
        qos1: bool,
        now: Moment,
    ) -> usize {
        let message = &self.messages[number];
        let crashes = self.crashes_since(message.sent);
        // What begins again at QoS 1 after a crash has DUP, unless it comes to another member of a group.
        let lives_of_shares = if qos1 { 1 + crashes } else { 1 };
        let mut live = 0;
        let mut allowed = 0;
        for subscription in self
            .session(client)
            .into_iter()
            .flat_map(|session| &session.subscriptions)
        {
            if !subscription.matches(&message.topic) {
                continue;
            }
            let force = self.in_force(subscription, message, now, client);
            let delivers = force.delivers;
            if subscription.shared() {
                allowed += usize::from(delivers) * message.sends as usize * lives_of_shares;
                continue;
            }
            if delivers {
                live = message.sends as usize;
            }
            if message.retain {
                allowed += subscription
                    .versions
                    .iter()
                    .filter(|version| version.handling != 2)
                    .count();
            }
        }
        allowed + live
    }

    fn has_share(&self, client: ClientNumber, number: usize) -> bool {
        let topic = &self.messages[number].topic;
        self.session(client)
            .into_iter()
            .flat_map(|session| &session.subscriptions)
            .any(|known| known.shared() && known.matches(topic))
    }

    /// An empty payload tells no message: there must be one that was published so.
    fn check_empty(&self, client: ClientNumber, publish: &Publish, now: Moment) -> Verdict {
        let mut numbers = (0..self.messages.len()).filter(|number| {
            let message = &self.messages[*number];
            message.payload.is_empty() && message.topic == publish.topic
        });
        if numbers.any(|number| self.check_reasons(client, number, publish, now).is_ok()) {
            return Ok(());
        }
        Err(format!(
            "client {client} got an empty message on {} for no reason",
            publish.topic
        ))
    }
}

fn check_share(force: &InForce<'_>, message: &Message, publish: &Publish, again: bool) -> Verdict {
    let possible = || force.possible.iter();
    let qos = possible().any(|version| message.qos.min(version.qos) == publish.qos);
    let fits = possible().any(|version| {
        publish.retain == (message.retain && version.as_published)
            && publish.identifiers == own_identifier(version)
    });
    if (qos || again) && fits {
        Ok(())
    } else {
        Err("does not fit the shared subscription".into())
    }
}

/// All identifiers of the subscriptions that matched, each once. [5 MQTT-3.3.4-3] [5 MQTT-3.3.4-4]
fn check_identifiers(forces: &[InForce<'_>], identifiers: &[u32]) -> Verdict {
    let mut left = identifiers.to_vec();
    for force in forces {
        let Some(sure) = force.sure.filter(|version| version.identifier != 0) else {
            continue;
        };
        let Some(place) = left
            .iter()
            .position(|identifier| *identifier == sure.identifier)
        else {
            return Err(format!("identifier {} is missing", sure.identifier));
        };
        left.swap_remove(place);
    }
    let unsure: Vec<&InForce<'_>> = forces.iter().filter(|force| force.sure.is_none()).collect();
    if can_assign(&left, &unsure) {
        Ok(())
    } else {
        Err(format!("identifiers {left:?} belong to nothing"))
    }
}

/// Whether each identifier can be that of another subscription.
fn can_assign(identifiers: &[u32], forces: &[&InForce<'_>]) -> bool {
    let Some((first, rest)) = identifiers.split_first() else {
        return true;
    };
    (0..forces.len()).any(|place| {
        let mut others = forces.to_vec();
        let force = others.swap_remove(place);
        let own = force
            .possible
            .iter()
            .any(|version| version.identifier == *first);
        own && can_assign(rest, &others)
    })
}

pub(super) fn own_identifier(version: &Version) -> Vec<u32> {
    (version.identifier != 0)
        .then_some(version.identifier)
        .into_iter()
        .collect()
}

/// Whether a moment is one that came.
pub(super) fn came(moment: Moment) -> bool {
    moment != NEVER
}
