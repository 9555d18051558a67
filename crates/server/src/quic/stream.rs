//! Carries bytes between a QUIC stream and a shard's pipe. Neither side is read before the other has room, so a connection
//! holds what its windows and its pipe allow and no more.

use std::future::{pending, poll_fn};
use std::time::Duration;

use net::PipeEnd;
use quinn::{Connection, ReadError, RecvStream, SendStream, WriteError};

use super::{DONE, Ending, GIVEN_UP, SECOND_STREAM};

/// How long the peer may take for the last bytes once the shard has let go of the connection.
const LINGER: Duration = Duration::from_secs(2);

/// Carries a connection until one of its sides ends it; how it is to be closed.
pub(super) async fn carry(
    connection: &Connection,
    send: SendStream,
    recv: RecvStream,
    end: PipeEnd,
) -> Ending {
    tokio::select! {
        biased;
        () = another_stream(connection) => SECOND_STREAM,
        () = outwards(&end, send) => DONE,
        () = inwards(&end, recv) => DONE,
        () = given_up(connection, &end) => GIVEN_UP,
    }
}

/// Ready when the peer opens a stream that there is no use for.
async fn another_stream(connection: &Connection) {
    tokio::select! {
        Ok(_) = connection.accept_bi() => {}
        Ok(_) = connection.accept_uni() => {}
        // The connection is lost, which `inwards` finds behind the last bytes that came.
        else => pending().await,
    }
}

/// From the shard to the peer. Ready when the shard has finished and the peer has everything.
async fn outwards(end: &PipeEnd, mut send: SendStream) {
    while let Some(bytes) = poll_fn(|context| end.poll_read(context)).await {
        match send.write_chunk(bytes).await {
            Ok(()) => {}
            // The peer takes nothing any more, and MQTT has no use for one direction.
            Err(WriteError::Stopped(_)) => return,
            Err(
                WriteError::ConnectionLost(_)
                | WriteError::ClosedStream
                | WriteError::ZeroRttRejected,
            ) => {
                return pending().await;
            }
        }
    }
    // Fails only for a stream that is at its end already.
    drop(send.finish());
    if send.stopped().await.is_err() {
        pending().await
    }
}

/// From the peer to the shard. Ready when the peer has broken the stream or is gone, and the shard has what came before.
async fn inwards(end: &PipeEnd, mut recv: RecvStream) {
    loop {
        let Some(room) = poll_fn(|context| end.poll_room(context)).await else {
            // Nobody reads any more; the last words may still be under way outwards.
            return pending().await;
        };
        match recv.read_chunk(room, true).await {
            Ok(Some(chunk)) => {
                // There was room, and nobody else writes here; if the shard has gone meanwhile, so is the need for them.
                drop(end.write(&chunk.bytes));
            }
            Ok(None) => {
                end.finish();
                return pending().await;
            }
            Err(
                ReadError::Reset(_)
                | ReadError::ConnectionLost(_)
                | ReadError::ClosedStream
                | ReadError::IllegalOrderedRead
                | ReadError::ZeroRttRejected,
            ) => return,
        }
    }
}

/// Ready some time after the shard has let go of its end, or at once if there is nobody to wait for.
async fn given_up(connection: &Connection, end: &PipeEnd) {
    poll_fn(|context| end.poll_abandoned(context)).await;
    // Ends early if the connection is closed meanwhile.
    let _ = tokio::time::timeout(LINGER, connection.closed()).await;
}
