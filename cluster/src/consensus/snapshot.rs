//! Snapshots: a replica's whole tree, streamed to a peer in pieces and staged in a file there.

use crate::disk::{Disk, DiskFile};
use crate::engine::{EngineError, Snapshot};
use std::io::{self, Read, Write};
use std::sync::Arc;
use tokio::sync::mpsc;

/// Bytes of one piece.
const PIECE: usize = 512 << 10;
/// Largest snapshot that is accepted.
const MAX_STAGED: u64 = 16 << 30;

/// What openraft passes around.
pub enum SnapshotData {
    /// The tree of this node at one moment.
    View(Box<Snapshot>),
    /// What a leader sent, complete.
    Staged(Staged),
}

impl std::fmt::Debug for SnapshotData {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            SnapshotData::View(_) => "View",
            SnapshotData::Staged(_) => "Staged",
        })
    }
}

/// The pieces of a view, read by a thread of their own.
pub struct Pieces {
    inbox: mpsc::Receiver<Result<Vec<u8>, String>>,
    next: Option<Vec<u8>>,
}

impl Pieces {
    /// Starts reading. A staged snapshot has no pieces: it is never sent on.
    pub fn new(data: SnapshotData) -> Self {
        let (outbox, inbox) = mpsc::channel(2);
        if let SnapshotData::View(view) = data {
            tokio::task::spawn_blocking(move || {
                let mut out = PieceWriter {
                    buf: Vec::with_capacity(PIECE),
                    outbox,
                };
                let done = view
                    .export(&mut out)
                    .map_err(|e: EngineError| e.to_string());
                let _ = match done {
                    Ok(_) => out.outbox.blocking_send(Ok(std::mem::take(&mut out.buf))),
                    Err(e) => out.outbox.blocking_send(Err(e)),
                };
            });
        }
        Pieces { inbox, next: None }
    }

    /// The next piece, and whether it is the last.
    pub async fn next(&mut self) -> io::Result<(Vec<u8>, bool)> {
        let piece = match self.next.take() {
            Some(piece) => piece,
            None => self.receive().await?.ok_or(io::ErrorKind::UnexpectedEof)?,
        };
        self.next = self.receive().await?;
        Ok((piece, self.next.is_none()))
    }

    async fn receive(&mut self) -> io::Result<Option<Vec<u8>>> {
        self.inbox
            .recv()
            .await
            .transpose()
            .map_err(io::Error::other)
    }
}

struct PieceWriter {
    buf: Vec<u8>,
    outbox: mpsc::Sender<Result<Vec<u8>, String>>,
}

impl Write for PieceWriter {
    fn write(&mut self, data: &[u8]) -> io::Result<usize> {
        let n = data.len().min(PIECE - self.buf.len());
        self.buf.extend_from_slice(&data[..n]);
        if self.buf.len() == PIECE {
            let full = std::mem::replace(&mut self.buf, Vec::with_capacity(PIECE));
            self.outbox
                .blocking_send(Ok(full))
                .map_err(|_| io::Error::from(io::ErrorKind::BrokenPipe))?;
        }
        Ok(n)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// A snapshot that is being received, or was. Its file goes away with it.
pub struct Staged {
    disk: Arc<dyn Disk>,
    name: String,
    file: Arc<dyn DiskFile>,
    stream: u64,
    pieces: u64,
    len: u64,
}

impl Staged {
    /// Begins a file. What an earlier attempt left is removed.
    pub fn begin(disk: Arc<dyn Disk>, group: u64, stream: u64) -> io::Result<Self> {
        disk.create_dir("incoming")?;
        let name = format!("incoming/{group}-{stream:016x}");
        let file = disk.create(&name)?;
        Ok(Staged {
            disk,
            name,
            file,
            stream,
            pieces: 0,
            len: 0,
        })
    }

    /// Whether this piece comes next.
    pub fn expects(&self, stream: u64, number: u64) -> bool {
        self.stream == stream && self.pieces == number
    }

    /// Adds a piece.
    pub fn push(&mut self, data: &[u8]) -> io::Result<()> {
        if self.len + data.len() as u64 > MAX_STAGED {
            return Err(io::Error::other("the snapshot is too large"));
        }
        self.file.write_at(self.len, data)?;
        self.len += data.len() as u64;
        self.pieces += 1;
        Ok(())
    }

    /// Reads it from its beginning.
    pub fn reader(&self) -> impl Read + '_ {
        io::BufReader::with_capacity(
            PIECE,
            StagedReader {
                staged: self,
                at: 0,
            },
        )
    }
}

impl Drop for Staged {
    fn drop(&mut self) {
        if let Err(error) = self.disk.remove(&self.name) {
            tracing::warn!(file = self.name, %error, "a received snapshot is not removed");
        }
    }
}

struct StagedReader<'a> {
    staged: &'a Staged,
    at: u64,
}

impl Read for StagedReader<'_> {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        let left = self.staged.len - self.at;
        let n = usize::try_from(left).unwrap_or(usize::MAX).min(out.len());
        self.staged.file.read_at(self.at, &mut out[..n])?;
        self.at += n as u64;
        Ok(n)
    }
}
