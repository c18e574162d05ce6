//! Marks on everything that a run makes, so that leftovers are found again and
//! nothing else is ever touched.

use serde::{Deserialize, Serialize};
use std::collections::HashMap;
use std::fmt;
use std::fs;
use std::path::PathBuf;
use std::str::FromStr;

/// Names of the marks: label of the docker runtime, environment variable of the process runtime.
const NAMES: [(&str, &str); 5] = [
    ("gameday.run", "GAMEDAY_RUN"),
    ("gameday.unit", "GAMEDAY_UNIT"),
    ("gameday.kind", "GAMEDAY_KIND"),
    ("gameday.runner", "GAMEDAY_RUNNER"),
    ("gameday.folder", "GAMEDAY_FOLDER"),
];

/// Label that holds the run's id.
pub const RUN_LABEL: &str = NAMES[0].0;

/// Unit of the process that watches over the runner: it goes last of all.
pub const WATCHDOG: &str = "watchdog";

/// Whether something goes away with its run.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Kind {
    /// Belongs to one run; left over once its runner is dead.
    Run,
    /// A kept cluster (`gameday cluster up`): outlives its command on purpose.
    Cluster,
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Kind::Run => "run",
            Kind::Cluster => "cluster",
        })
    }
}

impl FromStr for Kind {
    type Err = String;
    fn from_str(s: &str) -> Result<Self, String> {
        match s {
            "run" => Ok(Kind::Run),
            "cluster" => Ok(Kind::Cluster),
            other => Err(format!("kind {other:?} is neither run nor cluster")),
        }
    }
}

/// A process that cannot be mistaken for a later one with the same pid: boot id, pid, and start
/// time in clock ticks since boot.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct RunnerId {
    /// `/proc/sys/kernel/random/boot_id`.
    pub boot_id: String,
    /// Process id.
    pub pid: u32,
    /// Field 22 of `/proc/<pid>/stat`.
    pub start_ticks: u64,
}

impl RunnerId {
    /// This process.
    ///
    /// # Errors
    /// `/proc` cannot be read.
    pub fn current() -> Result<Self, String> {
        let pid = std::process::id();
        let boot_id = boot_id()?;
        let stat = ProcStat::read(pid).ok_or("/proc/self/stat cannot be read")?;
        Ok(RunnerId {
            boot_id,
            pid,
            start_ticks: stat.start_ticks,
        })
    }

    /// Whether that very process still runs. When in doubt (no `/proc`), it does.
    pub fn is_alive(&self) -> bool {
        match boot_id() {
            Ok(boot) if boot != self.boot_id => false,
            Ok(_) => ProcStat::read(self.pid)
                .is_some_and(|s| s.start_ticks == self.start_ticks && !s.is_dead()),
            Err(_) => true,
        }
    }
}

impl fmt::Display for RunnerId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}/{}", self.boot_id, self.pid, self.start_ticks)
    }
}

impl FromStr for RunnerId {
    type Err = String;
    fn from_str(s: &str) -> Result<Self, String> {
        let bad = || format!("{s:?} is not <boot id>/<pid>/<start ticks>");
        let mut parts = s.split('/');
        let (Some(boot), Some(pid), Some(ticks), None) =
            (parts.next(), parts.next(), parts.next(), parts.next())
        else {
            return Err(bad());
        };
        Ok(RunnerId {
            boot_id: boot.to_string(),
            pid: pid.parse().map_err(|_| bad())?,
            start_ticks: ticks.parse().map_err(|_| bad())?,
        })
    }
}

impl TryFrom<String> for RunnerId {
    type Error = String;
    fn try_from(s: String) -> Result<Self, String> {
        s.parse()
    }
}

impl From<RunnerId> for String {
    fn from(id: RunnerId) -> String {
        id.to_string()
    }
}

fn boot_id() -> Result<String, String> {
    let path = "/proc/sys/kernel/random/boot_id";
    fs::read_to_string(path)
        .map(|s| s.trim().to_string())
        .map_err(|e| format!("{path}: {e}"))
}

/// What `/proc/<pid>/stat` says about a process.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct ProcStat {
    /// `R`, `S`, `T` (stopped), `Z` (zombie) …
    pub state: char,
    /// Start time in clock ticks since boot.
    pub start_ticks: u64,
}

impl ProcStat {
    /// Reads it; `None` if there is no such process.
    pub fn read(pid: u32) -> Option<Self> {
        Self::parse(&fs::read_to_string(format!("/proc/{pid}/stat")).ok()?)
    }

    /// The name in parentheses may itself hold spaces and parentheses: fields count from the last.
    fn parse(text: &str) -> Option<Self> {
        let rest = &text[text.rfind(')')? + 1..];
        let mut fields = rest.split_ascii_whitespace();
        let state = fields.next()?.chars().next()?;
        let start_ticks = fields.nth(18)?.parse().ok()?;
        Some(ProcStat { state, start_ticks })
    }

    /// Exited, reaped or not.
    pub fn is_dead(self) -> bool {
        matches!(self.state, 'Z' | 'X' | 'x')
    }

    /// Stopped by a signal.
    pub fn is_stopped(self) -> bool {
        self.state == 'T'
    }
}

/// To which run something belongs.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RunMarks {
    /// Run id.
    pub run: String,
    /// Whether it goes away with its run.
    pub kind: Kind,
    /// Who started it.
    pub runner: RunnerId,
    /// The run folder, absolute.
    pub folder: PathBuf,
}

impl RunMarks {
    /// Marks of a run of this process.
    ///
    /// # Errors
    /// The id is not fit for names of containers and folders, or `/proc` cannot be read.
    pub fn new(run: &str, kind: Kind, folder: impl Into<PathBuf>) -> Result<Self, String> {
        check_run_id(run)?;
        let folder = folder.into();
        Ok(RunMarks {
            run: run.to_string(),
            kind,
            runner: RunnerId::current()?,
            folder: std::path::absolute(&folder).unwrap_or(folder),
        })
    }

    fn values(&self, unit: &str) -> [String; 5] {
        [
            self.run.clone(),
            unit.to_string(),
            self.kind.to_string(),
            self.runner.to_string(),
            self.folder.display().to_string(),
        ]
    }

    /// As labels of a container, network, volume.
    pub fn labels(&self, unit: &str) -> HashMap<String, String> {
        let names = NAMES.iter().map(|(label, _)| label.to_string());
        names.zip(self.values(unit)).collect()
    }

    /// As environment of a process.
    pub fn env(&self, unit: &str) -> Vec<(String, String)> {
        let names = NAMES.iter().map(|(_, var)| var.to_string());
        names.zip(self.values(unit)).collect()
    }

    /// Back from labels; with the unit. `None` if something is missing or malformed: then it is
    /// not ours.
    pub fn from_labels(labels: &HashMap<String, String>) -> Option<(Self, String)> {
        Self::from_lookup(|i| labels.get(NAMES[i].0).cloned())
    }

    /// Back from an environment (`/proc/<pid>/environ`); with the unit.
    pub fn from_environ(environ: &[u8]) -> Option<(Self, String)> {
        Self::from_lookup(|i| environ_value(environ, NAMES[i].1))
    }

    fn from_lookup(get: impl Fn(usize) -> Option<String>) -> Option<(Self, String)> {
        let run = get(0)?;
        check_run_id(&run).ok()?;
        let marks = RunMarks {
            run,
            kind: get(2)?.parse().ok()?,
            runner: get(3)?.parse().ok()?,
            folder: PathBuf::from(get(4)?),
        };
        Some((marks, get(1)?))
    }
}

/// The value of a variable in the contents of `/proc/<pid>/environ`.
pub(crate) fn environ_value(environ: &[u8], name: &str) -> Option<String> {
    environ.split(|b| *b == 0).find_map(|entry| {
        let value = entry.strip_prefix(name.as_bytes())?.strip_prefix(b"=")?;
        String::from_utf8(value.to_vec()).ok()
    })
}

/// Ids become names of containers, networks and folders.
fn check_run_id(run: &str) -> Result<(), String> {
    let ok = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
    if run.is_empty() || run.len() > 120 || run.starts_with('.') || !run.chars().all(ok) {
        return Err(format!(
            "run id {run:?}: 1 to 120 letters, digits, '-', '_' and '.' are allowed, no '.' first"
        ));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn marks() -> RunMarks {
        RunMarks::new("20260101T000000Z-x-1", Kind::Run, "/tmp/runs/x").unwrap()
    }

    #[test]
    fn marks_survive_labels_and_environments() {
        let m = marks();
        let back = RunMarks::from_labels(&m.labels("storage-a1")).unwrap();
        assert_eq!(back, (m.clone(), "storage-a1".to_string()));

        let mut environ = b"PATH=/bin\0".to_vec();
        for (k, v) in m.env("router-b") {
            environ.extend_from_slice(format!("{k}={v}\0").as_bytes());
        }
        let back = RunMarks::from_environ(&environ).unwrap();
        assert_eq!(back, (m, "router-b".to_string()));
    }

    #[test]
    fn something_with_half_the_marks_is_not_ours() {
        let mut labels = marks().labels("x");
        labels.remove("gameday.runner");
        assert_eq!(RunMarks::from_labels(&labels), None);
        assert_eq!(RunMarks::from_environ(b"GAMEDAY_RUN=x\0PATH=/bin\0"), None);
    }

    #[test]
    fn the_living_are_told_from_the_dead_and_from_their_successors() {
        let me = RunnerId::current().unwrap();
        assert!(me.is_alive());
        assert!(me.to_string().parse::<RunnerId>().unwrap().is_alive());
        let successor = RunnerId {
            start_ticks: me.start_ticks + 1,
            ..me.clone()
        };
        assert!(!successor.is_alive());
        let other_boot = RunnerId {
            boot_id: "no such boot".into(),
            ..me
        };
        assert!(!other_boot.is_alive());
        assert!("a/b/c".parse::<RunnerId>().is_err());
        assert!("a/1/2/3".parse::<RunnerId>().is_err());
    }

    #[test]
    fn a_hostile_process_name_does_not_shift_the_fields() {
        let text = "12 (a) Z 99 (x) T 1 1 1 0 -1 1 1 1 1 1 1 1 1 1 20 0 1 0 777 1 1\n";
        assert_eq!(
            ProcStat::parse(text),
            Some(ProcStat {
                state: 'T',
                start_ticks: 777
            })
        );
        assert_eq!(ProcStat::parse("nonsense"), None);
    }

    #[test]
    fn ids_that_could_leave_their_folder_are_refused() {
        for bad in ["", "../x", ".x", "a/b", "a b", &"x".repeat(121)] {
            assert!(RunMarks::new(bad, Kind::Run, "/tmp").is_err(), "{bad:?}");
        }
    }
}
