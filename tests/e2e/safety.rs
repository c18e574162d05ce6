//! How a run ends early, and who reverts when its runner cannot, with the real
//! binary on local processes.

use crate::support::*;
use std::process::Child;
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
