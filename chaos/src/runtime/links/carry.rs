//! One proxied connection: bytes both ways, held as the directions say.

use super::gates::Way;
use std::collections::VecDeque;
use std::net::SocketAddr;
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, Interest};
use tokio::net::TcpStream;
use tokio::time::Instant;

/// Bytes that one direction of one connection holds back at most; then its sender waits.
const MOST_HELD: usize = 1 << 20;
/// What a handshake weighs, in bytes.
const HANDSHAKE: usize = 60;

/// One connection from its acceptance to its end.
pub(super) async fn connect(
    client: TcpStream,
    target: SocketAddr,
    mut forward: Way,
    mut back: Way,
) {
    let (mut no_forward, mut no_back) = (forward.again(), back.again());
    tokio::select! {
        () = handshake(&mut forward, &mut back) => {}
        () = no_forward.rejects() => return reset(&client),
        () = no_back.rejects() => return reset(&client),
        // It gave up before its handshake would have been through: the target never hears of it.
        () = gone(&client) => return,
    }
    match TcpStream::connect(target).await {
        Ok(server) => carry(client, server, forward, back).await,
        Err(_) => {
            back.open().await;
            reset(&client);
        }
    }
}

/// There and back again. The caller believes to be connected by then, but what it sends goes no
/// sooner.
async fn handshake(forward: &mut Way, back: &mut Way) {
    for way in [&mut *forward, &mut *back] {
        way.open().await;
        let at = way.arrival(HANDSHAKE);
        way.pass(at).await;
    }
    while !(forward.is_open() && back.is_open()) {
        forward.open().await;
        back.open().await;
    }
}

/// Returns when the peer has closed.
async fn gone(stream: &TcpStream) {
    loop {
        match stream.ready(Interest::READABLE).await {
            Ok(ready) if !ready.is_read_closed() => {
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
            _ => return,
        }
    }
}

/// Which socket of a connection broke.
enum Broken {
    Client,
    Server,
}

/// Moves bytes both ways until both ends have closed, one breaks, or a direction rejects.
pub(super) async fn carry(
    mut client: TcpStream,
    mut server: TcpStream,
    mut forward: Way,
    mut back: Way,
) {
    for stream in [&client, &server] {
        // Without it the proxy would add delays of its own; not fatal where it is refused.
        let _ = stream.set_nodelay(true);
    }
    let (mut no_forward, mut no_back) = (forward.again(), back.again());
    let broken = {
        let (mut cr, mut cw) = client.split();
        let (mut sr, mut sw) = server.split();
        let moved = async {
            tokio::try_join!(
                pump(
                    &mut cr,
                    &mut sw,
                    &mut forward,
                    [|| Broken::Client, || Broken::Server]
                ),
                pump(
                    &mut sr,
                    &mut cw,
                    &mut back,
                    [|| Broken::Server, || Broken::Client]
                ),
            )
        };
        tokio::select! {
            moved = moved => Some(moved),
            () = no_forward.rejects() => None,
            () = no_back.rejects() => None,
        }
    };
    // A reset travels like data: only where the direction is open.
    match broken {
        Some(Ok(_)) => {}
        Some(Err(Broken::Client)) => {
            forward.open().await;
            reset(&server);
        }
        Some(Err(Broken::Server)) => {
            back.open().await;
            reset(&client);
        }
        None => {
            reset(&client);
            reset(&server);
        }
    }
}

/// Makes the socket's close a reset.
fn reset(stream: &TcpStream) {
    // If it fails, the peer gets an orderly end instead.
    let _ = stream.set_zero_linger();
}

/// What travels in one direction.
enum Item {
    Bytes(Vec<u8>),
    End,
    Broken,
}

/// Moves bytes one way: each piece arrives in its time, and only through an open gate, the end or
/// an error as well.
async fn pump(
    from: &mut (impl AsyncRead + Unpin),
    to: &mut (impl AsyncWrite + Unpin),
    way: &mut Way,
    broken: [fn() -> Broken; 2],
) -> Result<(), Broken> {
    let mut buffer = vec![0; 16 << 10];
    let mut held: VecDeque<(Instant, Item)> = VecDeque::new();
    let mut bytes_held = 0;
    let mut ended = false;
    loop {
        let piece = way.piece();
        let mut passing = way.again();
        let next = held.front().map(|(at, _)| *at);
        tokio::select! {
            biased;
            () = pass(&mut passing, next) => {
                let Some((_, item)) = held.pop_front() else {
                    continue;
                };
                match item {
                    Item::Bytes(bytes) => {
                        bytes_held -= bytes.len();
                        write(to, &bytes, way).await.map_err(|()| broken[1]())?;
                    }
                    Item::End => return to.shutdown().await.map_err(|_| broken[1]()),
                    Item::Broken => return Err(broken[0]()),
                }
            }
            read = from.read(&mut buffer[..piece]), if !ended && bytes_held < MOST_HELD => {
                let item = match read {
                    Ok(0) => Item::End,
                    Ok(n) => Item::Bytes(buffer[..n].to_vec()),
                    Err(_) => Item::Broken,
                };
                let n = match &item {
                    Item::Bytes(bytes) => bytes.len(),
                    Item::End | Item::Broken => {
                        ended = true;
                        0
                    }
                };
                bytes_held += n;
                held.push_back((way.arrival(n), item));
            }
        }
    }
}

/// Waits until what arrives at this time may go on; for ever if there is nothing.
async fn pass(way: &mut Way, at: Option<Instant>) {
    match at {
        Some(at) => way.pass(at).await,
        None => std::future::pending().await,
    }
}

/// Writes while the gate is open.
async fn write(to: &mut (impl AsyncWrite + Unpin), bytes: &[u8], way: &mut Way) -> Result<(), ()> {
    let mut rest = bytes;
    while !rest.is_empty() {
        way.open().await;
        tokio::select! {
            biased;
            // The receiver is slow and the gate closes: look again before the next byte.
            () = way.changed() => {}
            written = to.write(rest) => match written {
                Ok(0) | Err(_) => return Err(()),
                Ok(n) => rest = &rest[n..],
            }
        }
    }
    Ok(())
}
