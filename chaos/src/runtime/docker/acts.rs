//! What the engine is asked to do, each act to its end. Whoever waits for one may
//! give up, but what the engine may still do is not over: the next act on the
//! same node waits for it, so that a kill which is done late is never done after
//! the start that undoes it.

use super::deadline::err;
use crate::runtime::RuntimeError;
use crate::runtime::control::lock;
use std::collections::BTreeMap;
use std::future::Future;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::sync::{OwnedMutexGuard, watch};
use tokio::time::{Instant, timeout, timeout_at};

/// How long an act on a node may take; the runner gives up later.
pub(super) const ACT: Duration = Duration::from_secs(25);
/// How long an answer of the engine is waited for by an act itself: as good as for ever.
pub(super) const PATIENCE: Duration = Duration::from_secs(3600);

/// Acts that have begun and not ended, by number.
type Open = BTreeMap<u64, String>;

/// The turn at one node.
pub(super) struct Turn {
    /// The node's name.
    name: String,
    /// Held by whoever starts, ends, freezes, thaws or bounds it, until the engine has done it:
    /// one at a time.
    turn: Arc<tokio::sync::Mutex<()>>,
    /// What was done last in its turn, for people who wait for theirs.
    doing: Mutex<String>,
}

impl Turn {
    /// Nobody has it yet.
    pub fn new(name: &str) -> Self {
        Turn {
            name: name.into(),
            turn: Arc::default(),
            doing: Mutex::default(),
        }
    }

    /// Waits for it, and says what is done in it.
    pub async fn take(&self, doing: &str) -> OwnedMutexGuard<()> {
        let turn = self.turn.clone().lock_owned().await;
        lock(&self.doing).clone_from(&format!("{doing} of {}", self.name));
        turn
    }

    /// Whether nobody has it.
    #[cfg(test)]
    pub fn is_free(&self) -> bool {
        self.turn.try_lock().is_ok()
    }
}

/// All acts of one run.
#[derive(Clone)]
pub(super) struct Acts {
    open: Arc<watch::Sender<Open>>,
    next: Arc<AtomicU64>,
}

/// One of them; over when it is dropped.
struct Act {
    acts: Acts,
    number: u64,
}

impl Drop for Act {
    fn drop(&mut self) {
        self.acts
            .open
            .send_modify(|open| drop(open.remove(&self.number)));
    }
}

impl Acts {
    /// None yet.
    pub fn new() -> Self {
        Acts {
            open: Arc::new(watch::Sender::new(Open::new())),
            next: Arc::default(),
        }
    }

    /// Does `work` to its end. What came of it, unless `until` comes first.
    ///
    /// # Errors
    /// Those of the work; or it has not been done, and may be done at any time.
    pub async fn act<T: Send + 'static, E: ToString + Send + 'static>(
        &self,
        what: &str,
        until: Instant,
        work: impl Future<Output = Result<T, E>> + Send + 'static,
    ) -> Result<T, RuntimeError> {
        let number = self.next.fetch_add(1, Ordering::Relaxed);
        let act = Act {
            acts: self.clone(),
            number,
        };
        self.open
            .send_modify(|open| drop(open.insert(number, what.into())));
        let began = Instant::now();
        let task = tokio::spawn(async move {
            let done = work.await.map_err(|e| e.to_string());
            drop(act);
            done
        });
        match timeout_at(until, task).await {
            Ok(Ok(done)) => done.map_err(|e| err(format!("{what}: {e}"))),
            Ok(Err(e)) => Err(err(format!("{what}: {e}"))),
            Err(_) => Err(err(format!(
                "{what}: Docker has not done it after {} s, and may still do it",
                began.elapsed().as_secs()
            ))),
        }
    }

    /// The same to a node, when all that was begun there before is over: nothing else is done to
    /// it meanwhile.
    ///
    /// # Errors
    /// Also if that is not over in time.
    pub async fn act_on<T: Send + 'static, E: ToString + Send + 'static>(
        &self,
        turn: &Turn,
        what: &str,
        until: Instant,
        work: impl Future<Output = Result<T, E>> + Send + 'static,
    ) -> Result<T, RuntimeError> {
        let Ok(taken) = timeout_at(until, turn.take(what)).await else {
            let (doing, what) = (
                lock(&turn.doing).clone(),
                format!("{what} of {}", turn.name),
            );
            return Err(err(format!(
                "{what}: Docker has not answered yet what it was asked before ({doing})"
            )));
        };
        let work = async move {
            let done = work.await;
            drop(taken);
            done
        };
        let what = format!("{what} of {}", turn.name);
        self.act(&what, until, work).await
    }

    /// Whether all of them are over.
    pub fn are_over(&self) -> bool {
        self.open.borrow().is_empty()
    }

    /// Waits until all of them are over.
    ///
    /// # Errors
    /// Those that are not.
    pub async fn settle(&self, within: Duration) -> Result<(), String> {
        let mut open = self.open.subscribe();
        match timeout(within, open.wait_for(Open::is_empty)).await {
            Ok(_) => Ok(()),
            Err(_) => {
                let open: Vec<String> = self.open.borrow().values().cloned().collect();
                Err(format!(
                    "Docker has not answered yet what it was asked, and may still do it: {}",
                    open.join(", ")
                ))
            }
        }
    }
}
