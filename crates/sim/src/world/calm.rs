//! Fair weather: everything that waits goes on until nothing is left to do; then the last checks, and then
//! everybody leaves and nothing may be left behind.

use records::Table;

use super::World;
use crate::client::Phase;
use crate::link::Place;
use crate::model::Verdict;
use crate::wire;

/// Rounds after which a world that does not come to rest has a fault.
const ROUNDS_MAX: usize = 20_000;
/// Rounds without anything to do, and the time that passes in each, until a world counts as at rest.
const QUIET_ROUNDS: usize = 8;
const QUIET_MS: u64 = 500;

impl World {
    pub(super) fn calm_down(&mut self) -> Verdict {
        self.log
            .note(|| "CALM: the weather is fair from here on".into());
        self.calm = true;
        self.check_taken_over()?;
        if self.plan.keeps_alive && self.dice.percent(30) {
            self.check_silence()?;
        }
        for link in std::mem::take(&mut self.abandoned) {
            self.server.links[link].cut(0);
        }
        let all = |_: &Self| true;
        self.settle(&all)?;
        for number in 0..self.clients.len() {
            if !self.clients[number].at_rest() {
                return Err(format!(
                    "client {number} waits for something that does not come: {:?}",
                    self.clients[number]
                ));
            }
        }
        self.check_wills()?;
        self.model.finish(self.server.dropped())?;
        let rough = self.plan.cuts + self.plan.crashes + self.plan.restarts > 0;
        let quiet = !rough && !self.plan.keeps_alive;
        if quiet && self.server.dropped() == 0 {
            self.model.finish_shares()?;
        }
        self.everybody_leaves()
    }

    /// Lets everything go on until it is at rest; clients that are away come while `come` holds.
    fn settle(&mut self, come: &dyn Fn(&Self) -> bool) -> Verdict {
        let mut quiet = 0;
        for _ in 0..ROUNDS_MAX {
            if self.round(come)? {
                quiet = 0;
                continue;
            }
            quiet += 1;
            if quiet > QUIET_ROUNDS {
                return Ok(());
            }
            self.advance(QUIET_MS);
        }
        Err("the world does not come to rest".into())
    }

    fn round(&mut self, come: &dyn Fn(&Self) -> bool) -> Result<bool, String> {
        let mut busy = false;
        for number in 0..self.clients.len() {
            if self.clients[number].phase == Phase::Offline && come(self) {
                self.connect(number);
                busy = true;
            }
            while self.answer(number) {
                busy = true;
            }
        }
        for link in 0..self.server.links.len() {
            if self.server.links[link].place == Place::Gone {
                continue;
            }
            busy |= self.server.read(link, usize::MAX);
            busy |= self.server.flush(link);
        }
        busy |= self.server_works();
        for number in 0..self.clients.len() {
            if let Some(link) = self.clients[number].link {
                busy |= !self.server.links[link].down.is_empty();
                self.client_reads(number, usize::MAX)?;
            }
        }
        Ok(busy)
    }

    /// A will is void after a DISCONNECT without a reason [3.1.1 MQTT-3.1.2-10] [5 MQTT-3.14.4-3], and due when a connection ends
    /// otherwise [3.1.1 MQTT-3.1.2-8] [5 MQTT-3.1.2-8]; that it survives a death of the server is not asked for.
    fn check_wills(&mut self) -> Verdict {
        for (link, will) in &self.void_wills {
            if self.server.links[*link].read_out && self.model.was_delivered(*will) {
                return Err(format!(
                    "the will m{will} came though its client had disconnected"
                ));
            }
        }
        for (will, crashes) in std::mem::take(&mut self.due_wills) {
            if crashes == self.model.crashes() {
                self.model.publish_done(will, false);
            }
        }
        Ok(())
    }

    /// [3.1.1 MQTT-3.1.2-24] [5 MQTT-3.1.2-22]: whoever is not heard of for long is not waited for.
    fn check_silence(&mut self) -> Verdict {
        /// Longer than the longest keep-alive here, and than what else puts a look off.
        const LONG_MS: u64 = 200_000;
        self.log
            .note(|| "SILENCE: nobody says anything for long".into());
        for wait in [0, LONG_MS, LONG_MS] {
            self.advance(wait);
            let mut rounds = 0..ROUNDS_MAX;
            if !rounds.any(|_| !self.server_works()) {
                return Err("the server does not come to rest by itself".into());
            }
        }
        for link in &self.server.links {
            let client = &self.clients[link.client];
            let newest = client.link.map(|place| &self.server.links[place]);
            let concerned = client.phase == Phase::Open
                && client.hello.keep_alive > 0
                && newest.is_some_and(|newest| std::ptr::eq(newest, link));
            if concerned && link.ended_at.is_none() {
                return Err(format!(
                    "[MQTT-3.1.2-24] the server waits for client {} though it is silent",
                    link.client
                ));
            }
        }
        Ok(())
    }

    /// What the server does by itself; false when there is nothing.
    fn server_works(&mut self) -> bool {
        let mut busy = false;
        for shard in 0..self.server.shards.len() {
            let letters = self.server.letters(shard);
            busy |= self.server.open_letters(shard, letters);
            busy |= self.server.resume_deferred(shard);
            busy |= self.server.look_at_time(shard);
        }
        let waiting = self.server.disk.waiting();
        busy |= self.server.commit(waiting);
        busy |= self.server.bring(0, usize::MAX);
        busy |= self.server.check_login(0);
        busy
    }

    /// [3.1.1 MQTT-3.1.4-2] [5 MQTT-3.1.4-3]: whoever has read its CONNACK has no older connection.
    fn check_taken_over(&self) -> Verdict {
        for link in &self.abandoned {
            let link = &self.server.links[*link];
            let over = link.closing || link.place == Place::Gone;
            if self.is_open(link.client) && !over {
                return Err(format!("client {} was not taken over", link.client));
            }
        }
        Ok(())
    }

    /// Every client ends its session; then nothing may be left.
    fn everybody_leaves(&mut self) -> Verdict {
        self.log
            .note(|| "LEAVING: every client ends its session".into());
        for number in 0..self.clients.len() {
            self.cut(number);
            self.clients[number].persistent = false;
            self.clients[number].must_clean = true;
        }
        let all = |_: &Self| true;
        self.settle(&all)?;
        for number in 0..self.clients.len() {
            let bytes = wire::disconnect(self.clients[number].v5, 0, None);
            self.send(number, &bytes);
            if let Some(link) = self.clients[number].link {
                let written = self.server.links[link].up.len();
                self.server.links[link].cut(written);
            }
            self.lose(number);
        }
        let nobody = |_: &Self| false;
        self.settle(&nobody)?;
        self.check_nothing_left()
    }

    fn check_nothing_left(&mut self) -> Verdict {
        for _ in 0..ROUNDS_MAX {
            let Some(due) = self.due() else { break };
            self.advance(due.since(self.server.now));
            let nobody = |_: &Self| false;
            self.round(&nobody)?;
        }
        if let Some(due) = self.due() {
            return Err(format!("a timer is left, due at {}", due.value()));
        }
        const TRIMS: usize = 4;
        for _ in 0..TRIMS {
            self.server.trim();
            let nobody = |_: &Self| false;
            self.settle(&nobody)?;
        }
        for (number, shard) in self.server.shards.iter().enumerate() {
            let left = shard.population();
            if left.connections + left.sessions + left.subscriptions + left.appends_pending > 0
                || left.waiting_messages + left.waiting_bytes > 0
            {
                return Err(format!("shard {number} is left with {left:?}"));
            }
        }
        let tables = [
            Table::Session,
            Table::Subscription,
            Table::Outgoing,
            Table::Incoming,
            Table::Queue,
        ];
        for table in tables {
            let range = table.range();
            let mut rows = self.server.disk.rows.range(range.from..range.to);
            if let Some((row, _)) = rows.next() {
                return Err(format!("{table:?}: a row is left: {row:02x?}"));
            }
        }
        Ok(())
    }
}
