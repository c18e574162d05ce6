//! Settings of every connection between nodes.

use nix::sys::socket::{setsockopt, sockopt};
use std::time::Duration;
use tokio::net::TcpStream;

/// Unacknowledged bytes end a connection after this time even if nobody waits for an answer,
/// and an idle connection whose other side is gone is noticed about as fast.
const GIVE_UP: Duration = Duration::from_secs(4);

/// No delay for small frames, and a bound on how long a dead peer goes unnoticed. Best effort:
/// request deadlines detect a hanging connection anyway, these only free the socket.
pub(super) fn tune(stream: &TcpStream) {
    let attempts = [
        stream.set_nodelay(true).map_err(|e| e.to_string()),
        setsockopt(
            stream,
            sockopt::TcpUserTimeout,
            &(GIVE_UP.as_millis() as u32),
        )
        .map_err(|e| e.to_string()),
        setsockopt(stream, sockopt::KeepAlive, &true).map_err(|e| e.to_string()),
        setsockopt(stream, sockopt::TcpKeepIdle, &2).map_err(|e| e.to_string()),
        setsockopt(stream, sockopt::TcpKeepInterval, &1).map_err(|e| e.to_string()),
    ];
    for error in attempts.into_iter().filter_map(Result::err) {
        tracing::debug!(%error, "socket option not set");
    }
}
