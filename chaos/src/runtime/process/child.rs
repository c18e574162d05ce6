//! One child process: started in a session of its own, signalled only while it
//! is certainly ours.

use crate::runtime::marks::ProcStat;
use crate::runtime::{Exit, Identity, ProcessState};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use std::fs::File;
use std::io;
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::path::Path;
use std::process::{Child, ChildStdin, ChildStdout, Command, ExitStatus, Stdio};
use std::time::Duration;

/// Deadline of a signal's effect.
pub(super) const SIGNAL: Duration = Duration::from_secs(10);
/// How often an expected effect is looked for.
pub(super) const LOOK: Duration = Duration::from_millis(5);
/// The running binary, even if its file has been replaced since.
pub(super) const PROGRAM: &str = "/proc/self/exe";
/// Variables of the caller that children see; everything else they are told explicitly.
const PASSED_ON: [&str; 5] = [
    "PATH",
    "LD_LIBRARY_PATH",
    "RUST_LOG",
    "RUST_BACKTRACE",
    "LLVM_PROFILE_FILE",
];

/// Our own binary with these arguments and only this environment, in a session of its own, so
/// that neither Ctrl-C nor the end of the terminal reaches it.
pub(crate) fn command(args: &[String], env: &[(String, String)]) -> Command {
    command_of(Path::new(PROGRAM), args, env)
}

/// The same with another build of it.
fn command_of(program: &Path, args: &[String], env: &[(String, String)]) -> Command {
    let mut command = Command::new(program);
    command.arg0("gameday").args(args).env_clear();
    for name in PASSED_ON {
        if let Some(value) = std::env::var_os(name) {
            command.env(name, value);
        }
    }
    command.envs(env.iter().map(|(k, v)| (k, v)));
    // SAFETY: setsid is async-signal-safe and touches no memory of the parent.
    unsafe {
        command.pre_exec(|| nix::unistd::setsid().map(drop).map_err(io::Error::from));
    }
    command
}

/// A node's process. It stays ours until it is reaped here, so its pid cannot be another's.
pub(crate) struct Node {
    child: Child,
    start_ticks: u64,
    exited: Option<ExitStatus>,
}

impl Node {
    /// Starts a program with its output appended to `log`.
    pub fn spawn(
        program: &Path,
        args: &[String],
        env: &[(String, String)],
        log: File,
    ) -> io::Result<Self> {
        let child = command_of(program, args, env)
            .stdin(Stdio::null())
            .stdout(log.try_clone()?)
            .stderr(log)
            .spawn()?;
        Ok(Self::of(child))
    }

    /// Starts it with pipes to its input and output; its standard error goes to `log`.
    pub fn spawn_piped(
        args: &[String],
        env: &[(String, String)],
        log: File,
    ) -> io::Result<(Self, ChildStdin, ChildStdout)> {
        let mut command = command(args, env);
        let mut child = command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(log)
            .spawn()?;
        let pipes = child.stdin.take().zip(child.stdout.take());
        let (stdin, stdout) = pipes.ok_or_else(|| io::Error::other("no pipes"))?;
        Ok((Self::of(child), stdin, stdout))
    }

    fn of(child: Child) -> Self {
        let start_ticks = ProcStat::read(child.id()).map_or(0, |s| s.start_ticks);
        Node {
            child,
            start_ticks,
            exited: None,
        }
    }

    /// Its process id; another's once it was seen to have exited.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// What it is doing; reaps it if it has exited.
    pub fn state(&mut self) -> io::Result<ProcessState> {
        if self.exited.is_none() {
            self.exited = self.child.try_wait()?;
        }
        if let Some(status) = self.exited {
            return Ok(ProcessState::Exited(
                match (status.signal(), status.code()) {
                    (Some(signal), _) => Exit::Signal(signal),
                    (None, Some(code)) => Exit::Code(code.into()),
                    (None, None) => Exit::Unknown,
                },
            ));
        }
        let identity = Identity {
            pid: self.child.id(),
            since: self.start_ticks.to_string(),
        };
        Ok(match ProcStat::read(self.child.id()) {
            Some(stat) if stat.is_stopped() => ProcessState::Paused { identity },
            Some(stat) if stat.is_dead() => ProcessState::Exited(Exit::Ending),
            Some(_) => ProcessState::Running { identity },
            None => ProcessState::Exited(Exit::Unknown),
        })
    }

    /// Sends a signal; `false` if it has exited already.
    pub fn signal(&mut self, signal: Signal) -> io::Result<bool> {
        if self.exited.is_none() {
            self.exited = self.child.try_wait()?;
        }
        if self.exited.is_some() {
            return Ok(false);
        }
        let pid = i32::try_from(self.child.id()).map_err(io::Error::other)?;
        kill(Pid::from_raw(pid), signal)?;
        Ok(true)
    }
}
