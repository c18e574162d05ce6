//! The watchdog: a process in a session of its own that holds a pipe to the
//! runner. When the pipe ends before the runner has said that it is done, the
//! runner is dead, and the watchdog undoes what it left: paused and stopped
//! nodes, and everything else that no lease ends.
//!
//! It shares no fate with whom it watches over. Only words send it away: a pipe that ends, a task
//! that panics, a channel that is dropped are not the word. It acts first, and what it has to say
//! waits for nobody and wants no room: without a log it does the same.

use crate::undo::undo;
use futures_util::future::BoxFuture;
use gameday_chaos::runtime::leftovers;
use gameday_chaos::runtime::marks::{RunMarks, WATCHDOG};
use std::fs::OpenOptions;
use std::io::Read;
use std::path::PathBuf;
use std::pin::pin;
use std::process::Stdio;
use std::time::{Duration, Instant};
use tokio::io::AsyncWriteExt;
use tokio::process::{Child, Command};
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

/// What the runner says when nothing is left to watch over.
const DONE: &[u8] = b"done\n";
/// A dismissed watchdog ends in this time.
const END: Duration = Duration::from_secs(5);
/// Watchdogs that are started after the first one, in one run.
const MORE: u32 = 10;
/// A runner that was killed is gone in this time; one that is not is looked for less often.
const DEATH: Duration = Duration::from_secs(10);
/// All that the watchdog undoes is undone in this time, or given up.
const UNDO: Duration = Duration::from_secs(180);

/// Tells whoever runs it what became of watchdogs.
pub type Tell = Box<dyn Fn(String) -> BoxFuture<'static, ()> + Send + Sync>;

/// Tells on standard error.
pub fn aloud() -> Tell {
    Box::new(|text| {
        warn!("{text}");
        Box::pin(std::future::ready(()))
    })
}

/// The word that nothing is left to watch over.
struct Dismissed;

/// The runner's side: keeps one watchdog alive until it is dismissed.
pub struct Watchdog {
    dismiss: oneshot::Sender<Dismissed>,
    keeping: JoinHandle<()>,
    log: Option<PathBuf>,
}

impl Watchdog {
    /// Starts it. `log`: where it says what it did, if it can be written there.
    ///
    /// # Errors
    /// The process cannot be started.
    pub fn start(marks: RunMarks, log: Option<PathBuf>, tell: Tell) -> Result<Self, String> {
        let keeper = Keeper {
            marks,
            log: log.clone(),
            tell,
        };
        let first = keeper.spawn()?;
        let (dismiss, dismissed) = oneshot::channel();
        let keeping = tokio::spawn(keeper.keep(first, dismissed));
        Ok(Watchdog {
            dismiss,
            keeping,
            log,
        })
    }

    /// Nothing is left to watch over: it ends, and leaves nothing itself.
    pub async fn dismiss(self) {
        // Nobody listens any more if there were too many deaths.
        let _ = self.dismiss.send(Dismissed);
        // The task has deadlines of its own; a panic in it was noticed.
        let _ = self.keeping.await;
        if let Some(log) = self.log
            && std::fs::metadata(&log).is_ok_and(|m| m.len() == 0)
        {
            // An empty file more or less.
            let _ = std::fs::remove_file(log);
        }
    }
}

/// Keeps a watchdog alive.
struct Keeper {
    marks: RunMarks,
    log: Option<PathBuf>,
    tell: Tell,
}

impl Keeper {
    fn spawn(&self) -> Result<Child, String> {
        let mut command = Command::new("/proc/self/exe");
        command
            .arg0("gameday")
            .args(["internal", "watchdog"])
            .envs(self.marks.env(WATCHDOG))
            .stdin(Stdio::piped())
            .stdout(self.output())
            .stderr(self.output());
        // SAFETY: setsid is async-signal-safe and touches no memory of the parent.
        unsafe {
            command.pre_exec(|| {
                nix::unistd::setsid()
                    .map(drop)
                    .map_err(std::io::Error::from)
            });
        }
        command
            .spawn()
            .map_err(|e| format!("the watchdog cannot be started: {e}"))
    }

    /// A watchdog whose log cannot be opened watches without one.
    fn output(&self) -> Stdio {
        let open = |path| OpenOptions::new().create(true).append(true).open(path);
        let log = self.log.as_ref().and_then(|path| open(path).ok());
        log.map_or_else(Stdio::null, Stdio::from)
    }

    /// Starts another one when one dies.
    async fn keep(self, mut child: Child, dismissed: oneshot::Receiver<Dismissed>) {
        let mut word = pin!(word(dismissed));
        for left in (0..MORE).rev() {
            // Its end of the pipe; dropped with the child, or to tell it of our death.
            let pipe = child.stdin.take();
            let how = tokio::select! {
                biased;
                Dismissed = &mut word => return end(child, pipe).await,
                how = child.wait() => how,
            };
            let how = how.map_or_else(|e| e.to_string(), |status| status.to_string());
            let next = match left {
                0 => Err(format!("it was the {}th", MORE + 1)),
                _ => self.spawn(),
            };
            let text = match &next {
                Ok(_) => format!("the watchdog died ({how}); another one watches now"),
                Err(why) => format!(
                    "the watchdog died ({how}), and there is no other one: {why}; should gameday \
                     be killed, gameday revert {} must be called",
                    self.marks.run
                ),
            };
            (self.tell)(text).await;
            match next {
                Ok(next) => child = next,
                Err(_) => return,
            }
        }
    }
}

/// The word. That nobody can say it any more is not the word: then it never comes.
async fn word(dismissed: oneshot::Receiver<Dismissed>) -> Dismissed {
    match dismissed.await {
        Ok(word) => word,
        Err(_) => std::future::pending().await,
    }
}

async fn end(mut child: Child, pipe: Option<tokio::process::ChildStdin>) {
    if let Some(mut pipe) = pipe {
        // It is dead already, if not; then there is nobody to tell.
        let _ = pipe.write_all(DONE).await;
    }
    if tokio::time::timeout(END, child.wait()).await.is_err() {
        // It fails only if it has exited meanwhile.
        let _ = child.kill().await;
    }
}

/// The watchdog's own program.
///
/// # Errors
/// It was not started by a run, or something is left.
pub fn main() -> Result<(), String> {
    let environ = std::fs::read("/proc/self/environ").map_err(|e| format!("/proc: {e}"))?;
    let (marks, _) =
        RunMarks::from_environ(&environ).ok_or("gameday starts this program itself")?;
    let mut said = Vec::new();
    let mut pipe = std::io::stdin().take(DONE.len() as u64);
    if let Err(e) = pipe.read_to_end(&mut said) {
        // It says as little as one that has ended.
        say!("the pipe to the runner: {e}");
    }
    if said == DONE {
        return Ok(());
    }
    // Its pipe ends a moment before it does. One that lives on is not reverted for, but when it
    // does end, it must be.
    let began = Instant::now();
    let mut patient = false;
    while !marks.liveness().is_dead() {
        if began.elapsed() > DEATH && !std::mem::replace(&mut patient, true) {
            say!(
                "the runner (process {}) lives on without its pipe",
                marks.runner.pid
            );
        }
        std::thread::sleep(Duration::from_millis(if patient { 500 } else { 10 }));
    }
    say!("the runner (process {}) is dead", marks.runner.pid);
    let work = async {
        let things = leftovers::find(Some(&marks.run)).await.things;
        undo(&marks.run, &marks.folder, things, "its watchdog").await
    };
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|e| e.to_string())?;
    match runtime.block_on(async { tokio::time::timeout(UNDO, work).await }) {
        Ok(true) => {
            say!("nothing of it is left");
            Ok(())
        }
        Ok(false) => Err(format!("something is left; gameday revert {}", marks.run)),
        Err(_) => Err(format!(
            "not done after {} s; gameday revert {}",
            UNDO.as_secs(),
            marks.run
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures_util::FutureExt;

    #[tokio::test]
    async fn that_nobody_can_say_the_word_is_not_the_word() {
        let (say, heard) = oneshot::channel();
        drop(say);
        assert!(word(heard).now_or_never().is_none());
        let (say, heard) = oneshot::channel();
        assert!(say.send(Dismissed).is_ok());
        assert!(word(heard).now_or_never().is_some());
    }
}
