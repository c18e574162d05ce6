//! One call: one attempt, on an idle connection or a fresh one.

use crate::classify::Attempt;
use crate::config::Endpoint;
use crate::connect::Connector;
use bytes::Bytes;
use http_body_util::{BodyExt, Full, LengthLimitError, Limited};
use hyper::Request;
use hyper::body::Body;
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use std::error::Error;
use tokio::task::JoinHandle;
use tokio::time::{Instant, timeout_at};

/// Longest answer, in bytes. An item has at most 400 KiB.
const MAX_ANSWER: usize = 1 << 20;

/// A connection that carries at most one call at a time. Dropping it closes it.
#[derive(Debug)]
pub struct Connection {
    sender: http1::SendRequest<Full<Bytes>>,
    driver: JoinHandle<()>,
}

impl Drop for Connection {
    fn drop(&mut self) {
        self.driver.abort();
    }
}

impl Connection {
    async fn open(connector: &Connector, endpoint: &Endpoint) -> Result<Self, Attempt> {
        let stream = connector.open(endpoint).await?;
        let (sender, connection) = http1::handshake(TokioIo::new(stream))
            .await
            .map_err(|e| Attempt::NotConnected(explain(&e)))?;
        // Its errors reach the call that is on it; there is nobody else to tell.
        let driver = tokio::spawn(async move { drop(connection.await) });
        Ok(Connection { sender, driver })
    }

    /// False if it was closed meanwhile.
    pub fn usable(&self) -> bool {
        !self.sender.is_closed()
    }
}

/// Makes the call until `deadline`. Returns the connection if it can be used again.
///
/// An idle connection that the server had closed before anything of the request
/// was written is replaced by a fresh one: nothing was attempted on it.
pub async fn attempt(
    connector: &Connector,
    endpoint: &Endpoint,
    mut idle: Option<Connection>,
    mut request: Request<Full<Bytes>>,
    deadline: Instant,
) -> (Attempt, Option<Connection>) {
    loop {
        let reused = idle.is_some();
        let connection = match timeout_at(deadline, connect(connector, endpoint, idle.take())).await
        {
            Ok(Ok(connection)) => connection,
            Ok(Err(attempt)) => return (attempt, None),
            Err(_) => return (Attempt::ConnectTimeout, None),
        };
        // On a timeout the connection is dropped with the exchange: a late
        // answer must not meet the next call.
        match timeout_at(deadline, exchange(connection, request)).await {
            Err(_) => return (Attempt::Timeout, None),
            Ok(Exchange::Done(attempt, connection)) => return (attempt, connection),
            Ok(Exchange::NotSent(unsent)) if reused => request = *unsent,
            Ok(Exchange::NotSent(_)) => {
                let why = "connection closed before the request was sent";
                return (Attempt::NotConnected(why.into()), None);
            }
        }
    }
}

async fn connect(
    connector: &Connector,
    endpoint: &Endpoint,
    idle: Option<Connection>,
) -> Result<Connection, Attempt> {
    if let Some(mut connection) = idle
        && connection.sender.ready().await.is_ok()
    {
        return Ok(connection);
    }
    Connection::open(connector, endpoint).await
}

enum Exchange {
    Done(Attempt, Option<Connection>),
    /// The request is handed back whole: nothing of it was written.
    NotSent(Box<Request<Full<Bytes>>>),
}

async fn exchange(mut connection: Connection, request: Request<Full<Bytes>>) -> Exchange {
    let response = match connection.sender.try_send_request(request).await {
        Ok(response) => response,
        Err(mut e) => {
            return match e.take_message() {
                Some(request) => Exchange::NotSent(Box::new(request)),
                None => Exchange::Done(no_answer(e.error()), None),
            };
        }
    };
    let status = response.status().as_u16();
    let too_long = || Attempt::Garbled(format!("answer longer than {MAX_ANSWER} bytes"));
    if response.body().size_hint().lower() > MAX_ANSWER as u64 {
        return Exchange::Done(too_long(), None);
    }
    match Limited::new(response.into_body(), MAX_ANSWER)
        .collect()
        .await
    {
        Ok(body) => {
            let body = body.to_bytes();
            let again = connection.usable().then_some(connection);
            Exchange::Done(Attempt::Answer { status, body }, again)
        }
        Err(e) if e.is::<LengthLimitError>() => Exchange::Done(too_long(), None),
        Err(e) => {
            let attempt = match e.downcast_ref::<hyper::Error>() {
                Some(e) => no_answer(e),
                None => Attempt::Broken(e.to_string()),
            };
            Exchange::Done(attempt, None)
        }
    }
}

fn no_answer(e: &hyper::Error) -> Attempt {
    if e.is_parse() {
        Attempt::Garbled(explain(e))
    } else {
        Attempt::Broken(explain(e))
    }
}

/// The error and what caused it.
fn explain(e: &hyper::Error) -> String {
    match e.source() {
        Some(cause) => format!("{e}: {cause}"),
        None => e.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::SocketAddr;
    use std::time::Duration;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::TcpListener;

    /// Answers one request per connection, then closes it.
    async fn answer_once(listener: &TcpListener) {
        let (mut stream, _) = listener.accept().await.unwrap();
        let mut request = Vec::new();
        while !request.ends_with(b"{}") {
            assert!(stream.read_buf(&mut request).await.unwrap() > 0);
        }
        let answer = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n{}";
        stream.write_all(answer).await.unwrap();
    }

    async fn try_at(
        addr: SocketAddr,
        idle: Option<Connection>,
        request: Request<Full<Bytes>>,
        deadline: Instant,
    ) -> (Attempt, Option<Connection>) {
        let to = Endpoint::plain("a", addr);
        attempt(&Connector::default(), &to, idle, request, deadline).await
    }

    fn request() -> Request<Full<Bytes>> {
        let body = Full::new(Bytes::from_static(b"{}"));
        Request::post("/").header("host", "x").body(body).unwrap()
    }

    #[tokio::test]
    async fn an_idle_connection_that_the_server_closed_is_replaced() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let addr = listener.local_addr().unwrap();
        let deadline = Instant::now() + Duration::from_secs(60);
        let ok = Attempt::Answer {
            status: 200,
            body: Bytes::from_static(b"{}"),
        };
        let (first, ()) = tokio::join!(
            try_at(addr, None, request(), deadline),
            answer_once(&listener)
        );
        assert_eq!(first.0, ok);
        // Closed under our hands, but kept: as if nobody had looked.
        let Some(idle) = first.1 else {
            return;
        };
        while idle.usable() {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        let (second, ()) = tokio::join!(
            try_at(addr, Some(idle), request(), deadline),
            answer_once(&listener)
        );
        assert_eq!(second.0, ok);
    }

    #[tokio::test]
    async fn what_the_peer_does_is_told_apart() {
        let deadline = || Instant::now() + Duration::from_secs(60);
        for (answer, expected) in [
            (&b""[..], "Broken"),
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
                let (mut stream, _) = listener.accept().await.unwrap();
                let mut request = Vec::new();
                while !request.ends_with(b"{}") {
                    assert!(stream.read_buf(&mut request).await.unwrap() > 0);
                }
                stream.write_all(answer).await.unwrap();
            };
            let ((got, _), ()) = tokio::join!(try_at(addr, None, request(), deadline()), peer);
            assert!(
                format!("{got:?}").starts_with(expected),
                "{expected}: {got:?}"
            );
        }
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
        let ((got, connection), ()) = tokio::join!(try_at(addr, None, request(), deadline), peer);
        // On a machine that stood still, not even the connection was made in time.
        assert!(
            matches!(got, Attempt::Timeout | Attempt::ConnectTimeout),
            "{got:?}"
        );
        assert!(connection.is_none());
    }
}
