//! One thing that a run left behind, and whose it is.

use crate::runtime::liveness::Liveness;
use crate::runtime::marks::RunMarks;
use std::fmt;
use std::path::PathBuf;

/// One thing that a run made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Thing {
    /// A child process.
    Process {
        /// Process id.
        pid: u32,
        /// Start time in clock ticks since boot.
        start_ticks: u64,
    },
    /// A folder with data and logs.
    Folder(PathBuf),
    /// A container, running or not.
    Container {
        /// Id.
        id: String,
        /// Name.
        name: String,
    },
    /// A volume.
    Volume(String),
    /// A network.
    Network {
        /// Id.
        id: String,
        /// Name.
        name: String,
    },
}

impl fmt::Display for Thing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Thing::Process { pid, .. } => write!(f, "process {pid}"),
            Thing::Folder(path) => write!(f, "folder {}", path.display()),
            Thing::Container { name, .. } => write!(f, "container {name}"),
            Thing::Volume(name) => write!(f, "volume {name}"),
            Thing::Network { name, .. } => write!(f, "network {name}"),
        }
    }
}

/// A thing and whose it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Leftover {
    /// `docker` or `process`.
    pub runtime: &'static str,
    /// Whose it is: run, kind (a kept cluster is left on purpose), runner, run folder.
    pub marks: RunMarks,
    /// Unit, for example `storage-a1`; empty for what belongs to all of them.
    pub unit: String,
    /// What.
    pub thing: Thing,
    /// Whether the runner still runs: then it is no leftover but a run in progress.
    pub runner: Liveness,
}

impl Leftover {
    pub(crate) fn new(runtime: &'static str, marks: RunMarks, unit: String, thing: Thing) -> Self {
        let runner = marks.liveness();
        Leftover {
            runtime,
            marks,
            unit,
            thing,
            runner,
        }
    }
}
