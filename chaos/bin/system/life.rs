//! While a system stands: that all of it runs, and its end.

use crate::panics;
use futures_util::future::join_all;
use gameday_chaos::runner::Accidents;
use gameday_chaos::runtime::Runtime;
use gameday_record::Topology;
use std::path::Path;
use std::time::{Duration, Instant};

/// All nodes must answer their health check in this time.
const HEALTHY: Duration = Duration::from_secs(60);
/// Taking everything down.
const DOWN: Duration = Duration::from_secs(120);
/// Lines of a dead node's log that are told, and most bytes of them.
const LINES: usize = 3;
const MAX_WORDS: usize = 2000;

/// Takes everything down, whatever panics on the way.
///
/// # Errors
/// What is left, or that it took too long.
pub async fn down(runtime: &dyn Runtime) -> Result<(), String> {
    match tokio::time::timeout(DOWN, panics::caught(runtime.down())).await {
        Ok(done) => done?.map_err(|e| e.to_string()),
        Err(_) => Err(format!("the cluster was not down after {DOWN:?}")),
    }
}

/// Does `work` while every node runs. `logs`: where the nodes' logs are saved if one does not.
///
/// # Errors
/// Those of the work; or which node does not run any more, at once, whatever is waited for, with
/// what it said last.
pub async fn while_all_run<T>(
    runtime: &dyn Runtime,
    topology: &Topology,
    logs: &Path,
    work: impl Future<Output = Result<T, String>>,
) -> Result<T, String> {
    let accidents = Accidents::new(topology);
    tokio::select! {
        biased;
        done = work => done,
        died = accidents.first(runtime) => {
            // Their last words are a help, not the reason.
            let _ = std::fs::create_dir_all(logs);
            let _ = runtime.collect_logs(logs).await;
            let told = died.iter().map(|a| {
                let log = logs.join(format!("{}.log", a.node));
                format!("{} {}{}", a.node, a.detail, last_words(&log))
            });
            Err(told.collect::<Vec<_>>().join("; "))
        }
    }
}

/// The end of a log, as a part of a sentence.
fn last_words(log: &Path) -> String {
    let text = std::fs::read(log).unwrap_or_default();
    let end = &text[text.len().saturating_sub(MAX_WORDS)..];
    let end = String::from_utf8_lossy(end);
    let lines: Vec<&str> = end.lines().filter(|l| !l.trim().is_empty()).collect();
    match &lines[lines.len().saturating_sub(LINES)..] {
        [] => String::new(),
        last => format!(", its log ends: {}", last.join(" | ")),
    }
}

/// Waits until every node answers its health check.
///
/// # Errors
/// Names the nodes that do not, and what they say.
pub async fn wait_healthy(runtime: &dyn Runtime, topology: &Topology) -> Result<(), String> {
    let began = Instant::now();
    let each = topology.nodes.iter().map(|node| async move {
        loop {
            match runtime
                .admin(&node.name, "/health", Duration::from_secs(2))
                .await
            {
                Ok(_) => return None,
                Err(e) if began.elapsed() > HEALTHY => {
                    return Some(format!(
                        "{} does not serve after {HEALTHY:?}: {e}",
                        node.name
                    ));
                }
                Err(_) => tokio::time::sleep(Duration::from_millis(50)).await,
            }
        }
    });
    let sick: Vec<String> = join_all(each).await.into_iter().flatten().collect();
    if sick.is_empty() {
        Ok(())
    } else {
        Err(sick.join("; "))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_words_of_a_log_are_its_last_lines() {
        let dir = tempfile::tempdir().unwrap();
        let log = dir.path().join("storage-a1.log");
        assert_eq!(last_words(&log), "", "it has none");
        let lines: Vec<String> = (1..=2000).map(|n| format!("line {n}")).collect();
        std::fs::write(&log, lines.join("\n") + "\n\n").unwrap();
        let expected = ", its log ends: line 1998 | line 1999 | line 2000";
        assert_eq!(last_words(&log), expected);
        std::fs::write(&log, vec![0xff; 10_000]).unwrap();
        assert!(last_words(&log).len() <= 4 * MAX_WORDS);
    }
}
