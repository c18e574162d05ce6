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
//!    Where a look has to measure for a while, `looking` computes for how long, so that `plan` can
//!    refuse what cannot be proven in its hold and [`OVERTIME`]; the runner ends every proof then.
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
//! All of them run on both runtimes, `docker` and `process`, but for `cpu-limit`
//! and `memory-limit`, which take control groups and so Docker, and those of
//! single messages: `loss`, `duplicate`, `corrupt`, `reorder` need packets,
//! which the proxied links of `process` do not have.
//!
//! | fault | proven in force by | proven gone by |
//! | --- | --- | --- |
//! | `kill`, `stop` | the engine or the kernel says that the process exited, and `/health` is silent | a process with another pid and start time runs, and `/health` answers |
//! | `power-off` | the same, its links had fallen silent while it still ran, and messages over all of them do not arrive and are not rejected either (that unsynced writes are lost is not looked at, and said) | the same |
//! | `restart` | a process with another pid and start time runs; at the end of the hold it is that one still | that one, and `/health` answers |
//! | `crash-loop` | after each crash another process runs, and whoever runs was started by the loop; there are as many crashes as the time allows, and more than at the last proof | a process runs, and `/health` answers |
//! | `rolling-restart` | of every target in turn: a process with another pid and start time runs, and `/health` answers; at the end of the hold it is that one still | those processes run, and `/health` answers |
//! | `rolling-upgrade` | the same, and the kernel or the engine says that each executes the other program | each executes the program that it was launched with, and `/health` answers |
//! | `pause` | the process is stopped or frozen, is the same, and `/health` is silent | it runs, is the same, and `/health` answers |
//! | `disk-full`, `disk-slow`, `disk-error` | the node tries its disk: a block that is written, synced and read meets the condition, as the node says itself, and of `disk-slow` its answer takes as long; or the node ended by itself after it had met it | the same is done without error and in less time, and the node runs |
//! | `bit-flip`, `truncate` | the process exited, and the file, read back, differs from its copy in exactly that bit, or ends there | another process runs, and `/health` answers: it says so only when every replica is repaired |
//! | `clock-skew` | the node's clock, read over a while, is compared with this host's: it has moved, or goes, as far wrong as asked | compared again from the revert on, it has moved back, or goes right |
//! | `cpu-limit` | the engine has the bound, the kernel counts periods of it just now, and since the injection such in which the node had to wait | the engine has none, the node runs, and the kernel counts no period |
//! | `memory-limit` | the kernel has the bound, and refused the same process memory since; or it ended the node for want of it | the kernel has no such bound, and the node runs |
//! | `isolate`, `split`, `majority`, `one-way`, `bridge`, `majorities-ring`, `leader`, `clients` | messages over every link that should be cut do not arrive, over those beside them they do | messages over all of them arrive |
//! | the same with `how = "reject"`, and `reset` | they do not arrive, and the sender is told so | the same |
//! | `delay`, `jitter` | of our own messages none is faster than asked, the median is not much slower, and with jitter some are faster than the delay | the median is as before the injection |
//! | `loss`, `duplicate`, `corrupt`, `reorder` | of so many of our own messages as many are hit as the share gives but for a chance of 10⁻⁶ | fewer are hit than that |
//! | `rate` | bursts of our own, over some of the links, are no faster than asked, and before they were | they are faster |
//!
//! Faults of traffic are also measured beside: over links of the targets that
//! are left alone, all is as before.
//!
//! Links of canaries are looked at as those of nodes are. Nobody calls a canary:
//! in `process`, what is looked at of a link towards it is the way of the answers
//! to what it calls, the only thing that it carries.
//!
//! A fault of links is proven once more, after a gap: when what holds it at a
//! unit was started anew, as an agent's container that somebody restarted, the
//! runtime puts it back, and the runner asks `prove_injected` again. Without that
//! proof it counts as not held to its end. [`Fault::is_at`] says at which units
//! beside its targets a fault is held.
//!
//! # How each fault is tested
//!
//! "Suite" is `chaos/tests/runtimes`: the runtime alone over dummy programs,
//! where the test itself looks at connections, processes and messages. A "day"
//! is a game day in `tests/e2e`: the binary with the real store, where the
//! proofs above must pass, and where the test looks at what the third column
//! says, beside the runner, while the fault is in force and afterwards. The
//! same days run in containers and on processes but for what `process` refuses,
//! with the reason.
//!
//! Faults of processes, partitions and traffic also run on a fake runtime
//! (`chaos/tests/runner.rs`). Somebody undoes one of each sort behind the
//! runner's back in `tests/e2e/sabotage.rs`, or restarts the containers that hold
//! it in `tests/e2e/again.rs`, and in `tests/e2e/killed` the runner
//! is killed while any of them is in force: `GAMEDAY_KILLS=62` and more take each
//! that a runtime offers.
//!
//! | fault | where | seen beside its proofs |
//! | --- | --- | --- |
//! | `power-off`, `kill`, `stop` | suite, day `processes` | the kernel or the engine knows no such process; canaries hear nothing from a router without power, and are refused by one that ended; another process afterwards |
//! | `pause` | suite, day `processes` | the process is stopped or frozen; canaries hear nothing; afterwards it is the same |
//! | `restart`, `crash-loop` | day `processes` | another process; of a crash loop several |
//! | `rolling-restart` | day `processes` | another process on every node, and never two nodes without one |
//! | `rolling-upgrade` | suite; a day of its own (`docker.rs`, `process.rs`) | the program that is executed |
//! | `isolate`, `split`, `one-way`, `bridge` | suite for cuts; day `partitions` | over just these links nothing passes (in containers each way by itself); canaries across hear nothing, the others are answered |
//! | `majorities-ring` | suite for cuts; day `partitions` | each node reaches just a majority, and no two the same |
//! | `majority`, `how = "reject"`, `reset` | suite; day `partitions` | canaries across get no answer and are told so |
//! | `clients` | suite for cuts; day `partitions` | over just these links nothing passes; the clients meant hear nothing, or are told so, the others are answered |
//! | `leader` | suite for cuts; day `partitions` | another leader is elected |
//! | `delay`, `jitter`, `rate` | suite; day `traffic` | no answer, or none that carries an item, reaches a canary across any earlier; afterwards they do |
//! | `loss`, `duplicate`, `corrupt`, `reorder`, `traffic` | suite; day `traffic`; docker alone | what the kernel counts of TCP in the node's namespace: segments sent again, doubled, with a wrong sum, out of order |
//! | `bit-flip`, `truncate` | day `resources` | the process is gone meanwhile, another one afterwards |
//! | `disk-slow` | day `resources` | no write is answered to a canary in less than the delay, and reads are answered; afterwards a write is answered sooner |
//! | `disk-full` | day `resources` | no write is answered to a canary; afterwards writes are, through every pair |
//! | `disk-error` | day `resources` | the process ends by itself, another one afterwards |
//! | `clock-skew`, jump | `clocks` | a table that is created meanwhile is two hours old, one that is created afterwards is not |
//! | `clock-skew`, drift | `clocks` | beyond the margin of the leases a strong read is stale, and found; within it none is |
//! | `cpu-limit` | day `resources`; docker alone | processor time of the process, as the kernel counts it for each: no more than the bound, as exactly as its ticks tell, and more than twice that before and afterwards |
//! | `memory-limit` | day `resources`; docker alone | what the node's control group is charged for: more than the bound before, and no more meanwhile |

mod build;
mod catalogue;
mod clock_skew;
mod crash_loop;
mod damage;
mod disk;
mod disk_error;
mod disk_full;
mod disk_slow;
mod kill;
mod limits;
mod partition;
mod pause;
mod power_off;
mod process;
mod resources;
mod restart;
mod rolling;
mod rolling_restart;
mod rolling_upgrade;
mod shape;
mod stop;
pub(crate) mod time;
mod traffic;

use crate::runtime::traffic::Traffic;
use crate::runtime::{Fut, Runtime};
pub use catalogue::{FaultKind, Layer};
use futures_util::future::BoxFuture;
use gameday_record::timeline::Proof;
use gameday_record::{Node, Topology, Verdict};
pub use resources::Resources;
use std::collections::BTreeSet;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;
pub use time::OVERTIME;

/// Seen from the targets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Direction {
    /// What they are sent.
    In,
    /// What they send.
    Out,
    /// Both.
    Both,
}

/// What becomes of what a partition holds back.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum How {
    /// It vanishes, or stalls.
    #[default]
    Drop,
    /// Its sender is told: connections are reset, new ones refused.
    Reject,
}

/// What a playbook can say about a fault beside its target; each kind has its
/// own and ignores none that the parser accepts for it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Params {
    /// Of [`FaultKind::OneWay`], one of both; and of faults of traffic.
    pub direction: Direction,
    /// Of partitions.
    pub how: How,
    /// Of [`FaultKind::Clients`]: AZs whose clients are meant; none for those of all AZs.
    pub from: BTreeSet<String>,
    /// Of faults of traffic: something.
    pub traffic: Traffic,
    /// Of [`FaultKind::CrashLoop`]: how long the process lives after each start.
    pub uptime: Duration,
    /// Of the faults on what a node has: its disk.
    pub resources: Resources,
    /// Of rolling changes: between one node that serves again and the next.
    pub pause: Duration,
    /// Of [`FaultKind::RollingUpgrade`]: another build of our program, for the same system.
    /// Without one there is nothing to upgrade to.
    pub binary: Option<PathBuf>,
}

impl Default for Params {
    fn default() -> Self {
        Params {
            direction: Direction::Both,
            how: How::Drop,
            from: BTreeSet::new(),
            traffic: Traffic::default(),
            uptime: Duration::from_secs(2),
            resources: Resources::default(),
            pause: Duration::from_secs(2),
            binary: None,
        }
    }
}

impl Params {
    /// The same, with what is left to chance drawn.
    pub(crate) fn drawn(mut self, seed: u64) -> Self {
        self.resources.seed = seed;
        self
    }
}

/// A fault's targets: one side, or several for those that set groups apart.
pub type Sides = Vec<Vec<String>>;

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

    /// How long something is measured each time that it is looked at, where the nodes are these
    /// and the instruments those.
    ///
    /// # Errors
    /// Why no look could show it, however long it takes.
    fn looking(&self, _topology: &Topology, _instruments: &[Node]) -> Result<Duration, String> {
        Ok(Duration::ZERO)
    }

    /// Whether it is held at this unit, too, though that is no target: at the other end of a link.
    fn is_at(&self, _scene: &Scene, _unit: &str) -> bool {
        false
    }

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

/// The proof, if nothing lapsed meanwhile: links may be as wanted again by now,
/// but they were not all the time.
fn without_lapses(mut proof: Proof, runtime: &dyn Runtime) -> Proof {
    let lapses = runtime.lapses();
    if !lapses.is_empty() {
        proof.verdict = proof.verdict.and(Verdict::Unknown);
        proof.evidence.extend(lapses);
    }
    proof
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
