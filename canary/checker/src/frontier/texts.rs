//! Texts that grow, as numbers: equal texts have equal numbers, and what
//! appending leads to is computed once.

use crate::intern::Interner;
use hashbrown::HashMap;

/// The texts that a search has met.
#[derive(Debug, Default)]
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

    /// The text `state` with `part` at its end.
    pub fn append(&mut self, state: u32, part: u32) -> u32 {
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

    /// About what is held.
    pub fn bytes(&self) -> usize {
        self.bytes + self.known.len() * 32 + self.longer.len() * 24
    }
}
