//! The checks of a history: from a log to verdicts.

use crate::budget::Budget;
use crate::intake::{Intake, Refused};
use crate::judge::Judge;
use crate::log::Log;
use crate::parallel;
use gameday_record::history::History;
use gameday_record::verdict::Check;
use std::time::Duration;

/// How much the checks may cost.
///
/// Keys with unique values are decided in O(n log n). The others, texts, and
/// keys with conditional writes that failed without reporting what they found
/// need a search, which may take any amount of time.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Options {
    /// Time for everything together. A verdict comes at most 100 ms later.
    pub time: Duration,
    /// Memory beside that of the log, for all threads together, in bytes, about.
    pub bytes: usize,
    /// Threads; 0: as many as the machine runs at once. The answer does not
    /// depend on it, unless the time runs out.
    pub threads: usize,
}

impl Default for Options {
    /// Ten seconds, 1 GiB, all processors.
    fn default() -> Self {
        Options {
            time: Duration::from_secs(10),
            bytes: 1 << 30,
            threads: 0,
        }
    }
}

/// Time for each operation, beside that of a short history: judging one takes
/// some microseconds, if it needs no search.
const TIME_EACH: Duration = Duration::from_micros(10);

impl Options {
    /// The defaults, and more time the more there is to judge.
    pub fn for_log(log: &Log) -> Self {
        let operations = u32::try_from(log.len()).unwrap_or(u32::MAX);
        let defaults = Options::default();
        Options {
            time: defaults.time + TIME_EACH * operations,
            ..defaults
        }
    }
}

/// Judges a history. Which checks there are depends on what it holds:
///
/// | check | of | says |
/// | --- | --- | --- |
/// | `lost-writes` | registers, if final reads are promised or there | is every acknowledged write still there? |
/// | `linearizability` | registers, texts, sets: strongly consistent operations | is there one order that explains them? |
/// | `session-guarantees` | registers with unique values: strongly consistent operations | did every client see its own writes and never go back? |
/// | `eventual-reads` | registers, if there are such reads | was anything invented, and how old was it? |
/// | `durable-set` | inserted keys, and sets | is every element there, and how soon? |
/// | `counters` | keys that were added to | can every sum be? |
///
/// A verdict of pass means that the whole recording was judged and nothing is
/// wrong. Whatever could not be judged makes it unknown, with the reason; a
/// fail stands whatever else is unknown. A recording without its end marker
/// never passes, and a history that breaks the preconditions (one open call
/// for each process, times in order, values unique if that was promised) is
/// never a fail.
///
/// ```
/// use gameday_checker::log::Log;
/// use gameday_checker::{Options, check, generate};
/// use gameday_record::Verdict;
/// let history = generate::history(&generate::Options::default());
/// let log = Log::of(&history)?;
/// let checks = check(&log, &Options::default());
/// let names: Vec<&str> = checks.iter().map(|c| c.name.as_str()).collect();
/// let all = ["lost-writes", "linearizability", "session-guarantees", "eventual-reads"];
/// assert_eq!(names, all);
/// assert!(checks.iter().all(|c| c.verdict == Verdict::Pass));
/// # Ok::<(), gameday_checker::log::Full>(())
/// ```
pub fn check(log: &Log, options: &Options) -> Vec<Check> {
    let budget = Budget::unlimited().time(options.time).bytes(options.bytes);
    check_within(log, budget, options.threads)
}

/// [`check`] with any budget.
fn check_within(log: &Log, mut budget: Budget, threads: usize) -> Vec<Check> {
    let mut judge = Judge::new(log, &budget);
    match Intake::new(log, &mut budget) {
        Ok(intake) => {
            for part in parallel::over_keys(&intake, &budget, threads) {
                judge.merge(part);
            }
            parallel::search_on(&mut judge, &intake, &budget, threads);
        }
        Err(Refused::Invalid(why)) => judge.everywhere(&format!("invalid history: {why}")),
        Err(Refused::Exhausted(why)) => {
            judge.everywhere(&format!("the history was not even sorted: {why}"));
        }
    }
    if !log.complete {
        judge.everywhere("the recording was cut off: it has no end marker");
    }
    if log.is_empty() {
        judge.everywhere("the history is empty");
    }
    judge.finish(log)
}

/// Judges a recorded history in memory: [`check`] of [`Log::of`].
pub fn check_history(history: &History, options: &Options) -> Vec<Check> {
    match Log::of(history) {
        Ok(log) => check(&log, options),
        Err(full) => {
            let mut judge = Judge::new(&Log::of_canaries(), &Budget::unlimited());
            judge.everywhere(&full.to_string());
            judge.finish(&Log::of_canaries())
        }
    }
}

#[cfg(test)]
mod tests;
