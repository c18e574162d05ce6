//! Inserts: keys that nobody writes again, so that nothing can hide their loss.
//! Every one is read at the end, so they are bounded; beyond, an insert is an
//! ordinary write.
//!
//! In a game day the table is new, and a key is named by the operation that
//! inserts it, so that all canaries know each other's. A canary that runs alone
//! may be given the table of an earlier one: its keys are few and numbered, so
//! that all that any such canary can have inserted is known and deleted first.

use gameday_record::WorkloadSpec;
use std::time::Duration;

/// Keys that one canary inserts through one endpoint at most.
const MAX: u32 = 10_000;

/// A run may take so much longer than planned before its inserts end.
const LONGER: f64 = 1.5;

/// The workload with its inserts spread over the planned length, if they would
/// end before: what is beyond the bound becomes ordinary writes, all the time.
pub fn spread(workload: &WorkloadSpec, planned: Duration) -> WorkloadSpec {
    let operations = workload.rate * planned.as_secs_f64() * LONGER;
    let share = workload.inserts.min(f64::from(MAX) / operations.max(1.0));
    WorkloadSpec {
        inserts: share,
        writes: workload.writes + workload.inserts - share,
        ..workload.clone()
    }
}

/// The same of a canary that runs alone.
const MAX_ALONE: u32 = 500;

/// Most keys that the final reads of one canary in a game day read.
pub fn most_keys(workload: &WorkloadSpec, endpoints: usize) -> u32 {
    let shared = workload.tables.max(1) * workload.keys.saturating_mul(2);
    let inserted = MAX * endpoints as u32 * workload.attempts.max(1);
    shared + if workload.inserts > 0.0 { inserted } else { 0 }
}

/// First letter of the keys.
pub(crate) const INSERT: &str = "i";

/// Number of a table, and a key in it.
pub(crate) type Place = (usize, String);

/// What one canary inserts.
#[derive(Debug)]
pub(crate) struct Inserts {
    alone: bool,
    canary: u32,
    tables: u32,
    /// By endpoint.
    done: Vec<u32>,
    all: Vec<Place>,
    /// By endpoint: the newest, with the operation that inserted it.
    newest: Vec<Option<(u64, Place)>>,
}

impl Inserts {
    pub(crate) fn new(alone: bool, canary: u32, tables: u32, endpoints: usize) -> Self {
        Inserts {
            alone,
            canary,
            tables,
            done: vec![0; endpoints],
            all: Vec::new(),
            newest: vec![None; endpoints],
        }
    }

    /// Most keys through one endpoint.
    pub(crate) fn most(&self) -> u32 {
        if self.alone { MAX_ALONE } else { MAX }
    }

    /// Where operation `n` through `endpoint` inserts; `None` beyond the bound.
    pub(crate) fn next(&mut self, endpoint: usize, n: u64) -> Option<Place> {
        let number = self.number(endpoint)?;
        let place = match self.alone {
            true => self.numbered(endpoint, number),
            false => self.of_operation(self.canary, endpoint, n),
        };
        self.newest[endpoint] = Some((n, place.clone()));
        self.all.push(place.clone());
        Some(place)
    }

    /// Where retry number `retry` of the canary inserts, of a request on `table`.
    pub(crate) fn again(&mut self, endpoint: usize, table: usize, retry: i64) -> Option<Place> {
        let place = match self.alone {
            true => {
                let number = self.number(endpoint)?;
                (table, key(self.canary, endpoint, u64::from(number)))
            }
            // Retries are as bounded as the inserts that they are of.
            false => {
                let canary = self.canary;
                (table, format!("{INSERT}{canary}-{endpoint}-r{retry:06}"))
            }
        };
        self.all.push(place.clone());
        Some(place)
    }

    fn number(&mut self, endpoint: usize) -> Option<u32> {
        let number = self.done[endpoint];
        (number < self.most()).then(|| self.done[endpoint] += 1)?;
        Some(number)
    }

    fn numbered(&self, endpoint: usize, number: u32) -> Place {
        let table = (number % self.tables) as usize;
        (table, key(self.canary, endpoint, u64::from(number)))
    }

    /// Where operation `n` of a pair inserts in a game day, if it inserts.
    pub(crate) fn of_operation(&self, canary: u32, endpoint: usize, n: u64) -> Place {
        let table = (n % u64::from(self.tables)) as usize;
        (table, key(canary, endpoint, n))
    }

    /// The newest through an endpoint, with the operation that inserted it.
    pub(crate) fn newest(&self, endpoint: usize) -> Option<&(u64, Place)> {
        self.newest[endpoint].as_ref()
    }

    /// All so far.
    pub(crate) fn all(&self) -> &[Place] {
        &self.all
    }

    /// All that a canary of this index that ran alone can have inserted
    /// through these endpoints, into however many of these tables.
    pub(crate) fn ever(&self) -> impl Iterator<Item = Place> + use<> {
        let (canary, tables, endpoints) = (self.canary, self.tables as usize, self.done.len());
        (0..tables).flat_map(move |table| {
            (0..endpoints).flat_map(move |endpoint| {
                (0..MAX_ALONE).map(move |n| (table, key(canary, endpoint, u64::from(n))))
            })
        })
    }
}

fn key(canary: u32, endpoint: usize, n: u64) -> String {
    format!("{INSERT}{canary}-{endpoint}-{n:07}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn inserts_are_spread_over_a_night_and_not_over_an_hour() {
        let w = WorkloadSpec::default();
        // 20 a second, a tenth of them: 7 200 in an hour, which the bound allows even if it
        // takes a third longer.
        assert_eq!(spread(&w, Duration::from_secs(3_300)), w);
        let night = Duration::from_secs(24 * 3600);
        let s = spread(&w, night);
        let inserts = |w: &WorkloadSpec, hours: f64| w.rate * hours * 3600.0 * w.inserts;
        assert!((inserts(&s, 36.0) - 10_000.0).abs() < 1e-6);
        assert!((s.writes + s.inserts - w.writes - w.inserts).abs() < 1e-12);
        assert_eq!(spread(&w, Duration::ZERO), w);
    }

    #[test]
    fn the_final_reads_have_a_bound() {
        let w = WorkloadSpec::default();
        assert_eq!(most_keys(&w, 3), 120 + 30_000);
        let none = WorkloadSpec { inserts: 0.0, ..w };
        assert_eq!(most_keys(&none, 3), 120);
    }
}
