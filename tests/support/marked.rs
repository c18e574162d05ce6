//! Processes with our marks, found beside gameday in /proc.

use super::processes_of;

/// What the kernel says of a process in `/proc/<pid>/stat`.
pub struct Stat(String);

impl Stat {
    /// `None` if there is no such process.
    pub fn of(pid: impl std::fmt::Display) -> Option<Stat> {
        std::fs::read_to_string(format!("/proc/{pid}/stat"))
            .ok()
            .map(Stat)
    }

    /// A field by its number in proc_pid_stat(5), from the third one, the state.
    pub fn field(&self, number: usize) -> Option<&str> {
        // What precedes the last bracket is its name, which may contain anything.
        let (_, fields) = self.0.rsplit_once(')')?;
        fields.split_whitespace().nth(number.checked_sub(3)?)
    }
}

/// A process with the marks of a run.
pub struct Marked {
    pub pid: i32,
    pub unit: String,
    environ: Vec<u8>,
}

impl Marked {
    /// A variable of its environment.
    pub fn var(&self, name: &str) -> Option<String> {
        let prefix = format!("{name}=");
        let entry = self
            .environ
            .split(|b| *b == 0)
            .find(|v| v.starts_with(prefix.as_bytes()))?;
        String::from_utf8(entry[prefix.len()..].to_vec()).ok()
    }

    /// Its state as one letter, and when it began, which no other process with this pid has in
    /// common; `None` if it has gone meanwhile.
    pub fn stat(&self) -> Option<(char, String)> {
        let stat = Stat::of(self.pid)?;
        Some((stat.field(3)?.chars().next()?, stat.field(22)?.to_string()))
    }

    /// Whether it is stopped by a signal.
    pub fn is_frozen(&self) -> bool {
        self.stat().is_some_and(|(state, _)| state == 'T')
    }
}

/// Processes with the marks of this run.
pub fn marked(run: &str) -> Vec<Marked> {
    let read = |pid: u32| {
        let mut process = Marked {
            pid: i32::try_from(pid).ok()?,
            unit: String::new(),
            environ: std::fs::read(format!("/proc/{pid}/environ")).ok()?,
        };
        process.unit = process.var("GAMEDAY_UNIT")?;
        Some(process)
    };
    processes_of(run).into_iter().filter_map(read).collect()
}
