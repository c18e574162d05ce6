//! Eventually consistent reads: as old as they like, but never invented.

use crate::intake::Intake;
use crate::tally::{self, Tally};
use crate::violation::Kind;
use gameday_record::operation::{Call, Outcome};
use gameday_record::verdict::Check;

/// Collects over all keys.
///
/// An eventual read may find absence (the workload never says how old is too
/// old, and every key was absent once) or any value whose write succeeded or
/// may have, and had begun when the read returned.
#[derive(Debug)]
pub(crate) struct EventualReads {
    tally: Tally,
    invoked: u64,
    judged: u64,
    cut_off: bool,
    /// Value, position and whether it certainly failed; sorted by value.
    writes: Vec<(i64, u32, bool)>,
}

impl EventualReads {
    pub fn new(tally: Tally, cut_off: bool) -> Self {
        EventualReads {
            tally,
            invoked: 0,
            judged: 0,
            cut_off,
            writes: Vec::new(),
        }
    }

    pub fn tally(&mut self) -> &mut Tally {
        &mut self.tally
    }

    /// True if the history holds such reads at all.
    pub fn any(&self) -> bool {
        self.invoked > 0
    }

    /// Judges the reads of one key.
    pub fn key(&mut self, key: &str, positions: &[u32], intake: &Intake<'_>) {
        let is_eventual =
            |at: &&u32| matches!(intake.op(**at).call, Call::Read { strong: false, .. });
        let reads = positions.iter().filter(is_eventual);
        let invoked = reads.clone().count() as u64;
        if invoked == 0 {
            return;
        }
        self.invoked += invoked;
        self.writes.clear();
        self.writes.extend(positions.iter().filter_map(|at| {
            let op = intake.op(*at);
            let failed = matches!(op.outcome, Outcome::Failed { .. });
            match op.call {
                Call::Write { value: v, .. }
                | Call::Insert { value: v, .. }
                | Call::Cas { new: v, .. } => Some((v, *at, failed)),
                Call::Read { .. } | Call::Add { .. } => None,
            }
        }));
        self.writes.sort_unstable();
        for at in reads {
            self.read(key, *at, intake);
        }
    }

    fn read(&mut self, key: &str, at: u32, intake: &Intake<'_>) {
        let op = intake.op(at);
        let Outcome::Ok { value } = op.outcome else {
            return;
        };
        self.judged += 1;
        let Some(value) = value else {
            return;
        };
        let i = self.writes.partition_point(|w| w.0 < value);
        let write = self.writes.get(i).filter(|w| w.0 == value);
        let reader = || tally::who(op);
        let (kind, summary, shown) = match write {
            None if self.cut_off => {
                let reason =
                    "a read found a value whose write may be missing from the cut-off recording";
                self.tally.unknown_key(reason, key);
                return;
            }
            None => (
                Kind::PhantomRead,
                format!("{}, and nobody wrote what it found", reader()),
                vec![at],
            ),
            Some(&(_, w, true)) => (
                Kind::DirtyRead,
                format!(
                    "{}, the value of a write that certainly failed: {}",
                    reader(),
                    tally::who(intake.op(w))
                ),
                vec![at, w],
            ),
            Some(&(_, w, false)) if op.returned.is_some_and(|t| t < intake.op(w).invoked) => (
                Kind::FutureRead,
                format!(
                    "{}, before this began: {}",
                    reader(),
                    tally::who(intake.op(w))
                ),
                vec![at, w],
            ),
            Some(_) => return,
        };
        self.tally
            .list(|| tally::anomaly(kind, key, summary, &shown, intake));
    }

    /// The check.
    pub fn finish(mut self) -> Check {
        if self.judged == 0 {
            self.tally.unknown("no eventual read succeeded");
        }
        let examined = format!("{} eventual reads.", self.judged);
        self.tally.finish(&examined)
    }
}
