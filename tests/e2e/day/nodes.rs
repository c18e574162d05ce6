//! The nodes of a run, looked at beside it: by the kernel or the engine.

use crate::support::marked::{Stat, marked};
use gameday_record::{Nanos, RunClock, RunInfo};
use std::collections::BTreeMap;
use std::process::{Command, Stdio};

/// What a node's process does; which process it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum State {
    Gone,
    Frozen(String),
    Runs(String),
}

impl State {
    /// Which process it is.
    pub fn identity(&self) -> Option<&str> {
        match self {
            State::Gone => None,
            State::Frozen(identity) | State::Runs(identity) => Some(identity),
        }
    }
}

/// Events that the kernel counted in a network namespace, as `TcpExt.TCPOFOQueue`.
pub type Counters = BTreeMap<String, u64>;

/// What a process uses, as the kernel counts it.
#[derive(Clone, Copy, Debug)]
pub struct Used {
    /// Of a processor, since the process began.
    pub cpu_seconds: f64,
    /// What its control group is charged for, pages of files too.
    pub memory_mib: f64,
}

impl Used {
    fn of(pid: &str) -> Option<Used> {
        let stat = Stat::of(pid)?;
        let number = |field: usize| stat.field(field)?.parse::<f64>().ok();
        // SAFETY: it only asks.
        let ticks = unsafe { libc::sysconf(libc::_SC_CLK_TCK) } as f64;
        Some(Used {
            cpu_seconds: (number(14)? + number(15)?) / ticks,
            memory_mib: memory_of(pid)? / f64::from(1 << 20),
        })
    }
}

/// Bytes that the control group of a process is charged for.
fn memory_of(pid: &str) -> Option<f64> {
    let groups = std::fs::read_to_string(format!("/proc/{pid}/cgroup")).ok()?;
    let file = groups.lines().find_map(|line| {
        let mut parts = line.splitn(3, ':').skip(1);
        let (controllers, path) = (parts.next()?, parts.next()?);
        match controllers {
            "" => Some(format!("/sys/fs/cgroup{path}/memory.current")),
            "memory" => Some(format!("/sys/fs/cgroup/memory{path}/memory.usage_in_bytes")),
            _ => None,
        }
    });
    std::fs::read_to_string(file?).ok()?.trim().parse().ok()
}

/// One look at all nodes.
#[derive(Debug)]
pub struct Sample {
    pub from: Nanos,
    pub to: Nanos,
    pub states: BTreeMap<String, State>,
    /// Only of containers: processes have the host's.
    pub counters: BTreeMap<String, Counters>,
    /// Only of containers: processes have no bounds.
    pub used: BTreeMap<String, Used>,
}

/// Looks.
pub struct Eyes {
    pub run: String,
    pub runtime: String,
    clock: RunClock,
    nodes: Vec<String>,
}

impl Eyes {
    /// At the nodes of this run.
    pub fn new(run: &RunInfo) -> Eyes {
        Eyes {
            run: run.id.clone(),
            runtime: run.runtime.clone(),
            clock: RunClock {
                epoch: run.epoch_monotonic_ns,
            },
            nodes: run.topology.nodes.iter().map(|n| n.name.clone()).collect(),
        }
    }

    /// The time of the run.
    pub fn now(&self) -> Nanos {
        self.clock.now()
    }

    /// Once.
    pub fn look(&self) -> Sample {
        let from = self.now();
        let (mut states, counters, used) = match self.runtime.as_str() {
            "docker" => containers(&self.run, &self.nodes),
            _ => {
                let states = processes(&self.run, &self.nodes);
                (states, BTreeMap::new(), BTreeMap::new())
            }
        };
        for node in &self.nodes {
            states.entry(node.clone()).or_insert(State::Gone);
        }
        Sample {
            from,
            to: self.now(),
            states,
            counters,
            used,
        }
    }
}

fn processes(run: &str, nodes: &[String]) -> BTreeMap<String, State> {
    let state = |p: &crate::support::marked::Marked| {
        let (state, began) = p.stat()?;
        let identity = format!("{}/{began}", p.pid);
        match state {
            'Z' | 'X' => None,
            'T' => Some(State::Frozen(identity)),
            _ => Some(State::Runs(identity)),
        }
    };
    let all = marked(run).into_iter();
    all.filter(|p| nodes.contains(&p.unit))
        .filter_map(|p| Some((p.unit.clone(), state(&p)?)))
        .collect()
}

type Seen = (
    BTreeMap<String, State>,
    BTreeMap<String, Counters>,
    BTreeMap<String, Used>,
);

fn containers(run: &str, nodes: &[String]) -> Seen {
    let name = |node: &String| format!("gameday-{run}-{node}");
    let agent = |node: &String| format!("gameday-{run}-{node}-agent");
    let names: Vec<String> = nodes.iter().flat_map(|n| [name(n), agent(n)]).collect();
    let format = "{{.Name}} {{.State.Status}} {{.State.Pid}} {{.State.StartedAt}}";
    // Of those that are not there yet, or any more, nothing is said.
    let out = Command::new("docker")
        .args(["inspect", "--type", "container", "--format", format])
        .args(&names)
        .stdin(Stdio::null())
        .output()
        .expect("the docker command runs");
    let said = String::from_utf8_lossy(&out.stdout);
    let mut seen = Seen::default();
    for line in said.lines() {
        let mut words = line.trim_start_matches('/').split(' ');
        let mut word = || words.next().unwrap_or_default();
        let (container, status, pid, began) = (word(), word(), word(), word());
        let identity = format!("{pid}/{began}");
        if let Some(node) = nodes.iter().find(|n| name(n) == container) {
            let state = match status {
                "running" => State::Runs(identity),
                "paused" => State::Frozen(identity),
                _ => State::Gone,
            };
            seen.0.insert(node.clone(), state);
            seen.2
                .extend(Used::of(pid).map(|used| (node.clone(), used)));
        } else if let Some(node) = nodes.iter().find(|n| agent(n) == container) {
            seen.1.insert(node.clone(), counters(pid));
        }
    }
    seen
}

/// Of the network namespace of this process.
fn counters(pid: &str) -> Counters {
    let files = ["snmp", "netstat"].map(|file| format!("/proc/{pid}/net/{file}"));
    let read = |file: String| std::fs::read_to_string(file).unwrap_or_default();
    files
        .into_iter()
        .map(read)
        .flat_map(|t| parse(&t))
        .collect()
}

/// Lines come in pairs: names, then numbers, both after the same word.
fn parse(text: &str) -> Vec<(String, u64)> {
    let lines: Vec<&str> = text.lines().collect();
    let pairs = lines.chunks_exact(2).flat_map(|pair| {
        let (names, numbers) = (pair[0].split(' '), pair[1].split(' '));
        let group = pair[0].split(':').next().unwrap_or_default();
        names.zip(numbers).filter_map(move |(name, number)| {
            Some((format!("{group}.{name}"), number.parse().ok()?))
        })
    });
    pairs.collect()
}
