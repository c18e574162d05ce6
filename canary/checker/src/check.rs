//! The checks of a recorded history.

use crate::budget::Budget;
use crate::eventual::EventualReads;
use crate::frontier::{self, Answer};
use crate::intake::{Intake, KeyOps};
use crate::lost::LostWrites;
use crate::register::{Action, RegisterOp};
use crate::tally::{self, Tally};
use crate::violation::{Kind, Violation};
use crate::zones::{NotUnique, Zones};
use gameday_record::history::History;
use gameday_record::verdict::Check;
use std::time::Duration;

/// How much the checks may cost.
///
/// Only keys with conditional writes that failed without reporting what they
/// found need a search; everything else is decided in O(n log n).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Options {
    /// Time for all searches together.
    pub time: Duration,
    /// Memory for one search, in bytes, about.
    pub bytes: usize,
}

impl Default for Options {
    /// Ten seconds and 512 MiB.
    fn default() -> Self {
        Options {
            time: Duration::from_secs(10),
            bytes: 512 << 20,
        }
    }
}

/// Judges a history: `lost-writes`, `linearizability` of the strongly
/// consistent operations on each key, and `eventual-reads` (left out if the
/// history holds operations but no eventual read).
///
/// A verdict of pass means that the whole recording was judged and nothing is
/// wrong. Whatever could not be judged makes it unknown, with the reason; a
/// fail stands whatever else is unknown. A recording without its end marker
/// never passes, and a history that breaks the preconditions (unique written
/// values, one open call for each process, times in order) is never a fail.
///
/// ```
/// use gameday_checker::{Options, check, generate};
/// use gameday_record::Verdict;
/// let history = generate::history(&generate::Options::default());
/// let checks = check(&history, &Options::default());
/// let names: Vec<&str> = checks.iter().map(|c| c.name.as_str()).collect();
/// assert_eq!(names, ["lost-writes", "linearizability", "eventual-reads"]);
/// assert!(checks.iter().all(|c| c.verdict == Verdict::Pass));
/// ```
pub fn check(history: &History, options: &Options) -> Vec<Check> {
    let mut run = Run::new(history, options);
    match Intake::new(&history.operations) {
        Ok(intake) => {
            let mut ops = KeyOps::default();
            let mut zones = Zones::default();
            for (key, positions) in intake.keys() {
                ops.fill(&intake, positions);
                run.key(key, positions, &ops, &intake, &mut zones);
            }
        }
        Err(why) => run.everywhere(&format!("invalid history: {why}")),
    }
    if !history.complete {
        run.everywhere("the recording was cut off: it has no end marker");
    }
    if history.operations.is_empty() {
        run.everywhere("the history is empty");
    }
    run.finish(history)
}

struct Run {
    lost: LostWrites,
    order: Tally,
    eventual: EventualReads,
    cut_off: bool,
    budget: Budget,
    /// Of the strongly consistent operations.
    judged: u64,
    keys: u64,
    writes: u64,
    unknown_writes: u64,
}

impl Run {
    fn new(history: &History, options: &Options) -> Self {
        let cut_off = !history.complete;
        Run {
            lost: LostWrites::new(Tally::new("lost-writes")),
            order: Tally::new("linearizability"),
            eventual: EventualReads::new(Tally::new("eventual-reads"), cut_off),
            cut_off,
            budget: Budget::unlimited().time(options.time).bytes(options.bytes),
            judged: 0,
            keys: 0,
            writes: 0,
            unknown_writes: 0,
        }
    }

    fn everywhere(&mut self, reason: &str) {
        self.lost.tally().unknown(reason);
        self.order.unknown(reason);
        self.eventual.tally().unknown(reason);
    }

    fn key(
        &mut self,
        key: &str,
        positions: &[u32],
        ops: &KeyOps,
        intake: &Intake<'_>,
        zones: &mut Zones,
    ) {
        let analysis = match zones.analyse(&ops.ops, None, self.cut_off) {
            Ok(analysis) => analysis,
            Err(NotUnique { value, op }) => {
                let index = intake.op(ops.at[op as usize]).index;
                let reason = format!(
                    "invalid history: the value {value} is written more than once (operation {index})"
                );
                self.lost.tally().unknown_key(&reason, key);
                self.order.unknown_key(&reason, key);
                self.eventual.tally().unknown_key(&reason, key);
                return;
            }
        };
        self.keys += 1;
        for op in &ops.ops {
            self.judged += u64::from(!op.unknown());
            self.writes += u64::from(op.writes().is_some());
            self.unknown_writes += u64::from(op.writes().is_some() && op.unknown());
        }
        let found = &analysis.violations;
        for violation in &found.kept {
            self.order
                .list(|| tally::explain(violation, key, &ops.at, intake));
        }
        self.order.count(found.total - found.kept.len() as u64);
        if found.unexplained > 0 {
            let reason =
                "a read found a value whose write may be missing from the cut-off recording";
            self.order.unknown_key(reason, key);
        }
        self.lost.key(key, &analysis, ops, intake);
        if found.total == 0 && found.unexplained == 0 && analysis.ignored_bare_failures > 0 {
            self.search(key, ops, intake);
        }
        self.eventual.key(key, positions, intake);
    }

    /// Decides a key that zones cannot: it has failures that say only "not equal".
    fn search(&mut self, key: &str, ops: &KeyOps, intake: &Intake<'_>) {
        if self.cut_off {
            let reason = "conditional writes failed without saying what they found, and writes may be missing";
            self.order.unknown_key(reason, key);
            return;
        }
        match frontier::search(&ops.ops, None, &mut self.budget) {
            Answer::Linearizable => {}
            Answer::Illegal { at } => {
                let bare =
                    |op: &RegisterOp| matches!(op.action, Action::FailedCas { found: None, .. });
                let kind = if bare(&ops.ops[at as usize]) {
                    Kind::FalseCasFailure
                } else {
                    Kind::NotLinearizable
                };
                let violation = Violation {
                    kind,
                    culprit: at,
                    against: None,
                    context: Vec::new(),
                };
                self.order
                    .list(|| tally::explain(&violation, key, &ops.at, intake));
            }
            Answer::Unknown { why, .. } => {
                let reason = format!("the search for an order gave up: {why}");
                self.order.unknown_key(&reason, key);
            }
        }
    }

    fn finish(mut self, history: &History) -> Vec<Check> {
        if self.judged == 0 {
            let reason = "no strongly consistent operation has a known outcome";
            self.order.unknown(reason);
        }
        let mut examined = format!(
            "{} strongly consistent operations of known outcome on {} keys",
            self.judged, self.keys
        );
        if self.unknown_writes > 0 {
            examined.push_str(&format!(
                "; {} of {} writes had an unknown outcome and were allowed both ways",
                self.unknown_writes, self.writes
            ));
        }
        examined.push('.');
        let with_eventual = self.eventual.any() || history.operations.is_empty();
        let mut checks = vec![self.lost.finish(), self.order.finish(&examined)];
        if with_eventual {
            checks.push(self.eventual.finish());
        }
        checks
    }
}
