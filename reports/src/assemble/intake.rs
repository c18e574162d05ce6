//! The history on its way into a report, one operation after the other: nothing
//! of it is kept whole.

use super::measure::Errors;
use super::timeline::Story;
use crate::fold::{Fold, Patience};
use crate::load::Load;
use crate::report::Measured;
use gameday_record::{Call, Nanos, Operation, RunFolder, RunState};

/// What is kept of a history.
#[derive(Debug)]
pub struct Intake {
    /// What counts as an answer.
    pub patience: Patience,
    /// False if the end marker is missing, or nothing was read.
    pub complete: bool,
    /// First attempts and retries of the measured time.
    pub fold: Fold,
    /// First attempts, one by one.
    pub load: Load,
    /// What went wrong with them.
    pub errors: Errors,
    /// When the last key was inserted that nobody writes again.
    pub last_insert: Option<Nanos>,
    /// What was due in this time is measured.
    window: (Nanos, Nanos),
    retries: u64,
    outside: u64,
    final_reads: u64,
    /// Earliest and latest due time, whatever is measured.
    dues: Option<(Nanos, Nanos)>,
}

impl Intake {
    /// Nothing read yet.
    pub fn new(story: &Story, patience: Patience) -> Self {
        let from = story.baseline.unwrap_or(Nanos::ZERO);
        let to = story.measured_end.unwrap_or(Nanos::FOREVER);
        Intake {
            patience,
            complete: false,
            fold: Fold::of_counts().with(patience),
            load: Load::default(),
            errors: Errors::default(),
            last_insert: None,
            window: (from, to),
            retries: 0,
            outside: 0,
            final_reads: 0,
            dues: None,
        }
    }

    /// Reads a folder's history.
    ///
    /// # Errors
    /// Missing or malformed, with the path and line.
    pub fn read(folder: &RunFolder, story: &Story, patience: Patience) -> Result<Self, String> {
        let mut intake = Intake::new(story, patience);
        let ending = folder.stream_history(|op| intake.push(&op))?;
        ending.open.iter().for_each(|op| intake.push(op));
        intake.complete = ending.complete;
        intake.load.finish();
        Ok(intake)
    }

    fn push(&mut self, op: &Operation) {
        if op.last {
            self.final_reads += 1;
            return;
        }
        let (first, last) = self.dues.unwrap_or((op.due, op.due));
        self.dues = Some((first.min(op.due), last.max(op.due)));
        let (from, to) = self.window;
        if op.due < from || op.due >= to {
            self.outside += 1;
            return;
        }
        self.fold.push(op);
        // Only first attempts are load; retries decide whether a request was answered.
        if !op.attempt.is_first() {
            self.retries += 1;
            return;
        }
        if matches!(op.call, Call::Insert { .. }) {
            self.last_insert = self.last_insert.max(Some(op.due));
        }
        self.errors.push(self.patience, op);
        self.load.push(self.patience, op);
    }

    /// When the canaries measured: from the baseline to the end of the cooldown,
    /// or, in a run that was cut short, to the last operation due: what the runner
    /// then did to clean up was not measured.
    pub fn measured(&self, story: &Story) -> Measured {
        let first = self.dues.map(|(first, _)| first);
        let after_last = self.dues.map(|(_, last)| Nanos(last.0.saturating_add(1)));
        let from = story.baseline.or(first).unwrap_or(Nanos::ZERO);
        let to = match (story.measured_end, after_last) {
            (Some(end), Some(last)) if story.state != Some(RunState::Completed) => end.min(last),
            (end, last) => end.or(last).unwrap_or(from),
        };
        Measured {
            from,
            to: to.max(from),
            operations: self.load.operations(),
            retries: self.retries,
            outside: self.outside,
            final_reads: self.final_reads,
        }
    }
}
