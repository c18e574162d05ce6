//! A runner that is killed in the middle of a partition, and one that leaves a
//! kept cluster behind.

use crate::suite::{self, SOON};
use gameday_chaos::runtime::docker::{DockerRuntime, Techniques};
use gameday_chaos::runtime::leftovers::{self, Leftover};
use gameday_chaos::runtime::marks::Kind;
use gameday_chaos::runtime::process::ProcessRuntime;
use gameday_chaos::runtime::traffic::Traffic;
use gameday_chaos::runtime::{Link, LinkState, Runtime};
use serde::{Deserialize, Serialize};
use std::process::Stdio;
use std::time::Duration;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::TcpStream;
use tokio::time::{sleep, timeout};

/// What the runner says about itself.
#[derive(Serialize, Deserialize)]
struct Said {
    run: String,
    /// Where the host reaches `a1`'s admin port.
    admin: String,
    /// How `a1` dials `b1`.
    peer: String,
}

/// `runner <runtime> <run|cluster> <cut|slow>`: brings nodes up; a run cuts a1 → b1, or delays it
/// by longer than anybody waits, and waits to be killed.
pub fn runner(args: &[String]) -> Result<(), String> {
    let [runtime, kind, fault] = args else {
        return Err("runner <runtime> <kind> <fault>".into());
    };
    let kind: Kind = kind.parse()?;
    let tokio = tokio::runtime::Runtime::new().map_err(|e| e.to_string())?;
    let done = tokio.block_on(async {
        let marks = suite::marks(&format!("orphan-{runtime}"), kind);
        let run = marks.run.clone();
        let runtime: Box<dyn Runtime> = match runtime.as_str() {
            "process" => Box::new(
                ProcessRuntime::new(marks, suite::units())
                    .await
                    .map_err(|e| e.0)?,
            ),
            _ => Box::new(
                DockerRuntime::new(
                    marks,
                    suite::units(),
                    crate::docker::SUBNET,
                    Techniques::default(),
                )
                .await
                .map_err(|e| e.0)?,
            ),
        };
        runtime
            .launch_nodes(suite::launches(&*runtime))
            .await
            .map_err(|e| e.0)?;
        suite::all_healthy(&*runtime).await;
        if kind == Kind::Run {
            let link = [Link {
                from: "a1".into(),
                to: "b1".into(),
            }];
            let slow = Traffic {
                delay: Traffic::MAX_DELAY,
                ..Traffic::default()
            };
            let done = match fault.as_str() {
                "cut" => runtime.cut(&link).await,
                _ => runtime.shape(&link, slow).await,
            };
            done.map_err(|e| e.0)?;
            if runtime.probe(&link).await != Ok(vec![LinkState::Cut]) {
                return Err("the link is not cut".to_string());
            }
        }
        let said = Said {
            run,
            admin: runtime
                .host_addr("a1", "admin")
                .ok_or("no address")?
                .to_string(),
            peer: runtime
                .reach_addr("a1", "b1", "peer")
                .ok_or("no address")?
                .to_string(),
        };
        println!(
            "{}",
            serde_json::to_string(&said).map_err(|e| e.to_string())?
        );
        if kind == Kind::Run {
            std::future::pending::<()>().await;
        }
        Ok(())
    });
    // What is kept must not depend on destructors.
    match done {
        Ok(()) => std::process::exit(0),
        Err(e) => Err(e),
    }
}

async fn start(runtime: &str, kind: Kind, fault: &str) -> (tokio::process::Child, Said) {
    let mut child = tokio::process::Command::new("/proc/self/exe")
        .args(["internal", "runner", runtime, &kind.to_string(), fault])
        .stdout(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .expect("a runner");
    let mut lines = BufReader::new(child.stdout.take().expect("a pipe")).lines();
    let line = timeout(SOON * 2, lines.next_line())
        .await
        .expect("in time")
        .expect("no error");
    let said = serde_json::from_str(&line.expect("the runner ended")).expect("JSON");
    (child, said)
}

/// What `a1` says when it tries `b1`, asked without the runner.
async fn try_out(said: &Said) -> String {
    let mut stream = TcpStream::connect(&said.admin).await.expect("connected");
    let request = format!("GET /try/{} HTTP/1.1\r\nhost: x\r\n\r\n", said.peer);
    stream.write_all(request.as_bytes()).await.expect("asked");
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.expect("answered");
    answer.rsplit("\r\n").next().unwrap_or_default().to_string()
}

async fn find(said: &Said) -> Vec<Leftover> {
    leftovers::find(Some(&said.run)).await.things
}

async fn remove_all(said: &Said) {
    let things = find(said).await;
    let results = leftovers::remove(&things).await;
    assert_eq!(results.len(), things.len());
    assert!(results.iter().all(Result::is_ok), "{results:?}");
    assert_eq!(find(said).await, []);
}

/// A fault of links outlives its runner by no more than its lease; what is left is found and
/// removed.
pub async fn leases_lapse(runtime: &str) {
    for fault in ["cut", "slow"] {
        lease_lapses(runtime, fault).await;
    }
}

async fn lease_lapses(runtime: &str, fault: &str) {
    let (mut child, said) = start(runtime, Kind::Run, fault).await;
    assert_eq!(try_out(&said).await, "silent");
    assert!(find(&said).await.iter().all(|l| l.runner.is_alive()));
    child.kill().await.expect("killed");
    let lapse = async {
        while try_out(&said).await != "echo" {
            sleep(Duration::from_millis(100)).await;
        }
    };
    timeout(SOON, lapse)
        .await
        .expect("the fault outlives its runner");
    let left = find(&said).await;
    assert!(left.len() > 4, "{left:?}");
    assert!(
        left.iter()
            .all(|l| l.runner.is_dead() && l.marks.kind == Kind::Run),
        "{left:?}"
    );
    remove_all(&said).await;
}

/// A kept cluster goes on without its runner.
pub async fn kept_cluster_stays(runtime: &str) {
    let (mut child, said) = start(runtime, Kind::Cluster, "cut").await;
    let status = timeout(SOON, child.wait())
        .await
        .expect("in time")
        .expect("a status");
    assert!(status.success(), "{status}");
    // Longer than any lease.
    sleep(Duration::from_millis(3500)).await;
    assert_eq!(try_out(&said).await, "echo");
    let kept = find(&said).await;
    assert!(
        kept.iter().all(|l| l.marks.kind == Kind::Cluster),
        "{kept:?}"
    );
    remove_all(&said).await;
}
