//! Counters: can every sum be?
//!
//! # Bounds
//!
//! An addition is certainly in a sum if it was acknowledged before the sum was
//! asked for, and may be in it if it began before the sum was answered and did
//! not certainly fail. So a strongly consistent read lies between
//!
//! > the certain additions + the negative ones that may be in it, and
//! > the certain additions + the positive ones that may be in it.
//!
//! An addition that reports the sum it made is a read that contains itself. An
//! eventual read may contain any of the additions that began before its answer.
//! (The counter checker of Jepsen, K. Kingsbury, is of this kind.)
//!
//! Where nothing is ever taken away, sums must also not go back: a sum asked
//! for after another was answered is not smaller, and no two additions make
//! the same sum.
//!
//! # Order
//!
//! These are necessary, not sufficient; they say best what is wrong. What they
//! let pass is searched for one order of additions and strong reads that
//! explains every sum ([`crate::frontier`]): an addition that reports the sum
//! it made is a compare-and-set to it.

mod bounds;

use crate::budget::{Budget, Exhausted};
use crate::explain;
use crate::findings::Findings;
use crate::intake::Intake;
use crate::log::{Code, Effect, Entry};
use crate::register::{Action, FOREVER, RegisterOp};
use crate::say::{self, who};
use crate::sort::sort_by;
use crate::violation::Kind;
use bounds::Bounds;
use gameday_record::Model;
use gameday_record::verdict::Check;

/// Collects over all counters.
#[derive(Debug)]
pub(crate) struct Counters {
    findings: Findings,
    counters: u64,
    additions: u64,
    sums: u64,
    eventual: u64,
    unread: bool,
    cut_off: bool,
}

/// An addition that took effect or may have.
#[derive(Clone, Copy, Debug)]
struct Addition {
    start: u64,
    ends: u64,
    delta: i128,
    at: u32,
}

/// A strongly consistent sum, by its time. `own`: the addition that made it.
#[derive(Clone, Copy, Debug)]
struct Sum {
    start: u64,
    finish: u64,
    value: i128,
    own: Option<i128>,
    at: u32,
}

impl Counters {
    pub fn new(findings: Findings, cut_off: bool) -> Self {
        Counters {
            findings,
            cut_off,
            counters: 0,
            additions: 0,
            sums: 0,
            eventual: 0,
            unread: false,
        }
    }

    pub fn findings(&mut self) -> &mut Findings {
        &mut self.findings
    }

    /// True if the history holds counters.
    pub fn any(&self) -> bool {
        self.counters > 0
    }

    /// Whether anything is known to be wrong.
    pub fn violated(&self) -> bool {
        self.findings.total() > 0
    }

    /// Judges one counter by its bounds; true if an order is to be searched for.
    ///
    /// # Errors
    /// The budget ran out; what was found stands.
    pub fn key(
        &mut self,
        key: u32,
        intake: &Intake<'_>,
        budget: &mut Budget,
    ) -> Result<bool, Exhausted> {
        let done = self.judge(key, intake, budget);
        budget.release();
        done
    }

    fn judge(
        &mut self,
        key: u32,
        intake: &Intake<'_>,
        budget: &mut Budget,
    ) -> Result<bool, Exhausted> {
        let before = self.findings.total();
        // An operation is at most an addition, in two sorted lists, and a sum, twice.
        const EACH: usize = size_of::<Addition>()
            + 2 * size_of::<(u64, i128, u64, i128, i128)>()
            + 2 * size_of::<Sum>();
        let positions = intake.of(key);
        budget.holds(positions.len() * EACH)?;
        let initial = i128::from(intake.log.initial.unwrap_or(0));
        let mut additions = Vec::new();
        let mut sums = Vec::new();
        for at in positions {
            budget.spend()?;
            let e = intake.op(*at);
            let own = (e.code == Code::Add).then(|| i128::from(e.second()));
            if let Some(delta) = own
                && matches!(e.effect, Effect::Ok | Effect::Unknown)
            {
                additions.push(Addition {
                    start: e.start,
                    ends: e.ends(),
                    delta,
                    at: *at,
                });
            }
            let value = match (e.code, e.effect) {
                (Code::Add, Effect::Ok) => match intake.log.first(e) {
                    Some(sum) => i128::from(sum),
                    None => continue,
                },
                (Code::Read, Effect::Ok) => intake.log.first(e).map_or(initial, i128::from),
                _ => continue,
            };
            sums.push(Sum {
                start: e.start,
                finish: e.finish,
                value,
                own,
                at: *at,
            });
        }
        if sums.is_empty() && positions.iter().all(|at| carried(intake.op(*at))) {
            // Only what an earlier part of the history added is known: nothing was asked.
            return Ok(false);
        }
        self.counters += 1;
        self.additions += additions.len() as u64;
        self.sums += sums.len() as u64;
        let bounds = Bounds::of(&additions, initial, budget)?;
        let sound = self.within(key, &sums, &bounds, &additions, intake, budget)?;
        self.eventual(key, &bounds, intake, budget)?;
        // What is missing of a cut-off recording may have taken something away.
        if additions.iter().all(|a| a.delta > 0) && sound && !self.cut_off {
            self.monotonic(key, &mut sums, intake, budget)?;
        }
        if sums.is_empty() {
            self.unread = true;
            let reason = "no strongly consistent sum was reported";
            self.findings
                .unknown_key(reason, &say::key(intake.log, key));
        }
        let clean = sound && self.findings.total() == before && !self.cut_off;
        if clean && !sums.is_empty() && carried_together(positions, intake) > MOST_UNITS {
            let reason = "too much that was added with unknown outcome was carried from earlier parts of the recording: sums are within their bounds, but an order was not looked for";
            self.findings
                .unknown_key(reason, &say::key(intake.log, key));
            return Ok(false);
        }
        Ok(clean && !sums.is_empty())
    }

    /// Strong sums against their bounds; true if all are within.
    fn within(
        &mut self,
        key: u32,
        sums: &[Sum],
        bounds: &Bounds,
        additions: &[Addition],
        intake: &Intake<'_>,
        budget: &mut Budget,
    ) -> Result<bool, Exhausted> {
        let mut sound = true;
        for s in sums {
            budget.spend()?;
            let (least, most) = bounds.strong(s);
            if (least..=most).contains(&s.value) {
                continue;
            }
            sound = false;
            if self.cut_off {
                self.may_be_missing(key, intake);
                continue;
            }
            if let Some(failed) = explains(s, (least, most), intake.of(key), intake) {
                self.findings.list(|| {
                    let summary = format!(
                        "{}, which only an addition explains that certainly failed: {}",
                        who(intake.log, s.at),
                        who(intake.log, failed)
                    );
                    let (kind, violates) = (Kind::DirtyRead, Model::ReadCommitted);
                    explain::anomaly(kind, violates, summary, &[s.at, failed], intake, key)
                });
                continue;
            }
            let last = intake.op(s.at).last();
            let (kind, violates) = match (s.value < least, last, s.own) {
                (true, true, _) => (Kind::LostWrite, Model::Durability),
                (true, _, Some(_)) => (Kind::LostUpdate, Model::Linearizability),
                (true, _, None) => (Kind::StaleRead, Model::Linearizability),
                (false, ..) => (Kind::Duplicate, Model::EventualConsistency),
            };
            self.findings.list(|| {
                let summary = format!(
                    "{}, but the acknowledged additions allow {least} to {most} only",
                    who(intake.log, s.at)
                );
                let mut shown = vec![s.at];
                // The latest that should have been in it.
                let mut before: Vec<&Addition> =
                    additions.iter().filter(|a| a.ends < s.start).collect();
                before.sort_unstable_by_key(|a| std::cmp::Reverse(a.ends));
                shown.extend(before.iter().take(3).map(|a| a.at));
                explain::anomaly(kind, violates, summary, &shown, intake, key)
            });
        }
        Ok(sound)
    }

    fn may_be_missing(&mut self, key: u32, intake: &Intake<'_>) {
        let reason =
            "a sum is out of its bounds, but additions may be missing from the cut-off recording";
        self.findings
            .unknown_key(reason, &say::key(intake.log, key));
    }

    fn eventual(
        &mut self,
        key: u32,
        bounds: &Bounds,
        intake: &Intake<'_>,
        budget: &mut Budget,
    ) -> Result<(), Exhausted> {
        for at in intake.of(key) {
            budget.spend()?;
            let e = intake.op(*at);
            let (Code::EventualRead, Some(found)) = (e.code, e.found()) else {
                continue;
            };
            self.eventual += 1;
            let value = found.map_or(bounds.initial(), i128::from);
            let (least, most) = bounds.eventual(e.finish);
            if (least..=most).contains(&value) {
                continue;
            }
            if self.cut_off {
                self.may_be_missing(key, intake);
                continue;
            }
            self.findings.list(|| {
                let summary = format!(
                    "{}, but no additions that had begun by then make more than {most} or less than {least}",
                    who(intake.log, *at)
                );
                let violates = Model::EventualConsistency;
                explain::anomaly(Kind::Duplicate, violates, summary, &[*at], intake, key)
            });
        }
        Ok(())
    }

    /// Of a counter that only grows: sums must not go back or repeat.
    fn monotonic(
        &mut self,
        key: u32,
        sums: &mut [Sum],
        intake: &Intake<'_>,
        budget: &mut Budget,
    ) -> Result<(), Exhausted> {
        let finish = |a: &Sum, b: &Sum| (a.finish, a.at).cmp(&(b.finish, b.at));
        let start = |a: &Sum, b: &Sum| (a.start, a.at).cmp(&(b.start, b.at));
        sort_by(sums, &finish, budget)?;
        let mut by_start: Vec<Sum> = sums.to_vec();
        sort_by(&mut by_start, &start, budget)?;
        let mut highest: Option<Sum> = None;
        let mut answered = 0;
        for s in &by_start {
            budget.spend()?;
            while let Some(earlier) = sums.get(answered).filter(|e| e.finish < s.start) {
                if highest.is_none_or(|h| h.value < earlier.value) {
                    highest = Some(*earlier);
                }
                answered += 1;
            }
            let Some(before) = highest.filter(|h| h.value > s.value) else {
                continue;
            };
            let process = |s: &Sum| intake.op(s.at).process;
            let violates = match process(&before) == process(s) {
                true => Model::MonotonicReads,
                false => Model::Linearizability,
            };
            self.findings.list(|| {
                let (log, kind) = (intake.log, Kind::NonMonotonicRead);
                let summary = format!(
                    "{}, after this was answered: {}; nothing is ever taken away",
                    who(log, s.at),
                    who(log, before.at)
                );
                explain::anomaly(kind, violates, summary, &[before.at, s.at], intake, key)
            });
        }
        let mut made: Vec<&Sum> = sums.iter().filter(|s| s.own.is_some()).collect();
        let value = |a: &&Sum, b: &&Sum| (a.value, a.start, a.at).cmp(&(b.value, b.start, b.at));
        sort_by(&mut made, &value, budget)?;
        for pair in made.windows(2).filter(|p| p[0].value == p[1].value) {
            self.findings.list(|| {
                let (log, kind) = (intake.log, Kind::LostUpdate);
                let summary = format!(
                    "two additions made the same sum, one of them is lost: {}, and {}",
                    who(log, pair[0].at),
                    who(log, pair[1].at)
                );
                let shown = [pair[0].at, pair[1].at];
                let violates = Model::SequentialConsistency;
                explain::anomaly(kind, violates, summary, &shown, intake, key)
            });
        }
        Ok(())
    }

    /// Takes over what was collected about later keys.
    pub fn merge(&mut self, other: Counters) {
        self.findings.merge(other.findings);
        self.counters += other.counters;
        self.additions += other.additions;
        self.sums += other.sums;
        self.eventual += other.eventual;
        self.unread |= other.unread;
    }

    /// The check.
    pub fn finish(mut self) -> Check {
        if self.sums == 0 && !self.unread {
            self.findings
                .unknown("no strongly consistent sum was reported");
        }
        let examined = format!(
            "{} additions to {} counters; {} strong sums and {} eventual reads against what each can be, and strong sums against one order.",
            self.additions, self.counters, self.sums, self.eventual
        );
        self.findings.finish(&examined, Vec::new())
    }
}

/// An addition that certainly failed, and without which a sum is out of its
/// bounds: the latest that began by then, if all that failed make up for it.
fn explains(
    s: &Sum,
    (least, most): (i128, i128),
    positions: &[u32],
    intake: &Intake<'_>,
) -> Option<u32> {
    let failed = positions.iter().filter(|at| {
        let e = intake.op(**at);
        let none = matches!(e.effect, Effect::Failed | Effect::Refused);
        e.code == Code::Add && none && e.start <= s.finish
    });
    let (mut plus, mut minus, mut latest) = (0, 0, None);
    for at in failed {
        let delta = i128::from(intake.op(*at).second());
        plus += delta.max(0);
        minus += delta.min(0);
        latest = Some(*at);
    }
    latest.filter(|_| (least + minus..=most + plus).contains(&s.value))
}

/// An addition that is part of no load: it stands for what was added before
/// the history began.
fn carried(e: &Entry) -> bool {
    e.code == Code::Add && e.last()
}

/// Most units of carried additions of unknown outcome that are searched.
const MOST_UNITS: u64 = 4_096;

/// How much was added with unknown outcome before this part of a recording
/// began: it stands there as one addition, and any part of it may take effect.
fn carried_together(positions: &[u32], intake: &Intake<'_>) -> u64 {
    let open = positions.iter().map(|at| intake.op(*at));
    let open = open.filter(|e| carried(e) && e.effect == Effect::Unknown);
    open.fold(0, |all, e| all.saturating_add(e.second().unsigned_abs()))
}

/// What a counter's operations do to its sum, for the search; and where each
/// of them is in the log.
pub(crate) fn operations(positions: &[u32], intake: &Intake<'_>) -> (Vec<RegisterOp>, Vec<u32>) {
    let initial = intake.log.initial.unwrap_or(0);
    let (mut ops, mut places) = (Vec::new(), Vec::new());
    for at in positions {
        let e = intake.op(*at);
        let delta = e.second();
        let (action, times) = match (e.code, e.effect) {
            (Code::Read, Effect::Ok) => (
                Action::Read(Some(intake.log.first(e).unwrap_or(initial))),
                1,
            ),
            (Code::Add, Effect::Ok) => match intake.log.first(e) {
                None => (Action::Append(delta), 1),
                // A sum that no addition of 64 bits leads to is out of its bounds.
                Some(new) => {
                    let expected = Some(new.saturating_sub(delta));
                    (Action::Cas { expected, new }, 1)
                }
            },
            // Several together, of which some may have taken effect.
            (Code::Add, Effect::Unknown) if carried(e) => {
                (Action::Append(delta.signum()), delta.unsigned_abs())
            }
            (Code::Add, Effect::Unknown) => (Action::Append(delta), 1),
            _ => continue,
        };
        let finish = match e.effect {
            Effect::Unknown => FOREVER,
            _ => e.finish,
        };
        for _ in 0..times.min(MOST_UNITS) {
            ops.push(RegisterOp {
                start: e.start,
                finish,
                action,
            });
            places.push(*at);
        }
    }
    (ops, places)
}
