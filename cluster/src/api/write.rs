//! What a write does to an item: pure, deterministic, evaluated when the
//! replicated log is applied, so that every replica does the same.

use crate::api::expr::update::TOO_LARGE;
use crate::api::expr::{Condition, TooMuchWork, Update, Work};
use crate::api::value::{AttributeValue, Item, MAX_ITEM_SIZE, MAX_NESTING};
use serde::{Deserialize, Serialize};

/// What to do with the item.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum Action {
    /// Replace it.
    Put(Item),
    /// Remove it.
    Delete,
    /// Change it, or make it with this key if it is not there (and the update does not only
    /// remove).
    Update {
        /// The key attributes, for an item that is made.
        key: Item,
        /// What to change.
        update: Update,
    },
}

/// Which items the caller needs back; the rest can be dropped before the
/// reply travels, see [`WriteOp::trim`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Wants {
    /// The item before the write.
    pub old: bool,
    /// The item after the write.
    pub new: bool,
    /// The item as it is, if the condition does not hold.
    pub on_failure: bool,
}

impl Wants {
    /// Everything.
    pub const ALL: Wants = Wants {
        old: true,
        new: true,
        on_failure: true,
    };
}

/// One write on one item.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct WriteOp {
    /// What to do.
    pub action: Action,
    /// Only if this holds for the item as it is (absent: an empty one).
    pub condition: Option<Condition>,
    /// The values that condition and update name by their number.
    pub values: Vec<AttributeValue>,
    /// What the reply is used for.
    pub wants: Wants,
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
    /// An unconditional write of which only success matters.
    pub fn new(action: Action) -> Self {
        Self {
            action,
            condition: None,
            values: Vec::new(),
            wants: Wants::default(),
        }
    }

    /// Whether the condition holds for the item as it is.
    ///
    /// # Errors
    /// It takes too much work to tell.
    pub fn holds(&self, current: Option<&Item>) -> Result<bool, TooMuchWork> {
        let Some(condition) = &self.condition else {
            return Ok(true);
        };
        let mut work = Work::default();
        match current {
            Some(item) => condition.holds(item, &self.values, &mut work),
            None => condition.holds(&Item::default(), &self.values, &mut work),
        }
    }

    /// Evaluates the condition and the action on the current item. The reply
    /// has both items in full: store `new` (`None`: there is no item now).
    pub fn apply(&self, current: Option<Item>) -> WriteReply {
        match self.holds(current.as_ref()) {
            Ok(true) => {}
            Ok(false) => return WriteReply::ConditionFailed { old: current },
            Err(error) => {
                let message = error.to_string();
                return WriteReply::Invalid { message };
            }
        }
        let new = match &self.action {
            Action::Put(item) => Some(item.clone()),
            Action::Delete => None,
            Action::Update { key, update } => {
                let result = match &current {
                    Some(item) => update.apply(item, &self.values).map(Some),
                    None => update.make(key, &self.values),
                };
                let result = match result {
                    Ok(Some(item)) if item.size() > MAX_ITEM_SIZE => Err(TOO_LARGE.to_owned()),
                    Ok(Some(item)) if item.nesting() > MAX_NESTING => {
                        Err("Nesting Levels have exceeded supported limits".to_owned())
                    }
                    other => other,
                };
                match result {
                    Ok(item) => item,
                    Err(message) => return WriteReply::Invalid { message },
                }
            }
        };
        WriteReply::Done { old: current, new }
    }

    /// Drops from a reply, once its `new` is stored, the items that the
    /// caller does not need. Optional; it saves copies and bytes.
    pub fn trim(&self, reply: WriteReply) -> WriteReply {
        match reply {
            WriteReply::Done { old, new } => WriteReply::Done {
                old: old.filter(|_| self.wants.old),
                new: new.filter(|_| self.wants.new),
            },
            WriteReply::ConditionFailed { old } => WriteReply::ConditionFailed {
                old: old.filter(|_| self.wants.on_failure),
            },
            invalid => invalid,
        }
    }
}
