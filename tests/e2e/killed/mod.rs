//! What may befall a game day, at random moments over all faults and both runtimes: its runner or
//! its watchdog is killed, nobody reads what it says, its terminal goes away, the disk of its
//! folder is full, SIGHUP, SIGTERM, and pairs of them. Nothing is left: where a watchdog lives,
//! without being asked; otherwise the links carry again by themselves, and `gameday revert`
//! removes the rest. A run that lives ends with the exit code that was promised. Nobody else is
//! touched.
//!
//! `GAMEDAY_KILLS=100 cargo test --workspace --test e2e killed` does it a
//! hundred times and prints what was seen; `GAMEDAY_KILL_SEED` draws other
//! moments.

mod blow;
mod bystander;
mod deck;
pub mod place;

use crate::links;
use crate::support::engine::left_of as left_in_docker;
use crate::support::marked::marked;
use crate::support::*;
use blow::{Blow, Blows};
use deck::Deck;
use gameday_chaos::faults::FaultKind;
use gameday_record::{ProofSide, RunFolder, RunState, TimelineEvent, TimelineLine, Verdict};
use place::{Disk, Listener};
use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::process::{Child, ExitStatus};
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

/// When.
#[derive(Clone, Copy, Debug)]
enum Moment {
    /// So many milliseconds after the start.
    Any(u64),
    /// So many milliseconds after the fault was proven.
    InForce(u64),
}

/// A short game day with one fault, in a folder for it.
fn playbook_in(dir: &Path, kind: FaultKind) -> PathBuf {
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
        "rolling-upgrade" => format!("binary = \"{}\"\n", another_build(dir).display()),
        "crash-loop" => "uptime = \"1s\"\n".into(),
        "traffic" => "delay = \"50ms\"\n".into(),
        _ => String::new(),
    };
    let text = format!(
        "[playbook]\ntitle = \"killed\"\nseed = 3\nallow_quorum_loss = true\nallow_data_loss = true\n\
         [cluster]\nstorage_nodes_per_az = 1\npartitions = 3\n\
         [workload]\nrate = 30\nkeys = 20\n[baseline]\nfor = \"3s\"\n\
         [[step]]\nfault = \"{}\"\n{target}\n{more}at = \"0s\"\nfor = \"{HOLD_MS}ms\"\n[cooldown]\nfor = \"2s\"\n",
        kind.name()
    );
    let book = dir.join("killed.toml");
    std::fs::write(&book, text).expect("a playbook");
    book
}

pub fn every_fault_has_a_playbook_here() {
    let dir = tempfile::tempdir().expect("a temporary folder");
    for kind in FaultKind::ALL {
        let book = playbook_in(dir.path(), *kind);
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

/// MiB of a disk that can be filled: the room that a run keeps, and some more.
const DISK_MIB: u32 = 24;

/// One run and its end.
struct Attempt {
    runtime: &'static str,
    kind: FaultKind,
    blows: Blows,
    moment: Moment,
    out: PathBuf,
    said: PathBuf,
    runner: Child,
    ended: Option<ExitStatus>,
    /// Since when it cannot do anything any more.
    died: Option<Instant>,
    output: Option<Listener>,
    terminal: Option<Listener>,
    disk: Option<Disk>,
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

fn drawn(dice: &mut Dice, runtime: &'static str) -> Moment {
    let whole = if runtime == "docker" { 15_000 } else { 9_000 };
    match dice.below(3) {
        0 => Moment::Any(dice.below(whole)),
        _ => Moment::InForce(dice.below(HOLD_MS + 500)),
    }
}

impl Attempt {
    fn start(
        dir: &Path,
        runtime: &'static str,
        kind: FaultKind,
        blows: Blows,
        moment: Moment,
    ) -> Attempt {
        let book = playbook_in(dir, kind);
        let out = dir.join("runs");
        let said = dir.join("said");
        let disk = blows.has(Blow::FillDisk).then(|| Disk::at(&out, DISK_MIB));
        let mut run = gameday();
        run.arg("run").arg(&book).args(["--runtime", runtime]);
        run.args(["--subnet", SUBNET, "--out"]).arg(&out);
        let log = std::fs::File::create(&said).expect("a file");
        run.stdout(log.try_clone().expect("a file")).stderr(log);
        let terminal = blows
            .has(Blow::CloseTerminal)
            .then(|| Listener::terminal(&mut run));
        let output = blows
            .has(Blow::CloseOutput)
            .then(|| Listener::pipe(&mut run));
        let runner = run.spawn().expect("it starts");
        Attempt {
            runtime,
            kind,
            blows,
            moment,
            out,
            said,
            runner,
            ended: None,
            died: None,
            output,
            terminal,
            disk,
            began: Instant::now(),
        }
    }

    /// What it and its watchdog said, as far as that was written down, and its timeline.
    fn said(&self) -> String {
        let folder = self.folder();
        let log = folder.as_ref().map(|f| f.join("watchdog.log"));
        let mut said: String = [Some(self.said.clone()), log]
            .into_iter()
            .flatten()
            .filter_map(|path| std::fs::read_to_string(path).ok())
            .collect();
        for line in self.timeline() {
            said.push_str(&format!(
                "{:.3} {:?}\n",
                line.time.as_secs_f64(),
                line.event
            ));
        }
        said
    }

    fn timeline(&self) -> Vec<TimelineLine> {
        let timeline = self.folder().map(|f| RunFolder::at(f).read_timeline());
        timeline.and_then(Result::ok).unwrap_or_default()
    }

    /// The run folder, once there is one.
    fn folder(&self) -> Option<PathBuf> {
        let mut all = std::fs::read_dir(&self.out).ok()?.flatten();
        Some(all.find(|entry| entry.path().is_dir())?.path())
    }

    fn timeline_says(&self, needle: &str) -> bool {
        let text = self
            .folder()
            .and_then(|f| std::fs::read_to_string(f.join("timeline.jsonl")).ok());
        text.is_some_and(|t| t.contains(needle))
    }

    /// Whether its fault is proven to be in force and not proven to be gone.
    fn is_in_force(&self) -> bool {
        let timeline = self.timeline();
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
        for listener in [&self.output, &self.terminal].into_iter().flatten() {
            listener.listen();
        }
        if self.ended.is_none() {
            self.ended = self.runner.try_wait().expect("own child");
        }
        self.ended.is_some()
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

    fn strike(&mut self) {
        if self.blows.both_at_once() {
            // A stopped runner starts no other watchdog.
            self.signal(libc::SIGSTOP);
            self.deal(Blow::KillWatchdog);
            return self.deal(Blow::KillRunner);
        }
        self.deal(self.blows.first);
        if let Some((after, blow)) = self.blows.then {
            std::thread::sleep(Duration::from_millis(after));
            self.deal(blow);
        }
    }

    fn deal(&mut self, blow: Blow) {
        match blow {
            Blow::KillRunner => {
                self.signal(libc::SIGKILL);
                self.ended = Some(self.runner.wait().expect("own child"));
                self.died = Some(Instant::now());
            }
            Blow::KillWatchdog => self
                .watchdogs()
                .into_iter()
                .for_each(|w| send(w, libc::SIGKILL)),
            Blow::CloseOutput => self.output = None,
            Blow::CloseTerminal => self.terminal = None,
            Blow::FillDisk => self.disk.iter().for_each(Disk::fill),
            Blow::HangUp => self.signal(libc::SIGHUP),
            Blow::Terminate => self.signal(libc::SIGTERM),
        }
    }

    /// A signal to the runner, if it has not ended.
    fn signal(&mut self, signal: i32) {
        if !self.ended() {
            send(i32::try_from(self.runner.id()).expect("a pid"), signal);
        }
    }

    /// How the run ended, as its timeline tells.
    fn state(&self) -> Option<RunState> {
        let mut timeline = self.timeline().into_iter().rev();
        timeline.find_map(|l| match l.event {
            TimelineEvent::Ended { state, .. } => Some(state),
            _ => None,
        })
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
    done: u64,
    ended_before: u64,
    /// How often each befell a run, alone or as one of two.
    blows: BTreeMap<Blow, u64>,
    pairs: u64,
    /// Runs that ended by themselves, by exit code.
    codes: BTreeMap<i32, u64>,
    by_watchdog: u64,
    by_command: u64,
    carried: Vec<Duration>,
    /// Faults that were proven to be in force then.
    in_force: BTreeSet<(&'static str, FaultKind)>,
}

pub fn whatever_befalls_a_game_day_nothing_is_left_and_nobody_else_is_touched() {
    // With mounts of its own, which end with it.
    let campaign = std::thread::spawn(|| {
        let disks = place::own_mounts();
        if let Err(why) = &disks {
            println!("no disk is filled: {why}");
        }
        campaign(disks.is_ok());
    });
    if let Err(failure) = campaign.join() {
        std::panic::resume_unwind(failure);
    }
}

fn campaign(disks: bool) {
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
    while seen.done < kills {
        attempts += 1;
        assert!(
            attempts < 3 * kills + 10,
            "most runs end before anything befalls them"
        );
        let in_docker = with_docker && seen.done % 2 == 1;
        let (runtime, deck) = &mut decks[usize::from(in_docker)];
        let runtime = *runtime;
        let first_time = deck.rounds == 0;
        let kind = deck.draw(&mut dice);
        let (blows, mut moment) = (Blows::drawn(&mut dice, disks), drawn(&mut dice, runtime));
        if first_time && kills >= ALL_FAULTS {
            moment = Moment::InForce(dice.below(HOLD_MS / 2));
        }
        if in_docker && container.is_none() {
            // The bystander is of the run's image, which is there by then.
            moment = Moment::InForce(0);
        }
        let dir = tempfile::tempdir().expect("a temporary folder");
        let mut attempt = Attempt::start(dir.path(), runtime, kind, blows, moment);
        let _ends = EndsRuns(attempt.out.clone());
        if !attempt.wait() {
            let said = attempt.said();
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
        let what = format!("{runtime} {} {blows:?} {moment:?}", attempt.kind.name());
        let in_force = attempt.is_in_force();
        if in_force {
            seen.in_force.insert((runtime, kind));
        }
        attempt.strike();
        seen.done += 1;
        seen.pairs += u64::from(blows.then.is_some());
        for blow in blows.all() {
            *seen.blows.entry(blow).or_default() += 1;
        }
        println!("{:3} {what}", seen.done);
        let said = match attempt.died {
            Some(died) => killed(&attempt, died, with_docker, &mut seen),
            None => lived(&mut attempt, in_force, with_docker, &mut seen),
        };
        println!("      {said}");
        process.is_unharmed();
        if let Some(container) = &container {
            container.is_unharmed();
        }
    }
    let worst = seen.carried.iter().max().copied().unwrap_or_default();
    println!(
        "seed {seed}: {} game days ({} more had ended before), {:?}, {} of them pairs; in {} faults \
         of a runtime that were in force, of {} that are offered; exit codes of those that lived: \
         {:?}; {} reverted by the watchdog, {} by gameday revert; all links carried after at most \
         {:.2} s ({} looks)",
        seen.done,
        seen.ended_before,
        seen.blows,
        seen.pairs,
        seen.in_force.len(),
        decks.iter().map(|(_, deck)| deck.len()).sum::<usize>(),
        seen.codes,
        seen.by_watchdog,
        seen.by_command,
        worst.as_secs_f64(),
        seen.carried.len()
    );
}

/// Nothing of it is left, without anybody being asked.
fn gone(attempt: &Attempt, run: &str, with_docker: bool) {
    let began = Instant::now();
    while !left_of(run, with_docker).is_empty() {
        assert!(
            began.elapsed() < LIMIT,
            "{:?} is left\n{}",
            left_of(run, with_docker),
            attempt.said()
        );
        std::thread::sleep(Duration::from_millis(100));
    }
}

/// What became of a run whose runner was killed; panics if anything is left of it.
fn killed(attempt: &Attempt, died: Instant, with_docker: bool, seen: &mut Seen) -> String {
    let Some(run) = attempt.run_id() else {
        return "nothing was made yet".into();
    };
    let mut said = String::new();
    let watched = attempt.blows.watchdog_lives();
    if watched {
        gone(attempt, &run, with_docker);
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
    let removed = reverted(attempt);
    if watched {
        assert_eq!(removed, 0, "the watchdog left it");
    }
    said.push_str(&format!("{removed} things removed by command"));
    assert_eq!(left_of(&run, with_docker), Vec::<String>::new());
    said
}

/// What became of a run whose runner lived: it ends by itself, as promised. `in_force`: its fault
/// was when it was hit.
fn lived(attempt: &mut Attempt, in_force: bool, with_docker: bool, seen: &mut Seen) -> String {
    let began = Instant::now();
    while !attempt.ended() {
        assert!(
            began.elapsed() < LIMIT,
            "it does not end:\n{}",
            attempt.said()
        );
        std::thread::sleep(Duration::from_millis(50));
    }
    let status = attempt.ended.expect("it has ended");
    let Some(run) = attempt.run_id() else {
        return format!("{status}, nothing was made yet");
    };
    gone(attempt, &run, with_docker);
    let state = attempt.state();
    let said = format!("{status}, {state:?}");
    let folder = attempt.folder().expect("it has an id");
    let code = status.code();
    // A disk that was full before anything was recorded is no place for a run.
    let nowhere = attempt.blows.has(Blow::FillDisk) && code == Some(64) && state.is_none();
    if !nowhere {
        let interrupted = state == Some(RunState::Interrupted);
        let mut promised = attempt.blows.promised(interrupted);
        if !interrupted {
            // A signal that came when all was over changes the code alone.
            promised.extend(attempt.blows.promised(true));
        }
        assert!(
            code.is_some_and(|code| promised.contains(&code)),
            "{said}, promised: {promised:?}\n{}",
            attempt.said()
        );
        assert!(folder.join("report.json").exists(), "{}", attempt.said());
        let ended = matches!(state, Some(RunState::Interrupted | RunState::Failed));
        assert!(ended || !(in_force && attempt.blows.end_it()), "{said}");
        *seen.codes.entry(code.unwrap_or(-1)).or_default() += 1;
    }
    assert_eq!(reverted(attempt), 0, "it left something: {said}");
    said
}

/// What `gameday revert` still removed of a run.
fn reverted(attempt: &Attempt) -> usize {
    let Some(folder) = attempt.folder() else {
        return 0;
    };
    let reverted = finish(gameday().arg("revert").arg(folder), LIMIT);
    assert_eq!(reverted.status.code(), Some(0), "{}", text(&reverted));
    text(&reverted).matches(": removed ").count()
}
