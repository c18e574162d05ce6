//! Processes with our marks, found beside gameday in /proc.

use super::processes_of;

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
        let stat = std::fs::read_to_string(format!("/proc/{}/stat", self.pid)).ok()?;
        // What precedes the last bracket is its name, which may contain anything.
        let fields: Vec<&str> = stat.rsplit(')').next()?.split_whitespace().collect();
        Some((fields.first()?.chars().next()?, fields.get(19)?.to_string()))
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
