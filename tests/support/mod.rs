//! What the tests of the binary share: how it is run, short playbooks, what is
//! left of a run.

#![allow(dead_code, reason = "each test binary uses its own part")]

pub mod canary;
pub mod engine;
pub mod marked;
pub mod servers;
pub mod stub;

use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::sync::OnceLock;
use std::time::{Duration, Instant};

/// Address range of the tests' clusters: not the default one, so that a game
/// day of the person who runs the tests is left alone.
pub const SUBNET: &str = "198.19.0.0/16";

/// The binary under test. Whoever runs the tests may ignore signals; it does not.
pub fn gameday() -> Command {
    let mut c = Command::new(env!("CARGO_BIN_EXE_gameday"));
    c.stdin(Stdio::null());
    // SAFETY: signal is async-signal-safe and touches no memory of the parent.
    unsafe {
        c.pre_exec(|| {
            for signal in [libc::SIGHUP, libc::SIGINT, libc::SIGTERM] {
                libc::signal(signal, libc::SIG_DFL);
            }
            Ok(())
        });
    }
    c
}

/// Whether Docker answers.
pub fn docker() -> bool {
    static ANSWERS: OnceLock<bool> = OnceLock::new();
    *ANSWERS.get_or_init(|| {
        let said = gameday().args(["doctor"]).output();
        said.is_ok_and(|o| {
            let said = String::from_utf8_lossy(&o.stdout).into_owned();
            said.lines().any(|l| l.starts_with("docker: yes"))
        })
    })
}

/// Whether its absence is a failure.
pub fn docker_is_required() -> bool {
    std::env::var("GAMEDAY_REQUIRE_DOCKER").is_ok_and(|v| v == "1")
}

/// A short game day: one AZ's worth of `step`, with little time around it.
pub fn playbook(dir: &Path, step: &str) -> PathBuf {
    let text = format!(
        r#"# A short game day for the tests.
[playbook]
title = "short"
seed = 11

[cluster]
storage_nodes_per_az = 1
partitions = 3

[workload]
rate = 15
keys = 30

[baseline]
for = "4s"

[[step]]
{step}

[cooldown]
for = "8s"
"#
    );
    let path = dir.join("short.toml");
    std::fs::write(&path, text).expect("the temporary folder is writable");
    path
}

/// One step of a short game day.
pub fn step(fault: &str, target: &str, seconds: u32) -> String {
    format!("fault = \"{fault}\"\ntarget = {target}\nat = \"0s\"\nfor = \"{seconds}s\"")
}

/// Another build of the binary under test: what follows an ELF file's sections is not looked at.
pub fn another_build(dir: &Path) -> PathBuf {
    let path = dir.join("another-build");
    let mut bytes = std::fs::read(env!("CARGO_BIN_EXE_gameday")).expect("the binary");
    bytes.extend_from_slice(b"another build");
    std::fs::write(&path, bytes).expect("the temporary folder is writable");
    path
}

/// Whether all proofs of one side on a run's timeline are a pass, and their evidence.
pub fn proofs(folder: &Path, side: &str) -> (bool, String) {
    let text = timeline(folder);
    let lines = text.lines().map(|l| serde_json::from_str(l).expect("JSON"));
    let of: Vec<serde_json::Value> = lines
        .filter(|l: &serde_json::Value| l["event"] == "proof" && l["side"] == side)
        .collect();
    let pass = of.iter().all(|p| p["proof"]["verdict"] == "pass");
    let evidence: Vec<String> = of
        .iter()
        .map(|p| p["proof"]["evidence"].to_string())
        .collect();
    (pass && !of.is_empty(), evidence.join("\n"))
}

/// Ends the runs of a folder when their test fails: what they hold (the network of all tests'
/// containers) would fail the tests that follow.
pub struct EndsRuns(pub PathBuf);

impl Drop for EndsRuns {
    fn drop(&mut self) {
        if !std::thread::panicking() {
            return;
        }
        for folder in std::fs::read_dir(&self.0).into_iter().flatten().flatten() {
            for order in ["stop", "revert"] {
                let done = gameday().arg(order).arg(folder.path()).output();
                let said = done.map_or_else(|e| e.to_string(), |done| text(&done));
                println!("after the failure: gameday {order}: {}", said.trim());
            }
        }
    }
}

/// A short game day in a folder of its own.
pub struct Short {
    ends: EndsRuns,
    /// Goes away with this.
    pub dir: tempfile::TempDir,
    book: PathBuf,
    out: PathBuf,
    runtime: &'static str,
}

impl Short {
    /// With this one step.
    pub fn new(runtime: &'static str, step: &str) -> Short {
        let dir = tempfile::tempdir().expect("a temporary folder");
        let book = playbook(dir.path(), step);
        let out = dir.path().join("runs");
        Short {
            ends: EndsRuns(out.clone()),
            dir,
            book,
            out,
            runtime,
        }
    }

    /// `gameday run` of it.
    pub fn command(&self) -> Command {
        let mut c = gameday();
        c.arg("run")
            .arg(&self.book)
            .args(["--runtime", self.runtime, "--plain", "--out"])
            .arg(&self.out);
        if self.runtime == "docker" {
            c.args(["--subnet", SUBNET]);
        }
        c
    }

    /// Starts it and waits until its fault is proven to be in force.
    pub fn hurt(&self) -> std::process::Child {
        self.hurt_by(self.command())
    }

    /// The same by another command than its own.
    pub fn hurt_by(&self, mut command: Command) -> std::process::Child {
        let mut child = command
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("it starts");
        let limit = Duration::from_secs(90);
        let began = Instant::now();
        loop {
            let folder = std::fs::read_dir(&self.out)
                .ok()
                .and_then(|mut all| all.next());
            let timeline = folder.and_then(|f| Some(f.ok()?.path().join("timeline.jsonl")));
            let told = timeline.and_then(|path| std::fs::read_to_string(path).ok());
            if told.is_some_and(|t| t.contains("\"side\":\"injected\"")) {
                return child;
            }
            if child.try_wait().expect("own child").is_some() {
                let out = child.wait_with_output().expect("own child");
                panic!("it ended before its fault was in force:\n{}", text(&out));
            }
            assert!(began.elapsed() < limit, "no fault within {limit:?}");
            std::thread::sleep(Duration::from_millis(50));
        }
    }

    /// Its run folder, and the run's id.
    pub fn folder(&self) -> (PathBuf, String) {
        let folder = run_folder(&self.out);
        let run = folder
            .file_name()
            .and_then(|n| n.to_str())
            .expect("a plain name")
            .to_string();
        (folder, run)
    }
}

/// The same command in a PID namespace of its own, as in another container, where it sees no
/// process of this one; `before` is a line of shell that is done there first.
pub fn elsewhere(command: &Command, before: &str) -> Command {
    let mut c = Command::new("unshare");
    c.args([
        "--pid",
        "--fork",
        "--kill-child",
        "--mount-proc",
        "sh",
        "-c",
    ])
    .arg(format!("{before}\nexec \"$0\" \"$@\""))
    .arg(command.get_program())
    .args(command.get_args())
    .stdin(Stdio::null());
    c
}

/// Whether [`elsewhere`] is possible, which takes root; says so if it is not.
pub fn can_be_elsewhere() -> bool {
    let tried = elsewhere(&Command::new("true"), "true").output();
    let can = tried.as_ref().is_ok_and(|o| o.status.success());
    let required = docker_is_required();
    assert!(can || !required, "no PID namespace: {tried:?}");
    if !can {
        println!("skipped: a PID namespace of its own is not allowed here");
    }
    can
}

/// Waits until there is something; fails beyond the limit.
pub fn until<T>(what: &str, limit: Duration, mut look: impl FnMut() -> Option<T>) -> T {
    let began = Instant::now();
    loop {
        if let Some(found) = look() {
            return found;
        }
        assert!(began.elapsed() < limit, "not within {limit:?}: {what}");
        std::thread::sleep(Duration::from_millis(50));
    }
}

/// All that a run has written on its timeline so far.
pub fn timeline(folder: &Path) -> String {
    std::fs::read_to_string(folder.join("timeline.jsonl")).expect("a timeline")
}

/// Waits for a child, with a limit; kills it (and fails) beyond.
pub fn wait(mut child: std::process::Child, limit: Duration) -> Output {
    let began = Instant::now();
    loop {
        if child.try_wait().expect("own child").is_some() {
            return child.wait_with_output().expect("own child");
        }
        if began.elapsed() > limit {
            let _ = child.kill();
            let out = child.wait_with_output().expect("own child");
            panic!("still running after {limit:?}:\n{}", text(&out));
        }
        std::thread::sleep(Duration::from_millis(50));
    }
}

/// Runs a command to its end, with a limit.
pub fn finish(command: &mut Command, limit: Duration) -> Output {
    let child = command
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("it starts");
    wait(child, limit)
}

/// Both streams, for a failure's message.
pub fn text(out: &Output) -> String {
    format!(
        "{}{}",
        String::from_utf8_lossy(&out.stdout),
        String::from_utf8_lossy(&out.stderr)
    )
}

/// The only run folder below `out`.
pub fn run_folder(out: &Path) -> PathBuf {
    let mut found: Vec<_> = std::fs::read_dir(out)
        .unwrap_or_else(|e| panic!("{}: {e}", out.display()))
        .map(|e| e.expect("readable").path())
        .collect();
    assert_eq!(
        found.len(),
        1,
        "one run folder in {}: {found:?}",
        out.display()
    );
    found.remove(0)
}

/// A JSON file of a run folder.
pub fn json(path: &Path) -> serde_json::Value {
    let bytes = std::fs::read(path).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
    serde_json::from_slice(&bytes).unwrap_or_else(|e| panic!("{}: {e}", path.display()))
}

/// The names of the anomalies in a run's verdict.
pub fn anomalies(folder: &Path) -> Vec<String> {
    json(&folder.join("verdict.json"))["checks"]
        .as_array()
        .expect("checks")
        .iter()
        .flat_map(|c| c["anomalies"].as_array().cloned().unwrap_or_default())
        .map(|a| a["name"].as_str().expect("a name").to_string())
        .collect()
}

/// Processes of ours that are marked with `run` (a run id), from /proc.
pub fn processes_of(run: &str) -> Vec<u32> {
    let mark = format!("GAMEDAY_RUN={run}");
    let mut found = Vec::new();
    for entry in std::fs::read_dir("/proc").expect("/proc").flatten() {
        let Some(pid) = entry
            .file_name()
            .to_str()
            .and_then(|n| n.parse::<u32>().ok())
        else {
            continue;
        };
        let environ = std::fs::read(entry.path().join("environ")).unwrap_or_default();
        if environ.split(|b| *b == 0).any(|v| v == mark.as_bytes()) {
            found.push(pid);
        }
    }
    found
}

/// A Python with this package in a virtual environment, or `None` (said) where
/// it cannot be had.
pub fn python_with(dir: &Path, package: &str) -> Option<PathBuf> {
    let venv = dir.join("venv");
    let steps = [
        (
            "python3".into(),
            vec!["-m".into(), "venv".into(), venv.clone()],
        ),
        (
            venv.join("bin/pip"),
            ["install", "-q", package].map(PathBuf::from).to_vec(),
        ),
    ];
    for (program, arguments) in steps {
        let done = Command::new(&program)
            .args(&arguments)
            .stdin(Stdio::null())
            .output();
        if !done.is_ok_and(|o| o.status.success()) {
            println!("skipped: {} failed for {package}", program.display());
            return None;
        }
    }
    Some(venv.join("bin/python"))
}
