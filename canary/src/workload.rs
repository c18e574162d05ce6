//! What is called: registers, shared by all canaries; inserts, each of a key of
//! its own that nobody writes again, so that nothing can hide its loss; and
//! counters.
//!
//! All that is random about operation `n` of a (canary, endpoint) pair is thrown
//! from the seed, the pair and `n` alone. So it is the same in every run with
//! the same seed, and a canary knows which keys the others have just inserted:
//! some of its reads look for these, which measures how soon they are visible.
//! Written values are unique in the whole run, by which a checker knows whose
//! write a read saw.

use crate::choice::Choice;
use crate::dice::{Dice, below, unit};
use crate::inserts::{Inserts, Place};
use gameday_record::{Call, Nanos, Operation, Outcome, WorkloadSpec};
use std::collections::HashMap;

/// Values of canary `i` begin after `i` times this.
const VALUES_PER_CANARY: i64 = 1_000_000_000_000;

/// Values of endpoint `e` of a canary begin after `e` times this, those of
/// retries after 64 times this. Enough for 115 days at 1000 operations per second.
const VALUES_PER_ENDPOINT: i64 = 10_000_000_000;

/// Where the values of retries begin.
const RETRY_VALUES: i64 = 64 * VALUES_PER_ENDPOINT;

/// Counters of a table at most: few, so that additions meet.
const MAX_COUNTERS: u32 = 8;

/// Greatest addition; the least is 1. Sums of unequal ones tell more.
const MAX_DELTA: u32 = 9;

/// One of so many inserts is looked for by other operations.
const WATCHED: u32 = 8;

/// Operations, counted from the one that inserts, during which a pair's insert is
/// looked for. A read looks at one pair, so that an insert is read by
/// `WINDOW * share of reads` operations, spread over this time.
const WINDOW: u64 = 8;

/// What is thrown for each operation.
mod throw {
    pub(super) const KIND: u64 = 0;
    pub(super) const TABLE: u64 = 1;
    pub(super) const KEY: u64 = 2;
    pub(super) const KEY_MORE: u64 = 3;
    pub(super) const FRESH: u64 = 4;
    pub(super) const BYTES: u64 = 5;
    pub(super) const DELTA: u64 = 6;
    pub(super) const COUNTER: u64 = 7;
    pub(super) const WATCHED: u64 = 8;
    pub(super) const PAIR: u64 = 9;
    pub(super) const READ_COUNTER: u64 = 10;
}

/// What is to be called.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Drawn {
    /// The call.
    pub call: Call,
    /// Number of its table.
    pub table: usize,
    /// True if it opens a connection of its own.
    pub fresh: bool,
    /// Bytes of filler, if it writes an item.
    pub bytes: u32,
}

/// Generates one canary's calls.
#[derive(Debug)]
pub struct Workload {
    spec: WorkloadSpec,
    shares: [(Kind, f64); 6],
    choice: Choice,
    counters: u32,
    /// Share of reads that read a counter.
    counter_reads: f64,
    seed: u64,
    canary: u32,
    endpoints: usize,
    /// Canaries whose inserts are looked for.
    peers: std::ops::Range<u32>,
    /// Operations drawn through each endpoint.
    drawn: Vec<u64>,
    inserts: Inserts,
    /// True if there are no other canaries.
    alone: bool,
    retries: i64,
    jitters: u64,
    /// By table: what is at its registers.
    seen: Vec<HashMap<String, Seen>>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Write,
    Insert,
    Cas,
    Add,
    Strong,
    Eventual,
}

/// The newest that this canary knows of a key.
#[derive(Clone, Copy, Debug)]
struct Seen {
    value: Option<i64>,
    invoked: Nanos,
}

impl Workload {
    /// For the canary with this index (0 to 999), calling this many endpoints.
    /// Others of the run are taken to be as many as there are endpoints, with
    /// the first indices and the same workload.
    pub fn new(spec: &WorkloadSpec, seed: u64, canary: u32, endpoints: usize) -> Self {
        Workload::of(spec, seed, canary, endpoints, false)
    }

    /// For a canary that measures alone, on a table that another such one may
    /// have used before.
    pub fn alone(spec: &WorkloadSpec, seed: u64, canary: u32, endpoints: usize) -> Self {
        Workload::of(spec, seed, canary, endpoints, true)
    }

    fn of(spec: &WorkloadSpec, seed: u64, canary: u32, endpoints: usize, alone: bool) -> Self {
        let spec = spec.clone();
        let keys = spec.keys.max(1);
        let changes = spec.writes + spec.cas;
        Workload {
            shares: [
                (Kind::Write, spec.writes),
                (Kind::Insert, spec.inserts),
                (Kind::Cas, spec.cas),
                (Kind::Add, spec.adds),
                (Kind::Strong, spec.strong_reads),
                (Kind::Eventual, spec.eventual_reads),
            ],
            choice: Choice::new(spec.choice, keys),
            counters: if spec.adds > 0.0 {
                keys.min(MAX_COUNTERS)
            } else {
                0
            },
            counter_reads: if spec.adds > 0.0 {
                spec.adds / (changes + spec.adds)
            } else {
                0.0
            },
            seed,
            canary,
            endpoints,
            peers: if (canary as usize) < endpoints {
                0..endpoints as u32
            } else {
                canary..canary + 1
            },
            drawn: vec![0; endpoints],
            inserts: Inserts::new(alone, canary, spec.tables.max(1), endpoints),
            alone,
            retries: 0,
            jitters: 0,
            seen: vec![HashMap::new(); spec.tables.max(1) as usize],
            spec,
        }
    }

    /// All keys that the final reads must read, with their tables: the
    /// registers, the counters, and what this canary inserted so far.
    pub fn keys(&self) -> impl Iterator<Item = (usize, String)> + use<> {
        self.shared().chain(self.inserts.all().to_vec())
    }

    /// All keys that a canary alone can have used before on the same tables,
    /// with the same kinds of calls: what must not be there when it begins.
    pub fn ever(&self) -> impl Iterator<Item = (usize, String)> + use<> {
        let inserts = (self.spec.inserts > 0.0).then(|| self.inserts.ever());
        self.shared().chain(inserts.into_iter().flatten())
    }

    fn shared(&self) -> impl Iterator<Item = Place> + use<> {
        let (keys, counters) = (self.spec.keys.max(1), self.counters);
        (0..self.tables() as usize).flat_map(move |table| {
            let registers = (0..keys).map(register);
            let all = registers.chain((0..counters).map(counter));
            all.map(move |key| (table, key))
        })
    }

    fn tables(&self) -> u32 {
        self.spec.tables.max(1)
    }

    /// The next call through `endpoint`.
    pub fn draw(&mut self, endpoint: usize) -> Drawn {
        let n = self.drawn[endpoint];
        self.drawn[endpoint] += 1;
        let dice = self.dice(self.canary, endpoint);
        let kind = self.kind(dice, n);
        let inserted = match kind {
            Kind::Insert => self.inserts.next(endpoint, n),
            _ => None,
        };
        let table = below(dice.throw(n, throw::TABLE), self.tables()) as usize;
        let value = self.base() + endpoint as i64 * VALUES_PER_ENDPOINT + n as i64 + 1;
        let key = || {
            let (bits, more) = (dice.throw(n, throw::KEY), dice.throw(n, throw::KEY_MORE));
            register(self.choice.choose(bits, more))
        };
        let added = || counter(below(dice.throw(n, throw::COUNTER), self.counters));
        let (table, call) = match (kind, inserted) {
            (Kind::Strong | Kind::Eventual, _) => {
                let strong = kind == Kind::Strong;
                let (table, key) = match self.look_for(dice, endpoint, n) {
                    Some(inserted) => inserted,
                    None if unit(dice.throw(n, throw::READ_COUNTER)) < self.counter_reads => {
                        (table, added())
                    }
                    None => (table, key()),
                };
                (table, Call::Read { key, strong })
            }
            (Kind::Insert, Some((table, key))) => (table, Call::Insert { key, value }),
            (Kind::Write | Kind::Insert, _) => (table, Call::Write { key: key(), value }),
            (Kind::Cas, _) => {
                let key = key();
                let expected = self.seen[table].get(&key).and_then(|s| s.value);
                let new = value;
                (table, Call::Cas { key, expected, new })
            }
            (Kind::Add, _) => {
                let delta = 1 + i64::from(below(dice.throw(n, throw::DELTA), MAX_DELTA));
                (
                    table,
                    Call::Add {
                        key: added(),
                        delta,
                    },
                )
            }
        };
        let least = self.spec.item_bytes;
        let most = self.spec.item_bytes_max.unwrap_or(least).max(least);
        Drawn {
            call,
            table,
            fresh: unit(dice.throw(n, throw::FRESH)) < self.spec.fresh_connections,
            bytes: least + below(dice.throw(n, throw::BYTES), most - least + 1),
        }
    }

    /// The same request once more. What it writes has a new value, and an
    /// insert a new key: the attempt before may still take effect, and then
    /// there must be no doubt whose effect a read saw.
    pub fn again(&mut self, endpoint: usize, before: &Drawn) -> Drawn {
        self.retries += 1;
        let value = self.base() + RETRY_VALUES + self.retries;
        let call = match before.call.clone() {
            Call::Write { key, .. } => Call::Write { key, value },
            Call::Cas { key, expected, .. } => Call::Cas {
                key,
                expected,
                new: value,
            },
            Call::Insert { .. } => match self.inserts.again(endpoint, before.table, self.retries) {
                Some((_, key)) => Call::Insert { key, value },
                None => {
                    let some = self.retries.rem_euclid(i64::from(self.spec.keys.max(1)));
                    let key = register(some as u32);
                    Call::Write { key, value }
                }
            },
            call @ (Call::Read { .. } | Call::Add { .. }) => call,
        };
        Drawn {
            call,
            ..before.clone()
        }
    }

    /// A number uniform in 0 to 1 for the wait before a retry.
    pub fn jitter(&mut self) -> f64 {
        self.jitters += 1;
        let dice = Dice::new(
            self.seed,
            u64::from(self.canary) << 32 | u64::from(u32::MAX),
        );
        unit(dice.throw(self.jitters, 0))
    }

    /// Learns from an operation on table `table` that ended what is at its key,
    /// which the next compare-and-set of it will expect. Eventual reads teach
    /// nothing: what they return may be old.
    pub fn learn(&mut self, table: usize, op: &Operation) {
        let value = match (&op.call, &op.outcome) {
            (Call::Read { strong: true, .. }, Outcome::Ok { value }) => *value,
            (Call::Write { value, .. }, Outcome::Ok { .. }) => Some(*value),
            (Call::Cas { new, .. }, Outcome::Ok { .. }) => Some(*new),
            (
                Call::Cas { .. },
                Outcome::Failed {
                    observed: Some(value),
                    ..
                },
            ) => *value,
            _ => return,
        };
        let key = op.call.key();
        // Nothing is ever expected of what is not a register.
        if !key.starts_with(REGISTER) {
            return;
        }
        // Answers overtake each other; what was asked later knows better.
        let seen = &mut self.seen[table];
        match seen.get_mut(key) {
            Some(s) if s.invoked > op.invoked => {}
            Some(s) => {
                s.value = value;
                s.invoked = op.invoked;
            }
            None => {
                let invoked = op.invoked;
                seen.insert(key.to_string(), Seen { value, invoked });
            }
        }
    }

    fn base(&self) -> i64 {
        i64::from(self.canary) * VALUES_PER_CANARY
    }

    fn dice(&self, canary: u32, endpoint: usize) -> Dice {
        Dice::new(self.seed, u64::from(canary) << 32 | endpoint as u64)
    }

    fn kind(&self, dice: Dice, n: u64) -> Kind {
        pick(&self.shares, unit(dice.throw(n, throw::KIND)))
    }

    /// The newest key that some pair has probably just inserted and that is
    /// watched. All canaries begin together and keep the same pace: when one is
    /// at operation `n`, so are the others, to within their phases.
    fn look_for(&self, dice: Dice, endpoint: usize, n: u64) -> Option<Place> {
        if self.spec.inserts <= 0.0 {
            return None;
        }
        let watched = |theirs: Dice, m| below(theirs.throw(m, throw::WATCHED), WATCHED) == 0;
        if self.alone {
            let through = below(dice.throw(n, throw::PAIR), self.endpoints as u32) as usize;
            let (m, place) = self.inserts.newest(through)?;
            let soon = n.saturating_sub(*m) < WINDOW;
            let theirs = self.dice(self.canary, through);
            return (soon && watched(theirs, *m)).then(|| place.clone());
        }
        // Beyond, no pair inserts any more.
        if n as f64 * self.spec.inserts >= f64::from(self.inserts.most()) {
            return None;
        }
        let pairs = self.peers.len() as u32 * self.endpoints as u32;
        let pair = below(dice.throw(n, throw::PAIR), pairs);
        let canary = self.peers.start + pair / self.endpoints as u32;
        let through = (pair % self.endpoints as u32) as usize;
        let theirs = self.dice(canary, through);
        // Its own pair's insert `n` is this very operation, which reads.
        let own = (canary, through) == (self.canary, endpoint);
        (u64::from(own)..WINDOW)
            .filter_map(|back| n.checked_sub(back))
            .find(|&m| watched(theirs, m) && self.kind(theirs, m) == Kind::Insert)
            .map(|m| self.inserts.of_operation(canary, through, m))
    }
}

/// First letters of keys.
const REGISTER: &str = "k";
const COUNTER: &str = "c";

/// `k00000`, `k00001` …
fn register(n: u32) -> String {
    format!("{REGISTER}{n:05}")
}

/// `c00000`, `c00001` …
fn counter(n: u32) -> String {
    format!("{COUNTER}{n:05}")
}

fn pick(shares: &[(Kind, f64)], x: f64) -> Kind {
    let mut left = x;
    let mut chosen = shares[0].0;
    for &(kind, share) in shares {
        if share > 0.0 {
            chosen = kind;
            if left < share {
                break;
            }
            left -= share;
        }
    }
    // Shares may add up to a rounding error less than 1: the last one that is
    // not zero takes the rest.
    chosen
}

#[cfg(test)]
#[path = "workload_tests.rs"]
mod tests;
