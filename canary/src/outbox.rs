//! Lines on their way out: bounded, and never in the way of the pacing.
//!
//! The caller of [`Outbox::reserve`] asks for room before it begins a call:
//! for the invocation and the completion. What has room is never refused later.

use crate::CanaryError;
use crate::protocol::{Notice, write_line};
use gameday_record::Event;
use serde::Serialize;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::io::{AsyncWrite, AsyncWriteExt};
use tokio::sync::Notify;

/// Most lines that wait; a minute of the default load of three endpoints, and
/// at some 300 bytes a line a few MiB.
pub(crate) const MAX_WAITING: usize = 16_384;

/// Time between two writes, in which lines gather.
const GATHER: Duration = Duration::from_millis(100);

/// Most bytes of one write.
const BATCH: usize = 64 << 10;

/// Where lines are put.
#[derive(Debug)]
pub(crate) struct Outbox {
    shared: Arc<Shared>,
    limit: usize,
    events: u64,
}

/// Where they come out.
#[derive(Debug)]
pub(crate) struct Lines {
    shared: Arc<Shared>,
}

#[derive(Debug, Default)]
struct Shared {
    pending: Mutex<Pending>,
    /// Something is new in `pending`.
    news: Notify,
    /// Lines for which room was taken and that are not written yet.
    waiting: AtomicUsize,
}

/// Lines that nobody took yet: as bytes, because a line costs less to write
/// than to hand over in parts.
#[derive(Debug, Default)]
struct Pending {
    bytes: Vec<u8>,
    /// A line that could not be made.
    failed: Option<serde_json::Error>,
    /// No line follows.
    closed: bool,
}

impl Shared {
    fn pending(&self) -> MutexGuard<'_, Pending> {
        // Nothing in here panics half way; should it, lines are still lines.
        self.pending.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// An outbox for `limit` lines, and its other end.
pub(crate) fn outbox(limit: usize) -> (Outbox, Lines) {
    let shared = Arc::new(Shared::default());
    let out = Outbox {
        shared: shared.clone(),
        limit,
        events: 0,
    };
    (out, Lines { shared })
}

impl Outbox {
    /// Takes room for `n` lines; false if there is none.
    pub(crate) fn reserve(&mut self, n: usize) -> bool {
        // Only this side adds, so what fits now still fits in a moment.
        if self.shared.waiting.load(Ordering::Acquire) + n > self.limit {
            return false;
        }
        self.shared.waiting.fetch_add(n, Ordering::AcqRel);
        true
    }

    /// Puts an event for which there is room.
    pub(crate) fn event(&mut self, event: &Event<&str>) {
        self.events += 1;
        self.put(event);
    }

    /// Puts a notice for which there is room.
    pub(crate) fn notice(&mut self, notice: Notice) {
        self.put(&notice);
    }

    /// Puts one of the few notices that must not be lost, room or not.
    pub(crate) fn urgent(&mut self, notice: Notice) {
        self.shared.waiting.fetch_add(1, Ordering::AcqRel);
        self.put(&notice);
    }

    /// Events put so far.
    pub(crate) fn events(&self) -> u64 {
        self.events
    }

    fn put(&mut self, line: &impl Serialize) {
        // If nobody takes lines any more, the canary is being ended by the
        // side that stopped taking them.
        let mut pending = self.shared.pending();
        let before = pending.bytes.len();
        if let Err(e) = write_line(line, &mut pending.bytes) {
            pending.bytes.truncate(before);
            pending.failed.get_or_insert(e);
        }
        drop(pending);
        self.shared.news.notify_one();
    }
}

impl Drop for Outbox {
    fn drop(&mut self) {
        self.shared.pending().closed = true;
        self.shared.news.notify_one();
    }
}

impl Lines {
    /// Takes all lines that are there, in exchange for an empty `bytes`; false
    /// if no line will follow.
    fn take(&mut self, bytes: &mut Vec<u8>) -> Result<bool, CanaryError> {
        let mut pending = self.shared.pending();
        std::mem::swap(&mut pending.bytes, bytes);
        match pending.failed.take() {
            Some(e) => Err(CanaryError::Output(e.into())),
            None => Ok(!pending.closed),
        }
    }
}

/// Writes lines until the outbox is gone.
pub(crate) async fn write_lines(
    mut from: Lines,
    mut output: impl AsyncWrite + Unpin,
) -> Result<(), CanaryError> {
    let mut bytes = Vec::new();
    loop {
        from.shared.news.notified().await;
        let open = from.take(&mut bytes)?;
        for batch in bytes.chunks(BATCH) {
            output.write_all(batch).await.map_err(CanaryError::Output)?;
            output.flush().await.map_err(CanaryError::Output)?;
            // A line counts as written with its end.
            let lines = batch.iter().filter(|b| **b == b'\n').count();
            from.shared.waiting.fetch_sub(lines, Ordering::AcqRel);
        }
        bytes.clear();
        if !open {
            return Ok(());
        }
        tokio::time::sleep(GATHER).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rt() -> tokio::runtime::Runtime {
        tokio::runtime::Builder::new_current_thread()
            .enable_time()
            .build()
            .unwrap()
    }

    #[test]
    fn room_is_bounded_and_comes_back_when_lines_are_written() {
        let (mut out, lines) = outbox(3);
        assert!(out.reserve(2));
        assert!(!out.reserve(2));
        assert!(out.reserve(1));
        for _ in 0..3 {
            out.notice(Notice::Ready);
        }
        assert!(!out.reserve(1));
        out.urgent(Notice::Ready);
        let shared = out.shared.clone();
        drop(out);
        let mut written = Vec::new();
        rt().block_on(write_lines(lines, &mut written)).unwrap();
        assert_eq!(shared.waiting.load(Ordering::Acquire), 0);
        assert_eq!(written, b"{\"canary\":\"ready\"}\n".repeat(4));
    }

    #[test]
    fn a_reader_that_went_away_is_an_error() {
        let (mut out, lines) = outbox(3);
        out.urgent(Notice::Ready);
        let (gone, end) = tokio::io::duplex(64);
        drop(gone);
        let e = rt().block_on(write_lines(lines, end)).unwrap_err();
        assert!(matches!(e, CanaryError::Output(_)), "{e}");
    }
}
