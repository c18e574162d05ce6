//! How busy this machine was: what cannot be told from a busy machine is unknown, and whoever
//! reads that should know whether it was one.

use gameday_record::Verdict;
use gameday_record::timeline::Proof;
use std::time::{Duration, Instant};

/// Pressure stall information of the kernel, where it keeps it
/// (<https://docs.kernel.org/accounting/psi.html>).
const PRESSURE: &str = "/proc/pressure/cpu";
/// Shares below it are told of no machine.
const WORTH_TELLING: f64 = 0.2;
/// A shorter while says nothing about a machine.
const LONG_ENOUGH: Duration = Duration::from_millis(500);

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

/// How long some task of this machine has waited for a processor, since the machine started.
fn waited() -> Option<Duration> {
    let text = std::fs::read_to_string(PRESSURE).ok()?;
    parse(&text)
}

fn parse(text: &str) -> Option<Duration> {
    let some = text.lines().find_map(|line| line.strip_prefix("some "))?;
    let total = some
        .split_whitespace()
        .find_map(|field| field.strip_prefix("total="))?;
    total.parse().ok().map(Duration::from_micros)
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
        let text = "some avg10=7.82 avg60=5.28 avg300=15.36 total=614876874\n\
                    full avg10=0.00 avg60=0.00 avg300=0.00 total=12\n";
        assert_eq!(parse(text), Some(Duration::from_micros(614_876_874)));
        for text in ["", "some avg10=1.00", "some total=many", "full total=3"] {
            assert_eq!(parse(text), None, "{text}");
        }
        let ms = Duration::from_millis;
        assert!(told(ms(700), ms(1000)).unwrap().contains("70 %"));
        assert!(told(ms(1001), ms(1000)).unwrap().contains("100 %"));
        assert_eq!(told(ms(100), ms(1000)), None);
        assert_eq!(told(ms(20), ms(20)), None);
        assert_eq!(told(ms(0), ms(0)), None);
    }

    #[test]
    fn nothing_is_added_to_what_was_shown() {
        let mut proof = Proof {
            verdict: Verdict::Pass,
            evidence: vec!["it is so".into()],
        };
        let long_ago = Meanwhile {
            begun: Instant::now(),
            waited: Some(Duration::ZERO),
        };
        long_ago.add_to(&mut proof);
        assert_eq!(proof.evidence, ["it is so"]);
    }
}
