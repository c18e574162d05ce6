//! The router as the API's backend.

use super::Router;
use super::outcome::{After, describe, hint, of_write, unavailable};
use crate::api::value::Item;
use crate::api::write::{WriteOp, WriteReply};
use crate::backend::{
    Backend, BackendError, ScanPage, StoreKey, TableInfo, TableSpec, TableStatus,
};
use crate::consensus::group::item;
use crate::consensus::types::{Command, GroupId, NodeId, Op, Outcome};
use crate::meta::{META_GROUP, MetaReply, Placement, Table, first_hash, key, partition_of};
use crate::rpc::protocol::{Blob, Pair, Refusal, Request, Response};
use futures_util::future::BoxFuture;
use std::time::{Duration, Instant};

/// Most bytes of items in one page of a scan, give or take one item.
const PAGE_BYTES: usize = 1 << 20;
/// How long a request for an unknown table waits for news of it.
const NEWS: Duration = Duration::from_millis(400);
/// Attempts at one strong read.
const ATTEMPTS: u32 = 8;

impl Router {
    fn until(&self) -> Instant {
        Instant::now() + self.deadline
    }

    /// The table of this name. If it is not known, or not known to serve yet, news of it is
    /// awaited first: another router may have said already that it serves.
    async fn find_table(&self, name: &str) -> Result<Table, BackendError> {
        let until = Instant::now() + NEWS;
        let mut asked = false;
        loop {
            let table = self.map.borrow().tables.get(name).cloned();
            let settled = match &table {
                Some(table) => table.info.status != TableStatus::Creating,
                None => asked,
            };
            let left = until.saturating_duration_since(Instant::now());
            if settled || left.is_zero() {
                return match table {
                    Some(table) => Ok(table),
                    None if self.follower.known() => {
                        Err(BackendError::NoSuchTable(name.to_owned()))
                    }
                    None => Err(unavailable("the metadata does not answer")),
                };
            }
            self.follower.refreshed(left).await;
            asked = true;
        }
    }

    /// The group of a hash, if the table that was meant still exists.
    fn placement(&self, table: &TableInfo, hash: u64) -> Result<Placement, BackendError> {
        let map = self.map.borrow();
        let gone = || BackendError::NoSuchTable(table.spec.name.clone());
        let found = map.tables.get(&table.spec.name).ok_or_else(gone)?;
        let placement = found.partitions.get(found.partition_of(hash));
        placement.cloned().ok_or_else(gone)
    }

    /// Proposes something to a group's leader; retries once if it certainly was not proposed.
    async fn propose(
        &self,
        group: GroupId,
        members: &[NodeId],
        until: Instant,
        request: Request,
    ) -> Result<Outcome, BackendError> {
        let mut retried = false;
        loop {
            let Some(leader) = self.leader(group, members, until).await else {
                return Err(unavailable("no leader"));
            };
            let left = until.saturating_duration_since(Instant::now());
            let hop = left.min(self.write_hop);
            match of_write(self.ask(leader, &request, hop).await) {
                After::Done(outcome) => {
                    self.leaders.confirmed(group, leader);
                    return Ok(outcome);
                }
                After::Unknown { silent, why } => {
                    if silent {
                        self.leaders.silent(group, leader);
                    }
                    return Err(BackendError::Unknown(why));
                }
                After::Retry {
                    hint,
                    unreachable,
                    why,
                } => {
                    if unreachable {
                        self.leaders.silent(group, leader);
                    } else {
                        self.leaders.refused(group, leader, hint);
                    }
                    if retried {
                        return Err(unavailable(why));
                    }
                    retried = true;
                }
            }
        }
    }

    /// A linearizable read by a group's leader: without effect, so asked again until the deadline.
    async fn by_leader<T>(
        &self,
        placement: &Placement,
        until: Instant,
        request: &Request,
        take: impl Fn(Response) -> Result<Result<T, Refusal>, String>,
    ) -> Result<T, BackendError> {
        let group = placement.group;
        let mut why = "no leader".to_owned();
        for _ in 0..ATTEMPTS {
            let Some(leader) = self.leader(group, &placement.members, until).await else {
                break;
            };
            let left = until.saturating_duration_since(Instant::now());
            let answer = self.ask(leader, request, left.min(self.read_hop)).await;
            match answer.map(&take) {
                Ok(Ok(Ok(value))) => {
                    self.leaders.confirmed(group, leader);
                    return Ok(value);
                }
                Ok(Ok(Err(refusal))) => {
                    self.leaders.refused(group, leader, hint(&refusal));
                    why = describe(&refusal);
                }
                Ok(Err(odd)) => {
                    self.leaders.refused(group, leader, None);
                    why = odd;
                }
                Err(error) => {
                    self.leaders.silent(group, leader);
                    why = error.to_string();
                }
            }
        }
        Err(unavailable(why))
    }

    /// A read by any replica, the nearest that answers.
    async fn by_any<T>(
        &self,
        placement: &Placement,
        until: Instant,
        request: &Request,
        take: impl Fn(Response) -> Result<Result<T, Refusal>, String>,
    ) -> Result<T, BackendError> {
        let mut nearest = self.nearest(&placement.members);
        // Those that look dead last: they may only look so.
        nearest.sort_by_key(|n| self.peers.get(n).is_none_or(|p| p.fast.looks_dead()));
        let mut why = "no replica".to_owned();
        for node in nearest {
            let left = until.saturating_duration_since(Instant::now());
            let answer = self.ask(node, request, left.min(self.read_hop)).await;
            match answer.map(&take) {
                Ok(Ok(Ok(value))) => return Ok(value),
                Ok(Ok(Err(refusal))) => why = describe(&refusal),
                Ok(Err(odd)) => why = odd,
                Err(error) => why = error.to_string(),
            }
        }
        Err(unavailable(why))
    }

    async fn change_metadata(
        &self,
        request: Request,
        name: &str,
    ) -> Result<TableInfo, BackendError> {
        let until = self.until();
        let mut members: Vec<NodeId> = self
            .configs
            .values()
            .filter(|p| p.meta)
            .map(|p| p.id)
            .collect();
        members.sort_unstable();
        match self.propose(META_GROUP, &members, until, request).await? {
            Outcome::Meta(MetaReply::Table(info, version)) => {
                // Who created a table through this router finds it through this router.
                let mut changes = self.map.subscribe();
                let seen = changes.wait_for(|map| map.version >= version);
                let _ = tokio::time::timeout_at(until.into(), seen).await;
                let map = self.map.borrow().clone();
                self.leaders.keep(|group| {
                    group == META_GROUP || map.groups().any(|(_, _, p)| p.group == group)
                });
                Ok(info)
            }
            Outcome::Meta(MetaReply::NoSuchTable) => Err(BackendError::NoSuchTable(name.into())),
            Outcome::Meta(MetaReply::InUse) => Err(BackendError::InUse(name.into())),
            Outcome::Meta(MetaReply::Refused(why)) => Err(unavailable(why)),
            _ => Err(BackendError::Unknown(
                "an odd answer of the metadata".into(),
            )),
        }
    }

    async fn scan_partition(
        &self,
        placement: &Placement,
        until: Instant,
        request: Request,
        consistent: bool,
    ) -> Result<(Vec<Pair>, bool), BackendError> {
        let take = |response| match response {
            Response::Scan(page) => Ok(page),
            other => Err(odd(&other)),
        };
        if consistent {
            self.by_leader(placement, until, &request, take).await
        } else {
            self.by_any(placement, until, &request, take).await
        }
    }
}

fn odd(response: &Response) -> String {
    match response {
        Response::Failed(why) => why.clone(),
        _ => "an answer to another question".into(),
    }
}

fn damaged(error: std::io::Error) -> BackendError {
    unavailable(error.to_string())
}

/// Eight bytes before all storage keys from this hash on; `None` from 2^64 on.
fn hash_bound(hash: u128) -> Option<Vec<u8>> {
    u64::try_from(hash).ok().map(|h| h.to_be_bytes().to_vec())
}

impl Backend for Router {
    fn create_table<'a>(
        &'a self,
        spec: TableSpec,
    ) -> BoxFuture<'a, Result<TableInfo, BackendError>> {
        Box::pin(async move {
            let name = spec.name.clone();
            let partitions = self.partitions;
            let request = Request::CreateTable { spec, partitions };
            self.change_metadata(request, &name).await
        })
    }

    fn table<'a>(&'a self, name: &'a str) -> BoxFuture<'a, Result<TableInfo, BackendError>> {
        Box::pin(async move { Ok(self.find_table(name).await?.info) })
    }

    fn tables<'a>(&'a self) -> BoxFuture<'a, Result<Vec<String>, BackendError>> {
        Box::pin(async move {
            if !self.follower.known() {
                self.follower.refreshed(NEWS).await;
            }
            if !self.follower.known() {
                return Err(unavailable("the metadata does not answer"));
            }
            Ok(self.map.borrow().tables.keys().cloned().collect())
        })
    }

    fn delete_table<'a>(&'a self, name: &'a str) -> BoxFuture<'a, Result<TableInfo, BackendError>> {
        Box::pin(async move {
            let request = Request::DeleteTable {
                name: name.to_owned(),
            };
            self.change_metadata(request, name).await
        })
    }

    fn write<'a>(
        &'a self,
        table: &'a TableInfo,
        key: StoreKey,
        op: WriteOp,
    ) -> BoxFuture<'a, Result<WriteReply, BackendError>> {
        Box::pin(async move {
            let until = self.until();
            let placement = self.placement(table, key::hash64(&key.hash))?;
            let command = Command::new(&Op::Write { key, op })
                .map_err(|e| unavailable(format!("the write cannot be encoded: {e}")))?;
            let request = Request::Write(placement.group, command);
            let outcome = self
                .propose(placement.group, &placement.members, until, request)
                .await?;
            match outcome {
                Outcome::Write(reply) => Ok(reply),
                _ => Err(BackendError::Unknown("an odd answer of the leader".into())),
            }
        })
    }

    fn read<'a>(
        &'a self,
        table: &'a TableInfo,
        key: StoreKey,
        consistent: bool,
    ) -> BoxFuture<'a, Result<Option<Item>, BackendError>> {
        Box::pin(async move {
            let until = self.until();
            let placement = self.placement(table, key::hash64(&key.hash))?;
            let request = Request::Read {
                group: placement.group,
                key,
                consistent,
            };
            let take = |response| match response {
                Response::Read(value) => Ok(value),
                other => Err(odd(&other)),
            };
            let stored = if consistent {
                self.by_leader(&placement, until, &request, take).await?
            } else {
                self.by_any(&placement, until, &request, take).await?
            };
            stored.map(|b| item(&b.0)).transpose().map_err(damaged)
        })
    }

    fn scan<'a>(
        &'a self,
        table: &'a TableInfo,
        after: Option<StoreKey>,
        limit: usize,
        segment: (u32, u32),
        consistent: bool,
    ) -> BoxFuture<'a, Result<ScanPage, BackendError>> {
        Box::pin(async move {
            let until = self.until();
            let (number, of) = (segment.0 as usize, segment.1.max(1) as usize);
            let end = first_hash(number + 1, of);
            let end_key = hash_bound(end);
            let begin = first_hash(number, of);
            let mut start = match &after {
                Some(key) => Some(key::storage_key(key)),
                None => hash_bound(begin),
            };
            let first = match &after {
                Some(key) => key::hash64(&key.hash),
                None => begin as u64,
            };
            // The map may change between pages: partitions of a table do not, so far.
            let partitions = {
                let map = self.map.borrow();
                let found = map.tables.get(&table.spec.name);
                found.map(|t| t.partitions.clone())
            }
            .ok_or_else(|| BackendError::NoSuchTable(table.spec.name.clone()))?;
            let count = partitions.len();
            let mut page = ScanPage::default();
            let mut bytes = 0;
            let mut last = None;
            let from = partition_of(first, count);
            for (number, placement) in partitions.iter().enumerate().skip(from) {
                if first_hash(number, count) >= end {
                    break;
                }
                if page.items.len() >= limit || bytes >= PAGE_BYTES {
                    page.last = last;
                    break;
                }
                loop {
                    let request = Request::Scan {
                        group: placement.group,
                        after: start.clone().map(Blob),
                        until: end_key.clone().map(Blob),
                        limit: (limit - page.items.len()).min(u32::MAX as usize) as u32,
                        bytes: (PAGE_BYTES - bytes) as u32,
                        consistent,
                    };
                    let (pairs, more) = self
                        .scan_partition(placement, until, request, consistent)
                        .await?;
                    let got = pairs.len();
                    for (key, value) in pairs {
                        bytes += value.0.len();
                        page.items.push(item(&value.0).map_err(damaged)?);
                        last = key::store_key(&key.0);
                        start = Some(key.0);
                    }
                    if !more || got == 0 {
                        break;
                    }
                    if page.items.len() >= limit || bytes >= PAGE_BYTES {
                        page.last = last;
                        return Ok(page);
                    }
                }
            }
            Ok(page)
        })
    }
}
