//! Legal histories from a seed.
//!
//! A linearizable register for each key is simulated: every operation takes
//! effect at one instant between its start and its end, its result is what
//! the register holds at that instant. Operations of unknown outcome take
//! effect then, much later, or never. So [`crate::check`] must pass what comes
//! out, and whatever it fails after a change was made by the change.

use gameday_record::history::{HISTORY_VERSION, History, HistoryHeader};
use gameday_record::operation::{Call, ErrorClass, Failure, Operation, Outcome};
use gameday_record::time::Nanos;

/// What to generate. The same options give the same history.
#[derive(Clone, Debug, PartialEq)]
pub struct Options {
    /// Seed of everything that is drawn.
    pub seed: u64,
    /// Number of keys, at least 1.
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
    /// Share of plain writes, 0 to 1. The rest is reads.
    pub writes: f64,
    /// Share of the reads that are eventually consistent, 0 to 1.
    pub eventual: f64,
    /// Whether every key is read once more in the end.
    pub final_reads: bool,
}

impl Default for Options {
    fn default() -> Self {
        Options {
            seed: 1,
            keys: 4,
            clients: 5,
            operations: 1000,
            unknown: 0.02,
            failed: 0.02,
            cas: 0.2,
            writes: 0.3,
            eventual: 0.2,
            final_reads: true,
        }
    }
}

/// Deterministic pseudo-random numbers: Sebastiano Vigna's splitmix64.
#[derive(Clone, Debug)]
pub struct Random(u64);

impl Random {
    /// Starts at a seed.
    pub fn new(seed: u64) -> Self {
        Random(seed)
    }

    /// The next 64 bits.
    pub fn next_u64(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// A number below `n`; 0 if `n` is 0. The bias is below n / 2^64.
    pub fn below(&mut self, n: u64) -> u64 {
        ((u128::from(self.next_u64()) * u128::from(n)) >> 64) as u64
    }

    /// True with this probability.
    pub fn chance(&mut self, p: f64) -> bool {
        ((self.next_u64() >> 11) as f64) < p * (1u64 << 53) as f64
    }
}

/// An operation on its way: what it is, and when it takes effect.
struct Planned {
    operation: Operation,
    key: usize,
    /// When it takes effect; `None` for one that never does.
    point: Option<u64>,
    fate: Fate,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Fate {
    Answered,
    Unknown,
    Failed,
}

/// Generates a legal history.
pub fn history(options: &Options) -> History {
    let mut random = Random::new(options.seed);
    let mut planned = plan(options, &mut random);
    take_effect(&mut planned, options, &mut random);
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
        },
        operations,
        complete: true,
    }
}

/// Mean time of one call, in simulated nanoseconds.
const CALL: u64 = 1_000_000;

fn plan(options: &Options, random: &mut Random) -> Vec<Planned> {
    let clients = options.clients.max(1) as usize;
    let keys = u64::from(options.keys.max(1));
    let mut next_process = clients as u64;
    let mut process: Vec<u64> = (0..clients as u64).collect();
    let mut now = vec![0u64; clients];
    let mut out = Vec::with_capacity(options.operations as usize);
    for n in 0..options.operations {
        let c = n as usize % clients;
        let key = random.below(keys) as usize;
        let start = now[c] + random.below(CALL / 2);
        let point = start + random.below(CALL);
        let finish = point + random.below(CALL);
        now[c] = finish + 1;
        let fate = if random.chance(options.unknown) {
            Fate::Unknown
        } else if random.chance(options.failed) {
            Fate::Failed
        } else {
            Fate::Answered
        };
        let mut p = Planned {
            operation: Operation {
                index: 0,
                process: process[c],
                az: az(c as u64),
                endpoint: az(random.below(3)),
                call: Call::Read {
                    key: format!("key-{key}"),
                    strong: true,
                },
                due: Nanos(start),
                invoked: Nanos(start),
                returned: Some(Nanos(finish)),
                outcome: Outcome::Ok { value: None },
                last: false,
                table: String::new(),
                fresh: false,
                attempt: Default::default(),
            },
            key,
            point: Some(point),
            fate,
        };
        draw_call(&mut p.operation, i64::from(n) + 1, options, random);
        match fate {
            Fate::Answered => {}
            Fate::Failed => p.point = None,
            Fate::Unknown => {
                process[c] = next_process;
                next_process += 1;
                if random.chance(0.3) {
                    p.operation.returned = None;
                }
                p.point = match random.below(3) {
                    0 => Some(point),
                    1 => Some(start + random.below(50 * CALL)),
                    _ => None,
                };
            }
        }
        out.push(p);
    }
    if options.final_reads {
        // Later than anything that may still take effect.
        let end = now.iter().max().copied().unwrap_or(0) + 60 * CALL;
        for key in 0..keys {
            out.push(final_read(key, next_process + key, end));
        }
    }
    out
}

fn az(n: u64) -> String {
    ["a", "b", "c"][n as usize % 3].into()
}

fn draw_call(op: &mut Operation, value: i64, options: &Options, random: &mut Random) {
    let key = op.call.key().to_string();
    op.call = if random.chance(options.cas) {
        // What it expects is chosen when it takes effect.
        Call::Cas {
            key,
            expected: None,
            new: value,
        }
    } else if random.chance(options.writes / (1.0 - options.cas).max(f64::EPSILON)) {
        Call::Write { key, value }
    } else {
        let strong = !random.chance(options.eventual);
        Call::Read { key, strong }
    };
}

fn final_read(key: u64, process: u64, at: u64) -> Planned {
    Planned {
        operation: Operation {
            index: 0,
            process,
            az: az(key),
            endpoint: az(key),
            call: Call::Read {
                key: format!("key-{key}"),
                strong: true,
            },
            due: Nanos(at),
            invoked: Nanos(at),
            returned: Some(Nanos(at + CALL)),
            outcome: Outcome::Ok { value: None },
            last: true,
            table: String::new(),
            fresh: false,
            attempt: Default::default(),
        },
        key: key as usize,
        point: Some(at + CALL / 2),
        fate: Fate::Answered,
    }
}

/// Lets everything happen in order of its instant, and writes the results down.
fn take_effect(planned: &mut [Planned], options: &Options, random: &mut Random) {
    let mut order: Vec<(u64, usize)> = planned
        .iter()
        .enumerate()
        .map(|(i, p)| (p.point.unwrap_or(p.operation.invoked.0), i))
        .collect();
    order.sort_unstable();
    // What each key held, from the beginning: an eventual read finds any of it.
    let mut past: Vec<Vec<Option<i64>>> = vec![vec![None]; options.keys.max(1) as usize];
    for (_, i) in order {
        let p = &mut planned[i];
        let past = &mut past[p.key];
        let now = past[past.len() - 1];
        let older = past[random.below(past.len() as u64) as usize];
        let happens = p.point.is_some();
        let mut observed = None;
        let mut value = None;
        match &mut p.operation.call {
            Call::Read { strong: true, .. } => value = now,
            Call::Read { strong: false, .. } => value = older,
            Call::Write { value, .. } | Call::Insert { value, .. } if happens => {
                past.push(Some(*value));
            }
            Call::Write { .. } | Call::Insert { .. } | Call::Add { .. } => {}
            Call::Cas { expected, new, .. } => {
                *expected = if random.chance(0.5) { now } else { older };
                if *expected != now {
                    observed = Some(now);
                } else if happens {
                    past.push(Some(*new));
                }
            }
        }
        p.operation.outcome = outcome(p.fate, value, observed);
    }
}

fn outcome(fate: Fate, value: Option<i64>, observed: Option<Option<i64>>) -> Outcome {
    let failure = |class| Failure {
        class,
        message: String::new(),
    };
    match (fate, observed) {
        (Fate::Answered, None) => Outcome::Ok { value },
        (Fate::Answered, Some(_)) => Outcome::Failed {
            failure: failure(ErrorClass::Condition),
            observed,
        },
        (Fate::Failed, _) => Outcome::Failed {
            failure: failure(ErrorClass::Refused),
            observed: None,
        },
        (Fate::Unknown, _) => Outcome::Unknown {
            failure: failure(ErrorClass::Timeout),
        },
    }
}
