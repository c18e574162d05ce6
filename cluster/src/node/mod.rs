//! A node: what runs in one process.

pub mod admin;
mod control;
pub mod follow;
mod found;
mod progress;
mod recover;
mod repair;
mod service;
mod storage;
#[cfg(test)]
mod tests;

pub use storage::Storage;

use crate::config::{ConfigError, NodeConfig, RouterConfig, StorageConfig};
use crate::router::Router;
use futures_util::future::BoxFuture;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::net::TcpListener;

/// Why a node ended.
#[derive(Debug, thiserror::Error)]
pub enum NodeError {
    /// It cannot be what it is told to be.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// It cannot listen.
    #[error("cannot listen on {addr}: {error}")]
    Listen {
        /// Where.
        addr: SocketAddr,
        /// Why not.
        error: io::Error,
    },
    /// It cannot start or go on from what is on its disk.
    #[error("{0}")]
    Storage(String),
    /// Its disk is full: it can when there is room again.
    #[error("{0}")]
    NoRoom(String),
}

impl NodeError {
    /// An error of the disk while doing `what`.
    fn of_disk(what: &str, error: &io::Error) -> Self {
        let text = format!("{what}: {error}");
        match error.kind() {
            io::ErrorKind::StorageFull => NodeError::NoRoom(text),
            _ => NodeError::Storage(text),
        }
    }
}

/// How long an address may still be held by the process that was here before.
const HELD: Duration = Duration::from_secs(3);
/// Between two tries at what somebody else holds or fills.
const AGAIN: Duration = Duration::from_millis(100);

/// Listens. An address in use is tried again for a while: a node that was killed and is started
/// again at once meets its own earlier self, which the kernel may not have put away yet.
pub(crate) async fn listen(addr: SocketAddr) -> Result<TcpListener, NodeError> {
    let start = Instant::now();
    loop {
        match TcpListener::bind(addr).await {
            Err(e) if e.kind() == io::ErrorKind::AddrInUse && start.elapsed() < HELD => {
                tokio::time::sleep(AGAIN).await;
            }
            bound => return bound.map_err(|error| NodeError::Listen { addr, error }),
        }
    }
}

/// Runs a node until `shutdown` resolves, or until it cannot go on (then the process should end:
/// it recovers when it is started again). Logs with `tracing`.
///
/// Boxed on purpose: all of a node is compiled here, in this crate and with its optimisation, and
/// not once more by everybody who runs one.
pub fn run(
    config: NodeConfig,
    shutdown: BoxFuture<'static, ()>,
) -> BoxFuture<'static, Result<(), NodeError>> {
    Box::pin(async move {
        config.check()?;
        match config {
            NodeConfig::Storage(config) => run_storage(config, shutdown).await,
            NodeConfig::Router(config) => run_router(config, shutdown).await,
        }
    })
}

async fn run_storage(
    config: StorageConfig,
    mut shutdown: BoxFuture<'static, ()>,
) -> Result<(), NodeError> {
    // Both ports are taken before anything is recovered: a second process on the same addresses
    // must not touch the disk.
    let peers = listen(config.peer_bind).await?;
    let admin = listen(config.admin_bind).await?;
    let name = config.name.clone();
    let mut waits = false;
    let storage = loop {
        match Storage::open(config.clone()).await {
            Err(NodeError::NoRoom(why)) => {
                if !std::mem::replace(&mut waits, true) {
                    tracing::error!(node = name, why, "the node waits for room on its disk");
                }
            }
            opened => break opened?,
        }
        tokio::select! {
            () = tokio::time::sleep(AGAIN) => {}
            () = &mut shutdown => return Ok(()),
        }
    };
    tracing::info!(node = name, "storage node is recovered and serves");
    serve_storage(storage, peers, admin, shutdown).await
}

async fn serve_storage(
    storage: Arc<Storage>,
    peers: TcpListener,
    admin: TcpListener,
    shutdown: BoxFuture<'static, ()>,
) -> Result<(), NodeError> {
    let rpc = crate::rpc::serve(peers, Arc::new(service::Service(storage.clone())));
    let admin = admin::serve(admin, storage.clone());
    let result = tokio::select! {
        () = rpc => Ok(()),
        () = admin => Ok(()),
        failed = storage.run() => Err(NodeError::Storage(failed)),
        () = shutdown => Ok(()),
    };
    storage.stop().await;
    result
}

async fn run_router(
    config: RouterConfig,
    shutdown: BoxFuture<'static, ()>,
) -> Result<(), NodeError> {
    let public = listen(config.public_bind).await?;
    let admin = listen(config.admin_bind).await?;
    tracing::info!(node = config.name, "router serves");
    let router = Arc::new(Router::new(&config));
    let front = crate::api::http::serve(public, router.clone(), shutdown);
    let admin = admin::serve(admin, router.clone());
    tokio::select! {
        () = front => {}
        () = admin => {}
        () = router.follow_map() => {}
    }
    Ok(())
}

#[cfg(test)]
mod listen_tests {
    use super::*;

    /// What a node meets that is started while its killed self still has the port.
    #[tokio::test]
    async fn an_address_that_is_still_held_is_waited_for() {
        let held = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let addr = held.local_addr().unwrap();
        let mut waiting = Box::pin(listen(addr));
        let first = futures_util::poll!(waiting.as_mut());
        assert!(first.is_pending(), "it gave up at once");
        drop(held);
        assert_eq!(waiting.await.unwrap().local_addr().unwrap(), addr);
    }
}
