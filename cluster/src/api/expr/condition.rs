//! Conditions and filters: as they are replicated, and their evaluation.

use super::compare::{contains, equal, order};
use super::path::Path;
use super::work::{NODE, TooMuchWork, Work};
use crate::api::value::{AttributeValue, Item, Number};
use serde::{Deserialize, Serialize};
use std::borrow::Cow;
use std::cmp::Ordering;

/// A value in a condition.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Operand {
    /// What the item has at a path.
    Path(Path),
    /// The value of the request that has this number.
    Value(u32),
    /// `size(…)` of a path or a value.
    Size(Box<Operand>),
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

/// What a condition asks about an item, without AND, OR and NOT.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Test {
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
    /// `attribute_type(value, name)`.
    HasType(Operand, String),
    /// `begins_with(value, prefix)`.
    BeginsWith(Operand, Operand),
    /// `contains(value, part)`.
    Contains(Operand, Operand),
}

/// One instruction of a [`Condition`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Instruction {
    /// The result is the test's.
    Test(Test),
    /// The result turns round.
    Not,
    /// If the result is true, as many instructions are left out: OR.
    OrElse(u32),
    /// If the result is false, as many instructions are left out: AND.
    AndThen(u32),
}

/// A condition on an item: instructions that go forward only, in place of a
/// tree, so that no depth of nesting needs a stack, neither here nor where it is
/// parsed, encoded, decoded and dropped.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Condition(pub(super) Vec<Instruction>);

impl From<Test> for Condition {
    fn from(test: Test) -> Self {
        Self(vec![Instruction::Test(test)])
    }
}

impl Operand {
    fn resolve<'a>(
        &'a self,
        item: &'a Item,
        values: &'a [AttributeValue],
        work: &mut Work,
    ) -> Result<Option<Cow<'a, AttributeValue>>, TooMuchWork> {
        Ok(match self {
            Self::Path(path) => path.find(item, work)?.map(Cow::Borrowed),
            Self::Value(number) => values.get(*number as usize).map(Cow::Borrowed),
            Self::Size(of) => {
                let of: &Operand = of;
                let value = match of {
                    Self::Path(path) => path.find(item, work)?,
                    Self::Value(number) => values.get(*number as usize),
                    // The grammar has no size of a size.
                    Self::Size(_) => None,
                };
                let size = match value {
                    Some(value) => measure(value, work)?,
                    None => None,
                };
                let number = size.and_then(|size| i64::try_from(size).ok());
                number.map(|n| Cow::Owned(AttributeValue::N(Number::from(n))))
            }
        })
    }
}

/// `size()`: characters, bytes or elements; numbers, booleans and null have none.
fn measure(value: &AttributeValue, work: &mut Work) -> Result<Option<usize>, TooMuchWork> {
    Ok(match value {
        AttributeValue::S(text) => {
            work.charge(text.len())?;
            Some(text.encode_utf16().count())
        }
        AttributeValue::B(bytes) => Some(bytes.len()),
        AttributeValue::M(map) => Some(map.len()),
        AttributeValue::L(list) => Some(list.len()),
        AttributeValue::Ss(set) => Some(set.len()),
        AttributeValue::Ns(set) => Some(set.len()),
        AttributeValue::Bs(set) => Some(set.len()),
        AttributeValue::N(_) | AttributeValue::Bool(_) | AttributeValue::Null => None,
    })
}

impl Comparison {
    /// A comparison with something absent is false, except that it is not equal to anything,
    /// not even to something else that is absent.
    fn holds(
        self,
        left: Option<&AttributeValue>,
        right: Option<&AttributeValue>,
        work: &mut Work,
    ) -> Result<bool, TooMuchWork> {
        let (Some(left), Some(right)) = (left, right) else {
            return Ok(self == Self::NotEqual);
        };
        Ok(match self {
            Self::Equal => equal(left, right, work)?,
            Self::NotEqual => !equal(left, right, work)?,
            Self::Less => order(left, right, work)? == Some(Ordering::Less),
            Self::LessOrEqual => order(left, right, work)?.is_some_and(Ordering::is_le),
            Self::Greater => order(left, right, work)? == Some(Ordering::Greater),
            Self::GreaterOrEqual => order(left, right, work)?.is_some_and(Ordering::is_ge),
        })
    }
}

impl Test {
    fn holds(
        &self,
        item: &Item,
        values: &[AttributeValue],
        work: &mut Work,
    ) -> Result<bool, TooMuchWork> {
        work.charge(NODE)?;
        Ok(match self {
            Self::Compare(op, left, right) => {
                let left = left.resolve(item, values, work)?;
                let right = right.resolve(item, values, work)?;
                op.holds(left.as_deref(), right.as_deref(), work)?
            }
            Self::Between(value, low, high) => {
                let value = value.resolve(item, values, work)?;
                let low = low.resolve(item, values, work)?;
                let high = high.resolve(item, values, work)?;
                Comparison::GreaterOrEqual.holds(value.as_deref(), low.as_deref(), work)?
                    && Comparison::LessOrEqual.holds(value.as_deref(), high.as_deref(), work)?
            }
            Self::In(value, list) => {
                let value = value.resolve(item, values, work)?;
                for one in list {
                    let one = one.resolve(item, values, work)?;
                    if Comparison::Equal.holds(value.as_deref(), one.as_deref(), work)? {
                        return Ok(true);
                    }
                }
                false
            }
            Self::Exists(path) => path.find(item, work)?.is_some(),
            Self::NotExists(path) => path.find(item, work)?.is_none(),
            Self::HasType(value, name) => {
                let value = value.resolve(item, values, work)?;
                value.is_some_and(|v| v.type_name() == name)
            }
            Self::BeginsWith(value, prefix) => {
                let value = value.resolve(item, values, work)?;
                let prefix = prefix.resolve(item, values, work)?;
                match (value.as_deref(), prefix.as_deref()) {
                    (Some(AttributeValue::S(v)), Some(AttributeValue::S(p))) => {
                        work.charge(p.len())?;
                        v.starts_with(p)
                    }
                    (Some(AttributeValue::B(v)), Some(AttributeValue::B(p))) => {
                        work.charge(p.len())?;
                        v.starts_with(p)
                    }
                    _ => false,
                }
            }
            Self::Contains(value, part) => {
                let value = value.resolve(item, values, work)?;
                let part = part.resolve(item, values, work)?;
                match (value.as_deref(), part.as_deref()) {
                    (Some(value), Some(part)) => contains(value, part, work)?,
                    _ => false,
                }
            }
        })
    }
}

impl Condition {
    /// Whether it holds for the item; an absent item is an empty one. `values` are
    /// those of the request.
    ///
    /// # Errors
    /// There is not enough `work` left to tell.
    pub fn holds(
        &self,
        item: &Item,
        values: &[AttributeValue],
        work: &mut Work,
    ) -> Result<bool, TooMuchWork> {
        let mut result = true;
        let mut at = 0;
        while let Some(instruction) = self.0.get(at) {
            at += 1;
            match instruction {
                Instruction::Test(test) => result = test.holds(item, values, work)?,
                Instruction::Not => result = !result,
                Instruction::OrElse(count) if result => at += *count as usize,
                Instruction::AndThen(count) if !result => at += *count as usize,
                Instruction::OrElse(_) | Instruction::AndThen(_) => {}
            }
        }
        Ok(result)
    }
}
