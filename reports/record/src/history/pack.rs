//! `history.jsonl.zst`: the lines of a history in frames of Zstandard, each of
//! whole lines, with an index of the frames behind them in a frame that
//! decoders skip. Any `zstd -d` gives the lines back, and whoever reads the
//! index can begin at any frame.
//!
//! Source of the index: *Zstandard Seekable Format* 0.1.0, `contrib/seekable_format`
//! of the zstd sources.

use std::fs::File;
use std::io::{self, BufRead, BufReader, Read, Seek, SeekFrom, Write};
use std::path::Path;
use zstd::stream::raw::{Encoder, Operation};
use zstd::stream::read::Decoder;
use zstd::zstd_safe::{CParameter, InBuffer, OutBuffer};

/// Level of compression. Of a day with many outages level 6 makes 40 bytes per operation, this
/// one 37, still at 100 MB of lines a second; levels up to 12 save one byte more.
const LEVEL: i32 = 8;

/// A frame ends with the line that takes it over so many bytes of content.
const FRAME: u32 = 4 << 20;

/// First bytes of a frame of Zstandard.
const MAGIC: [u8; 4] = [0x28, 0xB5, 0x2F, 0xFD];
/// First bytes of the frame that holds the index.
const SKIPPED: u32 = 0x184D_2A5E;
/// Last bytes of the file.
const SEEKABLE: u32 = 0x8F92_EAB1;
/// Length of what follows the entries: their number, a byte of flags, and [`SEEKABLE`].
const FOOTER: u64 = 9;
/// Length of an entry: the frame's length and its content's.
const ENTRY: u64 = 8;
/// Most frames that an index may name.
const MAX_FRAMES: u64 = 0x0800_0000;

/// Writes frames. Nothing but the frame at hand and the index is in memory.
pub struct Packed<W: Write> {
    out: W,
    encoder: Encoder<'static>,
    buffer: Vec<u8>,
    /// Lengths of the frame at hand: packed, and its content.
    packed: u32,
    content: u32,
    /// Of the frames before it.
    index: Vec<(u32, u32)>,
}

impl<W: Write> Packed<W> {
    /// Writes to `out`.
    ///
    /// # Errors
    /// The compressor cannot be made.
    pub fn new(out: W) -> io::Result<Self> {
        let mut encoder = Encoder::new(LEVEL)?;
        encoder.set_parameter(CParameter::ChecksumFlag(true))?;
        Ok(Packed {
            out,
            encoder,
            buffer: vec![0; 128 << 10],
            packed: 0,
            content: 0,
            index: Vec::new(),
        })
    }

    /// Hands on what the encoder has left, until `step` says that nothing is.
    fn drain(
        &mut self,
        mut step: impl FnMut(&mut Encoder<'static>, &mut OutBuffer<'_, [u8]>) -> io::Result<bool>,
    ) -> io::Result<()> {
        loop {
            let mut out = OutBuffer::around(&mut self.buffer[..]);
            let done = step(&mut self.encoder, &mut out)?;
            let written = out.pos();
            self.out.write_all(&self.buffer[..written])?;
            self.packed += written as u32;
            if done {
                return Ok(());
            }
        }
    }

    fn end_frame(&mut self) -> io::Result<()> {
        if self.content == 0 {
            return Ok(());
        }
        self.drain(|encoder, out| Ok(encoder.finish(out, true)? == 0))?;
        self.index.push((self.packed, self.content));
        (self.packed, self.content) = (0, 0);
        self.encoder.reinit()
    }

    /// Ends the last frame and writes the index.
    ///
    /// # Errors
    /// Those of the underlying writer.
    pub fn finish(mut self) -> io::Result<W> {
        self.end_frame()?;
        let entries = self.index.len() as u32;
        let size = entries * ENTRY as u32 + FOOTER as u32;
        let mut index = Vec::with_capacity(size as usize + 8);
        index.extend(SKIPPED.to_le_bytes());
        index.extend(size.to_le_bytes());
        for (packed, content) in &self.index {
            index.extend(packed.to_le_bytes());
            index.extend(content.to_le_bytes());
        }
        index.extend(entries.to_le_bytes());
        index.push(0);
        index.extend(SEEKABLE.to_le_bytes());
        self.out.write_all(&index)?;
        self.out.flush()?;
        Ok(self.out)
    }
}

impl<W: Write> Write for Packed<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let mut input = InBuffer::around(bytes);
        self.drain(|encoder, out| {
            encoder.run(&mut input, out)?;
            Ok(input.pos() == bytes.len())
        })?;
        self.content += bytes.len() as u32;
        if self.content >= FRAME && bytes.last() == Some(&b'\n') {
            self.end_frame()?;
        }
        Ok(bytes.len())
    }

    /// So that all that was written can be read, by ending a block, not the frame.
    fn flush(&mut self) -> io::Result<()> {
        if self.content > 0 {
            self.drain(|encoder, out| Ok(encoder.flush(out)? == 0))?;
        }
        self.out.flush()
    }
}

/// The file of a history that is being written.
pub enum HistoryFile<W: Write> {
    /// Its lines as they are.
    Plain(W),
    /// In frames.
    Packed(Box<Packed<W>>),
}

impl<W: Write> HistoryFile<W> {
    /// Writes to `out`.
    ///
    /// # Errors
    /// The compressor cannot be made.
    pub fn new(out: W, packed: bool) -> io::Result<Self> {
        Ok(match packed {
            true => HistoryFile::Packed(Box::new(Packed::new(out)?)),
            false => HistoryFile::Plain(out),
        })
    }

    /// Writes what is left.
    ///
    /// # Errors
    /// Those of the underlying writer.
    pub fn finish(self) -> io::Result<W> {
        match self {
            HistoryFile::Plain(mut out) => {
                out.flush()?;
                Ok(out)
            }
            HistoryFile::Packed(packed) => packed.finish(),
        }
    }
}

impl<W: Write> Write for HistoryFile<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match self {
            HistoryFile::Plain(out) => out.write(bytes),
            HistoryFile::Packed(packed) => packed.write(bytes),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        match self {
            HistoryFile::Plain(out) => out.flush(),
            HistoryFile::Packed(packed) => packed.flush(),
        }
    }
}

/// Opens a history, packed or not, by its first bytes.
///
/// # Errors
/// Those of the file system.
pub fn open(path: &Path) -> io::Result<Box<dyn BufRead + Send>> {
    let mut file = BufReader::with_capacity(256 << 10, File::open(path)?);
    if !file.fill_buf()?.starts_with(&MAGIC) {
        return Ok(Box::new(file));
    }
    let decoder = Decoder::with_buffer(file)?;
    Ok(Box::new(BufReader::with_capacity(1 << 20, Torn(decoder))))
}

/// A frame that is cut off ends what is read, as a line that is cut off does.
struct Torn<R>(R);

impl<R: Read> Read for Torn<R> {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        match self.0.read(out) {
            Err(e) if e.kind() == io::ErrorKind::UnexpectedEof => Ok(0),
            Err(e) => Err(io::Error::new(
                e.kind(),
                format!("the compressed history is damaged: {e}"),
            )),
            read => read,
        }
    }
}

/// One frame of a packed history.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Frame {
    /// Where it begins in the file.
    pub at: u64,
    /// Its length.
    pub packed: u32,
    /// Length of the lines in it.
    pub content: u32,
}

/// The frames of a packed history by its index; `None` if it has none, as one
/// that was cut off.
///
/// # Errors
/// Those of reading, and an index that does not fit the file.
pub fn frames(file: &mut (impl Read + Seek)) -> io::Result<Option<Vec<Frame>>> {
    let bad = |what: &str| io::Error::new(io::ErrorKind::InvalidData, what);
    let size = file.seek(SeekFrom::End(0))?;
    if size < FOOTER + 8 {
        return Ok(None);
    }
    let mut footer = [0; FOOTER as usize];
    file.seek(SeekFrom::Start(size - FOOTER))?;
    file.read_exact(&mut footer)?;
    let word = |b: &[u8]| u32::from_le_bytes([b[0], b[1], b[2], b[3]]);
    if word(&footer[5..]) != SEEKABLE {
        return Ok(None);
    }
    let entries = u64::from(word(&footer));
    // Bit 7: a checksum per entry.
    let entry = ENTRY + if footer[4] & 0x80 == 0 { 0 } else { 4 };
    let length = entries * entry + FOOTER + 8;
    if entries > MAX_FRAMES || length > size {
        return Err(bad("the index of frames is longer than the file"));
    }
    let mut index = vec![0; (entries * entry) as usize];
    file.seek(SeekFrom::Start(size - length + 8))?;
    file.read_exact(&mut index)?;
    let mut at = 0;
    let frames: Vec<Frame> = index
        .chunks_exact(entry as usize)
        .map(|e| {
            let frame = Frame {
                at,
                packed: word(e),
                content: word(&e[4..]),
            };
            at += u64::from(frame.packed);
            frame
        })
        .collect();
    if at != size - length {
        return Err(bad("the index of frames does not fit the file"));
    }
    Ok(Some(frames))
}
