//! The asking side: one [`Link`] is one connection to one peer, dialled again for ever.

use super::frame::{self, Header, Kind};
use super::socket;
use bytes::{Bytes, BytesMut};
use rand::RngExt;
use std::collections::BTreeMap;
use std::io;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::{Notify, mpsc, oneshot};

/// Requests queued for one connection.
const QUEUE: usize = 4096;
/// A connection that is not made in this time is tried again.
const DIAL: Duration = Duration::from_millis(300);
/// Pauses between attempts, before jitter.
const BACKOFF: (Duration, Duration) = (Duration::from_millis(30), Duration::from_millis(300));
/// A request that is unanswered for so long while nothing at all arrives makes a peer suspect.
pub const HUNG_AFTER: Duration = Duration::from_millis(400);

/// Why a call has no answer.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CallError {
    /// The request certainly never left this process.
    #[error("not sent: {0}")]
    NotSent(&'static str),
    /// The request is longer than a message may be; it certainly never left this process, and
    /// never will.
    #[error("a message of {0} bytes is longer than {max}", max = frame::MAX_BODY)]
    TooLong(usize),
    /// The request may have arrived; what came of it is not known.
    #[error("no answer: {0}")]
    Lost(&'static str),
}

/// A connection to one peer. Cheap to clone; it ends with its last clone.
#[derive(Clone)]
pub struct Link {
    shared: Arc<Shared>,
    _task: Arc<AbortOnDrop>,
}

struct AbortOnDrop(tokio::task::JoinHandle<()>);

impl Drop for AbortOnDrop {
    fn drop(&mut self) {
        self.0.abort();
    }
}

struct Shared {
    addr: SocketAddr,
    queue: mpsc::Sender<(u64, Bytes)>,
    next: AtomicU64,
    waiting: Mutex<BTreeMap<u64, Waiting>>,
    /// Requests are refused at once: the last attempt to connect failed.
    down: AtomicBool,
    /// When the oldest request was sent since which nothing was received: microseconds since
    /// `born`, 0 if there is none.
    silent_since: AtomicU64,
    born: Instant,
    /// Drop the connection and dial again.
    replace: Notify,
}

struct Waiting {
    answer: oneshot::Sender<Result<Bytes, CallError>>,
    deadline: Instant,
    sent: bool,
}

impl Link {
    /// Starts dialling. Must be called inside a tokio runtime.
    pub fn new(addr: SocketAddr) -> Self {
        let (queue, inbox) = mpsc::channel(QUEUE);
        let shared = Arc::new(Shared {
            addr,
            queue,
            next: AtomicU64::new(1),
            waiting: Mutex::new(BTreeMap::new()),
            down: AtomicBool::new(false),
            silent_since: AtomicU64::new(0),
            born: Instant::now(),
            replace: Notify::new(),
        });
        let task = tokio::spawn(keep_connected(shared.clone(), inbox));
        Link {
            shared,
            _task: Arc::new(AbortOnDrop(task)),
        }
    }

    /// Sends a request and waits for its answer until `deadline` from now.
    ///
    /// If the deadline passes and nothing at all was heard from the peer for [`HUNG_AFTER`]
    /// although something was sent, the connection is dropped and dialled again: dropped packets
    /// reset nothing, and TCP's own patience is far longer than ours.
    pub async fn call(&self, body: Vec<u8>, deadline: Duration) -> Result<Bytes, CallError> {
        if body.len() > frame::MAX_BODY {
            return Err(CallError::TooLong(body.len()));
        }
        let shared = &self.shared;
        if shared.down.load(Ordering::Acquire) {
            return Err(CallError::NotSent("not connected"));
        }
        let id = shared.next.fetch_add(1, Ordering::Relaxed);
        let (answer, answered) = oneshot::channel();
        shared.waiting().insert(
            id,
            Waiting {
                answer,
                deadline: Instant::now() + deadline,
                sent: false,
            },
        );
        // A caller that goes away leaves nothing behind.
        let mut guard = Forget {
            shared,
            id,
            armed: true,
        };
        if shared.queue.try_send((id, body.into())).is_err() {
            return Err(CallError::NotSent("too many requests in flight"));
        }
        if let Ok(result) = tokio::time::timeout(deadline, answered).await {
            guard.armed = false;
            return result.unwrap_or(Err(CallError::Lost("connection closed")));
        }
        guard.armed = false;
        let sent = shared.waiting().remove(&id).is_none_or(|w| w.sent);
        if sent && shared.silence() > HUNG_AFTER {
            shared.replace.notify_one();
        }
        Err(if sent {
            CallError::Lost("no answer in time")
        } else {
            CallError::NotSent("no connection in time")
        })
    }

    /// Whether the peer looks dead: not connected, or a request is unanswered for
    /// [`HUNG_AFTER`] while nothing at all arrives.
    pub fn looks_dead(&self) -> bool {
        self.shared.down.load(Ordering::Acquire) || self.shared.silence() > HUNG_AFTER
    }
}

struct Forget<'a> {
    shared: &'a Shared,
    id: u64,
    armed: bool,
}

impl Drop for Forget<'_> {
    fn drop(&mut self) {
        if self.armed {
            self.shared.waiting().remove(&self.id);
        }
    }
}

impl Shared {
    fn waiting(&self) -> MutexGuard<'_, BTreeMap<u64, Waiting>> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn now(&self) -> u64 {
        self.born.elapsed().as_micros() as u64 + 1
    }

    /// For how long nothing has been received since something was sent.
    fn silence(&self) -> Duration {
        match self.silent_since.load(Ordering::Relaxed) {
            0 => Duration::ZERO,
            since => Duration::from_micros(self.now().saturating_sub(since)),
        }
    }

    fn hear(&self) {
        self.silent_since.store(0, Ordering::Relaxed);
    }

    fn send(&self) {
        let _ =
            self.silent_since
                .compare_exchange(0, self.now(), Ordering::Relaxed, Ordering::Relaxed);
    }

    /// Ends every waiting call: sent ones are lost, the others were certainly not sent.
    fn fail_all(&self) {
        for waiting in std::mem::take(&mut *self.waiting()).into_values() {
            let _ = waiting.answer.send(Err(if waiting.sent {
                CallError::Lost("connection lost")
            } else {
                CallError::NotSent("connection lost before sending")
            }));
        }
    }
}

async fn keep_connected(shared: Arc<Shared>, mut inbox: mpsc::Receiver<(u64, Bytes)>) {
    let mut pause = BACKOFF.0;
    loop {
        match tokio::time::timeout(DIAL, TcpStream::connect(shared.addr)).await {
            Ok(Ok(stream)) => {
                pause = BACKOFF.0;
                shared.hear();
                shared.down.store(false, Ordering::Release);
                let ended = converse(&shared, &mut inbox, stream).await;
                tracing::debug!(peer = %shared.addr, ?ended, "connection lost");
            }
            Ok(Err(error)) => tracing::trace!(peer = %shared.addr, %error, "cannot connect"),
            Err(_) => tracing::trace!(peer = %shared.addr, "no answer to connecting"),
        }
        shared.down.store(true, Ordering::Release);
        while inbox.try_recv().is_ok() {}
        shared.fail_all();
        let jittered = pause.mul_f64(rand::rng().random_range(0.5..1.0));
        tokio::time::sleep(jittered).await;
        pause = (pause * 2).min(BACKOFF.1);
    }
}

async fn converse(
    shared: &Shared,
    inbox: &mut mpsc::Receiver<(u64, Bytes)>,
    stream: TcpStream,
) -> io::Result<()> {
    socket::tune(&stream);
    let (mut read, mut write) = stream.into_split();

    let send = async {
        let mut batch = Vec::new();
        let mut out = BytesMut::new();
        loop {
            if inbox.recv_many(&mut batch, 128).await == 0 {
                return Ok(());
            }
            for (id, body) in batch.drain(..) {
                let deadline_ms = {
                    let mut waiting = shared.waiting();
                    // Given up meanwhile: then it must not be sent at all.
                    let Some(entry) = waiting.get_mut(&id) else {
                        continue;
                    };
                    let left = entry.deadline.saturating_duration_since(Instant::now());
                    entry.sent = true;
                    left.as_millis().clamp(1, u32::MAX.into()) as u32
                };
                let kind = Kind::Request { deadline_ms };
                if let Err(error) = frame::encode(&mut out, Header { id, kind }, &body) {
                    tracing::error!(%error, "a request cannot be encoded");
                    if let Some(entry) = shared.waiting().remove(&id) {
                        let _ = entry.answer.send(Err(CallError::NotSent("too long")));
                    }
                }
            }
            shared.send();
            write.write_all(&out).await?;
            out.clear();
            if out.capacity() > 1 << 20 {
                out = BytesMut::new();
            }
        }
    };

    let receive = async {
        let mut buf = BytesMut::with_capacity(64 << 10);
        loop {
            if read.read_buf(&mut buf).await? == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
            shared.hear();
            while let Some((header, body)) = frame::decode(&mut buf)? {
                let entry = shared.waiting().remove(&header.id);
                if let Some(entry) = entry {
                    let _ = entry.answer.send(Ok(body));
                }
            }
        }
    };

    // A wake-up left over from an earlier connection at worst replaces a young one.
    tokio::select! {
        ended = send => ended,
        ended = receive => ended,
        () = shared.replace.notified() => Err(io::ErrorKind::TimedOut.into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::net::TcpListener;

    async fn eventually(mut what: impl FnMut() -> bool) {
        let start = Instant::now();
        while !what() {
            assert!(start.elapsed() < Duration::from_secs(20), "never");
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }

    #[tokio::test]
    async fn nobody_there_means_not_sent() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let addr = listener.local_addr().unwrap();
        drop(listener);
        let link = Link::new(addr);
        for _ in 0..3 {
            let answer = link.call(vec![1], Duration::from_secs(5)).await;
            assert!(matches!(answer, Err(CallError::NotSent(_))), "{answer:?}");
        }
        eventually(|| link.looks_dead()).await;
    }

    #[tokio::test]
    async fn a_message_that_is_too_long_says_nothing_of_the_peer() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let link = Link::new(listener.local_addr().unwrap());
        let (_kept, _) = listener.accept().await.unwrap();
        let long = vec![0; frame::MAX_BODY + 1];
        let answer = link.call(long, Duration::from_secs(5)).await;
        assert_eq!(answer, Err(CallError::TooLong(frame::MAX_BODY + 1)));
        assert!(!link.looks_dead());
    }

    #[tokio::test]
    async fn a_silent_peer_means_lost_and_is_dialled_again() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let link = Link::new(listener.local_addr().unwrap());
        let (_first, _) = listener.accept().await.unwrap();
        let patience = HUNG_AFTER + Duration::from_millis(100);
        let answer = link.call(vec![1], patience).await;
        assert!(matches!(answer, Err(CallError::Lost(_))), "{answer:?}");
        // Nobody reset the first connection, and yet there is a second.
        let second = tokio::time::timeout(Duration::from_secs(20), listener.accept()).await;
        assert!(second.is_ok());
    }

    #[tokio::test]
    async fn a_call_that_is_given_up_leaves_nothing_behind() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let link = Link::new(listener.local_addr().unwrap());
        let (_kept, _) = listener.accept().await.unwrap();
        let call = link.call(vec![1], Duration::from_secs(60));
        let given_up = tokio::time::timeout(Duration::from_millis(20), call).await;
        assert!(given_up.is_err());
        assert!(link.shared.waiting().is_empty());
    }
}
