//! One call: one attempt, on an idle connection or a fresh one.
//!
//! A server may close an idle connection at the moment in which a request is
//! written to it. It never saw that request, and no client counts this as its
//! failure (RFC 9112, section 9.3.1): the call is made on a fresh connection
//! instead. Only where that is certain, though, because a write must not be made
//! twice: nothing of the request was taken, or the other side closed in order and
//! its kernel has not acknowledged a byte of it.

use crate::classify::Attempt;
use crate::config::Endpoint;
use crate::connect::{Connector, Stream};
use crate::exchange;
use std::future::poll_fn;
use std::io;
use std::pin::{Pin, pin};
use std::task::{Context, Poll, Waker};
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt, ReadBuf};
use tokio::task::unconstrained;
use tokio::time::{Instant, timeout_at};

/// A connection that carries at most one call at a time. Dropping it closes it.
#[derive(Debug)]
pub struct Connection {
    stream: Box<dyn Stream>,
    /// Kept for the next answer.
    buffer: Vec<u8>,
}

/// A connection on which a request was begun.
#[derive(Debug)]
pub struct Begun {
    connection: Connection,
    /// Bytes that it took, or why it took none.
    written: io::Result<usize>,
}

impl Connection {
    async fn open(connector: &Connector, endpoint: &Endpoint) -> Result<Self, Attempt> {
        Ok(Connection {
            stream: connector.open(endpoint).await?,
            buffer: Vec::new(),
        })
    }

    /// False if it was closed meanwhile, or if it says what nobody asked for.
    pub fn usable(&mut self) -> bool {
        let mut byte = [0];
        let mut byte = ReadBuf::new(&mut byte);
        once(|cx| Pin::new(&mut self.stream).poll_read(cx, &mut byte)).is_pending()
    }

    /// Writes of `request` what the kernel takes at once: all, unless it is
    /// very long. Does not wait.
    pub fn begin(mut self, request: &[u8]) -> Begun {
        let written = match once(|cx| Pin::new(&mut self.stream).poll_write(cx, request)) {
            Poll::Ready(written) => written,
            Poll::Pending => Ok(0),
        };
        Begun {
            connection: self,
            written,
        }
    }
}

/// What is there now. Not counted against what a task may do in one go, after
/// which the runtime makes everything look as if it were not ready.
fn once<T>(poll: impl FnMut(&mut Context<'_>) -> Poll<T>) -> Poll<T> {
    let now = pin!(unconstrained(poll_fn(poll)));
    now.poll(&mut Context::from_waker(Waker::noop()))
}

impl Begun {
    /// Writes the rest of `request` and reads the answer.
    async fn finish(self, request: &[u8]) -> (Attempt, Option<Connection>) {
        let mut connection = self.connection;
        let stream = &mut connection.stream;
        let Ok(written) = self.written else {
            return (Attempt::Unseen, None);
        };
        let sent = async {
            stream.write_all(&request[written..]).await?;
            stream.flush().await
        };
        if let Err(e) = sent.await {
            let why = format!("writing the request: {e}");
            return (Attempt::Broken(why), None);
        }
        match exchange::answer(stream, &mut connection.buffer).await {
            Err(Attempt::Closed) if unseen(stream.as_ref(), request) => (Attempt::Unseen, None),
            Err(attempt) => (attempt, None),
            Ok(exchange::Answer {
                status,
                body,
                again,
            }) => {
                let attempt = Attempt::Answer { status, body };
                (attempt, again.then_some(connection))
            }
        }
    }
}

/// True if `request`, the last that was written to `stream`, cannot have met
/// anybody: the other side closed before its kernel had any of it.
fn unseen(stream: &dyn Stream, request: &[u8]) -> bool {
    stream.unacknowledged().is_some_and(|n| n >= request.len())
}

/// Makes the call until `deadline`: goes on with what was `begun` on an idle
/// connection, or opens one. Returns the connection if it can be used again.
pub async fn attempt(
    connector: &Connector,
    endpoint: &Endpoint,
    begun: Option<Begun>,
    request: &[u8],
    deadline: Instant,
) -> (Attempt, Option<Connection>) {
    // On a timeout the connection is dropped with the exchange: a late answer
    // must not meet the next call.
    let finish = async |begun: Begun| {
        let finished = timeout_at(deadline, begun.finish(request)).await;
        finished.unwrap_or((Attempt::Timeout, None))
    };
    if let Some(kept) = begun {
        match finish(kept).await {
            (Attempt::Unseen, _) => {}
            came => return came,
        }
    }
    match timeout_at(deadline, Connection::open(connector, endpoint)).await {
        Ok(Ok(connection)) => finish(connection.begin(request)).await,
        Ok(Err(attempt)) => (attempt, None),
        Err(_) => (Attempt::ConnectTimeout, None),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use bytes::Bytes;
    use std::net::SocketAddr;
    use std::time::Duration;
    use tokio::io::AsyncReadExt;
    use tokio::net::{TcpListener, TcpStream};

    const REQUEST: &[u8] = b"POST / HTTP/1.1\r\nhost: x\r\ncontent-length: 2\r\n\r\n{}";

    async fn asked(listener: &TcpListener) -> TcpStream {
        let (mut stream, _) = listener.accept().await.unwrap();
        let mut request = Vec::new();
        while request.len() < REQUEST.len() {
            assert!(stream.read_buf(&mut request).await.unwrap() > 0);
        }
        assert_eq!(request, REQUEST);
        stream
    }

    async fn try_at(
        addr: SocketAddr,
        begun: Option<Begun>,
        deadline: Instant,
    ) -> (Attempt, Option<Connection>) {
        let to = Endpoint::plain("a", addr);
        attempt(&Connector::default(), &to, begun, REQUEST, deadline).await
    }

    fn soon() -> Instant {
        Instant::now() + Duration::from_secs(60)
    }

    #[tokio::test]
    async fn a_connection_is_used_again_until_the_server_closes_it() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let addr = listener.local_addr().unwrap();
        let ok = Attempt::Answer {
            status: 200,
            body: Bytes::from_static(b"{}"),
        };
        let peer = async {
            let mut stream = asked(&listener).await;
            stream.write_all(ANSWER).await.unwrap();
            let mut second = vec![0; REQUEST.len()];
            stream.read_exact(&mut second).await.unwrap();
            assert_eq!(second, REQUEST);
            stream.write_all(ANSWER).await.unwrap();
        };
        let client = async {
            let (first, idle) = try_at(addr, None, soon()).await;
            assert_eq!(first, ok);
            let mut idle = idle.unwrap();
            assert!(idle.usable());
            let (second, idle) = try_at(addr, Some(idle.begin(REQUEST)), soon()).await;
            assert_eq!(second, ok);
            idle.unwrap()
        };
        let (mut idle, ()) = tokio::join!(client, peer);
        // The peer's end is dropped: it is seen without a call, however often
        // one looks in one go.
        while idle.usable() {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        assert!((0..1000).all(|_| !idle.usable()));
    }

    #[tokio::test]
    async fn a_connection_that_speaks_unasked_is_not_usable() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let to = Endpoint::plain("a", listener.local_addr().unwrap());
        let connector = Connector::default();
        let (connection, accepted) =
            tokio::join!(Connection::open(&connector, &to), listener.accept());
        let (mut connection, (mut stream, _)) = (connection.unwrap(), accepted.unwrap());
        assert!(connection.usable());
        stream.write_all(b"HTTP/1.1 408 X\r\n").await.unwrap();
        while connection.usable() {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    }

    const ANSWER: &[u8] = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n{}";

    /// A connection that has carried a call, and the server's end of it.
    async fn kept(listener: &TcpListener) -> (Connection, TcpStream) {
        let peer = async {
            let mut stream = asked(listener).await;
            stream.write_all(ANSWER).await.unwrap();
            stream
        };
        let addr = listener.local_addr().unwrap();
        let ((_, idle), stream) = tokio::join!(try_at(addr, None, soon()), peer);
        (idle.unwrap(), stream)
    }

    #[tokio::test]
    async fn a_request_that_meets_a_closed_connection_is_made_on_another() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let (mut idle, stream) = kept(&listener).await;
        assert!(idle.usable());
        // Looked at, then closed, then written to: the race that every client has.
        drop(stream);
        let begun = idle.begin(REQUEST);
        let peer = async {
            asked(&listener).await.write_all(ANSWER).await.unwrap();
        };
        let addr = listener.local_addr().unwrap();
        let ((got, _), ()) = tokio::join!(try_at(addr, Some(begun), soon()), peer);
        assert!(
            matches!(got, Attempt::Answer { status: 200, .. }),
            "{got:?}"
        );
    }

    #[tokio::test]
    async fn a_request_that_was_taken_is_not_made_twice() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let (idle, mut stream) = kept(&listener).await;
        let begun = idle.begin(REQUEST);
        let mut second = vec![0; REQUEST.len()];
        stream.read_exact(&mut second).await.unwrap();
        drop(stream);
        let addr = listener.local_addr().unwrap();
        // Nobody takes another connection: a second try would wait for its answer.
        let (got, _) = try_at(addr, Some(begun), soon()).await;
        assert_eq!(got, Attempt::Closed);
    }

    #[tokio::test]
    async fn a_server_that_accepts_and_closes_has_certainly_done_nothing() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let to = Endpoint::plain("a", listener.local_addr().unwrap());
        let connector = Connector::default();
        let (connection, accepted) =
            tokio::join!(Connection::open(&connector, &to), listener.accept());
        drop(accepted.unwrap());
        let begun = connection.unwrap().begin(REQUEST);
        let (got, connection) = begun.finish(REQUEST).await;
        assert_eq!(got, Attempt::Unseen);
        assert!(connection.is_none());
    }

    #[tokio::test]
    async fn what_the_peer_does_is_told_apart() {
        for (answer, expected) in [
            (&b""[..], "Closed"),
            (b"HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\n{}", "Broken"),
            (b"SSH-2.0-x\r\n", "Garbled"),
            (b"HTTP/1.1 200 OK\r\n\r\n{}", "Answer"),
            (
                b"HTTP/1.1 200 OK\r\ncontent-length: 99999999\r\n\r\n{}",
                "Garbled",
            ),
        ] {
            let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
            let addr = listener.local_addr().unwrap();
            let peer = async {
                let mut stream = asked(&listener).await;
                stream.write_all(answer).await.unwrap();
            };
            let ((got, _), ()) = tokio::join!(try_at(addr, None, soon()), peer);
            assert!(
                format!("{got:?}").starts_with(expected),
                "{expected}: {got:?}"
            );
        }
    }

    #[tokio::test]
    async fn a_request_that_does_not_fit_the_sockets_is_written_in_parts() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let to = Endpoint::plain("a", listener.local_addr().unwrap());
        let long = vec![b'x'; 16 << 20];
        let peer = async {
            let (mut stream, _) = listener.accept().await.unwrap();
            let mut all = Vec::new();
            while all.len() < long.len() {
                assert!(stream.read_buf(&mut all).await.unwrap() > 0);
            }
            assert!(all == long);
            let answer = b"HTTP/1.1 204 X\r\n\r\n";
            stream.write_all(answer).await.unwrap();
        };
        let connector = Connector::default();
        let client = attempt(&connector, &to, None, &long, soon());
        let ((got, _), ()) = tokio::join!(client, peer);
        assert!(
            matches!(got, Attempt::Answer { status: 204, .. }),
            "{got:?}"
        );
    }

    #[tokio::test]
    async fn a_call_that_timed_out_closes_its_connection() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let addr = listener.local_addr().unwrap();
        let deadline = Instant::now() + Duration::from_millis(200);
        let peer = async {
            let (mut stream, _) = listener.accept().await.unwrap();
            let mut all = Vec::new();
            // Ends when the other side closes: in an error or with all it sent.
            let _ = stream.read_to_end(&mut all).await;
        };
        let ((got, connection), ()) = tokio::join!(try_at(addr, None, deadline), peer);
        // On a machine that stood still, not even the connection was made in time.
        assert!(
            matches!(got, Attempt::Timeout | Attempt::ConnectTimeout),
            "{got:?}"
        );
        assert!(connection.is_none());
    }
}
