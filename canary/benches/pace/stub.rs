//! A stub of the service whose delay and stall are known.

use crate::Failure;
use crate::process::{Place, child};
use gameday_record::RunClock;
use std::io::{BufRead, BufReader, Read};
use std::net::SocketAddr;
use std::process::{Child, ChildStdout};
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpSocket, TcpStream};

/// A stub that runs.
pub struct Server {
    process: Child,
    said: BufReader<ChildStdout>,
    pub addr: SocketAddr,
}

impl Server {
    pub fn start(delay_ms: u64, stall_ms: u64, place: Place) -> Result<Server, Failure> {
        let args = ["serve", &delay_ms.to_string(), &stall_ms.to_string()];
        let mut process = child(&args, place)?;
        let mut said = BufReader::new(process.stdout.take().ok_or("no output")?);
        let mut addr = String::new();
        said.read_line(&mut addr)?;
        let addr = addr.trim().parse()?;
        Ok(Server {
            process,
            said,
            addr,
        })
    }

    /// When requests arrived.
    pub fn stop(mut self) -> Result<Vec<u64>, Failure> {
        drop(self.process.stdin.take());
        let mut seen = String::new();
        self.said.read_to_string(&mut seen)?;
        self.process.wait()?;
        Ok(serde_json::from_str(&seen)?)
    }
}

/// Answers every request, after a delay; 3 s after the first one it stands
/// still once. Says when requests arrived, in ns, when its input ends.
pub fn serve(delay_ms: u64, stall_ms: u64) -> Result<(), Failure> {
    let rt = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    rt.block_on(async {
        let socket = TcpSocket::new_v4()?;
        socket.bind(SocketAddr::from(([127, 0, 0, 1], 0)))?;
        let listener = socket.listen(4096)?;
        println!("{}", listener.local_addr()?);
        let clock = RunClock::start();
        let arrivals = Arc::new(Mutex::new(Vec::new()));
        let seen = arrivals.clone();
        let accepting = async move {
            loop {
                let (stream, _) = listener.accept().await?;
                stream.set_nodelay(true)?;
                tokio::spawn(answer(stream, clock, seen.clone(), delay_ms, stall_ms));
            }
        };
        let mut rest = Vec::new();
        let mut input = tokio::io::stdin();
        let ended: Result<(), Failure> = tokio::select! {
            failed = accepting => failed,
            ended = input.read_to_end(&mut rest) => Ok(ended.map(drop)?),
        };
        ended?;
        let all = arrivals.lock().map_err(|_| "a connection died")?;
        println!("{}", serde_json::to_string(&*all)?);
        Ok(())
    })
}

async fn answer(
    mut stream: TcpStream,
    clock: RunClock,
    arrivals: Arc<Mutex<Vec<u64>>>,
    delay_ms: u64,
    stall_ms: u64,
) -> std::io::Result<()> {
    const ANSWER: &[u8] = b"HTTP/1.1 200 OK\r\ncontent-type: application/x-amz-json-1.0\r\n\
        x-amzn-requestid: 00000000-0000-0000-0000-000000000000\r\ncontent-length: 2\r\n\r\n{}";
    let mut buffer = vec![0; 1 << 16];
    let mut have = 0;
    loop {
        let n = stream.read(&mut buffer[have..]).await?;
        if n == 0 {
            return Ok(());
        }
        have += n;
        if !whole(&buffer[..have]) {
            continue;
        }
        have = 0;
        let now = clock.now().0;
        let stands = {
            let Ok(mut all) = arrivals.lock() else {
                return Ok(());
            };
            // The first that arrives 3 s after the first of all meets the stall.
            let three = |t: u64| all.first().is_some_and(|f| t >= f + 3_000_000_000);
            let stands = stall_ms > 0 && three(now) && !all.last().is_some_and(|t| three(*t));
            all.push(now);
            stands
        };
        if stands {
            // On the only thread: nothing else is served either.
            std::thread::sleep(Duration::from_millis(stall_ms));
        }
        if delay_ms > 0 {
            tokio::time::sleep(Duration::from_millis(delay_ms)).await;
        }
        stream.write_all(ANSWER).await?;
    }
}

/// True of a whole request.
fn whole(bytes: &[u8]) -> bool {
    let Some(end) = bytes.windows(4).position(|w| w == b"\r\n\r\n") else {
        return false;
    };
    let head = String::from_utf8_lossy(&bytes[..end]).to_ascii_lowercase();
    let length = head
        .lines()
        .find_map(|l| l.strip_prefix("content-length:")?.trim().parse().ok())
        .unwrap_or(0);
    bytes.len() >= end + 4 + length
}
