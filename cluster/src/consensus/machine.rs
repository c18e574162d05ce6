//! The state machine: a replica's tree, changed by committed entries.

use super::recent::{Recent, Written};
use super::snapshot::SnapshotData;
use super::types::{Command, Entry, LogId, Membership, Op, Outcome, Types};
use crate::api::value::Item;
use crate::api::write::WriteReply;
use crate::engine::{Change, EngineError, Tree};
use crate::meta::{MetaCommand, MetaReply, RoutingMap, key};
use futures_util::{FutureExt, Stream, StreamExt};
use openraft::entry::EntryPayload;
use openraft::storage::{
    ApplyResponder, EntryResponder, RaftSnapshotBuilder, RaftStateMachine, Snapshot, SnapshotMeta,
};
use openraft::type_config::alias::{SnapshotMetaOf, SnapshotOf};
use openraft::{OptionalSend, StoredMembership};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::io;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use tokio::sync::watch;

/// Key of the routing map in the metadata's tree.
const MAP_KEY: &[u8] = b"map";
/// Entries in one transaction.
const BATCH_ENTRIES: usize = 512;
/// Bytes of changes in one transaction, give or take one entry.
const BATCH_BYTES: usize = 4 << 20;

/// Kept in the tree with what was applied.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Applied {
    /// Last applied entry.
    pub log_id: Option<LogId>,
    /// Membership as of then.
    pub membership: Membership,
}

impl Applied {
    /// Index of the last applied entry, 0 if there is none.
    fn index(&self) -> u64 {
        self.log_id.map_or(0, |l| l.index)
    }

    /// Decodes a tree's applied meta.
    pub fn decode(meta: Option<&[u8]>) -> io::Result<Self> {
        match meta {
            None => Ok(Self::default()),
            Some(bytes) => postcard::from_bytes(bytes).map_err(|e| {
                io::Error::new(io::ErrorKind::InvalidData, format!("applied state: {e}"))
            }),
        }
    }
}

fn io(error: EngineError) -> io::Error {
    io::Error::other(error)
}

/// Applies entries of one group to its tree.
pub struct Machine {
    tree: Arc<Tree>,
    applied: Applied,
    /// Where the routing map is published, for the metadata's group.
    map: Option<watch::Sender<Arc<RoutingMap>>>,
    /// What is remembered of applied writes.
    recent: Option<Arc<Recent>>,
}

impl Machine {
    /// Takes up where the tree is.
    pub fn new(
        tree: Arc<Tree>,
        map: Option<watch::Sender<Arc<RoutingMap>>>,
        recent: Option<Arc<Recent>>,
    ) -> io::Result<Self> {
        let applied = Applied::decode(tree.applied_meta().map_err(io)?.as_deref())?;
        if let Some(recent) = &recent {
            recent.begin(applied.index());
        }
        let machine = Machine {
            tree,
            applied,
            map,
            recent,
        };
        machine.publish()?;
        Ok(machine)
    }

    fn stored_map(&self) -> io::Result<RoutingMap> {
        match self.tree.get(MAP_KEY).map_err(io)? {
            None => Ok(RoutingMap::default()),
            Some(bytes) => postcard::from_bytes(&bytes).map_err(io::Error::other),
        }
    }

    /// Publishes the map if it is newer than what is known.
    fn publish(&self) -> io::Result<()> {
        if let Some(sender) = &self.map {
            let map = self.stored_map()?;
            sender.send_if_modified(|known| {
                let newer = map.version > known.version;
                if newer {
                    *known = Arc::new(map);
                }
                newer
            });
        }
        Ok(())
    }

    async fn apply_all<S>(&mut self, mut entries: S) -> io::Result<()>
    where
        S: Stream<Item = Result<EntryResponder<Types>, io::Error>> + Unpin + OptionalSend,
    {
        let mut batch = Vec::new();
        let mut bytes = 0;
        while let Some(item) = entries.next().await {
            let item = item?;
            if let EntryPayload::Normal(command) = &item.0.payload {
                bytes += command.0.len();
            }
            batch.push(item);
            if batch.len() >= BATCH_ENTRIES || bytes >= BATCH_BYTES {
                self.apply_batch(std::mem::take(&mut batch)).await?;
                bytes = 0;
            }
        }
        if batch.is_empty() {
            return Ok(());
        }
        self.apply_batch(batch).await
    }

    async fn apply_batch(
        &mut self,
        entries: Vec<(Entry, Option<ApplyResponder<Types>>)>,
    ) -> io::Result<()> {
        let mut batch = Batch {
            tree: &self.tree,
            items: BTreeMap::new(),
            map: None,
            recent: self.recent.as_deref(),
            took_effect: Vec::new(),
        };
        let mut answers = Vec::with_capacity(entries.len());
        for (entry, responder) in entries {
            self.applied.log_id = Some(entry.log_id);
            let outcome = match entry.payload {
                EntryPayload::Blank => Outcome::None,
                EntryPayload::Membership(membership) => {
                    self.applied.membership = StoredMembership::new(Some(entry.log_id), membership);
                    Outcome::None
                }
                EntryPayload::Normal(command) => {
                    batch.evaluate(&command, self.map.is_some()).map_err(|e| {
                        io::Error::new(e.kind(), format!("entry {}: {e}", entry.log_id))
                    })?
                }
            };
            if let Some(responder) = responder {
                answers.push((responder, outcome));
            }
        }
        let meta = postcard::to_stdvec(&self.applied).map_err(io::Error::other)?;
        let map_changed = batch.map.is_some();
        let took_effect = std::mem::take(&mut batch.took_effect);
        let changes = batch.into_changes()?;
        match self.tree.try_apply(&meta, &changes) {
            Some(applied) => applied.map_err(io)?,
            // A checkpoint is at work. Waiting for it here would keep this thread from
            // everything else, heartbeats included.
            None => {
                let tree = self.tree.clone();
                tokio::task::spawn_blocking(move || tree.apply(&meta, changes))
                    .await
                    .map_err(io::Error::other)?
                    .map_err(io)?;
            }
        }
        if let Some(recent) = &self.recent {
            recent.applied(took_effect, self.applied.index());
        }
        // Only now can readers see it, so only now may anybody be told.
        for (responder, outcome) in answers {
            responder.send(outcome);
        }
        if map_changed {
            self.publish()?;
        }
        Ok(())
    }
}

/// Changes of several entries, each seeing those before it.
struct Batch<'a> {
    tree: &'a Tree,
    items: BTreeMap<Vec<u8>, Option<Item>>,
    map: Option<RoutingMap>,
    recent: Option<&'a Recent>,
    /// For `recent`, in the order of the entries.
    took_effect: Vec<Written>,
}

impl Batch<'_> {
    fn evaluate(&mut self, command: &Command, metadata: bool) -> io::Result<Outcome> {
        match (command.op(), metadata) {
            (Ok(Op::Write { key, op }), false) => {
                let stored = key::storage_key(&key);
                let current = match self.items.get(&stored) {
                    Some(item) => item.clone(),
                    None => stored_item(self.tree, &stored)?,
                };
                // What it does depends on the entry and the item alone, and so does whether it
                // panics: every replica finds the same, and nothing changed.
                let evaluated = std::panic::catch_unwind(AssertUnwindSafe(|| {
                    #[cfg(test)]
                    super::sabotage::meet(super::sabotage::IN_EVALUATION, &key.hash);
                    op.apply(current)
                }));
                let Ok(reply) = evaluated else {
                    tracing::error!("a write cannot be evaluated: a bug; it changes nothing");
                    return Ok(Outcome::Refused("evaluating it failed: a bug".into()));
                };
                #[cfg(test)]
                super::sabotage::meet(super::sabotage::IN_APPLYING, &key.hash);
                Ok(Outcome::Write(match reply {
                    WriteReply::Done { old, new } => {
                        let written = self
                            .recent
                            .and_then(|r| r.written(&key.hash, new.as_ref()?));
                        self.took_effect.extend(written);
                        let answered = new.as_ref().filter(|_| op.wants.new).cloned();
                        self.items.insert(stored, new);
                        let old = old.filter(|_| op.wants.old);
                        WriteReply::Done { old, new: answered }
                    }
                    unchanged => op.trim(unchanged),
                }))
            }
            (Ok(Op::Meta(command)), true) => Ok(Outcome::Meta(self.change_map(command)?)),
            (Ok(_), _) => Ok(Outcome::Refused("a command of another group".into())),
            // Whoever proposed it understood it: another build. To skip it here would be to have
            // other contents than that one has.
            (Err(error), _) => Err(io::Error::new(
                io::ErrorKind::InvalidData,
                format!("a command that this build does not understand ({error})"),
            )),
        }
    }

    fn change_map(&mut self, command: MetaCommand) -> io::Result<MetaReply> {
        let map = match &mut self.map {
            Some(map) => map,
            None => {
                let stored = match self.tree.get(MAP_KEY).map_err(io)? {
                    None => RoutingMap::default(),
                    Some(bytes) => postcard::from_bytes(&bytes).map_err(io::Error::other)?,
                };
                self.map.insert(stored)
            }
        };
        Ok(map.apply(command))
    }

    fn into_changes(self) -> io::Result<Vec<Change>> {
        let mut changes: Vec<Change> = Vec::with_capacity(self.items.len() + 1);
        for (key, item) in self.items {
            changes.push((key, item.map(|i| encode_item(&i)).transpose()?));
        }
        if let Some(map) = self.map {
            let bytes = postcard::to_stdvec(&map).map_err(io::Error::other)?;
            changes.push((MAP_KEY.to_vec(), Some(bytes)));
        }
        Ok(changes)
    }
}

/// An item as the tree stores it.
pub fn encode_item(item: &Item) -> io::Result<Vec<u8>> {
    postcard::to_stdvec(item).map_err(io::Error::other)
}

/// The inverse of [`encode_item`].
pub fn decode_item(bytes: &[u8]) -> io::Result<Item> {
    postcard::from_bytes(bytes)
        .map_err(|e| io::Error::new(io::ErrorKind::InvalidData, format!("stored item: {e}")))
}

/// Reads an item from a tree.
pub fn stored_item(tree: &Tree, key: &[u8]) -> io::Result<Option<Item>> {
    tree.get(key)
        .map_err(io)?
        .map(|bytes| decode_item(&bytes))
        .transpose()
}

/// Makes a snapshot: everything that a view has is durable before it counts, because openraft
/// purges the log up to it.
pub struct Builder {
    tree: Arc<Tree>,
}

fn view(tree: &Tree) -> io::Result<Option<SnapshotOf<Types, SnapshotData>>> {
    let view = tree.snapshot().map_err(io)?;
    let applied = Applied::decode(view.applied_meta())?;
    Ok(applied.log_id.map(|log_id| Snapshot {
        meta: SnapshotMeta {
            last_log_id: Some(log_id),
            last_membership: applied.membership,
        },
        snapshot: SnapshotData::View(Box::new(view)),
    }))
}

impl RaftSnapshotBuilder<Types> for Builder {
    type SnapshotData = SnapshotData;

    async fn build_snapshot(&mut self) -> Result<SnapshotOf<Types, SnapshotData>, io::Error> {
        let tree = self.tree.clone();
        tokio::task::spawn_blocking(move || {
            // The view first: the checkpoint after it covers at least as much.
            let view = view(&tree)?;
            tree.checkpoint().map_err(io)?;
            view.ok_or_else(|| io::Error::other("nothing is applied yet"))
        })
        .await
        .map_err(io::Error::other)?
    }
}

impl RaftStateMachine<Types> for Machine {
    type SnapshotData = SnapshotData;
    type SnapshotBuilder = Builder;

    async fn applied_state(&mut self) -> Result<(Option<LogId>, Membership), io::Error> {
        Ok((self.applied.log_id, self.applied.membership.clone()))
    }

    /// A panic is an error as any other: openraft would not notice that its task is gone, and a
    /// leader would go on leading.
    async fn apply<S>(&mut self, entries: S) -> Result<(), io::Error>
    where
        S: Stream<Item = Result<EntryResponder<Types>, io::Error>> + Unpin + OptionalSend,
    {
        AssertUnwindSafe(self.apply_all(entries))
            .catch_unwind()
            .await
            .unwrap_or_else(|_| Err(io::Error::other("applying entries panicked")))
    }

    async fn try_create_snapshot_builder(&mut self, _force: bool) -> Option<Builder> {
        Some(self.get_snapshot_builder().await)
    }

    async fn get_snapshot_builder(&mut self) -> Builder {
        Builder {
            tree: self.tree.clone(),
        }
    }

    async fn install_snapshot(
        &mut self,
        meta: &SnapshotMetaOf<Types>,
        snapshot: SnapshotData,
    ) -> Result<(), io::Error> {
        let SnapshotData::Staged(staged) = snapshot else {
            return Err(io::Error::other("a view of this tree cannot be installed"));
        };
        let tree = self.tree.clone();
        let applied = tokio::task::spawn_blocking(move || {
            let installed = tree.replace(&mut staged.reader()).map_err(io)?;
            Applied::decode(installed.as_deref())
        })
        .await
        .map_err(io::Error::other)??;
        if applied.log_id != meta.last_log_id {
            return Err(io::Error::new(
                io::ErrorKind::InvalidData,
                format!(
                    "a snapshot of {:?} was announced as one of {:?}",
                    applied.log_id, meta.last_log_id
                ),
            ));
        }
        self.applied = applied;
        if let Some(recent) = &self.recent {
            recent.begin(self.applied.index());
        }
        self.publish()
    }

    async fn get_current_snapshot(
        &mut self,
    ) -> Result<Option<SnapshotOf<Types, SnapshotData>>, io::Error> {
        view(&self.tree)
    }
}
