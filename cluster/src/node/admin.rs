//! The admin port: `GET /health`, `/status`, `/digest`, `/applied`, `/disk` and
//! `/clock` for whoever runs the cluster. It only tells; `/disk` writes a block to a file of
//! its own to see what happens.

use super::storage::Storage;
use crate::consensus::group::Role;
use crate::consensus::recent::Written;
use crate::meta::META_GROUP;
use bytes::Bytes;
use futures_util::future::BoxFuture;
use gameday_record::conditions::DiskProbe;
use http_body_util::Full;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::{TokioIo, TokioTimer};
use serde::Serialize;
use std::collections::BTreeSet;
use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;
use tokio::net::TcpListener;
use tokio::task::JoinSet;

/// Connections at the same time.
const CONNECTIONS: usize = 64;
/// Writes that are asked about at once.
pub const MAX_WRITES: usize = 200;
/// Longest time that an answer may take, and a connection may idle.
const LIMIT: Duration = Duration::from_secs(30);

/// What a node says about itself.
pub trait Admin: Send + Sync + 'static {
    /// Whether it serves; if not, why.
    fn health(&self) -> Result<(), String>;
    /// `GET /status`.
    fn status(&self) -> Status;
    /// `GET /digest`: its replicas' contents, at the index applied now.
    fn digest(&self) -> BoxFuture<'_, Result<Vec<ReplicaDigest>, String>>;
    /// `GET /applied?writes=KEY:NUMBER,…`: which of these writes took effect.
    fn applied(&self, writes: &BTreeSet<Written>) -> Vec<ReplicaApplied>;
    /// `GET /disk`: what happens when its disk is tried; absent without a disk.
    fn disk(&self) -> Option<BoxFuture<'_, Result<DiskProbe, String>>>;
}

/// `GET /status`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Status {
    /// `storage` or `router`.
    pub role: &'static str,
    /// The node's name.
    pub name: String,
    /// Version of the routing map that it uses.
    pub map_version: u64,
    /// Its log; absent for a router.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub log: Option<LogView>,
    /// Its replicas; for a router the groups that it knows, as it knows them.
    pub groups: Vec<GroupView>,
}

/// The log of a node: what it takes, and what it has done since the start.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct LogView {
    /// Segment files.
    pub segments: u64,
    /// Bytes of entries on disk that are still needed, as of the last new or removed segment.
    pub live_bytes: u64,
    /// About how many bytes of entries all replicas have in memory.
    pub memory_bytes: u64,
    /// Records written.
    pub records: u64,
    /// Batches written, each with one sync.
    pub batches: u64,
    /// Bytes of these batches.
    pub written_bytes: u64,
}

/// A replication group as a node sees it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct GroupView {
    /// `table/partition`, or `metadata`.
    pub group: String,
    /// What this node does in it; absent for a router.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub role: Option<Role>,
    /// Who leads, as far as this node knows.
    pub leader: Option<String>,
    /// Term; 0 for a router.
    pub term: u64,
    /// Index of the last entry applied here; 0 for a router.
    pub applied: u64,
    /// Names of its members.
    pub members: Vec<String>,
}

/// One replica's contents.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct ReplicaDigest {
    /// `table/partition`.
    pub partition: String,
    /// Whose replica.
    pub node: String,
    /// Index of the last entry applied.
    pub applied: u64,
    /// Hash of all items, lower-case hexadecimal: equal exactly if the items are.
    pub digest: String,
    /// Number of items.
    pub items: u64,
}

/// What one replica remembers of the writes that it applied.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct ReplicaApplied {
    /// `table/partition`.
    pub partition: String,
    /// Whose replica.
    pub node: String,
    /// It remembers every write that it applied after this reading of
    /// `CLOCK_MONOTONIC`, in nanoseconds; 0: every write of the partition.
    pub since_ns: u64,
    /// Index of the last entry applied.
    pub applied: u64,
    /// Numbers of those of the writes that took effect.
    pub found: BTreeSet<i64>,
}

/// Serves until dropped.
pub async fn serve(listener: TcpListener, admin: Arc<dyn Admin>) {
    let mut connections = JoinSet::new();
    loop {
        while connections.try_join_next().is_some() {}
        let Ok((stream, _)) = listener.accept().await else {
            tokio::time::sleep(Duration::from_millis(50)).await;
            continue;
        };
        if connections.len() >= CONNECTIONS {
            continue;
        }
        let admin = admin.clone();
        connections.spawn(async move {
            let service = service_fn(move |request| {
                let admin = admin.clone();
                async move { Ok::<_, Infallible>(answer(admin.as_ref(), &request).await) }
            });
            let connection = http1::Builder::new()
                .timer(TokioTimer::new())
                .header_read_timeout(LIMIT)
                .serve_connection(TokioIo::new(stream), service);
            // A client that goes away in the middle is its own business.
            let _ = connection.await;
        });
    }
}

async fn answer<B>(admin: &dyn Admin, request: &Request<B>) -> Response<Full<Bytes>> {
    let (status, body) = match (request.method(), request.uri().path()) {
        (&Method::GET, "/health") => match admin.health() {
            Ok(()) => (StatusCode::OK, "ok\n".to_owned()),
            Err(why) => (StatusCode::SERVICE_UNAVAILABLE, why + "\n"),
        },
        (&Method::GET, "/status") => json(&admin.status()),
        (&Method::GET, "/digest") => within(admin.digest()).await,
        (&Method::GET, "/disk") => match admin.disk() {
            Some(tried) => within(tried).await,
            None => (StatusCode::NOT_FOUND, "this node has no disk\n".to_owned()),
        },
        (&Method::GET, "/clock") => json(&crate::clock::reading()),
        (&Method::GET, "/applied") => match writes(request.uri().query().unwrap_or_default()) {
            Ok(writes) => json(&admin.applied(&writes)),
            Err(why) => (StatusCode::BAD_REQUEST, why + "\n"),
        },
        (&Method::GET, _) => (
            StatusCode::NOT_FOUND,
            "there are /health, /status, /digest, /applied, /disk and /clock\n".to_owned(),
        ),
        _ => (StatusCode::METHOD_NOT_ALLOWED, "only GET\n".to_owned()),
    };
    let mut response = Response::new(Full::new(Bytes::from(body)));
    *response.status_mut() = status;
    response
}

/// An answer that takes time, but not for ever.
async fn within<T: Serialize>(work: BoxFuture<'_, Result<T, String>>) -> (StatusCode, String) {
    match tokio::time::timeout(LIMIT, work).await {
        Ok(Ok(answer)) => json(&answer),
        Ok(Err(why)) => (StatusCode::INTERNAL_SERVER_ERROR, why + "\n"),
        Err(_) => (
            StatusCode::GATEWAY_TIMEOUT,
            "it takes too long\n".to_owned(),
        ),
    }
}

/// Reads `writes=KEY:NUMBER,…`, where KEY is a string partition key. Keys stand there as they are: without commas,
/// ampersands and per cent signs.
fn writes(query: &str) -> Result<BTreeSet<Written>, String> {
    let list = query
        .strip_prefix("writes=")
        .filter(|list| !list.contains(['&', '%']))
        .ok_or("ask with ?writes=KEY:NUMBER,KEY:NUMBER")?;
    let mut out = BTreeSet::new();
    for (n, pair) in list.split(',').enumerate() {
        if n == MAX_WRITES {
            return Err(format!("at most {MAX_WRITES} writes at once"));
        }
        let write = pair
            .rsplit_once(':')
            .and_then(|(key, number)| Some(Written::new(key.as_bytes(), number.parse().ok()?)));
        out.insert(write.ok_or_else(|| format!("number {} is not KEY:NUMBER", n + 1))?);
    }
    Ok(out)
}

fn json(value: &impl Serialize) -> (StatusCode, String) {
    match serde_json::to_string(value) {
        Ok(text) => (StatusCode::OK, text + "\n"),
        Err(e) => (StatusCode::INTERNAL_SERVER_ERROR, e.to_string()),
    }
}

impl Storage {
    fn log_view(&self) -> LogView {
        let stats = self.wal_stats();
        let groups = self.all_groups();
        LogView {
            segments: stats.segments,
            live_bytes: stats.live,
            memory_bytes: groups.iter().map(|g| g.log_bytes() as u64).sum(),
            records: stats.records,
            batches: stats.batches,
            written_bytes: stats.bytes,
        }
    }

    fn group_name(&self, id: u64) -> String {
        if id == META_GROUP {
            return "metadata".into();
        }
        let map = self.map.borrow();
        let found = map.groups().find(|(_, _, p)| p.group == id);
        found.map_or_else(
            || format!("deleted/{id}"),
            |(table, partition, _)| format!("{}/{partition}", table.info.spec.name),
        )
    }
}

impl Admin for Storage {
    fn health(&self) -> Result<(), String> {
        // Its ports are open only after everything is recovered; but what was found damaged is
        // repaired from the other replicas after that.
        match self.all_groups().into_iter().find(|g| g.amnesiac()) {
            Some(group) => Err(format!(
                "the replica of {} is being repaired",
                self.group_name(group.id)
            )),
            None => Ok(()),
        }
    }

    fn status(&self) -> Status {
        let name = |id: u64| self.name_of(id).map(str::to_owned);
        let groups = self.all_groups().into_iter().map(|group| {
            let status = group.status();
            GroupView {
                group: self.group_name(group.id),
                role: Some(status.role),
                leader: status.leader.and_then(name),
                term: status.term,
                applied: status.applied,
                members: group.members.iter().filter_map(|m| name(*m)).collect(),
            }
        });
        Status {
            role: "storage",
            name: self.config.name.clone(),
            map_version: self.map.borrow().version,
            log: Some(self.log_view()),
            groups: groups.collect(),
        }
    }

    fn digest(&self) -> BoxFuture<'_, Result<Vec<ReplicaDigest>, String>> {
        Box::pin(async {
            let mut out = Vec::new();
            for group in self.all_groups() {
                if group.id == META_GROUP {
                    continue;
                }
                let partition = self.group_name(group.id);
                let (digest, applied) = group
                    .digest()
                    .await
                    .map_err(|e| format!("{partition}: {e}"))?;
                out.push(ReplicaDigest {
                    partition,
                    node: self.config.name.clone(),
                    applied,
                    digest: digest.hex(),
                    items: digest.count,
                });
            }
            Ok(out)
        })
    }

    fn applied(&self, writes: &BTreeSet<Written>) -> Vec<ReplicaApplied> {
        let groups = self.all_groups().into_iter();
        groups
            .filter_map(|group| {
                let remembered = group.which_applied(writes)?;
                Some(ReplicaApplied {
                    partition: self.group_name(group.id),
                    node: self.config.name.clone(),
                    since_ns: remembered.since_ns,
                    applied: remembered.applied,
                    found: remembered.found,
                })
            })
            .collect()
    }

    fn disk(&self) -> Option<BoxFuture<'_, Result<DiskProbe, String>>> {
        let disk = self.disk.clone();
        Some(Box::pin(async move {
            tokio::task::spawn_blocking(move || crate::disk::probe(disk.as_ref()))
                .await
                .map_err(|e| e.to_string())
        }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn questions_about_writes_are_read_strictly() {
        let two = BTreeSet::from([Written::new(b"k:1", -7), Written::new(b"x", 8)]);
        assert_eq!(writes("writes=k:1:-7,x:8"), Ok(two));
        for wrong in [
            "",
            "writes=",
            "writes=k",
            "writes=k:x",
            "writes=k:1&a=2",
            "writes=%41:1",
        ] {
            assert!(writes(wrong).is_err(), "{wrong}");
        }
        let many = |n| format!("writes={}", vec!["k:1"; n].join(","));
        assert!(writes(&many(MAX_WRITES)).is_ok());
        assert!(
            writes(&many(MAX_WRITES + 1))
                .unwrap_err()
                .contains("at most")
        );
    }
}
