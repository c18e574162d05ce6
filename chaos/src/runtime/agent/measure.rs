//! Measuring links between agents: numbered datagrams with the time at which
//! they were sent, on the clock that all containers of a host share. They
//! carry no checksum, so that damaged ones arrive.

use super::arrived::arrived;
use super::datagrams::Datagrams;
use crate::runtime::control::lock;
use crate::runtime::traffic::hearing::{Hearing, Message};
use crate::runtime::traffic::{Heard, Sounding};
use nix::time::{ClockId, clock_gettime};
use std::collections::HashMap;
use std::io;
use std::net::SocketAddr;
use std::os::fd::AsRawFd;
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::time::Instant;

/// `UDP_NO_CHECK6_TX` and `_RX`: the same over IPv6, both ways.
const NO_CHECK6: [libc::c_int; 2] = [101, 102];
/// Measurements that are listened for at the same time.
const MAX_STREAMS: usize = 1024;
/// What the socket buffers, in bytes: bursts must not be lost for want of it.
const BUFFER: libc::c_int = 8 << 20;
/// How long a measurement is kept beyond all that it may take.
const FORGET: Duration = Duration::from_secs(10);
/// How often it is looked whether everything has arrived.
const LOOK: Duration = Duration::from_millis(10);

/// Sends and hears.
#[derive(Clone)]
pub(super) struct Meter {
    socket: Arc<Datagrams>,
    hearings: Arc<Mutex<HashMap<u64, Listening>>>,
}

/// A measurement that is listened for.
struct Listening {
    hearing: Hearing,
    /// Nobody asks for it any more after this: whoever announced it has given up.
    until: Instant,
}

impl Meter {
    /// Listens from now on.
    ///
    /// # Errors
    /// No port is free, or a right is missing.
    pub async fn open() -> Result<Self, String> {
        let socket = Datagrams::open().await.map_err(say)?;
        set(&socket, libc::SOL_SOCKET, libc::SO_NO_CHECK, 1).map_err(say)?;
        set(&socket, libc::SOL_SOCKET, libc::SO_RCVBUFFORCE, BUFFER).map_err(say)?;
        for option in NO_CHECK6 {
            // A socket for IPv4 alone has none.
            let _ = set(&socket, libc::SOL_UDP, option, 1);
        }
        let socket = Arc::new(socket);
        let meter = Meter {
            socket,
            hearings: Arc::default(),
        };
        tokio::spawn(meter.clone().hear());
        Ok(meter)
    }

    /// Where it listens.
    ///
    /// # Errors
    /// What the kernel says.
    pub fn port(&self) -> Result<u16, String> {
        self.socket.port().map_err(say)
    }

    /// Announces measurements.
    ///
    /// # Errors
    /// Too many at once, or a sounding that cannot be.
    pub fn listen(&self, streams: &[u64], sounding: &Sounding) -> Result<(), String> {
        sounding.check()?;
        let mut hearings = lock(&self.hearings);
        announce(&mut hearings, streams, sounding, Instant::now())
    }

    /// Sends a sounding to each of these, its messages in turn.
    ///
    /// # Errors
    /// A sounding that cannot be.
    pub async fn sound(self, to: Vec<(SocketAddr, u64)>, sounding: Sounding) -> Result<(), String> {
        sounding.check()?;
        let mut due = Instant::now();
        for number in 0..sounding.messages {
            for (receiver, stream) in &to {
                let message = Message {
                    stream: *stream,
                    number,
                    sent_us: now_us(),
                };
                let bytes = message.encode(sounding.bytes);
                // Refused by a rule here: the same as not arriving.
                let _ = self.socket.send_to(&bytes, *receiver).await;
            }
            due += sounding.gap;
            tokio::time::sleep_until(due).await;
        }
        Ok(())
    }

    /// Waits until everything has arrived or time is up, and says what has.
    pub async fn heard(self, streams: Vec<u64>, wait: Duration) -> Vec<Heard> {
        let ends = Instant::now() + wait.min(Sounding::MAX_WAIT);
        while Instant::now() < ends && !self.is_complete(&streams) {
            tokio::time::sleep(LOOK).await;
        }
        arrived(self.socket.socket(), |bytes| self.take(bytes));
        let mut hearings = lock(&self.hearings);
        let all = streams.iter().map(|s| hearings.remove(s));
        // One that was never announced has heard nothing.
        all.map(|h| h.map(|h| h.hearing.finish()).unwrap_or_default())
            .collect()
    }

    fn is_complete(&self, streams: &[u64]) -> bool {
        let hearings = lock(&self.hearings);
        let all = streams.iter().filter_map(|s| hearings.get(s));
        all.into_iter().all(|h| h.hearing.is_complete())
    }

    async fn hear(self) {
        let mut bytes = [0; 2048];
        loop {
            match self.socket.socket().recv_from(&mut bytes).await {
                Ok((n, _)) => self.take(&bytes[..n]),
                // An answer to something we sent, for example that nobody listens there.
                Err(_) => tokio::time::sleep(Duration::from_millis(5)).await,
            }
        }
    }

    fn take(&self, bytes: &[u8]) {
        if let Some((message, whole)) = Message::decode(bytes)
            && let Some(listening) = lock(&self.hearings).get_mut(&message.stream)
        {
            listening
                .hearing
                .take(&message, whole, bytes.len(), now_us());
        }
    }
}

/// Begins to listen for these; forgets those that nobody will ask for any more.
fn announce(
    hearings: &mut HashMap<u64, Listening>,
    streams: &[u64],
    sounding: &Sounding,
    now: Instant,
) -> Result<(), String> {
    hearings.retain(|_, listening| listening.until > now);
    if hearings.len() + streams.len() > MAX_STREAMS {
        return Err(format!("more than {MAX_STREAMS} measurements at once"));
    }
    let until = now + sounding.takes() * 2 + Sounding::MAX_WAIT + FORGET;
    hearings.extend(streams.iter().map(|stream| {
        let hearing = Hearing::new(sounding);
        (*stream, Listening { hearing, until })
    }));
    Ok(())
}

fn now_us() -> u64 {
    // It cannot fail on Linux; a zero would show as an absurd delay.
    let now = clock_gettime(ClockId::CLOCK_MONOTONIC).map(Duration::from);
    now.map_or(0, |d| d.as_micros() as u64)
}

fn say(e: io::Error) -> String {
    format!("a port for measurements: {e}")
}

fn set(
    socket: &Datagrams,
    level: libc::c_int,
    name: libc::c_int,
    value: libc::c_int,
) -> io::Result<()> {
    // SAFETY: `value` lives during the call and its size is given.
    let set = unsafe {
        libc::setsockopt(
            socket.socket().as_raw_fd(),
            level,
            name,
            (&raw const value).cast(),
            size_of::<libc::c_int>() as libc::socklen_t,
        )
    };
    match set {
        0 => Ok(()),
        _ => Err(io::Error::last_os_error()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn measurements_that_nobody_asked_for_again_leave_room_for_others() {
        let sounding = Sounding {
            messages: 10,
            bytes: Sounding::MIN_BYTES,
            gap: Duration::from_millis(10),
            wait: Duration::from_secs(1),
        };
        let mut hearings = HashMap::new();
        let many: Vec<u64> = (0..MAX_STREAMS as u64).collect();
        let now = Instant::now();
        announce(&mut hearings, &many, &sounding, now).unwrap();
        announce(&mut hearings, &[5000], &sounding, now).unwrap_err();
        let later = now + sounding.takes() * 2 + Sounding::MAX_WAIT;
        announce(&mut hearings, &[5000], &sounding, later).unwrap_err();
        announce(&mut hearings, &[5000], &sounding, later + FORGET).unwrap();
        assert_eq!(hearings.into_keys().collect::<Vec<_>>(), [5000]);
    }
}
