//! What a write does to an item: pure, deterministic, evaluated when the
//! replicated log is applied, so that every replica does the same.

use crate::api::value::Item;
use serde::{Deserialize, Serialize};

/// What to do with the item.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum Action {
    /// Replace it.
    Put(Item),
    /// Remove it.
    Delete,
}

/// One write on one item.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct WriteOp {
    /// What to do.
    pub action: Action,
}

/// What came of it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum WriteReply {
    /// Done: the item before and after.
    Done {
        /// Before.
        old: Option<Item>,
        /// After.
        new: Option<Item>,
    },
    /// The condition did not hold; nothing changed.
    ConditionFailed {
        /// The item as it is.
        old: Option<Item>,
    },
    /// The write makes no sense on this item (a type error, an item grown too large); nothing changed.
    Invalid {
        /// ValidationException message.
        message: String,
    },
}

impl WriteOp {
    /// Evaluates the condition and the action on the current item.
    pub fn apply(&self, current: Option<Item>) -> WriteReply {
        match &self.action {
            Action::Put(item) => WriteReply::Done {
                old: current,
                new: Some(item.clone()),
            },
            Action::Delete => WriteReply::Done {
                old: current,
                new: None,
            },
        }
    }
}
