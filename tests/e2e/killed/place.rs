//! Where a game day writes to and speaks to, so that it can be closed or filled.

use nix::mount::{MntFlags, MsFlags, mount, umount2};
use nix::sched::{CloneFlags, unshare};
use std::fs::File;
use std::io::Write;
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// From now on this thread, and whoever it starts, has mounts of its own.
///
/// # Errors
/// It may not: nobody can fill a disk of its own then.
pub fn own_mounts() -> Result<(), String> {
    let none = None::<&str>;
    unshare(CloneFlags::CLONE_NEWNS)
        .and_then(|()| mount(none, "/", none, MsFlags::MS_REC | MsFlags::MS_PRIVATE, none))
        .map_err(|e| format!("no mounts of our own: {e}"))
}

/// A small disk, as long as this lives.
pub struct Disk(PathBuf);

impl Disk {
    /// Of so many MiB.
    pub fn at(path: &Path, mib: u32) -> Disk {
        std::fs::create_dir_all(path).expect("a folder");
        let size = format!("size={mib}m");
        let (kind, none) = (Some("tmpfs"), MsFlags::empty());
        mount(kind, path, kind, none, Some(size.as_str())).expect("a disk");
        Disk(path.into())
    }

    /// Nothing fits on it any more.
    pub fn fill(&self) {
        let mut file = File::create(self.0.join("filler")).expect("a file");
        for size in [1 << 20, 4096, 1] {
            while file.write_all(&vec![b'x'; size]).is_ok() {}
        }
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        let _ = umount2(&self.0, MntFlags::MNT_DETACH);
    }
}

/// Whoever listens to what a run says; until it is dropped.
pub struct Listener(OwnedFd);

impl Listener {
    /// Reads a pipe.
    pub fn pipe(command: &mut Command) -> Listener {
        let (reader, writer) = std::io::pipe().expect("a pipe");
        let more = writer.try_clone().expect("a descriptor");
        command.stdout(writer).stderr(more);
        Listener::of(reader.into())
    }

    /// Looks at a terminal, which controls the process.
    pub fn terminal(command: &mut Command) -> Listener {
        let pty = nix::pty::openpty(None, None).expect("a terminal");
        let more = || pty.slave.try_clone().expect("a descriptor");
        command.env("TERM", "xterm").stdin(Stdio::from(more()));
        command.stdout(more()).stderr(more());
        // SAFETY: both calls are async-signal-safe and touch no memory of the parent.
        unsafe {
            command.pre_exec(|| {
                nix::unistd::setsid()?;
                match libc::ioctl(0, libc::TIOCSCTTY, 0) {
                    0 => Ok(()),
                    _ => Err(std::io::Error::last_os_error()),
                }
            });
        }
        Listener::of(pty.master)
    }

    /// Takes what is there, and never waits. It is nobody else's: a child that had it would keep it
    /// open.
    fn of(fd: OwnedFd) -> Listener {
        // SAFETY: the descriptor is open.
        unsafe {
            libc::fcntl(fd.as_raw_fd(), libc::F_SETFL, libc::O_NONBLOCK);
            libc::fcntl(fd.as_raw_fd(), libc::F_SETFD, libc::FD_CLOEXEC);
        }
        Listener(fd)
    }

    /// Takes what was said so far.
    pub fn listen(&self) {
        let mut bytes = [0; 4096];
        while nix::unistd::read(&self.0, &mut bytes).is_ok_and(|n| n > 0) {}
    }
}
