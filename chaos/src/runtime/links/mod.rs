//! The proxied links of the process runtime: a TCP proxy for every ordered
//! pair of units, in one process of its own, controlled by JSON lines over its
//! standard input and output.
//!
//! A link that is cut stalls: nothing is forwarded, nothing is reset, not even
//! the end of a connection, and what was on its way flows when it opens again.
//! A link that rejects resets its connections, old and new. A link can be slow:
//! bytes are held for a delay, or until their turn at a rate. What is held is
//! bounded. A new connection is like a handshake: it reaches its target once
//! both directions are open, and not before their delays. All of this carries
//! a lease: it ends by itself when control has been silent for longer.

mod carry;
mod gates;
mod probe;

use self::carry::connect;
use self::gates::{Gates, Way};

use crate::runtime::LinkState;
use crate::runtime::control::{self, Reply, lock};
use crate::runtime::process::addresses::AddressPlan;
use crate::runtime::traffic::{Heard, Sounding};
use crate::runtime::wanted::Setting;
use futures_util::future::try_join_all;
use serde::{Deserialize, Serialize};
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpListener;
use tokio::sync::Semaphore;
use tokio::time::Instant;

/// Environment variable that holds the [`LinksConfig`] as JSON.
pub const CONFIG_VAR: &str = "GAMEDAY_LINKS";
/// Connections per proxied port; more wait in the listen queue, then are not answered.
const MAX_CONNECTIONS: usize = 512;

/// What the links process is told at its start.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct LinksConfig {
    /// All addresses of the run.
    pub plan: AddressPlan,
    /// Milliseconds of silence of the control after which all links are open again.
    pub lease_ms: u64,
    /// How the links are set from the beginning, before anything passes; the others are open.
    pub(crate) settings: Vec<(usize, usize, Setting)>,
}

/// A request to the links process. Links are pairs of unit indexes in the plan.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum LinksRequest {
    /// Exactly these links are set so, from now on; the others are open.
    Set(Vec<(usize, usize, Setting)>),
    /// Keeps the lease.
    Renew,
    /// Sends real bytes over each link; answers whether they arrived.
    Probe(Vec<(usize, usize)>),
    /// Measures each link.
    Measure(Vec<(usize, usize)>, Sounding),
}

/// Its answer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum LinksAnswer {
    /// To `Set` and `Renew`: how many times a lease lapsed so far.
    Done {
        /// Since the start.
        lapses: u64,
    },
    /// To `Probe`.
    Probed(Vec<LinkState>),
    /// To `Measure`.
    Measured(Vec<Heard>),
}

/// The program: reads its configuration from the environment, serves until it is killed.
///
/// # Errors
/// A bad configuration, or an address that is in use.
pub fn main() -> Result<(), String> {
    let text = std::env::var(CONFIG_VAR).map_err(|e| format!("{CONFIG_VAR}: {e}"))?;
    let config = serde_json::from_str(&text).map_err(|e| format!("{CONFIG_VAR}: {e}"))?;
    raise_file_limit();
    // One thread: a cut is complete when it is acknowledged, since nothing else runs meanwhile.
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build();
    runtime
        .map_err(|e| format!("cannot start: {e}"))?
        .block_on(run(tokio::io::stdin(), tokio::io::stdout(), config))
}

/// Every link needs a listener and two sockets per connection.
fn raise_file_limit() {
    use nix::sys::resource::{Resource, getrlimit, setrlimit};
    if let Ok((soft, hard)) = getrlimit(Resource::RLIMIT_NOFILE)
        && soft < hard
        && let Err(e) = setrlimit(Resource::RLIMIT_NOFILE, hard, hard)
    {
        tracing::warn!("links: the limit of open files stays at {soft}: {e}");
    }
}

/// Hosts all links of the plan. When the control's input ends, all links are open again and go on.
///
/// # Errors
/// An address that cannot be listened on.
pub async fn run(
    stdin: impl AsyncRead + Unpin,
    stdout: impl AsyncWrite + Send + Unpin + 'static,
    config: LinksConfig,
) -> Result<(), String> {
    let lock_addr = config.plan.links_lock();
    let _lock = listen(lock_addr).await?;
    let gates = Arc::new(Gates::new(config.plan.units.len()));
    gates.set_exactly(&config.settings)?;
    for (from, to, addr, target) in config.plan.links() {
        let listener = listen(addr).await?;
        let (forward, back) = (gates.way(from, to), gates.way(to, from));
        tokio::spawn(accept(listener, target, forward, back));
    }
    let lease = Arc::new(Lease::new(Duration::from_millis(config.lease_ms)));
    tokio::spawn(lease.clone().watch(gates.clone()));

    let served = control::serve(stdin, stdout, |request| {
        lease.heard(Instant::now());
        match request {
            LinksRequest::Set(links) => {
                Reply::Now(gates.set_exactly(&links).map(|()| lease.done()))
            }
            LinksRequest::Renew => Reply::Now(Ok(lease.done())),
            LinksRequest::Probe(links) => {
                let probes = links
                    .into_iter()
                    .map(|(from, to)| probe::probe(gates.clone(), from, to));
                let all = try_join_all(probes.collect::<Vec<_>>());
                Reply::Later(Box::pin(async { all.await.map(LinksAnswer::Probed) }))
            }
            LinksRequest::Measure(links, sounding) => {
                let measured = links
                    .into_iter()
                    .map(|(from, to)| probe::measure(gates.clone(), from, to, sounding));
                let all = try_join_all(measured.collect::<Vec<_>>());
                Reply::Later(Box::pin(async { all.await.map(LinksAnswer::Measured) }))
            }
        }
    });
    if let Err(e) = served.await {
        tracing::warn!("links: control: {e}");
    }
    gates.open_all();
    std::future::pending().await
}

async fn listen(addr: SocketAddr) -> Result<TcpListener, String> {
    TcpListener::bind(addr)
        .await
        .map_err(|e| format!("cannot listen on {addr}: {e}"))
}

/// When control was last heard.
struct Lease {
    span: Duration,
    state: Mutex<(Instant, u64)>,
}

impl Lease {
    fn new(span: Duration) -> Self {
        Lease {
            span,
            state: Mutex::new((Instant::now(), 0)),
        }
    }

    fn heard(&self, now: Instant) {
        lock(&self.state).0 = now;
    }

    fn done(&self) -> LinksAnswer {
        LinksAnswer::Done {
            lapses: lock(&self.state).1,
        }
    }

    /// Opens all links if the lease is over; when to look again.
    fn check(&self, now: Instant, gates: &Gates) -> Instant {
        let mut state = lock(&self.state);
        let ends = state.0 + self.span;
        if ends > now {
            return ends;
        }
        if gates.open_all() {
            state.1 += 1;
        }
        now + self.span / 10
    }

    async fn watch(self: Arc<Self>, gates: Arc<Gates>) {
        loop {
            let again = self.check(Instant::now(), &gates);
            tokio::time::sleep_until(again).await;
        }
    }
}

async fn accept(listener: TcpListener, target: SocketAddr, forward: Way, back: Way) {
    let limit = Arc::new(Semaphore::new(MAX_CONNECTIONS));
    loop {
        let Ok(permit) = limit.clone().acquire_owned().await else {
            return;
        };
        match listener.accept().await {
            Ok((client, _)) => {
                let (forward, back) = (forward.again(), back.again());
                tokio::spawn(async move {
                    connect(client, target, forward, back).await;
                    drop(permit);
                });
            }
            // Out of files, most likely: the caller waits in the listen queue meanwhile.
            Err(_) => tokio::time::sleep(Duration::from_millis(50)).await,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::carry::carry;
    use super::probe::{PROBE, measure, probe, socket_pair};
    use super::*;
    use crate::runtime::traffic::Traffic;
    use crate::runtime::wanted::Gate;
    use std::io;
    use std::net::Ipv4Addr;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    fn cut(from: usize, to: usize) -> (usize, usize, Setting) {
        let setting = Setting {
            gate: Gate::Cut,
            ..Setting::default()
        };
        (from, to, setting)
    }

    #[tokio::test]
    async fn a_cut_direction_stalls_and_later_delivers_while_the_other_flows() {
        let gates = Arc::new(Gates::new(2));
        let (mut client, inner_client) = socket_pair().await.unwrap();
        let (mut server, inner_server) = socket_pair().await.unwrap();
        tokio::spawn(carry(
            inner_client,
            inner_server,
            gates.way(0, 1),
            gates.way(1, 0),
        ));
        gates.set_exactly(&[cut(0, 1)]).unwrap();

        client.write_all(b"held").await.unwrap();
        server.write_all(b"flows").await.unwrap();
        let mut five = [0; 5];
        client.read_exact(&mut five).await.unwrap();
        assert_eq!(&five, b"flows");
        assert_eq!(probe(gates.clone(), 0, 1).await, Ok(LinkState::Cut));
        assert_eq!(probe(gates.clone(), 1, 0).await, Ok(LinkState::Open));
        let mut none = [0; 4];
        assert_eq!(
            server.try_read(&mut none).unwrap_err().kind(),
            io::ErrorKind::WouldBlock
        );

        gates.set_exactly(&[]).unwrap();
        let mut four = [0; 4];
        server.read_exact(&mut four).await.unwrap();
        assert_eq!(&four, b"held");
        assert_eq!(probe(gates, 0, 1).await, Ok(LinkState::Open));
    }

    #[tokio::test]
    async fn neither_end_nor_reset_crosses_a_cut() {
        let gates = Arc::new(Gates::new(2));
        let (mut client, inner_client) = socket_pair().await.unwrap();
        let (server, inner_server) = socket_pair().await.unwrap();
        tokio::spawn(carry(
            inner_client,
            inner_server,
            gates.way(0, 1),
            gates.way(1, 0),
        ));
        gates.set_exactly(&[cut(0, 1), cut(1, 0)]).unwrap();
        server.set_zero_linger().unwrap();
        drop(server);
        let mut byte = [0; 1];
        let silent = tokio::time::timeout(PROBE, client.read(&mut byte)).await;
        assert!(silent.is_err(), "{silent:?}");
        gates.open_all();
        let end = client.read(&mut byte).await;
        assert_eq!(end.unwrap_err().kind(), io::ErrorKind::ConnectionReset);
    }

    #[tokio::test]
    async fn a_connection_to_nobody_is_reset_but_not_before_the_way_back_is_open() {
        let gates = Arc::new(Gates::new(2));
        let nobody = listen(SocketAddr::from((Ipv4Addr::LOCALHOST, 0)))
            .await
            .unwrap();
        let target = nobody.local_addr().unwrap();
        drop(nobody);
        let (mut client, inner) = socket_pair().await.unwrap();
        gates.set_exactly(&[cut(1, 0)]).unwrap();
        tokio::spawn(connect(inner, target, gates.way(0, 1), gates.way(1, 0)));
        let mut byte = [0; 1];
        assert!(
            tokio::time::timeout(PROBE, client.read(&mut byte))
                .await
                .is_err()
        );
        gates.open_all();
        let end = client.read(&mut byte).await;
        assert_eq!(end.unwrap_err().kind(), io::ErrorKind::ConnectionReset);
    }

    #[test]
    fn a_lease_that_nobody_keeps_ends_the_cut() {
        let gates = Gates::new(2);
        let lease = Lease::new(Duration::from_secs(3));
        let start = Instant::now();
        let at = |secs| start + Duration::from_secs(secs);
        gates.set_exactly(&[cut(0, 1)]).unwrap();
        for second in 1..=5 {
            lease.heard(at(second));
            assert_eq!(lease.check(at(second + 1), &gates), at(second + 3));
        }
        assert!(!gates.way(0, 1).is_open());
        assert_eq!(lease.done(), LinksAnswer::Done { lapses: 0 });
        for late in [8, 9] {
            assert!(lease.check(at(late), &gates) > at(late));
            assert!(gates.way(0, 1).is_open());
            assert_eq!(lease.done(), LinksAnswer::Done { lapses: 1 });
        }
    }

    #[tokio::test]
    async fn a_direction_that_rejects_resets_its_connections_and_new_ones() {
        let gates = Arc::new(Gates::new(2));
        let (mut client, inner_client) = socket_pair().await.unwrap();
        let (mut server, inner_server) = socket_pair().await.unwrap();
        let (there, back) = (gates.way(0, 1), gates.way(1, 0));
        tokio::spawn(carry(inner_client, inner_server, there, back));
        let reject = Setting {
            gate: Gate::Reject,
            ..Setting::default()
        };
        gates.set_exactly(&[(0, 1, reject)]).unwrap();
        let mut byte = [0; 1];
        for end in [&mut client, &mut server] {
            let end = end.read(&mut byte).await.unwrap_err();
            assert_eq!(end.kind(), io::ErrorKind::ConnectionReset);
        }
        let (mut client, inner) = socket_pair().await.unwrap();
        let nobody = SocketAddr::from((Ipv4Addr::LOCALHOST, 1));
        tokio::spawn(connect(inner, nobody, gates.way(0, 1), gates.way(1, 0)));
        let end = client.read(&mut byte).await.unwrap_err();
        assert_eq!(end.kind(), io::ErrorKind::ConnectionReset);
        let seen = (probe(gates.clone(), 0, 1).await, probe(gates, 1, 0).await);
        assert_eq!(seen, (Ok(LinkState::Rejected), Ok(LinkState::Open)));
    }

    #[tokio::test]
    async fn a_slow_direction_is_measured_as_slow_as_it_was_set() {
        let gates = Arc::new(Gates::new(2));
        let setting = Setting {
            gate: Gate::Open,
            traffic: Traffic {
                delay: Duration::from_millis(80),
                jitter: Duration::from_millis(20),
                ..Traffic::default()
            },
        };
        gates.set_exactly(&[(0, 1, setting)]).unwrap();
        let sounding = Sounding {
            messages: 10,
            bytes: 128,
            gap: Duration::from_millis(1),
            wait: Duration::from_secs(15),
        };
        let heard = measure(gates.clone(), 0, 1, sounding).await.unwrap();
        assert_eq!((heard.sent, heard.arrived), (10, 10));
        assert_eq!((heard.again, heard.damaged, heard.overtaken), (0, 0, 0));
        assert!(heard.delays_us[0] >= 60_000, "{heard:?}");
        let rate = Setting {
            gate: Gate::Open,
            traffic: Traffic {
                rate: Some(1_000_000),
                ..Traffic::default()
            },
        };
        gates.set_exactly(&[(1, 0, rate)]).unwrap();
        // 25 600 bytes are 205 ms of a megabit per second.
        let burst = Sounding {
            messages: 20,
            bytes: 1280,
            gap: Duration::ZERO,
            wait: Duration::from_secs(15),
        };
        let heard = measure(gates, 1, 0, burst).await.unwrap();
        assert_eq!(heard.arrived, 20);
        assert!(heard.span >= Duration::from_millis(204), "{heard:?}");
    }
}
