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
    pub fn subset_of(&self, other: &Self) -> bool {
        self.0.iter().zip(&other.0).all(|(a, b)| a & !b == 0)
    }
}

/// What has taken effect at a point of the history: certain open operations,
/// unknown ones, the state.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Configuration<const W: usize> {
    /// How many operations have returned.
    pub point: u32,
    pub state: u32,
    pub done: Mask<W>,
    pub used: Mask<W>,
}

/// Configurations of which none dominates another.
#[derive(Debug)]
pub(super) struct Antichains<const W: usize> {
    pub map: HashMap<(u32, u32, Mask<W>), Vec<Mask<W>>>,
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
        match self.map.entry((c.point, c.state, c.done)) {
            Entry::Vacant(e) => {
                e.insert(vec![c.used]);
            }
            Entry::Occupied(mut e) => {
                let sets = e.get_mut();
                if sets.iter().any(|s| s.subset_of(&c.used)) {
                    return false;
                }
                let before = sets.len();
                sets.retain(|s| !c.used.subset_of(s));
                self.len -= before - sets.len();
                sets.push(c.used);
            }
        }
        self.len += 1;
        true
    }

    pub fn holds(&self, c: &Configuration<W>) -> bool {
        self.map
            .get(&(c.point, c.state, c.done))
            .is_some_and(|sets| sets.contains(&c.used))
    }

    pub fn clear(&mut self) {
        self.map.clear();
        self.len = 0;
    }
}
