//! Units as child processes on loopback, with proxied links. No privileges
//! needed. The links are hosted by one more child, [`crate::runtime::links`].

pub mod addresses;
mod child;
pub(crate) mod folder;
mod links;
mod ports;
mod programs;
pub(crate) mod scan;

pub use self::addresses::moved_ports;
pub(crate) use self::child::command as program;
pub use self::ports::Moved;

use self::addresses::AddressPlan;
use self::child::{LOOK, Node, SIGNAL};
use self::folder::RunDir;
use self::links::Links;
use self::programs::Programs;
use super::control::lock;
use super::files::{self, FilesAnswer, FilesRequest};
use super::leftovers;
use super::links::{LinksAnswer, LinksRequest};
use super::marks::RunMarks;
use super::traffic::{Heard, Sounding, Traffic};
use super::wanted::{Gate, Wanted};
use super::{
    Exit, Fut, Gap, Instrument, Launch, Link, LinkState, ProcessState, Runtime, RuntimeError,
    UnitSpec, http,
};
use crate::abilities::{Abilities, Ability, Offer};
use nix::sys::signal::Signal;
use std::collections::HashMap;
use std::net::{SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::task::JoinHandle;

/// Deadline of what is done to a node's files.
const FILES: Duration = Duration::from_secs(20);
/// Why some links are not looked at.
const NOTHING: &str = "nothing is carried between them: neither of them listens";
/// Sender and receiver of a link, by their places in the plan.
type Pair = (usize, usize);
/// Deadline of reading or copying a program.
const PROGRAM: Duration = Duration::from_secs(60);

/// Children of one run.
pub struct ProcessRuntime {
    marks: RunMarks,
    units: Vec<UnitSpec>,
    plan: AddressPlan,
    dir: Arc<RunDir>,
    programs: Arc<Programs>,
    links: Arc<Links>,
    renewing: JoinHandle<()>,
    nodes: Mutex<HashMap<String, (Launch, Node)>>,
    instruments: Mutex<Vec<tokio::process::Child>>,
    /// Whose turn it is at each node's files.
    files: Mutex<HashMap<String, files::Turn>>,
    /// Keeps other runs off our addresses while this one has no listener yet.
    _lock: TcpListener,
}

fn err(text: impl Into<String>) -> RuntimeError {
    RuntimeError(text.into())
}

/// Whether the process runtime can be used.
///
/// # Errors
/// One sentence for people.
pub fn available() -> Result<(), String> {
    AddressPlan::find_free(&[], std::process::id())?;
    let folder = std::env::temp_dir();
    let rights = nix::unistd::AccessFlags::W_OK | nix::unistd::AccessFlags::X_OK;
    nix::unistd::access(&folder, rights).map_err(|e| {
        format!(
            "{}: {}: set TMPDIR to a folder of yours",
            folder.display(),
            e.desc()
        )
    })?;
    Ok(())
}

impl ProcessRuntime {
    /// What can be made wrong with processes on this host.
    pub async fn abilities() -> Abilities {
        let by = |technique: &str| Offer::By(technique.into());
        let of_bytes = || Offer::Not {
            why: "the proxied links carry streams of bytes, of which no part can be lost, \
                  doubled, damaged or turned around"
                .into(),
            instead: Some("containers: --runtime docker".into()),
        };
        Abilities {
            runtime: "process",
            offers: [
                (Ability::Processes, by("signals")),
                (Ability::Programs, by("executables")),
                (Ability::Cuts, by("proxied links")),
                (Ability::Disks, by("the store's disk layer")),
                (Ability::StoredData, by("the nodes' folders")),
                (Ability::Clocks, by("the store's clock")),
                (Ability::Rejects, by("proxied links")),
                (Ability::SlowLinks, by("proxied links")),
                (Ability::SpoiltMessages, of_bytes()),
                (Ability::DoubledMessages, of_bytes()),
                (
                    Ability::Bounds,
                    Offer::Not {
                        why: "what a process may use of processor and memory is bounded by a \
                              control group, which it takes privileges to make"
                            .into(),
                        instead: Some("run it with --runtime docker".into()),
                    },
                ),
            ]
            .into(),
        }
    }

    /// Chooses addresses and starts the links.
    ///
    /// # Errors
    /// No free loopback network, too many units, or the links do not start.
    pub async fn new(marks: RunMarks, units: Vec<UnitSpec>) -> Result<Self, RuntimeError> {
        let (plan, claimed) = AddressPlan::find_free(&units, std::process::id()).map_err(err)?;
        let dir = Arc::new(RunDir::create(&marks).map_err(err)?);
        let links = match Links::start(&marks, &plan, dir.clone()) {
            Ok(started) => started,
            Err(e) => {
                let cleaned = dir.remove();
                return Err(err(join(e, cleaned)));
            }
        };
        let links = Arc::new(links);
        if let Err(e) = links.ask(LinksRequest::Renew).await {
            let stopped = links.kill().await;
            let said = dir.log_tail("links");
            let cleaned = stopped.and(dir.remove());
            return Err(err(join(
                format!("the links do not start: {e} {said}"),
                cleaned,
            )));
        }
        let renewing = tokio::spawn(links.clone().keep());
        Ok(ProcessRuntime {
            marks,
            units,
            plan,
            dir,
            programs: Arc::default(),
            links,
            renewing,
            nodes: Mutex::new(HashMap::new()),
            instruments: Mutex::new(Vec::new()),
            files: Mutex::default(),
            _lock: claimed,
        })
    }

    fn unit(&self, name: &str) -> Result<&UnitSpec, RuntimeError> {
        let found = self.units.iter().find(|u| u.name == name);
        found.ok_or_else(|| err(format!("there is no unit {name}")))
    }

    fn env(&self, launch: &Launch) -> Result<Vec<(String, String)>, RuntimeError> {
        let data = self.dir.data(&launch.unit).map_err(err)?;
        let mut env = launch.env.clone();
        env.push(("GAMEDAY_DATA".into(), data.display().to_string()));
        env.extend(self.marks.env(&launch.unit));
        Ok(env)
    }

    fn spawn(&self, launch: &Launch) -> Result<Node, RuntimeError> {
        let log = self.dir.log(&launch.unit).map_err(err)?;
        let program = self.programs.of(&launch.unit);
        Node::spawn(&program, &launch.args, &self.env(launch)?, log)
            .map_err(|e| err(format!("{}: cannot be started: {e}", launch.unit)))
    }

    fn with_node<T>(
        &self,
        name: &str,
        act: impl FnOnce(&mut Node) -> std::io::Result<T>,
    ) -> Result<T, RuntimeError> {
        let mut nodes = lock(&self.nodes);
        let (_, node) = nodes
            .get_mut(name)
            .ok_or_else(|| err(format!("{name} was never launched")))?;
        act(node).map_err(|e| err(format!("{name}: {e}")))
    }

    /// Waits until a node's state is as it should be.
    async fn until(
        &self,
        name: &str,
        what: &str,
        is: impl Fn(&ProcessState) -> bool,
    ) -> Result<(), RuntimeError> {
        let wait = async {
            while !is(&self.with_node(name, Node::state)?) {
                tokio::time::sleep(LOOK).await;
            }
            Ok(())
        };
        let late = || err(format!("{name} is not {what} {SIGNAL:?} after the signal"));
        tokio::time::timeout(SIGNAL, wait)
            .await
            .unwrap_or_else(|_| Err(late()))
    }

    async fn kill_node(&self, name: &str) -> Result<(), RuntimeError> {
        self.end_node(name, Signal::SIGKILL, "dead").await
    }

    async fn end_node(&self, name: &str, by: Signal, what: &str) -> Result<(), RuntimeError> {
        self.with_node(name, |n| n.signal(by))?;
        self.until(
            name,
            what,
            |s| matches!(s, ProcessState::Exited(exit) if *exit != Exit::Ending),
        )
        .await
    }

    async fn change(&self, change: impl FnOnce(&mut Wanted)) -> Result<(), RuntimeError> {
        self.links.change(change).await.map_err(err)
    }

    fn indexes(&self, link: &Link) -> Result<(usize, usize), RuntimeError> {
        let index = |unit: &str| {
            self.plan
                .index(unit)
                .ok_or_else(|| err(format!("there is no unit {unit}")))
        };
        Ok((index(&link.from)?, index(&link.to)?))
    }

    fn known(&self, links: &[Link]) -> Result<(), RuntimeError> {
        links.iter().try_for_each(|l| self.indexes(l).map(drop))
    }

    /// Those links that carry something, by their place in the list.
    fn carried(&self, links: &[Link]) -> Result<Vec<(usize, Pair)>, RuntimeError> {
        let mut asked = Vec::new();
        for (i, link) in links.iter().enumerate() {
            let (from, to) = self.indexes(link)?;
            if self.plan.carries(from, to) {
                asked.push((i, (from, to)));
            }
        }
        Ok(asked)
    }

    async fn stop_all(&self) -> Result<(), RuntimeError> {
        let names: Vec<String> = lock(&self.nodes).keys().cloned().collect();
        for name in &names {
            self.with_node(name, |n| n.signal(Signal::SIGKILL))?;
        }
        let mut instruments = std::mem::take(&mut *lock(&self.instruments));
        for child in &mut instruments {
            // Only fails for one that has exited already.
            let _ = child.start_kill();
        }
        self.links.kill().await.map_err(err)?;
        for name in &names {
            self.kill_node(name).await?;
        }
        for mut child in instruments {
            let gone = tokio::time::timeout(SIGNAL, child.wait()).await;
            gone.map_err(|_| err("an instrument does not die"))?
                .map_err(|e| err(format!("an instrument: {e}")))?;
        }
        Ok(())
    }
}

fn join(error: String, cleaned: Result<(), String>) -> String {
    match cleaned {
        Ok(()) => error,
        Err(e) => format!("{error}; cleaning up failed too: {e}"),
    }
}

/// Reads or copies a whole program elsewhere than on the threads that run everything.
async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, String> + Send + 'static,
) -> Result<T, RuntimeError> {
    let done = tokio::time::timeout(PROGRAM, tokio::task::spawn_blocking(work)).await;
    let done = done.map_err(|_| err(format!("a program was not read within {PROGRAM:?}")))?;
    done.map_err(|e| err(e.to_string()))?.map_err(err)
}

impl Drop for ProcessRuntime {
    fn drop(&mut self) {
        self.renewing.abort();
    }
}

impl Runtime for ProcessRuntime {
    fn name(&self) -> &'static str {
        "process"
    }

    fn engine_version(&self) -> Option<String> {
        None
    }

    fn bind_addr(&self, unit: &str, port: &str) -> Option<SocketAddr> {
        self.plan.own(unit, port)
    }

    fn reach_addr(&self, from: &str, to: &str, port: &str) -> Option<SocketAddr> {
        self.plan.reach(from, to, port)
    }

    fn host_addr(&self, unit: &str, port: &str) -> Option<SocketAddr> {
        self.plan.own(unit, port)
    }

    fn launch_nodes<'a>(&'a self, nodes: Vec<Launch>) -> Fut<'a, ()> {
        Box::pin(async move {
            for launch in nodes {
                if !self.unit(&launch.unit)?.node {
                    return Err(err(format!("{} is an instrument, not a node", launch.unit)));
                }
                let node = self.spawn(&launch)?;
                let before = lock(&self.nodes).insert(launch.unit.clone(), (launch, node));
                if let Some((launch, mut before)) = before {
                    before
                        .signal(Signal::SIGKILL)
                        .map_err(|e| err(format!("{}: {e}", launch.unit)))?;
                    return Err(err(format!("{} was launched twice", launch.unit)));
                }
            }
            Ok(())
        })
    }

    fn launch_instrument<'a>(&'a self, launch: Launch) -> Fut<'a, Instrument> {
        Box::pin(async move {
            if self.unit(&launch.unit)?.node {
                return Err(err(format!("{} is a node, not an instrument", launch.unit)));
            }
            let say = |e: std::io::Error| err(format!("{}: cannot be started: {e}", launch.unit));
            let log = self.dir.log(&launch.unit).map_err(err)?;
            let mut command = child::command(&launch.args, &self.env(&launch)?);
            command
                .stdin(Stdio::piped())
                .stdout(Stdio::piped())
                .stderr(log);
            let mut child = tokio::process::Command::from(command)
                .spawn()
                .map_err(say)?;
            let pipes = child.stdin.take().zip(child.stdout.take());
            lock(&self.instruments).push(child);
            let (stdin, stdout) = pipes.ok_or_else(|| err("an instrument has no pipes"))?;
            Ok(Instrument {
                stdin: Box::new(stdin),
                stdout: Box::new(stdout),
            })
        })
    }

    fn kill<'a>(&'a self, node: &'a str) -> Fut<'a, ()> {
        Box::pin(self.kill_node(node))
    }

    fn stop<'a>(&'a self, node: &'a str) -> Fut<'a, ()> {
        Box::pin(self.end_node(node, Signal::SIGTERM, "stopped"))
    }

    fn silence<'a>(&'a self, node: &'a str) -> Fut<'a, ()> {
        Box::pin(async move {
            self.with_node(node, Node::state)?;
            self.change(|w| w.silence(node)).await
        })
    }

    fn power_off<'a>(&'a self, node: &'a str) -> Fut<'a, ()> {
        Box::pin(async move {
            self.with_node(node, Node::state)?;
            self.change(|w| w.silence(node)).await?;
            self.kill_node(node).await
        })
    }

    fn start<'a>(&'a self, node: &'a str) -> Fut<'a, ()> {
        Box::pin(async move {
            let state = self.with_node(node, Node::state)?;
            self.change(|w| w.unsilence(node)).await?;
            if !matches!(state, ProcessState::Exited(_)) {
                return Ok(());
            }
            let launch = lock(&self.nodes)
                .get(node)
                .map(|(launch, _)| launch.clone());
            let launch = launch.ok_or_else(|| err(format!("{node} was never launched")))?;
            let started = self.spawn(&launch)?;
            lock(&self.nodes).insert(node.to_string(), (launch, started));
            Ok(())
        })
    }

    fn provide<'a>(&'a self, binary: Option<&'a Path>) -> Fut<'a, String> {
        Box::pin(async move {
            let (programs, folder) = (self.programs.clone(), self.dir.programs());
            let binary = binary.map(Path::to_path_buf);
            blocking(move || programs.provide(binary.as_deref(), &folder)).await
        })
    }

    fn install<'a>(&'a self, node: &'a str, program: &'a str) -> Fut<'a, ()> {
        Box::pin(async move {
            match self.with_node(node, Node::state)? {
                ProcessState::Exited(_) => self.programs.install(node, program).map_err(err),
                _ => Err(err(format!("{node} runs: it cannot be another program"))),
            }
        })
    }

    fn executes<'a>(&'a self, node: &'a str) -> Fut<'a, String> {
        Box::pin(async move {
            let state = |n: &mut Node| Ok((n.state()?, n.pid()));
            let (ProcessState::Running { .. }, pid) = self.with_node(node, state)? else {
                return Err(err(format!("{node} does not run")));
            };
            let programs = self.programs.clone();
            let path = PathBuf::from(format!("/proc/{pid}/exe"));
            blocking(move || programs.name(&path)).await
        })
    }

    fn pause<'a>(&'a self, node: &'a str) -> Fut<'a, ()> {
        Box::pin(async move {
            if !self.with_node(node, |n| n.signal(Signal::SIGSTOP))? {
                return Err(err(format!("{node} does not run: it cannot be paused")));
            }
            self.until(node, "paused", |s| {
                !matches!(s, ProcessState::Running { .. })
            })
            .await
        })
    }

    fn resume<'a>(&'a self, node: &'a str) -> Fut<'a, ()> {
        Box::pin(async move {
            self.with_node(node, |n| n.signal(Signal::SIGCONT))?;
            self.until(node, "resumed", |s| {
                !matches!(s, ProcessState::Paused { .. })
            })
            .await
        })
    }

    fn process<'a>(&'a self, node: &'a str) -> Fut<'a, ProcessState> {
        Box::pin(async move { self.with_node(node, Node::state) })
    }

    fn cut<'a>(&'a self, links: &'a [Link]) -> Fut<'a, ()> {
        Box::pin(async move {
            self.known(links)?;
            self.change(|w| w.cut(links, Gate::Cut)).await
        })
    }

    fn reject<'a>(&'a self, links: &'a [Link]) -> Fut<'a, ()> {
        Box::pin(async move {
            self.known(links)?;
            self.change(|w| w.cut(links, Gate::Reject)).await
        })
    }

    fn open<'a>(&'a self, links: &'a [Link]) -> Fut<'a, ()> {
        Box::pin(self.change(|w| w.open(links)))
    }

    fn probe<'a>(&'a self, links: &'a [Link]) -> Fut<'a, Vec<LinkState>> {
        Box::pin(async move {
            let mut states = vec![LinkState::Unknown(NOTHING.into()); links.len()];
            let asked = self.carried(links)?;
            if asked.is_empty() {
                return Ok(states);
            }
            let pairs = asked.iter().map(|(_, pair)| *pair).collect();
            match self.links.ask(LinksRequest::Probe(pairs)).await {
                Ok(LinksAnswer::Probed(seen)) if seen.len() == asked.len() => {
                    for ((i, _), state) in asked.iter().zip(seen) {
                        states[*i] = state;
                    }
                }
                Ok(other) => return Err(err(format!("links: unexpected answer {other:?}"))),
                Err(e) => {
                    for (i, _) in asked {
                        states[i] = LinkState::Unknown(format!("links: {e}"));
                    }
                }
            }
            Ok(states)
        })
    }

    fn shape<'a>(&'a self, links: &'a [Link], traffic: Traffic) -> Fut<'a, ()> {
        Box::pin(async move {
            self.known(links)?;
            if traffic.spoils_messages() {
                return Err(err("proxied links carry no messages, only delay and rate"));
            }
            self.change(|w| w.shape(links, traffic)).await
        })
    }

    fn unshape<'a>(&'a self, links: &'a [Link]) -> Fut<'a, ()> {
        Box::pin(self.change(|w| w.unshape(links)))
    }

    fn measure<'a>(
        &'a self,
        links: &'a [Link],
        sounding: Sounding,
    ) -> Fut<'a, Vec<Result<Heard, String>>> {
        Box::pin(async move {
            let (asked, pairs): (Vec<usize>, Vec<_>) = self.carried(links)?.into_iter().unzip();
            let mut all = vec![Err(NOTHING.to_string()); links.len()];
            if pairs.is_empty() {
                return Ok(all);
            }
            let request = LinksRequest::Measure(pairs, sounding);
            match self.links.ask_for(request, sounding.takes()).await {
                Ok(LinksAnswer::Measured(heard)) if heard.len() == asked.len() => {
                    for (i, heard) in asked.into_iter().zip(heard) {
                        all[i] = Ok(heard);
                    }
                }
                Ok(other) => return Err(err(format!("links: unexpected answer {other:?}"))),
                Err(e) => {
                    for i in asked {
                        all[i] = Err(format!("links: {e}"));
                    }
                }
            }
            Ok(all)
        })
    }

    fn lapses(&self) -> Vec<String> {
        self.links.lapses()
    }

    fn gaps(&self) -> Vec<Gap> {
        self.links.gaps()
    }

    fn admin<'a>(&'a self, node: &'a str, path: &'a str, deadline: Duration) -> Fut<'a, String> {
        Box::pin(async move {
            let addr = self.plan.own(node, "admin");
            let addr = addr.ok_or_else(|| err(format!("{node} has no admin port")))?;
            http::get(addr, path, deadline)
                .await
                .map_err(|e| err(format!("{node}: {e}")))
        })
    }

    fn files<'a>(&'a self, node: &'a str, request: FilesRequest) -> Fut<'a, FilesAnswer> {
        Box::pin(async move {
            self.with_node(node, |_| Ok(()))?;
            let folder = self.dir.data(node).map_err(err)?;
            let turn = lock(&self.files).entry(node.into()).or_default().clone();
            let done = files::act_in_turn(&turn, folder, request);
            match tokio::time::timeout(FILES, done).await {
                Ok(done) => done.map_err(|e| err(format!("{node}: {e}"))),
                Err(_) => Err(err(format!("{node}: its files took longer than {FILES:?}"))),
            }
        })
    }

    fn collect_logs<'a>(&'a self, to: &'a Path) -> Fut<'a, ()> {
        Box::pin(async move {
            self.units
                .iter()
                .try_for_each(|u| self.dir.copy_log(&u.name, to))
                .map_err(err)
        })
    }

    fn down<'a>(&'a self) -> Fut<'a, ()> {
        Box::pin(async move {
            self.renewing.abort();
            self.stop_all().await?;
            // Children of our children, should there be any, carry the marks as well.
            leftovers::end_processes_of(&self.marks.run)
                .await
                .map_err(err)?;
            self.dir.remove().map_err(err)
        })
    }
}
