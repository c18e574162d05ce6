//! Marks on everything that a run makes, so that leftovers are found again and
//! nothing else is ever touched.

use crate::runtime::place::Place;
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

/// Stands for a machine that has no id.
const NO_MACHINE: &str = "-";

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

/// A process that cannot be mistaken for another one, on this machine or any other.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct RunnerId {
    /// `/proc/sys/kernel/random/boot_id`: the machine and its start.
    pub boot_id: String,
    /// Process id, in its own PID namespace.
    pub pid: u32,
    /// Field 22 of `/proc/<pid>/stat`: start time in clock ticks since boot.
    pub start_ticks: u64,
    /// Inode of its PID namespace; none in marks of older builds.
    pub pid_namespace: Option<u64>,
    /// `/etc/machine-id`; none if it is unknown, or that of a container.
    pub machine: Option<String>,
}

impl RunnerId {
    /// This process.
    ///
    /// # Errors
    /// `/proc` cannot be read.
    pub fn current() -> Result<Self, String> {
        let pid = std::process::id();
        let place = Place::here();
        let stat = ProcStat::read(pid).ok_or("/proc/self/stat cannot be read")?;
        Ok(RunnerId {
            boot_id: place.boot_id.ok_or("the kernel has no boot id")?,
            pid,
            start_ticks: stat.start_ticks,
            pid_namespace: Some(place.pid_namespace.ok_or("/proc/self/ns/pid is no link")?),
            machine: place.machine,
        })
    }

    /// How to find it, for people: `process 7`, and where that number is not its own here.
    pub fn told(&self) -> String {
        let place = Place::here();
        let pid = self.pid;
        if place.boot_id.as_ref() != Some(&self.boot_id) {
            format!("process {pid} of another machine")
        } else if self.pid_namespace.is_some() && self.pid_namespace != place.pid_namespace {
            format!("process {pid} of another PID namespace")
        } else {
            format!("process {pid}")
        }
    }
}

impl fmt::Display for RunnerId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}/{}", self.boot_id, self.pid, self.start_ticks)?;
        let Some(namespace) = self.pid_namespace else {
            return Ok(());
        };
        let machine = self.machine.as_deref().unwrap_or(NO_MACHINE);
        write!(f, "/{namespace}/{machine}")
    }
}

impl FromStr for RunnerId {
    type Err = String;
    fn from_str(s: &str) -> Result<Self, String> {
        let bad = || {
            format!(
                "{s:?} is not <boot id>/<pid>/<start ticks>/<PID namespace>/<machine id>, the last \
                 two of which older marks do not have"
            )
        };
        let parts: Vec<&str> = s.split('/').collect();
        let (boot, pid, ticks, place) = match parts[..] {
            [boot, pid, ticks] => (boot, pid, ticks, None),
            [boot, pid, ticks, ns, machine] => (boot, pid, ticks, Some((ns, machine))),
            _ => return Err(bad()),
        };
        let number = |text: &str| text.parse::<u64>().map_err(|_| bad());
        Ok(RunnerId {
            boot_id: boot.to_string(),
            pid: pid.parse().map_err(|_| bad())?,
            start_ticks: number(ticks)?,
            pid_namespace: place.map(|(ns, _)| number(ns)).transpose()?,
            machine: place.and_then(|(_, m)| (m != NO_MACHINE).then(|| m.to_string())),
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
    /// The id is not fit for names of containers and folders, the folder's path is not UTF-8, or
    /// `/proc` cannot be read.
    pub fn new(run: &str, kind: Kind, folder: impl Into<PathBuf>) -> Result<Self, String> {
        check_run_id(run)?;
        let folder = folder.into();
        if folder.to_str().is_none() {
            return Err(format!(
                "{}: a path that is not UTF-8 cannot be written into marks and reports; choose \
                 another folder with --out",
                folder.display()
            ));
        }
        Ok(RunMarks {
            run: run.to_string(),
            kind,
            runner: RunnerId::current()?,
            folder: std::path::absolute(&folder).unwrap_or(folder),
        })
    }

    /// What to say, and what to do, where it cannot be known whether the runner still runs.
    pub fn unknown(&self, why: &str) -> String {
        let (run, runner) = (&self.run, self.runner.told());
        format!(
            "whether run {run} still goes on ({runner}) cannot be known from here: {why}; look \
             where it was started, or, if it is certainly dead: gameday revert {run} --force"
        )
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
    fn a_runner_is_named_with_its_place_and_older_names_are_understood() {
        let me = RunnerId::current().unwrap();
        assert_eq!(me.to_string().parse(), Ok(me.clone()));
        let nowhere = RunnerId {
            machine: None,
            ..me.clone()
        };
        assert_eq!(nowhere.to_string().parse(), Ok(nowhere));
        let older: RunnerId = "boot/12/34".parse().unwrap();
        assert_eq!((older.pid, older.start_ticks), (12, 34));
        assert_eq!((older.pid_namespace, &older.machine), (None, &None));
        assert_eq!(older.to_string(), "boot/12/34");
        for bad in ["a/b/c", "a/1/2/3", "a/1/2/x/m", "a/1/2/3/m/n", ""] {
            assert!(bad.parse::<RunnerId>().is_err(), "{bad:?}");
        }
        assert!(me.told().ends_with(&me.pid.to_string()), "{}", me.told());
        let contained = RunnerId {
            pid_namespace: Some(1),
            ..me
        };
        assert!(contained.told().ends_with("of another PID namespace"));
        assert!(older.told().ends_with("of another machine"));
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
    fn a_folder_that_cannot_be_named_is_refused() {
        use std::os::unix::ffi::OsStrExt;
        let folder = std::ffi::OsStr::from_bytes(b"/tmp/\xff");
        let refused = RunMarks::new("r", Kind::Run, folder).unwrap_err();
        assert!(refused.contains("--out"), "{refused}");
    }

    #[test]
    fn ids_that_could_leave_their_folder_are_refused() {
        for bad in ["", "../x", ".x", "a/b", "a b", &"x".repeat(121)] {
            assert!(RunMarks::new(bad, Kind::Run, "/tmp").is_err(), "{bad:?}");
        }
    }
}
