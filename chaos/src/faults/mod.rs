//! What can be made wrong: one fault, one small file.
//!
//! # Adding the next fault
//!
//! 1. Copy `kill.rs`, the shortest one: the struct holds its target nodes and
//!    whatever must be remembered between injecting and reverting.
//! 2. `inject` acts through [`Runtime`] and nothing else, on all targets at
//!    once, and returns an error if any of them refused. It is called once.
//!    If the runtime cannot do it yet, the runtime's trait grows first.
//!    One that takes its time says how long (`takes`), and may be abandoned half way.
//! 3. `revert` undoes it. It is called again when it fails, and after an
//!    `inject` that failed half way, so it must be fine on what is not broken.
//! 4. `prove_injected` and `prove_reverted` look once and say what they saw,
//!    by another way than the act: pass (shown), fail (shown that it is not
//!    so) or unknown (could not be seen). The runner asks again until its
//!    deadline, and asks `prove_injected` once more at the end of the hold, so
//!    that a fault that ended by itself is noticed. A reverted proof that
//!    *fails* means that something is left, and the run ends "not clean"; use
//!    *unknown* for "it is gone, but not by us".
//! 5. `undo` is a sentence that an operator could follow by hand.
//! 6. Add a variant to [`FaultKind`]; the compiler names the rest: its name in
//!    playbooks, its [`Layer`] (which decides what it excludes), the
//!    [`Ability`] that it needs of a runtime, `build`.
//! 7. Tests: the decision from what was seen to a verdict is a pure function
//!    with a table test; the runner's tests have a fake runtime with
//!    misbehaviour switches for the rest. Then a playbook that shows it.

//!
//! # How each fault is proven
//!
//! All of them run on both runtimes, `docker` and `process`.
//!
//! | fault | proven in force by | proven gone by |
//! | --- | --- | --- |
//! | `power-off`, `kill`, `stop` | the engine or the kernel says that the process exited, and `/health` is silent | a process with another pid and start time runs, and `/health` answers |
//! | `restart` | a process with another pid and start time runs | the same, and `/health` answers |
//! | `crash-loop` | as `restart`, and again another one at the end of the hold | a process runs, and `/health` answers |
//! | `rolling-restart` | of every target in turn: a process with another pid and start time runs, and `/health` answers | processes run, and `/health` answers |
//! | `rolling-upgrade` | the same, and the kernel or the engine says that each executes the other program | each executes the program that it was launched with, and `/health` answers |
//! | `pause` | the process is stopped or frozen, is the same, and `/health` is silent | it runs, is the same, and `/health` answers |
//! | `isolate`, `split`, `majority`, `one-way`, `bridge`, `majorities-ring`, `leader` | messages over every link between nodes that should be cut do not arrive, over those beside them they do | messages over all of them arrive |

mod crash_loop;
mod kill;
mod partition;
mod pause;
mod power_off;
mod process;
mod restart;
mod rolling;
mod rolling_restart;
mod rolling_upgrade;
mod shape;
mod stop;

use crate::abilities::Ability;
use crate::runtime::{Fut, Runtime};
use futures_util::future::BoxFuture;
use gameday_record::timeline::Proof;
use gameday_record::{Node, Topology, Verdict};
use shape::Shape;
use std::collections::BTreeSet;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

/// Every fault there is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum FaultKind {
    /// The machine loses power: its network falls silent and what was not synced is lost.
    PowerOff,
    /// SIGKILL: the process dies, the machine lives.
    Kill,
    /// SIGTERM: the process ends in an orderly way and stays away.
    Stop,
    /// SIGTERM, and started again at once.
    Restart,
    /// SIGKILL and started again at once, over and over.
    CrashLoop,
    /// As [`FaultKind::Restart`], but one node after the other, each when the one before serves.
    RollingRestart,
    /// Each node in turn is started as another build of its program; the revert is the way back.
    RollingUpgrade,
    /// The process is frozen.
    Pause,
    /// The targets and everybody else cannot reach each other.
    Isolate,
    /// Two or more groups cannot reach each other.
    Split,
    /// A minority of the AZs, drawn by the seed, and the majority cannot reach each other.
    Majority,
    /// Messages between the targets and everybody else pass in one direction only.
    OneWay,
    /// The nodes beside the targets fall into two halves that only the targets reach both of.
    Bridge,
    /// Each of the targets reaches a majority of them, and no two the same.
    MajoritiesRing,
    /// The leader of a partition and its followers cannot reach each other; clients reach all.
    Leader,
}

/// What a fault acts on; decides which faults exclude each other.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Layer {
    /// The node's process.
    Process,
    /// The links between the targets and everybody else.
    Network,
}

/// Seen from the targets.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Direction {
    /// What they are sent is lost.
    In,
    /// What they send is lost.
    #[default]
    Out,
}

/// What a playbook can say about a fault beside its target; each kind has its
/// own and ignores none that the parser accepts for it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Params {
    /// Of [`FaultKind::OneWay`].
    pub direction: Direction,
    /// Of [`FaultKind::CrashLoop`]: how long the process lives after each start.
    pub uptime: Duration,
    /// Of rolling changes: between one node that serves again and the next.
    pub pause: Duration,
    /// Of [`FaultKind::RollingUpgrade`]: another build of our program, for the same system.
    /// Without one there is nothing to upgrade to.
    pub binary: Option<PathBuf>,
}

impl Default for Params {
    fn default() -> Self {
        Params {
            direction: Direction::default(),
            uptime: Duration::from_secs(2),
            pause: Duration::from_secs(2),
            binary: None,
        }
    }
}

/// A fault's targets: one side, or several for those that set groups apart.
pub type Sides = Vec<Vec<String>>;

impl FaultKind {
    /// All, in the order in which they are listed to people.
    pub const ALL: &'static [FaultKind] = &[
        FaultKind::PowerOff,
        FaultKind::Kill,
        FaultKind::Stop,
        FaultKind::Restart,
        FaultKind::CrashLoop,
        FaultKind::RollingRestart,
        FaultKind::RollingUpgrade,
        FaultKind::Pause,
        FaultKind::Isolate,
        FaultKind::Split,
        FaultKind::Majority,
        FaultKind::OneWay,
        FaultKind::Bridge,
        FaultKind::MajoritiesRing,
        FaultKind::Leader,
    ];

    /// Its name in playbooks and timelines.
    pub fn name(self) -> &'static str {
        match self {
            FaultKind::PowerOff => "power-off",
            FaultKind::Kill => "kill",
            FaultKind::Stop => "stop",
            FaultKind::Restart => "restart",
            FaultKind::CrashLoop => "crash-loop",
            FaultKind::RollingRestart => "rolling-restart",
            FaultKind::RollingUpgrade => "rolling-upgrade",
            FaultKind::Pause => "pause",
            FaultKind::Isolate => "isolate",
            FaultKind::Split => "split",
            FaultKind::Majority => "majority",
            FaultKind::OneWay => "one-way",
            FaultKind::Bridge => "bridge",
            FaultKind::MajoritiesRing => "majorities-ring",
            FaultKind::Leader => "leader",
        }
    }

    /// Further names that playbooks may use.
    pub fn aliases(self) -> &'static [&'static str] {
        match self {
            FaultKind::Isolate => &["partition"],
            FaultKind::Majority => &["minority"],
            // To an older build and back.
            FaultKind::RollingUpgrade => &["rolling-downgrade"],
            _ => &[],
        }
    }

    /// The kind of this name or alias.
    pub fn named(name: &str) -> Option<FaultKind> {
        let is = |k: &FaultKind| k.name() == name || k.aliases().contains(&name);
        FaultKind::ALL.iter().copied().find(is)
    }

    /// What it acts on.
    pub fn layer(self) -> Layer {
        match self.shape(&Params::default()) {
            None => Layer::Process,
            Some(_) => Layer::Network,
        }
    }

    /// The shape of a partition.
    fn shape(self, params: &Params) -> Option<Shape> {
        match self {
            FaultKind::PowerOff
            | FaultKind::Kill
            | FaultKind::Stop
            | FaultKind::Restart
            | FaultKind::CrashLoop
            | FaultKind::RollingRestart
            | FaultKind::RollingUpgrade
            | FaultKind::Pause => None,
            FaultKind::Isolate | FaultKind::Majority => Some(Shape::Isolate),
            FaultKind::Split | FaultKind::Leader => Some(Shape::Split),
            FaultKind::OneWay => Some(match params.direction {
                Direction::In => Shape::Deaf,
                Direction::Out => Shape::Mute,
            }),
            FaultKind::Bridge => Some(Shape::Bridge),
            FaultKind::MajoritiesRing => Some(Shape::Ring),
        }
    }

    /// What a place must be able to do for it.
    pub fn needs(self, _params: &Params) -> &'static [Ability] {
        match self.layer() {
            // Its network falls silent before its process is killed.
            _ if self == FaultKind::PowerOff => &[Ability::Processes, Ability::Cuts],
            _ if self == FaultKind::RollingUpgrade => &[Ability::Processes, Ability::Programs],
            Layer::Process => &[Ability::Processes],
            Layer::Network => &[Ability::Cuts],
        }
    }

    /// Why this fault on some nodes and `other` on others cannot be in force
    /// at once; `shared` says whether they have a node in common.
    pub fn excludes(self, other: FaultKind, shared: bool) -> Option<&'static str> {
        match (self.layer(), other.layer()) {
            (Layer::Network, Layer::Network) => Some(
                "two partitions at once cut the same links, and neither could be proven or \
                 reverted by itself",
            ),
            _ if shared => Some("they act on the same node, and one would hide the other"),
            _ => None,
        }
    }

    /// Why it makes no sense on these targets.
    ///
    /// # Errors
    /// For example that it would cut nothing.
    pub fn check(self, params: &Params, sides: &Sides, topology: &Topology) -> Result<(), String> {
        match self.shape(params) {
            Some(shape) => shape::check(shape, sides, topology),
            None => Ok(()),
        }
    }

    /// The nodes whose replicas it takes away.
    pub fn hurt(self, params: &Params, sides: &Sides, topology: &Topology) -> Vec<String> {
        match self.shape(params) {
            Some(shape) => shape::hurt(shape, sides, topology),
            None => sides.concat(),
        }
    }

    /// The nodes that it takes away, or cuts off from somebody whom they need. Clients of others
    /// should not notice.
    pub fn touched(self, params: &Params, sides: &Sides, topology: &Topology) -> Vec<String> {
        let mut nodes = match self {
            // Clients reach the leader and its followers, and the followers each other.
            FaultKind::Leader => self.hurt(params, sides, topology),
            FaultKind::Bridge => shape::beside(&sides.concat(), topology),
            _ => sides.concat(),
        };
        nodes.sort();
        nodes
    }

    /// Whether it takes its targets away one at a time, never two at once.
    pub fn one_at_a_time(self) -> bool {
        matches!(self, FaultKind::RollingRestart | FaultKind::RollingUpgrade)
    }

    /// How long it usually takes until it is in force on so many nodes, at least and at most;
    /// its revert takes as long.
    pub fn rollout(self, params: &Params, nodes: usize) -> (Duration, Duration) {
        if self.one_at_a_time() {
            rolling::usually(nodes, params.pause)
        } else {
            (Duration::ZERO, Duration::ZERO)
        }
    }

    /// In how many AZs of `all` it takes replicas away at most, if its sides
    /// have replicas in at most so many AZs each.
    pub fn most_azs(self, params: &Params, sides: &[usize], all: usize) -> usize {
        let shape = self.shape(params).unwrap_or(Shape::Isolate);
        shape::most_azs(shape, sides, all)
    }

    /// The fault on these nodes.
    pub fn build(self, params: &Params, sides: &Sides) -> Arc<dyn Fault> {
        if let Some(shape) = self.shape(params) {
            return Arc::new(partition::Partition::new(shape, sides.clone()));
        }
        let nodes = sides.concat();
        match self {
            FaultKind::PowerOff => Arc::new(power_off::PowerOff::new(nodes)),
            FaultKind::Kill => Arc::new(kill::Kill::new(nodes)),
            FaultKind::Stop => Arc::new(stop::Stop::new(nodes)),
            FaultKind::Restart => Arc::new(restart::Restart::new(nodes)),
            FaultKind::CrashLoop => Arc::new(crash_loop::CrashLoop::new(nodes, params.uptime)),
            FaultKind::RollingRestart => {
                Arc::new(rolling_restart::RollingRestart::new(nodes, params.pause))
            }
            FaultKind::RollingUpgrade => {
                // The parser wants one; an empty path is refused when it is to be read.
                let binary = params.binary.clone().unwrap_or_default();
                let pause = params.pause;
                Arc::new(rolling_upgrade::RollingUpgrade::new(nodes, binary, pause))
            }
            _ => Arc::new(pause::Pause::new(nodes)),
        }
    }
}

/// Where faults are injected; the same for the whole run.
#[derive(Clone)]
pub struct Scene {
    /// Does it.
    pub runtime: Arc<dyn Runtime>,
    /// What can be hurt.
    pub topology: Topology,
    /// What is never hurt itself, but whose links can be cut: names and AZs of the canaries.
    pub instruments: Vec<Node>,
}

/// One fault on one target. The same object injects, proves and reverts.
pub trait Fault: Send + Sync {
    /// How to undo it by hand.
    fn undo(&self) -> String;

    /// Of a fault that is no single act: deadline of its injection, and of its revert. Its
    /// injection may be dropped at any moment, and must leave the rest to the revert.
    fn takes(&self) -> Option<Duration> {
        None
    }

    /// Makes it wrong.
    fn inject<'a>(&'a self, scene: &'a Scene) -> Fut<'a, ()>;

    /// Looks once whether it took effect. Nodes in `away` are hurt by other
    /// injections at the same time; what they would show is not looked at.
    fn prove_injected<'a>(
        &'a self,
        scene: &'a Scene,
        away: &'a BTreeSet<String>,
    ) -> BoxFuture<'a, Proof>;

    /// Ends it. Fine if it has ended already.
    fn revert<'a>(&'a self, scene: &'a Scene) -> Fut<'a, ()>;

    /// Looks once whether it is gone.
    fn prove_reverted<'a>(
        &'a self,
        scene: &'a Scene,
        away: &'a BTreeSet<String>,
    ) -> BoxFuture<'a, Proof>;
}

/// One proof of several sightings; of none at all it is unknown.
fn merge(seen: Vec<(Verdict, String)>) -> Proof {
    let verdict = seen
        .iter()
        .map(|(v, _)| *v)
        .reduce(Verdict::and)
        .unwrap_or(Verdict::Unknown);
    Proof {
        verdict,
        evidence: seen.into_iter().map(|(_, text)| text).collect(),
    }
}
