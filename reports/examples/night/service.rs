//! A service in memory that is called as canaries call, with the shares of a
//! workload: every call has its effect at one instant between its invocation and its completion, so the
//! history is linearizable; an AZ that is away answers nobody.

use super::day::{Away, Day};
use super::random::Random;
use gameday_record::{Attempt, Call, ErrorClass, Failure, Nanos, Operation, Outcome, WorkloadSpec};
use std::cmp::Reverse;
use std::collections::{BinaryHeap, HashMap};
use std::time::Duration;

/// Process ids of canary `i` begin at `i` times this.
const PER_CANARY: u64 = 1_000_000_000;
/// For so long after an AZ went away nobody leads: writes and strong reads are lost.
const ELECTION: Duration = Duration::from_millis(1500);
/// Pause between a canary's final reads.
const FINAL_PAUSE: Duration = Duration::from_micros(200);

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Step {
    Invoke,
    Effect,
    Complete,
}

/// A call under way.
struct Flying {
    op: Operation,
    canary: usize,
    /// Number of its endpoint.
    endpoint: usize,
    ends: Nanos,
    /// How it ends if the service does not say; it has its effect only if there is an instant for it.
    fails: Option<Outcome>,
}

/// What was called, event by event.
pub struct Service<'a> {
    day: &'a Day,
    azs: &'a [String],
    timeout: Duration,
    period: Duration,
    spec: WorkloadSpec,
    random: Random,
    /// The next due call: its number among all.
    next: u64,
    away: usize,
    /// Keys that were inserted, by canary.
    inserted: Vec<Vec<String>>,
    /// Keys that are still to be read once more, by canary.
    finals: Vec<Vec<String>>,
    steps: BinaryHeap<Reverse<(Nanos, u32, Step)>>,
    flying: Vec<Option<Flying>>,
    free: Vec<u32>,
    /// By canary and endpoint: processes without a call.
    idle: Vec<Vec<u64>>,
    processes: Vec<u64>,
    items: HashMap<String, i64>,
    /// The call that was handed out as completed last.
    done: Option<Flying>,
}

impl<'a> Service<'a> {
    /// Called by a canary in each AZ through each endpoint.
    pub fn new(day: &'a Day, spec: &WorkloadSpec, azs: &'a [String], seed: u64) -> Self {
        Service {
            day,
            azs,
            timeout: Duration::from_millis(spec.timeout_ms),
            period: Duration::from_secs_f64(1.0 / spec.rate / (azs.len() * azs.len()) as f64),
            spec: spec.clone(),
            random: Random::new(seed),
            next: 0,
            away: 0,
            inserted: vec![Vec::new(); azs.len()],
            finals: Vec::new(),
            steps: BinaryHeap::new(),
            flying: Vec::new(),
            free: Vec::new(),
            idle: vec![Vec::new(); azs.len() * azs.len()],
            processes: (0..azs.len() as u64).map(|c| c * PER_CANARY).collect(),
            items: HashMap::new(),
            done: None,
        }
    }

    /// The next event: a call, and when it completed; not yet, if that is when it began.
    pub fn next(&mut self) -> Option<(&Operation, Option<Nanos>)> {
        loop {
            let due = self.day.baseline + mul(self.period, self.next);
            let steps_first = self.steps.peek().is_some_and(|Reverse((at, ..))| *at < due);
            if !steps_first && due < self.day.checks {
                self.call(due);
                continue;
            }
            let Some(Reverse((at, slot, step))) = self.steps.pop() else {
                if self.final_reads() {
                    continue;
                }
                return None;
            };
            match step {
                Step::Effect => self.effect(slot),
                Step::Invoke => {
                    let flying = self.flying[slot as usize].as_ref()?;
                    return Some((&flying.op, None));
                }
                Step::Complete => {
                    self.complete(slot);
                    return self.done.as_ref().map(|f| (&f.op, Some(at)));
                }
            }
        }
    }

    /// The next call of the schedule.
    fn call(&mut self, due: Nanos) {
        let n = self.azs.len() as u64;
        let pair = self.next % (n * n);
        self.next += 1;
        let (canary, endpoint) = ((pair / n) as usize, (pair % n) as usize);
        let call = self.draw(canary);
        let late = match self.random.below(10_000) {
            0 => 8_000,
            _ => 20 + self.random.below(180),
        };
        let invoked = due + Duration::from_micros(late);
        let fails = self.fate(canary, endpoint, &call, due);
        let takes = match &fails {
            Some((Outcome::Unknown { .. }, _)) => self.timeout,
            Some(_) => Duration::from_micros(300),
            None => self.latency(call.is_write()),
        };
        let has_effect = fails.as_ref().is_none_or(|f| f.1);
        let op = self.operation(canary, endpoint, call, due, invoked);
        self.fly(
            op,
            canary,
            endpoint,
            invoked + takes,
            fails.map(|f| f.0),
            has_effect,
        );
    }

    /// What is called; its value is the number of the call, which no other has.
    fn draw(&mut self, canary: usize) -> Call {
        let value = self.next as i64;
        let key = format!(
            "k{:05}",
            self.random.below(u64::from(self.spec.keys.max(1)))
        );
        let w = &self.spec;
        let mut left = self.random.below(1 << 20) as f64 / f64::from(1 << 20);
        for (share, n) in [
            (w.writes, 0),
            (w.inserts, 1),
            (w.cas, 2),
            (w.strong_reads, 3),
        ] {
            if left < share {
                return match n {
                    0 => Call::Write { key, value },
                    1 => {
                        let key = format!("i{canary}-{value:09}");
                        self.inserted[canary].push(key.clone());
                        Call::Insert { key, value }
                    }
                    2 => {
                        // What was there a moment ago often is no more: many are refused.
                        let expected = self.items.get(&key).copied();
                        Call::Cas {
                            key,
                            expected,
                            new: value,
                        }
                    }
                    _ => Call::Read { key, strong: true },
                };
            }
            left -= share;
        }
        Call::Read { key, strong: false }
    }

    /// How a call ends that the service cannot answer, and whether it has an effect all the same.
    fn fate(
        &mut self,
        canary: usize,
        endpoint: usize,
        call: &Call,
        due: Nanos,
    ) -> Option<(Outcome, bool)> {
        while self.day.away.get(self.away).is_some_and(|a| a.to <= due) {
            self.away += 1;
        }
        let Away { az, from, .. } = *self.day.away.get(self.away).filter(|a| a.from <= due)?;
        let gone = canary == az || endpoint == az;
        let leaderless =
            due.since(from) < ELECTION && !matches!(call, Call::Read { strong: false, .. });
        let of_ten = self.random.below(10);
        let failed = |class, message: &str| Outcome::Failed {
            failure: failure(class, message),
            observed: None,
        };
        match (gone, leaderless, of_ten) {
            (true, _, 0) | (false, true, 0..6) => {
                let failure = failure(ErrorClass::Timeout, "no answer in time");
                Some((Outcome::Unknown { failure }, of_ten.is_multiple_of(2)))
            }
            (true, ..) => Some((failed(ErrorClass::Refused, "connection refused"), false)),
            (false, true, _) => Some((failed(ErrorClass::Server, "503 no leader"), false)),
            (false, false, _) => None,
        }
    }

    fn latency(&mut self, write: bool) -> Duration {
        let (least, most) = if write { (2_000, 8_000) } else { (500, 3_000) };
        let tail = match self.random.below(100) {
            0 => 10,
            _ => 1,
        };
        Duration::from_nanos(
            tail * 1000 * (least + self.random.below(most - least)) + self.random.below(1000),
        )
    }

    fn operation(
        &mut self,
        canary: usize,
        endpoint: usize,
        call: Call,
        due: Nanos,
        invoked: Nanos,
    ) -> Operation {
        let process = self.idle[canary * self.azs.len() + endpoint].pop();
        Operation {
            index: 0,
            process: process.unwrap_or_else(|| {
                self.processes[canary] += 1;
                self.processes[canary] - 1
            }),
            az: self.azs[canary].clone(),
            endpoint: self.azs[endpoint].clone(),
            table: super::folder::TABLE.into(),
            call,
            due,
            invoked,
            returned: None,
            outcome: Outcome::Ok { value: None },
            last: false,
            fresh: false,
            attempt: Attempt::default(),
        }
    }

    fn fly(
        &mut self,
        op: Operation,
        canary: usize,
        endpoint: usize,
        ends: Nanos,
        fails: Option<Outcome>,
        has_effect: bool,
    ) {
        let slot = self.free.pop().unwrap_or_else(|| {
            self.flying.push(None);
            self.flying.len() as u32 - 1
        });
        let invoked = op.invoked;
        self.steps.push(Reverse((invoked, slot, Step::Invoke)));
        if has_effect {
            let at = invoked.0 + self.random.below(ends.0 - invoked.0);
            self.steps.push(Reverse((Nanos(at), slot, Step::Effect)));
        }
        self.steps.push(Reverse((ends, slot, Step::Complete)));
        self.flying[slot as usize] = Some(Flying {
            op,
            canary,
            endpoint,
            ends,
            fails,
        });
    }

    fn effect(&mut self, slot: u32) {
        let Some(flying) = &mut self.flying[slot as usize] else {
            return;
        };
        let items = &mut self.items;
        flying.op.outcome = match &flying.op.call {
            Call::Read { key, .. } => Outcome::Ok {
                value: items.get(key).copied(),
            },
            Call::Write { key, value } | Call::Insert { key, value } => {
                items.insert(key.clone(), *value);
                Outcome::Ok { value: None }
            }
            Call::Cas { key, expected, new } => {
                let found = items.get(key).copied();
                if found == *expected {
                    items.insert(key.clone(), *new);
                    Outcome::Ok { value: None }
                } else {
                    Outcome::Failed {
                        failure: failure(ErrorClass::Condition, ""),
                        observed: Some(found),
                    }
                }
            }
            Call::Add { key, delta } => {
                let sum = items.entry(key.clone()).or_default();
                *sum += delta;
                Outcome::Ok { value: Some(*sum) }
            }
        };
    }

    fn complete(&mut self, slot: u32) {
        self.free.push(slot);
        self.done = self.flying[slot as usize].take();
        let Some(flying) = &mut self.done else { return };
        if let Some(fails) = flying.fails.take() {
            flying.op.outcome = fails;
        }
        flying.op.returned = Some(flying.ends);
        if !matches!(flying.op.outcome, Outcome::Unknown { .. }) {
            let pair = flying.canary * self.azs.len() + flying.endpoint;
            self.idle[pair].push(flying.op.process);
        }
    }

    /// Every canary reads every key once more; false once that is done.
    fn final_reads(&mut self) -> bool {
        if self.finals.is_empty() {
            let registers = (0..self.spec.keys).map(|k| format!("k{k:05}"));
            self.finals = std::mem::take(&mut self.inserted);
            for keys in &mut self.finals {
                keys.extend(registers.clone());
            }
        }
        let after = |op: &Flying| op.ends + FINAL_PAUSE;
        let at = self
            .done
            .as_ref()
            .map_or(self.day.checks, after)
            .max(self.day.checks);
        let mut any = false;
        for canary in 0..self.finals.len() {
            let Some(key) = self.finals[canary].pop() else {
                continue;
            };
            any = true;
            let endpoint = self.finals[canary].len() % self.azs.len();
            let call = Call::Read { key, strong: true };
            let mut op = self.operation(canary, endpoint, call, at, at);
            op.last = true;
            let takes = self.latency(false);
            self.fly(op, canary, endpoint, at + takes, None, true);
        }
        any
    }
}

fn failure(class: ErrorClass, message: &str) -> Failure {
    Failure {
        class,
        message: message.into(),
    }
}

fn mul(d: Duration, n: u64) -> Duration {
    Duration::from_nanos(d.as_nanos() as u64 * n)
}
