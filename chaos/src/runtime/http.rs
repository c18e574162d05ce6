//! One `GET` with a deadline and a bound on its body.

use http_body_util::{BodyExt, Empty, Limited};
use hyper::body::Bytes;
use hyper::{Request, client::conn::http1};
use hyper_util::rt::TokioIo;
use std::net::SocketAddr;
use std::time::Duration;
use tokio::net::TcpStream;

/// Largest body that is read, in bytes.
pub(crate) const MAX_BODY: usize = 1 << 20;

/// The body of a 200 answer.
///
/// # Errors
/// Another status, a body that is too large or not UTF-8, no answer in time.
pub(crate) async fn get(
    addr: SocketAddr,
    path: &str,
    deadline: Duration,
) -> Result<String, String> {
    tokio::time::timeout(deadline, get_unbounded(addr, path))
        .await
        .unwrap_or_else(|_| Err(format!("no answer within {deadline:?}")))
        .map_err(|e| format!("GET {path}: {e}"))
}

async fn get_unbounded(addr: SocketAddr, path: &str) -> Result<String, String> {
    let request = Request::get(path)
        .header("host", addr.to_string())
        .body(Empty::<Bytes>::new())
        .map_err(|e| e.to_string())?;
    let stream = TcpStream::connect(addr).await.map_err(|e| e.to_string())?;
    let (mut sender, connection) = http1::handshake(TokioIo::new(stream))
        .await
        .map_err(|e| e.to_string())?;
    let exchange = async {
        let answer = sender
            .send_request(request)
            .await
            .map_err(|e| e.to_string())?;
        let status = answer.status();
        let body = Limited::new(answer.into_body(), MAX_BODY).collect().await;
        let body = body.map_err(|e| e.to_string())?.to_bytes();
        if status != hyper::StatusCode::OK {
            let text: String = String::from_utf8_lossy(&body).chars().take(200).collect();
            return Err(format!("status {status} {text}").trim_end().to_string());
        }
        String::from_utf8(body.to_vec()).map_err(|_| "the body is not UTF-8".to_string())
    };
    tokio::pin!(connection, exchange);
    // The connection moves the bytes; once it is through, the answer may still be in its queue.
    tokio::select! {
        done = &mut exchange => return done,
        broken = &mut connection => if let Err(e) = broken { return Err(e.to_string()) },
    }
    exchange.await
}
