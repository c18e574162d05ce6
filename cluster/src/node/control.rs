//! What the leader of the metadata does: tables on their way in and out.

use super::storage::Storage;
use crate::backend::{TableInfo, TableSpec, TableStatus};
use crate::consensus::group::Role;
use crate::consensus::network::call;
use crate::consensus::types::{Command, NodeId, Op, Outcome};
use crate::meta::{META_GROUP, MetaCommand, Placement, RoutingMap, place};
use crate::rpc::protocol::{Refusal, Request, Response, WriteFailure};
use std::sync::Arc;
use std::time::{Duration, Instant};

/// Between two looks at tables that are on their way.
const PACE: Duration = Duration::from_millis(30);
/// How long an idle controller sleeps at most, in case it has just become the leader.
const IDLE: Duration = Duration::from_millis(500);
const PATIENCE: Duration = Duration::from_millis(300);
/// A deleted table is forgotten after this time even if members do not confirm: a node that was
/// away drops its replicas when it sees the map.
const FORGET: Duration = Duration::from_secs(2);

/// Proposes a change of the metadata on this node.
pub async fn change(storage: &Storage, command: MetaCommand) -> Result<Outcome, WriteFailure> {
    let Some(group) = storage.group(META_GROUP) else {
        let map = storage.map.borrow().version;
        return Err(WriteFailure::Refused(Refusal::NotMember { map }));
    };
    let command = Command::new(&Op::Meta(command))
        .map_err(|e| WriteFailure::Refused(Refusal::Unavailable(e.to_string())))?;
    group.propose(command).await
}

/// Starts creating a table.
pub async fn create(
    storage: &Storage,
    spec: TableSpec,
    partitions: u32,
) -> Result<Outcome, WriteFailure> {
    let created = crate::clock::wall()
        .duration_since(std::time::UNIX_EPOCH)
        .unwrap_or_default()
        .as_millis() as f64
        / 1000.0;
    let members = place(&storage.config.peers, partitions.clamp(1, 64));
    let id = uuid(rand::random());
    change(
        storage,
        MetaCommand::Create {
            spec,
            id,
            created,
            members,
        },
    )
    .await
}

/// UUID version 4 of random bits (RFC 9562).
fn uuid(random: u128) -> String {
    let n = random & !(0xf << 76) & !(0x3 << 62) | (4 << 76) | (2 << 62);
    let hex = format!("{n:032x}");
    format!(
        "{}-{}-{}-{}-{}",
        &hex[..8],
        &hex[8..12],
        &hex[12..16],
        &hex[16..20],
        &hex[20..]
    )
}

/// Runs for ever; does something while this node leads the metadata.
pub async fn run(storage: &Arc<Storage>) {
    let Some(group) = storage.group(META_GROUP) else {
        return std::future::pending().await;
    };
    let mut changes = storage.map.subscribe();
    let mut deleting: Option<(String, Instant)> = None;
    loop {
        let map = changes.borrow_and_update().clone();
        let status = group.status();
        let leads = status.role == Role::Leader && status.ready;
        let pending = next_pending(&map).cloned();
        match pending {
            Some(info) if leads => {
                let Some(table) = map.tables.get(&info.spec.name) else {
                    continue;
                };
                if info.status == TableStatus::Creating {
                    if all_led(storage, &table.partitions).await {
                        let id = info.id;
                        finish(storage, MetaCommand::Activate { id }).await;
                    }
                } else {
                    let since = match &deleting {
                        Some((id, since)) if *id == info.id => *since,
                        _ => deleting.insert((info.id.clone(), Instant::now())).1,
                    };
                    let gone = all_gone(storage, &table.partitions).await;
                    if gone || since.elapsed() > FORGET {
                        finish(storage, MetaCommand::Remove { id: info.id }).await;
                    }
                }
                tokio::time::sleep(PACE).await;
            }
            _ => {
                let _ = tokio::time::timeout(IDLE, changes.changed()).await;
            }
        }
    }
}

/// The table to work on: of those on their way, the one that was asked for first.
fn next_pending(map: &RoutingMap) -> Option<&TableInfo> {
    map.tables
        .values()
        .filter(|t| t.info.status != TableStatus::Active)
        .min_by_key(|t| t.partitions.first().map(|p| p.group))
        .map(|t| &t.info)
}

async fn finish(storage: &Storage, command: MetaCommand) {
    // Idempotent, so a lost answer does no harm: the next look finds out.
    let done = tokio::time::timeout(PATIENCE, change(storage, command)).await;
    tracing::debug!(?done, "metadata changed");
}

/// Whether every group has a leader that serves.
async fn all_led(storage: &Storage, partitions: &[Placement]) -> bool {
    let ask = partitions.iter().map(|p| async {
        let asked = p.members.iter().map(|m| leads(storage, p.group, *m));
        futures_util::future::join_all(asked)
            .await
            .contains(&Some(true))
    });
    futures_util::future::join_all(ask)
        .await
        .into_iter()
        .all(|led| led)
}

/// Whether every member says that it has no replica any more.
async fn all_gone(storage: &Storage, partitions: &[Placement]) -> bool {
    let ask = partitions.iter().flat_map(|p| {
        p.members
            .iter()
            .map(|m| async { leads(storage, p.group, *m).await == Some(false) })
    });
    futures_util::future::join_all(ask)
        .await
        .into_iter()
        .all(|gone| gone)
}

/// `Some(true)`: it leads and serves. `Some(false)`: it has no replica. `None`: neither.
async fn leads(storage: &Storage, group: u64, node: NodeId) -> Option<bool> {
    if node == storage.me {
        return match storage.group(group) {
            None => Some(false),
            Some(group) => group.status().ready.then_some(true),
        };
    }
    let peer = storage.peers.get(&node)?;
    match call(&peer.fast, &Request::Leader(group), PATIENCE).await {
        Ok(Response::Leader(Ok((_, true)))) => Some(true),
        Ok(Response::Leader(Err(Refusal::NotMember { .. }))) => Some(false),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_look_like_version_4() {
        assert_eq!(uuid(0), "00000000-0000-4000-8000-000000000000");
        assert_eq!(uuid(u128::MAX), "ffffffff-ffff-4fff-bfff-ffffffffffff");
    }
}
