//! HTTPS: one TLS connection as hyper wants it. TLS is the same as that of the shards, so that a WebSocket connection can
//! be handed over to them with its keys. It must not know a route.

use std::io;
use std::os::fd::{AsRawFd, RawFd};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use net::{Credentials, TlsStream, Wire};
use tokio::io::unix::AsyncFd;
use tokio::io::{AsyncRead, AsyncWrite, Interest, ReadBuf};
use tokio::net::TcpStream;

/// A TLS connection on tokio's loop.
pub(crate) struct SecureStream {
    socket: AsyncFd<Socket>,
}

/// What tokio watches.
struct Socket(TlsStream);

impl AsRawFd for Socket {
    fn as_raw_fd(&self) -> RawFd {
        self.0.raw_fd()
    }
}

impl SecureStream {
    /// Takes a connection whose first byte has not been read.
    pub(crate) fn new(stream: TcpStream, credentials: &Arc<Credentials>) -> io::Result<Self> {
        let stream = mio::net::TcpStream::from_std(stream.into_std()?);
        let tls = TlsStream::new(Wire::tcp(stream), credentials.current())
            .map_err(|(_, error)| io::Error::other(error))?;
        let interest = Interest::READABLE | Interest::WRITABLE;
        // SAFETY: the descriptor belongs to the socket inside `tls`, which stays there and open until `AsyncFd` lets go of
        // it, because nothing replaces a `TlsStream`'s socket.
        #[allow(
            unsafe_code,
            reason = "tokio cannot see that a descriptor stays what it is"
        )]
        let socket = unsafe { AsyncFd::register_with_interest(Socket(tls), interest) };
        Ok(Self { socket: socket? })
    }

    /// The handshake.
    pub(crate) async fn shake(&mut self) -> io::Result<()> {
        loop {
            if self.socket.get_ref().0.holds_back() {
                let mut guard = self.socket.writable_mut().await?;
                match io::Write::flush(&mut guard.get_inner_mut().0) {
                    Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                        guard.clear_ready();
                        continue;
                    }
                    outcome => outcome?,
                }
            }
            let mut guard = self.socket.readable_mut().await?;
            let established = guard.get_inner_mut().0.shake();
            if established.map_err(io::Error::other)? {
                return Ok(());
            }
            guard.clear_ready();
        }
    }

    /// Takes the connection off tokio's loop.
    pub(crate) fn into_tls(self) -> TlsStream {
        self.socket.into_inner().0
    }
}

impl AsyncRead for SecureStream {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        loop {
            let mut guard = ready!(self.socket.poll_read_ready_mut(context))?;
            let into = buffer.initialize_unfilled();
            let outcome = io::Read::read(&mut guard.get_inner_mut().0, into);
            match outcome {
                Ok(count) => {
                    buffer.advance(count);
                    return Poll::Ready(Ok(()));
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => guard.clear_ready(),
                Err(error) => return Poll::Ready(Err(error)),
            }
        }
    }
}

impl SecureStream {
    fn poll_io<T>(
        &mut self,
        context: &mut Context<'_>,
        mut io: impl FnMut(&mut TlsStream) -> io::Result<T>,
    ) -> Poll<io::Result<T>> {
        loop {
            let mut guard = ready!(self.socket.poll_write_ready_mut(context))?;
            match io(&mut guard.get_inner_mut().0) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => guard.clear_ready(),
                outcome => return Poll::Ready(outcome),
            }
        }
    }
}

impl AsyncWrite for SecureStream {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.poll_io(context, |tls| io::Write::write(tls, bytes))
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.poll_io(context, io::Write::flush)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        ready!(self.as_mut().poll_flush(context))?;
        self.socket.get_mut().0.close();
        Poll::Ready(Ok(()))
    }
}
