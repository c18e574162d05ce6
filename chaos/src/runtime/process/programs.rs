//! Which program each node is started as, and which one it executes: programs
//! are named by the SHA-256 of their contents.

use super::child::PROGRAM;
use crate::runtime::control::lock;
use crate::runtime::program;
use sha2::{Digest, Sha256};
use std::collections::HashMap;
use std::fs::{self, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::Mutex;

/// A file as it was when it was looked at: device, inode, length, time of change.
type Version = (u64, u64, u64, i64);

/// The programs of one run.
#[derive(Default)]
pub(super) struct Programs {
    /// Copies of our own, by name; nobody changes them while nodes run.
    provided: Mutex<HashMap<String, PathBuf>>,
    /// What nodes are started as, unless it is what they were launched with.
    installed: Mutex<HashMap<String, PathBuf>>,
    /// Names of files that were read before.
    known: Mutex<HashMap<Version, String>>,
}

impl Programs {
    /// What a node is started as.
    pub fn of(&self, node: &str) -> PathBuf {
        let installed = lock(&self.installed).get(node).cloned();
        installed.unwrap_or_else(|| PROGRAM.into())
    }

    /// Copies a program into `folder`; its name. Without one: the running program. Blocks.
    pub fn provide(&self, binary: Option<&Path>, folder: &Path) -> Result<String, String> {
        let Some(path) = binary else {
            let name = self.name(Path::new(PROGRAM))?;
            lock(&self.provided).insert(name.clone(), PROGRAM.into());
            return Ok(name);
        };
        let say = |e: io::Error| format!("{}: {e}", path.display());
        fs::create_dir_all(folder).map_err(|e| format!("{}: {e}", folder.display()))?;
        let count = lock(&self.provided).len();
        let copy = folder.join(count.to_string());
        let mut from = program::open(path)?;
        let mut to = OpenOptions::new()
            .write(true)
            .create(true)
            .truncate(true)
            .mode(0o700)
            .open(&copy)
            .map_err(|e| format!("{}: {e}", copy.display()))?;
        io::copy(&mut from, &mut to).map_err(say)?;
        to.flush().map_err(say)?;
        drop(to);
        let name = self.name(&copy)?;
        lock(&self.provided).insert(name.clone(), copy);
        Ok(name)
    }

    /// `node` is started as this program from now on.
    pub fn install(&self, node: &str, name: &str) -> Result<(), String> {
        let path = lock(&self.provided).get(name).cloned();
        let path = path.ok_or_else(|| format!("there is no program {name}"))?;
        lock(&self.installed).insert(node.to_string(), path);
        Ok(())
    }

    /// The name of a file's contents; read once for each version of it. Blocks.
    pub fn name(&self, path: &Path) -> Result<String, String> {
        let say = |e: io::Error| format!("{}: {e}", path.display());
        let mut file = program::open(path)?;
        let m = file.metadata().map_err(say)?;
        let version = (m.dev(), m.ino(), m.len(), m.mtime_nsec() ^ m.mtime());
        if let Some(name) = lock(&self.known).get(&version) {
            return Ok(name.clone());
        }
        let mut hash = Sha256::new();
        io::copy(&mut file, &mut hash).map_err(say)?;
        let digest = hash.finalize();
        let hex: String = digest.iter().take(8).map(|b| format!("{b:02x}")).collect();
        let name = format!("sha256 {hex}…");
        lock(&self.known).insert(version, name.clone());
        Ok(name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn programs_are_told_apart_by_their_contents() {
        let folder = tempfile::tempdir().unwrap();
        let programs = Programs::default();
        let own = programs.provide(None, folder.path()).unwrap();
        let mut bytes = fs::read(PROGRAM).unwrap();
        bytes.push(0);
        let other = folder.path().join("other");
        fs::write(&other, bytes).unwrap();
        let another = programs.provide(Some(&other), folder.path()).unwrap();
        assert_ne!(own, another);
        assert_eq!(programs.name(Path::new(PROGRAM)).unwrap(), own);

        assert_eq!(programs.of("a"), Path::new(PROGRAM));
        programs.install("a", &another).unwrap();
        assert_eq!(programs.name(&programs.of("a")).unwrap(), another);
        assert_ne!(programs.of("a"), other, "a copy of our own");
        programs.install("a", &own).unwrap();
        assert_eq!(programs.of("a"), Path::new(PROGRAM));
        assert!(programs.install("a", "none").unwrap_err().contains("none"));
    }
}
