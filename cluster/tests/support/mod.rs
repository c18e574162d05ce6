//! An in-memory backend that can be told to fail, and a raw HTTP client.

use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use gameday_cluster::api::http::{Limits, serve_with};
use gameday_cluster::api::key;
use gameday_cluster::api::value::Item;
use gameday_cluster::api::write::{WriteOp, WriteReply};
use gameday_cluster::backend::{
    Backend, BackendError, Census, ScanPage, StoreKey, TableInfo, TableSpec, TableStatus,
};
use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::ops::Bound;
use std::sync::{Arc, Mutex};
use tokio::net::TcpListener;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

type Table = (TableInfo, BTreeMap<StoreKey, Item>);

/// Tables in memory. Keys that contain `fails` are unavailable, with
/// `unknown` they have unknown outcomes, with `hangs` they never answer.
#[derive(Default)]
pub struct Memory {
    tables: Mutex<BTreeMap<String, Table>>,
}

fn fault(key: &StoreKey) -> Result<bool, BackendError> {
    let text = String::from_utf8_lossy(&key.hash);
    if text.contains("fails") {
        return Err(BackendError::Unavailable("no leader".into()));
    }
    if text.contains("unknown") {
        return Err(BackendError::Unknown("quorum lost".into()));
    }
    Ok(text.contains("hangs"))
}

impl Memory {
    fn with<T>(&self, name: &str, work: impl FnOnce(&mut Table) -> T) -> Result<T, BackendError> {
        self.tables
            .lock()
            .unwrap()
            .get_mut(name)
            .map(work)
            .ok_or_else(|| BackendError::NoSuchTable(name.into()))
    }
}

impl Backend for Memory {
    fn create_table<'a>(
        &'a self,
        spec: TableSpec,
    ) -> BoxFuture<'a, Result<TableInfo, BackendError>> {
        async move {
            let mut tables = self.tables.lock().unwrap();
            if tables.contains_key(&spec.name) {
                return Err(BackendError::InUse(spec.name));
            }
            let info = TableInfo {
                id: format!("id of {}", spec.name),
                spec,
                created: 1.5e9,
                status: TableStatus::Creating,
                partitions: 1,
            };
            tables.insert(info.spec.name.clone(), (info.clone(), BTreeMap::new()));
            Ok(info)
        }
        .boxed()
    }

    fn table<'a>(&'a self, name: &'a str) -> BoxFuture<'a, Result<TableInfo, BackendError>> {
        async move {
            self.with(name, |table| {
                // Seen once as CREATING, then it serves.
                let shown = table.0.clone();
                table.0.status = TableStatus::Active;
                shown
            })
        }
        .boxed()
    }

    fn tables<'a>(&'a self) -> BoxFuture<'a, Result<Vec<String>, BackendError>> {
        async move { Ok(self.tables.lock().unwrap().keys().cloned().collect()) }.boxed()
    }

    fn delete_table<'a>(&'a self, name: &'a str) -> BoxFuture<'a, Result<TableInfo, BackendError>> {
        async move {
            let removed = self.tables.lock().unwrap().remove(name);
            let (mut info, _) = removed.ok_or_else(|| BackendError::NoSuchTable(name.into()))?;
            info.status = TableStatus::Deleting;
            Ok(info)
        }
        .boxed()
    }

    fn census<'a>(&'a self, table: &'a TableInfo) -> BoxFuture<'a, Option<Census>> {
        async move {
            let count = |(_, items): &mut Table| Census {
                items: items.len() as u64,
                bytes: items.values().map(|item| item.size() as u64).sum(),
            };
            self.with(&table.spec.name, count).ok()
        }
        .boxed()
    }

    fn write<'a>(
        &'a self,
        table: &'a TableInfo,
        key: StoreKey,
        op: WriteOp,
    ) -> BoxFuture<'a, Result<WriteReply, BackendError>> {
        async move {
            if fault(&key)? {
                std::future::pending::<()>().await;
            }
            // Through the form in which a log would carry it.
            let op: WriteOp = postcard::from_bytes(&postcard::to_stdvec(&op).unwrap()).unwrap();
            self.with(&table.spec.name, |(_, items)| {
                let reply = op.apply(items.get(&key).cloned());
                if let WriteReply::Done { new, .. } = &reply {
                    match new {
                        Some(item) => items.insert(key, item.clone()),
                        None => items.remove(&key),
                    };
                }
                op.trim(reply)
            })
        }
        .boxed()
    }

    fn read<'a>(
        &'a self,
        table: &'a TableInfo,
        key: StoreKey,
        _consistent: bool,
    ) -> BoxFuture<'a, Result<Option<Item>, BackendError>> {
        async move {
            fault(&key)?;
            self.with(&table.spec.name, |(_, items)| items.get(&key).cloned())
        }
        .boxed()
    }

    fn scan<'a>(
        &'a self,
        table: &'a TableInfo,
        after: Option<StoreKey>,
        limit: usize,
        (segment, total): (u32, u32),
        _consistent: bool,
    ) -> BoxFuture<'a, Result<ScanPage, BackendError>> {
        async move {
            let inside = |key: &StoreKey| crc32fast::hash(&key.hash) % total == segment;
            if after.as_ref().is_some_and(|key| !inside(key)) {
                return Err(BackendError::OutsideSegment);
            }
            self.with(&table.spec.name, |(info, items)| {
                // Small pages, so that the front has to ask several times.
                let limit = limit.min(7);
                let from = after.map_or(Bound::Unbounded, Bound::Excluded);
                let mut page = ScanPage::default();
                for (key, item) in items.range((from, Bound::Unbounded)) {
                    if !inside(key) {
                        continue;
                    }
                    if page.items.len() == limit {
                        let last = page.items.last().unwrap();
                        page.last = Some(key::of_item(&info.spec, last).unwrap());
                        break;
                    }
                    page.items.push(item.clone());
                }
                page
            })
        }
        .boxed()
    }
}

/// A served in-memory backend.
pub struct Served {
    pub address: SocketAddr,
    pub stop: oneshot::Sender<()>,
    pub task: JoinHandle<()>,
}

impl Served {
    pub async fn start(limits: Limits) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (stop, stopped) = oneshot::channel();
        let task = tokio::spawn(async move {
            let stopped = async {
                let _ = stopped.await;
            };
            serve_with(listener, Arc::new(Memory::default()), limits, stopped).await;
        });
        Self {
            address,
            stop,
            task,
        }
    }
}
