//! Files that follow one another: each of a bounded size, a bounded number of them.

use std::collections::VecDeque;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

/// How much is kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Bytes after which a file is followed by the next.
    pub bytes: u64,
    /// Files that are kept, at least 1.
    pub files: usize,
}

/// The files of one series: `<stem>-000001.<extension>` and so on.
#[derive(Debug)]
pub struct Series {
    folder: PathBuf,
    stem: &'static str,
    extension: &'static str,
    keep: usize,
    next: u64,
    kept: VecDeque<PathBuf>,
    removed: u64,
}

impl Series {
    /// A series in a folder that has none of it yet.
    pub fn new(folder: &Path, stem: &'static str, extension: &'static str, keep: usize) -> Self {
        Series {
            folder: folder.into(),
            stem,
            extension,
            keep: keep.max(1),
            next: 1,
            kept: VecDeque::new(),
            removed: 0,
        }
    }

    /// Names the next file, and removes the oldest ones that are too many with it.
    ///
    /// # Errors
    /// A file cannot be removed. One that is gone already is no error.
    pub fn begin(&mut self) -> io::Result<PathBuf> {
        let name = format!("{}-{:06}.{}", self.stem, self.next, self.extension);
        let path = self.folder.join(name);
        self.next += 1;
        self.kept.push_back(path.clone());
        while self.kept.len() > self.keep {
            let Some(oldest) = self.kept.pop_front() else {
                break;
            };
            match fs::remove_file(&oldest) {
                Err(e) if e.kind() != io::ErrorKind::NotFound => return Err(e),
                _ => self.removed += 1,
            }
        }
        Ok(path)
    }

    /// The files that are kept, oldest first.
    pub fn kept(&self) -> impl Iterator<Item = &Path> {
        self.kept.iter().map(PathBuf::as_path)
    }

    /// How many were removed.
    pub fn removed(&self) -> u64 {
        self.removed
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_oldest_files_go() {
        let dir = tempfile::tempdir().unwrap();
        let mut series = Series::new(dir.path(), "latency", "hlog", 2);
        for n in 1..=5 {
            let path = series.begin().unwrap();
            fs::write(&path, n.to_string()).unwrap();
            if n == 2 {
                // Somebody tidied up.
                fs::remove_file(dir.path().join("latency-000001.hlog")).unwrap();
            }
        }
        let mut found: Vec<_> = fs::read_dir(dir.path())
            .unwrap()
            .map(|e| e.unwrap().file_name().into_string().unwrap())
            .collect();
        found.sort();
        assert_eq!(found, ["latency-000004.hlog", "latency-000005.hlog"]);
        assert_eq!((series.kept().count(), series.removed()), (2, 3));
    }
}
