//! What nobody reads, what cannot be recorded and what panics, with the real binary on local
//! processes: output never decides, and whatever fails, what is in force is reverted.

use crate::killed::place::{self, Disk};
use crate::support::engine::docker_lines;
use crate::support::marked::{Marked, marked};
use crate::support::*;
use std::fs::File;
use std::io::{BufRead, BufReader, Write};
use std::os::fd::AsRawFd;
use std::os::unix::process::CommandExt;
use std::process::{Child, Stdio};
use std::time::Duration;

const LIMIT: Duration = Duration::from_secs(120);

pub fn send(child: &Child, signal: i32) {
    let pid = i32::try_from(child.id()).expect("a pid");
    assert_eq!(unsafe { libc::kill(pid, signal) }, 0);
}

/// Waits until the fault is proven to be in force.
fn in_force(day: &Short) {
    until("a fault", LIMIT, || {
        let folder = std::fs::read_dir(day.dir.path().join("runs"))
            .ok()?
            .next()?;
        let path = folder.ok()?.path().join("timeline.jsonl");
        let told = std::fs::read_to_string(path).ok()?;
        told.contains("\"side\":\"injected\"").then_some(())
    });
}

/// A pipe that is full: whoever writes to it waits.
fn full_pipe() -> (std::io::PipeReader, std::io::PipeWriter) {
    let (reader, mut writer) = std::io::pipe().expect("a pipe");
    // SAFETY: the descriptor is open.
    let size = unsafe { libc::fcntl(writer.as_raw_fd(), libc::F_SETPIPE_SZ, 4096) };
    assert_eq!(size, 4096);
    writer.write_all(&[b'x'; 4096]).expect("there is room");
    (reader, writer)
}

pub fn a_reader_who_goes_and_a_hangup_that_is_ignored_change_nothing() {
    let day = Short::new("process", &step("pause", "{ node = \"storage-b1\" }", 4));
    let (reader, writer) = full_pipe();
    let mut command = day.command();
    command
        .stdout(writer)
        .stderr(File::options().write(true).open("/dev/full").unwrap());
    // As nohup does.
    unsafe {
        command.pre_exec(|| {
            libc::signal(libc::SIGHUP, libc::SIG_IGN);
            Ok(())
        });
    }
    let child = command.spawn().expect("it starts");
    drop(command);
    in_force(&day);
    send(&child, libc::SIGHUP);
    // First nobody reads, then nobody is there.
    drop(reader);
    let done = wait(child, LIMIT);
    assert_eq!(done.status.code(), Some(0), "{:?}", done.status);
    let (folder, run) = day.folder();
    let report = json(&folder.join("report.json"));
    assert_eq!(report["overall"]["ending"], "pass", "{}", report["overall"]);
    assert_eq!(processes_of(&run), Vec::<u32>::new(), "nothing is left");
    // Where a report cannot be saved it is told all the same.
    std::fs::remove_file(folder.join("report.json")).unwrap();
    std::fs::create_dir(folder.join("report.json")).unwrap();
    let told = finish(gameday().arg("report").arg(&folder), LIMIT);
    assert_eq!(told.status.code(), Some(0), "{}", text(&told));
    let said = text(&told);
    assert!(
        said.contains("PASS") && said.contains("was not saved"),
        "{said}"
    );
}

pub fn a_panic_of_a_task_reverts_reports_and_is_an_internal_error() {
    let day = Short::new("process", &step("pause", "{ node = \"storage-b1\" }", 60));
    let mut command = day.command();
    let done = finish(command.env("GAMEDAY_PANIC", "task"), LIMIT);
    assert_eq!(done.status.code(), Some(70), "{}", text(&done));
    let said = text(&done);
    assert!(said.contains("a panic on purpose (task)"), "{said}");
    let (folder, run) = day.folder();
    let report = json(&folder.join("report.json"));
    let gone = &report["injections"][0]["proof_reverted"];
    assert_eq!(gone["proof"]["verdict"], "pass", "{gone}");
    let why = report["overall"]["reasons"].to_string();
    assert!(why.contains("a panic on purpose (task)"), "{why}");
    assert_eq!(processes_of(&run), Vec::<u32>::new(), "nothing is left");
}

pub fn a_disk_that_fills_up_ends_the_game_day_at_once() {
    // With mounts of its own, which end with it.
    let test = std::thread::spawn(|| match place::own_mounts() {
        Ok(()) => filled(),
        Err(why) => println!("skipped: {why}"),
    });
    if let Err(failure) = test.join() {
        std::panic::resume_unwind(failure);
    }
}

fn filled() {
    let day = Short::new("process", &step("pause", "{ node = \"storage-b1\" }", 90));
    let disk = Disk::at(&day.dir.path().join("runs"), 24);
    let child = day.hurt();
    disk.fill();
    let done = wait(child, LIMIT);
    assert_eq!(done.status.code(), Some(2), "{}", text(&done));
    assert!(
        text(&done).contains("no longer recorded"),
        "{}",
        text(&done)
    );
    let report = std::fs::read_dir(day.dir.path().join("runs")).unwrap();
    let mut folders = report.flatten().filter(|e| e.path().is_dir());
    let folder = folders.next().expect("a run folder").path();
    let report = json(&folder.join("report.json"));
    let why = report["overall"]["reasons"].to_string();
    assert!(why.contains("no longer recorded, from +"), "{why}");
    assert!(why.contains("No space left"), "{why}");
    let gone = &report["injections"][0]["proof_reverted"];
    assert_eq!(gone["proof"]["verdict"], "pass", "{gone}");
    assert!(folder.join("verdict.json").exists());
    let run = folder.file_name().and_then(|n| n.to_str()).unwrap();
    assert_eq!(processes_of(run), Vec::<u32>::new(), "nothing is left");
}

/// What ends a command, and its exit code then.
pub const SIGNALS: [(i32, i32); 3] = [
    (libc::SIGINT, 130),
    (libc::SIGTERM, 143),
    (libc::SIGHUP, 129),
];

pub fn a_bench_that_is_interrupted_leaves_nothing() {
    for (signal, code) in SIGNALS {
        a_bench_leaves_nothing_after(signal, code);
    }
}

fn a_bench_leaves_nothing_after(signal: i32, code: i32) {
    let mut bench = gameday();
    bench.args(["bench", "--runtime", "process", "--seconds", "60"]);
    let mut child = bench.stdout(Stdio::piped()).spawn().expect("it starts");
    let mut lines = BufReader::new(child.stdout.take().expect("a pipe")).lines();
    let up = lines.find(|line| line.as_ref().is_ok_and(|l| l.contains("up in")));
    assert!(up.is_some(), "the cluster comes up");
    let runner = format!("/{}/", child.id());
    let ours = || {
        let all = std::fs::read_dir("/proc").expect("/proc").flatten();
        all.filter(|entry| {
            let environ = std::fs::read(entry.path().join("environ")).unwrap_or_default();
            environ.split(|b| *b == 0).any(|v| {
                let v = String::from_utf8_lossy(v);
                v.starts_with("GAMEDAY_RUNNER=") && v.contains(&runner)
            })
        })
        .count()
    };
    assert!(ours() > 9, "nodes, links and a watchdog");
    send(&child, signal);
    let done = wait(child, LIMIT);
    assert_eq!(done.status.code(), Some(code), "{}", text(&done));
    assert_eq!(ours(), 0, "nothing is left");
}

/// A cluster is kept once it is up, and not before.
pub fn a_cluster_that_is_interrupted_while_it_comes_up_leaves_nothing() {
    for (signal, code) in SIGNALS {
        let hit = (0..5).any(|_| a_cluster_leaves_nothing_after(signal, code));
        assert!(hit, "it was always up before it was seen to come");
    }
}

/// False if it was up before the signal.
fn a_cluster_leaves_nothing_after(signal: i32, code: i32) -> bool {
    let dir = tempfile::tempdir().expect("a temporary folder");
    let mut up = gameday();
    up.args(["cluster", "up", "--runtime", "process", "--out"]);
    up.arg(dir.path());
    let piped = up.stdout(Stdio::piped()).stderr(Stdio::piped());
    let child = piped.spawn().expect("it starts");
    let run = until("a node", LIMIT, || {
        let folder = std::fs::read_dir(dir.path()).ok()?.next()?;
        let run = folder.ok()?.file_name().into_string().ok()?;
        let is_node = |p: &Marked| p.unit.starts_with("storage");
        marked(&run).iter().any(is_node).then_some(run)
    });
    send(&child, signal);
    let done = wait(child, LIMIT);
    let was_up = done.status.code() == Some(0);
    if was_up {
        let down = finish(gameday().args(["cluster", "down", &run]), LIMIT);
        assert_eq!(down.status.code(), Some(0), "{}", text(&down));
    } else {
        assert_eq!(done.status.code(), Some(code), "{}", text(&done));
    }
    assert_eq!(processes_of(&run), Vec::<u32>::new(), "nothing is left");
    !was_up
}

/// What died is told, instead of waiting for it.
pub fn a_cluster_of_which_nodes_die_at_the_start_is_told_at_once() {
    let day = Short::new("process", &step("pause", "{ node = \"storage-b1\" }", 60));
    let mut command = day.command();
    let child = command
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("it starts");
    let out = day.dir.path().join("runs");
    let node = until("a node", LIMIT, || {
        let folder = std::fs::read_dir(&out).ok()?.next()?.ok()?.file_name();
        let all = marked(folder.to_str()?);
        all.into_iter().find(|p| p.unit == "storage-a1")
    });
    assert_eq!(unsafe { libc::kill(node.pid, libc::SIGKILL) }, 0);
    let done = wait(child, LIMIT);
    assert_eq!(done.status.code(), Some(2), "{}", text(&done));
    let said = text(&done);
    assert!(said.contains("storage-a1 ended"), "{said}");
    assert!(!said.contains("does not serve after"), "{said}");
    assert!(!day.folder().0.join("replicas.json").exists());
}

/// What is made to find out what can be done here is taken away first.
pub fn a_plan_that_is_interrupted_leaves_no_probe() {
    let book = concat!(env!("CARGO_MANIFEST_DIR"), "/playbooks/az-power-off.toml");
    for _ in 0..5 {
        let mut plan = gameday();
        plan.args(["plan", book, "--runtime", "docker"]);
        plan.stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = plan.spawn().expect("it starts");
        let filter = format!("name=gameday-probe-{}-", child.id());
        let probes = || docker_lines(&["ps", "-aq", "--filter", &filter]);
        while probes().is_empty() && child.try_wait().expect("own child").is_none() {}
        if child.try_wait().expect("own child").is_some() {
            // It was faster than the look.
            continue;
        }
        send(&child, libc::SIGINT);
        let done = wait(child, LIMIT);
        assert_eq!(probes(), Vec::<String>::new(), "{}", text(&done));
        assert_eq!(done.status.code(), Some(130), "{}", text(&done));
        return;
    }
    panic!("no probe was seen");
}
