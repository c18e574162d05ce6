//! Finds children and folders of the process runtime by their marks.

use super::folder::{MARKS, PREFIX};
use crate::runtime::leftover::{Leftover, Thing};
use crate::runtime::marks::{ProcStat, RunMarks};
use std::fs::{self, File};
use std::io::{self, Read};
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};
use std::os::unix::fs::MetadataExt;

/// Most bytes of an environment that are read.
const MAX_ENVIRON: u64 = 1 << 20;
/// Most bytes of a marks file.
const MAX_MARKS: u64 = 1 << 16;

/// Processes and folders of our own user with our marks, this process excepted.
///
/// # Errors
/// `/proc` cannot be listed.
pub(crate) fn find() -> Result<Vec<Leftover>, String> {
    let mut found = Vec::new();
    for entry in fs::read_dir("/proc")
        .map_err(|e| format!("/proc: {e}"))?
        .flatten()
    {
        let name = entry.file_name();
        let Some(pid) = name.to_str().and_then(|n| n.parse::<u32>().ok()) else {
            continue;
        };
        if pid == std::process::id() {
            continue;
        }
        let Some((marks, unit)) = marks_of(pid) else {
            continue;
        };
        let Some(stat) = ProcStat::read(pid).filter(|s| !s.is_dead()) else {
            continue;
        };
        let thing = Thing::Process {
            pid,
            start_ticks: stat.start_ticks,
        };
        found.push(Leftover::new("process", marks, unit, thing));
    }
    // No temporary folder, no leftovers in it.
    for entry in fs::read_dir(std::env::temp_dir())
        .into_iter()
        .flatten()
        .flatten()
    {
        let name = entry.file_name();
        let Some(run) = name
            .to_str()
            .and_then(|n| n.strip_prefix(PREFIX)?.strip_suffix(MARKS))
        else {
            continue;
        };
        let path = entry.path();
        let ours = |meta: &fs::Metadata| meta.uid() == nix::unistd::getuid().as_raw();
        if !fs::symlink_metadata(&path).is_ok_and(|m| m.is_file() && ours(&m)) {
            continue;
        }
        let marks = read(&path.display().to_string(), MAX_MARKS)
            .and_then(|m| serde_json::from_slice::<RunMarks>(&m).ok());
        // Gone, not yet there, or ours.
        let folder = path.with_file_name(format!("{PREFIX}{run}"));
        let fits = match fs::symlink_metadata(&folder) {
            Ok(meta) => meta.is_dir() && ours(&meta),
            Err(e) => e.kind() == io::ErrorKind::NotFound,
        };
        if let (true, Some(marks)) = (fits, marks.filter(|m| m.run == run)) {
            let thing = Thing::Folder(folder);
            found.push(Leftover::new("process", marks, String::new(), thing));
        }
    }
    Ok(found)
}

fn read(path: &str, most: u64) -> Option<Vec<u8>> {
    let mut bytes = Vec::new();
    File::open(path)
        .ok()?
        .take(most)
        .read_to_end(&mut bytes)
        .ok()?;
    Some(bytes)
}

fn marks_of(pid: u32) -> Option<(RunMarks, String)> {
    let owner = fs::metadata(format!("/proc/{pid}")).ok()?.uid();
    if owner != nix::unistd::getuid().as_raw() {
        return None;
    }
    RunMarks::from_environ(&read(&format!("/proc/{pid}/environ"), MAX_ENVIRON)?)
}

/// Kills the process if it is still the one found: a handle is taken first, then its identity is
/// checked, so a pid that was given to another in between is never signalled. `false` if it is
/// gone.
pub(crate) fn kill_marked(pid: u32, start_ticks: u64, run: &str) -> Result<bool, String> {
    let Ok(raw) = i32::try_from(pid) else {
        return Err(format!("{pid} is not a pid"));
    };
    // SAFETY: pidfd_open takes no pointers; the descriptor returned is new and ours.
    let handle = unsafe {
        let fd = libc::syscall(libc::SYS_pidfd_open, raw, 0);
        if fd < 0 {
            let e = io::Error::last_os_error();
            return if e.raw_os_error() == Some(libc::ESRCH) {
                Ok(false)
            } else {
                Err(e.to_string())
            };
        }
        OwnedFd::from_raw_fd(fd as i32)
    };
    let same = ProcStat::read(pid).is_some_and(|s| s.start_ticks == start_ticks && !s.is_dead())
        && marks_of(pid).is_some_and(|(marks, _)| marks.run == run);
    if !same {
        return Ok(false);
    }
    // SAFETY: the descriptor is a live pidfd; a null siginfo means that of kill(2).
    let sent = unsafe {
        libc::syscall(
            libc::SYS_pidfd_send_signal,
            handle.as_raw_fd(),
            libc::SIGKILL,
            std::ptr::null::<libc::siginfo_t>(),
            0,
        )
    };
    match sent {
        0 => Ok(true),
        _ => match io::Error::last_os_error() {
            e if e.raw_os_error() == Some(libc::ESRCH) => Ok(false),
            e => Err(e.to_string()),
        },
    }
}
