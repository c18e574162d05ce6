//! How busy this machine was: what cannot be told from a busy machine is unknown, and whoever
//! reads that should know whether it was one.

use crate::runtime::pressure;
use gameday_record::timeline::Proof;
use gameday_record::{Phase, TimelineEvent, Verdict};
use std::time::{Duration, Instant};

/// Shares below it are told of no machine: a cluster's processes wake together, and on few
/// processors wait for each other.
const WORTH_TELLING: f64 = 0.5;
/// A shorter while says nothing about a machine.
const LONG_ENOUGH: Duration = Duration::from_millis(500);

/// What is recorded when a phase begins.
pub fn phase_begins(phase: Phase) -> TimelineEvent {
    TimelineEvent::Phase {
        phase,
        cpu_wait_ms: waited().map(|waited| u64::try_from(waited.as_millis()).unwrap_or(u64::MAX)),
    }
}

/// A while in which something is looked at.
pub(super) struct Meanwhile {
    begun: Instant,
    waited: Option<Duration>,
}

impl Meanwhile {
    /// From now on.
    pub(super) fn begin() -> Self {
        Meanwhile {
            begun: Instant::now(),
            waited: waited(),
        }
    }

    /// Adds to what was not shown that this machine was busy, if it was.
    pub(super) fn add_to(&self, proof: &mut Proof) {
        if proof.verdict == Verdict::Pass {
            return;
        }
        let waited = waited().zip(self.waited);
        let waited = waited.map(|(now, then)| now.saturating_sub(then));
        proof
            .evidence
            .extend(waited.and_then(|waited| told(waited, self.begun.elapsed())));
    }
}

fn waited() -> Option<Duration> {
    pressure::of_processors().map(|p| p.total)
}

fn told(waited: Duration, of: Duration) -> Option<String> {
    let share = waited.as_secs_f64() / of.as_secs_f64();
    (of >= LONG_ENOUGH && share >= WORTH_TELLING).then(|| {
        format!(
            "this machine was busy: some of its tasks waited for a processor {:.0} % of the time",
            share.min(1.0) * 100.0
        )
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_busy_machine_is_told_and_an_idle_one_is_not() {
        let ms = Duration::from_millis;
        assert!(told(ms(700), ms(1000)).unwrap().contains("70 %"));
        assert!(told(ms(1001), ms(1000)).unwrap().contains("100 %"));
        assert_eq!(told(ms(100), ms(1000)), None);
        assert_eq!(told(ms(20), ms(20)), None);
        assert_eq!(told(ms(0), ms(0)), None);
    }

    #[test]
    fn it_is_added_to_what_was_not_shown_and_to_nothing_else() {
        let proof = |verdict| Proof {
            verdict,
            evidence: vec!["nothing was seen".into()],
        };
        let begun = Instant::now().checked_sub(Duration::from_secs(1)).unwrap();
        // Everything since the machine started is as if it had happened in that second.
        let all = waited();
        let told = usize::from(all.is_some_and(|all| all >= Duration::from_secs(2)));
        let meanwhile = Meanwhile {
            begun,
            waited: all.map(|_| Duration::ZERO),
        };
        for (verdict, added) in [
            (Verdict::Pass, 0),
            (Verdict::Unknown, told),
            (Verdict::Fail, told),
        ] {
            let mut proof = proof(verdict);
            meanwhile.add_to(&mut proof);
            assert_eq!(proof.evidence.len(), 1 + added, "{proof:?}");
        }
    }
}
