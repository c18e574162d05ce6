//! From units to a cluster that serves.

use crate::{panics, wiring};
use futures_util::future::join_all;
use gameday_chaos::runner::Accidents;
use gameday_chaos::runtime::Runtime;
use gameday_chaos::runtime::UnitSpec;
use gameday_chaos::runtime::docker::{DockerRuntime, Techniques};
use gameday_chaos::runtime::marks::RunMarks;
use gameday_chaos::runtime::process::ProcessRuntime;
use gameday_cluster::backend::TableSpec;
use gameday_cluster::client::Client;
use gameday_record::Topology;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// All nodes must answer their health check in this time.
const HEALTHY: Duration = Duration::from_secs(60);
/// A table must serve in this time.
const TABLE: Duration = Duration::from_secs(30);

/// One call to the control plane.
const CALL: Duration = Duration::from_secs(5);
/// Taking everything down.
const DOWN: Duration = Duration::from_secs(120);
/// Lines of a dead node's log that are told, and most bytes of them.
const LINES: usize = 3;
const MAX_WORDS: usize = 2000;

/// Where a cluster will stand.
pub struct Place {
    /// `docker` or `process`.
    pub runtime: &'static str,
    /// Network of the docker runtime.
    pub subnet: String,
    /// What traffic will be made worse with in the docker runtime.
    pub techniques: Techniques,
}

/// Makes the runtime for these units; starts none of them.
///
/// # Errors
/// What the runtime says, for people.
pub async fn create(
    place: &Place,
    marks: RunMarks,
    units: Vec<UnitSpec>,
) -> Result<Arc<dyn Runtime>, String> {
    Ok(match place.runtime {
        "docker" => Arc::new(
            DockerRuntime::new(marks, units, &place.subnet, place.techniques)
                .await
                .map_err(|e| e.to_string())?,
        ),
        _ => Arc::new(
            ProcessRuntime::new(marks, units)
                .await
                .map_err(|e| e.to_string())?,
        ),
    })
}

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

/// Creates a table with a string key `pk` and waits until it serves.
///
/// # Errors
/// What the endpoint says, or that it took too long.
pub async fn create_table(
    runtime: &dyn Runtime,
    topology: &Topology,
    table: &str,
) -> Result<(), String> {
    let az = topology.azs.first().ok_or("a cluster without AZs")?;
    let router = wiring::router_name(az);
    let addr = runtime
        .host_addr(&router, "public")
        .ok_or_else(|| format!("{router} has no public address"))?;
    let client = Client::new(&format!("http://{addr}"), CALL).map_err(|e| e.to_string())?;
    let spec = TableSpec::of_strings(table);
    client
        .create_table(&spec)
        .await
        .map_err(|e| format!("CreateTable through {router}: {e}"))?;
    client
        .wait_active(table, TABLE)
        .await
        .map_err(|e| format!("table {table}: {e}"))?;
    Ok(())
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
