//! States that grow, as numbers: equal states have equal numbers. Those of
//! registers are known beforehand; texts get longer and counters count.

use crate::intern::Interner;
use hashbrown::HashMap;

/// The states that a search has met.
#[derive(Clone, Debug, Default)]
pub(super) enum States {
    /// Values that are only replaced.
    #[default]
    Values,
    Texts(Texts),
    Sums(Sums),
}

impl States {
    /// The state with `part` at its end, or added.
    pub fn grow(&mut self, state: u32, part: u32) -> u32 {
        match self {
            States::Values => state,
            States::Texts(texts) => texts.append(state, part),
            States::Sums(sums) => sums.add(state, part),
        }
    }

    /// About what is held.
    pub fn bytes(&self) -> usize {
        match self {
            States::Values => 0,
            States::Texts(texts) => texts.bytes(),
            States::Sums(sums) => sums.values.len() * 64,
        }
    }
}

/// Texts by their numbers; what appending leads to is computed once.
#[derive(Clone, Debug, Default)]
pub(super) struct Texts {
    known: Interner,
    longer: HashMap<(u32, u32), u32>,
    buffer: String,
    /// Bytes of all texts.
    bytes: usize,
}

impl Texts {
    /// The number of a text. There are never more than fit: the search holds
    /// far more memory for each than its budget has by then.
    pub fn number(&mut self, s: &str) -> u32 {
        let before = self.known.len();
        let id = self.known.intern(0, s).unwrap_or(u32::MAX);
        if self.known.len() > before {
            self.bytes += s.len();
        }
        id
    }

    fn append(&mut self, state: u32, part: u32) -> u32 {
        if let Some(id) = self.longer.get(&(state, part)) {
            return *id;
        }
        let mut whole = std::mem::take(&mut self.buffer);
        whole.clear();
        whole.push_str(self.known.get(state));
        whole.push_str(self.known.get(part));
        let id = self.number(&whole);
        self.buffer = whole;
        self.longer.insert((state, part), id);
        id
    }

    fn bytes(&self) -> usize {
        self.bytes + self.known.len() * 32 + self.longer.len() * 24
    }
}

/// Sums by their numbers.
#[derive(Clone, Debug, Default)]
pub(super) struct Sums {
    numbers: HashMap<i128, u32>,
    values: Vec<i128>,
}

impl Sums {
    /// The number of a sum, or of what is added.
    pub fn number(&mut self, sum: i128) -> u32 {
        *self.numbers.entry(sum).or_insert_with(|| {
            self.values.push(sum);
            self.values.len() as u32 - 1
        })
    }

    fn add(&mut self, state: u32, part: u32) -> u32 {
        self.number(self.values[state as usize] + self.values[part as usize])
    }
}
