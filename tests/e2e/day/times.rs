//! When each step was decided, carried out, proven, and ended.

use gameday_record::{Injection, Nanos, Phase, ProofSide, TimelineEvent, TimelineLine, Verdict};

/// One injection with all its times.
pub struct Times {
    pub injection: Injection,
    pub intent: Nanos,
    pub injected: Nanos,
    pub proven: Nanos,
    pub reverting: Nanos,
    pub gone: Nanos,
    /// What its proof in force told.
    pub evidence: String,
}

impl Times {
    /// Of the step of this name; panics unless all of its proofs are a pass.
    pub fn of(step: &str, timeline: &[TimelineLine]) -> Times {
        let injection = timeline.iter().find_map(|l| match &l.event {
            TimelineEvent::Intent { injection } if injection.step == step => {
                Some((l.time, injection.clone()))
            }
            _ => None,
        });
        let (intent, injection) = injection.unwrap_or_else(|| panic!("{step} was not injected"));
        let at = |is: &dyn Fn(&TimelineEvent) -> bool| {
            let line = timeline.iter().find(|l| is(&l.event));
            line.unwrap_or_else(|| panic!("{step}: the timeline lacks a part"))
        };
        let proof = |wanted: ProofSide| {
            let line = at(&|e| {
                matches!(e, TimelineEvent::Proof { id, side, .. }
                    if *id == injection.id && *side == wanted)
            });
            let TimelineEvent::Proof { proof, .. } = &line.event else {
                unreachable!("it was looked for");
            };
            assert_eq!(proof.verdict, Verdict::Pass, "{step} {wanted:?}: {proof:?}");
            (line.time, proof.evidence.join("\n"))
        };
        let (proven, evidence) = proof(ProofSide::Injected);
        proof(ProofSide::Held);
        let (gone, _) = proof(ProofSide::Reverted);
        let is =
            |e: &TimelineEvent| matches!(e, TimelineEvent::Injected { id } if *id == injection.id);
        let injected = at(&is).time;
        let is =
            |e: &TimelineEvent| matches!(e, TimelineEvent::Reverting { id } if *id == injection.id);
        let reverting = at(&is).time;
        Times {
            injection,
            intent,
            injected,
            proven,
            reverting,
            gone,
            evidence,
        }
    }

    /// Whether something that lasted from `from` to `to` did so while it was in force.
    pub fn holds(&self, from: Nanos, to: Nanos) -> bool {
        self.injected <= from && to <= self.reverting
    }
}

/// When the cluster was taken away.
pub fn down(timeline: &[TimelineLine]) -> Nanos {
    let is = |e: &TimelineEvent| matches!(e, TimelineEvent::Phase { phase, .. } if *phase == Phase::Down);
    let line = timeline.iter().find(|l| is(&l.event));
    line.map_or(Nanos::FOREVER, |l| l.time)
}
