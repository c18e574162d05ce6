//! `/metrics` over HTTP: a scrape now and then, nothing more.

use super::publisher::Publisher;
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;

/// Longest head of a request, in bytes.
const MAX_HEAD: usize = 16 << 10;

/// Time that a scrape has.
const SCRAPE: Duration = Duration::from_secs(10);

/// Most connections at once; further ones wait.
const MAX_CONNECTIONS: usize = 16;

/// Serves until the task is aborted.
pub async fn serve(listener: TcpListener, publisher: Arc<Publisher>) {
    let places = Arc::new(Semaphore::new(MAX_CONNECTIONS));
    loop {
        let Ok(place) = places.clone().acquire_owned().await else {
            return;
        };
        let Ok((stream, _)) = listener.accept().await else {
            // For lack of file descriptors, say: others close theirs.
            tokio::time::sleep(Duration::from_millis(100)).await;
            continue;
        };
        let publisher = publisher.clone();
        tokio::spawn(async move {
            // A scraper that goes away half way harms nobody.
            let _ = tokio::time::timeout(SCRAPE, answer(stream, &publisher)).await;
            drop(place);
        });
    }
}

async fn answer(mut stream: TcpStream, publisher: &Publisher) -> std::io::Result<()> {
    let mut head = Vec::new();
    while !head.windows(4).any(|w| w == b"\r\n\r\n") {
        if head.len() > MAX_HEAD || stream.read_buf(&mut head).await? == 0 {
            return Ok(());
        }
    }
    let reply = reply(&head, || publisher.scrape());
    stream.write_all(reply.as_bytes()).await?;
    stream.shutdown().await
}

/// The whole answer to a request with this head.
fn reply(head: &[u8], scrape: impl FnOnce() -> Result<String, String>) -> String {
    let first = head.split(|b| *b == b'\r').next().unwrap_or_default();
    let first = String::from_utf8_lossy(first);
    let mut words = first.split(' ');
    let (method, path) = (words.next(), words.next().unwrap_or_default());
    let path = path.split('?').next().unwrap_or_default();
    let text = "text/plain; charset=utf-8";
    let (status, kind, body) = match (method, path) {
        (Some("GET" | "HEAD"), "/metrics") => match scrape() {
            Ok(metrics) => (
                "200 OK",
                "text/plain; version=0.0.4; charset=utf-8",
                metrics,
            ),
            Err(why) => ("500 Internal Server Error", text, why),
        },
        (Some("GET" | "HEAD"), _) => ("404 Not Found", text, "see /metrics\n".into()),
        _ => ("405 Method Not Allowed", text, "GET only\n".into()),
    };
    let length = body.len();
    let body = if method == Some("HEAD") { "" } else { &body };
    format!(
        "HTTP/1.1 {status}\r\ncontent-type: {kind}\r\ncontent-length: {length}\r\n\
         connection: close\r\n\r\n{body}"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_metrics_are_served() {
        let of = |head: &str| reply(head.as_bytes(), || Ok("x 1\n".into()));
        let ok = of("GET /metrics HTTP/1.1\r\nhost: x\r\n\r\n");
        assert!(ok.starts_with("HTTP/1.1 200 OK\r\n"), "{ok}");
        assert!(
            ok.contains("version=0.0.4") && ok.ends_with("\r\n\r\nx 1\n"),
            "{ok}"
        );
        let head = of("HEAD /metrics?x=1 HTTP/1.1\r\n\r\n");
        assert!(
            head.contains("content-length: 4") && head.ends_with("\r\n\r\n"),
            "{head}"
        );
        assert!(of("GET / HTTP/1.1\r\n\r\n").starts_with("HTTP/1.1 404"));
        assert!(of("POST /metrics HTTP/1.1\r\n\r\n").starts_with("HTTP/1.1 405"));
        let broken = reply(b"GET /metrics HTTP/1.1\r\n\r\n", || Err("why".into()));
        assert!(broken.starts_with("HTTP/1.1 500"), "{broken}");
        assert!(of("\u{0}\r\n\r\n").starts_with("HTTP/1.1 405"));
    }
}
