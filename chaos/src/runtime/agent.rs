//! The fault agent of a pod: it holds the network namespace, so that rules
//! outlive the node's process, and acts in it when asked over its standard
//! input: packet filter rules with a lease, probes, requests to the node's
//! admin port over loopback, which no rule touches, and the node's data folder.

use crate::runtime::control::{self, Reply, lock};
use crate::runtime::files::{self, FilesAnswer, FilesRequest};
use crate::runtime::http;
use crate::runtime::nft::{Drops, Filter};
use serde::{Deserialize, Serialize};
use std::collections::{BTreeSet, VecDeque};
use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::UdpSocket;
use tokio::time::Instant;

/// Environment variable that holds the [`AgentConfig`] as JSON.
pub const CONFIG_VAR: &str = "GAMEDAY_AGENT";
/// UDP port of probes.
const PROBE_PORT: u16 = 7199;
/// Probe messages remembered.
const REMEMBERED: usize = 4096;
/// Longest deadline of a relayed request, in milliseconds.
const MAX_GET_MS: u64 = 60_000;

/// What an agent is told at its start.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct AgentConfig {
    /// Name of the packet filter table.
    pub table: String,
    /// Milliseconds after which rules lapse that are not renewed.
    pub lease_ms: u64,
    /// Where the node's data folder is for the agent.
    pub folder: PathBuf,
}

/// A request to an agent. Each can be repeated without harm.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum AgentRequest {
    /// Exactly this is dropped, from now on.
    Drop {
        /// Senders.
        from: BTreeSet<Ipv4Addr>,
        /// Receivers.
        to: BTreeSet<Ipv4Addr>,
        /// Everybody.
        silent: bool,
    },
    /// Keeps the lease.
    Renew,
    /// Sends each number to its address, several times.
    Send {
        /// Address and number.
        messages: Vec<(Ipv4Addr, u64)>,
        /// How many times.
        times: u32,
        /// Milliseconds between.
        gap_ms: u64,
    },
    /// Which of these numbers have arrived.
    Seen(Vec<u64>),
    /// In the node's data folder.
    Files(FilesRequest),
    /// `GET` on loopback.
    Get {
        /// Port.
        port: u16,
        /// Path.
        path: String,
        /// Milliseconds.
        deadline_ms: u64,
    },
}

/// An agent's answer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum AgentAnswer {
    /// To `Drop` and `Renew`: how many leases lapsed so far.
    Done {
        /// Since the start.
        lapses: u64,
    },
    /// To `Send`.
    Sent,
    /// To `Seen`.
    Seen(Vec<bool>),
    /// To `Files`.
    Files(FilesAnswer),
    /// To `Get`.
    Body(String),
}

/// The program: reads its configuration from the environment, serves until it is killed.
///
/// # Errors
/// A bad configuration, or no right to filter packets.
pub fn main() -> Result<(), String> {
    let text = std::env::var(CONFIG_VAR).map_err(|e| format!("{CONFIG_VAR}: {e}"))?;
    let config = serde_json::from_str(&text).map_err(|e| format!("{CONFIG_VAR}: {e}"))?;
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build();
    runtime
        .map_err(|e| format!("cannot start: {e}"))?
        .block_on(run(tokio::io::stdin(), tokio::io::stdout(), config))
}

/// Serves requests. When the input ends, rules lapse by themselves and the namespace is held on.
///
/// # Errors
/// No right to filter packets, or the probe port is taken.
pub async fn run(
    stdin: impl AsyncRead + Unpin,
    stdout: impl AsyncWrite + Send + Unpin + 'static,
    config: AgentConfig,
) -> Result<(), String> {
    let lease = Duration::from_millis(config.lease_ms);
    let mut rules = Rules {
        filter: Filter::create(&config.table, lease).map_err(|e| e.to_string())?,
        lease,
        current: Drops::default(),
        renewed: Instant::now(),
        lapses: 0,
    };
    let socket = UdpSocket::bind((Ipv4Addr::UNSPECIFIED, PROBE_PORT)).await;
    let socket = Arc::new(socket.map_err(|e| format!("UDP port {PROBE_PORT}: {e}"))?);
    let seen = Arc::new(Mutex::new(VecDeque::new()));
    tokio::spawn(receive(socket.clone(), seen.clone()));
    let folder = config.folder;

    let served = control::serve(stdin, stdout, |request| match request {
        AgentRequest::Drop { from, to, silent } => {
            Reply::Now(rules.replace(Drops { from, to, silent }))
        }
        AgentRequest::Renew => Reply::Now(rules.renew()),
        AgentRequest::Send {
            messages,
            times,
            gap_ms,
        } => {
            let gap = Duration::from_millis(gap_ms.min(1000));
            Reply::Later(Box::pin(send(
                socket.clone(),
                messages,
                times.min(100),
                gap,
            )))
        }
        AgentRequest::Seen(numbers) => {
            let seen = lock(&seen);
            let found = numbers.iter().map(|n| seen.contains(n)).collect();
            Reply::Now(Ok(AgentAnswer::Seen(found)))
        }
        AgentRequest::Files(request) => {
            let folder = folder.clone();
            Reply::Later(Box::pin(async move {
                let done = tokio::task::spawn_blocking(move || files::act(&folder, &request));
                done.await
                    .map_err(|e| e.to_string())?
                    .map(AgentAnswer::Files)
            }))
        }
        AgentRequest::Get {
            port,
            path,
            deadline_ms,
        } => Reply::Later(Box::pin(async move {
            let deadline = Duration::from_millis(deadline_ms.min(MAX_GET_MS));
            let addr = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
            http::get(addr, &path, deadline)
                .await
                .map(AgentAnswer::Body)
        })),
    });
    if let Err(e) = served.await {
        eprintln!("agent: control: {e}");
    }
    std::future::pending().await
}

/// The rules and their lease.
struct Rules {
    filter: Filter,
    lease: Duration,
    current: Drops,
    renewed: Instant,
    lapses: u64,
}

impl Rules {
    fn replace(&mut self, drops: Drops) -> Result<AgentAnswer, String> {
        // Nobody asked in time: what was dropped until now has not been for a while.
        if !self.current.is_empty() && self.renewed.elapsed() >= self.lease {
            self.lapses += 1;
        }
        self.filter.replace(&drops).map_err(|e| e.to_string())?;
        self.current = drops;
        self.renewed = Instant::now();
        Ok(AgentAnswer::Done {
            lapses: self.lapses,
        })
    }

    fn renew(&mut self) -> Result<AgentAnswer, String> {
        if !self.current.is_empty() {
            if self
                .filter
                .renew(&self.current)
                .map_err(|e| e.to_string())?
            {
                self.renewed = Instant::now();
            } else {
                self.lapses += 1;
                self.current = Drops::default();
                // Other elements may have a moment left.
                self.filter
                    .replace(&self.current)
                    .map_err(|e| e.to_string())?;
            }
        }
        Ok(AgentAnswer::Done {
            lapses: self.lapses,
        })
    }
}

async fn receive(socket: Arc<UdpSocket>, seen: Arc<Mutex<VecDeque<u64>>>) {
    let mut message = [0; 8];
    loop {
        match socket.recv_from(&mut message).await {
            Ok((8, _)) => {
                let number = u64::from_be_bytes(message);
                let mut seen = lock(&seen);
                if !seen.contains(&number) {
                    seen.push_back(number);
                    if seen.len() > REMEMBERED {
                        seen.pop_front();
                    }
                }
            }
            Ok(_) => {}
            // An answer to something we sent, for example that nobody listens there.
            Err(_) => tokio::time::sleep(Duration::from_millis(5)).await,
        }
    }
}

async fn send(
    socket: Arc<UdpSocket>,
    messages: Vec<(Ipv4Addr, u64)>,
    times: u32,
    gap: Duration,
) -> Result<AgentAnswer, String> {
    for _ in 0..times {
        for (to, number) in &messages {
            // A rule that drops it here reports that as an error: the same as not arriving.
            let _ = socket.try_send_to(&number.to_be_bytes(), (*to, PROBE_PORT).into());
        }
        tokio::time::sleep(gap).await;
    }
    Ok(AgentAnswer::Sent)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::runtime::nft::tests::in_namespace;

    fn rules(lease: Duration) -> Rules {
        Rules {
            filter: Filter::create("gameday_test", lease).unwrap(),
            lease,
            current: Drops::default(),
            renewed: Instant::now(),
            lapses: 0,
        }
    }

    fn drops() -> Drops {
        Drops {
            silent: true,
            ..Drops::default()
        }
    }

    const NONE: Result<AgentAnswer, String> = Ok(AgentAnswer::Done { lapses: 0 });
    const ONE: Result<AgentAnswer, String> = Ok(AgentAnswer::Done { lapses: 1 });

    #[test]
    fn a_lease_that_lapsed_is_counted_once_and_not_taken_up_again() {
        in_namespace(|| {
            let mut rules = rules(Duration::from_millis(100));
            assert_eq!(rules.replace(drops()), NONE);
            std::thread::sleep(Duration::from_millis(300));
            assert_eq!(rules.renew(), ONE);
            assert!(rules.current.is_empty());
            assert_eq!(rules.renew(), ONE);
        });
    }

    #[test]
    fn a_change_after_a_lapse_does_not_hide_it() {
        in_namespace(|| {
            let mut rules = rules(Duration::from_millis(100));
            assert_eq!(rules.replace(drops()), NONE);
            std::thread::sleep(Duration::from_millis(300));
            assert_eq!(rules.replace(Drops::default()), ONE);
        });
    }

    #[test]
    fn a_lease_that_is_kept_does_not_lapse() {
        in_namespace(|| {
            let mut rules = rules(Duration::from_secs(600));
            assert_eq!(rules.renew(), NONE);
            assert_eq!(rules.replace(drops()), NONE);
            assert_eq!(rules.renew(), NONE);
            assert_eq!(rules.current, drops());
        });
    }
}
