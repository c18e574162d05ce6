//! One call: one attempt, on an idle connection or a fresh one.
//!
//! A server may close an idle connection at the moment in which a request is
//! written to it. It never saw that request, and no client counts this as its
//! failure (RFC 9112, section 9.3.1): the call is made on a fresh connection
//! instead. Only where that is certain, though, because a write must not be made
//! twice: nothing of the request was taken, or the other side closed in order and
//! its kernel has not acknowledged a byte of it.

use crate::classify::NoAnswer;
use crate::connect::Stream;
use crate::service::Answer;
use std::future::poll_fn;
use std::io;
use std::pin::{Pin, pin};
use std::task::{Context, Poll, Waker};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, ReadBuf};
use tokio::task::unconstrained;
use tokio::time::{Instant, timeout_at};

/// Room that is made for a read, in bytes.
const READ: usize = 4 << 10;

/// Longest answer, in bytes: a service may say less.
const MAX_ANSWER: usize = 8 << 20;

/// Largest buffer that a connection keeps from one answer to the next, in bytes.
const MAX_KEPT: usize = 64 << 10;

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
    fn new(stream: Box<dyn Stream>) -> Self {
        Connection {
            stream,
            buffer: Vec::new(),
        }
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
    /// Writes the rest of `request` and reads the answer as `read` understands it.
    async fn finish<T>(
        self,
        request: &[u8],
        read: &mut impl FnMut(&[u8], bool) -> Answer<T>,
    ) -> (Result<T, NoAnswer>, Option<Connection>) {
        let mut connection = self.connection;
        let stream = &mut connection.stream;
        let Ok(written) = self.written else {
            return (Err(NoAnswer::Unseen), None);
        };
        let sent = async {
            stream.write_all(&request[written..]).await?;
            stream.flush().await
        };
        if let Err(e) = sent.await {
            let why = format!("writing the request: {e}");
            return (Err(NoAnswer::Broken(why)), None);
        }
        match answer(stream, &mut connection.buffer, read).await {
            Err(NoAnswer::Closed) if unseen(stream.as_ref(), request) => {
                (Err(NoAnswer::Unseen), None)
            }
            Err(why) => (Err(why), None),
            Ok((what, again)) => {
                if connection.buffer.capacity() > MAX_KEPT {
                    connection.buffer = Vec::new();
                }
                (Ok(what), again.then_some(connection))
            }
        }
    }
}

/// Reads the answer to the one request that was written to `from`, and whether the
/// connection can be used again. `buffer` only saves allocations: what is in it is forgotten.
///
/// # Errors
/// `Closed` if the connection ends before an answer begins, `Broken` if it ends
/// within one, `Garbled` if it is none that can be understood, or too long.
pub(crate) async fn answer<T>(
    from: &mut (impl AsyncRead + Unpin + ?Sized),
    buffer: &mut Vec<u8>,
    read: &mut impl FnMut(&[u8], bool) -> Answer<T>,
) -> Result<(T, bool), NoAnswer> {
    buffer.clear();
    let mut wanted = 1;
    loop {
        let mut closed = false;
        while buffer.len() < wanted && !closed {
            buffer.reserve(READ.max(wanted - buffer.len()));
            let n = from.read_buf(buffer).await;
            closed = n.map_err(|e| NoAnswer::Broken(format!("reading the answer: {e}")))? == 0;
        }
        if buffer.is_empty() {
            return Err(NoAnswer::Closed);
        }
        match read(buffer, closed) {
            Answer::Partial { .. } if closed => {
                let why = "connection closed before the answer was whole";
                return Err(NoAnswer::Broken(why.into()));
            }
            Answer::Partial { more } => {
                wanted = buffer.len().saturating_add(more.max(1));
                if wanted > MAX_ANSWER {
                    let why = format!("answer longer than {MAX_ANSWER} bytes");
                    return Err(NoAnswer::Garbled(why));
                }
            }
            Answer::Garbled(why) => return Err(NoAnswer::Garbled(why)),
            // What follows an answer that nobody asked for cannot be trusted.
            Answer::Done { used, keep, what } => {
                return Ok((what, keep && !closed && used == buffer.len()));
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
pub async fn attempt<T, O>(
    open: impl FnOnce() -> O,
    begun: Option<Begun>,
    request: &[u8],
    deadline: Instant,
    mut read: impl FnMut(&[u8], bool) -> Answer<T>,
) -> (Result<T, NoAnswer>, Option<Connection>)
where
    O: Future<Output = Result<Box<dyn Stream>, NoAnswer>>,
{
    // On a timeout the connection is dropped with the exchange: a late answer
    // must not meet the next call.
    let mut finish = async |begun: Begun| {
        let finished = timeout_at(deadline, begun.finish(request, &mut read)).await;
        finished.unwrap_or((Err(NoAnswer::Timeout), None))
    };
    if let Some(kept) = begun {
        match finish(kept).await {
            (Err(NoAnswer::Unseen), _) => {}
            came => return came,
        }
    }
    match timeout_at(deadline, open()).await {
        Ok(Ok(stream)) => finish(Connection::new(stream).begin(request)).await,
        Ok(Err(why)) => (Err(why), None),
        Err(_) => (Err(NoAnswer::ConnectTimeout), None),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Endpoint;
    use crate::connect::Connector;
    use crate::exchange;
    use std::net::SocketAddr;
    use std::time::Duration;
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
    ) -> (Result<u16, NoAnswer>, Option<Connection>) {
        call(addr, begun, REQUEST, deadline).await
    }

    /// The status of an answer by HTTP.
    async fn call(
        addr: SocketAddr,
        begun: Option<Begun>,
        request: &[u8],
        deadline: Instant,
    ) -> (Result<u16, NoAnswer>, Option<Connection>) {
        let to = Endpoint::plain("a", addr);
        let connector = Connector::default();
        attempt(|| connector.open(&to), begun, request, deadline, status).await
    }

    fn status(bytes: &[u8], closed: bool) -> Answer<u16> {
        exchange::answer(bytes, closed).map(|r| r.status)
    }

    async fn opened(listener: &TcpListener) -> (Connection, TcpStream) {
        let to = Endpoint::plain("a", listener.local_addr().unwrap());
        let connector = Connector::default();
        let (stream, accepted) = tokio::join!(connector.open(&to), listener.accept());
        (Connection::new(stream.unwrap()), accepted.unwrap().0)
    }

    fn soon() -> Instant {
        Instant::now() + Duration::from_secs(60)
    }

    #[tokio::test]
    async fn a_connection_is_used_again_until_the_server_closes_it() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let addr = listener.local_addr().unwrap();
        let ok = Ok(200);
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
        let (mut connection, mut stream) = opened(&listener).await;
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
        assert_eq!(got, Ok(200));
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
        assert_eq!(got, Err(NoAnswer::Closed));
    }

    #[tokio::test]
    async fn a_server_that_accepts_and_closes_has_certainly_done_nothing() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let (connection, stream) = opened(&listener).await;
        drop(stream);
        let begun = connection.begin(REQUEST);
        let (got, connection) = begun.finish(REQUEST, &mut status).await;
        assert_eq!(got, Err(NoAnswer::Unseen));
        assert!(connection.is_none());
    }

    #[tokio::test]
    async fn what_the_peer_does_is_told_apart() {
        for (answer, expected) in [
            (&b""[..], "Err(Closed"),
            (
                b"HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\n{}",
                "Err(Broken",
            ),
            (b"SSH-2.0-x\r\n", "Err(Garbled"),
            (b"HTTP/1.1 200 OK\r\n\r\n{}", "Ok(200"),
            (
                b"HTTP/1.1 200 OK\r\ncontent-length: 99999999\r\n\r\n{}",
                "Err(Garbled",
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
    async fn an_answer_is_bounded_whoever_reads_it() {
        let mut endless = |bytes: &[u8], _: bool| Answer::<()>::Partial { more: bytes.len() };
        let said = [0; 64 << 10].repeat(256);
        let came = answer(&mut &said[..], &mut Vec::new(), &mut endless).await;
        let expected = format!("answer longer than {MAX_ANSWER} bytes");
        assert_eq!(came, Err(NoAnswer::Garbled(expected)));
    }

    #[tokio::test]
    async fn a_request_that_does_not_fit_the_sockets_is_written_in_parts() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let addr = listener.local_addr().unwrap();
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
        let ((got, _), ()) = tokio::join!(call(addr, None, &long, soon()), peer);
        assert_eq!(got, Ok(204));
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
            matches!(got, Err(NoAnswer::Timeout | NoAnswer::ConnectTimeout)),
            "{got:?}"
        );
        assert!(connection.is_none());
    }
}
