//! Who calls what when, and what is to become of it.

use super::{Options, Random};
use gameday_record::operation::{Call, Operation, Outcome};
use gameday_record::time::Nanos;

/// An operation on its way: what it is, and when it takes effect.
pub(super) struct Planned {
    pub operation: Operation,
    /// Number of its key, among those of all tables.
    pub key: usize,
    /// When it takes effect; `None` for one that never does.
    pub point: Option<u64>,
    pub fate: Fate,
}

#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Fate {
    Answered,
    Unknown,
    Failed,
}

/// Mean time of one call, in simulated nanoseconds.
const CALL: u64 = 1_000_000;
/// What an addition adds at most.
const DELTA: u64 = 9;

/// Every operation, in the order in which they are drawn.
pub(super) fn plan(options: &Options, random: &mut Random) -> Vec<Planned> {
    let clients = options.clients.max(1) as usize;
    let mut next_process = clients as u64;
    let mut process: Vec<u64> = (0..clients as u64).collect();
    let mut now = vec![0u64; clients];
    let mut keys = Keys::new(options);
    let mut out = Vec::with_capacity(options.operations as usize);
    for n in 0..options.operations {
        let c = n as usize % clients;
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
        let (key, call) = keys.draw(i64::from(n) + 1, options, random);
        let mut p = Planned {
            operation: operation(process[c], call, start, finish),
            key,
            point: Some(point),
            fate,
        };
        p.operation.table = keys.all[key].table.clone();
        p.operation.az = az(c as u64);
        p.operation.endpoint = az(random.below(3));
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
        for (n, key) in (0u64..).zip(&keys.all) {
            let call = key.read(true);
            let mut operation = operation(next_process + n, call, end, end + CALL);
            operation.table = key.table.clone();
            operation.last = true;
            (operation.az, operation.endpoint) = (az(n), az(n));
            out.push(Planned {
                operation,
                key: n as usize,
                point: Some(end + CALL / 2),
                fate: Fate::Answered,
            });
        }
    }
    out
}

fn az(n: u64) -> String {
    ["a", "b", "c"][n as usize % 3].into()
}

fn operation(process: u64, call: Call, start: u64, finish: u64) -> Operation {
    Operation {
        index: 0,
        process,
        az: String::new(),
        endpoint: String::new(),
        call,
        due: Nanos(start),
        invoked: Nanos(start),
        returned: Some(Nanos(finish)),
        outcome: Outcome::Ok { value: None },
        last: false,
        table: String::new(),
        fresh: false,
        attempt: Default::default(),
    }
}

/// A key of one of the tables.
struct Key {
    table: String,
    name: String,
}

impl Key {
    fn read(&self, strong: bool) -> Call {
        let key = self.name.clone();
        Call::Read { key, strong }
    }
}

/// All keys: the registers of every table, the counters, then what is
/// inserted, in the order in which it is.
struct Keys {
    all: Vec<Key>,
    registers: usize,
    counters: usize,
    tables: u64,
}

impl Keys {
    fn new(options: &Options) -> Self {
        let tables = options.tables.max(1);
        let mut all = Vec::new();
        let mut add = |kind: &str| {
            for n in 0..options.keys.max(1) {
                for t in 0..tables {
                    all.push(Key {
                        table: table(u64::from(t), tables),
                        name: format!("{kind}-{n}"),
                    });
                }
            }
        };
        add("key");
        if options.adds > 0.0 {
            add("sum");
        }
        let registers = options.keys.max(1) as usize * tables as usize;
        Keys {
            registers,
            counters: all.len() - registers,
            all,
            tables: u64::from(tables),
        }
    }

    /// The next call, and the number of its key. `value` is written by nobody else.
    fn draw(&mut self, value: i64, options: &Options, random: &mut Random) -> (usize, Call) {
        let register = random.below(self.registers as u64) as usize;
        let counter = self.registers + random.below(self.counters as u64) as usize;
        let mut left = random.unit();
        let mut share = |share: f64| {
            left -= share;
            left < 0.0
        };
        let name = |keys: &Self, key: usize| keys.all[key].name.clone();
        if share(options.cas) {
            let call = Call::Cas {
                key: name(self, register),
                // What it expects is chosen when it takes effect.
                expected: None,
                new: value,
            };
            return (register, call);
        }
        if share(options.writes) {
            let key = name(self, register);
            return (register, Call::Write { key, value });
        }
        if share(options.inserts) {
            let name = format!("item-{value}");
            self.all.push(Key {
                table: table(random.below(self.tables), self.tables as u32),
                name: name.clone(),
            });
            return (self.all.len() - 1, Call::Insert { key: name, value });
        }
        if share(options.adds) && self.counters > 0 {
            let delta = 1 + random.below(DELTA) as i64;
            let grows = (counter - self.registers).is_multiple_of(2);
            let delta = if grows || random.chance(0.5) {
                delta
            } else {
                -delta
            };
            let key = name(self, counter);
            return (counter, Call::Add { key, delta });
        }
        let read = self.to_read((register, counter), options, random);
        (read, self.all[read].read(!random.chance(options.eventual)))
    }

    /// A key to be read.
    fn to_read(
        &self,
        (register, counter): (usize, usize),
        options: &Options,
        random: &mut Random,
    ) -> usize {
        let registers = options.cas + options.writes;
        let drawn = random.unit() * (registers + options.inserts + options.adds);
        let inserted = self.all.len() - self.registers - self.counters;
        if drawn < options.inserts && inserted > 0 {
            self.all.len() - 1 - random.below(inserted as u64) as usize
        } else if drawn >= options.inserts + registers && self.counters > 0 {
            counter
        } else {
            register
        }
    }
}

fn table(n: u64, of: u32) -> String {
    match of {
        1 => String::new(),
        _ => format!("table-{n}"),
    }
}
