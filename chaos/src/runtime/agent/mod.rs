//! The fault agent of a pod: it holds the network namespace, so that rules
//! outlive the unit's process, and acts in it when asked over its standard
//! input: rules for its links with a lease, probes, measurements, and for a
//! node requests to its admin port over loopback, which no rule touches, and
//! its data folder.

mod arrived;
mod datagrams;
mod measure;
mod protocol;
mod rules;

pub(crate) use self::datagrams::Ports;
pub use self::protocol::AgentConfig;
pub(crate) use self::protocol::{AgentAnswer, AgentRequest, Orders};

use self::arrived::arrived;
use self::datagrams::Datagrams;
use self::measure::Meter;
use self::rules::Rules;
use crate::runtime::control::{self, Reply, lock};
use crate::runtime::files::{self};
use crate::runtime::http;
use std::collections::VecDeque;
use std::future::Future;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::signal::unix::{SignalKind, signal};

/// Environment variable that holds the [`AgentConfig`] as JSON.
pub const CONFIG_VAR: &str = "GAMEDAY_AGENT";
/// Probe messages remembered.
const REMEMBERED: usize = 4096;
/// How often it is looked for what no packet waits in any more.
const SWEEP: Duration = Duration::from_millis(500);
/// Longest deadline of a relayed request, in milliseconds.
const MAX_GET_MS: u64 = 60_000;

/// The program: reads its configuration from the environment, serves until it is killed. At a
/// SIGTERM it takes its rules away first.
///
/// # Errors
/// A bad configuration, or no right to filter packets.
pub fn main() -> Result<(), String> {
    let text = std::env::var(CONFIG_VAR).map_err(|e| format!("{CONFIG_VAR}: {e}"))?;
    let config = serde_json::from_str(&text).map_err(|e| format!("{CONFIG_VAR}: {e}"))?;
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build();
    let runtime = runtime.map_err(|e| format!("cannot start: {e}"))?;
    let ended = runtime.block_on(async {
        let mut asked = signal(SignalKind::terminate()).map_err(|e| format!("SIGTERM: {e}"))?;
        let leaves = async move {
            // None would mean that no signal comes any more.
            if asked.recv().await.is_none() {
                std::future::pending::<()>().await;
            }
        };
        run(tokio::io::stdin(), tokio::io::stdout(), config, leaves).await
    });
    // A read of standard input that nobody answers must not keep it.
    runtime.shutdown_background();
    ended
}

/// Serves requests. When the input ends, rules lapse by themselves and the namespace is held on,
/// until it `leaves`.
///
/// # Errors
/// No right to filter packets, no port is free, or what it made cannot be taken away.
pub async fn run(
    stdin: impl AsyncRead + Unpin,
    stdout: impl AsyncWrite + Send + Unpin + 'static,
    config: AgentConfig,
    leaves: impl Future<Output = ()>,
) -> Result<(), String> {
    let lease = Duration::from_millis(config.lease_ms);
    let say = |e: std::io::Error| format!("a port for probes: {e}");
    let meter = Meter::open().await?;
    let socket = Arc::new(Datagrams::open().await.map_err(say)?);
    let listener = datagrams::listener().await.map_err(say)?;
    let ports = Ports {
        probe: socket.port().map_err(say)?,
        dial: listener.local_addr().map_err(say)?.port(),
        measure: meter.port()?,
    };
    let rules = Arc::new(Mutex::new(Rules::new(&config.table, lease, ports)?));
    tokio::spawn(sweep(rules.clone()));
    let seen = Arc::new(Mutex::new(VecDeque::new()));
    tokio::spawn(receive(socket.clone(), seen.clone()));
    let (folder, turn) = (config.folder, files::Turn::default());
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
        AgentRequest::Ports => Reply::Now(Ok(AgentAnswer::Ports(ports))),
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
            arrived(socket.socket(), |message| remember(&seen, message));
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
            let dialled = to.into_iter().map(move |to| refuses(to, deadline));
            let all = futures_util::future::join_all(dialled);
            Reply::Later(Box::pin(async { Ok(AgentAnswer::Refused(all.await)) }))
        }
        AgentRequest::Connect { to, deadline_ms } => {
            let deadline = Duration::from_millis(deadline_ms.min(MAX_GET_MS));
            Reply::Later(Box::pin(async move {
                connect(&to, deadline).await.map(|()| AgentAnswer::Sent)
            }))
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
    let serves = async {
        if let Err(e) = served.await {
            tracing::warn!("agent: control: {e}");
        }
        std::future::pending().await
    };
    tokio::select! {
        never = serves => never,
        () = leaves => lock(&rules).leave(),
    }
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
async fn refuses(to: SocketAddr, deadline: Duration) -> bool {
    match tokio::time::timeout(deadline, TcpStream::connect(to)).await {
        Ok(Err(e)) => e.kind() == std::io::ErrorKind::ConnectionRefused,
        Ok(Ok(_)) | Err(_) => false,
    }
}

/// Connects to the first of these that takes it.
async fn connect(to: &[SocketAddr], deadline: Duration) -> Result<(), String> {
    // One after the other is the library's way, too.
    match tokio::time::timeout(deadline, TcpStream::connect(to)).await {
        Ok(Ok(_)) => Ok(()),
        Ok(Err(e)) => Err(format!("no connection: {e}")),
        Err(_) => Err(format!("no connection within {deadline:?}")),
    }
}

async fn receive(socket: Arc<Datagrams>, seen: Arc<Mutex<VecDeque<u64>>>) {
    let mut message = [0; 8];
    loop {
        match socket.socket().recv_from(&mut message).await {
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
    socket: Arc<Datagrams>,
    messages: Vec<(SocketAddr, u64)>,
    times: u32,
    gap: Duration,
) -> Result<AgentAnswer, String> {
    for _ in 0..times {
        for (to, number) in &messages {
            // A rule that drops it here reports that as an error: the same as not arriving.
            let _ = socket.try_send_to(&number.to_be_bytes(), *to);
        }
        tokio::time::sleep(gap).await;
    }
    Ok(AgentAnswer::Sent)
}

#[cfg(test)]
mod tests;
