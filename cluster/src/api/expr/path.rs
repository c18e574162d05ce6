//! Document paths such as `a.b[0].c`, resolved and applied.

use super::work::{NODE, TooMuchWork, Work};
use crate::api::value::{AttributeValue, Item};
use serde::{Deserialize, Serialize};
use std::fmt;

/// One step into a document.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Step {
    /// An entry of a map.
    Key(String),
    /// An element of a list.
    Index(u32),
}

/// A document path with its names already substituted.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Path {
    /// Top-level attribute.
    pub root: String,
    /// Steps below it.
    pub steps: Vec<Step>,
}

impl Path {
    /// The value at the path, if there is one.
    pub fn get<'a>(&self, item: &'a Item) -> Option<&'a AttributeValue> {
        self.steps
            .iter()
            .try_fold(item.0.get(&self.root)?, |value, step| match (value, step) {
                (AttributeValue::M(map), Step::Key(key)) => map.get(key),
                (AttributeValue::L(list), Step::Index(index)) => list.get(*index as usize),
                _ => None,
            })
    }

    /// [`Path::get`], counted.
    pub(super) fn find<'a>(
        &self,
        item: &'a Item,
        work: &mut Work,
    ) -> Result<Option<&'a AttributeValue>, TooMuchWork> {
        let keys = self.steps.iter().map(|step| match step {
            Step::Key(key) => NODE + key.len(),
            Step::Index(_) => NODE,
        });
        work.charge(NODE + self.root.len() + keys.sum::<usize>())?;
        Ok(self.get(item))
    }

    /// The container that holds the path's last step, and that step; `None`
    /// if the path is a top-level attribute or its container does not exist.
    pub(crate) fn container<'a, 'p>(
        &'p self,
        item: &'a mut Item,
    ) -> Option<(&'a mut AttributeValue, &'p Step)> {
        let (last, before) = self.steps.split_last()?;
        let mut value = item.0.get_mut(&self.root)?;
        for step in before {
            value = match (value, step) {
                (AttributeValue::M(map), Step::Key(key)) => map.get_mut(key)?,
                (AttributeValue::L(list), Step::Index(index)) => list.get_mut(*index as usize)?,
                _ => return None,
            };
        }
        Some((value, last))
    }

    /// How two paths of one expression relate.
    pub(crate) fn relation(&self, other: &Path) -> Relation {
        if self.root != other.root {
            return Relation::Apart;
        }
        for (a, b) in self.steps.iter().zip(&other.steps) {
            match (a, b) {
                (Step::Key(x), Step::Key(y)) if x != y => return Relation::Apart,
                (Step::Index(x), Step::Index(y)) if x != y => return Relation::Apart,
                (Step::Key(_), Step::Index(_)) | (Step::Index(_), Step::Key(_)) => {
                    return Relation::Conflict;
                }
                _ => {}
            }
        }
        Relation::Overlap
    }
}

/// Relation of two paths.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Relation {
    /// Neither contains the other.
    Apart,
    /// One is the other or contains it.
    Overlap,
    /// They disagree about whether something is a map or a list.
    Conflict,
}

impl fmt::Display for Path {
    /// As DynamoDB's messages show paths: `[a, b, [0]]`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "[{}", self.root)?;
        for step in &self.steps {
            match step {
                Step::Key(key) => write!(f, ", {key}")?,
                Step::Index(index) => write!(f, ", [{index}]")?,
            }
        }
        f.write_str("]")
    }
}
