//! The proxied links of the process runtime: a TCP proxy for every ordered
//! pair of units, in one process of its own, controlled by JSON lines over its
//! standard input and output.
//!
//! A link that is cut stalls: nothing is forwarded, nothing is reset, not even
//! the end of a connection, and what was on its way flows when it opens again.
//! What is held is bounded by the sockets' buffers. A new connection is like a
//! handshake: it reaches its target once both directions are open. Cuts carry
//! a lease: they end by themselves when control has been silent for longer.

use crate::runtime::control::{self, Reply, lock};
use crate::runtime::process::addresses::AddressPlan;
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;
use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, Interest};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Semaphore, watch};
use tokio::time::Instant;

/// Environment variable that holds the [`LinksConfig`] as JSON.
pub const CONFIG_VAR: &str = "GAMEDAY_LINKS";
/// Connections per proxied port; more wait in the listen queue, then are not answered.
const MAX_CONNECTIONS: usize = 512;
/// How long a probe tries.
const PROBE: Duration = Duration::from_millis(300);
/// Messages of one probe.
const PROBE_MESSAGES: u32 = 12;

/// What the links process is told at its start.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct LinksConfig {
    /// All addresses of the run.
    pub plan: AddressPlan,
    /// Milliseconds of silence of the control after which cuts end.
    pub lease_ms: u64,
}

/// A request to the links process. Links are pairs of unit indexes in the plan.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum LinksRequest {
    /// Exactly these links are cut, from now on.
    Cut(Vec<(usize, usize)>),
    /// Keeps the lease.
    Renew,
    /// Sends real bytes over each link; answers whether they arrived.
    Probe(Vec<(usize, usize)>),
}

/// Its answer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum LinksAnswer {
    /// To `Cut` and `Renew`: how many times a lease lapsed so far.
    Done {
        /// Since the start.
        lapses: u64,
    },
    /// To `Probe`.
    Passed(Vec<bool>),
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
        eprintln!("links: the limit of open files stays at {soft}: {e}");
    }
}

/// Hosts all links of the plan. When the control's input ends, all cuts end and the links go on.
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
    for (from, to, addr, target) in config.plan.links() {
        let listener = listen(addr).await?;
        let (forward, back) = (gates.watch(from, to), gates.watch(to, from));
        tokio::spawn(accept(listener, target, forward, back));
    }
    let lease = Arc::new(Lease::new(Duration::from_millis(config.lease_ms)));
    tokio::spawn(lease.clone().watch(gates.clone()));

    let served = control::serve(stdin, stdout, |request| {
        lease.heard(Instant::now());
        match request {
            LinksRequest::Cut(links) => {
                Reply::Now(gates.cut_exactly(&links).map(|()| lease.done()))
            }
            LinksRequest::Renew => Reply::Now(Ok(lease.done())),
            LinksRequest::Probe(links) => {
                let gates = gates.clone();
                Reply::Later(Box::pin(async move {
                    let probes = links
                        .into_iter()
                        .map(|(from, to)| probe(gates.clone(), from, to));
                    let passed = futures_util::future::try_join_all(probes).await?;
                    Ok(LinksAnswer::Passed(passed))
                }))
            }
        }
    });
    if let Err(e) = served.await {
        eprintln!("links: control: {e}");
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

    /// Ends all cuts if the lease is over; when to look again.
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

/// Which directions are cut: one switch per ordered pair.
struct Gates {
    units: usize,
    cut: Vec<watch::Sender<bool>>,
}

impl Gates {
    fn new(units: usize) -> Self {
        let cut = (0..units * units)
            .map(|_| watch::Sender::new(false))
            .collect();
        Gates { units, cut }
    }

    fn watch(&self, from: usize, to: usize) -> watch::Receiver<bool> {
        self.cut[from * self.units + to].subscribe()
    }

    fn check(&self, from: usize, to: usize) -> Result<(), String> {
        if from >= self.units || to >= self.units {
            return Err(format!("there is no link {from} to {to}"));
        }
        Ok(())
    }

    fn cut_exactly(&self, links: &[(usize, usize)]) -> Result<(), String> {
        links
            .iter()
            .try_for_each(|(from, to)| self.check(*from, *to))?;
        let wanted: BTreeSet<usize> = links.iter().map(|(f, t)| f * self.units + t).collect();
        for (i, cut) in self.cut.iter().enumerate() {
            let now = wanted.contains(&i);
            cut.send_if_modified(|was| std::mem::replace(was, now) != now);
        }
        Ok(())
    }

    /// Whether any was cut.
    fn open_all(&self) -> bool {
        let opened = self
            .cut
            .iter()
            .filter(|c| c.send_if_modified(std::mem::take));
        opened.count() > 0
    }
}

/// Waits until a direction is open. The switch lives as long as the process.
async fn open(cut: &mut watch::Receiver<bool>) {
    if cut.wait_for(|cut| !*cut).await.is_err() {
        std::future::pending::<()>().await;
    }
}

async fn accept(
    listener: TcpListener,
    target: SocketAddr,
    forward: watch::Receiver<bool>,
    back: watch::Receiver<bool>,
) {
    let limit = Arc::new(Semaphore::new(MAX_CONNECTIONS));
    loop {
        let Ok(permit) = limit.clone().acquire_owned().await else {
            return;
        };
        match listener.accept().await {
            Ok((client, _)) => {
                let (forward, back) = (forward.clone(), back.clone());
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

/// One connection from its acceptance to its end.
async fn connect(
    client: TcpStream,
    target: SocketAddr,
    mut forward: watch::Receiver<bool>,
    mut back: watch::Receiver<bool>,
) {
    let both_open = async {
        while *forward.borrow() || *back.borrow() {
            open(&mut forward).await;
            open(&mut back).await;
        }
    };
    tokio::select! {
        () = both_open => {}
        // It gave up before its handshake would have been through: the target never hears of it.
        () = gone(&client) => return,
    }
    match TcpStream::connect(target).await {
        Ok(server) => carry(client, server, forward, back).await,
        Err(_) => {
            open(&mut back).await;
            reset(&client);
        }
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

/// Moves bytes both ways until both ends have closed or one breaks.
async fn carry(
    mut client: TcpStream,
    mut server: TcpStream,
    mut forward: watch::Receiver<bool>,
    mut back: watch::Receiver<bool>,
) {
    for stream in [&client, &server] {
        // Without it the proxy would add delays of its own; not fatal where it is refused.
        let _ = stream.set_nodelay(true);
    }
    let broken = {
        let (mut cr, mut cw) = client.split();
        let (mut sr, mut sw) = server.split();
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
    // A reset travels like data: only where the direction is open.
    match broken {
        Ok(_) => {}
        Err(Broken::Client) => {
            open(&mut forward).await;
            reset(&server);
        }
        Err(Broken::Server) => {
            open(&mut back).await;
            reset(&client);
        }
    }
}

/// Makes the socket's close a reset.
fn reset(stream: &TcpStream) {
    // If it fails, the peer gets an orderly end instead.
    let _ = stream.set_zero_linger();
}

/// Moves bytes one way while the direction is open; passes the end on.
async fn pump(
    from: &mut (impl AsyncRead + Unpin),
    to: &mut (impl AsyncWrite + Unpin),
    cut: &mut watch::Receiver<bool>,
    broken: [fn() -> Broken; 2],
) -> Result<(), Broken> {
    let mut buffer = vec![0; 16 << 10];
    loop {
        let n = from.read(&mut buffer).await;
        // Whatever was read is passed on only through an open gate, an end or an error as well.
        open(cut).await;
        let n = n.map_err(|_| broken[0]())?;
        if n == 0 {
            return to.shutdown().await.map_err(|_| broken[1]());
        }
        let mut rest = &buffer[..n];
        while !rest.is_empty() {
            open(cut).await;
            tokio::select! {
                biased;
                // The receiver is slow and the gate closes: look again before the next byte.
                _ = cut.changed() => {}
                written = to.write(rest) => match written {
                    Ok(0) | Err(_) => return Err(broken[1]()),
                    Ok(n) => rest = &rest[n..],
                }
            }
        }
    }
}

/// Sends messages through a connection of its own that stalls as the link's do, and sees whether
/// one arrives.
async fn probe(gates: Arc<Gates>, from: usize, to: usize) -> Result<bool, String> {
    gates.check(from, to)?;
    let say = |e: io::Error| format!("cannot make a probe connection: {e}");
    let (mut client, inner_client) = socket_pair().await.map_err(say)?;
    let (mut server, inner_server) = socket_pair().await.map_err(say)?;
    let carried = tokio::spawn(carry(
        inner_client,
        inner_server,
        gates.watch(from, to),
        gates.watch(to, from),
    ));
    let send = async {
        for n in 0..PROBE_MESSAGES {
            client.write_all(&n.to_be_bytes()).await?;
            tokio::time::sleep(PROBE / PROBE_MESSAGES).await;
        }
        io::Result::Ok(())
    };
    let mut message = [0; 4];
    let passed = tokio::select! {
        read = server.read_exact(&mut message) => read.map(|_| true),
        sent = send => sent.map(|()| false),
    };
    carried.abort();
    passed.map_err(|e| format!("the probe connection broke: {e}"))
}

async fn socket_pair() -> io::Result<(TcpStream, TcpStream)> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
    let addr = listener.local_addr()?;
    let one = TcpStream::connect(addr).await?;
    loop {
        let (two, peer) = listener.accept().await?;
        if peer == one.local_addr()? {
            return Ok((one, two));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_cut_direction_stalls_and_later_delivers_while_the_other_flows() {
        let gates = Arc::new(Gates::new(2));
        let (mut client, inner_client) = socket_pair().await.unwrap();
        let (mut server, inner_server) = socket_pair().await.unwrap();
        tokio::spawn(carry(
            inner_client,
            inner_server,
            gates.watch(0, 1),
            gates.watch(1, 0),
        ));
        gates.cut_exactly(&[(0, 1)]).unwrap();

        client.write_all(b"held").await.unwrap();
        server.write_all(b"flows").await.unwrap();
        let mut five = [0; 5];
        client.read_exact(&mut five).await.unwrap();
        assert_eq!(&five, b"flows");
        assert!(!probe(gates.clone(), 0, 1).await.unwrap());
        assert!(probe(gates.clone(), 1, 0).await.unwrap());
        let mut none = [0; 4];
        assert_eq!(
            server.try_read(&mut none).unwrap_err().kind(),
            io::ErrorKind::WouldBlock
        );

        gates.cut_exactly(&[]).unwrap();
        let mut four = [0; 4];
        server.read_exact(&mut four).await.unwrap();
        assert_eq!(&four, b"held");
        assert!(probe(gates, 0, 1).await.unwrap());
    }

    #[tokio::test]
    async fn neither_end_nor_reset_crosses_a_cut() {
        let gates = Arc::new(Gates::new(2));
        let (mut client, inner_client) = socket_pair().await.unwrap();
        let (server, inner_server) = socket_pair().await.unwrap();
        tokio::spawn(carry(
            inner_client,
            inner_server,
            gates.watch(0, 1),
            gates.watch(1, 0),
        ));
        gates.cut_exactly(&[(0, 1), (1, 0)]).unwrap();
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
        gates.cut_exactly(&[(1, 0)]).unwrap();
        tokio::spawn(connect(inner, target, gates.watch(0, 1), gates.watch(1, 0)));
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
        gates.cut_exactly(&[(0, 1)]).unwrap();
        for second in 1..=5 {
            lease.heard(at(second));
            assert_eq!(lease.check(at(second + 1), &gates), at(second + 3));
        }
        assert!(*gates.watch(0, 1).borrow());
        assert_eq!(lease.done(), LinksAnswer::Done { lapses: 0 });
        for late in [8, 9] {
            assert!(lease.check(at(late), &gates) > at(late));
            assert!(!*gates.watch(0, 1).borrow());
            assert_eq!(lease.done(), LinksAnswer::Done { lapses: 1 });
        }
    }

    #[test]
    fn links_that_do_not_exist_are_refused() {
        assert!(Gates::new(2).cut_exactly(&[(0, 2)]).is_err());
    }
}
