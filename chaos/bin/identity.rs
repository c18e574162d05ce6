//! Who we are: ids, versions, the command line to run again.

use chrono::{SecondsFormat, Utc};
use gameday_record::{Replay, Versions};

/// `<UTC time>-<playbook>-<seed>`: sortable, and usable as a name everywhere.
pub fn run_id(playbook: &str, seed: u64) -> String {
    let name: String = playbook
        .to_ascii_lowercase()
        .chars()
        .map(|c| if c.is_ascii_alphanumeric() { c } else { '-' })
        .take(40)
        .collect();
    format!("{}-{name}-{seed}", Utc::now().format("%Y%m%dT%H%M%SZ"))
}

/// Now, RFC 3339 with milliseconds.
pub fn utc_now() -> String {
    Utc::now().to_rfc3339_opts(SecondsFormat::Millis, true)
}

/// A seed for whoever did not choose one: from the clock, short enough to type.
pub fn fresh_seed() -> u64 {
    let now = Utc::now();
    (now.timestamp_micros() as u64 ^ u64::from(std::process::id())) % 1_000_000
}

/// Versions of what takes part.
pub fn versions(engine: Option<String>) -> Versions {
    let kernel = std::fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
    Versions {
        gameday: env!("CARGO_PKG_VERSION").into(),
        docker: engine,
        kernel: kernel.trim().into(),
        cpus: std::thread::available_parallelism().map_or(0, |n| n.get() as u32),
    }
}

/// The command that runs the same again. `extra` are the words of further options that were given.
pub fn replay(playbook: &str, seed: u64, runtime: &str, extra: &[String]) -> Replay {
    let features: Vec<String> = if cfg!(feature = "seeded-bugs") {
        vec!["seeded-bugs".into()]
    } else {
        Vec::new()
    };
    let mut command = format!("gameday run {playbook} --runtime {runtime} --seed {seed}");
    for e in extra {
        command.push(' ');
        command.push_str(e);
    }
    Replay {
        command,
        options: extra.to_vec(),
        features,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_run_id_is_a_plain_name() {
        let id = run_id("My Playbook/№1", 7);
        assert!(id.ends_with("-my-playbook--1-7"), "{id}");
        assert!(
            id.chars().all(|c| c.is_ascii_alphanumeric() || c == '-'),
            "{id}"
        );
    }
}
