//! Why a connection did not get as far as its first MQTT byte. One word each, fit for a metric's label.

/// What went wrong before MQTT began.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Failure {
    /// The peer went away in the middle.
    #[error("the connection ended in its handshake")]
    Ended,
    /// A PROXY header is required and there was something else.
    #[error("no right PROXY header came first")]
    ProxyHeader,
    /// What came is not TLS.
    #[error("what came is not TLS")]
    NotTls,
    /// The peer knows no version, cipher or protocol of TLS that is spoken here.
    #[error("no version, cipher or signature of TLS in common")]
    Incompatible,
    /// The peer asked for an application protocol that is not spoken here.
    #[error("the client asks for another application protocol (ALPN) than MQTT")]
    Protocol,
    /// A client certificate is required and none came.
    #[error("the client sent no certificate")]
    NoCertificate,
    /// The client's certificate is not to be believed.
    #[error("the client's certificate is expired, unsuited or of an unknown authority")]
    BadCertificate,
    /// The peer said that it does not go on, for example because it does not believe our certificate.
    #[error("the client gave up, most often because it does not believe the server's certificate")]
    Alert,
    /// TLS failed otherwise.
    #[error("TLS failed")]
    Tls,
    /// The request is no WebSocket handshake.
    #[error("the request is no WebSocket handshake for MQTT")]
    BadRequest,
    /// The request names another path.
    #[error("the request names another path")]
    Path,
    /// The request comes from a page of a site that may not connect.
    #[error("the request comes from a page of a site that may not connect")]
    Origin,
    /// A browser's request names a host that is not this server.
    #[error(
        "the request names a host that is not this server; http.hosts in its configuration lists its names"
    )]
    Host,
}

impl Failure {
    /// Every failure.
    pub const ALL: [Self; 13] = [
        Self::Ended,
        Self::ProxyHeader,
        Self::NotTls,
        Self::Incompatible,
        Self::Protocol,
        Self::NoCertificate,
        Self::BadCertificate,
        Self::Alert,
        Self::Tls,
        Self::BadRequest,
        Self::Path,
        Self::Origin,
        Self::Host,
    ];

    /// One word for it.
    pub fn label(self) -> &'static str {
        match self {
            Self::Ended => "ended",
            Self::ProxyHeader => "proxy_header",
            Self::NotTls => "not_tls",
            Self::Incompatible => "incompatible",
            Self::Protocol => "alpn",
            Self::NoCertificate => "no_certificate",
            Self::BadCertificate => "bad_certificate",
            Self::Alert => "alert",
            Self::Tls => "tls",
            Self::BadRequest => "bad_request",
            Self::Path => "path",
            Self::Origin => "origin",
            Self::Host => "host",
        }
    }
}

impl From<&rustls::Error> for Failure {
    fn from(error: &rustls::Error) -> Self {
        match error {
            rustls::Error::InvalidMessage(_)
            | rustls::Error::InappropriateMessage { .. }
            | rustls::Error::InappropriateHandshakeMessage { .. } => Self::NotTls,
            rustls::Error::PeerIncompatible(_) => Self::Incompatible,
            rustls::Error::NoApplicationProtocol => Self::Protocol,
            rustls::Error::NoCertificatesPresented => Self::NoCertificate,
            rustls::Error::InvalidCertificate(_) => Self::BadCertificate,
            rustls::Error::AlertReceived(_) => Self::Alert,
            _ => Self::Tls,
        }
    }
}
