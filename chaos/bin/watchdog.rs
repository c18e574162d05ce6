//! The watchdog: a process in a session of its own that holds a pipe to the
//! runner. When the pipe ends before the runner has said that it is done, the
//! runner is dead, and the watchdog undoes what it left: paused and stopped
//! nodes, and everything else that no lease ends.

use crate::live::Live;
use crate::undo::undo;
use gameday_chaos::runner::Timeline;
use gameday_chaos::runtime::leftovers;
use gameday_chaos::runtime::marks::{RunMarks, WATCHDOG};
use gameday_record::{RunFolder, TimelineEvent};
use std::fs::OpenOptions;
use std::io::Read;
use std::process::Stdio;
use std::sync::Arc;
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
/// A process that was killed is gone in this time.
const DEATH: Duration = Duration::from_secs(10);
/// All that the watchdog undoes is undone in this time, or given up.
const UNDO: Duration = Duration::from_secs(180);

/// The runner's side: keeps one watchdog alive until it is dismissed.
pub struct Watchdog {
    dismiss: oneshot::Sender<()>,
    keeping: JoinHandle<()>,
    folder: RunFolder,
}

impl Watchdog {
    /// Starts it.
    ///
    /// # Errors
    /// The process cannot be started.
    pub fn start(marks: RunMarks, timeline: Timeline, live: Arc<Live>) -> Result<Self, String> {
        let folder = RunFolder::at(&marks.folder);
        let first = spawn(&marks)?;
        let (dismiss, dismissed) = oneshot::channel();
        let keeping = tokio::spawn(keep(first, marks, timeline, live, dismissed));
        Ok(Watchdog {
            dismiss,
            keeping,
            folder,
        })
    }

    /// Nothing is left to watch over: it ends, and leaves nothing itself.
    pub async fn dismiss(self) {
        // Nobody listens any more if there were too many deaths.
        let _ = self.dismiss.send(());
        // The task has deadlines of its own; a panic in it was printed.
        let _ = self.keeping.await;
        let log = self.folder.watchdog_log();
        if std::fs::metadata(&log).is_ok_and(|m| m.len() == 0) {
            // An empty file more or less.
            let _ = std::fs::remove_file(log);
        }
    }
}

fn spawn(marks: &RunMarks) -> Result<Child, String> {
    let path = RunFolder::at(&marks.folder).watchdog_log();
    let log = OpenOptions::new().create(true).append(true).open(&path);
    let log = log.map_err(|e| format!("{}: {e}", path.display()))?;
    let again = log
        .try_clone()
        .map_err(|e| format!("{}: {e}", path.display()))?;
    let mut command = Command::new("/proc/self/exe");
    command
        .arg0("gameday")
        .args(["internal", "watchdog"])
        .envs(marks.env(WATCHDOG))
        .stdin(Stdio::piped())
        .stdout(log)
        .stderr(again);
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

/// Starts another one when one dies.
async fn keep(
    mut child: Child,
    marks: RunMarks,
    timeline: Timeline,
    live: Arc<Live>,
    mut dismissed: oneshot::Receiver<()>,
) {
    for left in (0..MORE).rev() {
        // Its end of the pipe; dropped with the child, or to tell it of our death.
        let pipe = child.stdin.take();
        let how = tokio::select! {
            biased;
            _ = &mut dismissed => return end(child, pipe).await,
            how = child.wait() => how,
        };
        let how = how.map_or_else(|e| e.to_string(), |status| status.to_string());
        let next = match left {
            0 => Err(format!("it was the {}th", MORE + 1)),
            _ => spawn(&marks),
        };
        let text = match &next {
            Ok(_) => format!("the watchdog died ({how}); another one watches now"),
            Err(why) => format!(
                "the watchdog died ({how}), and there is no other one: {why}; should gameday be \
                 killed, gameday revert {} must be called",
                marks.run
            ),
        };
        live.note(&text);
        // The runner's own writes notice a timeline that cannot be written.
        let _ = timeline.append(TimelineEvent::Note { text }).await;
        match next {
            Ok(next) => child = next,
            Err(_) => return,
        }
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
/// It was not started by a run, the runner lives although its pipe has ended,
/// or something is left.
pub fn main() -> Result<(), String> {
    let environ = std::fs::read("/proc/self/environ").map_err(|e| format!("/proc: {e}"))?;
    let (marks, _) =
        RunMarks::from_environ(&environ).ok_or("gameday starts this program itself")?;
    let mut said = Vec::new();
    std::io::stdin()
        .take(DONE.len() as u64)
        .read_to_end(&mut said)
        .map_err(|e| format!("the pipe to the runner: {e}"))?;
    if said == DONE {
        return Ok(());
    }
    // Its pipe ends a moment before it does.
    let began = Instant::now();
    while marks.runner.is_alive() {
        if began.elapsed() > DEATH {
            return Err(format!(
                "the runner (process {}) lives on without its pipe: nothing is reverted",
                marks.runner.pid
            ));
        }
        std::thread::sleep(Duration::from_millis(10));
    }
    println!("the runner (process {}) is dead", marks.runner.pid);
    let work = async {
        let things = leftovers::find(Some(&marks.run)).await.things;
        undo(&marks.run, &marks.folder, things, "its watchdog").await
    };
    let runtime = tokio::runtime::Runtime::new().map_err(|e| format!("no threads: {e}"))?;
    match runtime.block_on(async { tokio::time::timeout(UNDO, work).await }) {
        Ok(true) => {
            println!("nothing of it is left");
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
