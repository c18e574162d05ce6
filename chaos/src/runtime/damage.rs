//! Damage to a stored file of a node that does not run: one bit flipped, or
//! the end cut off. A copy is kept beside it, so that anybody can see what
//! exactly was done.
//!
//! Which byte is hit depends on the seed and on what is stored: every byte
//! that is not zero is as likely as any other, so that space which was only
//! set aside for later is left alone.

use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use serde::{Deserialize, Serialize};
use std::fs::{self, File, OpenOptions};
use std::io::{self, Read};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

/// Larger files are not damaged: they would have to be copied.
const MAX_FILE: u64 = 256 << 20;
/// Most files that are looked at, and how deep below the data folder.
const MAX_FILES: usize = 4096;
const MAX_DEPTH: u32 = 4;
/// Read at once.
const CHUNK: usize = 1 << 20;

/// What is to be done to which file.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Damage {
    /// What.
    pub how: How,
    /// To which file.
    pub file: WhichFile,
    /// Decides where. The same damage of the same seed is done once.
    pub seed: u64,
}

/// What is done to a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum How {
    /// One bit of a byte is the other way round.
    FlipBit,
    /// The file ends before a byte.
    Truncate,
}

/// Which of the stored files.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum WhichFile {
    /// Any: every stored byte is as likely as another.
    #[default]
    Any,
    /// The one that was written last.
    Latest,
}

/// What was done.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Damaged {
    /// Name of the file below the data folder.
    pub file: String,
    /// Name of the copy, beside it all.
    pub copy: String,
    /// What was done.
    pub how: How,
    /// Number of the byte.
    pub offset: u64,
    /// The bit that was flipped, 0 to 7.
    pub bit: u8,
}

/// How a damaged file is now, compared with its copy.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum DamageSeen {
    /// Exactly as the damage left it.
    AsLeft,
    /// As it was before.
    Whole,
    /// Otherwise: it was written to since.
    Changed,
    /// There is no such file any more.
    Gone,
}

/// Damages a file; done before, the same again. Blocks.
pub(crate) fn damage(folder: &Path, damage: &Damage) -> Result<Damaged, String> {
    let say = |e: io::Error| format!("{}: {e}", folder.display());
    let note = folder.join(format!(".damage-{:016x}", damage.seed));
    let done = match fs::read(&note) {
        Ok(text) => serde_json::from_slice(&text).map_err(|e| say(e.into()))?,
        Err(e) if e.kind() == io::ErrorKind::NotFound => {
            let chosen = choose(folder, damage)?;
            fs::copy(folder.join(&chosen.file), folder.join(&chosen.copy)).map_err(say)?;
            // The note last: with it, everything that is needed is there.
            let new = note.with_extension("new");
            let text = serde_json::to_vec(&chosen).map_err(|e| say(e.into()))?;
            fs::write(&new, text).map_err(say)?;
            fs::rename(&new, &note).map_err(say)?;
            chosen
        }
        Err(e) => return Err(say(e)),
    };
    apply(folder, &done).map_err(say)?;
    Ok(done)
}

/// From the copy, so that a second time changes nothing.
fn apply(folder: &Path, done: &Damaged) -> io::Result<()> {
    let file = OpenOptions::new()
        .write(true)
        .open(folder.join(&done.file))?;
    match done.how {
        How::Truncate => file.set_len(done.offset)?,
        How::FlipBit => {
            let mut byte = [0];
            File::open(folder.join(&done.copy))?.read_exact_at(&mut byte, done.offset)?;
            file.write_all_at(&[byte[0] ^ (1 << done.bit)], done.offset)?;
        }
    }
    file.sync_all()
}

/// Compares the file with its copy. Blocks.
pub(crate) fn look(folder: &Path, done: &Damaged) -> Result<DamageSeen, String> {
    let compare = || {
        let now = match fs::read(folder.join(&done.file)) {
            Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(DamageSeen::Gone),
            now => now?,
        };
        let mut copy = fs::read(folder.join(&done.copy))?;
        if now == copy {
            return Ok(DamageSeen::Whole);
        }
        let at = usize::try_from(done.offset).map_err(io::Error::other)?;
        match done.how {
            How::Truncate => copy.truncate(at),
            How::FlipBit => match copy.get_mut(at) {
                Some(byte) => *byte ^= 1 << done.bit,
                None => return Err(io::ErrorKind::UnexpectedEof.into()),
            },
        }
        Ok(if now == copy {
            DamageSeen::AsLeft
        } else {
            DamageSeen::Changed
        })
    };
    compare().map_err(|e: io::Error| format!("{}: {e}", done.file))
}

fn choose(folder: &Path, damage: &Damage) -> Result<Damaged, String> {
    let say = |e: io::Error| format!("{}: {e}", folder.display());
    let mut files = stored(folder).map_err(say)?;
    if damage.file == WhichFile::Latest {
        files.sort_by_key(|f| (f.written, f.name.clone()));
        files = files.pop().into_iter().collect();
    }
    files.sort_by(|a, b| a.name.cmp(&b.name));
    let mut counted = Vec::new();
    for file in files {
        let mut stored = 0;
        each_chunk(&folder.join(&file.name), |_, chunk| {
            stored += chunk.iter().filter(|b| **b != 0).count() as u64;
            true
        })
        .map_err(say)?;
        counted.push((file.name, stored));
    }
    let total: u64 = counted.iter().map(|(_, stored)| stored).sum();
    if total == 0 {
        return Err(format!("{}: nothing is stored here yet", folder.display()));
    }
    let mut rng = ChaCha8Rng::seed_from_u64(damage.seed);
    let mut which = rng.random_range(0..total);
    let bit = rng.random_range(0..8);
    let file = counted.into_iter().find(|(_, stored)| {
        let here = which < *stored;
        if !here {
            which -= stored;
        }
        here
    });
    let (file, _) = file.ok_or("the files changed while they were counted")?;
    let offset = nth_stored(&folder.join(&file), which).map_err(say)?;
    Ok(Damaged {
        copy: format!(".damage-{:016x}.copy", damage.seed),
        file,
        how: damage.how,
        offset: offset.ok_or("the file changed while it was read")?,
        bit,
    })
}

/// Where the byte that is not zero of this number is.
fn nth_stored(path: &Path, mut n: u64) -> io::Result<Option<u64>> {
    let mut found = None;
    each_chunk(path, |at, chunk| {
        let stored = chunk.iter().enumerate().filter(|(_, b)| **b != 0);
        for (i, _) in stored {
            if n == 0 {
                found = Some(at + i as u64);
                return false;
            }
            n -= 1;
        }
        true
    })?;
    Ok(found)
}

/// Calls `each` with every chunk and its place, until it says false.
fn each_chunk(path: &Path, mut each: impl FnMut(u64, &[u8]) -> bool) -> io::Result<()> {
    let mut file = File::open(path)?.take(MAX_FILE);
    let mut chunk = vec![0; CHUNK];
    let mut at = 0;
    loop {
        let n = file.read(&mut chunk)?;
        if n == 0 || !each(at, &chunk[..n]) {
            return Ok(());
        }
        at += n as u64;
    }
}

struct Stored {
    /// Below the data folder.
    name: String,
    written: SystemTime,
}

/// What is stored: the files that are neither hidden nor too large.
fn stored(folder: &Path) -> io::Result<Vec<Stored>> {
    let mut found = Vec::new();
    let mut folders = vec![(PathBuf::new(), 0)];
    while let Some((below, depth)) = folders.pop() {
        for entry in fs::read_dir(folder.join(&below))? {
            let entry = entry?;
            let Ok(name) = entry.file_name().into_string() else {
                continue;
            };
            if name.starts_with('.') {
                continue;
            }
            let kind = entry.file_type()?;
            if kind.is_dir() && depth < MAX_DEPTH {
                folders.push((below.join(&name), depth + 1));
            }
            let meta = entry.metadata()?;
            if kind.is_file() && meta.len() <= MAX_FILE && found.len() < MAX_FILES {
                found.push(Stored {
                    name: below.join(&name).display().to_string(),
                    written: meta.modified()?,
                });
            }
        }
    }
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn folder() -> tempfile::TempDir {
        let dir = tempfile::tempdir().unwrap();
        let write = |name: &str, bytes: &[u8]| fs::write(dir.path().join(name), bytes).unwrap();
        fs::create_dir(dir.path().join("trees")).unwrap();
        write(".lock", b"not stored");
        write("empty", b"");
        // Room that was set aside, and a few bytes in the middle.
        let mut log = vec![0; 3 << 20];
        log[2_000_000..2_000_004].copy_from_slice(b"abcd");
        write("log", &log);
        write("trees/1", &[0xFF; 6]);
        dir
    }

    fn hit(dir: &Path, how: How, seed: u64) -> (Damaged, Vec<u8>, Vec<u8>) {
        let what = Damage {
            how,
            file: WhichFile::Any,
            seed,
        };
        let done = damage(dir, &what).unwrap();
        let read = |name: &str| fs::read(dir.join(name)).unwrap();
        let (copy, now) = (read(&done.copy), read(&done.file));
        assert_eq!(look(dir, &done), Ok(DamageSeen::AsLeft));
        // Asked again, because the answer was lost: nothing more happens.
        assert_eq!(damage(dir, &what).as_ref(), Ok(&done));
        assert_eq!(read(&done.file), now);
        (done, copy, now)
    }

    #[test]
    fn exactly_one_bit_of_something_stored_is_flipped() {
        let mut files = std::collections::BTreeSet::new();
        for seed in 0..30 {
            let dir = folder();
            let (done, copy, now) = hit(dir.path(), How::FlipBit, seed);
            assert_eq!(copy.len(), now.len());
            let differ = copy.iter().zip(&now).map(|(a, b)| (a ^ b).count_ones());
            assert_eq!(differ.sum::<u32>(), 1);
            let at = done.offset as usize;
            assert!(copy[at] != 0 && copy[at] ^ now[at] == 1 << done.bit);
            files.insert(done.file.clone());

            fs::copy(dir.path().join(&done.copy), dir.path().join(&done.file)).unwrap();
            assert_eq!(look(dir.path(), &done), Ok(DamageSeen::Whole));
            fs::write(dir.path().join(&done.file), b"new").unwrap();
            assert_eq!(look(dir.path(), &done), Ok(DamageSeen::Changed));
            fs::remove_file(dir.path().join(&done.file)).unwrap();
            assert_eq!(look(dir.path(), &done), Ok(DamageSeen::Gone));
        }
        assert_eq!(files.into_iter().collect::<Vec<_>>(), ["log", "trees/1"]);
    }

    #[test]
    fn a_truncated_file_loses_something_stored() {
        for seed in 0..10 {
            let dir = folder();
            let (done, copy, now) = hit(dir.path(), How::Truncate, seed);
            assert_eq!(now, copy[..done.offset as usize]);
            assert!(copy[now.len()..].iter().any(|b| *b != 0));
        }
    }

    #[test]
    fn the_latest_file_is_chosen_and_an_empty_folder_refused() {
        let dir = folder();
        let later = SystemTime::now() + std::time::Duration::from_secs(5);
        let file = OpenOptions::new().write(true).open(dir.path().join("log"));
        file.unwrap().set_modified(later).unwrap();
        let what = Damage {
            how: How::FlipBit,
            file: WhichFile::Latest,
            seed: 3,
        };
        assert_eq!(damage(dir.path(), &what).unwrap().file, "log");
        let empty = tempfile::tempdir().unwrap();
        let why = damage(empty.path(), &what).unwrap_err();
        assert!(why.contains("nothing is stored"), "{why}");
    }
}
