//! What a storage node answers to other nodes.

use super::control;
use super::storage::Storage;
use crate::consensus::group::Group;
use crate::consensus::types::GroupId;
use crate::meta::META_GROUP;
use crate::rpc::Handler;
use crate::rpc::protocol::{Blob, Refusal, Request, Response, WriteFailure};
use bytes::Bytes;
use futures_util::future::BoxFuture;
use std::sync::Arc;
use std::time::Duration;

/// Most items in one answer.
const MAX_SCAN: usize = 10_000;
/// Most bytes in one answer, give or take one item.
const MAX_SCAN_BYTES: usize = 2 << 20;

/// Answers for a node.
pub struct Service(pub Arc<Storage>);

impl Handler for Service {
    fn handle(&self, body: Bytes, deadline: Duration) -> BoxFuture<'static, Vec<u8>> {
        let storage = self.0.clone();
        Box::pin(async move {
            let response = match postcard::from_bytes(&body) {
                Ok(request) => answer(&storage, request, deadline).await,
                Err(error) => Response::Failed(format!("request: {error}")),
            };
            postcard::to_stdvec(&response).unwrap_or_else(|error| {
                tracing::error!(%error, "an answer cannot be encoded");
                Vec::new()
            })
        })
    }
}

fn member(storage: &Storage, group: GroupId) -> Result<Arc<Group>, Refusal> {
    storage.group(group).ok_or_else(|| Refusal::NotMember {
        map: storage.map.borrow().version,
    })
}

fn raft<T>(result: Result<T, String>, wrap: impl FnOnce(T) -> Response) -> Response {
    result.map_or_else(Response::Failed, wrap)
}

async fn answer(storage: &Storage, request: Request, deadline: Duration) -> Response {
    match request {
        Request::Append(group, rpc) => match storage.group(group) {
            Some(group) => raft(group.append(rpc).await, Response::Append),
            None => no_replica(),
        },
        Request::Vote(group, rpc) => match storage.group(group) {
            Some(group) => raft(group.vote(rpc).await, Response::Vote),
            None => no_replica(),
        },
        Request::PreVote(group, rpc) => match storage.group(group) {
            Some(group) => raft(group.pre_vote(rpc).await, Response::Vote),
            None => no_replica(),
        },
        Request::Snapshot(group, piece) => match storage.group(group) {
            Some(group) => raft(group.piece(piece).await, Response::Snapshot),
            None => no_replica(),
        },
        Request::Write(group, command) => Response::Write(match member(storage, group) {
            // The metadata has requests of its own.
            Ok(_) if group == META_GROUP => Err(WriteFailure::Refused(Refusal::Unavailable(
                "items are not in this group".into(),
            ))),
            Ok(group) => group.propose(command).await,
            Err(refusal) => Err(WriteFailure::Refused(refusal)),
        }),
        Request::Read {
            group,
            key,
            consistent,
        } => Response::Read(match member(storage, group) {
            Ok(group) => group.get(&key, consistent).await.map(|item| item.map(Blob)),
            Err(refusal) => Err(refusal),
        }),
        Request::Scan {
            group,
            after,
            until,
            limit,
            bytes,
            consistent,
        } => Response::Scan(match member(storage, group) {
            Ok(group) => {
                let bytes = (bytes as usize).min(MAX_SCAN_BYTES);
                let limit = (limit as usize).min(MAX_SCAN);
                let (after, until) = (after.map(|b| b.0), until.map(|b| b.0));
                group
                    .scan(after.as_deref(), until.as_deref(), limit, bytes, consistent)
                    .await
                    .map(|page| {
                        let pairs = page.items.into_iter().map(|(k, v)| (Blob(k), Blob(v)));
                        (pairs.collect(), page.more)
                    })
            }
            Err(refusal) => Err(refusal),
        }),
        Request::Census(group) => Response::Census(match member(storage, group) {
            Ok(group) if group.amnesiac() => Err(Refusal::Unavailable("being repaired".into())),
            Ok(group) => {
                let census = group.census().await;
                census.ok_or_else(|| Refusal::Unavailable("not counted yet".into()))
            }
            Err(refusal) => Err(refusal),
        }),
        Request::Leader(group) => Response::Leader(member(storage, group).map(|group| {
            let status = group.status();
            (status.leader, status.ready)
        })),
        Request::Begin(group) => Response::Leader(storage.begin(group).await),
        Request::Standing(group) => {
            Response::Standing(storage.group(group).map(|group| group.standing()))
        }
        Request::Map { have, wait_ms } => {
            let wait = Duration::from_millis(wait_ms.into()).min(deadline);
            Response::Map(newer_map(storage, have, wait).await)
        }
        Request::CreateTable { spec, partitions } => {
            Response::Write(control::create(storage, spec, partitions).await)
        }
        Request::DeleteTable { name } => {
            let command = crate::meta::MetaCommand::Delete { name };
            Response::Write(control::change(storage, command).await)
        }
    }
}

fn no_replica() -> Response {
    Response::Failed("no replica of this group here".into())
}

/// The routing map if it is newer than `have`; without `have`, as soon as the metadata has begun.
async fn newer_map(
    storage: &Storage,
    have: Option<u64>,
    wait: Duration,
) -> Option<crate::meta::RoutingMap> {
    let begun = || {
        let meta = storage.group(META_GROUP);
        meta.is_some_and(|g| g.status().applied > 0) || storage.map.borrow().version > 0
    };
    let mut changes = storage.map.subscribe();
    let wanted = |version: u64| match have {
        Some(have) => version > have,
        None => true,
    };
    if have.is_none() && !begun() {
        tokio::time::sleep(wait / 8).await;
        if !begun() {
            return None;
        }
    }
    let newer = changes.wait_for(|map| wanted(map.version));
    match tokio::time::timeout(wait, newer).await {
        Ok(Ok(map)) => Some((**map).clone()),
        _ => None,
    }
}
