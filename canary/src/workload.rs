//! What is called: registers, one per key, shared by all canaries; and inserts,
//! each of a key of its own that nobody writes again, so that nothing can hide
//! its loss.
//!
//! Kinds and keys are drawn from a seeded generator, one stream per (canary,
//! endpoint), so that the `n`th operation of an endpoint is the same in every
//! run with the same seed. Written values are unique in the whole run, by which
//! a checker knows whose write a read saw.

use gameday_record::{Call, Nanos, Operation, Outcome, WorkloadSpec};
use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{Rng, SeedableRng};
use std::collections::HashMap;

/// Values of canary `i` begin after `i` times this.
const VALUES_PER_CANARY: i64 = 1_000_000_000_000;

/// Keys that one canary inserts through one endpoint at most: every one is read at the end.
const MAX_INSERTS: u32 = 10_000;

/// First letter of the keys that are inserted.
const INSERT: &str = "i";

/// Generates one canary's calls.
#[derive(Debug)]
pub struct Workload {
    shares: [(Kind, f64); 5],
    canary: u32,
    /// Number of keys inserted through each endpoint.
    inserted: Vec<u32>,
    keys: u32,
    streams: Vec<ChaCha8Rng>,
    last_value: i64,
    seen: HashMap<String, Seen>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Write,
    Insert,
    Cas,
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
    pub fn new(spec: &WorkloadSpec, seed: u64, canary: u32, endpoints: usize) -> Self {
        let streams = (0..endpoints as u64)
            .map(|e| {
                let mut rng = ChaCha8Rng::seed_from_u64(seed);
                rng.set_stream(u64::from(canary) << 32 | e);
                rng
            })
            .collect();
        Workload {
            shares: [
                (Kind::Write, spec.writes),
                (Kind::Insert, spec.inserts),
                (Kind::Cas, spec.cas),
                (Kind::Strong, spec.strong_reads),
                (Kind::Eventual, spec.eventual_reads),
            ],
            canary,
            inserted: vec![0; endpoints],
            keys: spec.keys.max(1),
            streams,
            last_value: i64::from(canary) * VALUES_PER_CANARY,
            seen: HashMap::new(),
        }
    }

    /// All keys that the final reads must read: the registers, and what this
    /// canary inserted so far.
    pub fn keys(&self) -> impl Iterator<Item = String> + use<> {
        let canary = self.canary;
        let inserted = self.inserted.clone().into_iter().enumerate();
        let inserted = inserted.flat_map(move |(endpoint, count)| {
            (0..count).map(move |n| insert_key(canary, endpoint, n))
        });
        (0..self.keys).map(key).chain(inserted)
    }

    /// The next call through `endpoint`.
    pub fn draw(&mut self, endpoint: usize) -> Call {
        let rng = &mut self.streams[endpoint];
        let kind = pick(&self.shares, unit(rng.next_u64()));
        let key = key(below(rng.next_u64(), self.keys));
        match kind {
            Kind::Strong => Call::Read { key, strong: true },
            Kind::Eventual => Call::Read { key, strong: false },
            // Beyond the bound an insert is an ordinary write.
            Kind::Insert if self.inserted[endpoint] < MAX_INSERTS => {
                let key = insert_key(self.canary, endpoint, self.inserted[endpoint]);
                self.inserted[endpoint] += 1;
                let value = self.fresh_value();
                Call::Write { key, value }
            }
            Kind::Write | Kind::Insert => {
                let value = self.fresh_value();
                Call::Write { key, value }
            }
            Kind::Cas => {
                let expected = self.seen.get(&key).and_then(|s| s.value);
                let new = self.fresh_value();
                Call::Cas { key, expected, new }
            }
        }
    }

    /// Learns from an operation that ended what is at its key, which the next
    /// compare-and-set of it will expect. Eventual reads teach nothing: what
    /// they return may be old.
    pub fn learn(&mut self, op: &Operation) {
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
        // What was inserted is never changed: nothing will be expected of it.
        if key.starts_with(INSERT) {
            return;
        }
        // Answers overtake each other; what was asked later knows better.
        if self.seen.get(key).is_none_or(|s| s.invoked <= op.invoked) {
            let seen = Seen {
                value,
                invoked: op.invoked,
            };
            self.seen.insert(key.to_string(), seen);
        }
    }

    fn fresh_value(&mut self) -> i64 {
        self.last_value += 1;
        self.last_value
    }
}

/// Key `n` that canary `canary` inserts through `endpoint`.
fn insert_key(canary: u32, endpoint: usize, n: u32) -> String {
    format!("{INSERT}{canary}-{endpoint}-{n:05}")
}

/// `k00000`, `k00001` …
fn key(n: u32) -> String {
    format!("k{n:05}")
}

/// Uniform in 0 to 1 (exclusive), from the upper 53 bits.
fn unit(bits: u64) -> f64 {
    (bits >> 11) as f64 / (1u64 << 53) as f64
}

/// Uniform in 0 to `n` (exclusive). The bias of multiply-and-shift is below `n / 2^64`.
fn below(bits: u64, n: u32) -> u32 {
    ((u128::from(bits) * u128::from(n)) >> 64) as u32
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
mod tests {
    use super::*;
    use gameday_record::{ErrorClass, operation::Failure};
    use std::collections::HashSet;

    fn calls(seed: u64, canary: u32, n: usize) -> Vec<Call> {
        let mut w = Workload::new(&WorkloadSpec::default(), seed, canary, 3);
        (0..n).map(|i| w.draw(i % 3)).collect()
    }

    fn written(call: &Call) -> Option<i64> {
        match call {
            Call::Write { value, .. } => Some(*value),
            Call::Cas { new, .. } => Some(*new),
            Call::Insert { value, .. } => Some(*value),
            Call::Read { .. } | Call::Add { .. } => None,
        }
    }

    fn op(call: Call, invoked: u64, outcome: Outcome) -> Operation {
        Operation {
            index: 0,
            process: 0,
            az: String::new(),
            endpoint: String::new(),
            call,
            due: Nanos(0),
            invoked: Nanos(invoked),
            returned: None,
            outcome,
            last: false,
            table: String::new(),
            fresh: false,
            attempt: Default::default(),
        }
    }

    #[test]
    fn the_same_seed_draws_the_same_and_another_does_not() {
        assert_eq!(calls(1, 0, 300), calls(1, 0, 300));
        assert_ne!(calls(1, 0, 300), calls(2, 0, 300));
        let keys = |c: &[Call]| c.iter().map(|c| c.key().to_string()).collect::<Vec<_>>();
        assert_ne!(keys(&calls(1, 0, 300)), keys(&calls(1, 1, 300)));
    }

    #[test]
    fn an_endpoint_draws_the_same_however_they_take_turns() {
        let spec = WorkloadSpec::default();
        let shape = |c: Call| (c.key().to_string(), std::mem::discriminant(&c));
        let mut alone = Workload::new(&spec, 9, 1, 2);
        let a: Vec<_> = (0..50).map(|_| shape(alone.draw(1))).collect();
        let mut mixed = Workload::new(&spec, 9, 1, 2);
        let b: Vec<_> = (0..50)
            .map(|_| {
                mixed.draw(0);
                shape(mixed.draw(1))
            })
            .collect();
        assert_eq!(a, b);
    }

    #[test]
    fn values_are_unique_over_all_canaries_and_begin_at_one() {
        let mut all = HashSet::new();
        for canary in 0..3 {
            for value in calls(5, canary, 3000).iter().filter_map(written) {
                assert!(value > 0);
                assert!(all.insert(value), "{value} twice");
            }
        }
        assert!(all.contains(&1) && all.contains(&2_000_000_000_001));
        // What 999 canaries can write fits.
        assert!(i64::from(999) * VALUES_PER_CANARY < i64::MAX / 1000);
    }

    #[test]
    fn the_mix_and_the_keys_are_as_asked() {
        let spec = WorkloadSpec::default();
        let drawn = calls(3, 0, 6000);
        let share = |f: fn(&Call) -> bool| drawn.iter().filter(|c| f(c)).count() as f64 / 6000.0;
        let near = |a: f64, b: f64| (a - b).abs() < 0.03;
        assert!(near(
            share(|c| matches!(c, Call::Write { .. })),
            spec.writes + spec.inserts
        ));
        assert!(near(share(|c| matches!(c, Call::Cas { .. })), spec.cas));
        assert!(near(
            share(|c| matches!(c, Call::Read { strong: true, .. })),
            spec.strong_reads
        ));
        let (inserted, keys): (Vec<_>, Vec<_>) = drawn
            .iter()
            .map(|c| c.key().to_string())
            .partition(|k| k.starts_with(INSERT));
        assert!(near(inserted.len() as f64 / 6000.0, spec.inserts));
        let keys: HashSet<_> = keys.into_iter().collect();
        let all: HashSet<_> = Workload::new(&spec, 3, 0, 1).keys().collect();
        assert_eq!(keys, all);
        assert_eq!(all.len(), 60);
        assert!(all.contains("k00000") && all.contains("k00059"));
    }

    #[test]
    fn what_is_inserted_is_written_once_and_read_at_the_end() {
        let spec = WorkloadSpec::default();
        let mut w = Workload::new(&spec, 3, 7, 2);
        let mut inserted = HashSet::new();
        for i in 0..2000 {
            let call = w.draw(i % 2);
            if call.key().starts_with(INSERT) {
                assert!(matches!(call, Call::Write { .. }), "{call:?}");
                assert!(
                    inserted.insert(call.key().to_string()),
                    "written twice: {call:?}"
                );
            }
        }
        let read: Vec<_> = w.keys().collect();
        assert_eq!(read.len(), 60 + inserted.len());
        assert!(inserted.iter().all(|k| read.contains(k)));
        assert!(
            !inserted.contains(&insert_key(8, 0, 0)),
            "canaries insert different keys"
        );
    }

    #[test]
    fn a_share_of_zero_is_never_drawn() {
        let shares = [
            (Kind::Write, 0.0),
            (Kind::Cas, 0.4),
            (Kind::Strong, 0.6 - 1e-9),
            (Kind::Eventual, 0.0),
        ];
        assert_eq!(pick(&shares, 0.0), Kind::Cas);
        assert_eq!(pick(&shares, 0.4), Kind::Strong);
        assert_eq!(pick(&shares, unit(u64::MAX)), Kind::Strong);
        assert!(unit(u64::MAX) < 1.0);
        assert_eq!((below(0, 60), below(u64::MAX, 60)), (0, 59));
    }

    #[test]
    fn a_compare_and_set_expects_what_was_last_seen() {
        let spec = WorkloadSpec {
            writes: 0.0,
            inserts: 0.0,
            cas: 1.0,
            strong_reads: 0.0,
            eventual_reads: 0.0,
            keys: 1,
            ..WorkloadSpec::default()
        };
        let mut w = Workload::new(&spec, 0, 0, 1);
        let expected = |w: &mut Workload| match w.draw(0) {
            Call::Cas { expected, .. } => expected,
            other => panic!("{other:?}"),
        };
        let k = || "k00000".to_string();
        let read = |strong| Call::Read { key: k(), strong };
        let ok = |value| Outcome::Ok { value };
        assert_eq!(expected(&mut w), None);
        w.learn(&op(read(true), 10, ok(Some(7))));
        assert_eq!(expected(&mut w), Some(7));
        // An older answer that arrives later, an eventual read, a failure: nothing new.
        w.learn(&op(read(true), 9, ok(Some(6))));
        w.learn(&op(read(false), 11, ok(Some(5))));
        let failure = || Failure {
            class: ErrorClass::Timeout,
            message: String::new(),
        };
        let write = |value| Call::Write { key: k(), value };
        w.learn(&op(write(4), 12, Outcome::Unknown { failure: failure() }));
        assert_eq!(expected(&mut w), Some(7));
        w.learn(&op(write(3), 13, ok(None)));
        assert_eq!(expected(&mut w), Some(3));
        let cas = Call::Cas {
            key: k(),
            expected: Some(3),
            new: 2,
        };
        let found = |observed| Outcome::Failed {
            failure: failure(),
            observed,
        };
        w.learn(&op(cas.clone(), 14, found(None)));
        assert_eq!(expected(&mut w), Some(3));
        w.learn(&op(cas.clone(), 15, found(Some(Some(8)))));
        assert_eq!(expected(&mut w), Some(8));
        w.learn(&op(cas, 16, ok(None)));
        assert_eq!(expected(&mut w), Some(2));
    }
}
