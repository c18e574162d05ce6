//! The answering side: accepts connections and runs a handler per request.

use super::frame::{self, Header, Kind};
use super::socket;
use bytes::{Bytes, BytesMut};
use futures_util::future::BoxFuture;
use std::io;
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Semaphore, mpsc};
use tokio::task::JoinSet;

/// Requests of one connection in work at the same time; the rest waits in the socket.
const IN_WORK: usize = 2048;
/// Connections at the same time.
const CONNECTIONS: usize = 1024;
/// A peer that does not take an answer for so long is gone.
const WRITE_TIMEOUT: Duration = Duration::from_secs(4);
/// Longest time that a request may take, whatever its deadline says.
const LONGEST: Duration = Duration::from_secs(60);

/// Answers requests.
pub trait Handler: Send + Sync + 'static {
    /// The answer to one request. Dropped when the request's deadline has passed; no answer is
    /// sent then.
    fn handle(&self, body: Bytes, deadline: Duration) -> BoxFuture<'static, Vec<u8>>;
}

/// Serves until dropped; its connections end with it.
pub async fn serve(listener: TcpListener, handler: Arc<dyn Handler>) {
    let mut connections = JoinSet::new();
    loop {
        while connections.try_join_next().is_some() {}
        match listener.accept().await {
            Ok((stream, from)) => {
                if connections.len() >= CONNECTIONS {
                    tracing::warn!(%from, "too many connections, refusing one");
                    continue;
                }
                let handler = handler.clone();
                connections.spawn(async move {
                    if let Err(error) = connection(stream, handler).await {
                        tracing::debug!(%from, %error, "connection ended");
                    }
                });
            }
            Err(error) => {
                // Out of file descriptors, usually: others may end soon.
                tracing::warn!(%error, "accept failed");
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
        }
    }
}

async fn connection(stream: TcpStream, handler: Arc<dyn Handler>) -> io::Result<()> {
    socket::tune(&stream);
    let (mut read, mut write) = stream.into_split();
    let (answers, mut outbox) = mpsc::channel::<(u64, Vec<u8>)>(IN_WORK);
    let slots = Arc::new(Semaphore::new(IN_WORK));

    let receive = async {
        let mut buf = BytesMut::with_capacity(64 << 10);
        let mut tasks = JoinSet::new();
        loop {
            while let Some((header, body)) = frame::decode(&mut buf)? {
                let Kind::Request { deadline_ms } = header.kind else {
                    return Err(io::Error::new(
                        io::ErrorKind::InvalidData,
                        "a response where a request is expected",
                    ));
                };
                let deadline = Duration::from_millis(deadline_ms.into()).min(LONGEST);
                let slot = slots
                    .clone()
                    .acquire_owned()
                    .await
                    .map_err(io::Error::other)?;
                let work = handler.handle(body, deadline);
                let answers = answers.clone();
                while tasks.try_join_next().is_some() {}
                tasks.spawn(async move {
                    if let Ok(answer) = tokio::time::timeout(deadline, work).await {
                        let _ = answers.send((header.id, answer)).await;
                    }
                    drop(slot);
                });
            }
            if read.read_buf(&mut buf).await? == 0 {
                return Ok(());
            }
        }
    };

    let send = async {
        let mut batch = Vec::new();
        let mut out = BytesMut::new();
        while outbox.recv_many(&mut batch, 128).await > 0 {
            for (id, answer) in batch.drain(..) {
                let header = Header {
                    id,
                    kind: Kind::Response,
                };
                frame::encode(&mut out, header, &answer)?;
            }
            tokio::time::timeout(WRITE_TIMEOUT, write.write_all(&out)).await??;
            out.clear();
            if out.capacity() > 1 << 20 {
                out = BytesMut::new();
            }
        }
        Ok::<(), io::Error>(())
    };

    tokio::select! {
        ended = receive => ended,
        ended = send => ended,
    }
}
