//! An empty file system, made by the host's own tool in a file full of holes, of
//! which only what is written goes to the engine.

use std::fs::File;
use std::io::{self, Read, Write};
use std::os::fd::AsRawFd;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::process::Command;

/// The tool, which all common distributions have (e2fsprogs).
const TOOL: &str = "mke2fs";
/// Most bytes of an empty file system that are written.
const MOST: u64 = 256 << 20;
/// Bytes of a piece at most.
const PIECE: u64 = 1 << 20;

/// What an empty file system of so many bytes has in it, in pieces, as [`fill`] reads them.
///
/// # Errors
/// The tool is missing, or says no.
pub(super) fn empty(size: u64) -> Result<Vec<u8>, String> {
    let folder = std::env::temp_dir().join(format!("gameday-volume-{}", std::process::id()));
    let say = |e: io::Error| format!("{}: {e}", folder.display());
    std::fs::create_dir(&folder).map_err(say)?;
    let made = make(&folder.join("disk"), size);
    let removed = std::fs::remove_dir_all(&folder).map_err(say);
    let made = made?;
    removed.map(|()| made)
}

fn make(path: &Path, size: u64) -> Result<Vec<u8>, String> {
    let say = |e: io::Error| format!("{}: {e}", path.display());
    let file = File::create_new(path).map_err(say)?;
    file.set_len(size).map_err(say)?;
    // Nothing is kept for root, and what is full of zeros already is not written.
    let options = ["-q", "-F", "-t", "ext4", "-m", "0", "-E"];
    let lazy = "lazy_itable_init=1,lazy_journal_init=1,nodiscard";
    let made = Command::new(TOOL)
        .args(options)
        .arg(lazy)
        .arg(path)
        .output();
    let made = made.map_err(|e| {
        format!("{TOOL}: {e}; it makes the file system: install the package e2fsprogs")
    })?;
    if !made.status.success() {
        let said = String::from_utf8_lossy(&made.stderr).trim().to_string();
        return Err(format!("{TOOL}: {said}"));
    }
    let file = File::open(path).map_err(say)?;
    let mut pieces = Vec::new();
    let mut at = 0;
    while let Some((from, to)) = next_data(&file, at, size).map_err(say)? {
        at = to;
        for from in (from..to).step_by(PIECE as usize) {
            let mut bytes = vec![0; (to - from).min(PIECE) as usize];
            file.read_exact_at(&mut bytes, from).map_err(say)?;
            if bytes.iter().any(|byte| *byte != 0) {
                pieces.extend(from.to_be_bytes());
                pieces.extend((bytes.len() as u64).to_be_bytes());
                pieces.extend(bytes);
            }
        }
        if pieces.len() as u64 > MOST {
            return Err(format!(
                "an empty file system of {size} bytes is larger than {MOST}"
            ));
        }
    }
    Ok(pieces)
}

/// Where the next bytes are that are no hole, from there on.
fn next_data(file: &File, at: u64, size: u64) -> io::Result<Option<(u64, u64)>> {
    let seek = |at: u64, whence| {
        let at = libc::off_t::try_from(at).map_err(io::Error::other)?;
        // SAFETY: no pointers.
        match unsafe { libc::lseek(file.as_raw_fd(), at, whence) } {
            -1 => Err(io::Error::last_os_error()),
            found => u64::try_from(found).map_err(io::Error::other),
        }
    };
    if at >= size {
        return Ok(None);
    }
    let from = match seek(at, libc::SEEK_DATA) {
        // There is none behind.
        Err(e) if e.raw_os_error() == Some(libc::ENXIO) => return Ok(None),
        from => from?,
    };
    Ok(Some((from, seek(from, libc::SEEK_HOLE)?.min(size))))
}

/// Writes pieces where they belong.
///
/// # Errors
/// The file cannot be written, or these are no pieces of a file of that size.
pub(super) fn fill(file: &File, size: u64, mut pieces: impl Read) -> io::Result<()> {
    let mut head = [0; 16];
    loop {
        match pieces.read(&mut head[..1])? {
            0 => break,
            _ => pieces.read_exact(&mut head[1..])?,
        }
        let [from, length] = [&head[..8], &head[8..]].map(|half| {
            let mut number = [0; 8];
            number.copy_from_slice(half);
            u64::from_be_bytes(number)
        });
        if length > PIECE || from.checked_add(length).is_none_or(|end| end > size) {
            return Err(io::Error::other("a piece that is not of this file"));
        }
        let mut bytes = vec![0; length as usize];
        pieces.read_exact(&mut bytes)?;
        file.write_all_at(&bytes, from)?;
    }
    let mut file = file;
    file.flush()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_what_was_made() {
        const SIZE: u64 = 64 << 20;
        if Command::new(TOOL).arg("-V").output().is_err() {
            return println!("skipped: no {TOOL}");
        }
        let pieces = empty(SIZE).unwrap();
        assert!(
            pieces.len() < 4 << 20,
            "{} bytes of an empty one",
            pieces.len()
        );
        let file = tempfile::tempfile().unwrap();
        file.set_len(SIZE).unwrap();
        fill(&file, SIZE, &pieces[..]).unwrap();
        // The magic number of ext4 is in its superblock.
        let mut magic = [0; 2];
        file.read_exact_at(&mut magic, 1024 + 56).unwrap();
        assert_eq!(magic, [0x53, 0xef]);
        // Not all of it, or behind its end.
        assert!(fill(&file, SIZE, &pieces[..pieces.len() - 1]).is_err());
        assert!(fill(&file, 1 << 20, &pieces[..]).is_err());
    }
}
