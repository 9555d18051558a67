//! A message on its way to everybody: the recipients of this shard, its groups, and once to every other shard that has
//! use for it. Who the recipients are and how they get it is in the files beside it.

use mqtt_codec::ReasonCode;
use records::Millis;

use crate::delivery::publication::Publication;
use crate::io::{Forwarded, ForwardedClaim};
use crate::retained::message::RetainedMessage;
use crate::shard::Shard;
use crate::shared::claim::Claims;
use crate::stored::appends::StoredPublish;

impl Shard {
    /// Delivers a message that has been stored, or need not be: here, to other shards, and to the retained
    /// store.
    pub(crate) fn release_publish(&mut self, stored: &StoredPublish, now: Millis) -> ReasonCode {
        let mut publication = Publication {
            view: stored.message.view(),
            shared: Some(stored.message.clone()),
            stamp: stored.stamp,
            publisher: stored.publisher,
            now,
        };
        let retained = stored
            .retained
            .map(|stamp| RetainedMessage::new(stamp, stored.account, &stored.message));
        if let Some(retained) = &retained {
            self.retain(&stored.message.topic, retained.clone());
        }
        self.deliver_everywhere(&mut publication, retained, &stored.claims)
    }

    /// Delivers here and to other shards; how it is acknowledged.
    pub(crate) fn deliver_everywhere(
        &mut self,
        publication: &mut Publication<'_>,
        retained: Option<RetainedMessage>,
        claims: &Claims,
    ) -> ReasonCode {
        let here = self.deliver_here(publication);
        let (in_groups, shared) = self.serve_groups(publication, claims);
        let elsewhere = self.deliver_elsewhere(publication, retained, shared);
        if here || in_groups || elsewhere {
            ReasonCode::SUCCESS
        } else {
            ReasonCode::NO_MATCHING_SUBSCRIBERS
        }
    }

    /// Sends the message once to every other shard that has use for it; whether one of them has subscribers.
    fn deliver_elsewhere(
        &mut self,
        publication: &mut Publication<'_>,
        retained: Option<RetainedMessage>,
        shared: Vec<ForwardedClaim>,
    ) -> bool {
        if !self.peers.has_others() {
            return false;
        }
        let topic = publication.view.topic;
        let interested = self.subscriptions.interested_shards(topic);
        let shards = match retained {
            Some(_) => self.peers.others(),
            None => interested,
        };
        let shards = shared
            .iter()
            .fold(shards, |shards, claim| shards | (1 << claim.shard));
        if shards != 0 {
            let forwarded = Forwarded {
                message: publication.message(),
                stamp: publication.stamp,
                retained,
                clock: self.clock.latest(),
                publisher: publication.publisher,
                shared,
            };
            self.outputs.forward(shards, forwarded);
        }
        interested != 0
    }

    /// Another shard published.
    pub(crate) fn forwarded(&mut self, forwarded: &Forwarded, now: Millis) {
        self.clock.observe(forwarded.clock);
        if let Some(retained) = &forwarded.retained {
            self.retain(&forwarded.message.topic, retained.clone());
        }
        let mut publication = Publication {
            view: forwarded.message.view(),
            shared: Some(forwarded.message.clone()),
            stamp: forwarded.stamp,
            publisher: forwarded.publisher,
            now,
        };
        self.deliver_here(&mut publication);
        for claim in &forwarded.shared {
            if claim.shard == self.peers.own() {
                self.serve_forwarded(claim, &mut publication);
            }
        }
    }
}
