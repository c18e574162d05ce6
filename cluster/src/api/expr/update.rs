//! Updates: the tree and its evaluation.

use crate::api::expr::Projection;
use crate::api::expr::path::{Path, Step};
use crate::api::value::{AttributeValue, Item, MAX_ITEM_SIZE};
use serde::{Deserialize, Serialize};

/// A value on the right of SET.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum SetOperand {
    /// What the item had at a path before the update.
    Path(Path),
    /// The value of the request that has this number.
    Value(u32),
    /// `if_not_exists(path, other)`.
    IfNotExists(Path, Box<SetOperand>),
    /// `list_append(a, b)`.
    ListAppend(Box<SetOperand>, Box<SetOperand>),
}

/// The right side of SET.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum SetValue {
    /// `a`
    Is(SetOperand),
    /// `a + b`
    Plus(SetOperand, SetOperand),
    /// `a - b`
    Minus(SetOperand, SetOperand),
}

/// A parsed update expression. All values are computed from the item as it
/// was before, then SET, ADD and DELETE act, then REMOVE.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Update {
    /// SET path = value.
    pub set: Vec<(Path, SetValue)>,
    /// REMOVE path.
    pub remove: Vec<Path>,
    /// ADD path value: a number, or elements of a set; by the value's number.
    pub add: Vec<(Path, u32)>,
    /// DELETE path value: elements of a set; by the value's number.
    pub delete: Vec<(Path, u32)>,
}

const MISSING: &str =
    "The provided expression refers to an attribute that does not exist in the item";
pub(crate) const TOO_LARGE: &str = "Item size to update has exceeded the maximum allowed size";
const WRONG_TYPE: &str = "An operand in the update expression has an incorrect data type";
const WRONG_PATH: &str =
    "The document path provided in the update expression is invalid for update";

/// Refuses what cannot be part of an item.
fn fits(size: usize) -> Result<(), String> {
    if size > MAX_ITEM_SIZE {
        return Err(TOO_LARGE.to_owned());
    }
    Ok(())
}

/// The value of this number.
fn valued(values: &[AttributeValue], number: u32) -> Result<&AttributeValue, String> {
    // What the router has parsed has all its values.
    let found = values.get(number as usize);
    found.ok_or_else(|| format!("there is no value number {number}"))
}

impl SetOperand {
    fn value(&self, item: &Item, values: &[AttributeValue]) -> Result<AttributeValue, String> {
        match self {
            Self::Path(path) => path.get(item).cloned().ok_or_else(|| MISSING.to_owned()),
            Self::Value(number) => valued(values, *number).cloned(),
            Self::IfNotExists(path, other) => match path.get(item) {
                Some(value) => Ok(value.clone()),
                None => other.value(item, values),
            },
            Self::ListAppend(first, second) => {
                match (first.value(item, values)?, second.value(item, values)?) {
                    (AttributeValue::L(mut a), AttributeValue::L(b)) => {
                        a.extend(b);
                        let list = AttributeValue::L(a);
                        // Lists could be appended to themselves many times over.
                        fits(list.size()).map(|()| list)
                    }
                    _ => Err(WRONG_TYPE.to_owned()),
                }
            }
        }
    }

    /// The least size that its value can have, whatever the item is.
    fn least_size(&self, values: &[AttributeValue]) -> usize {
        match self {
            Self::Path(_) | Self::IfNotExists(..) => 0,
            Self::Value(number) => values.get(*number as usize).map_or(0, AttributeValue::size),
            // Each counts the three bytes of its list.
            Self::ListAppend(a, b) => {
                (a.least_size(values) + b.least_size(values)).saturating_sub(3)
            }
        }
    }
}

impl SetValue {
    fn value(&self, item: &Item, values: &[AttributeValue]) -> Result<AttributeValue, String> {
        let (a, b, minus) = match self {
            Self::Is(operand) => return operand.value(item, values),
            Self::Plus(a, b) => (a.value(item, values)?, b.value(item, values)?, false),
            Self::Minus(a, b) => (a.value(item, values)?, b.value(item, values)?, true),
        };
        let (AttributeValue::N(a), AttributeValue::N(b)) = (a, b) else {
            return Err(WRONG_TYPE.to_owned());
        };
        let sum = if minus { a.subtract(&b) } else { a.add(&b) };
        sum.map(AttributeValue::N).map_err(|e| e.to_string())
    }
}

/// The result of `ADD path value` for what is there now.
fn added(
    current: Option<&AttributeValue>,
    value: &AttributeValue,
) -> Result<AttributeValue, String> {
    use AttributeValue as A;
    match (current, value) {
        (None, value) => Ok(value.clone()),
        (Some(A::N(a)), A::N(b)) => a.add(b).map(A::N).map_err(|e| e.to_string()),
        (Some(A::Ss(a)), A::Ss(b)) => Ok(A::Ss(a | b)),
        (Some(A::Ns(a)), A::Ns(b)) => Ok(A::Ns(a | b)),
        (Some(A::Bs(a)), A::Bs(b)) => Ok(A::Bs(a | b)),
        _ => Err(WRONG_TYPE.to_owned()),
    }
}

/// The result of `DELETE path value`; `None` if nothing is left or was there.
fn without(
    current: Option<&AttributeValue>,
    value: &AttributeValue,
) -> Result<Option<AttributeValue>, String> {
    use AttributeValue as A;
    match (current, value) {
        (None, _) => Ok(None),
        (Some(A::Ss(a)), A::Ss(b)) => Ok(Some(a - b).filter(|s| !s.is_empty()).map(A::Ss)),
        (Some(A::Ns(a)), A::Ns(b)) => Ok(Some(a - b).filter(|s| !s.is_empty()).map(A::Ns)),
        (Some(A::Bs(a)), A::Bs(b)) => Ok(Some(a - b).filter(|s| !s.is_empty()).map(A::Bs)),
        _ => Err(WRONG_TYPE.to_owned()),
    }
}

fn put(item: &mut Item, path: &Path, value: AttributeValue) -> Result<(), String> {
    if path.steps.is_empty() {
        item.0.insert(path.root.clone(), value);
        return Ok(());
    }
    match path.container(item) {
        Some((AttributeValue::M(map), Step::Key(key))) => {
            map.insert(key.clone(), value);
            Ok(())
        }
        Some((AttributeValue::L(list), Step::Index(index))) => {
            // Beyond the end means: append.
            match list.get_mut(*index as usize) {
                Some(place) => *place = value,
                None => list.push(value),
            }
            Ok(())
        }
        _ => Err(WRONG_PATH.to_owned()),
    }
}

/// Sorts by the last index, so that what is set beyond a list's end is appended in order.
fn last_index(path: &Path) -> u32 {
    match path.steps.last() {
        Some(Step::Index(index)) => *index,
        _ => 0,
    }
}

impl Update {
    /// Every path that the update changes.
    pub fn paths(&self) -> impl Iterator<Item = &Path> {
        let sets = self.set.iter().map(|(path, _)| path);
        let adds = self.add.iter().chain(&self.delete).map(|(path, _)| path);
        sets.chain(&self.remove).chain(adds)
    }

    /// Whether it only takes away. Where there is no item it makes none, then.
    pub fn only_removes(&self) -> bool {
        let makes = !self.set.is_empty() || !self.add.is_empty();
        let removes = !self.remove.is_empty() || !self.delete.is_empty();
        removes && !makes
    }

    /// The least size, in bytes, of what it puts into an item, whatever the item is.
    pub fn least_size(&self, values: &[AttributeValue]) -> usize {
        let sets = self.set.iter().map(|(_, value)| match value {
            SetValue::Is(operand) => operand.least_size(values),
            SetValue::Plus(..) | SetValue::Minus(..) => 0,
        });
        let adds = self.add.iter().map(|(_, number)| {
            match values.get(*number as usize) {
                // What a number becomes may be shorter.
                None | Some(AttributeValue::N(_)) => 0,
                Some(set) => set.size(),
            }
        });
        sets.chain(adds).sum()
    }

    /// The item after the update; `values` are those of the request.
    ///
    /// # Errors
    /// A ValidationException message: the update makes no sense on this item.
    pub fn apply(&self, before: &Item, values: &[AttributeValue]) -> Result<Item, String> {
        let mut item = self.put_all(before, values)?;
        let mut removes: Vec<&Path> = self.remove.iter().collect();
        for (path, number) in &self.delete {
            let current = path.get(before);
            match without(current, valued(values, *number)?)? {
                Some(rest) => put(&mut item, path, rest)?,
                None if current.is_some() => removes.push(path),
                None => {}
            }
        }
        // All at once, each path as it was before: what is removed shifts what is behind it.
        let removed = Projection::new(removes).remove_from(&mut item);
        removed.map_err(|_| WRONG_PATH.to_owned())?;
        Ok(item)
    }

    /// The item that the update makes of this key where there is none: nothing is there to be
    /// removed.
    ///
    /// # Errors
    /// As [`Update::apply`].
    pub fn make(&self, key: &Item, values: &[AttributeValue]) -> Result<Option<Item>, String> {
        if self.only_removes() {
            return Ok(None);
        }
        self.put_all(key, values).map(Some)
    }

    /// The item after SET and ADD.
    fn put_all(&self, before: &Item, values: &[AttributeValue]) -> Result<Item, String> {
        let mut puts: Vec<(&Path, AttributeValue)> = Vec::new();
        // The paths are apart, so all the values end up in the item: once
        // they are too large together, there is no need to make them all.
        let mut size = 0;
        let mut bounded = |value: AttributeValue| {
            size += value.size();
            fits(size).map(|()| value)
        };
        for (path, value) in &self.set {
            puts.push((path, bounded(value.value(before, values)?)?));
        }
        for (path, number) in &self.add {
            let value = added(path.get(before), valued(values, *number)?)?;
            puts.push((path, bounded(value)?));
        }
        // Ascending, for what appends. The sort is stable, so that every replica does the same.
        puts.sort_by_key(|(path, _)| last_index(path));
        let mut item = before.clone();
        for (path, value) in puts {
            put(&mut item, path, value)?;
        }
        Ok(item)
    }
}
