//! Projections: the part of an item that a reader asked for.

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
    fn pick(&self, value: &AttributeValue) -> Option<AttributeValue> {
        if self.keys.is_empty() && self.indexes.is_empty() {
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
