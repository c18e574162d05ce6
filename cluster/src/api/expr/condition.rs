//! Conditions and filters: the tree and its evaluation.

use crate::api::expr::path::Path;
use crate::api::value::{AttributeValue, Item, Number};
use serde::{Deserialize, Serialize};
use std::borrow::Cow;
use std::cmp::Ordering;

/// A value in a condition.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Operand {
    /// What the item has at a path.
    Path(Path),
    /// A value of the request.
    Value(AttributeValue),
    /// `size(path)`.
    Size(Path),
}

/// A comparison operator.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Comparison {
    /// `=`
    Equal,
    /// `<>`
    NotEqual,
    /// `<`
    Less,
    /// `<=`
    LessOrEqual,
    /// `>`
    Greater,
    /// `>=`
    GreaterOrEqual,
}

/// A condition on an item.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Condition {
    /// All of them.
    And(Vec<Condition>),
    /// One of them.
    Or(Vec<Condition>),
    /// Not this.
    Not(Box<Condition>),
    /// `left op right`.
    Compare(Comparison, Operand, Operand),
    /// `value BETWEEN low AND high`, both included.
    Between(Operand, Operand, Operand),
    /// `value IN (…)`.
    In(Operand, Vec<Operand>),
    /// `attribute_exists(path)`.
    Exists(Path),
    /// `attribute_not_exists(path)`.
    NotExists(Path),
    /// `attribute_type(path, name)`.
    HasType(Path, String),
    /// `begins_with(value, prefix)`.
    BeginsWith(Operand, Operand),
    /// `contains(value, part)`.
    Contains(Operand, Operand),
}

impl Operand {
    fn resolve<'a>(&'a self, item: &'a Item) -> Option<Cow<'a, AttributeValue>> {
        match self {
            Self::Path(path) => path.get(item).map(Cow::Borrowed),
            Self::Value(value) => Some(Cow::Borrowed(value)),
            Self::Size(path) => {
                let size = measure(path.get(item)?)?;
                let number = Number::from(i64::try_from(size).ok()?);
                Some(Cow::Owned(AttributeValue::N(number)))
            }
        }
    }
}

/// `size()`: characters, bytes or elements; numbers, booleans and null have none.
fn measure(value: &AttributeValue) -> Option<usize> {
    match value {
        AttributeValue::S(text) => Some(text.encode_utf16().count()),
        AttributeValue::B(bytes) => Some(bytes.len()),
        AttributeValue::M(map) => Some(map.len()),
        AttributeValue::L(list) => Some(list.len()),
        AttributeValue::Ss(set) => Some(set.len()),
        AttributeValue::Ns(set) => Some(set.len()),
        AttributeValue::Bs(set) => Some(set.len()),
        AttributeValue::N(_) | AttributeValue::Bool(_) | AttributeValue::Null => None,
    }
}

impl Comparison {
    /// A comparison with something absent is false, except that absent is
    /// not equal to anything present.
    fn holds(self, left: Option<&AttributeValue>, right: Option<&AttributeValue>) -> bool {
        let (Some(left), Some(right)) = (left, right) else {
            return self == Self::NotEqual && left.is_some() != right.is_some();
        };
        match self {
            Self::Equal => left == right,
            Self::NotEqual => left != right,
            Self::Less => left.compare(right) == Some(Ordering::Less),
            Self::LessOrEqual => {
                matches!(left.compare(right), Some(Ordering::Less | Ordering::Equal))
            }
            Self::Greater => left.compare(right) == Some(Ordering::Greater),
            Self::GreaterOrEqual => {
                matches!(
                    left.compare(right),
                    Some(Ordering::Greater | Ordering::Equal)
                )
            }
        }
    }
}

impl Condition {
    /// Whether it holds for the item; an absent item is an empty one.
    pub fn holds(&self, item: &Item) -> bool {
        match self {
            Self::And(parts) => parts.iter().all(|part| part.holds(item)),
            Self::Or(parts) => parts.iter().any(|part| part.holds(item)),
            Self::Not(part) => !part.holds(item),
            Self::Compare(op, left, right) => {
                let (left, right) = (left.resolve(item), right.resolve(item));
                op.holds(left.as_deref(), right.as_deref())
            }
            Self::Between(value, low, high) => {
                let value = value.resolve(item);
                let (low, high) = (low.resolve(item), high.resolve(item));
                Comparison::GreaterOrEqual.holds(value.as_deref(), low.as_deref())
                    && Comparison::LessOrEqual.holds(value.as_deref(), high.as_deref())
            }
            Self::In(value, list) => {
                let value = value.resolve(item);
                list.iter().any(|one| {
                    Comparison::Equal.holds(value.as_deref(), one.resolve(item).as_deref())
                })
            }
            Self::Exists(path) => path.get(item).is_some(),
            Self::NotExists(path) => path.get(item).is_none(),
            Self::HasType(path, name) => path.get(item).is_some_and(|v| v.type_name() == name),
            Self::BeginsWith(value, prefix) => {
                match (
                    value.resolve(item).as_deref(),
                    prefix.resolve(item).as_deref(),
                ) {
                    (Some(AttributeValue::S(v)), Some(AttributeValue::S(p))) => v.starts_with(p),
                    (Some(AttributeValue::B(v)), Some(AttributeValue::B(p))) => v.starts_with(p),
                    _ => false,
                }
            }
            Self::Contains(value, part) => {
                match (
                    value.resolve(item).as_deref(),
                    part.resolve(item).as_deref(),
                ) {
                    (Some(value), Some(part)) => contains(value, part),
                    _ => false,
                }
            }
        }
    }
}

fn contains(value: &AttributeValue, part: &AttributeValue) -> bool {
    match (value, part) {
        (AttributeValue::S(v), AttributeValue::S(p)) => v.contains(p.as_str()),
        (AttributeValue::B(v), AttributeValue::B(p)) => {
            p.is_empty() || v.windows(p.len()).any(|window| window == p)
        }
        (AttributeValue::L(list), part) => list.contains(part),
        (AttributeValue::Ss(set), AttributeValue::S(p)) => set.contains(p),
        (AttributeValue::Ns(set), AttributeValue::N(p)) => set.contains(p),
        (AttributeValue::Bs(set), AttributeValue::B(p)) => set.contains(p),
        _ => false,
    }
}
