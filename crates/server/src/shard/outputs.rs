//! Carries out what a shard's core asks for.

use std::io;
use std::sync::Weak;

use broker::{AuthenticationRequest, ConnectionId, ExchangeRequest, Identity, Output, Service};
use mqtt_codec::ReasonCode;
use store::{Append, SubmitError, Ticket};

use super::ShardThread;
use crate::handle::RequestError;
use crate::logins::{self, Caller, Known};
use crate::mailbox::Mailbox;
use crate::post::{ServiceEvent, ShardEvent};
use crate::translate;

impl ShardThread {
    /// Everything the core asks for at the moment, except that flushes wait for the end of the turn.
    pub(super) fn carry_out_all(&mut self) {
        while let Some(output) = self.core.poll_output() {
            self.carry_out(output);
        }
    }

    /// Writes to every touched connection. Room in a socket may bring up more.
    pub(super) fn flush_all(&mut self) {
        while !self.flushes.is_empty() {
            let mut flushes = std::mem::take(&mut self.flushes);
            for id in flushes.drain(..) {
                self.flush(id);
            }
            // Keeps the allocation.
            self.flushes = flushes;
            self.carry_out_all();
        }
    }

    pub(super) fn carry_out(&mut self, output: Output) {
        match output {
            Output::Flush(id) => self.flushes.push(id),
            Output::Close(id) => self.close(id),
            Output::Resume(id) => {
                if let Some(socket) = self.sockets.get_mut(id)
                    && std::mem::take(&mut socket.unread)
                {
                    self.read_later(id);
                }
            }
            Output::Authenticate(request) => self.authenticate(*request),
            Output::Exchange(request) => self.exchange(&request),
            Output::HandOver {
                connection,
                shard,
                pending,
            } => {
                if let Some((transport, origin)) =
                    self.sockets.take(connection, self.poll.registry())
                {
                    self.post.shard(shard).send(ShardEvent::Adopt {
                        transport,
                        origin,
                        pending,
                    });
                }
            }
            Output::Append { ticket, writes } => {
                let append = Append {
                    ticket: Ticket(ticket.0),
                    preconditions: Vec::new(),
                    writes,
                };
                self.waiting_appends.push_back(append);
                self.submit_waiting();
            }
            Output::Forward { shards, forwarded } => {
                for (number, mailbox) in self.post.shards.iter().enumerate() {
                    if shards & (1 << number) != 0 && number != usize::from(self.number) {
                        mailbox.send(ShardEvent::Input(broker::Input::Forwarded(
                            forwarded.clone(),
                        )));
                    }
                }
            }
            Output::Announce(announcement) => {
                for (number, mailbox) in self.post.shards.iter().enumerate() {
                    if number != usize::from(self.number) {
                        mailbox.send(ShardEvent::Input(broker::Input::Announced(
                            announcement.clone(),
                        )));
                    }
                }
            }
            Output::Surveyed(survey) => self.needs.tell_survey(survey),
            Output::LowWater(lowest) => self.needs.tell_low_water(lowest),
            Output::PassOn { shard, passed } => {
                let input = broker::Input::PassedOn(passed);
                self.post.shard(shard).send(ShardEvent::Input(input));
            }
            Output::Service(service) => self.ask_service(service),
            Output::Fetch { session, stamps } => self.readers.fetch(session, stamps),
        }
    }

    fn authenticate(&mut self, request: AuthenticationRequest) {
        let AuthenticationRequest {
            connection,
            username,
            password,
        } = request;
        let Some(origin) = self.sockets.origin(connection) else {
            return;
        };
        let certified = self.certified(connection);
        let Some(socket) = self.sockets.get_mut(connection) else {
            return;
        };
        let client = ConnectingClient {
            connection,
            mailbox: self.mailbox.clone(),
            socket: socket.await_login(),
        };
        match certified {
            Some(name) => {
                client.tell(self.logins.certified(&name, &username, origin.address));
            }
            None => self
                .logins
                .connect(&username, password, origin.address, Box::new(client)),
        }
    }

    fn exchange(&mut self, request: &ExchangeRequest) {
        let connection = request.connection;
        let Some(address) = self.sockets.origin(connection).map(|origin| origin.address) else {
            return;
        };
        let outcome = self.logins.exchange(request, address);
        // Through the mailbox, as every verdict comes: the core is not entered while it is being asked.
        self.mailbox
            .send(ShardEvent::Input(broker::Input::Exchanged {
                connection,
                outcome,
            }));
    }

    fn ask_service(&mut self, service: Service) {
        self.post
            .service
            .send(ServiceEvent::Chat(translate::input(service)));
    }

    /// Hands appends to the committer as far as it has room; it says when there is more.
    pub(super) fn submit_waiting(&mut self) {
        while let Some(append) = self.waiting_appends.pop_front() {
            match self.submitter.try_submit(append) {
                Ok(()) => {}
                Err(SubmitError::Full(append)) => {
                    self.waiting_appends.push_front(append);
                    return;
                }
                // The committer ends only after the shards, or because it failed, and then nothing is acknowledged.
                Err(SubmitError::Closed(_)) => return,
            }
        }
    }

    /// Writes what waits for a connection.
    pub(super) fn flush(&mut self, id: ConnectionId) {
        let Some(socket) = self.sockets.get_mut(id) else {
            return;
        };
        if socket.is_lingering() {
            return;
        }
        self.told.tell(self.core.clock());
        loop {
            let bytes = self.core.outgoing(id);
            let wanted = bytes.len();
            match socket.transport.write(bytes) {
                Ok(0) => break,
                Ok(count) => {
                    socket.quick_acks.wrote();
                    // Before CONNACK a client of enhanced authentication is written to as well, and is not authenticated yet.
                    if self.core.is_open(id) {
                        socket.transport.trust();
                        socket.end_login();
                    }
                    let now = self.clock.now();
                    self.core.wrote(id, count, now);
                    // What more has come since is written at its own flush; a short write has filled the socket.
                    if count == wanted {
                        break;
                    }
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return,
                Err(_) => {
                    // Reading finds the same, in its turn.
                    socket.ended = true;
                    let now = self.clock.now();
                    self.core.closed(id, now);
                    if socket.is_closing() {
                        self.drop_socket(id);
                    }
                    return;
                }
            }
        }
        let written = self.core.outgoing(id).is_empty() && !socket.transport.holds_back();
        if socket.is_closing() && written {
            self.finish(id);
        }
    }

    fn close(&mut self, id: ConnectionId) {
        self.note_timeout(id);
        self.sockets.begin_closing(id);
        self.flush(id);
    }

    /// Everything is written: waits for the peer, unless it is gone.
    fn finish(&mut self, id: ConnectionId) {
        let Some(socket) = self.sockets.get_mut(id) else {
            return;
        };
        if socket.ended {
            self.drop_socket(id);
            return;
        }
        socket.linger();
        self.read_later(id);
    }

    pub(super) fn drop_socket(&mut self, id: ConnectionId) {
        self.sockets.remove(id, self.poll.registry());
        self.core.forget(id);
    }
}

/// A client that has sent CONNECT and waits for its CONNACK.
struct ConnectingClient {
    connection: ConnectionId,
    mailbox: Mailbox<ShardEvent>,
    /// Ends with the socket.
    socket: Weak<()>,
}

impl ConnectingClient {
    fn tell(&self, verdict: Result<Identity, ReasonCode>) {
        let input = broker::Input::Authenticated {
            connection: self.connection,
            verdict,
        };
        self.mailbox.send(ShardEvent::Input(input));
    }
}

impl Caller for ConnectingClient {
    fn is_gone(&self) -> bool {
        self.socket.strong_count() == 0
    }

    fn answer(self: Box<Self>, outcome: Result<Known, RequestError>) {
        let verdict = outcome.map(|known| known.identity());
        self.tell(verdict.map_err(|error| logins::reason(&error)));
    }
}
