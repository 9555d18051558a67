//! The other side of QUIC: bare connections for what no client would do, and a tunnel through which the harness's client,
//! which speaks TCP, speaks QUIC.

use std::future::Future;
use std::net::{Ipv4Addr, SocketAddr, UdpSocket};
use std::sync::Arc;
use std::time::Duration;

use harness::PATIENCE;
use mqtt_codec::{Connect, Version};
use quinn::crypto::rustls::QuicClientConfig;
use quinn::{
    ClientConfig, Connecting, Connection, ConnectionError, Endpoint, RecvStream, SendStream,
    TransportConfig,
};
use tokio::io::copy;
use tokio::net::{TcpListener, TcpStream};
use tokio::runtime::Runtime;

/// As most libraries have it; what the server does about it is part of the test.
const IDLE_TIMEOUT: Duration = Duration::from_secs(30);

/// A computer with one UDP socket and any number of clients.
pub(crate) struct Peer {
    runtime: Runtime,
    endpoint: Endpoint,
    server: SocketAddr,
    config: ClientConfig,
}

impl Peer {
    /// Speaks `alpn` with `server` on the terms of `tls`.
    pub(crate) fn new(server: SocketAddr, tls: &rustls::ClientConfig, alpn: &[&[u8]]) -> Self {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .enable_all()
            .build()
            .expect("a runtime can be made");
        let endpoint = {
            let _inside = runtime.enter();
            Endpoint::client(any_port()).expect("a UDP socket can be made")
        };
        Self {
            runtime,
            endpoint,
            server,
            config: config(tls.clone(), alpn),
        }
    }

    /// Connects.
    pub(crate) fn connect(&self) -> Result<Connection, ConnectionError> {
        self.wait(self.connecting())
    }

    /// As `greet`, or how the server has closed the connection instead.
    pub(crate) fn try_greet(&self, client_id: &str) -> Result<Greeted, ConnectionError> {
        self.wait(greet(self.connecting(), client_id.to_owned()))
    }

    /// Sends the first packet of a connection and awaits nothing.
    pub(crate) fn begin(&self) {
        self.runtime.spawn(self.connecting());
    }

    fn connecting(&self) -> Connecting {
        let _inside = self.runtime.enter();
        self.endpoint
            .connect_with(self.config.clone(), self.server, "localhost")
            .expect("the endpoint takes connections")
    }

    /// Connects, opens the stream and sends CONNECT; CONNACK has come with success.
    pub(crate) fn greet(&self, client_id: &str) -> Greeted {
        self.try_greet(client_id).expect("the server lets us in")
    }

    /// As many of these at once as there are names.
    pub(crate) fn greet_all(&self, client_ids: impl Iterator<Item = String>) -> Vec<Greeted> {
        let tasks: Vec<_> = client_ids
            .map(|client_id| self.runtime.spawn(greet(self.connecting(), client_id)))
            .collect();
        tasks
            .into_iter()
            .map(|task| {
                self.wait(task)
                    .expect("the client does not panic")
                    .expect("the server lets us in")
            })
            .collect()
    }

    /// Waits for it, on this peer's runtime.
    pub(crate) fn wait<T>(&self, what: impl Future<Output = T>) -> T {
        self.runtime.block_on(async {
            tokio::time::timeout(PATIENCE, what)
                .await
                .expect("it takes too long")
        })
    }

    /// Goes on from another UDP port, as behind an address translator that has forgotten the old one. Says nothing to
    /// the server.
    pub(crate) fn move_to_another_port(&self) {
        let _inside = self.runtime.enter();
        let before = self.endpoint.local_addr().expect("it has an address");
        let socket = UdpSocket::bind(any_port()).expect("a UDP socket can be made");
        self.endpoint.rebind(socket).expect("it can be taken");
        let after = self.endpoint.local_addr().expect("it has an address");
        assert_ne!(before, after);
    }

    /// Ends like a killed process: nobody is told.
    pub(crate) fn die(self) {
        self.runtime.shutdown_background();
    }

    /// A TCP address behind which the server's QUIC address is: a connection here is one there.
    pub(crate) fn tunnel(&self) -> SocketAddr {
        let listener = self
            .wait(TcpListener::bind(any_port()))
            .expect("a port can be had");
        let address = listener.local_addr().expect("it has an address");
        let (endpoint, config, server) = (self.endpoint.clone(), self.config.clone(), self.server);
        self.runtime.spawn(async move {
            while let Ok((tcp, _)) = listener.accept().await {
                let connecting = endpoint
                    .connect_with(config.clone(), server, "localhost")
                    .expect("the endpoint takes connections");
                tokio::spawn(async move {
                    // What goes wrong shows as the end of the TCP connection.
                    if let Ok(connection) = connecting.await {
                        let _ = through(tcp, &connection).await;
                    }
                });
            }
        });
        address
    }
}

/// A connection on which MQTT is spoken.
#[derive(Debug)]
pub(crate) struct Greeted {
    pub(crate) connection: Connection,
    pub(crate) send: SendStream,
    pub(crate) recv: RecvStream,
}

impl Greeted {
    /// Reads exactly so many bytes.
    pub(crate) async fn read(&mut self, count: usize) -> Vec<u8> {
        let mut bytes = vec![0; count];
        self.recv
            .read_exact(&mut bytes)
            .await
            .expect("the server sends");
        bytes
    }
}

/// CONNECT of MQTT 3.1.1, with a clean session and without a keep-alive.
pub(crate) fn connect_packet(client_id: &str) -> Vec<u8> {
    let mut bytes = Vec::new();
    Connect::new(Version::V311, client_id).encode(&mut bytes);
    bytes
}

async fn greet(connecting: Connecting, client_id: String) -> Result<Greeted, ConnectionError> {
    const CONNACK: [u8; 4] = [0x20, 2, 0, 0];
    let connection = connecting.await?;
    let (mut send, mut recv) = connection.open_bi().await?;
    let mut connack = [0; CONNACK.len()];
    let spoken = async {
        send.write_all(&connect_packet(&client_id)).await?;
        recv.read_exact(&mut connack)
            .await
            .map_err(std::io::Error::other)
    };
    if spoken.await.is_err() {
        return Err(connection.closed().await);
    }
    assert_eq!(connack, CONNACK);
    Ok(Greeted {
        connection,
        send,
        recv,
    })
}

/// Bytes both ways until both have ended.
async fn through(mut tcp: TcpStream, connection: &Connection) -> std::io::Result<()> {
    tcp.set_nodelay(true)?;
    let (mut send, mut recv) = connection.open_bi().await?;
    let (mut from, mut to) = tcp.split();
    let outwards = async {
        copy(&mut from, &mut send).await?;
        send.finish()?;
        // The server closes when it has everything.
        connection.closed().await;
        std::io::Result::Ok(())
    };
    let inwards = async {
        copy(&mut recv, &mut to).await?;
        std::io::Result::Ok(())
    };
    tokio::select! {
        ended = outwards => ended,
        ended = inwards => ended,
    }
}

fn config(mut tls: rustls::ClientConfig, alpn: &[&[u8]]) -> ClientConfig {
    tls.alpn_protocols = alpn.iter().map(|name| name.to_vec()).collect();
    let crypto = QuicClientConfig::try_from(tls).expect("it does for QUIC");
    let mut config = ClientConfig::new(Arc::new(crypto));
    let mut transport = TransportConfig::default();
    transport.max_idle_timeout(Some(
        IDLE_TIMEOUT.try_into().expect("30 s are not too long"),
    ));
    config.transport_config(Arc::new(transport));
    config
}

fn any_port() -> SocketAddr {
    SocketAddr::from((Ipv4Addr::LOCALHOST, 0))
}
