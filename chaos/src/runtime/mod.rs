//! Where nodes run: what a runtime must be able to do.
//!
//! The runner and the faults see only this trait; `docker` and `process`
//! implement it. A runtime knows units, processes, addresses and links. It
//! does not know which store runs, nor what a canary is.

pub mod agent;
pub(crate) mod control;
pub mod damage;
pub mod docker;
pub mod facilities;
pub mod files;
pub(crate) mod http;
mod leftover;
pub mod leftovers;
pub mod limits;
pub mod links;
pub mod liveness;
pub mod marks;
pub(crate) mod netem;
mod netlink;
pub mod nft;
mod place;
pub mod pressure;
pub mod process;
pub(crate) mod program;
pub(crate) mod queue;
pub mod traffic;
pub(crate) mod wanted;

use self::files::{FilesAnswer, FilesRequest};
use self::limits::{Limits, Usage};
use self::traffic::{Heard, Sounding, Traffic};
use futures_util::future::BoxFuture;
use serde::{Deserialize, Serialize};
use std::fmt;
use std::net::SocketAddr;
use std::path::Path;
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::time::Instant;

/// One program to run in one AZ.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UnitSpec {
    /// Unique in the run: `[a-z0-9-]`, at most 40 characters.
    pub name: String,
    /// Its AZ.
    pub az: String,
    /// What it does, in the store's own words.
    pub role: String,
    /// True for a node that faults may target; false for an instrument, which is never hurt
    /// itself (its links to nodes can be cut).
    pub node: bool,
    /// TCP ports it listens on, by name. A node has at least `admin`, which answers
    /// `GET /health` with 200 when it serves; `admin` is for the runner and never crosses a link.
    pub ports: Vec<(String, u16)>,
}

/// How to start a unit: arguments for the running binary, and environment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Launch {
    /// Unit's name.
    pub unit: String,
    /// Arguments of our own binary.
    pub args: Vec<String>,
    /// Environment. The runtime adds `GAMEDAY_DATA`, the unit's data folder, which outlives the
    /// process but not the run, and the marks by which leftovers are found.
    pub env: Vec<(String, String)>,
}

/// One start of a process: when it is started again, it is another one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Identity {
    /// Its process id, as the host knows it.
    pub pid: u32,
    /// When it was started, as the engine or the kernel writes it. It is the same or it is not:
    /// clocks are set, so the order of two of them says nothing.
    pub since: String,
}

impl fmt::Display for Identity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.pid, self.since)
    }
}

#[cfg(test)]
impl From<&str> for Identity {
    fn from(since: &str) -> Self {
        let since = since.into();
        Identity { pid: 1, since }
    }
}

/// What a node's process is doing, read from the engine or the kernel.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ProcessState {
    /// Running.
    Running {
        /// As whom.
        identity: Identity,
    },
    /// Frozen.
    Paused {
        /// As whom.
        identity: Identity,
    },
    /// Not there.
    Exited(Exit),
}

/// How a process ended, as far as the engine or the kernel says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Exit {
    /// With this exit code. Of a container that a signal ended, it is 128 and the signal's number.
    Code(i64),
    /// By this signal.
    Signal(i32),
    /// By the kernel, for want of memory, with this exit code.
    OutOfMemory(i64),
    /// It is ending: it does nothing any more, and what it held may not be free yet.
    Ending,
    /// Nobody knows.
    Unknown,
}

impl fmt::Display for Exit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Exit::Code(code) => write!(f, "exit code {code}"),
            Exit::Signal(signal) => write!(f, "signal {signal}"),
            Exit::OutOfMemory(code) => write!(f, "exit code {code}, out of memory"),
            Exit::Ending => f.write_str("exiting"),
            Exit::Unknown => f.write_str("gone"),
        }
    }
}

/// One direction between two units: what `from` sends to `to`.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Link {
    /// Sender.
    pub from: String,
    /// Receiver.
    pub to: String,
}

/// What a probe of a link saw.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum LinkState {
    /// A message passed.
    Open,
    /// Several were sent over at least 200 ms and none passed.
    Cut,
    /// None passed, and the sender was told so.
    Rejected,
    /// It could not be probed.
    Unknown(String),
}

/// A stretch in which links were not as wanted, because what makes them so was gone and came back
/// without what it had been told, or did not come back.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Gap {
    /// Whose links these are.
    pub units: Vec<String>,
    /// When they were last known to be as wanted.
    pub since: Instant,
    /// How far it is.
    pub state: GapState,
    /// What happened, and what was done about it, for people.
    pub text: String,
}

/// What became of what should be wrong with links, after a [`Gap`] began.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum GapState {
    /// It is being put back.
    Open,
    /// It was put back. Whether it is in force is for a proof to say.
    PutBack,
    /// It could not be put back.
    Lost,
}

/// What went wrong in a runtime, for people: what was tried, what answered, what to do.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct RuntimeError(pub String);

/// Boxed, sendable, bounded in time: every runtime call has a deadline of its own.
pub type Fut<'a, T> = BoxFuture<'a, Result<T, RuntimeError>>;

/// A running instrument: lines in, lines out, over a path that no fault touches.
pub struct Instrument {
    /// Commands to it.
    pub stdin: Box<dyn AsyncWrite + Send + Unpin>,
    /// Its standard output, nothing else; ends when the process ends.
    pub stdout: Box<dyn AsyncRead + Send + Unpin>,
}

/// A place where the units of one run live. Created with all their [`UnitSpec`]s, so that
/// addresses are known before anything starts.
pub trait Runtime: Send + Sync {
    /// `docker` or `process`.
    fn name(&self) -> &'static str;
    /// Version of the engine, if there is one.
    fn engine_version(&self) -> Option<String>;

    /// Where `unit` itself listens.
    fn bind_addr(&self, unit: &str, port: &str) -> Option<SocketAddr>;
    /// What `from` must dial to reach `to`: subject to faults.
    fn reach_addr(&self, from: &str, to: &str, port: &str) -> Option<SocketAddr>;
    /// Where a person on this host reaches it: not subject to link faults.
    fn host_addr(&self, unit: &str, port: &str) -> Option<SocketAddr>;

    /// Starts all nodes, at once where possible. Returns when their processes run (not
    /// necessarily serve).
    fn launch_nodes<'a>(&'a self, nodes: Vec<Launch>) -> Fut<'a, ()>;
    /// Starts one instrument.
    fn launch_instrument<'a>(&'a self, launch: Launch) -> Fut<'a, Instrument>;

    /// SIGKILL: the process dies, the machine lives: peers get resets.
    fn kill<'a>(&'a self, node: &'a str) -> Fut<'a, ()>;
    /// SIGTERM, and waits until the process has exited by itself; fine on one that does not run.
    ///
    /// # Errors
    /// It has not exited after ten seconds: it still runs then.
    fn stop<'a>(&'a self, node: &'a str) -> Fut<'a, ()>;
    /// Every link of the node falls silent, nothing is reset, until `start`.
    fn silence<'a>(&'a self, node: &'a str) -> Fut<'a, ()>;
    /// Power off: every link of the node goes silent first (nothing is reset), then SIGKILL.
    fn power_off<'a>(&'a self, node: &'a str) -> Fut<'a, ()>;
    /// After `kill` or `power_off`: the links carry again and the process starts as it was
    /// launched or is installed since, on the same data folder. Fine on a node that runs already.
    fn start<'a>(&'a self, node: &'a str) -> Fut<'a, ()>;
    /// Freezes the process.
    fn pause<'a>(&'a self, node: &'a str) -> Fut<'a, ()>;
    /// Thaws it. Fine on a node that is not frozen.
    fn resume<'a>(&'a self, node: &'a str) -> Fut<'a, ()>;
    /// Makes a build of our program ready to be run by nodes, and names it as [`Runtime::executes`]
    /// does. `None` is the one that nodes are launched with.
    ///
    /// # Errors
    /// The file cannot be read or is no program.
    fn provide<'a>(&'a self, binary: Option<&'a Path>) -> Fut<'a, String>;
    /// From now on `start` runs this program, which was provided. The node must not run.
    fn install<'a>(&'a self, node: &'a str, program: &'a str) -> Fut<'a, ()>;
    /// Which program the node's process executes, as the kernel or the engine says.
    ///
    /// # Errors
    /// It does not run, or cannot be looked at.
    fn executes<'a>(&'a self, node: &'a str) -> Fut<'a, String>;
    /// What its process is doing.
    fn process<'a>(&'a self, node: &'a str) -> Fut<'a, ProcessState>;

    /// Drops everything that crosses these links, existing connections too, until `open`, with
    /// a lease that ends by itself if the runner dies. Links add up over calls.
    fn cut<'a>(&'a self, links: &'a [Link]) -> Fut<'a, ()>;
    /// The same, but whoever sends over them is told: connections are reset and new ones refused.
    fn reject<'a>(&'a self, links: &'a [Link]) -> Fut<'a, ()>;
    /// Ends the cut or the rejection of these links. Fine on links that are open.
    fn open<'a>(&'a self, links: &'a [Link]) -> Fut<'a, ()>;
    /// Sends real messages over each link and looks whether they arrive, all at once; in the
    /// order asked. `Unknown` for a link that carries nothing.
    fn probe<'a>(&'a self, links: &'a [Link]) -> Fut<'a, Vec<LinkState>>;

    /// Treats everything that crosses these links as `traffic` says, existing connections too, each
    /// link for itself, until `unshape`, with the same lease as a cut. What was said of a link
    /// before is forgotten.
    ///
    /// # Errors
    /// This runtime cannot do it here.
    fn shape<'a>(&'a self, links: &'a [Link], traffic: Traffic) -> Fut<'a, ()>;
    /// Ends that; what is still held arrives at once. Fine on links that are as they were.
    fn unshape<'a>(&'a self, links: &'a [Link]) -> Fut<'a, ()>;
    /// Sends the messages of `sounding` over each link, all links at once, and says what arrived;
    /// in the order asked. An error instead for a link that could not be measured.
    fn measure<'a>(
        &'a self,
        links: &'a [Link],
        sounding: Sounding,
    ) -> Fut<'a, Vec<Result<Heard, String>>>;

    /// Whether anything could pass from one unit to the other at all: there is a link between them.
    fn linked(&self, _from: &str, _to: &str) -> bool {
        true
    }

    /// Faults of links that ended by themselves since the runtime was made, because control over them was
    /// lost for longer than their lease: one sentence each. A fault held meanwhile is not proven.
    fn lapses(&self) -> Vec<String> {
        Vec::new()
    }

    /// Gaps in what is done to links since the runtime was made, in the order in which they were
    /// noticed. One that is on the list stays there; its state and text become final once.
    fn gaps(&self) -> Vec<Gap> {
        Vec::new()
    }

    /// `GET path` on the node's `admin` port, over a path that no fault touches; the body of a
    /// 200 answer, at most 1 MiB.
    fn admin<'a>(&'a self, node: &'a str, path: &'a str, deadline: Duration) -> Fut<'a, String>;

    /// Does or looks at something in the node's data folder, whether its process runs or not.
    fn files<'a>(&'a self, node: &'a str, request: FilesRequest) -> Fut<'a, FilesAnswer>;

    /// Gives the node's process these bounds and no others; they outlast its restart.
    ///
    /// # Errors
    /// Always, in a runtime that does not say that it can.
    fn limit<'a>(&'a self, node: &'a str, _limits: Limits) -> Fut<'a, ()> {
        Box::pin(async move { Err(RuntimeError(format!("{node} cannot be bounded here"))) })
    }
    /// What the kernel says of its bounds, and what it has used.
    ///
    /// # Errors
    /// Always, in a runtime that does not say that it can.
    fn usage<'a>(&'a self, node: &'a str) -> Fut<'a, Usage> {
        Box::pin(async move { Err(RuntimeError(format!("the bounds of {node} are not known"))) })
    }

    /// Saves every unit's standard error (and a node's standard output) as `<dir>/<unit>.log`.
    fn collect_logs<'a>(&'a self, dir: &'a Path) -> Fut<'a, ()>;
    /// Removes everything of this run and makes sure that it is gone.
    fn down<'a>(&'a self) -> Fut<'a, ()>;
}
