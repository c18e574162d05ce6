//! When what happens in a generated run.

use gameday_record::{
    Injection, Nanos, Node, Phase, Proof, ProofSide, RunState, TimelineEvent, TimelineLine,
    Topology, Verdict,
};
use std::time::Duration;

/// The cluster takes so long to come up.
const UP: Duration = Duration::from_secs(5);
/// Baseline and cooldown, each.
const CALM: Duration = Duration::from_secs(20);
/// An injection holds for a fifth of its share of the time, and for so long at most.
const MOST_HELD: Duration = Duration::from_secs(20);
/// From the intent to the act, and from the act to its proof; and so on for the revert.
const ACT: Duration = Duration::from_millis(40);
const PROOF: Duration = Duration::from_millis(300);

/// One AZ that is away.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Away {
    /// Its number among the AZs.
    pub az: usize,
    /// From when.
    pub from: Nanos,
    /// To when.
    pub to: Nanos,
}

/// The plan of a run.
#[derive(Clone, Debug)]
pub struct Day {
    /// First operations.
    pub baseline: Nanos,
    steps: Nanos,
    cooldown: Nanos,
    /// Final reads begin; load has ended.
    pub checks: Nanos,
    /// In order.
    pub away: Vec<Away>,
}

impl Day {
    /// `length`: from the baseline to the end of the cooldown.
    ///
    /// # Errors
    /// The injections do not fit into it, with a second each.
    pub fn new(length: Duration, injections: u32) -> Result<Day, String> {
        let baseline = Nanos::ZERO + UP;
        let steps = baseline + CALM;
        let checks = baseline + length;
        let cooldown = checks - CALM;
        let share = cooldown.since(steps) / injections.max(1);
        let least = Duration::from_secs(5);
        if length < 2 * CALM || injections > 0 && share < least {
            return Err(format!(
                "{injections} injections need {:?} at least, with {CALM:?} before and after them",
                2 * CALM + least * injections
            ));
        }
        let away = (0..injections)
            .map(|n| {
                let from = steps + share * n + ACT;
                let to = from + (share / 5).min(MOST_HELD);
                let az = n as usize % 3;
                Away { az, from, to }
            })
            .collect();
        Ok(Day {
            baseline,
            steps,
            cooldown,
            checks,
            away,
        })
    }

    /// A line for each step.
    pub fn plan(&self) -> Vec<String> {
        let line = |a: &Away| format!("at {}: power-off", a.from);
        self.away.iter().map(line).collect()
    }

    /// The lines of its timeline, in order.
    pub fn timeline(&self, topology: &Topology) -> Vec<TimelineLine> {
        let mut lines = Vec::new();
        let mut say = |time, event| lines.push(TimelineLine { time, event });
        let phase = |phase| TimelineEvent::Phase {
            phase,
            cpu_wait_ms: None,
        };
        say(Nanos::ZERO, phase(Phase::Up));
        let text = "generated: nothing of this was run".into();
        say(Nanos::ZERO, TimelineEvent::Note { text });
        say(self.baseline, phase(Phase::Baseline));
        say(self.steps, phase(Phase::Steps));
        for (id, away) in (1..).zip(&self.away) {
            let az = &topology.azs[away.az];
            let held = away.to.since(away.from);
            let nodes = nodes(topology, az);
            let leader = TimelineEvent::Cluster {
                node: nodes.first().cloned().unwrap_or_default(),
                kind: "leader".into(),
                detail: format!("partition 0 of {} has another leader", super::folder::TABLE),
            };
            say(away.from - ACT, intent(id, az, nodes, held));
            say(away.from, TimelineEvent::Injected { id });
            say(away.from + PROOF, proof(id, ProofSide::Injected));
            say(away.from + held / 2, leader);
            say(away.to - ACT, proof(id, ProofSide::Held));
            say(away.to - ACT / 2, TimelineEvent::Reverting { id });
            say(away.to, TimelineEvent::Reverted { id });
            say(away.to + PROOF, proof(id, ProofSide::Reverted));
        }
        say(self.cooldown, phase(Phase::Cooldown));
        let carry = pass("every link carries");
        say(
            self.checks - ACT,
            TimelineEvent::Reachability { proof: carry },
        );
        say(self.checks, phase(Phase::Checks));
        let down = self.checks + CALM;
        say(down, phase(Phase::Down));
        let ended = TimelineEvent::Ended {
            state: RunState::Completed,
            reason: None,
        };
        say(down + CALM, ended);
        lines
    }
}

fn nodes(topology: &Topology, az: &str) -> Vec<String> {
    let here = |n: &&Node| n.az == az;
    topology
        .nodes
        .iter()
        .filter(here)
        .map(|n| n.name.clone())
        .collect()
}

fn intent(id: u32, az: &str, nodes: Vec<String>, held: Duration) -> TimelineEvent {
    TimelineEvent::Intent {
        injection: Injection {
            id,
            step: format!("away {id}"),
            fault: "power-off".into(),
            selector: format!("az {az}"),
            targets: nodes.clone(),
            hurt: nodes,
            azs: vec![az.into()],
            hold_ms: held.as_millis() as u64,
            undo: "start the nodes".into(),
        },
    }
}

fn pass(what: &str) -> Proof {
    Proof {
        verdict: Verdict::Pass,
        evidence: vec![what.into()],
    }
}

fn proof(id: u32, side: ProofSide) -> TimelineEvent {
    let proof = pass("generated");
    TimelineEvent::Proof { id, side, proof }
}
