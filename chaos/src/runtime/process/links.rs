//! The asking side of the links process: how the links should be, their lease,
//! and another such process when somebody has ended it.

use super::addresses::AddressPlan;
use super::child::Node;
use super::folder::RunDir;
use super::{LOOK, SIGNAL};
use crate::runtime::control::{CallError, Control, lock};
use crate::runtime::links::{CONFIG_VAR, LinksAnswer, LinksConfig, LinksRequest};
use crate::runtime::marks::RunMarks;
use crate::runtime::wanted::{LEASE, RENEW_EVERY, Setting, Wanted};
use crate::runtime::{Exit, Gap, GapState, ProcessState};
use nix::sys::signal::Signal;
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::time::{Instant, MissedTickBehavior, interval, sleep};

/// Deadline of a request to the links process.
const ASK: Duration = Duration::from_secs(5);
/// How often another links process is tried to be started.
const TRIES: u32 = 3;
/// Between two tries.
const AGAIN: Duration = Duration::from_millis(500);

/// The links of one run.
pub(super) struct Links {
    marks: RunMarks,
    plan: AddressPlan,
    dir: Arc<RunDir>,
    control: Mutex<Arc<Control>>,
    /// None once the run is over.
    child: Mutex<Option<Node>>,
    wanted: tokio::sync::Mutex<Wanted>,
    /// How many the present process has counted, and what was said of all.
    lapses: Mutex<(u64, Vec<String>)>,
    gaps: Mutex<Vec<Gap>>,
    /// When the links were last known to be as wanted.
    kept: Mutex<Instant>,
}

impl Links {
    /// Starts the child that hosts them.
    pub fn start(marks: &RunMarks, plan: &AddressPlan, dir: Arc<RunDir>) -> Result<Self, String> {
        let (child, control) = spawn(marks, plan, &dir, Vec::new())?;
        Ok(Links {
            marks: marks.clone(),
            plan: plan.clone(),
            dir,
            control: Mutex::new(Arc::new(control)),
            child: Mutex::new(Some(child)),
            wanted: tokio::sync::Mutex::default(),
            lapses: Mutex::default(),
            gaps: Mutex::default(),
            kept: Mutex::new(Instant::now()),
        })
    }

    /// Asks.
    pub async fn ask(&self, request: LinksRequest) -> Result<LinksAnswer, CallError> {
        self.ask_for(request, Duration::ZERO).await
    }

    /// Asks for what takes so long.
    pub async fn ask_for(
        &self,
        request: LinksRequest,
        takes: Duration,
    ) -> Result<LinksAnswer, CallError> {
        let asked = Instant::now();
        let control = lock(&self.control).clone();
        let answer = control.call(&request, ASK + takes).await?;
        if let LinksAnswer::Done { lapses } = &answer {
            *lock(&self.kept) = asked;
            let mut known = lock(&self.lapses);
            if *lapses > known.0 {
                known.0 = *lapses;
                known.1.push(format!(
                    "the links heard nothing from the runner for {LEASE:?}: all faults of links ended by themselves"
                ));
            }
        }
        Ok(answer)
    }

    /// Leases that lapsed.
    pub fn lapses(&self) -> Vec<String> {
        lock(&self.lapses).1.clone()
    }

    /// Gaps, in the order in which they began.
    pub fn gaps(&self) -> Vec<Gap> {
        lock(&self.gaps).clone()
    }

    /// Whether the node has no power.
    pub async fn is_silent(&self, node: &str) -> bool {
        self.wanted.lock().await.is_silent(node)
    }

    /// Changes how the links should be and makes it so. Without the links process nothing passes;
    /// the next one begins with what is wanted.
    pub async fn change(&self, change: impl FnOnce(&mut Wanted)) -> Result<(), String> {
        let mut wanted = self.wanted.lock().await;
        change(&mut wanted);
        match self.ask(LinksRequest::Set(self.settings(&wanted))).await {
            Ok(_) | Err(CallError::Lost(_)) => Ok(()),
            Err(e) => Err(format!("links: {e}")),
        }
    }

    fn settings(&self, wanted: &Wanted) -> Vec<(usize, usize, Setting)> {
        let settings = wanted.settings(self.plan.units.iter().map(|u| u.name.as_str()));
        let links = settings.iter().filter_map(|(link, setting)| {
            let (from, to) = (self.plan.index(&link.from)?, self.plan.index(&link.to)?);
            Some((from, to, *setting))
        });
        links.collect()
    }

    /// Keeps the lease for as long as something is wrong, and the links for as long as that can
    /// be done.
    pub async fn keep(self: Arc<Self>) {
        let mut every = interval(RENEW_EVERY);
        every.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            every.tick().await;
            let is_lost = lock(&self.control).is_lost();
            if is_lost {
                if !self.mend().await {
                    return;
                }
            } else if self.wanted.lock().await.is_empty() {
                *lock(&self.kept) = Instant::now();
            } else if let Err(e) = self.ask(LinksRequest::Renew).await {
                tracing::warn!("links: the lease was not renewed: {e}");
            }
        }
    }

    /// Starts another links process and records the gap. False if it could not be done.
    async fn mend(&self) -> bool {
        let since = *lock(&self.kept);
        let what = "the process that carries all links had ended, not by gameday: none of them \
                    carried anything, and what was wrong with them ended with it";
        let place = {
            let mut gaps = lock(&self.gaps);
            gaps.push(Gap {
                units: self.plan.units.iter().map(|u| u.name.clone()).collect(),
                since,
                state: GapState::Open,
                text: what.into(),
            });
            gaps.len() - 1
        };
        let mut tried = 1;
        let done = loop {
            match self.start_again().await {
                Ok(()) => break Ok(()),
                Err(e) if tried == TRIES => break Err(e),
                Err(_) => tried += 1,
            }
            sleep(AGAIN).await;
        };
        let (state, text) = match &done {
            Ok(()) => (
                GapState::PutBack,
                "another one was started with all of it".into(),
            ),
            Err(e) => (GapState::Lost, format!("no other could be started: {e}")),
        };
        if let Some(gap) = lock(&self.gaps).get_mut(place) {
            gap.state = state;
            gap.text = format!("{what}; {text}");
        }
        done.is_ok()
    }

    async fn start_again(&self) -> Result<(), String> {
        self.kill().await?;
        // Nobody may change what the new one begins with.
        let wanted = self.wanted.lock().await;
        let (child, control) = spawn(&self.marks, &self.plan, &self.dir, self.settings(&wanted))?;
        *lock(&self.child) = Some(child);
        *lock(&self.control) = Arc::new(control);
        lock(&self.lapses).0 = 0;
        let answered = self.ask(LinksRequest::Renew).await;
        answered.map(drop).map_err(|e| e.to_string())
    }

    /// Ends the links process, and waits until it is gone.
    pub async fn kill(&self) -> Result<(), String> {
        let look = |act: &dyn Fn(&mut Node) -> std::io::Result<bool>| {
            let mut child = lock(&self.child);
            let done = child.as_mut().map_or(Ok(true), act);
            done.map_err(|e| format!("links: {e}"))
        };
        look(&|child| child.signal(Signal::SIGKILL))?;
        let gone = async {
            while !look(&|child| {
                let state = child.state()?;
                Ok(matches!(state, ProcessState::Exited(exit) if exit != Exit::Ending))
            })? {
                sleep(LOOK).await;
            }
            *lock(&self.child) = None;
            Ok(())
        };
        let late = || Err("the links process does not die".into());
        let gone = tokio::time::timeout(SIGNAL, gone).await;
        gone.unwrap_or_else(|_| late())
    }
}

/// Starts a links process that begins with these settings.
fn spawn(
    marks: &RunMarks,
    plan: &AddressPlan,
    dir: &RunDir,
    settings: Vec<(usize, usize, Setting)>,
) -> Result<(Node, Control), String> {
    let config = LinksConfig {
        plan: plan.clone(),
        lease_ms: LEASE.as_millis() as u64,
        settings,
    };
    let config = serde_json::to_string(&config).map_err(|e| e.to_string())?;
    let mut env = marks.env("links");
    env.push((CONFIG_VAR.into(), config));
    let args = ["internal", "links"].map(String::from);
    let (node, stdin, stdout) = Node::spawn_piped(&args, &env, dir.log("links")?)
        .map_err(|e| format!("the links cannot be started: {e}"))?;
    let stdin = tokio::process::ChildStdin::from_std(stdin).map_err(|e| e.to_string())?;
    let stdout = tokio::process::ChildStdout::from_std(stdout).map_err(|e| e.to_string())?;
    Ok((node, Control::new(stdin, stdout, 1)))
}
