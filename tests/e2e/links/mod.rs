//! The links of a run, looked at without its runner.

mod docker;
mod process;

use std::time::{Duration, Instant};

/// What was seen of the link from one unit to another.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Seen {
    pub from: String,
    pub to: String,
    /// In a run of processes it takes the way back as well.
    pub carries: bool,
}

/// Looks once at every link, those of canaries too; in a run of processes at those to nodes that
/// are not frozen. `None` if there are none yet, or none any more.
pub fn look(runtime: &str, run: &str) -> Option<Vec<Seen>> {
    match runtime {
        "docker" => docker::look(run),
        _ => process::look(run),
    }
}

/// Waits until every link carries; how many there are. `None` as above.
pub fn until_all_carry(runtime: &str, run: &str, limit: Duration) -> Option<usize> {
    let began = Instant::now();
    loop {
        let seen = look(runtime, run)?;
        let cut: Vec<&Seen> = seen.iter().filter(|s| !s.carries).collect();
        if cut.is_empty() {
            return Some(seen.len());
        }
        assert!(began.elapsed() < limit, "{run}: links stay cut: {cut:?}");
    }
}
