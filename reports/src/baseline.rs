//! Whether the cluster is well enough to be hurt.

use crate::fold::{Fold, Kind, SECOND, kinds_in};
use gameday_record::timeline::Proof;
use gameday_record::{Nanos, Verdict, WorkloadSpec};

/// When a baseline is healthy.
#[derive(Clone, Debug, PartialEq)]
pub struct BaselineRule {
    /// AZs that must have a canary, and whose endpoint every canary must have called.
    pub azs: Vec<String>,
    /// Kinds that every pair must have data for.
    pub kinds: Vec<Kind>,
    /// Least availability of every cell, 0 to 1.
    pub availability: f64,
    /// Largest share of unsent operations over all cells, 0 to 1.
    pub unsent: f64,
}

impl BaselineRule {
    /// 99 % in every cell that the workload promises; 0.1 % unsent.
    pub fn new(azs: &[String], workload: &WorkloadSpec) -> Self {
        BaselineRule {
            azs: azs.to_vec(),
            kinds: kinds_in(workload),
            availability: 0.99,
            unsent: crate::overall::MAX_UNSENT,
        }
    }
}

impl Fold {
    /// Whether the cluster was healthy in the whole seconds inside `[from, to)`: every cell of
    /// the rule has data and answered at least its share, and the canaries sent what they should.
    /// Unknown if the only thing amiss is that some cells have no data. The evidence is what was
    /// wrong or missing, one sentence per cell with its numbers.
    pub fn baseline(&self, from: Nanos, to: Nanos, rule: &BaselineRule) -> Proof {
        let first = from.0.div_ceil(SECOND);
        let end = to.0 / SECOND;
        if end <= first {
            return Proof {
                verdict: Verdict::Unknown,
                evidence: vec![format!(
                    "the baseline from {from} to {to} does not contain a whole second"
                )],
            };
        }
        let last = end - 1;
        let (mut wrong, mut missing) = (Vec::new(), Vec::new());
        for az in &rule.azs {
            for endpoint in &rule.azs {
                for kind in &rule.kinds {
                    let counts = self.counts(first, last, |c| {
                        c.az == az && c.endpoint == endpoint && c.kind == *kind
                    });
                    let what = format!("{}s from {az} through endpoint {endpoint}", kind.name());
                    match counts.availability() {
                        None => missing.push(format!("{what}: no operation was measured")),
                        Some(a) if a < rule.availability => wrong.push(format!(
                            "{what}: {} of {} answered ({}), at least {} expected",
                            counts.answered,
                            counts.attempts(),
                            crate::numbers::availability(counts, None),
                            crate::numbers::limit_percent(rule.availability),
                        )),
                        Some(_) => {}
                    }
                }
            }
        }
        let all = self.counts(first, last, |_| true);
        if all.unsent_share() > rule.unsent {
            wrong.push(format!(
                "the canaries did not send {} of {} operations in time ({:.2} %), at most {} expected",
                all.unsent,
                all.unsent + all.attempts(),
                all.unsent_share() * 100.0,
                crate::numbers::limit_percent(rule.unsent),
            ));
        }
        let verdict = match (wrong.is_empty(), missing.is_empty()) {
            (false, _) => Verdict::Fail,
            (true, false) => Verdict::Unknown,
            (true, true) => Verdict::Pass,
        };
        wrong.extend(missing);
        Proof {
            verdict,
            evidence: wrong,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fold::Patience;
    use crate::fold::tests::{failed, ok, op, unknown};
    use gameday_record::{ErrorClass, Outcome};

    fn rule() -> BaselineRule {
        BaselineRule {
            azs: vec!["a".into(), "b".into()],
            kinds: vec![Kind::Write],
            availability: 0.99,
            unsent: 0.001,
        }
    }

    /// 100 operations of each pair in second 1, some of a through b spoiled.
    fn baseline(spoil: &[Outcome]) -> Proof {
        let mut fold = Fold::new();
        for (az, endpoint) in [("a", "a"), ("a", "b"), ("b", "a"), ("b", "b")] {
            for i in 0..100 {
                let spoiled = (az == "a" && endpoint == "b").then(|| spoil.get(i).cloned());
                let outcome = spoiled.flatten().unwrap_or_else(ok);
                fold.push(&op(az, endpoint, 1_000 + i as u64 * 10, 1, outcome));
            }
        }
        fold.baseline(Nanos(500_000_000), Nanos(2_900_000_000), &rule())
    }

    #[test]
    fn a_baseline_is_healthy_cell_by_cell() {
        assert_eq!(baseline(&[]).verdict, Verdict::Pass);
        // 99 of 100 is enough, 98 is not.
        assert_eq!(baseline(&[unknown()]).verdict, Verdict::Pass);
        let proof = baseline(&[unknown(), failed(ErrorClass::Refused)]);
        assert_eq!(proof.verdict, Verdict::Fail);
        assert_eq!(
            proof.evidence,
            ["writes from a through endpoint b: 98 of 100 answered (98 %), at least 99 % expected"]
        );
        // One unsent of 400 is 0.25 %.
        let proof = baseline(&[failed(ErrorClass::Unsent)]);
        assert_eq!(proof.verdict, Verdict::Fail);
        assert!(
            proof.evidence.len() == 1 && proof.evidence[0].contains("1 of 400"),
            "{proof:?}"
        );
    }

    #[test]
    fn a_baseline_without_data_is_not_known_to_be_healthy() {
        let over = |outcome| Fold::over(Patience::default(), &[op("a", "a", 1_500, 1, outcome)]);
        let (from, to) = (Nanos(1_000_000_000), Nanos(2_000_000_000));
        let proof = over(ok()).baseline(from, to, &rule());
        assert_eq!(proof.verdict, Verdict::Unknown);
        assert_eq!(proof.evidence.len(), 3, "{proof:?}");
        assert!(proof.evidence[0].contains("no operation was measured"));
        // What is missing hides nothing of what is wrong.
        let proof = over(failed(ErrorClass::Refused)).baseline(from, to, &rule());
        assert_eq!(proof.verdict, Verdict::Fail);
        assert!(proof.evidence[0].contains("0 of 1 answered"), "{proof:?}");
        let (from, to) = (Nanos(1_200_000_000), Nanos(1_900_000_000));
        let proof = over(ok()).baseline(from, to, &rule());
        assert_eq!(proof.verdict, Verdict::Unknown);
        assert!(proof.evidence[0].contains("whole second"), "{proof:?}");
    }
}
