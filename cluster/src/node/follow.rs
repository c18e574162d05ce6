//! Following the routing map: by version, from any metadata replica, at a bounded rate.

use crate::consensus::network::{Peer, call};
use crate::meta::RoutingMap;
use crate::rpc::protocol::{Request, Response};
use rand::RngExt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;
use tokio::sync::{Mutex, Notify, watch};

/// How long a replica holds a question for which it has no news. Shorter than what makes an idle
/// connection look dead.
const HOLD: Duration = Duration::from_millis(250);
/// An answer that takes longer than this is given up, and another replica asked.
const PATIENCE: Duration = Duration::from_millis(750);
/// Least time between two questions.
const PAUSE: Duration = Duration::from_millis(50);

/// Keeps a map up to date.
pub struct Follower {
    replicas: Vec<Peer>,
    map: watch::Sender<Arc<RoutingMap>>,
    /// Whether any replica has answered with a map.
    known: AtomicBool,
    answered: Notify,
    /// Looks that were begun, and the last one that was answered. One at a time.
    begun: AtomicU64,
    looked: Mutex<u64>,
}

impl Follower {
    /// Starts with what is known. `replicas` are the metadata replicas, best first.
    pub fn new(replicas: Vec<Peer>, map: watch::Sender<Arc<RoutingMap>>) -> Self {
        Follower {
            replicas,
            map,
            known: AtomicBool::new(false),
            answered: Notify::new(),
            begun: AtomicU64::new(0),
            looked: Mutex::new(0),
        }
    }

    /// Whether a metadata replica has answered since the start.
    pub fn known(&self) -> bool {
        self.known.load(Ordering::Acquire)
    }

    /// Waits for an answer to a question that is asked from now on, at most for `limit`.
    pub async fn refreshed(&self, limit: Duration) {
        // The question in flight is as good: it is answered as soon as there is a newer map.
        let _ = tokio::time::timeout(limit, self.answered.notified()).await;
    }

    /// Asks for news and takes what there is now, without waiting for any; at most for `limit`.
    /// Those who ask at the same time ask once.
    pub async fn look(&self, limit: Duration) {
        let before = self.begun.load(Ordering::Acquire);
        let look = async {
            let mut looked = self.looked.lock().await;
            // The answer to one that was begun since then is as good.
            if *looked > before {
                return;
            }
            let number = self.begun.fetch_add(1, Ordering::AcqRel) + 1;
            for peer in &self.replicas {
                let have = self.known().then(|| self.map.borrow().version);
                let request = Request::Map { have, wait_ms: 0 };
                if let Ok(Response::Map(news)) = call(&peer.bulk, &request, PATIENCE).await {
                    self.take(news);
                    *looked = number;
                    return;
                }
            }
        };
        let _ = tokio::time::timeout(limit, look).await;
    }

    /// Takes a replica's answer.
    fn take(&self, news: Option<RoutingMap>) {
        if let Some(map) = news {
            self.map.send_if_modified(|known| {
                let newer = map.version > known.version;
                if newer {
                    *known = Arc::new(map);
                }
                newer
            });
            self.known.store(true, Ordering::Release);
        }
        self.answered.notify_waiters();
    }

    /// Runs for ever.
    pub async fn run(&self) {
        let mut turn = 0;
        loop {
            let Some(peer) = self.replicas.get(turn % self.replicas.len().max(1)) else {
                return std::future::pending().await;
            };
            let have = self.known().then(|| self.map.borrow().version);
            let request = Request::Map {
                have,
                wait_ms: HOLD.as_millis() as u32,
            };
            match call(&peer.bulk, &request, PATIENCE).await {
                Ok(Response::Map(news)) => self.take(news),
                Ok(_) | Err(_) => turn += 1,
            }
            let jitter = rand::rng().random_range(1.0..2.0);
            tokio::time::sleep(PAUSE.mul_f64(jitter)).await;
        }
    }
}
