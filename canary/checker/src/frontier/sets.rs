//! What the search holds: sets of slots, and the smallest of them.

use hashbrown::HashMap;
use hashbrown::hash_map::Entry;

/// A set of slots.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct Mask<const W: usize>([u64; W]);

impl<const W: usize> Mask<W> {
    pub const EMPTY: Self = Mask([0; W]);

    pub fn has(&self, slot: u32) -> bool {
        self.0[slot as usize / 64] >> (slot % 64) & 1 == 1
    }
    pub fn insert(&mut self, slot: u32) {
        self.0[slot as usize / 64] |= 1 << (slot % 64);
    }
    pub fn remove(&mut self, slot: u32) {
        self.0[slot as usize / 64] &= !(1 << (slot % 64));
    }
    pub fn count(&self) -> usize {
        self.0.iter().map(|w| w.count_ones() as usize).sum()
    }
    pub fn include(&mut self, other: &Self) {
        for (a, b) in self.0.iter_mut().zip(&other.0) {
            *a |= b;
        }
    }
    pub fn subset_of(&self, other: &Self) -> bool {
        self.0.iter().zip(&other.0).all(|(a, b)| a & !b == 0)
    }
}

/// What has become of the open operations at a point of the history, and the
/// state.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Configuration<const W: usize> {
    /// How many operations have returned.
    pub point: u32,
    pub state: u32,
    /// Those of known outcome that may return: they took effect, or can be said
    /// to have done so where nobody saw it.
    pub met: Mask<W>,
    /// Writes among them that took effect where it was seen.
    pub spent: Mask<W>,
    /// Changes among them, which take effect where they are seen or not at all.
    pub changed: Mask<W>,
    /// Those of unknown outcome that did.
    pub used: Mask<W>,
}

impl<const W: usize> Configuration<W> {
    /// At the beginning of the history.
    pub fn first(state: u32) -> Self {
        Configuration {
            point: 0,
            state,
            met: Mask::EMPTY,
            spent: Mask::EMPTY,
            changed: Mask::EMPTY,
            used: Mask::EMPTY,
        }
    }

    /// An operation with this slot returns.
    pub fn release(&mut self, slot: u32) {
        self.met.remove(slot);
        self.spent.remove(slot);
        self.changed.remove(slot);
    }

    /// Whether the operation with this slot took effect where it was seen.
    pub fn took(&self, slot: u32) -> bool {
        self.spent.has(slot) || self.changed.has(slot) || self.used.has(slot)
    }

    /// Whether it can do all that the other can, at the same point, in the same
    /// state and after the same changes: it owes less, and has more left.
    fn dominates(&self, other: &Self) -> bool {
        other.met.subset_of(&self.met)
            && self.spent.subset_of(&other.spent)
            && self.used.subset_of(&other.used)
    }
}

/// Configurations of which none dominates another.
#[derive(Debug)]
pub(super) struct Antichains<const W: usize> {
    map: HashMap<(u32, u32, Mask<W>), Vec<Configuration<W>>>,
    pub len: usize,
}

impl<const W: usize> Antichains<W> {
    pub fn new() -> Self {
        Antichains {
            map: HashMap::new(),
            len: 0,
        }
    }

    /// False if a stored one dominates it; removes those that it dominates.
    pub fn insert(&mut self, c: &Configuration<W>) -> bool {
        match self.map.entry((c.point, c.state, c.changed)) {
            Entry::Vacant(e) => {
                e.insert(vec![*c]);
            }
            Entry::Occupied(mut e) => {
                let all = e.get_mut();
                if all.iter().any(|other| other.dominates(c)) {
                    return false;
                }
                let before = all.len();
                all.retain(|other| !c.dominates(other));
                self.len -= before - all.len();
                all.push(*c);
            }
        }
        self.len += 1;
        true
    }

    pub fn holds(&self, c: &Configuration<W>) -> bool {
        self.map
            .get(&(c.point, c.state, c.changed))
            .is_some_and(|all| all.contains(c))
    }

    /// Takes all out.
    pub fn drain(&mut self) -> impl Iterator<Item = Configuration<W>> {
        self.len = 0;
        self.map.drain().flat_map(|(_, all)| all)
    }

    pub fn clear(&mut self) {
        self.map.clear();
        self.len = 0;
    }
}
