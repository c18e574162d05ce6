//! Histories that no canary makes: texts that grow, and registers whose values
//! repeat; legal, or with one answer that is not.

use super::Random;
use crate::log::{Act, Effect, Full, Log, Push};

/// What each key holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Keys {
    /// A text: of ten calls five get it, four append to it, one replaces it.
    /// No part is written twice.
    Texts,
    /// A register, whose values are drawn from so many.
    Registers(u64),
}

/// What to generate. The same gives the same history.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Calls {
    /// Seed of everything that is drawn.
    pub seed: u64,
    /// What keys hold.
    pub keys_hold: Keys,
    /// Keys, at least 1.
    pub keys: u64,
    /// Clients that call at the same time, at least 1.
    pub clients: u64,
    /// Operations.
    pub operations: u64,
    /// Whether the last read of the first key finds what was there long before.
    pub broken: bool,
}

/// Longest duration of a call.
const LONGEST: u64 = 1_000;

/// What a call does: it reads, or writes this part or value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum What {
    Read,
    Put,
    Append,
}

struct Call {
    start: u64,
    effect: u64,
    finish: u64,
    client: u64,
    key: usize,
    what: What,
}

/// Makes a history of calls that all end: `clients` of them at any time, each
/// taking effect at a drawn moment between its start and its end.
///
/// # Errors
/// More operations than a log can hold.
///
/// ```
/// use gameday_checker::generate::{Calls, Keys, calls};
/// use gameday_checker::{Options, check};
/// use gameday_record::Verdict;
/// let all = Calls { seed: 1, keys_hold: Keys::Texts, keys: 3, clients: 5, operations: 300, broken: true };
/// assert_eq!(check(&calls(&all)?, &Options::default())[0].verdict, Verdict::Fail);
/// # Ok::<(), gameday_checker::log::Full>(())
/// ```
pub fn calls(of: &Calls) -> Result<Log, Full> {
    let mut r = Random::new(of.seed);
    let mut all: Vec<Call> = Vec::new();
    let mut free: Vec<u64> = (0..of.clients.max(1)).map(|_| r.below(LONGEST)).collect();
    for _ in 0..of.operations {
        let client = (0..free.len()).min_by_key(|c| free[*c]).unwrap_or_default();
        let start = free[client] + 1 + r.below(LONGEST / 10);
        let effect = start + r.below(LONGEST / 2);
        let finish = effect + r.below(LONGEST / 2);
        free[client] = finish;
        all.push(Call {
            start,
            effect,
            finish,
            client: client as u64,
            key: r.below(of.keys.max(1)) as usize,
            what: match r.below(10) {
                0..5 => What::Read,
                5..9 => What::Append,
                _ => What::Put,
            },
        });
    }
    all.sort_by_key(|c| c.effect);
    // What is written to the first key and found there long after: a value
    // that no other call writes.
    let first = |c: &Call| c.key == 0;
    let old = all.iter().position(|c| first(c) && c.what != What::Read);
    let last = all.iter().rposition(|c| first(c) && c.what == What::Read);
    let stale = |i: usize| of.broken && Some(i) == last;
    let mut log = Log::default();
    let mut texts = vec![String::new(); of.keys.max(1) as usize];
    let mut values: Vec<Option<i64>> = vec![None; texts.len()];
    let mut first_text = String::new();
    for (i, c) in all.iter().enumerate() {
        let part = format!("x {} {i} y", c.client);
        let value = match (of.keys_hold, Some(i) == old) {
            (Keys::Registers(n), false) => r.below(n) as i64,
            (_, true) => -1,
            (Keys::Texts, false) => 0,
        };
        let found = match stale(i) {
            true => Some(-1),
            false => values[c.key],
        };
        let text = &mut texts[c.key];
        match c.what {
            What::Read => {}
            What::Put => part.clone_into(text),
            What::Append => text.push_str(&part),
        }
        if Some(i) == old {
            text.clone_into(&mut first_text);
        }
        if c.what != What::Read {
            values[c.key] = Some(value);
        }
        let shown = if stale(i) { &first_text } else { &texts[c.key] };
        let act = match (of.keys_hold, c.what) {
            (Keys::Texts, What::Read) => Act::Get(shown),
            (Keys::Texts, What::Put) => Act::Put(&part),
            (Keys::Texts, What::Append) => Act::Append(&part),
            (Keys::Registers(_), What::Read) => Act::Read {
                strong: true,
                found,
            },
            (Keys::Registers(_), _) => Act::Write(value),
        };
        log.push(&Push {
            index: i as u64,
            process: c.client,
            az: "",
            endpoint: "",
            table: "",
            key: &format!("key-{}", c.key),
            start: c.start,
            finish: Some(c.finish),
            effect: Effect::Ok,
            act,
            last: false,
        })?;
    }
    Ok(log)
}
