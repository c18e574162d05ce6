//! Seeded bugs: what a store must not do, for playbooks to find. Never in a release.

use super::group::Group;
use super::machine::{encode_item, stored_item};
use super::types::{Command, Op, Outcome};
use crate::api::value::Item;
use crate::api::write::WriteReply;
use crate::meta::key;
use crate::rpc::protocol::{Refusal, WriteFailure};
use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

type Items = HashMap<Vec<u8>, (u64, Option<Item>)>;

/// Writes that were acknowledged although nobody else has them yet.
#[derive(Clone, Default)]
pub(super) struct Unconfirmed(Arc<Mutex<Items>>);

impl Unconfirmed {
    fn items(&self) -> std::sync::MutexGuard<'_, Items> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// An unconfirmed item, encoded.
    pub(super) fn get(&self, key: &[u8]) -> Option<Option<Vec<u8>>> {
        let items = self.items();
        let (_, item) = items.get(key)?;
        Some(item.as_ref().and_then(|i| encode_item(i).ok()))
    }
}

impl Group {
    /// Evaluates a write against what this node has, hands it to the log, and answers.
    pub(super) fn answer_before_quorum(&self, command: Command) -> Result<Outcome, WriteFailure> {
        let refused = |e: String| WriteFailure::Refused(Refusal::Unavailable(e));
        let (key, op) = match command.op() {
            Ok(Op::Write { key, op }) => (key::storage_key(&key), op),
            // Metadata is not what this bug is about, but it cannot wait here either.
            Ok(Op::Meta(_)) | Err(_) => return Err(refused("not an item".into())),
        };
        let mut items = self.unconfirmed.items();
        let current = match items.get(&key) {
            Some((_, item)) => item.clone(),
            None => stored_item(self.tree(), &key).map_err(|e| refused(e.to_string()))?,
        };
        let version = rand::random();
        let reply = op.apply(current);
        if let WriteReply::Done { new, .. } = &reply {
            items.insert(key.clone(), (version, new.clone()));
        }
        drop(items);
        let write = self.hand_over(command);
        let unconfirmed = self.unconfirmed.clone();
        tokio::spawn(async move {
            write.await;
            let mut items = unconfirmed.items();
            if items.get(&key).is_some_and(|(v, _)| *v == version) {
                items.remove(&key);
            }
        });
        Ok(Outcome::Write(op.trim(reply)))
    }
}
