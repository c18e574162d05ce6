//! How much a replica has: counted by reading it, on a thread of its own, only when somebody
//! asks, and so rarely that it takes at most a hundredth of that thread's time.
//!
//! Counting at every write would cost every write; and it is asked for by people and tools
//! that look at a table, who get counts that are hours old from DynamoDB itself.

use super::machine::decode_item;
use crate::backend::Census;
use crate::engine::{EngineError, Tree};
use std::io;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};
use tokio::sync::Notify;

/// A count is as good as new for this long, and for [`REST`] times as long as it took.
const FRESH: Duration = Duration::from_secs(1);
const REST: u32 = 100;
/// How long a question waits for a count under way; then the last one, if any, is the answer.
const PATIENCE: Duration = Duration::from_millis(200);
/// Items and bytes read at a time.
const PAGE: (usize, usize) = (1000, 1 << 20);

/// Counts one replica's items.
#[derive(Debug, Default)]
pub struct Counter {
    state: Mutex<State>,
    counted: Notify,
}

#[derive(Debug, Default)]
struct State {
    last: Option<Counted>,
    counting: bool,
}

#[derive(Clone, Copy, Debug)]
struct Counted {
    census: Census,
    ended: Instant,
    took: Duration,
}

impl Counted {
    fn is_fresh(&self, now: Instant) -> bool {
        now.saturating_duration_since(self.ended) < FRESH.max(self.took * REST)
    }
}

impl Counter {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// How much the tree has, or had not long ago; `None` while that is not known yet.
    pub async fn census(self: &Arc<Self>, tree: &Arc<Tree>) -> Option<Census> {
        // Before the look, so that no end of a count is missed.
        let counted = self.counted.notified();
        let starts = {
            let mut state = self.state();
            if let Some(last) = state.last.filter(|last| last.is_fresh(Instant::now())) {
                return Some(last.census);
            }
            !std::mem::replace(&mut state.counting, true)
        };
        if starts {
            let (counter, tree) = (self.clone(), tree.clone());
            // Not given up with the question: it would only be begun again by the next one.
            tokio::task::spawn_blocking(move || counter.count(&tree));
        }
        let _ = tokio::time::timeout(PATIENCE, counted).await;
        self.state().last.map(|last| last.census)
    }

    fn count(&self, tree: &Tree) {
        let begun = Instant::now();
        let census = count(tree);
        let mut state = self.state();
        state.counting = false;
        match census {
            Ok(census) => {
                let ended = Instant::now();
                state.last = Some(Counted {
                    census,
                    ended,
                    took: ended - begun,
                });
            }
            // Damage is noticed, and acted on, by whoever reads for a client.
            Err(error) => tracing::warn!(file = tree.file(), %error, "items were not counted"),
        }
        drop(state);
        self.counted.notify_waiters();
    }
}

fn count(tree: &Tree) -> io::Result<Census> {
    let engine = |e: EngineError| io::Error::other(e);
    let view = tree.snapshot().map_err(engine)?;
    let mut census = Census::default();
    let mut after: Option<Vec<u8>> = None;
    loop {
        let page = view
            .range(after.as_deref(), PAGE.0, PAGE.1)
            .map_err(engine)?;
        for (_, value) in &page.items {
            census.items += 1;
            census.bytes += decode_item(value)?.size() as u64;
        }
        after = page.items.into_iter().next_back().map(|(key, _)| key);
        if !page.more || after.is_none() {
            return Ok(census);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::machine::encode_item;
    use super::*;
    use crate::api::value::{AttributeValue, Item};
    use crate::disk;

    fn change(key: u8, text: &str) -> (Vec<u8>, Option<Vec<u8>>) {
        let item = Item([("a".to_owned(), AttributeValue::S(text.into()))].into());
        (vec![key], Some(encode_item(&item).unwrap()))
    }

    #[tokio::test]
    async fn items_and_their_sizes_are_counted_when_asked() {
        let folder = tempfile::tempdir().unwrap();
        let disk = disk::real(folder.path()).unwrap();
        let tree = Arc::new(Tree::open(disk, "tree").unwrap());
        let counter = Arc::new(Counter::default());
        counter.count(&tree);
        let changes = vec![change(1, "x"), change(2, "yyyy"), change(1, "zz")];
        tree.apply(b"meta", changes).unwrap();
        // The last count is good enough still, and then no more.
        assert_eq!(counter.census(&tree).await, Some(Census::default()));
        if let Some(last) = &mut counter.state().last {
            last.ended -= FRESH.max(last.took * REST);
        }
        let expected = Census {
            items: 2,
            bytes: 3 + 5,
        };
        let counted = async { while counter.census(&tree).await != Some(expected) {} };
        let patience = Duration::from_secs(40);
        tokio::time::timeout(patience, counted).await.unwrap();
        assert!(!counter.state().counting);
    }

    #[test]
    fn a_long_count_rests_long() {
        let ended = Instant::now();
        let counted = |millis| Counted {
            census: Census::default(),
            ended,
            took: Duration::from_millis(millis),
        };
        let fresh = |millis, later| counted(millis).is_fresh(ended + Duration::from_secs(later));
        assert!(fresh(1, 0) && !fresh(1, 1));
        assert!(fresh(500, 49) && !fresh(500, 50));
    }
}
