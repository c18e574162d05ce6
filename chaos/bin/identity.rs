//! Who we are: ids, versions, the command line to run again.

use chrono::{SecondsFormat, Utc};
use gameday_cluster::config::Bug;
use gameday_record::{Replay, Versions};

/// `<UTC time>-<playbook>-<seed>-<four letters>`: sortable, and usable as a name everywhere.
///
/// Everything that a run makes is found again by its id alone, by watchdogs and by `revert`, also
/// from another machine that shares a Docker host. The letters are drawn anew each time: without
/// them, two runs of one playbook and seed in one second would revert each other.
pub fn run_id(playbook: &str, seed: u64) -> String {
    let name: String = playbook
        .to_ascii_lowercase()
        .chars()
        .map(|c| if c.is_ascii_alphanumeric() { c } else { '-' })
        .take(40)
        .collect();
    let letters: String = (0..4).map(|_| rand::random_range('a'..='z')).collect();
    let now = Utc::now().format("%Y%m%dT%H%M%SZ");
    format!("{now}-{name}-{seed}-{letters}")
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
    let features: Vec<String> = match Bug::ALL {
        [] => Vec::new(),
        _ => vec!["seeded-bugs".into()],
    };
    let seed = seed.to_string();
    let words = ["run", playbook, "--runtime", runtime, "--seed", &seed].map(String::from);
    Replay {
        command: command(words.iter().chain(extra)),
        options: extra.to_vec(),
        features,
    }
}

/// A command line of ours that can be pasted into a shell.
pub fn command<'a>(words: impl IntoIterator<Item = &'a String>) -> String {
    let words = words.into_iter().map(|word| quoted(word));
    let all: Vec<String> = std::iter::once("gameday".into()).chain(words).collect();
    all.join(" ")
}

/// A word as a POSIX shell takes it for one, whatever is in it.
fn quoted(word: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_./:=,%@+".contains(c);
    match !word.is_empty() && word.chars().all(plain) {
        true => word.to_string(),
        false => format!("'{}'", word.replace('\'', r"'\''")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_that_runs_it_again_can_be_pasted() {
        let extra = ["--subnet", "10.0.0.0/8"].map(String::from);
        let plain = replay("playbooks/a.toml", 7, "process", &extra);
        assert_eq!(
            plain.command,
            "gameday run playbooks/a.toml --runtime process --seed 7 --subnet 10.0.0.0/8"
        );
        let words = ["it's $HOME/a \"b\".toml", "", "a\nb", "*~\\`!é"];
        for word in words {
            let line = replay(word, 7, "process", &[]).command;
            let word_alone = line.strip_prefix("gameday run ").unwrap();
            let mut shell = std::process::Command::new("sh");
            let said = shell
                .args(["-c", &format!("printf '%s|' {word_alone}")])
                .output()
                .unwrap();
            let expected = format!("{word}|--runtime|process|--seed|7|");
            assert_eq!(String::from_utf8_lossy(&said.stdout), expected, "{line}");
        }
    }

    #[test]
    fn a_run_id_is_a_plain_name() {
        let id = run_id("My Playbook/№1", 7);
        assert!(id.contains("-my-playbook--1-7-"), "{id}");
        assert!(
            id.chars().all(|c| c.is_ascii_alphanumeric() || c == '-'),
            "{id}"
        );
    }

    #[test]
    fn runs_of_one_moment_are_not_mistaken_for_each_other() {
        // Two of 40 are alike once in 600 runs of this test; all of them never.
        let ids: std::collections::BTreeSet<String> =
            (0..40).map(|_| run_id("short", 11)).collect();
        assert!(ids.len() > 30, "{ids:?}");
    }
}
