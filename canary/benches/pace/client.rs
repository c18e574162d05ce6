//! What is measured: the canary as the binary runs one, and a bare client
//! beside it.

use crate::{Failure, RATE};
use gameday_canary::{CanaryConfig, Wire, run};
use std::io::{Read, Write};
use std::net::SocketAddr;
use std::time::{Duration, Instant};

/// A canary as the binary runs one; its configuration is the first line.
pub fn canary() -> Result<(), Failure> {
    let rt = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    let result: Result<(), Failure> = rt.block_on(async {
        use tokio::io::AsyncBufReadExt;
        let mut input = tokio::io::BufReader::new(tokio::io::stdin());
        let mut line = String::new();
        input.read_line(&mut line).await?;
        let config = CanaryConfig::parse(&line)?;
        Ok(run(config, Wire::default(), input, tokio::io::stdout()).await?)
    });
    rt.shutdown_background();
    result
}

/// The least that a client can do: so many requests of the same bytes at the
/// pace, on one blocking socket.
pub fn bare(addr: SocketAddr, calls: u64) -> Result<(), Failure> {
    let body = r#"{"TableName":"canary","Key":{"pk":{"S":"k00001"}},"ConsistentRead":true}"#;
    let request = format!(
        "POST / HTTP/1.1\r\nhost: {addr}\r\ncontent-type: application/x-amz-json-1.0\r\n\
         x-amz-target: DynamoDB_20120810.GetItem\r\nauthorization: {}\r\n\
         content-length: {}\r\n\r\n{body}",
        "x".repeat(200),
        body.len()
    );
    let mut stream = std::net::TcpStream::connect(addr)?;
    stream.set_nodelay(true)?;
    let mut answer = [0; 1 << 12];
    let began = Instant::now();
    for n in 0..calls {
        let due = began + Duration::from_secs_f64(n as f64 / RATE);
        std::thread::sleep(due.saturating_duration_since(Instant::now()));
        stream.write_all(request.as_bytes())?;
        if stream.read(&mut answer)? == 0 {
            return Err("the stub closed the connection".into());
        }
    }
    Ok(())
}
