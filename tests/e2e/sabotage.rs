//! Somebody undoes a fault behind our back: that is no resilience. The run is
//! inconclusive (exit 2), says why, and leaves nothing.

use crate::support::engine::{ask, docker_lines, left_of};
use crate::support::marked::marked;
use crate::support::*;
use serde_json::{Value, json};
use std::io::Write;
use std::path::Path;
use std::time::Duration;

const LIMIT: Duration = Duration::from_secs(150);

/// The pid of a unit of this run of processes.
fn process(run: &str, unit: &str) -> i32 {
    let mut all = marked(run).into_iter();
    let found = all.find(|p| p.unit == unit);
    found.unwrap_or_else(|| panic!("{unit} of {run}")).pid
}

/// One step, hurt by `sabotage` as soon as it is proven to be in force.
fn sabotaged(runtime: &'static str, step: &str, sabotage: impl Fn(&Path, &str)) -> Value {
    let day = Short::new(runtime, step);
    let child = day.hurt();
    let (folder, run) = day.folder();
    sabotage(&folder, &run);
    let done = wait(child, LIMIT);
    assert_eq!(done.status.code(), Some(2), "{}", text(&done));
    let report = json(&folder.join("report.json"));
    assert_eq!(report["overall"]["ending"], "inconclusive");
    let said = report["overall"]["reasons"].to_string();
    assert!(said.contains("ended before its revert"), "{said}");
    let held = &report["injections"][0]["proof_held"];
    assert_eq!(held["proof"]["verdict"], "fail", "{held}");
    let html = std::fs::read_to_string(folder.join("report.html")).unwrap();
    assert!(html.contains("ended before its revert"), "the page says it");
    assert_eq!(processes_of(&run), Vec::<u32>::new(), "nothing is left");
    if runtime == "docker" {
        assert_eq!(left_of(&run), Vec::<String>::new());
    }
    report
}

pub fn links_that_somebody_opened_are_no_partition() {
    let step = step("isolate", "{ az = \"b\" }", 6);
    sabotaged("process", &step, |_, run| {
        // Into the pipe of the process that hosts the links, beside the runner.
        let pipe = format!("/proc/{}/fd/0", process(run, "links"));
        let mut pipe = std::fs::OpenOptions::new().write(true).open(pipe).unwrap();
        let request = json!({ "id": 1u64 << 40, "request": { "set": [] } });
        pipe.write_all(format!("{request}\n").as_bytes()).unwrap();
    });
}

pub fn a_process_that_somebody_woke_is_not_paused() {
    let step = step("pause", "{ node = \"storage-b1\" }", 6);
    sabotaged("process", &step, |_, run| {
        let pid = process(run, "storage-b1");
        assert_eq!(unsafe { libc::kill(pid, libc::SIGCONT) }, 0);
    });
}

/// Another process than the one that the fault left would look the same to whoever only asks for
/// another than before.
pub fn a_process_that_died_in_the_hold_was_not_restarted_for_it() {
    let step = step("restart", "{ node = \"storage-b1\" }", 8);
    let report = sabotaged("process", &step, |_, run| {
        let pid = process(run, "storage-b1");
        assert_eq!(unsafe { libc::kill(pid, libc::SIGKILL) }, 0);
    });
    let held = report["injections"][0]["proof_held"].to_string();
    assert!(held.contains("did not live on"), "{held}");
}

/// Somebody else's death: the steps end, and the run says whose it was.
pub fn a_node_that_dies_beside_a_fault_makes_the_run_inconclusive() {
    let day = Short::new("process", &step("isolate", "{ node = \"storage-b1\" }", 60));
    let child = day.hurt();
    let (folder, run) = day.folder();
    let pid = process(&run, "router-a");
    assert_eq!(unsafe { libc::kill(pid, libc::SIGKILL) }, 0);
    let done = wait(child, LIMIT);
    assert_eq!(done.status.code(), Some(2), "{}", text(&done));
    let report = json(&folder.join("report.json"));
    let said = report["overall"]["reasons"].to_string();
    assert!(
        said.contains("router-a ended (signal 9), and no fault"),
        "{said}"
    );
    let told = timeline(&folder);
    assert!(told.contains("\"kind\":\"ended\""), "{told}");
    // It was not held to its end, and is gone.
    assert!(!told.contains("\"side\":\"held\""), "{told}");
    let (gone, evidence) = proofs(&folder, "reverted");
    assert!(gone, "{evidence}");
    assert_eq!(processes_of(&run), Vec::<u32>::new(), "nothing is left");
}

/// The same of a container, which somebody starts again at once: another one is another cluster.
pub fn a_container_that_somebody_restarted_makes_the_run_inconclusive() {
    let day = Short::new("docker", &step("isolate", "{ node = \"storage-b1\" }", 60));
    let child = day.hurt();
    let (folder, run) = day.folder();
    docker_lines(&["restart", "-t", "0", &format!("gameday-{run}-router-a")]);
    let done = wait(child, LIMIT);
    assert_eq!(done.status.code(), Some(2), "{}", text(&done));
    let report = json(&folder.join("report.json"));
    let said = report["overall"]["reasons"].to_string();
    // Whichever of the two is looked at.
    let seen = ["router-a ended (", "router-a was started again, as "];
    assert!(seen.iter().any(|what| said.contains(what)), "{said}");
    assert!(said.contains("no fault in force explains it"), "{said}");
    let (gone, evidence) = proofs(&folder, "reverted");
    assert!(gone, "{evidence}");
    assert_eq!(left_of(&run), Vec::<String>::new(), "nothing is left");
}

pub fn a_bound_that_somebody_took_away_is_none() {
    let step = step("cpu-limit", "{ node = \"storage-b1\" }", 8) + "\ncpus = 0.02";
    let report = sabotaged("docker", &step, |_, run| {
        let node = format!("gameday-{run}-storage-b1");
        docker_lines(&["update", "--cpu-quota=-1", &node]);
    });
    let held = report["injections"][0]["proof_held"].to_string();
    assert!(held.contains("there is no bound"), "{held}");
}

pub fn rules_that_somebody_removed_are_no_partition() {
    let step = step("isolate", "{ az = \"b\" }", 8);
    sabotaged("docker", &step, |_, run| {
        let filter = format!("label=gameday.run={run}");
        let names = docker_lines(&["ps", "--filter", &filter, "--format", "{{.Names}}"]);
        let nothing = json!({ "set": {} });
        let agents = names.iter().filter(|n| n.ends_with("-agent"));
        for agent in agents {
            let answer = ask(agent, &nothing).expect("the agent answers");
            assert!(answer["answer"]["done"].is_object(), "{answer}");
        }
    });
}

pub fn a_container_that_somebody_started_is_not_dead() {
    let step = step("kill", "{ node = \"storage-b1\" }", 8);
    sabotaged("docker", &step, |_, run| {
        docker_lines(&["start", &format!("gameday-{run}-storage-b1")]);
    });
}
