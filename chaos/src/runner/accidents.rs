//! Nodes that end, freeze or are started again although nothing explains it: noticed within
//! [`EVERY`], whatever the phase.
//!
//! One watch over the nodes' processes from their start to the end of the cooldown. What explains
//! that a node does not run is known in one place, the injections in force; everything else is an
//! accident, and what is measured from then on is measured on another cluster than was planned.

use crate::runtime::{Gap, GapState, Identity, ProcessState, Runtime};
use futures_util::future::join_all;
use gameday_record::Topology;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::sync::Mutex;
use std::time::Duration;
use tokio::time::{sleep, timeout};

/// How often every node is looked at: an engine answers a question for each of them.
pub(super) const EVERY: Duration = Duration::from_secs(1);
/// How long one answer may take.
const ASK: Duration = Duration::from_secs(5);

/// What happened to one node.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Accident {
    /// Its name.
    pub node: String,
    /// What, in one word, as the timeline has it: `ended`, `frozen`, `replaced`.
    pub kind: &'static str,
    /// The same for people.
    pub detail: String,
}

impl fmt::Display for Accident {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{} {}, and no fault in force explains it",
            self.node, self.detail
        )
    }
}

/// What explains that a node does not run, or runs as another process than before.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Excuse {
    /// Whether there is something now.
    pub(super) now: bool,
    /// How often there has been something so far.
    pub(super) count: u64,
}

/// Watches whether nodes run that should.
pub struct Accidents {
    nodes: Vec<String>,
    lives: Mutex<BTreeMap<String, Life>>,
}

/// What is known of a node.
#[derive(Clone, Debug, Default)]
struct Life {
    /// The process as which it was last seen to run, unless something explained another one since.
    runs_as: Option<Identity>,
    /// Whether it is known not to run: that is told once.
    told: bool,
    /// Why it was not seen when it was last looked at.
    unseen: Option<String>,
    /// How often there had been something that explains it, then.
    excuses: u64,
}

/// Whether something explains what was seen between two looks at what there is. What came and
/// went meanwhile, or since there had been `last`, explains it, too.
fn is_excused(before: Excuse, after: Excuse, last: u64) -> bool {
    before.now || after.now || before.count != after.count || last != after.count
}

/// A gap explains it, too: a node that was left alone in an old network namespace is restarted.
pub(super) fn with_gaps(mut excuse: Excuse, gaps: &[Gap], node: &str) -> Excuse {
    for gap in gaps
        .iter()
        .filter(|gap| gap.units.iter().any(|u| u == node))
    {
        excuse.now |= gap.state == GapState::Open;
        excuse.count += 1;
    }
    excuse
}

impl Life {
    /// What a look at it means.
    fn judge(
        &mut self,
        excused: bool,
        seen: &Result<ProcessState, String>,
    ) -> Option<(&'static str, String)> {
        if excused {
            // Whoever runs afterwards is a new one, and nobody knows which yet.
            *self = Life::default();
            return None;
        }
        self.unseen = seen.as_ref().err().cloned();
        let (kind, detail) = match seen.as_ref().ok()? {
            ProcessState::Running { identity } => {
                self.told = false;
                let before = self.runs_as.replace(identity.clone());
                let before = before.filter(|before| before != identity)?;
                let detail = format!("was started again, as {identity}, and ran as {before}");
                return Some(("replaced", detail));
            }
            ProcessState::Paused { .. } => ("frozen", "is frozen".to_string()),
            ProcessState::Exited(exit) => ("ended", format!("ended ({exit})")),
        };
        let is_new = !std::mem::replace(&mut self.told, true);
        is_new.then_some((kind, detail))
    }
}

impl Accidents {
    /// Of all nodes, which were started and should run from now on.
    pub fn new(topology: &Topology) -> Self {
        Accidents {
            nodes: topology.nodes.iter().map(|n| n.name.clone()).collect(),
            lives: Mutex::default(),
        }
    }

    /// Resolves when nodes do not run, all of which should; with at least one.
    pub async fn first(&self, runtime: &dyn Runtime) -> Vec<Accident> {
        loop {
            let found = self.look(runtime, |_| Excuse::default()).await;
            if !found.is_empty() {
                return found;
            }
            sleep(EVERY).await;
        }
    }

    /// Looks at every node once; what was told is not told again.
    pub(super) async fn look(
        &self,
        runtime: &dyn Runtime,
        excuse: impl Fn(&str) -> Excuse,
    ) -> Vec<Accident> {
        let before: Vec<Excuse> = self.nodes.iter().map(|n| excuse(n)).collect();
        let asked = self.nodes.iter().map(|node| {
            let state = runtime.process(node);
            async { timeout(ASK, state).await }
        });
        let states = join_all(asked).await;
        let mut lives = self.lives.lock().unwrap_or_else(|e| e.into_inner());
        let mut found = Vec::new();
        for ((node, before), state) in self.nodes.iter().zip(before).zip(states) {
            let after = excuse(node);
            let state = state
                .map_err(|_| format!("no answer within {} s", ASK.as_secs()))
                .and_then(|state| state.map_err(|e| e.0));
            let life = lives.entry(node.clone()).or_default();
            let excused = is_excused(before, after, life.excuses);
            let happened = life.judge(excused, &state);
            life.excuses = after.count;
            found.extend(happened.map(|(kind, detail)| Accident {
                node: node.clone(),
                kind,
                detail,
            }));
        }
        found
    }

    /// Nodes that do not run by accident, as far as is known.
    pub(super) fn down(&self) -> BTreeSet<String> {
        let lives = self.lives.lock().unwrap_or_else(|e| e.into_inner());
        let down = lives.iter().filter(|(_, life)| life.told);
        down.map(|(node, _)| node.clone()).collect()
    }

    /// Nodes that could not be looked at the last time, and why.
    pub(super) fn unseen(&self) -> Vec<String> {
        let lives = self.lives.lock().unwrap_or_else(|e| e.into_inner());
        let unseen = lives.iter().filter_map(|(node, life)| {
            let why = life.unseen.as_ref()?;
            Some(format!("{node} ({why})"))
        });
        unseen.collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::runtime::Exit;

    fn runs(identity: &str) -> ProcessState {
        ProcessState::Running {
            identity: identity.into(),
        }
    }

    fn kinds(looks: &[(bool, ProcessState)]) -> Vec<Option<&'static str>> {
        let mut life = Life::default();
        let told = looks
            .iter()
            .map(|(excused, seen)| life.judge(*excused, &Ok(seen.clone())));
        told.map(|told| told.map(|(kind, _)| kind)).collect()
    }

    #[test]
    fn what_nothing_explains_is_told_once() {
        let dead = || ProcessState::Exited(Exit::Signal(9));
        let frozen = ProcessState::Paused {
            identity: "1".into(),
        };
        let no = false;
        assert_eq!(
            kinds(&[
                (no, runs("1")),
                (no, runs("1")),
                (no, frozen),
                (no, runs("1")),
                (no, dead()),
                (no, dead()),
                (no, runs("2")),
                (no, runs("2")),
            ]),
            [
                None,
                None,
                Some("frozen"),
                None,
                Some("ended"),
                None,
                Some("replaced"),
                None
            ]
        );
        // One that never ran is dead all the same.
        assert_eq!(kinds(&[(no, dead())]), [Some("ended")]);
    }

    #[test]
    fn what_came_and_went_since_the_last_look_is_an_excuse() {
        let of = |now, count| Excuse { now, count };
        for (before, after, last, expected) in [
            (of(false, 1), of(false, 1), 1, false),
            (of(true, 1), of(false, 1), 1, true),
            (of(false, 1), of(true, 1), 1, true),
            (of(false, 1), of(false, 2), 1, true),
            (of(false, 2), of(false, 2), 1, true),
        ] {
            assert_eq!(
                is_excused(before, after, last),
                expected,
                "{before:?} {after:?}"
            );
        }
    }

    #[test]
    fn a_gap_explains_what_happens_to_its_units_while_it_is_open() {
        let gap = |state| Gap {
            units: vec!["a1".into()],
            since: tokio::time::Instant::now(),
            state,
            text: String::new(),
        };
        let with = |gaps: &[Gap], node| {
            let excuse = with_gaps(Excuse::default(), gaps, node);
            (excuse.now, excuse.count)
        };
        assert_eq!(with(&[], "a1"), (false, 0));
        let open = [gap(GapState::PutBack), gap(GapState::Open)];
        assert_eq!(with(&open, "a1"), (true, 2));
        assert_eq!(with(&open, "b1"), (false, 0));
        assert_eq!(with(&open[..1], "a1"), (false, 1));
    }

    #[test]
    fn one_that_cannot_be_seen_is_remembered_unless_a_fault_explains_it() {
        let mut life = Life::default();
        let blind = Err("no answer".to_string());
        for (excused, told) in [(false, true), (true, false)] {
            assert_eq!(life.judge(false, &Ok(runs("1"))), None);
            assert_eq!(life.judge(excused, &blind), None);
            assert_eq!(life.unseen.is_some(), !excused);
            assert_eq!(life.judge(false, &Ok(runs("2"))).is_some(), told);
            life = Life::default();
        }
    }

    #[test]
    fn what_a_fault_explains_is_none_and_afterwards_it_must_run_as_whoever_it_is_then() {
        let dead = || ProcessState::Exited(Exit::Code(0));
        let looks = [
            (false, runs("1")),
            (true, dead()),
            (true, runs("2")),
            (false, runs("3")),
            (false, runs("4")),
            (true, dead()),
            (false, dead()),
        ];
        assert_eq!(
            kinds(&looks),
            [
                None,
                None,
                None,
                None,
                Some("replaced"),
                None,
                Some("ended")
            ]
        );
    }
}
