//! Files that nodes can be started as.

use std::fs::File;
use std::io::{self, Read};
use std::path::Path;

/// Largest program that is taken, in bytes.
const MAX_PROGRAM: u64 = 2 << 30;

/// Opens a program: a file in ELF of a size that is no mistake.
pub(crate) fn open(path: &Path) -> Result<File, String> {
    let say = |e: io::Error| format!("{}: {e}", path.display());
    let mut file = File::open(path).map_err(say)?;
    let m = file.metadata().map_err(say)?;
    let mut magic = [0; 4];
    let whole = m.is_file() && m.len() <= MAX_PROGRAM && file.read_exact(&mut magic).is_ok();
    if !whole || magic != *b"\x7fELF" {
        return Err(format!("{} is no program (ELF)", path.display()));
    }
    File::open(path).map_err(say)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_no_program_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let text = folder.path().join("text");
        std::fs::write(&text, "#!/bin/sh\n").unwrap();
        for bad in [&text, &folder.path().join("none"), folder.path()] {
            assert!(open(bad).is_err(), "{bad:?}");
        }
        assert!(open(Path::new("/proc/self/exe")).is_ok());
    }
}
