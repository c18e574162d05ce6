//! A game day of short steps whose effects are seen by other means than their
//! own proofs, and seen gone: what canaries got, which processes ran, what the
//! kernel counted.

mod canaries;
mod judge;
mod nodes;
mod times;

pub use canaries::Pairs;

use crate::links;
use crate::support::*;
use gameday_record::{Nanos, Operation, RunFolder, TimelineEvent, TimelineLine};
use nodes::{Eyes, Sample};
use std::path::Path;
use std::process::{Child, Stdio};
use std::time::{Duration, Instant};

const LIMIT: Duration = Duration::from_secs(300);
/// Between two looks at processes.
const LOOKS: Duration = Duration::from_millis(100);
/// The same in containers, where each look is a command.
const LOOKS_IN_CONTAINERS: Duration = Duration::from_millis(250);

const HEAD: &str = r#"[playbook]
title = "day"
seed = 5
allow_data_loss = true
allow_quorum_loss = true

[cluster]
storage_nodes_per_az = 1
partitions = 3

[baseline]
for = "3s"

[cooldown]
for = "5s"
"#;

/// One fault, and what is to be seen of it.
#[derive(Clone, Debug)]
pub struct Step {
    fault: &'static str,
    lines: String,
    hold: &'static str,
    told: &'static str,
    facts: Vec<Fact>,
}

/// What must be so while a step is in force, and must not be so afterwards.
#[derive(Clone, Copy, Debug)]
pub enum Fact {
    /// Canaries get no answer through these endpoints, and nobody tells them why.
    Silent(Pairs),
    /// They get no answer, and some are told: connections are reset or refused.
    Told(Pairs),
    /// They get answers, as always.
    Answered(Pairs),
    /// No answer comes earlier than after so many milliseconds.
    Late(Pairs, u64),
    /// Of what carries an item, none is answered earlier.
    LateItems(Pairs, u64),
    /// Of what carries an item, nothing is answered.
    NoItems(Pairs),
    /// Of what carries none, some is answered.
    Reads(Pairs),
    /// The node's process is gone; afterwards another one runs.
    Gone(&'static str),
    /// The node's process ends meanwhile; afterwards another one runs.
    Ends(&'static str),
    /// The node's process gets at most so many percent of a processor, and more before and
    /// afterwards.
    Starved(&'static str, u32),
    /// The node uses more than so many MiB of memory, and meanwhile not any more.
    Squeezed(&'static str, u32),
    /// The node's process is stopped; afterwards it is the same and runs.
    Frozen(&'static str),
    /// At least so many other processes are the node's, one after the other.
    Others(&'static str, usize),
    /// Each of these nodes gets another process, and no two are gone at once.
    InTurn(&'static [&'static str]),
    /// The kernel counts such events of TCP in the network namespaces of containers.
    Counted(&'static str),
    /// Of the links from or to nodes just those carry nothing of which this says so, given who
    /// sends and who receives. Between processes a way is as cut as the way back.
    Apart(fn(&str, &str) -> bool),
    /// Over the links between nodes each reaches just a majority, and no two the same.
    Majorities,
    /// Another leader of some partition is elected.
    Elected,
}

impl Fact {
    /// Whether somebody must look at the links.
    fn of_links(&self) -> bool {
        matches!(self, Fact::Apart(_) | Fact::Majorities)
    }

    /// Whether somebody must look at the nodes.
    fn of_nodes(&self) -> bool {
        matches!(
            self,
            Fact::Gone(_)
                | Fact::Ends(_)
                | Fact::Starved(..)
                | Fact::Squeezed(..)
                | Fact::Frozen(_)
                | Fact::Others(..)
                | Fact::InTurn(_)
                | Fact::Counted(_)
        )
    }
}

impl Step {
    /// With these further lines in the playbook, for three seconds.
    pub fn new(fault: &'static str, lines: impl Into<String>) -> Step {
        Step {
            fault,
            lines: lines.into(),
            hold: "3s",
            told: "",
            facts: Vec::new(),
        }
    }

    /// For so long.
    pub fn hold(mut self, hold: &'static str) -> Step {
        self.hold = hold;
        self
    }

    /// What its proof in force must tell.
    pub fn told(mut self, told: &'static str) -> Step {
        self.told = told;
        self
    }

    /// What must be seen beside.
    pub fn seen(mut self, fact: Fact) -> Step {
        self.facts.push(fact);
        self
    }
}

/// What a step is called.
fn name(lane: &[Step], number: usize, i: usize) -> String {
    format!("{} {number}-{i}", lane[i].fault)
}

/// The playbook: in each lane one step after the other.
pub fn book(workload: &str, lanes: &[Vec<Step>]) -> String {
    let mut text = format!("{HEAD}\n[workload]\n{workload}\n");
    for (number, lane) in lanes.iter().enumerate() {
        let name = |i: usize| name(lane, number, i);
        for (i, step) in lane.iter().enumerate() {
            let start = match i.checked_sub(1) {
                Some(before) => {
                    let before = name(before);
                    format!("after = {{ step = \"{before}\", delay = \"1s\" }}")
                }
                None => "at = \"0s\"".to_string(),
            };
            text.push_str(&format!(
                "\n[[step]]\nname = \"{}\"\nfault = \"{}\"\nfor = \"{}\"\n{start}\n{}\n",
                name(i),
                step.fault,
                step.hold,
                step.lines
            ));
        }
    }
    text
}

/// Everything that was recorded and seen of a day.
struct Day {
    runtime: &'static str,
    timeline: Vec<TimelineLine>,
    operations: Vec<Operation>,
    seen: Seen,
}

/// What was seen while it went on.
#[derive(Default)]
struct Seen {
    nodes: Vec<Sample>,
    /// From when to when, and what.
    links: Vec<(Nanos, Nanos, Vec<links::Seen>)>,
}

/// Runs the steps, and looks for what must be seen of each. The name is the playbook's.
pub fn run(name: &str, runtime: &'static str, workload: &str, lanes: &[Vec<Step>]) {
    let dir = tempfile::tempdir().expect("a temporary folder");
    let playbook = dir.path().join(format!("{name}-{runtime}.toml"));
    std::fs::write(&playbook, book(workload, lanes)).expect("the folder is writable");
    let out = dir.path().join("runs");
    let _ends = EndsRuns(out.clone());
    let mut command = gameday();
    command.arg("run").arg(&playbook);
    command.args(["--runtime", runtime, "--plain", "--subnet", SUBNET, "--out"]);
    let child = command
        .arg(&out)
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("it starts");
    let (child, seen) = watch(child, &out, lanes);
    let done = wait(child, LIMIT);
    assert_eq!(done.status.code(), Some(0), "{}", text(&done));
    let folder = RunFolder::at(run_folder(&out));
    let day = Day {
        runtime,
        timeline: folder.read_timeline().expect("a timeline"),
        operations: folder.read_history().expect("a history").operations,
        seen,
    };
    judge::judge(&day, lanes);
}

/// Looks at the run until it ends.
fn watch(mut child: Child, out: &Path, lanes: &[Vec<Step>]) -> (Child, Seen) {
    let facts = || lanes.iter().flatten().flat_map(|step| &step.facts);
    let (at_links, at_nodes) = (facts().any(Fact::of_links), facts().any(Fact::of_nodes));
    let began = Instant::now();
    let mut seen = Seen::default();
    let mut eyes: Option<(Eyes, RunFolder)> = None;
    while child.try_wait().expect("own child").is_none() && began.elapsed() < LIMIT {
        if eyes.is_none() {
            let folder = std::fs::read_dir(out).ok().and_then(|mut all| all.next());
            let folder = folder.and_then(|f| Some(RunFolder::at(f.ok()?.path())));
            eyes = folder.and_then(|f| Some((Eyes::new(&f.read_run().ok()?), f)));
        }
        if let Some((eyes, folder)) = &eyes {
            if at_nodes {
                seen.nodes.push(eyes.look());
            }
            if at_links && is_in_force(folder) {
                let from = eyes.now();
                let links = links::look(&eyes.runtime, &eyes.run).unwrap_or_default();
                seen.links.push((from, eyes.now(), links));
            }
        }
        let in_containers = eyes.as_ref().is_some_and(|(e, _)| e.runtime == "docker");
        std::thread::sleep(match in_containers {
            true => LOOKS_IN_CONTAINERS,
            false => LOOKS,
        });
    }
    (child, seen)
}

/// Whether a fault was carried out and is not being reverted.
fn is_in_force(folder: &RunFolder) -> bool {
    let timeline = folder.read_timeline().unwrap_or_default();
    let last = timeline.iter().rev().find_map(|l| match l.event {
        TimelineEvent::Injected { .. } => Some(true),
        TimelineEvent::Reverting { .. } => Some(false),
        _ => None,
    });
    last == Some(true)
}
