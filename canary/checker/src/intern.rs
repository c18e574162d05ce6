//! Strings kept once, as numbers.

use hashbrown::{DefaultHashBuilder, HashTable};
use std::hash::BuildHasher;

/// Different strings, numbered in the order of their first use. A tag tells
/// equal strings of different kinds apart (keys of different tables).
#[derive(Clone, Debug, Default)]
pub(crate) struct Interner {
    text: String,
    /// Where each string ends in `text`, and its tag.
    strings: Vec<(u32, usize)>,
    table: HashTable<u32>,
    hasher: DefaultHashBuilder,
}

impl Interner {
    /// The number of a string; `None` if there are more than fit.
    pub fn intern(&mut self, tag: u32, s: &str) -> Option<u32> {
        let hash = self.hasher.hash_one((tag, s));
        let found = self.table.find(hash, |id| {
            self.strings[*id as usize].0 == tag && self.get(*id) == s
        });
        if let Some(id) = found {
            return Some(*id);
        }
        let id = u32::try_from(self.strings.len())
            .ok()
            .filter(|id| *id != u32::MAX)?;
        self.text.push_str(s);
        self.strings.push((tag, self.text.len()));
        let Interner {
            text,
            strings,
            hasher,
            ..
        } = self;
        self.table.insert_unique(hash, id, |id| {
            let (tag, end) = strings[*id as usize];
            hasher.hash_one((tag, &text[begin(strings, *id)..end]))
        });
        Some(id)
    }

    /// The string with this number.
    pub fn get(&self, id: u32) -> &str {
        &self.text[begin(&self.strings, id)..self.strings[id as usize].1]
    }

    /// Its tag.
    pub fn tag(&self, id: u32) -> u32 {
        self.strings[id as usize].0
    }

    /// How many different ones there are.
    pub fn len(&self) -> usize {
        self.strings.len()
    }
}

fn begin(strings: &[(u32, usize)], id: u32) -> usize {
    match id {
        0 => 0,
        id => strings[id as usize - 1].1,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn equal_strings_have_one_number_for_each_tag() {
        let mut i = Interner::default();
        for n in 0..1000 {
            assert_eq!(i.intern(n % 2, &format!("k{}", n / 2)), Some(n));
        }
        for n in 0..1000 {
            assert_eq!(i.intern(n % 2, &format!("k{}", n / 2)), Some(n));
            assert_eq!(i.get(n), format!("k{}", n / 2));
            assert_eq!(i.tag(n), n % 2);
        }
        assert_eq!(i.len(), 1000);
        assert_eq!(i.intern(0, ""), Some(1000));
        assert_eq!(i.get(1000), "");
    }
}
