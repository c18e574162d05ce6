//! A cluster in memory, on tokio's clock, that can be told to misbehave.

use super::topology;
use futures_util::future::BoxFuture;
use gameday_chaos::runner::{Group, Health, Observer, Roles, Sink, Update};
use gameday_chaos::runtime::files::{FilesAnswer, FilesRequest};
use gameday_chaos::runtime::traffic::{Heard, Sounding, Traffic};
use gameday_chaos::runtime::{
    Exit, Fut, Gap, GapState, Identity, Instrument, Launch, Link, LinkState, ProcessState, Runtime,
    RuntimeError,
};
use gameday_record::conditions::{ClockCondition, ClockReading};
use gameday_record::timeline::Proof;
use gameday_record::{TimelineEvent, TimelineLine, Verdict};
use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::{Duration, SystemTime, UNIX_EPOCH};
use tokio::time::{Instant, sleep};

/// What happened, in order: milliseconds since the start, and what.
#[derive(Clone)]
pub struct Log {
    began: Instant,
    lines: Arc<Mutex<Vec<(u64, String)>>>,
    events: Arc<Mutex<Vec<TimelineEvent>>>,
}

impl Log {
    pub fn new() -> Self {
        Log {
            began: Instant::now(),
            lines: Arc::default(),
            events: Arc::default(),
        }
    }

    fn push(&self, text: String) {
        let ms = self.began.elapsed().as_millis() as u64;
        self.lines.lock().unwrap().push((ms, text));
    }

    /// Everything, as `what`.
    pub fn all(&self) -> Vec<String> {
        let lines = self.lines.lock().unwrap();
        lines.iter().map(|(_, l)| l.clone()).collect()
    }

    /// Position of the first line that begins like this.
    pub fn position(&self, start: &str) -> usize {
        let all = self.all();
        all.iter()
            .position(|l| l.starts_with(start))
            .unwrap_or_else(|| panic!("no '{start}' in {all:#?}"))
    }

    pub fn has(&self, start: &str) -> bool {
        self.all().iter().any(|l| l.starts_with(start))
    }

    /// Milliseconds at which the first line that begins like this was logged.
    pub fn at(&self, start: &str) -> u64 {
        let i = self.position(start);
        self.lines.lock().unwrap()[i].0
    }

    pub fn events(&self) -> Vec<TimelineEvent> {
        self.events.lock().unwrap().clone()
    }
}

/// A timeline in memory that may refuse lines.
pub struct Memory {
    pub log: Log,
    pub refuse: fn(&TimelineEvent) -> bool,
}

impl Sink for Memory {
    fn append(&mut self, line: &TimelineLine) -> std::io::Result<()> {
        if (self.refuse)(&line.event) {
            return Err(std::io::Error::other("disk full"));
        }
        let json = serde_json::to_value(&line.event).unwrap();
        let mut text = format!("timeline {}", json["event"].as_str().unwrap());
        for key in ["phase", "id", "side"] {
            match &json[key] {
                serde_json::Value::String(s) => text.push_str(&format!(" {s}")),
                serde_json::Value::Number(n) => text.push_str(&format!(" {n}")),
                _ => {}
            }
        }
        if let TimelineEvent::Proof { proof, .. } | TimelineEvent::Reachability { proof } =
            &line.event
        {
            text.push_str(&format!(" {:?}", proof.verdict));
        }
        if let TimelineEvent::Gap {
            units, injections, ..
        } = &line.event
        {
            text.push_str(&format!(" {} {injections:?}", units.join(" ")));
        }
        self.log.push(text);
        self.log.events.lock().unwrap().push(line.event.clone());
        Ok(())
    }
}

/// How the runtime misbehaves.
#[derive(Clone, Default)]
pub struct Switches {
    /// This link stays open whatever is cut, and as it was however it is shaped.
    pub leaks: Option<Link>,
    /// This link is as shaped as those that should be.
    pub spreads: Option<Link>,
    /// Ending a shaping does nothing.
    pub stays_shaped: bool,
    /// This link carries nothing, whatever is opened.
    pub broken: Option<Link>,
    /// While links are cut, this is said to have ended a cut for a while.
    pub lapsed: Option<String>,
    /// So long after a kill or a power-off, the node runs again by itself.
    pub restarts_itself: Option<Duration>,
    /// So long after a pause, somebody kills the frozen process and starts a new one.
    pub replaced: Option<Duration>,
    /// `start`, `resume` and `open` fail so many times.
    pub reverts_fail: u32,
    /// They never return.
    pub reverts_hang: bool,
    /// Processes cannot be looked at and links cannot be probed.
    pub blind: bool,
    /// From so long after the start on, nobody can read a clock.
    pub clocks_hidden: Option<Duration>,
    /// A node without power is just dead: its links carry on.
    pub stays_lit: bool,
    /// A kill takes so long, whether anybody waits for it or not.
    pub kill_takes: Option<Duration>,
    /// After so many kills, every other one is refused.
    pub kills: Option<u32>,
    /// Killing this node is refused.
    pub unkillable: Option<String>,
    /// Killing a node is a bug of ours.
    pub panics: bool,
    /// Nodes that were started again never answer.
    pub never_serves: bool,
    /// Killing a node does nothing to it after the first time.
    pub survives: bool,
    /// Whatever is installed, nodes are started as they were launched.
    pub keeps_its_program: bool,
    /// How long another program is being made.
    pub provides_in: Duration,
    /// A node that dies by itself so long after the start, and what is seen of it then.
    pub dies: Option<(&'static str, Duration)>,
    /// So long after its death it is started again by somebody else.
    pub comes_back: Option<Duration>,
    /// From so long after the start on, this node cannot be looked at.
    pub hidden: Option<(&'static str, Duration)>,
    /// From so long after the start on, what is measured never arrives.
    pub never_measured: Option<Duration>,
    /// Agents that are started anew.
    pub anew: Vec<Anew>,
}

/// What makes this unit's links so is started anew behind our back.
#[derive(Clone)]
pub struct Anew {
    pub unit: &'static str,
    /// When, since the start.
    pub at: Duration,
    pub then: Then,
}

/// What becomes of it.
#[derive(Clone, Copy, PartialEq)]
pub enum Then {
    /// It is put back after so long.
    Back(Duration),
    /// The same is said, but links carry on.
    SaidToBeBack(Duration),
    /// It is given up after so long.
    GivenUp(Duration),
    /// Nothing comes of it.
    Nothing,
}

/// How soon the fake notices it.
const NOTICED: Duration = Duration::from_millis(900);

impl Anew {
    /// Whether this link is as if nothing had been said of it.
    fn frees(&self, link: &Link, now: Duration) -> bool {
        let ends = match self.then {
            Then::Back(after) => Some(self.at + after),
            Then::SaidToBeBack(_) | Then::GivenUp(_) | Then::Nothing => None,
        };
        let is_at = link.from == self.unit || link.to == self.unit;
        is_at && now >= self.at && ends.is_none_or(|ends| now < ends)
    }

    fn gap(&self, began: Instant) -> Gap {
        let now = began.elapsed();
        let state = match self.then {
            Then::Back(after) | Then::SaidToBeBack(after) if now >= self.at + after => {
                GapState::PutBack
            }
            Then::GivenUp(after) if now >= self.at + after => GapState::Lost,
            _ => GapState::Open,
        };
        Gap {
            units: vec![self.unit.into()],
            since: began + self.at,
            state,
            text: format!("the agent of {} was started anew", self.unit),
        }
    }
}

#[derive(Clone, Copy, PartialEq)]
enum Shape {
    Runs,
    Dead(Instant),
    Frozen(Instant),
}

struct Unit {
    shape: Shape,
    starts: u32,
    program: String,
    /// Its links carry nothing.
    dark: bool,
    /// When it dies by itself, and is started again.
    dies: Option<Instant>,
    comes_back: Option<Instant>,
}

/// The runtime.
pub struct Fake {
    log: Log,
    switches: Switches,
    units: Arc<Mutex<BTreeMap<String, Unit>>>,
    cut: Mutex<BTreeMap<Link, LinkState>>,
    shaped: Mutex<BTreeMap<Link, Traffic>>,
    failures: Mutex<u32>,
    kills: Mutex<u32>,
    clocks: Mutex<BTreeMap<String, ClockCondition>>,
}

impl Fake {
    pub fn new(log: Log, switches: Switches) -> Self {
        let began = log.began;
        let unit = |name: String| {
            let dies = switches.dies.filter(|(node, _)| *node == name);
            let dies = dies.map(|(_, after)| began + after);
            let shape = Shape::Runs;
            let program = "as launched".to_string();
            let unit = Unit {
                shape,
                starts: 0,
                program,
                dark: false,
                comes_back: dies.zip(switches.comes_back).map(|(at, after)| at + after),
                dies,
            };
            (name, unit)
        };
        let units = topology().nodes.into_iter().map(|n| unit(n.name)).collect();
        Fake {
            log,
            failures: Mutex::new(switches.reverts_fail),
            kills: Mutex::default(),
            clocks: Mutex::default(),
            switches,
            units: Arc::new(Mutex::new(units)),
            cut: Mutex::default(),
            shaped: Mutex::default(),
        }
    }

    /// True if everything runs and nothing is cut.
    pub fn clean(&self) -> bool {
        let units = self.units.lock().unwrap();
        units.values().all(|u| u.shape == Shape::Runs)
            && self.cut.lock().unwrap().is_empty()
            && self.shaped.lock().unwrap().is_empty()
    }

    /// What a node's clock reads: this machine's, with what is wrong with it.
    fn clock(&self, node: &str) -> Result<String, RuntimeError> {
        let hidden = self.switches.clocks_hidden;
        if hidden.is_some_and(|from| self.log.began.elapsed() >= from) {
            return Err(RuntimeError("no answer in time".into()));
        }
        let clocks = self.clocks.lock().unwrap();
        let jump = clocks.get(node).map_or(0, |c| c.jump_ms);
        let wall = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
        let reading = ClockReading {
            monotonic_ns: 0,
            wall_ns: wall.as_nanos() as u64 + jump as u64 * 1_000_000,
        };
        Ok(serde_json::to_string(&reading).unwrap())
    }

    /// What time has done since.
    fn settle(&self, unit: &mut Unit) {
        if let Some(at) = unit.dies.take_if(|at| *at <= Instant::now()) {
            unit.shape = Shape::Dead(at);
        }
        if unit
            .comes_back
            .take_if(|at| *at <= Instant::now())
            .is_some()
        {
            unit.shape = Shape::Runs;
            unit.starts += 1;
        }
        let due = match unit.shape {
            Shape::Dead(at) => self.switches.restarts_itself.map(|d| at + d),
            Shape::Frozen(at) => self.switches.replaced.map(|d| at + d),
            Shape::Runs => None,
        };
        if due.is_some_and(|due| due <= Instant::now()) {
            unit.shape = Shape::Runs;
            unit.starts += 1;
        }
    }

    fn hurt(&self, what: &str, node: &str, shape: Shape) -> Result<(), RuntimeError> {
        self.log.push(format!("{what} {node}"));
        assert!(!self.switches.panics, "a bug while hurting {node}");
        if self.switches.unkillable.as_deref() == Some(node) {
            return Err(RuntimeError("permission denied".into()));
        }
        if what == "kill" {
            let mut kills = self.kills.lock().unwrap();
            *kills += 1;
            if self.switches.kills.is_some_and(|most| *kills > most) {
                return Err(RuntimeError("permission denied".into()));
            }
        }
        let mut units = self.units.lock().unwrap();
        let unit = units.get_mut(node).unwrap();
        if !(self.switches.survives && unit.starts > 0) {
            unit.shape = shape;
        }
        Ok(())
    }

    async fn may_revert(&self, what: String) -> Result<(), RuntimeError> {
        self.log.push(what);
        if self.switches.reverts_hang {
            std::future::pending::<()>().await;
        }
        let mut left = self.failures.lock().unwrap();
        if *left > 0 {
            *left -= 1;
            return Err(RuntimeError("the engine does not answer".into()));
        }
        Ok(())
    }
}

impl Runtime for Fake {
    fn name(&self) -> &'static str {
        "fake"
    }
    fn engine_version(&self) -> Option<String> {
        None
    }
    fn bind_addr(&self, _: &str, _: &str) -> Option<SocketAddr> {
        None
    }
    fn reach_addr(&self, _: &str, _: &str, _: &str) -> Option<SocketAddr> {
        None
    }
    fn host_addr(&self, _: &str, _: &str) -> Option<SocketAddr> {
        None
    }
    fn launch_nodes<'a>(&'a self, _: Vec<Launch>) -> Fut<'a, ()> {
        panic!("the runner launches nothing")
    }
    fn launch_instrument<'a>(&'a self, _: Launch) -> Fut<'a, Instrument> {
        panic!("the runner launches nothing")
    }
    fn kill<'a>(&'a self, node: &'a str) -> Fut<'a, ()> {
        Box::pin(async move {
            if let Some(takes) = self.switches.kill_takes {
                self.log.push(format!("kill {node} asked"));
                let (units, log, node) = (self.units.clone(), self.log.clone(), node.to_string());
                let engine = tokio::spawn(async move {
                    sleep(takes).await;
                    log.push(format!("killed {node}"));
                    let mut units = units.lock().unwrap();
                    units.get_mut(&node).unwrap().shape = Shape::Dead(Instant::now());
                });
                return engine.await.map_err(|e| RuntimeError(e.to_string()));
            }
            self.hurt("kill", node, Shape::Dead(Instant::now()))
        })
    }
    fn stop<'a>(&'a self, node: &'a str) -> Fut<'a, ()> {
        Box::pin(async move { self.hurt("stop", node, Shape::Dead(Instant::now())) })
    }
    fn silence<'a>(&'a self, node: &'a str) -> Fut<'a, ()> {
        Box::pin(async move {
            self.log.push(format!("silence {node}"));
            let mut units = self.units.lock().unwrap();
            units.get_mut(node).unwrap().dark = !self.switches.stays_lit;
            Ok(())
        })
    }
    fn power_off<'a>(&'a self, node: &'a str) -> Fut<'a, ()> {
        Box::pin(async move { self.hurt("power-off", node, Shape::Dead(Instant::now())) })
    }
    fn pause<'a>(&'a self, node: &'a str) -> Fut<'a, ()> {
        Box::pin(async move { self.hurt("pause", node, Shape::Frozen(Instant::now())) })
    }
    fn start<'a>(&'a self, node: &'a str) -> Fut<'a, ()> {
        Box::pin(async move {
            self.may_revert(format!("start {node}")).await?;
            let mut units = self.units.lock().unwrap();
            let unit = units.get_mut(node).unwrap();
            self.settle(unit);
            unit.dark = false;
            if unit.shape != Shape::Runs {
                unit.shape = Shape::Runs;
                unit.starts += 1;
            }
            Ok(())
        })
    }
    fn resume<'a>(&'a self, node: &'a str) -> Fut<'a, ()> {
        Box::pin(async move {
            self.may_revert(format!("resume {node}")).await?;
            let mut units = self.units.lock().unwrap();
            let unit = units.get_mut(node).unwrap();
            self.settle(unit);
            unit.shape = Shape::Runs;
            Ok(())
        })
    }
    fn process<'a>(&'a self, node: &'a str) -> Fut<'a, ProcessState> {
        Box::pin(async move {
            let mut units = self.units.lock().unwrap();
            let unit = units.get_mut(node).unwrap();
            self.settle(unit);
            let identity = Identity {
                pid: 1,
                since: format!("{node}#{}", unit.starts),
            };
            let hidden = self.switches.hidden.filter(|(name, _)| *name == node);
            if hidden.is_some_and(|(_, from)| self.log.began.elapsed() >= from) {
                return Err(RuntimeError("the engine says nothing of it".into()));
            }
            match unit.shape {
                // Blind only once something is wrong, so that the act itself can go on.
                Shape::Dead(_) | Shape::Frozen(_) if self.switches.blind => {
                    Err(RuntimeError("the engine does not answer".into()))
                }
                Shape::Runs => Ok(ProcessState::Running { identity }),
                Shape::Frozen(_) => Ok(ProcessState::Paused { identity }),
                Shape::Dead(_) => Ok(ProcessState::Exited(Exit::Signal(9))),
            }
        })
    }
    fn provide<'a>(&'a self, binary: Option<&'a Path>) -> Fut<'a, String> {
        Box::pin(async move {
            let Some(binary) = binary else {
                return Ok("as launched".into());
            };
            sleep(self.switches.provides_in).await;
            Ok(binary.display().to_string())
        })
    }
    fn install<'a>(&'a self, node: &'a str, program: &'a str) -> Fut<'a, ()> {
        Box::pin(async move {
            self.log.push(format!("install {node} {program}"));
            if !self.switches.keeps_its_program {
                self.units.lock().unwrap().get_mut(node).unwrap().program = program.into();
            }
            Ok(())
        })
    }
    fn executes<'a>(&'a self, node: &'a str) -> Fut<'a, String> {
        Box::pin(async move { Ok(self.units.lock().unwrap()[node].program.clone()) })
    }
    fn cut<'a>(&'a self, links: &'a [Link]) -> Fut<'a, ()> {
        Box::pin(async move {
            self.log.push(format!("cut {}", links.len()));
            let cut = links.iter().map(|l| (l.clone(), LinkState::Cut));
            self.cut.lock().unwrap().extend(cut);
            Ok(())
        })
    }
    fn reject<'a>(&'a self, links: &'a [Link]) -> Fut<'a, ()> {
        Box::pin(async move {
            self.log.push(format!("reject {}", links.len()));
            let rejected = links.iter().map(|l| (l.clone(), LinkState::Rejected));
            self.cut.lock().unwrap().extend(rejected);
            Ok(())
        })
    }
    fn open<'a>(&'a self, links: &'a [Link]) -> Fut<'a, ()> {
        Box::pin(async move {
            self.may_revert(format!("open {}", links.len())).await?;
            let mut cut = self.cut.lock().unwrap();
            for link in links {
                cut.remove(link);
            }
            Ok(())
        })
    }
    fn probe<'a>(&'a self, links: &'a [Link]) -> Fut<'a, Vec<LinkState>> {
        Box::pin(async move {
            sleep(Duration::from_millis(200)).await;
            let cut = self.cut.lock().unwrap();
            let units = self.units.lock().unwrap();
            let see = |l: &Link| {
                if self.switches.blind {
                    return LinkState::Unknown("no agent".into());
                }
                // A canary never is.
                let dark = |n: &str| units.get(n).is_some_and(|unit| unit.dark);
                let leaks = self.switches.leaks.as_ref() == Some(l);
                let broken = self.switches.broken.as_ref() == Some(l);
                let now = self.log.began.elapsed();
                let leaks = leaks || self.switches.anew.iter().any(|a| a.frees(l, now));
                match cut.get(l) {
                    _ if dark(&l.from) || dark(&l.to) || broken => LinkState::Cut,
                    Some(state) if !leaks => state.clone(),
                    _ => LinkState::Open,
                }
            };
            Ok(links.iter().map(see).collect())
        })
    }
    fn shape<'a>(&'a self, links: &'a [Link], traffic: Traffic) -> Fut<'a, ()> {
        Box::pin(async move {
            self.log.push(format!("shape {}: {traffic}", links.len()));
            let also = self.switches.spreads.iter();
            let all = links.iter().chain(also).map(|l| (l.clone(), traffic));
            self.shaped.lock().unwrap().extend(all);
            Ok(())
        })
    }
    fn unshape<'a>(&'a self, links: &'a [Link]) -> Fut<'a, ()> {
        Box::pin(async move {
            self.may_revert(format!("unshape {}", links.len())).await?;
            if !self.switches.stays_shaped {
                let mut shaped = self.shaped.lock().unwrap();
                let also = self.switches.spreads.iter();
                for link in links.iter().chain(also) {
                    shaped.remove(link);
                }
            }
            Ok(())
        })
    }
    /// Every tenth message meets what has a share of a tenth, and so on.
    fn measure<'a>(
        &'a self,
        links: &'a [Link],
        sounding: Sounding,
    ) -> Fut<'a, Vec<Result<Heard, String>>> {
        Box::pin(async move {
            sleep(sounding.takes()).await;
            let since = self.log.began.elapsed();
            if self.switches.never_measured.is_some_and(|at| since >= at) {
                std::future::pending::<()>().await;
            }
            let shaped = self.shaped.lock().unwrap();
            let see = |l: &Link| {
                if self.switches.blind {
                    return Err("no agent".to_string());
                }
                let leaks = self.switches.leaks.as_ref() == Some(l);
                let traffic = shaped.get(l).filter(|_| !leaks);
                Ok(heard(&sounding, traffic.copied().unwrap_or_default()))
            };
            Ok(links.iter().map(see).collect())
        })
    }
    fn lapses(&self) -> Vec<String> {
        let cut = !(self.cut.lock().unwrap().is_empty() && self.shaped.lock().unwrap().is_empty());
        self.switches
            .lapsed
            .iter()
            .filter(|_| cut)
            .cloned()
            .collect()
    }
    fn gaps(&self) -> Vec<Gap> {
        let began = self.log.began;
        let noticed = self.switches.anew.iter();
        noticed
            .filter(|a| began.elapsed() >= a.at + NOTICED)
            .map(|a| a.gap(began))
            .collect()
    }
    fn admin<'a>(&'a self, node: &'a str, path: &'a str, deadline: Duration) -> Fut<'a, String> {
        Box::pin(async move {
            if path == "/clock" {
                return self.clock(node);
            }
            assert_eq!(path, "/health");
            let shape = {
                let mut units = self.units.lock().unwrap();
                let unit = units.get_mut(node).unwrap();
                self.settle(unit);
                match unit.shape {
                    Shape::Runs if self.switches.never_serves && unit.starts > 0 => {
                        return Err(RuntimeError("503".into()));
                    }
                    shape => shape,
                }
            };
            match shape {
                Shape::Runs => Ok("ok".into()),
                Shape::Dead(_) => Err(RuntimeError("refused".into())),
                Shape::Frozen(_) => {
                    sleep(deadline).await;
                    Err(RuntimeError("no answer in time".into()))
                }
            }
        })
    }
    fn files<'a>(&'a self, node: &'a str, request: FilesRequest) -> Fut<'a, FilesAnswer> {
        let FilesRequest::Clock(condition) = request else {
            panic!("no test of the runner touches other files");
        };
        Box::pin(async move {
            self.log
                .push(format!("clock {node} {} ms", condition.jump_ms));
            self.clocks.lock().unwrap().insert(node.into(), condition);
            Ok(FilesAnswer::Done)
        })
    }
    fn collect_logs<'a>(&'a self, _: &'a Path) -> Fut<'a, ()> {
        panic!("the runner collects nothing")
    }
    fn down<'a>(&'a self) -> Fut<'a, ()> {
        panic!("the runner takes nothing down")
    }
}

/// What is heard of a link with such traffic.
fn heard(sounding: &Sounding, traffic: Traffic) -> Heard {
    let of = |share: f64, n: u32| (f64::from(n) * share).round() as u32;
    let arrived = sounding.messages - of(traffic.loss.ratio(), sounding.messages);
    let bytes = u64::from(arrived) * u64::from(sounding.bytes);
    let rate = traffic.rate.unwrap_or(1_000_000_000);
    let sooner = of(traffic.reorder.ratio(), arrived);
    // From the shortest to the longest delay, evenly.
    let delay = |i: u32| {
        let least = traffic.delay.saturating_sub(traffic.jitter);
        let more = (traffic.jitter * 2).mul_f64(f64::from(i) / f64::from(arrived.max(1)));
        ((least + more).as_micros() as u64).max(300)
    };
    let mut delays_us: Vec<u64> = (0..arrived).map(delay).collect();
    for d in delays_us.iter_mut().take(sooner as usize) {
        *d = 300;
    }
    Heard {
        sent: sounding.messages,
        arrived,
        again: of(traffic.duplicate.ratio(), arrived),
        damaged: of(traffic.corrupt.ratio(), arrived),
        overtaken: sooner,
        delays_us,
        bytes,
        span: traffic.delay + Duration::from_secs_f64(bytes as f64 * 8.0 / rate as f64),
    }
}

/// Groups that are told, each answer once, the last one for ever.
pub struct Told(pub Mutex<Vec<Result<Vec<Group>, String>>>);

impl Told {
    pub fn new(answers: Vec<Result<Vec<Group>, String>>) -> Self {
        Told(Mutex::new(answers))
    }
}

/// A group of these members.
pub fn group(name: &str, leader: Option<&str>, members: [&str; 3]) -> Group {
    Group {
        name: name.into(),
        leader: leader.map(String::from),
        term: None,
        members: members.map(String::from).to_vec(),
    }
}

/// The next answer; the last one stands.
fn next<T: Clone>(answers: &Mutex<Vec<T>>) -> T {
    let mut answers = answers.lock().unwrap();
    if answers.len() > 1 {
        answers.remove(0)
    } else {
        answers[0].clone()
    }
}

impl Roles for Told {
    fn groups(&self) -> BoxFuture<'_, Result<Vec<Group>, String>> {
        Box::pin(async { next(&self.0) })
    }
}

/// Verdicts on baselines; the last one stands.
pub struct Judged(pub Mutex<Vec<Proof>>);

/// One of them.
pub fn baseline(verdict: Verdict, evidence: &[&str]) -> Proof {
    Proof {
        verdict,
        evidence: evidence.iter().map(|e| e.to_string()).collect(),
    }
}

impl Health for Judged {
    fn baseline(&self, _: Duration) -> BoxFuture<'_, Proof> {
        Box::pin(async { next(&self.0) })
    }
}

/// Remembers what it was told.
#[derive(Default)]
pub struct Watcher(pub Mutex<Vec<Update>>);

impl Observer for Watcher {
    fn observe(&self, update: &Update) {
        self.0.lock().unwrap().push(update.clone());
    }
}
