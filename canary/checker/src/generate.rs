//! Legal histories from a seed.
//!
//! A linearizable store is simulated: every operation takes effect at one
//! instant between its start and its end, its result is what its key holds at
//! that instant. Operations of unknown outcome take effect then, much later,
//! or never. So [`crate::check`] must pass what comes out, and whatever it
//! fails after a change was made by the change.
//!
//! Each table holds registers (`key-0`, …), counters (`sum-0`, …) and inserted
//! keys that nobody writes again (`item-17`).

mod calls;
mod effect;
mod plan;
mod random;

pub use calls::{Calls, Keys, calls};
pub use random::Random;

use gameday_record::history::{HISTORY_VERSION, History, HistoryHeader};
use gameday_record::operation::Operation;

/// What to generate. The same options give the same history.
///
/// The shares of `cas`, `writes`, `inserts` and `adds` are of all operations
/// and add up to at most 1; the rest is reads, of registers, inserted keys and
/// counters in proportion to how much is written to each.
#[derive(Clone, Debug, PartialEq)]
pub struct Options {
    /// Seed of everything that is drawn.
    pub seed: u64,
    /// Tables, at least 1. A single one has no name.
    pub tables: u32,
    /// Registers in each table, and counters, at least 1.
    pub keys: u32,
    /// Clients that call at the same time, at least 1.
    pub clients: u32,
    /// Operations, without the final reads.
    pub operations: u32,
    /// Share of operations whose outcome is unknown, 0 to 1.
    pub unknown: f64,
    /// Share of operations that certainly fail without having been sent, 0 to 1.
    pub failed: f64,
    /// Share of conditional writes, 0 to 1; half of them expect what is there.
    pub cas: f64,
    /// Share of plain writes, 0 to 1.
    pub writes: f64,
    /// Share of inserts, 0 to 1, each of a key of its own.
    pub inserts: f64,
    /// Share of additions to counters, 0 to 1. Every second counter only grows.
    pub adds: f64,
    /// Share of the reads that are eventually consistent, 0 to 1.
    pub eventual: f64,
    /// Whether every key is read once more in the end.
    pub final_reads: bool,
}

impl Default for Options {
    /// Registers in one table, with some of everything that can befall them.
    fn default() -> Self {
        Options {
            seed: 1,
            tables: 1,
            keys: 4,
            clients: 5,
            operations: 1000,
            unknown: 0.02,
            failed: 0.02,
            cas: 0.2,
            writes: 0.3,
            inserts: 0.0,
            adds: 0.0,
            eventual: 0.2,
            final_reads: true,
        }
    }
}

/// Generates a legal history.
///
/// ```
/// use gameday_checker::generate::{self, Options};
/// use gameday_checker::check_history;
/// use gameday_record::Verdict;
/// let options = Options { tables: 2, inserts: 0.1, adds: 0.1, ..Options::default() };
/// let checks = check_history(&generate::history(&options), &Default::default());
/// assert!(checks.iter().any(|c| c.name == "counters"));
/// assert!(checks.iter().all(|c| c.verdict == Verdict::Pass));
/// ```
pub fn history(options: &Options) -> History {
    let mut random = Random::new(options.seed);
    let mut planned = plan::plan(options, &mut random);
    effect::take_effect(&mut planned, &mut random);
    let mut operations: Vec<Operation> = planned.into_iter().map(|p| p.operation).collect();
    operations.sort_by_key(|o| (o.invoked, o.process));
    for (i, op) in (0u64..).zip(&mut operations) {
        op.index = i;
    }
    History {
        header: HistoryHeader {
            version: HISTORY_VERSION,
            run: format!("generated-{}", options.seed),
            seed: options.seed,
            clock: "simulated".into(),
            epoch_utc: "1970-01-01T00:00:00Z".into(),
            forgotten: None,
        },
        operations,
        complete: true,
    }
}
