//! Attribute values and items: types, order, size and limits.

pub use crate::api::number::{Number, NumberError};
use serde::{Deserialize, Serialize};
use std::cmp::Ordering;
use std::collections::{BTreeMap, BTreeSet};

/// Largest item, attribute names included, in bytes.
pub const MAX_ITEM_SIZE: usize = 400 * 1024;
/// Deepest nesting of maps and lists in an attribute.
pub const MAX_NESTING: usize = 32;
/// Longest attribute name, in bytes.
pub const MAX_NAME: usize = 65_535;

/// Types that a key attribute can have.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum KeyType {
    /// String.
    S,
    /// Number.
    N,
    /// Binary.
    B,
}

impl KeyType {
    /// The type's name on the wire.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::S => "S",
            Self::N => "N",
            Self::B => "B",
        }
    }

    /// Whether the value has this type.
    pub fn fits(self, value: &AttributeValue) -> bool {
        self.as_str() == value.type_name()
    }
}

/// One attribute value.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum AttributeValue {
    /// String.
    S(String),
    /// Number.
    N(Number),
    /// Binary.
    B(Vec<u8>),
    /// Boolean.
    Bool(bool),
    /// Null.
    Null,
    /// Map.
    M(BTreeMap<String, AttributeValue>),
    /// List.
    L(Vec<AttributeValue>),
    /// String set.
    Ss(BTreeSet<String>),
    /// Number set.
    Ns(BTreeSet<Number>),
    /// Binary set.
    Bs(BTreeSet<Vec<u8>>),
}

impl AttributeValue {
    /// The type's name on the wire.
    pub fn type_name(&self) -> &'static str {
        match self {
            Self::S(_) => "S",
            Self::N(_) => "N",
            Self::B(_) => "B",
            Self::Bool(_) => "BOOL",
            Self::Null => "NULL",
            Self::M(_) => "M",
            Self::L(_) => "L",
            Self::Ss(_) => "SS",
            Self::Ns(_) => "NS",
            Self::Bs(_) => "BS",
        }
    }

    /// Size in bytes as it counts for limits and capacity.
    pub fn size(&self) -> usize {
        match self {
            Self::S(text) => text.len(),
            Self::N(number) => number.size(),
            Self::B(bytes) => bytes.len(),
            Self::Bool(_) | Self::Null => 1,
            Self::M(map) => {
                3 + map
                    .iter()
                    .map(|(k, v)| k.len() + v.size() + 1)
                    .sum::<usize>()
            }
            Self::L(list) => 3 + list.iter().map(|v| v.size() + 1).sum::<usize>(),
            Self::Ss(set) => set.iter().map(String::len).sum(),
            Self::Ns(set) => set.iter().map(Number::size).sum(),
            Self::Bs(set) => set.iter().map(Vec::len).sum(),
        }
    }

    /// Levels of maps and lists, 0 for a scalar or a set.
    pub fn nesting(&self) -> usize {
        match self {
            Self::M(map) => 1 + map.values().map(Self::nesting).max().unwrap_or(0),
            Self::L(list) => 1 + list.iter().map(Self::nesting).max().unwrap_or(0),
            _ => 0,
        }
    }

    /// Order of two values, for values that have one: strings by UTF-8 bytes,
    /// numbers by value, binaries by unsigned bytes; `None` across types.
    pub fn compare(&self, other: &Self) -> Option<Ordering> {
        match (self, other) {
            (Self::S(a), Self::S(b)) => Some(a.as_bytes().cmp(b.as_bytes())),
            (Self::N(a), Self::N(b)) => Some(a.cmp(b)),
            (Self::B(a), Self::B(b)) => Some(a.cmp(b)),
            _ => None,
        }
    }
}

/// An item: attributes by name.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Item(pub BTreeMap<String, AttributeValue>);

impl Item {
    /// Size in bytes as it counts for limits and capacity: names and values.
    pub fn size(&self) -> usize {
        self.0.iter().map(|(k, v)| k.len() + v.size()).sum()
    }

    /// Deepest nesting of any attribute.
    pub fn nesting(&self) -> usize {
        self.0
            .values()
            .map(AttributeValue::nesting)
            .max()
            .unwrap_or(0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_follow_the_documented_rules() {
        let s = |text: &str| AttributeValue::S(text.into());
        assert_eq!(s("héé").size(), 5);
        assert_eq!(AttributeValue::Null.size(), 1);
        assert_eq!(AttributeValue::B(vec![0; 7]).size(), 7);
        assert_eq!(AttributeValue::L(vec![]).size(), 3);
        assert_eq!(AttributeValue::L(vec![s("ab"), s("c")]).size(), 3 + 3 + 2);
        let map = AttributeValue::M([("k".to_owned(), s("vv"))].into());
        assert_eq!(map.size(), 3 + 1 + 2 + 1);
        assert_eq!(Item([("name".to_owned(), map)].into()).size(), 4 + 7);
    }

    #[test]
    fn nesting_counts_maps_and_lists() {
        let mut value = AttributeValue::Null;
        for depth in 0..40 {
            assert_eq!(value.nesting(), depth);
            value = AttributeValue::L(vec![value]);
        }
    }

    #[test]
    fn order_only_within_a_type() {
        let n = |v: i64| AttributeValue::N(v.into());
        assert_eq!(n(9).compare(&n(10)), Some(Ordering::Less));
        assert_eq!(n(9).compare(&AttributeValue::S("9".into())), None);
        assert_eq!(AttributeValue::Null.compare(&AttributeValue::Null), None);
    }
}
