//! What QUIC may cost and how long it may be silent: quinn's settings, each with its reason.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use net::Credentials;
use quinn::crypto::rustls::QuicServerConfig;
use quinn::{IdleTimeout, ServerConfig, TransportConfig, VarInt};

use crate::repeats::Repeats;

/// The protocol's name in the handshake; a client that does not offer it is refused (TLS alert 120).
const ALPN: &[u8] = b"mqtt";
/// Bytes a peer may send before they are read, and so what a connection whose reader is busy holds at most.
const RECEIVE_WINDOW: u32 = 128 * 1024;
/// Bytes held until the peer has acknowledged them. Behind them the pipe fills, and behind it the session's own bounds hold.
const SEND_WINDOW: u64 = 128 * 1024;
/// Streams a peer may open: the second one is let in only to be answered by an end that says why, where a limit would
/// leave the peer waiting for ever.
const STREAMS: u32 = 2;
const UNIDIRECTIONAL_STREAMS: u32 = 1;
/// How often a silent connection is asked for a sign of life. It keeps bindings of address translators open, which forget
/// UDP after 30 s (RFC 9308, section 3.2), and ends before quinn's and other libraries' own idle timeout of 30 s.
const SIGN_OF_LIFE: Duration = Duration::from_secs(20);
/// A peer that answers nothing for so long is gone, as Linux gives up on TCP (`tcp_retries2`, 924 s). Whether a peer that
/// answers is silent for too long, MQTT's keep-alive says alone.
const IDLE_MAX: Duration = Duration::from_secs(15 * 60);
/// Connection attempts that quinn holds until the acceptor has looked at them, which it does at once.
const UNSEEN_MAX: usize = 1024;
/// What a client may send behind its first packet before that; a CONNECT without 0-RTT comes later.
const UNSEEN_BYTES_MAX: u64 = 4 * 1024;

/// Why a TLS configuration does not do for QUIC.
#[derive(Debug, thiserror::Error)]
pub(super) enum QuicTlsError {
    /// It lacks TLS 1.3 or its mandatory cipher.
    #[error("QUIC needs TLS 1.3 with AES-128-GCM: {0}")]
    Cipher(#[from] quinn::crypto::rustls::NoInitialCipherSuite),
}

/// New certificates that do not do for it, which each address meets.
static UNUSED: Repeats = Repeats::new();

/// The certificates of an address, as quinn wants them; made anew when they have been read again.
pub(super) struct Certificates {
    credentials: Arc<Credentials>,
    made: Mutex<(Arc<rustls::ServerConfig>, Arc<ServerConfig>)>,
}

impl Certificates {
    pub(super) fn new(credentials: Arc<Credentials>) -> Result<Self, QuicTlsError> {
        let tls = credentials.current();
        let made = Arc::new(server(&tls)?);
        Ok(Self {
            credentials,
            made: Mutex::new((tls, made)),
        })
    }

    /// What a connection that begins now works with.
    pub(super) fn current(&self) -> Arc<ServerConfig> {
        let tls = self.credentials.current();
        let mut made = self.made.lock().unwrap_or_else(PoisonError::into_inner);
        if !Arc::ptr_eq(&made.0, &tls) {
            // Whatever is wrong with the new ones for QUIC alone: the old ones stay in use.
            match server(&tls) {
                Ok(config) => *made = (tls, Arc::new(config)),
                Err(error) => {
                    if let Some(left_out) = UNUSED.meet(&error.to_string(), Instant::now()) {
                        tracing::warn!(%error, left_out, "the new certificate is not used for QUIC");
                    }
                    made.0 = tls;
                }
            }
        }
        made.1.clone()
    }
}

/// Settings of an address whose connections begin with `tls`; its protocols and early data are replaced.
fn server(tls: &Arc<rustls::ServerConfig>) -> Result<ServerConfig, QuicTlsError> {
    let mut tls = (**tls).clone();
    tls.alpn_protocols = vec![ALPN.to_vec()];
    // What is sent in 0-RTT can be replayed by anybody who has seen it, and a PUBLISH is not idempotent.
    tls.max_early_data_size = 0;
    let mut config = ServerConfig::with_crypto(Arc::new(QuicServerConfig::try_from(tls)?));
    config
        .transport_config(Arc::new(transport()))
        .migration(true)
        .max_incoming(UNSEEN_MAX)
        .incoming_buffer_size(UNSEEN_BYTES_MAX)
        .incoming_buffer_size_total(UNSEEN_BYTES_MAX * UNSEEN_MAX as u64);
    // Without 0-RTT such a token saves nobody a round trip.
    config.validation_token.sent(0);
    Ok(config)
}

fn transport() -> TransportConfig {
    let mut transport = TransportConfig::default();
    transport
        .max_concurrent_bidi_streams(STREAMS.into())
        .max_concurrent_uni_streams(UNIDIRECTIONAL_STREAMS.into())
        .stream_receive_window(RECEIVE_WINDOW.into())
        .receive_window(RECEIVE_WINDOW.into())
        .send_window(SEND_WINDOW)
        // Not offered, so a peer that keeps to the rules sends none.
        .datagram_receive_buffer_size(None)
        .keep_alive_interval(Some(SIGN_OF_LIFE))
        .max_idle_timeout(Some(IdleTimeout::from(VarInt::from_u32(
            IDLE_MAX.as_millis() as u32,
        ))));
    transport
}
