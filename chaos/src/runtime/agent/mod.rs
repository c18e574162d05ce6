//! The fault agent of a pod: it holds the network namespace, so that rules
//! outlive the unit's process, and acts in it when asked over its standard
//! input: rules for its links with a lease, probes, measurements, and for a
//! node requests to its admin port over loopback, which no rule touches, and
//! its data folder.

mod arrived;
mod measure;
mod rules;

pub(crate) use self::rules::Orders;

use self::arrived::arrived;
use self::measure::Meter;
use self::rules::Rules;
use crate::runtime::control::{self, Reply, lock};
use crate::runtime::files::{self, FilesAnswer, FilesRequest};
use crate::runtime::http;
use crate::runtime::traffic::{Heard, Sounding};
use serde::{Deserialize, Serialize};
use std::collections::VecDeque;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream, UdpSocket};

/// Environment variable that holds the [`AgentConfig`] as JSON.
pub const CONFIG_VAR: &str = "GAMEDAY_AGENT";
/// UDP and TCP port of probes.
const PROBE_PORT: u16 = 7199;
/// Probe messages remembered.
const REMEMBERED: usize = 4096;
/// How often it is looked for what no packet waits in any more.
const SWEEP: Duration = Duration::from_millis(500);
/// Longest deadline of a relayed request, in milliseconds.
const MAX_GET_MS: u64 = 60_000;

/// What an agent is told at its start.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct AgentConfig {
    /// Name of the packet filter table.
    pub table: String,
    /// Milliseconds after which rules lapse that are not renewed.
    pub lease_ms: u64,
    /// Where the unit's data folder is for the agent, if it has one.
    pub folder: Option<PathBuf>,
}

/// A request to an agent. Each can be repeated without harm.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum AgentRequest {
    /// Exactly this is wrong, from now on.
    Set(Orders),
    /// Keeps the lease.
    Renew,
    /// For how long nobody has kept it, asked by somebody who does not want to keep it.
    Idle,
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
    /// Whether these refuse a connection.
    Dial {
        /// Whom.
        to: Vec<Ipv4Addr>,
        /// Milliseconds.
        deadline_ms: u64,
    },
    /// These measurements begin.
    Listen(Vec<u64>, Sounding),
    /// Sends a measurement to each address.
    Sound(Vec<(Ipv4Addr, u64)>, Sounding),
    /// What was heard of these measurements, once they are complete or after some milliseconds.
    Heard(Vec<u64>, u64),
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
    /// To `Set` and `Renew`.
    Done {
        /// Random number of this start of the agent: with another one, it knows nothing of what
        /// it was told before, in a namespace without rules.
        birth: u64,
        /// How many leases lapsed since the start.
        lapses: u64,
    },
    /// To `Idle`, in milliseconds.
    Idle(u64),
    /// To `Send`, `Listen` and `Sound`.
    Sent,
    /// To `Dial`.
    Refused(Vec<bool>),
    /// To `Heard`.
    Heard(Vec<Heard>),
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
    let rules = Arc::new(Mutex::new(Rules::new(&config.table, lease)?));
    tokio::spawn(sweep(rules.clone()));
    let meter = Meter::open().await?;
    let socket = UdpSocket::bind((Ipv4Addr::UNSPECIFIED, PROBE_PORT)).await;
    let socket = Arc::new(socket.map_err(|e| format!("UDP port {PROBE_PORT}: {e}"))?);
    let seen = Arc::new(Mutex::new(VecDeque::new()));
    tokio::spawn(receive(socket.clone(), seen.clone()));
    let (folder, turn) = (config.folder, files::Turn::default());
    let listener = TcpListener::bind((Ipv4Addr::UNSPECIFIED, PROBE_PORT)).await;
    let listener = listener.map_err(|e| format!("TCP port {PROBE_PORT}: {e}"))?;
    tokio::spawn(async move {
        loop {
            // Whoever got through has seen what it wanted to know.
            if listener.accept().await.is_err() {
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
        }
    });

    let served = control::serve(stdin, stdout, |request| match request {
        AgentRequest::Set(orders) => Reply::Now(lock(&rules).replace(&orders)),
        AgentRequest::Renew => Reply::Now(lock(&rules).renew()),
        AgentRequest::Idle => Reply::Now(Ok(lock(&rules).idle())),
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
            arrived(&socket, |message| remember(&seen, message));
            let seen = lock(&seen);
            let found = numbers.iter().map(|n| seen.contains(n)).collect();
            Reply::Now(Ok(AgentAnswer::Seen(found)))
        }
        AgentRequest::Files(request) => {
            let (folder, turn) = (folder.clone(), turn.clone());
            Reply::Later(Box::pin(async move {
                let folder = folder.ok_or("there is no data folder here")?;
                let done = files::act_in_turn(&turn, folder, request).await;
                done.map(AgentAnswer::Files)
            }))
        }
        AgentRequest::Dial { to, deadline_ms } => {
            let deadline = Duration::from_millis(deadline_ms.min(1000));
            let dialled = to.into_iter().map(move |ip| refuses(ip, deadline));
            let all = futures_util::future::join_all(dialled);
            Reply::Later(Box::pin(async { Ok(AgentAnswer::Refused(all.await)) }))
        }
        AgentRequest::Listen(streams, sounding) => {
            let listens = meter.listen(&streams, &sounding);
            Reply::Now(listens.map(|()| AgentAnswer::Sent))
        }
        AgentRequest::Sound(to, sounding) => {
            let sent = meter.clone().sound(to, sounding);
            Reply::Later(Box::pin(async { sent.await.map(|()| AgentAnswer::Sent) }))
        }
        AgentRequest::Heard(streams, wait_ms) => {
            let heard = meter.clone().heard(streams, Duration::from_millis(wait_ms));
            Reply::Later(Box::pin(async { Ok(AgentAnswer::Heard(heard.await)) }))
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
        tracing::warn!("agent: control: {e}");
    }
    std::future::pending().await
}

/// Sweeps now and then; what cannot be taken away is said once.
async fn sweep(rules: Arc<Mutex<Rules>>) {
    let mut said = false;
    loop {
        tokio::time::sleep(SWEEP).await;
        if let Err(e) = lock(&rules).sweep()
            && !std::mem::replace(&mut said, true)
        {
            tracing::warn!("agent: {e}");
        }
    }
}

/// Whether a connection is refused, and not merely unanswered.
async fn refuses(ip: Ipv4Addr, deadline: Duration) -> bool {
    let dialled = TcpStream::connect((ip, PROBE_PORT));
    match tokio::time::timeout(deadline, dialled).await {
        Ok(Err(e)) => e.kind() == std::io::ErrorKind::ConnectionRefused,
        Ok(Ok(_)) | Err(_) => false,
    }
}

async fn receive(socket: Arc<UdpSocket>, seen: Arc<Mutex<VecDeque<u64>>>) {
    let mut message = [0; 8];
    loop {
        match socket.recv_from(&mut message).await {
            Ok((n, _)) => remember(&seen, &message[..n]),
            // An answer to something we sent, for example that nobody listens there.
            Err(_) => tokio::time::sleep(Duration::from_millis(5)).await,
        }
    }
}

fn remember(seen: &Mutex<VecDeque<u64>>, message: &[u8]) {
    let Ok(number) = message.try_into().map(u64::from_be_bytes) else {
        return;
    };
    let mut seen = lock(seen);
    if !seen.contains(&number) {
        seen.push_back(number);
        if seen.len() > REMEMBERED {
            seen.pop_front();
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
mod tests;
