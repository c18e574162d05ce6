//! Durable sets: is every element there that was acknowledged, and how soon
//! was it seen?
//!
//! An element is a key that is inserted and never written again (attempts of
//! one request may insert it more than once), or an element of a set that can
//! be read whole. It is
//!
//! - *lost* if it was acknowledged, and every final read that began after that
//!   (for a set: the last one) did not find it;
//! - *recovered* if its outcome was unknown and a final read found it;
//! - *unexpected* if a read found it although every insertion certainly failed,
//!   or nobody inserted it;
//! - *duplicated* if one read of a set found it twice.
//!
//! *Time to visibility*: from the moment when an element was known to be there
//! (acknowledged, or found by a read, whichever came first) to the start of the
//! last read that missed it; 0 if none did. Measured for elements with a read
//! after that moment. (Jepsen's `set-full` checker calls it stable latency.)

use crate::budget::{Budget, Exhausted};
use crate::explain;
use crate::findings::Findings;
use crate::intake::Intake;
use crate::log::{Clock, Code, Effect, Log};
use crate::measure::{measure, millis};
use crate::say::{self, who};
use crate::violation::Kind;
use gameday_record::Model;
use gameday_record::verdict::{Check, Measure};

/// Collects over all elements.
#[derive(Debug)]
pub(crate) struct DurableSet {
    pub findings: Findings,
    pub counts: Counts,
    /// See [`Log::missing`].
    missing: Option<&'static str>,
    /// Nanoseconds to visibility.
    pub visible: Vec<f32>,
}

/// Elements by what became of them.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Counts {
    pub acknowledged: u64,
    pub unknown: u64,
    pub lost: u64,
    pub recovered: u64,
    pub unexpected: u64,
    pub duplicated: u64,
}

impl DurableSet {
    pub fn new(findings: Findings, missing: Option<&'static str>) -> Self {
        DurableSet {
            findings,
            counts: Counts::default(),
            missing,
            visible: Vec::new(),
        }
    }

    pub fn findings(&mut self) -> &mut Findings {
        &mut self.findings
    }

    /// True if there are elements.
    pub fn any(&self) -> bool {
        let c = &self.counts;
        c.acknowledged + c.unknown + c.unexpected + c.duplicated > 0 || !self.findings.is_clean()
    }

    /// Judges one inserted key; any other is let pass.
    ///
    /// # Errors
    /// The budget ran out, and nothing is said about the key.
    pub fn key(
        &mut self,
        key: u32,
        intake: &Intake<'_>,
        budget: &mut Budget,
    ) -> Result<(), Exhausted> {
        let positions = intake.of(key);
        let inserts = positions
            .iter()
            .filter(|at| intake.op(**at).code == Code::Insert);
        let mut acknowledged: Option<u32> = None;
        let (mut any, mut unknown) = (None, false);
        for at in inserts {
            budget.spend()?;
            let e = intake.op(*at);
            any = Some(*at);
            match e.effect {
                Effect::Ok => {
                    if acknowledged.is_none_or(|a| intake.op(a).finish > e.finish) {
                        acknowledged = Some(*at);
                    }
                }
                Effect::Unknown => unknown = true,
                Effect::Failed | Effect::Refused => {}
            }
        }
        let Some(any) = any else {
            return Ok(());
        };
        budget.look()?;
        let reads = || {
            positions.iter().filter_map(|at| {
                let e = intake.op(*at);
                e.found().map(|found| (*at, e, found.is_some()))
            })
        };
        let found = reads().filter(|(_, _, there)| *there);
        let since = acknowledged.map(|at| intake.op(at).finish);
        let known = found.clone().map(|(_, e, _)| e.finish).chain(since).min();
        if let Some(known) = known {
            self.visibility(known, reads().map(|(_, e, there)| (e.start, there)));
        }
        let last_found = found.clone().any(|(_, e, _)| e.last());
        match since {
            Some(since) => {
                self.counts.acknowledged += 1;
                let mut finals = reads()
                    .filter(|(_, e, _)| e.last() && e.code == Code::Read && e.start > since)
                    .peekable();
                if finals.peek().is_none() {
                    let reason = "no final read began after an element was acknowledged";
                    self.findings
                        .unknown_key(reason, &say::key(intake.log, key));
                } else if let Some(read) = finals
                    .try_fold(None, |_, (at, _, there)| (!there).then_some(Some(at)))
                    .flatten()
                {
                    self.lost(key, acknowledged.unwrap_or(any), read, intake);
                }
            }
            None if unknown => {
                self.counts.unknown += 1;
                self.counts.recovered += u64::from(last_found);
            }
            None => {
                if let Some((read, ..)) = found.clone().next() {
                    self.unexpected(key, read, Some(any), intake);
                }
            }
        }
        Ok(())
    }

    /// `reads`: when each began, and whether it found the element.
    fn visibility(&mut self, known: u64, reads: impl Iterator<Item = (u64, bool)>) {
        let mut any = false;
        let mut missed = known;
        for (start, there) in reads.filter(|(start, _)| *start > known) {
            any = true;
            if !there {
                missed = missed.max(start);
            }
        }
        if any {
            self.visible.push(millis(missed - known));
        }
    }

    /// An acknowledged element is gone.
    pub fn lost(&mut self, key: u32, insert: u32, read: u32, intake: &Intake<'_>) {
        self.counts.lost += 1;
        self.findings.list(|| {
            let (log, kind) = (intake.log, Kind::LostWrite);
            let summary = format!(
                "an acknowledged element is gone: {}; after it, {}",
                who(log, insert),
                who(log, read)
            );
            explain::anomaly(
                kind,
                Model::Durability,
                summary,
                &[insert, read],
                intake,
                key,
            )
        });
    }

    /// An element is there that nobody can have inserted.
    pub fn unexpected(&mut self, key: u32, read: u32, insert: Option<u32>, intake: &Intake<'_>) {
        if let (None, Some(missing)) = (insert, self.missing) {
            let reason = format!("an element was found {missing}");
            self.findings
                .unknown_key(&reason, &say::key(intake.log, key));
            return;
        }
        self.counts.unexpected += 1;
        self.findings.list(|| {
            let log = intake.log;
            let (kind, why) = match insert {
                Some(at) => (
                    Kind::DirtyRead,
                    format!("whose insertion certainly failed: {}", who(log, at)),
                ),
                None => (Kind::PhantomRead, "that nobody inserted".into()),
            };
            let summary = format!("{}, with an element {why}", who(log, read));
            let mut shown = vec![read];
            shown.extend(insert);
            explain::anomaly(kind, Model::ReadCommitted, summary, &shown, intake, key)
        });
    }

    /// Takes over what was collected about later keys.
    pub fn merge(&mut self, other: DurableSet) {
        self.findings.merge(other.findings);
        let (c, o) = (&mut self.counts, other.counts);
        c.acknowledged += o.acknowledged;
        c.unknown += o.unknown;
        c.lost += o.lost;
        c.recovered += o.recovered;
        c.unexpected += o.unexpected;
        c.duplicated += o.duplicated;
        self.visible.extend(other.visible);
    }

    /// The check.
    pub fn finish(mut self, log: &Log) -> Check {
        let c = self.counts;
        if c.acknowledged == 0 {
            self.findings
                .unknown("no element was acknowledged, so none could be lost");
        }
        let examined = format!(
            "{} elements acknowledged: {} lost; {} of unknown outcome: {} recovered; {} unexpected, {} duplicated.",
            c.acknowledged, c.lost, c.unknown, c.recovered, c.unexpected, c.duplicated
        );
        let measures: Vec<Measure> = match log.clock {
            Clock::Nanoseconds => vec![measure("time to visibility", "ms", self.visible)],
            Clock::Events => Vec::new(),
        };
        self.findings.finish(&examined, measures)
    }
}
