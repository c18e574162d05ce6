//! How a run ends early, and who reverts when its runner cannot, with the real
//! binary on local processes.

use crate::support::engine::{docker_lines, left_of};
use crate::support::*;
use std::process::{Child, Stdio};
use std::time::Duration;

const LIMIT: Duration = Duration::from_secs(120);

fn pid(child: &Child) -> i32 {
    i32::try_from(child.id()).expect("a pid")
}

fn signal(pid: i32, signal: i32) {
    assert_eq!(unsafe { libc::kill(pid, signal) }, 0, "{signal} to {pid}");
}

/// The watchdog of a run.
fn watchdog(run: &str) -> Option<i32> {
    let marked = |pid: &u32| {
        let environ = std::fs::read(format!("/proc/{pid}/environ")).unwrap_or_default();
        environ
            .split(|b| *b == 0)
            .any(|v| v == b"GAMEDAY_UNIT=watchdog")
    };
    let found = processes_of(run).into_iter().find(marked)?;
    Some(i32::try_from(found).expect("a pid"))
}

pub fn a_run_that_is_asked_to_stop_reverts_judges_and_says_why() {
    for by_command in [true, false] {
        let day = Short::new("process", &step("pause", "{ leader = \"canary/0\" }", 90));
        let child = day.hurt();
        let (folder, run) = day.folder();
        if by_command {
            let mut stop = gameday();
            stop.arg("stop").arg(&run).args(["--reason", "enough seen"]);
            let asked = finish(&mut stop, LIMIT);
            assert_eq!(asked.status.code(), Some(0), "{}", text(&asked));
            assert!(text(&asked).contains("report.html"), "{}", text(&asked));
        } else {
            std::fs::write(folder.join("stop"), "enough seen").unwrap();
        }
        let done = wait(child, LIMIT);
        assert_eq!(done.status.code(), Some(3), "{}", text(&done));
        assert!(text(&done).contains("enough seen"), "{}", text(&done));
        let report = json(&folder.join("report.json"));
        assert_eq!(report["overall"]["ending"], "stopped");
        assert_eq!(report["reachability"]["proof"]["verdict"], "pass");
        assert_eq!(report["data"]["verdict"], "pass", "{}", report["data"]);
        let gone = &report["injections"][0]["proof_reverted"];
        assert_eq!(gone["proof"]["verdict"], "pass", "{gone}");
        assert_eq!(processes_of(&run), Vec::<u32>::new(), "nothing is left");

        // Nobody is there to be asked any more.
        let again = finish(gameday().arg("stop").arg(&folder), LIMIT);
        assert_eq!(again.status.code(), Some(64), "{}", text(&again));
    }
}

pub fn a_second_ctrl_c_does_not_keep_the_first_one_from_reverting() {
    let day = Short::new("process", &step("power-off", "{ az = \"b\" }", 90));
    let child = day.hurt();
    let (folder, run) = day.folder();
    let runner = pid(&child);
    signal(runner, libc::SIGINT);
    until("the revert begins", LIMIT, || {
        timeline(&folder).contains("\"reverting\"").then_some(())
    });
    signal(runner, libc::SIGINT);
    signal(runner, libc::SIGTERM);
    let done = wait(child, LIMIT);
    assert_eq!(done.status.code(), Some(130), "{}", text(&done));
    assert!(text(&done).contains("still reverting"), "{}", text(&done));
    assert!(folder.join("report.html").exists(), "{}", text(&done));
    let report = json(&folder.join("report.json"));
    let gone = &report["injections"][0]["proof_reverted"];
    assert_eq!(gone["proof"]["verdict"], "pass", "{gone}");
    assert_eq!(processes_of(&run), Vec::<u32>::new(), "nothing is left");
}

pub fn the_watchdog_reverts_for_a_runner_that_was_killed() {
    let day = Short::new("process", &step("pause", "{ leader = \"canary/0\" }", 90));
    let mut child = day.hurt();
    let (folder, run) = day.folder();

    // It is replaced when it dies, and that is told.
    let first = until("a watchdog", LIMIT, || watchdog(&run));
    signal(first, libc::SIGKILL);
    until("another watchdog", LIMIT, || {
        watchdog(&run).filter(|w| *w != first)
    });
    until("a remark", LIMIT, || {
        timeline(&folder)
            .contains("the watchdog died")
            .then_some(())
    });

    child.kill().unwrap();
    child.wait().unwrap();
    until("everything of the run is gone", LIMIT, || {
        processes_of(&run).is_empty().then_some(())
    });
    let told = timeline(&folder);
    assert!(told.contains("reverted by its watchdog"), "{told}");
    let log = std::fs::read_to_string(folder.join("watchdog.log")).unwrap();
    assert!(log.contains("nothing of it is left"), "{log}");
    let reverted = finish(gameday().arg("revert").arg(&folder), LIMIT);
    assert_eq!(reverted.status.code(), Some(0), "{}", text(&reverted));
    assert!(!text(&reverted).contains("removed"), "{}", text(&reverted));
    // What it measured until then is still there to be read, and is no pass.
    let report = finish(gameday().arg("report").arg(&folder), LIMIT);
    assert_eq!(report.status.code(), Some(2), "{}", text(&report));
}

/// Without a watchdog, the next run says what the dead one left, and what to do.
pub fn what_a_dead_run_left_is_told_by_the_next_one() {
    let dead = Short::new("process", &step("pause", "{ leader = \"canary/0\" }", 90));
    let mut child = dead.hurt();
    let (_, run) = dead.folder();
    // A stopped runner starts no other watchdog.
    signal(pid(&child), libc::SIGSTOP);
    signal(until("a watchdog", LIMIT, || watchdog(&run)), libc::SIGKILL);
    child.kill().unwrap();
    child.wait().unwrap();
    assert!(!processes_of(&run).is_empty());

    let day = Short::new("process", &step("kill", "{ node = \"storage-a1\" }", 90));
    let next = day.hurt();
    signal(pid(&next), libc::SIGINT);
    let done = wait(next, LIMIT);
    let advice = format!("gameday revert {run} removes them");
    assert!(text(&done).contains(&advice), "{}", text(&done));
    assert!(timeline(&day.folder().0).contains(&advice));

    let reverted = finish(gameday().arg("revert").arg(&run), LIMIT);
    assert_eq!(reverted.status.code(), Some(0), "{}", text(&reverted));
    assert_eq!(processes_of(&run), Vec::<u32>::new(), "{}", text(&reverted));
}

/// As in a container of a CI job: its processes have other numbers there than here.
pub fn a_run_in_another_pid_namespace_is_in_progress_here() {
    if !can_be_elsewhere() {
        return;
    }
    let day = Short::new("process", &step("pause", "{ leader = \"canary/0\" }", 90));
    let child = day.hurt_by(elsewhere(&day.command(), "true"));
    let (_, run) = day.folder();
    let before = processes_of(&run).len();
    assert!(before > 9, "{before} processes");

    let said = text(&finish(gameday().arg("doctor"), LIMIT));
    assert!(
        said.contains(&format!("in progress: {run}, by process")),
        "{said}"
    );
    for what in [run.as_str(), "--all"] {
        let refused = finish(gameday().arg("revert").arg(what), LIMIT);
        let said = text(&refused);
        assert!(said.contains(&format!("{run} is in progress")), "{said}");
        assert!(!said.contains(&format!("{run}: removed")), "{said}");
    }
    assert_eq!(processes_of(&run).len(), before);

    let stopped = finish(gameday().arg("stop").arg(&run), LIMIT);
    assert_eq!(stopped.status.code(), Some(0), "{}", text(&stopped));
    let done = wait(child, LIMIT);
    assert_eq!(done.status.code(), Some(3), "{}", text(&done));
    assert_eq!(processes_of(&run), Vec::<u32>::new(), "nothing is left");
}

/// As seen from a container beside the run's: neither its processes nor, in the end, its folder
/// can be seen there, only what both have on the engine.
pub fn a_run_of_containers_is_known_from_another_pid_namespace() {
    if !can_be_elsewhere() {
        return;
    }
    let day = Short::new("docker", &step("isolate", "{ az = \"b\" }", 90));
    let child = day.hurt();
    let (folder, run) = day.folder();
    let here = folder.parent().expect("its parent").display().to_string();
    let beside = "true".to_string();
    let hidden = format!("mount -t tmpfs none '{here}'");
    let revert = |before: &str, options: &[&str]| {
        let mut c = gameday();
        c.arg("revert").arg(&run).args(options);
        finish(&mut elsewhere(&c, before), LIMIT)
    };
    let before = left_of(&run);
    for place in [&beside, &hidden] {
        let refused = revert(place, &[]);
        let said = text(&refused);
        let alive = format!("{run} is in progress");
        assert!(said.contains(&alive), "{place}: {said}");
    }

    // A runner that does not renew its leases may be dead or not.
    signal(pid(&child), libc::SIGSTOP);
    let unknown = until("its agents hear nothing", LIMIT, || {
        let said = text(&revert(&hidden, &[]));
        said.contains("have heard nothing").then_some(said)
    });
    assert!(
        unknown.contains(&format!("gameday revert {run} --force")),
        "{unknown}"
    );
    let refused = revert(&hidden, &[]);
    assert_eq!(refused.status.code(), Some(4), "{}", text(&refused));
    assert_eq!(left_of(&run), before);
    signal(pid(&child), libc::SIGCONT);

    // Its folder is enough to be asked.
    let mut stop = gameday();
    stop.arg("stop").arg(&folder);
    let stopped = finish(&mut elsewhere(&stop, &beside), LIMIT);
    assert_eq!(stopped.status.code(), Some(0), "{}", text(&stopped));
    drop(wait(child, LIMIT));
    assert_eq!(left_of(&run), Vec::<String>::new());
}

/// A container of an image that somebody made of one of ours has our labels.
pub fn a_container_that_inherited_our_marks_is_somebody_elses() {
    let day = Short::new("docker", &step("isolate", "{ az = \"b\" }", 90));
    let child = day.hurt();
    let (folder, run) = day.folder();
    let image = format!("theirs-{}", run.to_lowercase());
    let node = format!("gameday-{run}-storage-a1");
    docker_lines(&["commit", "--pause=false", &node, &image]);
    let theirs = docker_lines(&["create", "--network", "none", &image]).concat();
    struct Theirs(String, String);
    impl Drop for Theirs {
        fn drop(&mut self) {
            for args in [["rm", "-f", &self.0], ["rmi", "-f", &self.1]] {
                let _ = std::process::Command::new("docker").args(args).output();
            }
        }
    }
    let _theirs = Theirs(theirs.clone(), image.clone());
    assert!(
        left_of(&run).iter().any(|id| theirs.starts_with(id)),
        "it has our marks"
    );

    signal(pid(&child), libc::SIGINT);
    let done = wait(child, LIMIT);
    assert_eq!(done.status.code(), Some(130), "{}", text(&done));
    let said = text(&finish(gameday().arg("doctor"), LIMIT));
    assert!(!said.contains(&run), "{said}");
    let reverted = finish(gameday().arg("revert").arg(&folder), LIMIT);
    assert_eq!(reverted.status.code(), Some(0), "{}", text(&reverted));
    let unchanged = docker_lines(&["inspect", "--format", "{{.State.Status}}", &theirs]);
    assert_eq!(unchanged, ["created"]);
    docker_lines(&["image", "inspect", "--format", "{{.Id}}", &image]);
}

/// What an agent was told and did not confirm may be done at any time.
pub fn a_cut_that_was_made_later_than_anybody_waited_is_undone() {
    let late = "fault = \"isolate\"\ntarget = { az = \"b\" }\nat = \"8s\"\nfor = \"20s\"";
    let day = Short::new("docker", late);
    let mut command = day.command();
    let child = command
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("it starts");
    let told = || {
        let folder = std::fs::read_dir(day.dir.path().join("runs"))
            .ok()?
            .next()?;
        let folder = folder.ok()?.path();
        Some((
            std::fs::read_to_string(folder.join("timeline.jsonl")).ok()?,
            folder,
        ))
    };
    let has = |event: &str| {
        let event = format!("\"event\":\"{event}\"");
        move || told().filter(|(text, _)| text.contains(&event))
    };
    until("the steps begin", LIMIT, || {
        told().filter(|(text, _)| text.contains("\"steps\""))
    });
    let (_, run) = day.folder();
    let agent = format!("gameday-{run}-storage-a1-agent");
    docker_lines(&["pause", &agent]);
    until("the revert begins", LIMIT, has("reverting"));
    docker_lines(&["unpause", &agent]);
    let done = wait(child, LIMIT);
    // Not proven to have been injected; but nothing of it is left.
    assert_eq!(done.status.code(), Some(2), "{}", text(&done));
    let folder = day.folder().0;
    let (gone, evidence) = proofs(&folder, "reverted");
    assert!(gone, "{evidence}");
    let report = json(&folder.join("report.json"));
    assert_eq!(
        report["reachability"]["proof"]["verdict"], "pass",
        "{report}"
    );
    assert_eq!(report["data"]["verdict"], "pass", "{}", report["data"]);
    assert_eq!(left_of(&run), Vec::<String>::new());
}
