//! The router as the API's backend.

use super::Router;
use super::outcome::{After, describe, hint, of_write, unavailable};
use crate::api::value::Item;
use crate::api::write::{WriteOp, WriteReply};
use crate::backend::{
    Backend, BackendError, Census, ScanPage, StoreKey, TableInfo, TableSpec, TableStatus,
};
use crate::consensus::group::item;
use crate::consensus::types::{Command, GroupId, MAX_COMMAND, NodeId, Op, Outcome};
use crate::meta::{META_GROUP, MetaReply, Placement, Table, first_hash, key, partition_of};
use crate::rpc::protocol::{Blob, Pair, Refusal, Request, Response};
use futures_util::future::BoxFuture;
use std::time::{Duration, Instant};

/// Most bytes of items in one page of a scan, give or take one item.
const PAGE_BYTES: usize = 1 << 20;
/// How long a request for a table that is being made, or whose metadata is silent, waits for news.
const NEWS: Duration = Duration::from_millis(400);
/// Attempts at one strong read.
const ATTEMPTS: u32 = 8;

impl Router {
    fn until(&self) -> Instant {
        Instant::now() + self.deadline
    }

    /// The table of this name. If it is not known, the metadata is asked first; if it is not known
    /// to serve yet, news of it is awaited: another router may have said already that it serves.
    async fn find_table(&self, name: &str) -> Result<Table, BackendError> {
        let until = Instant::now() + NEWS;
        let mut asked = false;
        loop {
            let table = self.map.borrow().tables.get(name).cloned();
            let left = until.saturating_duration_since(Instant::now());
            match table {
                Some(table) if table.info.status != TableStatus::Creating || left.is_zero() => {
                    return Ok(table);
                }
                None if !asked => {
                    self.follower.look(left).await;
                    asked = true;
                }
                None if self.follower.known() => {
                    return Err(BackendError::NoSuchTable(name.to_owned()));
                }
                None if left.is_zero() => {
                    return Err(unavailable("the metadata does not answer"));
                }
                _ => self.follower.refreshed(left).await,
            }
        }
    }

    /// Looks something up in the table that was meant, if it still exists: there may be another
    /// one of its name by now.
    fn in_table<T>(
        &self,
        table: &TableInfo,
        look: impl FnOnce(&Table) -> Option<T>,
    ) -> Result<T, BackendError> {
        let map = self.map.borrow();
        let found = map.tables.get(&table.spec.name);
        found
            .filter(|found| found.info.id == table.id)
            .and_then(look)
            .ok_or_else(|| BackendError::NoSuchTable(table.spec.name.clone()))
    }

    /// The group of a hash.
    fn placement(&self, table: &TableInfo, hash: u64) -> Result<Placement, BackendError> {
        self.in_table(table, |found| {
            found.partitions.get(found.partition_of(hash)).cloned()
        })
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
            Outcome::Meta(MetaReply::LimitExceeded(why)) => Err(BackendError::LimitExceeded(why)),
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

    fn census<'a>(&'a self, table: &'a TableInfo) -> BoxFuture<'a, Option<Census>> {
        Box::pin(async move {
            let until = self.until();
            let partitions = self.in_table(table, |found| Some(found.partitions.clone()));
            let ask = partitions.ok()?.into_iter().map(|placement| async move {
                let take = |response| match response {
                    Response::Census(census) => Ok(census),
                    other => Err(odd(&other)),
                };
                let request = Request::Census(placement.group);
                self.by_any(&placement, until, &request, take).await.ok()
            });
            let parts = futures_util::future::join_all(ask).await;
            parts.into_iter().try_fold(Census::default(), |sum, part| {
                let part = part?;
                Some(Census {
                    items: sum.items + part.items,
                    bytes: sum.bytes + part.bytes,
                })
            })
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
            if command.0.len() > MAX_COMMAND {
                return Err(BackendError::TooLarge(MAX_COMMAND));
            }
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
            if !(begin..end).contains(&first.into()) {
                return Err(BackendError::OutsideSegment);
            }
            // The map may change between pages: partitions of a table do not, so far.
            let partitions = self.in_table(table, |found| Some(found.partitions.clone()))?;
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::value::AttributeValue;
    use crate::api::write::Action;
    use crate::config::RouterConfig;
    use crate::meta::RoutingMap;
    use std::sync::Arc;

    /// A router that reaches nobody, and knows one table of this id.
    fn router(id: &str) -> (Router, TableInfo) {
        let nowhere = std::net::SocketAddr::from(([127, 0, 0, 1], 1));
        let router = Router::new(&RouterConfig {
            name: "router-a".into(),
            az: "a".into(),
            public_bind: nowhere,
            admin_bind: nowhere,
            peers: Default::default(),
            partitions: 1,
            deadline_ms: 50,
            write_hop_ms: 50,
            read_hop_ms: 50,
        });
        let info = TableInfo {
            spec: TableSpec::of_strings("tab"),
            id: id.into(),
            created: 1.0,
            status: TableStatus::Active,
            partitions: 1,
        };
        let mut map = RoutingMap::default();
        let placement = Placement {
            group: 1,
            members: vec![1, 2, 3],
        };
        let table = Table {
            info: info.clone(),
            partitions: vec![placement],
        };
        map.tables.insert("tab".into(), table);
        router.map.send_replace(Arc::new(map));
        (router, info)
    }

    fn key(hash: &[u8]) -> StoreKey {
        StoreKey {
            hash: hash.to_vec(),
            range: Vec::new(),
        }
    }

    /// A batch looks all its tables up before it writes: one may be deleted and made again
    /// meanwhile, with other keys.
    #[tokio::test]
    async fn another_table_of_the_same_name_is_not_the_one_that_was_meant() {
        let (router, old) = router("old");
        let place = router.placement(&old, 7);
        assert_eq!(place.map(|p| p.group), Ok(1));
        let mut new = (**router.map.borrow()).clone();
        if let Some(table) = new.tables.get_mut("tab") {
            table.info.id = "new".into();
        }
        router.map.send_replace(Arc::new(new));
        let gone = BackendError::NoSuchTable("tab".into());
        let op = WriteOp::new(Action::Delete);
        assert_eq!(router.write(&old, key(b"k"), op).await, Err(gone.clone()));
        let read = router.read(&old, key(b"k"), true).await;
        assert_eq!(read, Err(gone.clone()));
        let scan = router.scan(&old, None, 1, (0, 1), true).await;
        assert_eq!(scan, Err(gone));
        assert_eq!(router.census(&old).await, None);
    }

    #[tokio::test]
    async fn what_does_not_fit_an_entry_is_not_proposed() {
        let (router, table) = router("t");
        let mut op = WriteOp::new(Action::Delete);
        op.values = vec![AttributeValue::B(vec![0; MAX_COMMAND])];
        let written = router.write(&table, key(b"k"), op).await;
        assert_eq!(written, Err(BackendError::TooLarge(MAX_COMMAND)));
        // A little less is proposed, or would be if there was anybody.
        let mut op = WriteOp::new(Action::Delete);
        op.values = vec![AttributeValue::B(vec![0; MAX_COMMAND - 100])];
        let written = router.write(&table, key(b"k"), op).await;
        assert!(
            matches!(written, Err(BackendError::Unavailable(_))),
            "{written:?}"
        );
    }

    #[tokio::test]
    async fn a_scan_goes_on_only_within_its_segment() {
        let (router, table) = router("t");
        let here = (key::hash64(b"k") >> 63) as u32;
        for (segment, inside) in [(here, true), (1 - here, false)] {
            let page = router
                .scan(&table, Some(key(b"k")), 1, (segment, 2), false)
                .await;
            let refused = page == Err(BackendError::OutsideSegment);
            assert_eq!(refused, !inside, "{page:?}");
        }
    }
}
