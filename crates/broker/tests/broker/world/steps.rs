//! The world step by step: what a shard does in one turn, and what it says when it is asked.

use broker::Shard;
use records::Stamp;

use super::{Client, World};

impl World {
    /// Lets a client send without anything coming of it yet.
    pub(crate) fn feed_only(&mut self, client: Client, bytes: &[u8]) {
        self.peers[client.0].unsent.extend_from_slice(bytes);
        self.feed(client.0);
    }

    /// A client may have read what any shard has written: the one that it speaks to has to be told of their clocks.
    pub(super) fn tell_clock(&mut self, shard: usize) {
        let clocks = self.shards.iter().map(Shard::clock);
        let newest = clocks.max().expect("there are shards");
        self.shards[shard].observe(newest);
    }

    /// A client's socket breaks, without anything coming of it yet.
    pub(crate) fn cut_only(&mut self, client: Client) {
        let peer = &mut self.peers[client.0];
        assert!(!peer.closed, "the server has closed it already");
        peer.closed = true;
        let (shard, id) = (peer.shard, peer.id);
        self.shards[shard].closed(id, self.now);
        self.shards[shard].forget(id);
    }

    /// The credentials that came last are checked before the others.
    pub(crate) fn check_last_login(&mut self) {
        let (shard, request) = self.logins.pop().expect("somebody logs in");
        self.authenticate(shard, &request);
        self.settle();
    }

    /// What one turn of each shard would do; whether there was anything.
    pub(crate) fn step(&mut self) -> bool {
        let mut busy = false;
        for shard in 0..self.shards.len() {
            if self.shards[shard].has_deferred() {
                busy = true;
                self.shards[shard].resume_deferred(self.now);
            }
            while let Some(output) = self.shards[shard].poll_output() {
                busy = true;
                self.carry_out(shard, output);
            }
        }
        self.commit_one() || busy
    }

    pub(crate) fn shard_of(&self, client: Client) -> usize {
        self.peers[client.0].shard
    }

    pub(crate) fn last_packet_id(&self) -> u16 {
        self.next_packet_id
    }

    /// Below which stamp a shard needs no stored message.
    pub(crate) fn low_water(&mut self, shard: usize) -> Stamp {
        self.shards[shard].seek_low_water(self.now);
        self.settle();
        self.low_water.take().expect("an answer")
    }

    /// Who waits for which of these stored messages, each of them a segment.
    pub(crate) fn survey(&mut self, stamps: &[Stamp]) -> broker::Survey {
        for shard in 0..self.shards.len() {
            self.shards[shard].survey(stamps.into(), self.now);
        }
        self.settle();
        self.low_water = None;
        let mut surveys = std::mem::take(&mut self.surveys).into_iter();
        let mut all = surveys.next().expect("an answer");
        surveys.for_each(|survey| all.add(&survey));
        all
    }

    /// Bytes the shard has for a client that takes none.
    pub(crate) fn outgoing(&self, client: Client) -> usize {
        let peer = &self.peers[client.0];
        self.shards[peer.shard].outgoing(peer.id).len()
    }

    pub(crate) fn is_closed(&self, client: Client) -> bool {
        self.peers[client.0].closed
    }
}
