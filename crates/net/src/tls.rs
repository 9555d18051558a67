//! TLS on a socket, driven by whoever owns the loop: rustls without buffers of its own, so that an idle connection holds
//! its keys and nothing else. Ciphertext that is not a whole record waits in `incoming`, what the socket does not take in
//! `outgoing`; both are given back when they are empty.

use std::fmt;
use std::io::{self, Read, Write};
use std::os::fd::{AsFd as _, AsRawFd as _, RawFd};
use std::sync::Arc;

use rustls::ServerConfig;
use rustls::server::{ServerConnectionData, UnbufferedServerConnection};
use rustls::unbuffered::{ConnectionState, EncodeError, EncodeTlsData, UnbufferedStatus};

use crate::failure::Failure;
use crate::received::{Drained, Received};
use crate::wire::Wire;

/// Read from the socket at once: a record at its longest.
const READ_BYTES: usize = 18 * 1024;
/// Plaintext of one record.
const RECORD_BYTES: usize = 16 * 1024;
/// What a record is longer than its plaintext, with room to spare.
const RECORD_OVERHEAD: usize = 256;
/// A record of TLS 1.3 with an alert, such as the one that ends a connection: its header, the alert's two bytes, its type, and the
/// tag. (RFC 8446, 5.2 and 6) No PUBLISH is so short.
const ALERT_BYTES: usize = 5 + 2 + 1 + 16;
/// Ciphertext that may wait for the socket before more is encrypted; one write may go one record beyond it.
const OUTGOING_BYTES_MAX: usize = 64 * 1024;
/// Ciphertext that may wait before a peer that asks for answers and takes none is given up: what one write leaves at most,
/// and as much again.
const UNTAKEN_BYTES_MAX: usize = 2 * (OUTGOING_BYTES_MAX + 2 * RECORD_BYTES);
/// Ciphertext that may wait for the end of its record or handshake message, which has 64 KiB at most.
const INCOMING_BYTES_MAX: usize = 96 * 1024;

/// A TLS connection on the server's side, its handshake included.
pub struct TlsStream {
    wire: Wire,
    session: UnbufferedServerConnection,
    /// Ciphertext that has not been decrypted.
    incoming: Vec<u8>,
    /// Plaintext that nobody has taken.
    decrypted: Vec<u8>,
    decrypted_taken: usize,
    /// Ciphertext that has not been written.
    outgoing: Vec<u8>,
    outgoing_written: usize,
    established: bool,
    /// The peer has said that it sends no more.
    peer_finished: bool,
    /// Something was wrong: rustls is not asked any more.
    failed: bool,
}

impl fmt::Debug for TlsStream {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.debug_struct("TlsStream")
            .field("wire", &self.wire)
            .field("established", &self.established)
            .finish_non_exhaustive()
    }
}

impl TlsStream {
    /// A connection whose first byte has not been read.
    pub fn new(wire: Wire, config: Arc<ServerConfig>) -> Result<Self, (Wire, rustls::Error)> {
        let session = match UnbufferedServerConnection::new(config) {
            Ok(session) => session,
            Err(error) => return Err((wire, error)),
        };
        Ok(Self {
            wire,
            session,
            incoming: Vec::new(),
            decrypted: Vec::new(),
            decrypted_taken: 0,
            outgoing: Vec::new(),
            outgoing_written: 0,
            established: false,
            peer_finished: false,
            failed: false,
        })
    }

    /// The certificate that the peer has proved to hold, verified by the listener's authorities.
    pub fn peer_certificate(&self) -> Option<&[u8]> {
        let chain = self.session.peer_certificates()?;
        chain.first().map(|certificate| &**certificate)
    }

    /// Bytes of the peer that are kept until more have come.
    pub(crate) fn held_bytes(&self) -> usize {
        self.incoming.len()
    }

    /// Whether anything may wait to be read that is longer than an alert.
    pub(crate) fn may_hold_more(&self) -> bool {
        let taken = self.decrypted_taken == self.decrypted.len();
        !taken || !self.incoming.is_empty() || self.wire.may_hold_more_than(ALERT_BYTES)
    }

    /// The socket below, TLS given up.
    pub(crate) fn into_wire(self) -> Wire {
        self.wire
    }

    /// The descriptor to be watched.
    pub fn raw_fd(&self) -> RawFd {
        self.wire.as_fd().as_raw_fd()
    }

    /// The socket below.
    pub fn wire(&mut self) -> &mut Wire {
        &mut self.wire
    }

    /// Goes on with the handshake; `Ok(false)` when the socket has no more at the moment.
    pub fn shake(&mut self) -> Result<bool, Failure> {
        while !self.established {
            match self.fetch() {
                Received::Buffered(..) => {}
                Received::Blocked => return Ok(false),
                Received::Closed | Received::Message(_) | Received::Stage(_) => {
                    return Err(Failure::Ended);
                }
            }
            let mut nothing = [];
            let outcome = self.process(&mut nothing);
            // The other half of the handshake, or why it ends here.
            let flushed = self.flush_wire();
            outcome.map_err(|error| Failure::from(&error))?;
            if flushed.is_err_and(|error| error.kind() != io::ErrorKind::WouldBlock) {
                return Err(Failure::Ended);
            }
        }
        Ok(true)
    }

    /// Reads plaintext once.
    pub(crate) fn receive(&mut self, into: &mut [u8]) -> Received {
        loop {
            let left = self.decrypted.len() - self.decrypted_taken;
            if left > 0 {
                let count = left.min(into.len());
                let from = self.decrypted_taken;
                into[..count].copy_from_slice(&self.decrypted[from..from + count]);
                self.decrypted_taken += count;
                if self.decrypted_taken == self.decrypted.len() {
                    self.decrypted = Vec::new();
                    self.decrypted_taken = 0;
                }
                return Received::Buffered(count, Drained::Unknown);
            }
            if self.peer_finished || self.failed {
                return Received::Closed;
            }
            let drained = match self.fetch() {
                Received::Buffered(_, drained) => drained,
                Received::Blocked => return Received::Blocked,
                Received::Closed | Received::Message(_) | Received::Stage(_) => {
                    return Received::Closed;
                }
            };
            let outcome = self.process(into);
            // Tickets, key updates, alerts.
            let flushed = self.flush_wire();
            match (outcome, flushed) {
                (Err(_), _) => return Received::Closed,
                (_, Err(error)) if error.kind() != io::ErrorKind::WouldBlock => {
                    return Received::Closed;
                }
                (Ok(0), _) => {}
                (Ok(count), _) => {
                    let drained = match drained {
                        Drained::Yes if self.decrypted.is_empty() && !self.peer_finished => {
                            Drained::Yes
                        }
                        Drained::Yes | Drained::Unknown => Drained::Unknown,
                    };
                    return Received::Buffered(count, drained);
                }
            }
        }
    }

    /// Encrypts and writes as much as the socket takes and a little more, which is held back: an empty write flushes it.
    pub(crate) fn send(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.flush_wire()?;
        let mut taken = 0;
        while taken < bytes.len() {
            let end = bytes.len().min(taken + RECORD_BYTES);
            self.encrypt(&bytes[taken..end])?;
            taken = end;
            if self.outgoing.len() < OUTGOING_BYTES_MAX && taken < bytes.len() {
                continue;
            }
            match self.flush_wire() {
                Ok(()) => {}
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
                Err(error) => return Err(error),
            }
        }
        Ok(taken)
    }

    /// Whether ciphertext waits for the socket.
    pub fn holds_back(&self) -> bool {
        !self.outgoing.is_empty()
    }

    /// Tells the peer that nothing more will be written, as well as the socket takes it.
    pub fn close(&mut self) {
        if self.established && !self.failed && !self.holds_back() {
            let mut alert = [0; RECORD_OVERHEAD];
            let status = self.session.process_tls_records(&mut self.incoming);
            if let Ok(ConnectionState::WriteTraffic(mut traffic)) = status.state
                && let Ok(length) = traffic.queue_close_notify(&mut alert)
            {
                self.outgoing.extend_from_slice(&alert[..length]);
            }
            drop(self.flush_wire());
        }
        self.wire.finish();
    }

    /// Reads ciphertext once, behind what waits already.
    fn fetch(&mut self) -> Received {
        let held = self.incoming.len();
        if held > INCOMING_BYTES_MAX {
            return Received::Closed;
        }
        self.incoming.resize(held + READ_BYTES, 0);
        let received = self.wire.receive(&mut self.incoming[held..]);
        match received {
            Received::Buffered(count, _) => self.incoming.truncate(held + count),
            Received::Message(_) | Received::Stage(_) | Received::Blocked | Received::Closed => {
                self.incoming.truncate(held);
                self.incoming.shrink_to_fit();
            }
        }
        received
    }

    /// Decrypts what has been fetched into `into`; what has no room there waits in `decrypted`.
    fn process(&mut self, into: &mut [u8]) -> Result<usize, rustls::Error> {
        let mut filled = 0;
        let mut done = 0;
        let outcome = loop {
            let UnbufferedStatus { mut discard, state } =
                self.session.process_tls_records(&mut self.incoming[done..]);
            match state {
                Err(error) => {
                    done += discard;
                    break Err(error);
                }
                Ok(ConnectionState::ReadTraffic(mut traffic)) => {
                    while let Some(record) = traffic.next_record() {
                        let record = match record {
                            Ok(record) => record,
                            // Records come decrypted; this cannot be.
                            Err(_) => break,
                        };
                        discard += record.discard;
                        let room = into.len() - filled;
                        let (here, later) = record.payload.split_at(record.payload.len().min(room));
                        into[filled..filled + here.len()].copy_from_slice(here);
                        filled += here.len();
                        self.decrypted.extend_from_slice(later);
                    }
                }
                Ok(ConnectionState::EncodeTlsData(data)) => encode(data, &mut self.outgoing),
                Ok(ConnectionState::TransmitTlsData(data)) => data.done(),
                Ok(ConnectionState::PeerClosed) => self.peer_finished = true,
                Ok(ConnectionState::WriteTraffic(_)) => {
                    self.established = true;
                    done += discard;
                    break Ok(filled);
                }
                Ok(ConnectionState::BlockedHandshake | ConnectionState::Closed) => {
                    done += discard;
                    break Ok(filled);
                }
                // Data before the handshake could be replayed and is never asked for.
                Ok(_) => break Err(rustls::Error::HandshakeNotComplete),
            }
            done += discard;
            if self.outgoing.len() > UNTAKEN_BYTES_MAX {
                // It asks for answers without taking them.
                break Err(rustls::Error::General("too many answers wait".to_owned()));
            }
        };
        if outcome.is_err() {
            self.queue_alert(done);
            self.incoming = Vec::new();
            self.failed = true;
            return outcome;
        }
        self.incoming.drain(..done);
        self.incoming.shrink_to_fit();
        outcome
    }

    /// Takes over what rustls has to say about an error, and only that: once it has failed it must not look at the bytes
    /// again. Of them `done` are used up.
    fn queue_alert(&mut self, done: usize) {
        while self.session.wants_write() {
            let rest = &mut self.incoming[done..];
            let Ok(ConnectionState::EncodeTlsData(data)) =
                self.session.process_tls_records(rest).state
            else {
                return;
            };
            encode(data, &mut self.outgoing);
        }
    }

    fn encrypt(&mut self, part: &[u8]) -> io::Result<()> {
        while !self.failed {
            let UnbufferedStatus { discard, state } =
                self.session.process_tls_records(&mut self.incoming);
            let outgoing = &mut self.outgoing;
            match state.map_err(io::Error::other)? {
                ConnectionState::WriteTraffic(mut traffic) => {
                    let held = outgoing.len();
                    outgoing.resize(held + part.len() + RECORD_OVERHEAD, 0);
                    let length = traffic.encrypt(part, &mut outgoing[held..]);
                    outgoing.truncate(held + length.as_ref().copied().unwrap_or(0));
                    return length.map(drop).map_err(io::Error::other);
                }
                ConnectionState::EncodeTlsData(data) => {
                    encode(data, outgoing);
                }
                ConnectionState::TransmitTlsData(data) => data.done(),
                ConnectionState::PeerClosed => self.peer_finished = true,
                _ => return Err(io::ErrorKind::NotConnected.into()),
            }
            self.incoming.drain(..discard);
        }
        Err(io::ErrorKind::NotConnected.into())
    }

    fn flush_wire(&mut self) -> io::Result<()> {
        while self.outgoing_written < self.outgoing.len() {
            self.outgoing_written += self.wire.send(&self.outgoing[self.outgoing_written..])?;
        }
        self.outgoing = Vec::new();
        self.outgoing_written = 0;
        Ok(())
    }
}

/// Appends a handshake record.
fn encode(mut data: EncodeTlsData<'_, ServerConnectionData>, outgoing: &mut Vec<u8>) {
    let held = outgoing.len();
    let Err(EncodeError::InsufficientSize(size)) = data.encode(&mut []) else {
        return;
    };
    outgoing.resize(held + size.required_size, 0);
    let length = data.encode(&mut outgoing[held..]).unwrap_or(0);
    outgoing.truncate(held + length);
}

impl Read for TlsStream {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        match self.receive(buffer) {
            Received::Buffered(count, _) => Ok(count),
            Received::Blocked => Err(io::ErrorKind::WouldBlock.into()),
            Received::Closed | Received::Message(_) | Received::Stage(_) => Ok(0),
        }
    }
}

impl Write for TlsStream {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.send(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.flush_wire()
    }
}
