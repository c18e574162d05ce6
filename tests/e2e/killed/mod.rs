//! `kill -9` of the runner, alone or with its watchdog, at random moments over
//! all faults and both runtimes: the links carry again by themselves, nothing is
//! left after a revert (by the watchdog, or by `gameday revert` if it is dead
//! too), and nobody else is touched.
//!
//! `GAMEDAY_KILLS=100 cargo test --workspace --test e2e killed` does it a
//! hundred times and prints what was seen; `GAMEDAY_KILL_SEED` draws other
//! moments.

mod bystander;
mod deck;

use crate::links;
use crate::support::engine::left_of as left_in_docker;
use crate::support::marked::marked;
use crate::support::*;
use deck::Deck;
use gameday_chaos::faults::FaultKind;
use gameday_record::{ProofSide, RunFolder, TimelineEvent, Verdict};
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::Child;
use std::time::{Duration, Instant};

/// Kills if `GAMEDAY_KILLS` does not say.
const FEW: u64 = 4;
/// So many kills hit every fault that a runtime offers, while it is in force: every other one is
/// in containers, where all of them are offered.
const ALL_FAULTS: u64 = 2 * FaultKind::ALL.len() as u64;
/// Anything that is waited for. No bound that is tested: those are told, not asserted.
const LIMIT: Duration = Duration::from_secs(120);

/// What the timeline has once a fault was looked for.
const IN_FORCE: &str = "\"side\":\"injected\"";
/// A fault is held for so long.
const HOLD_MS: u64 = 4_000;

/// The same dice for the same seed (SplitMix64, Steele, Lea and Flood 2014).
pub struct Dice(u64);

impl Dice {
    /// From 0 to below `n`.
    pub fn below(&mut self, n: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let z = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        let z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        (z ^ (z >> 31)) % n
    }
}

/// Who is killed.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Victims {
    /// The watchdog must do it all.
    Runner,
    /// Both at the same moment.
    Both,
    /// The watchdog so many milliseconds after the runner: while it reverts.
    RunnerThenWatchdog(u64),
}

/// When.
#[derive(Clone, Copy, Debug)]
enum Moment {
    /// So many milliseconds after the start.
    Any(u64),
    /// So many milliseconds after the fault was proven.
    InForce(u64),
}

/// A short game day with one fault.
fn playbook_of(kind: FaultKind) -> String {
    let target = match kind.name() {
        "majority" => "",
        "split" => "groups = [{ az = \"a\" }, { az = \"b\" }]",
        "bridge" => "target = { az = \"b\" }",
        "majorities-ring" => "target = [{ role = \"storage\" }, { role = \"router\" }]",
        "leader" => "target = { leader = \"canary/0\" }",
        "isolate" | "one-way" | "power-off" | "clients" => "target = { az = \"b\" }",
        "clock-skew" => "target = { node = \"storage-b1\" }\njump = \"1h\"",
        _ => "target = { node = \"storage-b1\" }",
    };
    let more = match kind.name() {
        // To the same build: the change is what matters here.
        "rolling-upgrade" => format!("binary = \"{}\"\n", env!("CARGO_BIN_EXE_gameday")),
        "crash-loop" => "uptime = \"1s\"\n".into(),
        "traffic" => "delay = \"50ms\"\n".into(),
        _ => String::new(),
    };
    format!(
        "[playbook]\ntitle = \"killed\"\nseed = 3\nallow_quorum_loss = true\nallow_data_loss = true\n\
         [cluster]\nstorage_nodes_per_az = 1\npartitions = 3\n\
         [workload]\nrate = 30\nkeys = 20\n[baseline]\nfor = \"3s\"\n\
         [[step]]\nfault = \"{}\"\n{target}\n{more}at = \"0s\"\nfor = \"{HOLD_MS}ms\"\n[cooldown]\nfor = \"2s\"\n",
        kind.name()
    )
}

pub fn every_fault_has_a_playbook_here() {
    let dir = tempfile::tempdir().expect("a temporary folder");
    let book = dir.path().join("killed.toml");
    for kind in FaultKind::ALL {
        std::fs::write(&book, playbook_of(*kind)).expect("a playbook");
        let mut plan = gameday();
        // Any place will do: what it cannot do is told in other words than mistakes.
        plan.arg("plan").arg(&book).args(["--runtime", "process"]);
        let done = finish(&mut plan, LIMIT);
        let cannot = text(&done).contains("is not possible in the");
        assert!(
            done.status.success() || cannot,
            "{}: {}",
            kind.name(),
            text(&done)
        );
    }
}

/// One run and its end.
struct Attempt {
    runtime: &'static str,
    kind: FaultKind,
    victims: Victims,
    moment: Moment,
    out: PathBuf,
    runner: Child,
    began: Instant,
}

fn setting<T: std::str::FromStr>(name: &str, default: T) -> T {
    match std::env::var(name) {
        Ok(text) => text
            .parse()
            .unwrap_or_else(|_| panic!("{name}={text:?} is not a number")),
        Err(_) => default,
    }
}

fn drawn(dice: &mut Dice, runtime: &'static str) -> (Victims, Moment) {
    let victims = match dice.below(5) {
        0 | 1 => Victims::Runner,
        2 | 3 => Victims::Both,
        _ => Victims::RunnerThenWatchdog(dice.below(400)),
    };
    let whole = if runtime == "docker" { 15_000 } else { 9_000 };
    let moment = match dice.below(3) {
        0 => Moment::Any(dice.below(whole)),
        _ => Moment::InForce(dice.below(HOLD_MS + 500)),
    };
    (victims, moment)
}

impl Attempt {
    fn start(
        dir: &Path,
        runtime: &'static str,
        kind: FaultKind,
        victims: Victims,
        moment: Moment,
    ) -> Attempt {
        let book = dir.join("killed.toml");
        let out = dir.join("runs");
        std::fs::write(&book, playbook_of(kind)).expect("a playbook");
        let mut run = gameday();
        run.arg("run").arg(&book).args(["--runtime", runtime]);
        run.args(["--plain", "--subnet", SUBNET, "--out"]).arg(&out);
        let log = std::fs::File::create(dir.join("said")).expect("a file");
        let runner = run
            .stdout(log.try_clone().expect("a file"))
            .stderr(log)
            .spawn()
            .expect("it starts");
        Attempt {
            runtime,
            kind,
            victims,
            moment,
            out,
            runner,
            began: Instant::now(),
        }
    }

    /// The run folder, once there is one.
    fn folder(&self) -> Option<PathBuf> {
        let entry = std::fs::read_dir(&self.out).ok()?.next()?.ok()?;
        Some(entry.path())
    }

    fn timeline_says(&self, needle: &str) -> bool {
        let text = self
            .folder()
            .and_then(|f| std::fs::read_to_string(f.join("timeline.jsonl")).ok());
        text.is_some_and(|t| t.contains(needle))
    }

    /// Whether its fault is proven to be in force and not proven to be gone.
    fn is_in_force(&self) -> bool {
        let timeline = self.folder().map(|f| RunFolder::at(f).read_timeline());
        let timeline = timeline.and_then(Result::ok).unwrap_or_default();
        let proven = |wanted: ProofSide| {
            timeline.iter().any(|l| {
                matches!(&l.event, TimelineEvent::Proof { side, proof, .. }
                    if *side == wanted && proof.verdict == Verdict::Pass)
            })
        };
        proven(ProofSide::Injected) && !proven(ProofSide::Reverted)
    }

    /// Waits for the moment. False if the run has ended before.
    fn wait(&mut self) -> bool {
        let at = match self.moment {
            Moment::Any(ms) => self.began + Duration::from_millis(ms),
            Moment::InForce(ms) => {
                while !self.timeline_says(IN_FORCE) {
                    if self.ended() {
                        return false;
                    }
                    assert!(
                        self.began.elapsed() < LIMIT,
                        "{}: no fault",
                        self.kind.name()
                    );
                    std::thread::sleep(Duration::from_millis(20));
                }
                Instant::now() + Duration::from_millis(ms)
            }
        };
        while Instant::now() < at {
            if self.ended() {
                return false;
            }
            std::thread::sleep(Duration::from_millis(5));
        }
        true
    }

    fn ended(&mut self) -> bool {
        self.runner.try_wait().expect("own child").is_some()
    }

    fn watchdogs(&self) -> Vec<i32> {
        match self.run_id() {
            Some(run) => marked(&run)
                .into_iter()
                .filter(|p| p.unit == "watchdog")
                .map(|p| p.pid)
                .collect(),
            None => Vec::new(),
        }
    }

    fn run_id(&self) -> Option<String> {
        Some(self.folder()?.file_name()?.to_str()?.to_string())
    }

    /// Kills; the time at which the runner died.
    fn kill(&mut self) -> Instant {
        let runner = i32::try_from(self.runner.id()).expect("a pid");
        if self.victims == Victims::Both {
            // A stopped runner starts no other watchdog.
            send(runner, libc::SIGSTOP);
            self.watchdogs()
                .into_iter()
                .for_each(|w| send(w, libc::SIGKILL));
        }
        send(runner, libc::SIGKILL);
        let died = Instant::now();
        self.runner.wait().expect("own child");
        if let Victims::RunnerThenWatchdog(ms) = self.victims {
            std::thread::sleep(Duration::from_millis(ms));
            self.watchdogs()
                .into_iter()
                .for_each(|w| send(w, libc::SIGKILL));
        }
        died
    }
}

/// A signal to a process of this test's; fine if it is gone.
fn send(pid: i32, signal: i32) {
    unsafe { libc::kill(pid, signal) };
}

/// What of a run is there, whatever runtime it had.
fn left_of(run: &str, with_docker: bool) -> Vec<String> {
    let mut left: Vec<String> = marked(run)
        .into_iter()
        .map(|p| format!("process {} ({})", p.pid, p.unit))
        .collect();
    for name in [format!("gameday-{run}"), format!("gameday-{run}.marks")] {
        let path = std::env::temp_dir().join(name);
        if path.exists() {
            left.push(path.display().to_string());
        }
    }
    if with_docker {
        left.extend(left_in_docker(run));
    }
    left
}

/// Everything that was seen, for the last line.
#[derive(Default)]
struct Seen {
    kills: u64,
    ended_before: u64,
    by_watchdog: u64,
    by_command: u64,
    carried: Vec<Duration>,
    /// Faults that were proven when somebody was killed.
    in_force: BTreeSet<(&'static str, FaultKind)>,
}

pub fn whoever_is_killed_when_nothing_is_left_and_nobody_else_is_touched() {
    let kills: u64 = setting("GAMEDAY_KILLS", FEW);
    let seed: u64 = setting("GAMEDAY_KILL_SEED", 1);
    let mut dice = Dice(seed);
    let with_docker = docker();
    let process = bystander::Process::start();
    let mut container: Option<bystander::Container> = None;
    let mut seen = Seen::default();
    let mut decks = [
        ("process", Deck::of("process")),
        ("docker", Deck::of("docker")),
    ];
    let mut attempts = 0;
    while seen.kills < kills {
        attempts += 1;
        assert!(
            attempts < 3 * kills + 10,
            "most runs end before they are killed"
        );
        let in_docker = with_docker && seen.kills % 2 == 1;
        let (runtime, deck) = &mut decks[usize::from(in_docker)];
        let runtime = *runtime;
        let first_time = deck.rounds == 0;
        let kind = deck.draw(&mut dice);
        let (victims, mut moment) = drawn(&mut dice, runtime);
        if first_time && kills >= ALL_FAULTS {
            moment = Moment::InForce(dice.below(HOLD_MS / 2));
        }
        if in_docker && container.is_none() {
            // The bystander is of the run's image, which is there by then.
            moment = Moment::InForce(0);
        }
        let dir = tempfile::tempdir().expect("a temporary folder");
        let mut attempt = Attempt::start(dir.path(), runtime, kind, victims, moment);
        let _ends = EndsRuns(attempt.out.clone());
        if !attempt.wait() {
            let said = std::fs::read_to_string(dir.path().join("said")).unwrap_or_default();
            let refused = said.contains("killed.toml:");
            assert!(!refused, "{} is refused: {said}", kind.name());
            deck.put_back(kind);
            seen.ended_before += 1;
            continue;
        }
        if in_docker && container.is_none() {
            container = attempt
                .run_id()
                .map(|run| bystander::Container::start(&run));
        }
        let what = format!("{runtime} {} {victims:?} {moment:?}", attempt.kind.name());
        let died = attempt.kill();
        seen.kills += 1;
        if attempt.is_in_force() {
            seen.in_force.insert((runtime, kind));
        }
        let said = judge(&attempt, died, with_docker, &mut seen);
        println!("{:3} {what}: {said}", seen.kills);
        process.is_unharmed();
        if let Some(container) = &container {
            container.is_unharmed();
        }
    }
    let worst = seen.carried.iter().max().copied().unwrap_or_default();
    println!(
        "seed {seed}: {} kills ({} more runs had ended before) in {} faults of a runtime that were \
         in force, of {} that are offered; {} reverted by the watchdog, {} by gameday revert; all \
         links carried after at most {:.2} s ({} looks)",
        seen.kills,
        seen.ended_before,
        seen.in_force.len(),
        decks.iter().map(|(_, deck)| deck.len()).sum::<usize>(),
        seen.by_watchdog,
        seen.by_command,
        worst.as_secs_f64(),
        seen.carried.len()
    );
}

/// What became of the run; panics if anything is left of it.
fn judge(attempt: &Attempt, died: Instant, with_docker: bool, seen: &mut Seen) -> String {
    let Some(run) = attempt.run_id() else {
        return "nothing was made yet".into();
    };
    let folder = attempt.folder().expect("it has an id");
    let mut said = String::new();
    if attempt.victims == Victims::Runner {
        let began = Instant::now();
        while !left_of(&run, with_docker).is_empty() {
            let log = std::fs::read_to_string(folder.join("watchdog.log")).unwrap_or_default();
            assert!(
                began.elapsed() < LIMIT,
                "the watchdog left {:?}\n{log}",
                left_of(&run, with_docker)
            );
            std::thread::sleep(Duration::from_millis(100));
        }
        seen.by_watchdog += 1;
        said.push_str(&format!(
            "gone after {:.2} s, ",
            died.elapsed().as_secs_f64()
        ));
    } else {
        let carries = links::until_all_carry(attempt.runtime, &run, LIMIT);
        match carries {
            Some(links) => {
                seen.carried.push(died.elapsed());
                let after = died.elapsed().as_secs_f64();
                said.push_str(&format!("{links} links carry after {after:.2} s, "));
            }
            None => said.push_str("no links to look at, "),
        }
        seen.by_command += 1;
    }
    let reverted = finish(gameday().arg("revert").arg(&folder), LIMIT);
    assert_eq!(reverted.status.code(), Some(0), "{}", text(&reverted));
    let removed = text(&reverted).matches(": removed ").count();
    if attempt.victims == Victims::Runner {
        assert_eq!(removed, 0, "the watchdog left it: {}", text(&reverted));
    }
    said.push_str(&format!("{removed} things removed by command"));
    assert_eq!(left_of(&run, with_docker), Vec::<String>::new());
    said
}
