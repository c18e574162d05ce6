//! Lines on their way out: bounded, and never in the way of the pacing.
//!
//! The caller of [`Outbox::reserve`] asks for room before it begins a call:
//! for the invocation and the completion. What has room is never refused later.

use crate::CanaryError;
use crate::protocol::{Line, Notice};
use gameday_record::Event;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;
use tokio::io::{AsyncWrite, AsyncWriteExt};
use tokio::sync::mpsc;

/// Most lines that wait; a minute of the default load of three endpoints, and
/// at some 300 bytes a line a few MiB.
pub(crate) const MAX_WAITING: usize = 16_384;

/// Time between two writes, in which lines gather.
const GATHER: Duration = Duration::from_millis(50);

/// Most lines of one write.
const BATCH: usize = 1024;

/// Where lines are put.
#[derive(Debug)]
pub(crate) struct Outbox {
    lines: mpsc::UnboundedSender<Line>,
    waiting: Arc<AtomicUsize>,
    limit: usize,
    events: u64,
}

/// Where they come out.
#[derive(Debug)]
pub(crate) struct Lines {
    lines: mpsc::UnboundedReceiver<Line>,
    waiting: Arc<AtomicUsize>,
}

/// An outbox for `limit` lines, and its other end.
pub(crate) fn outbox(limit: usize) -> (Outbox, Lines) {
    let (sender, receiver) = mpsc::unbounded_channel();
    let waiting = Arc::new(AtomicUsize::new(0));
    let out = Outbox {
        lines: sender,
        waiting: waiting.clone(),
        limit,
        events: 0,
    };
    let lines = Lines {
        lines: receiver,
        waiting,
    };
    (out, lines)
}

impl Outbox {
    /// Takes room for `n` lines; false if there is none.
    pub(crate) fn reserve(&mut self, n: usize) -> bool {
        // Only this side adds, so what fits now still fits in a moment.
        if self.waiting.load(Ordering::Acquire) + n > self.limit {
            return false;
        }
        self.waiting.fetch_add(n, Ordering::AcqRel);
        true
    }

    /// Puts an event for which there is room.
    pub(crate) fn event(&mut self, event: Event) {
        self.events += 1;
        self.put(Line::Event(event));
    }

    /// Puts a notice for which there is room.
    pub(crate) fn notice(&mut self, notice: Notice) {
        self.put(Line::Notice(notice));
    }

    /// Puts one of the few notices that must not be lost, room or not.
    pub(crate) fn urgent(&mut self, notice: Notice) {
        self.waiting.fetch_add(1, Ordering::AcqRel);
        self.put(Line::Notice(notice));
    }

    /// Events put so far.
    pub(crate) fn events(&self) -> u64 {
        self.events
    }

    fn put(&mut self, line: Line) {
        // If nobody takes lines any more, the canary is being ended by the
        // side that stopped taking them.
        let _ = self.lines.send(line);
    }
}

/// Writes lines until the outbox is gone.
pub(crate) async fn write_lines(
    mut from: Lines,
    mut output: impl AsyncWrite + Unpin,
) -> Result<(), CanaryError> {
    let mut lines = Vec::with_capacity(BATCH);
    let mut bytes = Vec::new();
    loop {
        let n = from.lines.recv_many(&mut lines, BATCH).await;
        if n == 0 {
            return Ok(());
        }
        bytes.clear();
        for line in lines.drain(..) {
            line.write(&mut bytes)
                .map_err(|e| CanaryError::Output(e.into()))?;
        }
        output
            .write_all(&bytes)
            .await
            .map_err(CanaryError::Output)?;
        output.flush().await.map_err(CanaryError::Output)?;
        from.waiting.fetch_sub(n, Ordering::AcqRel);
        if n < BATCH && !from.lines.is_closed() {
            tokio::time::sleep(GATHER).await;
        }
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
        let waiting = out.waiting.clone();
        drop(out);
        let mut written = Vec::new();
        rt().block_on(write_lines(lines, &mut written)).unwrap();
        assert_eq!(waiting.load(Ordering::Acquire), 0);
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
