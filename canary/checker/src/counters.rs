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
//! These are necessary, not sufficient: what passes may still not be
//! linearizable. O(n log n).

use crate::explain;
use crate::intake::Intake;
use crate::log::{Code, Entry, Outcome};
use crate::say::{self, who};
use crate::tally::Tally;
use crate::violation::Kind;
use gameday_record::Model;
use gameday_record::verdict::Check;

/// Collects over all counters.
#[derive(Debug)]
pub(crate) struct Counters {
    tally: Tally,
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

/// Sums of additions up to a time, the positive and the negative ones.
#[derive(Debug, Default)]
struct Prefix {
    times: Vec<u64>,
    sums: Vec<(i128, i128)>,
}

impl Prefix {
    fn new(mut items: Vec<(u64, i128)>) -> Self {
        items.sort_unstable();
        let mut total = (0, 0);
        let mut prefix = Prefix::default();
        for (time, delta) in items {
            total.0 += delta.max(0);
            total.1 += delta.min(0);
            prefix.times.push(time);
            prefix.sums.push(total);
        }
        prefix
    }

    fn up_to(&self, n: usize) -> (i128, i128) {
        n.checked_sub(1).map_or((0, 0), |i| self.sums[i])
    }

    fn before(&self, t: u64) -> (i128, i128) {
        self.up_to(self.times.partition_point(|x| *x < t))
    }

    fn until(&self, t: u64) -> (i128, i128) {
        self.up_to(self.times.partition_point(|x| *x <= t))
    }
}

/// What a counter can show.
struct Bounds {
    initial: i128,
    began: Prefix,
    certain: Prefix,
}

impl Bounds {
    fn of(additions: &[Addition], initial: i128) -> Self {
        let acknowledged = additions.iter().filter(|a| a.ends != u64::MAX);
        Bounds {
            initial,
            began: Prefix::new(additions.iter().map(|a| (a.start, a.delta)).collect()),
            certain: Prefix::new(acknowledged.map(|a| (a.ends, a.delta)).collect()),
        }
    }

    /// Least and greatest sum that a strong operation can show.
    fn strong(&self, s: &Sum) -> (i128, i128) {
        let (plus, minus) = self.certain.before(s.start);
        let (may_plus, may_minus) = self.began.until(s.finish);
        let sure = self.initial + plus + minus;
        let own = s.own.unwrap_or(0);
        (
            sure + (may_minus - minus) + own.max(0),
            sure + (may_plus - plus) + own.min(0),
        )
    }

    /// The same of an eventual read that was answered at `finish`.
    fn eventual(&self, finish: u64) -> (i128, i128) {
        let (plus, minus) = self.began.until(finish);
        (self.initial + minus, self.initial + plus)
    }
}

impl Counters {
    pub fn new(tally: Tally, cut_off: bool) -> Self {
        Counters {
            tally,
            cut_off,
            counters: 0,
            additions: 0,
            sums: 0,
            eventual: 0,
            unread: false,
        }
    }

    pub fn tally(&mut self) -> &mut Tally {
        &mut self.tally
    }

    /// True if the history holds counters.
    pub fn any(&self) -> bool {
        self.counters > 0
    }

    /// Judges one counter.
    pub fn key(&mut self, key: u32, intake: &Intake<'_>) {
        let positions = intake.of(key);
        let initial = i128::from(intake.log.initial.unwrap_or(0));
        let mut additions = Vec::new();
        let mut sums = Vec::new();
        for at in positions {
            let e = intake.op(*at);
            let own = (e.code == Code::Add).then(|| i128::from(e.second()));
            if let Some(delta) = own
                && matches!(e.outcome, Outcome::Ok | Outcome::Unknown)
            {
                additions.push(Addition {
                    start: e.start,
                    ends: e.ends(),
                    delta,
                    at: *at,
                });
            }
            let value = match (e.code, e.outcome) {
                (Code::Add, Outcome::Ok) => match e.first() {
                    Some(sum) => i128::from(sum),
                    None => continue,
                },
                (Code::Read, Outcome::Ok) => e.first().map_or(initial, i128::from),
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
            return;
        }
        self.counters += 1;
        self.additions += additions.len() as u64;
        self.sums += sums.len() as u64;
        let bounds = Bounds::of(&additions, initial);
        let sound = self.within(key, &sums, &bounds, &additions, intake);
        self.eventual(key, &bounds, intake);
        // What is missing of a cut-off recording may have taken something away.
        if additions.iter().all(|a| a.delta > 0) && sound && !self.cut_off {
            self.monotonic(key, &mut sums, intake);
        }
        if sums.is_empty() {
            self.unread = true;
            let reason = "no strongly consistent sum was reported";
            self.tally.unknown_key(reason, &say::key(intake.log, key));
        }
    }

    /// Strong sums against their bounds; true if all are within.
    fn within(
        &mut self,
        key: u32,
        sums: &[Sum],
        bounds: &Bounds,
        additions: &[Addition],
        intake: &Intake<'_>,
    ) -> bool {
        let mut sound = true;
        for s in sums {
            let (least, most) = bounds.strong(s);
            if (least..=most).contains(&s.value) {
                continue;
            }
            sound = false;
            if self.cut_off {
                self.may_be_missing(key, intake);
                continue;
            }
            let last = intake.op(s.at).last();
            let (kind, violates) = match (s.value < least, last, s.own) {
                (true, true, _) => (Kind::LostWrite, Model::Durability),
                (true, _, Some(_)) => (Kind::LostUpdate, Model::Linearizability),
                (true, _, None) => (Kind::StaleRead, Model::Linearizability),
                (false, ..) => (Kind::Duplicate, Model::EventualConsistency),
            };
            self.tally.list(|| {
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
        sound
    }

    fn may_be_missing(&mut self, key: u32, intake: &Intake<'_>) {
        let reason =
            "a sum is out of its bounds, but additions may be missing from the cut-off recording";
        self.tally.unknown_key(reason, &say::key(intake.log, key));
    }

    fn eventual(&mut self, key: u32, bounds: &Bounds, intake: &Intake<'_>) {
        for at in intake.of(key) {
            let e = intake.op(*at);
            let (Code::EventualRead, Some(found)) = (e.code, e.found()) else {
                continue;
            };
            self.eventual += 1;
            let value = found.map_or(bounds.initial, i128::from);
            let (least, most) = bounds.eventual(e.finish);
            if (least..=most).contains(&value) {
                continue;
            }
            if self.cut_off {
                self.may_be_missing(key, intake);
                continue;
            }
            self.tally.list(|| {
                let summary = format!(
                    "{}, but no additions that had begun by then make more than {most} or less than {least}",
                    who(intake.log, *at)
                );
                let violates = Model::EventualConsistency;
                explain::anomaly(Kind::Duplicate, violates, summary, &[*at], intake, key)
            });
        }
    }

    /// Of a counter that only grows: sums must not go back or repeat.
    fn monotonic(&mut self, key: u32, sums: &mut [Sum], intake: &Intake<'_>) {
        sums.sort_unstable_by_key(|s| (s.finish, s.at));
        let mut by_start: Vec<Sum> = sums.to_vec();
        by_start.sort_unstable_by_key(|s| (s.start, s.at));
        let mut highest: Option<Sum> = None;
        let mut answered = 0;
        for s in &by_start {
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
            self.tally.list(|| {
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
        made.sort_unstable_by_key(|s| (s.value, s.start, s.at));
        for pair in made.windows(2).filter(|p| p[0].value == p[1].value) {
            self.tally.list(|| {
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
    }

    /// Takes over what was collected about later keys.
    pub fn merge(&mut self, other: Counters) {
        self.tally.merge(other.tally);
        self.counters += other.counters;
        self.additions += other.additions;
        self.sums += other.sums;
        self.eventual += other.eventual;
        self.unread |= other.unread;
    }

    /// The check.
    pub fn finish(mut self) -> Check {
        if self.sums == 0 && !self.unread {
            self.tally
                .unknown("no strongly consistent sum was reported");
        }
        let examined = format!(
            "{} additions to {} counters; {} strong sums and {} eventual reads against what they can be.",
            self.additions, self.counters, self.sums, self.eventual
        );
        self.tally.finish(&examined, Vec::new())
    }
}
/// An addition that is part of no load: it stands for what was added before
/// the history began.
fn carried(e: &Entry) -> bool {
    e.code == Code::Add && e.last()
}
