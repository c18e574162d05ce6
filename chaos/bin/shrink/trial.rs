//! Running a playbook again, and whether it fails as the first run did.

use super::ddmin::Outcome;
use crate::stop::Stop;
use gameday_record::folder::read_json;
use gameday_record::{DataVerdict, RunFolder, Verdict};
use gameday_reports::Report;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use std::collections::BTreeSet;
use std::fmt;
use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::{Duration, Instant};
use tokio::process::{Child, Command};

/// How long a run that was told to end may take to revert and take everything down.
const ENDS: Duration = Duration::from_secs(240);

/// How a run failed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Signature {
    /// The data showed anomalies of these names.
    Anomalies(BTreeSet<String>),
    /// A promise was missed.
    Promise,
}

impl fmt::Display for Signature {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Signature::Anomalies(names) => {
                let names: Vec<&str> = names.iter().map(String::as_str).collect();
                write!(f, "its data show: {}", names.join(" or "))
            }
            Signature::Promise => write!(f, "a promise is missed"),
        }
    }
}

impl Signature {
    /// Of a run that failed.
    ///
    /// # Errors
    /// It did not, or what came of it is not known.
    pub fn of(folder: &RunFolder) -> Result<Self, String> {
        let anomalies = anomalies(&read_json(&folder.verdict())?);
        if !anomalies.is_empty() {
            return Ok(Signature::Anomalies(anomalies));
        }
        let report: Report = read_json(&folder.report_json())?;
        match report.overall.verdict {
            Verdict::Fail => Ok(Signature::Promise),
            _ => Err(format!(
                "it did not fail ({}): there is nothing to shrink",
                report.overall.ending.word()
            )),
        }
    }

    /// Whether another run failed in the same way.
    fn judge(&self, exit: Option<i32>, data: Option<&DataVerdict>) -> Outcome {
        match (self, exit) {
            // Data that are wrong are wrong however the run ended.
            (Signature::Anomalies(names), _)
                if data.is_some_and(|d| !anomalies(d).is_disjoint(names)) =>
            {
                Outcome::Fails
            }
            (Signature::Promise, Some(1)) => Outcome::Fails,
            // It failed, but in another way.
            (Signature::Anomalies(_), Some(1)) | (_, Some(0)) => Outcome::Passes,
            _ => Outcome::Unresolved,
        }
    }
}

fn anomalies(data: &DataVerdict) -> BTreeSet<String> {
    let all = data.checks.iter().flat_map(|c| &c.anomalies);
    all.map(|a| a.name.clone()).collect()
}

/// How playbooks are run again.
pub struct Trial {
    /// `docker` or `process`.
    pub runtime: String,
    /// The first run's.
    pub seed: u64,
    /// The first run's, word by word.
    pub options: Vec<String>,
    /// How the first run failed.
    pub signature: Signature,
    /// Most runs of each playbook.
    pub runs: u32,
    /// When everything ends.
    pub until: Instant,
    /// Ends everything sooner.
    pub stop: Stop,
}

/// What came of one playbook.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tried {
    /// Fails if any run did; passes if all of them did.
    pub outcome: Outcome,
    /// Exit codes of the runs that ended by themselves.
    pub exits: Vec<Option<i32>>,
    /// Time was up, or a signal came, before all runs were made.
    pub cut_short: bool,
}

impl fmt::Display for Tried {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let n = self.exits.len();
        match self.outcome {
            Outcome::Fails if n == 1 => write!(f, "fails in the first run"),
            Outcome::Fails => write!(f, "fails in run {n}, not in the {} before", n - 1),
            Outcome::Passes => write!(f, "does not fail in {n} runs"),
            Outcome::Unresolved => {
                let code = |c: &Option<i32>| c.map_or("a signal".into(), |c| c.to_string());
                let codes: Vec<String> = self.exits.iter().map(code).collect();
                write!(f, "not decided (exit codes: {})", codes.join(", "))
            }
        }?;
        if self.cut_short {
            write!(f, ", cut short")?;
        }
        Ok(())
    }
}

impl Trial {
    /// Runs a playbook until it fails, at most `runs` times.
    ///
    /// # Errors
    /// It cannot be started.
    pub async fn run(&self, book: &Path) -> Result<Tried, String> {
        let mut tried = Tried {
            outcome: Outcome::Passes,
            exits: Vec::new(),
            cut_short: false,
        };
        for number in 1..=self.runs {
            let out = book.with_extension(format!("run-{number}"));
            let Some(exit) = self.once(book, &out).await? else {
                tried.cut_short = true;
                // What was not run through is not known to pass.
                tried.outcome = Outcome::Unresolved;
                break;
            };
            tried.exits.push(exit);
            let data = run_folder(&out).and_then(|f| read_json(&f.verdict()).ok());
            match self.signature.judge(exit, data.as_ref()) {
                Outcome::Fails => {
                    tried.outcome = Outcome::Fails;
                    break;
                }
                Outcome::Unresolved => tried.outcome = Outcome::Unresolved,
                Outcome::Passes => {}
            }
        }
        Ok(tried)
    }

    /// One run; its exit code, or nothing if it was cut short.
    async fn once(&self, book: &Path, out: &Path) -> Result<Option<Option<i32>>, String> {
        if Instant::now() >= self.until || self.stop.signal().is_some() {
            return Ok(None);
        }
        let log = out.with_extension(format!("{}.log", extension(out)));
        let say = |e: std::io::Error| format!("{}: {e}", log.display());
        let file = File::create(&log).map_err(say)?;
        let mut command = Command::new("/proc/self/exe");
        command
            .arg("run")
            .arg(book)
            .args(["--runtime", &self.runtime, "--plain", "--seed"])
            .arg(self.seed.to_string())
            .args(&self.options)
            .arg("--out")
            .arg(out)
            .stdin(Stdio::null())
            .stdout(file.try_clone().map_err(say)?)
            .stderr(file)
            // Ctrl-C reaches us alone, and we tell it once.
            .process_group(0);
        // It hears us even if we were started to ignore signals, and does not outlive us.
        // SAFETY: both calls are async-signal-safe and touch no memory of the parent.
        unsafe {
            command.pre_exec(|| {
                libc::signal(libc::SIGINT, libc::SIG_DFL);
                nix::sys::prctl::set_pdeathsig(Signal::SIGINT).map_err(std::io::Error::from)
            });
        }
        let mut child = command
            .spawn()
            .map_err(|e| format!("gameday cannot be started again: {e}"))?;
        tokio::select! {
            ended = child.wait() => {
                let status = ended.map_err(|e| e.to_string())?;
                Ok(Some(status.code()))
            }
            _ = self.stop.stopped() => end(&mut child).await.map(|()| None),
            () = tokio::time::sleep_until(self.until.into()) => end(&mut child).await.map(|()| None),
        }
    }
}

/// Asks a run to end, and waits until it has reverted everything.
async fn end(child: &mut Child) -> Result<(), String> {
    let pid = child.id().and_then(|id| i32::try_from(id).ok());
    if let Some(pid) = pid {
        // Fails only if it has ended by itself, which is what is wanted.
        let _ = kill(Pid::from_raw(pid), Signal::SIGINT);
    }
    match tokio::time::timeout(ENDS, child.wait()).await {
        Ok(ended) => ended.map(drop).map_err(|e| e.to_string()),
        Err(_) => {
            child.kill().await.map_err(|e| e.to_string())?;
            Err(format!(
                "a run did not end {ENDS:?} after it was told to, and was killed; gameday revert \
                 --all removes what it left"
            ))
        }
    }
}

fn extension(path: &Path) -> String {
    let extension = path.extension().unwrap_or_default();
    extension.to_string_lossy().into_owned()
}

/// The only run folder in `out`.
fn run_folder(out: &Path) -> Option<RunFolder> {
    let mut entries = std::fs::read_dir(out).ok()?;
    let path: PathBuf = entries.next()?.ok()?.path();
    Some(RunFolder::at(path))
}

#[cfg(test)]
mod tests {
    use super::*;
    use gameday_record::{Anomaly, Check};

    fn data(names: &[&str]) -> DataVerdict {
        let anomaly = |name: &&str| Anomaly {
            name: name.to_string(),
            key: "k".into(),
            summary: String::new(),
            violates: String::new(),
            operations: vec![],
            around: vec![],
        };
        DataVerdict::new(vec![Check {
            name: "lost-writes".into(),
            verdict: Verdict::Fail,
            detail: String::new(),
            anomalies: names.iter().map(anomaly).collect(),
            anomalies_total: names.len() as u64,
            measures: vec![],
        }])
    }

    #[test]
    fn only_the_same_failure_is_a_failure() {
        use Outcome::{Fails, Passes, Unresolved};
        let lost = Signature::Anomalies(["lost write".to_string()].into());
        let table = [
            (&lost, Some(1), Some(data(&["lost write", "x"])), Fails),
            // A run that a signal or a stop condition ended can still show it.
            (&lost, Some(2), Some(data(&["lost write"])), Fails),
            (&lost, Some(1), Some(data(&["stale read"])), Passes),
            (&lost, Some(0), Some(data(&[])), Passes),
            (&lost, Some(2), Some(data(&[])), Unresolved),
            (&lost, Some(64), None, Unresolved),
            (&lost, None, None, Unresolved),
            (&Signature::Promise, Some(1), None, Fails),
            (&Signature::Promise, Some(0), None, Passes),
            (&Signature::Promise, Some(2), None, Unresolved),
        ];
        for (signature, exit, data, expected) in table {
            let judged = signature.judge(exit, data.as_ref());
            assert_eq!(judged, expected, "{signature:?}, exit {exit:?}");
        }
    }
}
