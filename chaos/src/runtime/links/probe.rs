//! Connections of the links' own, which are carried as all others are: whether
//! anything arrives, and how.

use super::carry::carry;
use super::gates::Gates;
use crate::runtime::LinkState;
use crate::runtime::traffic::hearing::{Hearing, Message};
use crate::runtime::traffic::{Heard, Sounding};
use std::io;
use std::net::Ipv4Addr;
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::Instant;

/// How long a probe tries.
pub(super) const PROBE: Duration = Duration::from_millis(300);
/// Messages of one probe.
const PROBE_MESSAGES: u32 = 12;

/// Both ends of a connection over a link, and who carries it.
struct Line {
    sender: TcpStream,
    receiver: TcpStream,
    carried: tokio::task::JoinHandle<()>,
}

impl Drop for Line {
    fn drop(&mut self) {
        self.carried.abort();
    }
}

async fn line(gates: &Gates, from: usize, to: usize) -> Result<Line, String> {
    gates.check(from, to)?;
    let say = |e: io::Error| format!("cannot make a probe connection: {e}");
    let (sender, inner_sender) = socket_pair().await.map_err(say)?;
    let (receiver, inner_receiver) = socket_pair().await.map_err(say)?;
    let there = gates.way(from, to);
    // Nothing goes back. A way back that rejects would reset this connection as well and be taken
    // for this direction, so it is a way of its own.
    let carried = tokio::spawn(carry(
        inner_sender,
        inner_receiver,
        there,
        Gates::new(1).way(0, 0),
    ));
    Ok(Line {
        sender,
        receiver,
        carried,
    })
}

/// Sends messages and sees whether one arrives.
pub(super) async fn probe(gates: Arc<Gates>, from: usize, to: usize) -> Result<LinkState, String> {
    let mut line = line(&gates, from, to).await?;
    let send = async {
        for n in 0..PROBE_MESSAGES {
            line.sender.write_all(&n.to_be_bytes()).await?;
            tokio::time::sleep(PROBE / PROBE_MESSAGES).await;
        }
        io::Result::Ok(())
    };
    let mut message = [0; 4];
    let passed = tokio::select! {
        read = line.receiver.read_exact(&mut message) => read.map(|_| LinkState::Open),
        sent = send => sent.map(|()| LinkState::Cut),
    };
    match passed {
        Err(e) if is_reset(&e) => Ok(LinkState::Rejected),
        passed => passed.map_err(|e| format!("the probe connection broke: {e}")),
    }
}

fn is_reset(e: &io::Error) -> bool {
    use io::ErrorKind::{BrokenPipe, ConnectionReset};
    matches!(e.kind(), ConnectionReset | BrokenPipe)
}

/// Sends what the sounding says and counts what arrives, when.
pub(super) async fn measure(
    gates: Arc<Gates>,
    from: usize,
    to: usize,
    sounding: Sounding,
) -> Result<Heard, String> {
    sounding.check()?;
    let mut line = line(&gates, from, to).await?;
    let epoch = Instant::now();
    let micros = || epoch.elapsed().as_micros() as u64;
    let send = async {
        for number in 0..sounding.messages {
            let message = Message {
                stream: 0,
                number,
                sent_us: micros(),
            };
            line.sender
                .write_all(&message.encode(sounding.bytes))
                .await?;
            tokio::time::sleep(sounding.gap).await;
        }
        tokio::time::sleep(sounding.wait).await;
        io::Result::Ok(())
    };
    let mut hearing = Hearing::new(&sounding);
    let hear = async {
        let mut bytes = vec![0; sounding.bytes as usize];
        while !hearing.is_complete() {
            line.receiver.read_exact(&mut bytes).await?;
            if let Some((message, whole)) = Message::decode(&bytes) {
                hearing.take(&message, whole, bytes.len(), micros());
            }
        }
        io::Result::Ok(())
    };
    let all = async {
        tokio::select! {
            heard = hear => heard,
            sent = send => sent,
        }
    };
    match tokio::time::timeout(sounding.takes() + PROBE, all).await {
        // Late: what has arrived counts.
        Ok(Ok(())) | Err(_) => Ok(hearing.finish()),
        Ok(Err(e)) => Err(format!("the probe connection broke: {e}")),
    }
}

/// Two connected sockets.
pub(super) async fn socket_pair() -> io::Result<(TcpStream, TcpStream)> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
    let addr = listener.local_addr()?;
    let one = TcpStream::connect(addr).await?;
    one.set_nodelay(true)?;
    loop {
        let (two, peer) = listener.accept().await?;
        if peer == one.local_addr()? {
            return Ok((one, two));
        }
    }
}
