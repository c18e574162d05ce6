//! Projections: the part of an item that a reader asked for, or that an update removes.

use super::path::{Path, Step};
use crate::api::value::{AttributeValue, Item};
use std::collections::BTreeMap;

/// A set of paths, none of which contains another.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Projection {
    roots: BTreeMap<String, Branch>,
}

/// What is wanted below a place; nothing listed means all of it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Branch {
    keys: BTreeMap<String, Branch>,
    indexes: BTreeMap<u32, Branch>,
}

impl Projection {
    /// A projection on these paths.
    pub fn new<'a>(paths: impl IntoIterator<Item = &'a Path>) -> Self {
        let mut projection = Self::default();
        for path in paths {
            let mut branch = projection.roots.entry(path.root.clone()).or_default();
            for step in &path.steps {
                branch = match step {
                    Step::Key(key) => branch.keys.entry(key.clone()).or_default(),
                    Step::Index(index) => branch.indexes.entry(*index).or_default(),
                };
            }
        }
        projection
    }

    /// The wanted part of an item. Wanted elements of a list close ranks.
    pub fn apply(&self, item: &Item) -> Item {
        Item(pick_keys(&self.roots, &item.0))
    }

    /// Removes that part. All paths mean the item as it is before: elements that
    /// are left close ranks at the end.
    ///
    /// # Errors
    /// [`NoContainer`]: a path leads through something that is not there, or is no
    /// such container. (That its last step is not there is no error.)
    pub(crate) fn remove_from(&self, item: &mut Item) -> Result<(), NoContainer> {
        remove_keys(&self.roots, &mut item.0)
    }
}

/// A path of an update leads through nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct NoContainer;

fn remove_keys(
    unwanted: &BTreeMap<String, Branch>,
    map: &mut BTreeMap<String, AttributeValue>,
) -> Result<(), NoContainer> {
    for (key, branch) in unwanted {
        if branch.is_leaf() {
            map.remove(key);
        } else {
            branch.remove_from(map.get_mut(key).ok_or(NoContainer)?)?;
        }
    }
    Ok(())
}

fn pick_keys(
    wanted: &BTreeMap<String, Branch>,
    map: &BTreeMap<String, AttributeValue>,
) -> BTreeMap<String, AttributeValue> {
    wanted
        .iter()
        .filter_map(|(key, branch)| Some((key.clone(), branch.pick(map.get(key)?)?)))
        .collect()
}

impl Branch {
    fn is_leaf(&self) -> bool {
        self.keys.is_empty() && self.indexes.is_empty()
    }

    fn remove_from(&self, value: &mut AttributeValue) -> Result<(), NoContainer> {
        match value {
            AttributeValue::M(map) if self.indexes.is_empty() => remove_keys(&self.keys, map),
            AttributeValue::L(list) if self.keys.is_empty() => {
                for (index, branch) in &self.indexes {
                    if !branch.is_leaf() {
                        branch.remove_from(list.get_mut(*index as usize).ok_or(NoContainer)?)?;
                    }
                }
                let mut index = 0;
                list.retain(|_| {
                    let removed = self.indexes.get(&index).is_some_and(Branch::is_leaf);
                    index += 1;
                    !removed
                });
                Ok(())
            }
            _ => Err(NoContainer),
        }
    }

    fn pick(&self, value: &AttributeValue) -> Option<AttributeValue> {
        if self.is_leaf() {
            return Some(value.clone());
        }
        match value {
            AttributeValue::M(map) => {
                let picked = pick_keys(&self.keys, map);
                (!picked.is_empty()).then_some(AttributeValue::M(picked))
            }
            AttributeValue::L(list) => {
                let picked: Vec<_> = self
                    .indexes
                    .iter()
                    .filter_map(|(index, branch)| branch.pick(list.get(*index as usize)?))
                    .collect();
                (!picked.is_empty()).then_some(AttributeValue::L(picked))
            }
            _ => None,
        }
    }
}
