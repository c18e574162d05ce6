//! The asking side of the links process: how the links should be, their lease,
//! and another such process when somebody has ended it.

use super::addresses::AddressPlan;
use super::child::{LOOK, Node, SIGNAL};
use super::folder::RunDir;
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

/// How the links should be.
#[derive(Default)]
struct Desired {
    wanted: Wanted,
    /// Whether the links process may have been told something else: it was asked and has not
    /// answered, or whoever asked it stopped waiting.
    is_in_doubt: bool,
}

/// The links of one run.
pub(super) struct Links {
    marks: RunMarks,
    plan: AddressPlan,
    dir: Arc<RunDir>,
    control: Mutex<Arc<Control>>,
    /// None once the run is over.
    child: Mutex<Option<Node>>,
    desired: tokio::sync::Mutex<Desired>,
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
            desired: tokio::sync::Mutex::default(),
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

    /// Changes how the links should be and makes it so. Without the links process nothing passes;
    /// the next one begins with what is wanted.
    ///
    /// # Errors
    /// It was not confirmed: it may be so or not, now or later. It is told again until it is.
    pub async fn change(&self, change: impl FnOnce(&mut Wanted)) -> Result<(), String> {
        let mut desired = self.desired.lock().await;
        change(&mut desired.wanted);
        let told = self.tell(&mut desired).await;
        told.map_err(|e| format!("links: {e}"))
    }

    async fn tell(&self, desired: &mut Desired) -> Result<(), CallError> {
        desired.is_in_doubt = true;
        let settings = self.settings(&desired.wanted);
        match self.ask(LinksRequest::Set(settings)).await {
            Ok(_) | Err(CallError::Lost(_)) => {
                desired.is_in_doubt = false;
                Ok(())
            }
            Err(e) => Err(e),
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
            } else if let Err(e) = self.renew().await {
                tracing::warn!("links: they were not kept as they should be: {e}");
            }
        }
    }

    /// Renews the lease, if the links are known to be as they should; else tells them.
    async fn renew(&self) -> Result<(), CallError> {
        let mut desired = self.desired.lock().await;
        if desired.is_in_doubt {
            return self.tell(&mut desired).await;
        }
        if desired.wanted.is_empty() {
            *lock(&self.kept) = Instant::now();
            return Ok(());
        }
        drop(desired);
        self.ask(LinksRequest::Renew).await.map(drop)
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
        let mut desired = self.desired.lock().await;
        let settings = self.settings(&desired.wanted);
        let (child, control) = spawn(&self.marks, &self.plan, &self.dir, settings)?;
        desired.is_in_doubt = false;
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::runtime::control::{self, Reply};
    use crate::runtime::marks::Kind;
    use crate::runtime::wanted::Gate;
    use crate::runtime::{Link, UnitSpec};
    use tokio::sync::watch;

    /// Of two units, by a process that says nothing while it is held; what it was asked.
    fn links(dir: &Arc<RunDir>, marks: &RunMarks) -> (Links, watch::Sender<bool>, Asked) {
        let unit = |name: &str| UnitSpec {
            name: name.into(),
            az: "a".into(),
            role: String::new(),
            node: true,
            ports: vec![("peer".into(), 7000)],
        };
        let asked = Asked::default();
        let (held, is_held) = watch::channel(false);
        let (ours, theirs) = tokio::io::duplex(4096);
        let (stdout, answers) = tokio::io::duplex(4096);
        let remember = asked.clone();
        tokio::spawn(control::serve(theirs, answers, move |request| {
            lock(&remember).push(match request {
                LinksRequest::Renew => None,
                LinksRequest::Set(links) => Some(links.len()),
                other => panic!("{other:?}"),
            });
            let mut held = is_held.clone();
            Reply::Later(Box::pin(async move {
                // The test may be over.
                let _ = held.wait_for(|held| !held).await;
                Ok(LinksAnswer::Done { lapses: 0 })
            }))
        }));
        let links = Links {
            marks: marks.clone(),
            plan: AddressPlan::new(16, &[unit("a1"), unit("a2")]).unwrap(),
            dir: dir.clone(),
            control: Mutex::new(Arc::new(Control::new(ours, stdout, 1))),
            child: Mutex::default(),
            desired: tokio::sync::Mutex::default(),
            lapses: Mutex::default(),
            gaps: Mutex::default(),
            kept: Mutex::new(Instant::now()),
        };
        (links, held, asked)
    }

    /// Links that were set, or none for a renewal.
    type Asked = Arc<Mutex<Vec<Option<usize>>>>;

    #[tokio::test(start_paused = true)]
    async fn what_was_not_confirmed_is_told_again_and_its_lease_is_not_renewed() {
        let run = format!("links-test-{}", std::process::id());
        let marks = RunMarks::new(&run, Kind::Run, "/nowhere").unwrap();
        let dir = Arc::new(RunDir::create(&marks).unwrap());
        let (links, held, asked) = links(&dir, &marks);
        let asked = || std::mem::take(&mut *lock(&asked));
        let cut = [Link {
            from: "a1".into(),
            to: "a2".into(),
        }];
        links.change(|w| w.cut(&cut, Gate::Cut)).await.unwrap();
        links.renew().await.unwrap();
        assert_eq!(asked(), [Some(1), None]);
        held.send_replace(true);
        links.change(|w| w.open(&cut)).await.unwrap_err();
        links.renew().await.unwrap_err();
        assert_eq!(asked(), [Some(0), Some(0)]);
        // Nobody waited for this one.
        let given_up = tokio::time::timeout(
            Duration::from_secs(1),
            links.change(|w| w.cut(&cut, Gate::Cut)),
        );
        given_up.await.unwrap_err();
        held.send_replace(false);
        links.change(|w| w.open(&cut)).await.unwrap();
        links.renew().await.unwrap();
        assert_eq!(asked(), [Some(1), Some(0)], "nothing is wrong: no lease");
        dir.remove().unwrap();
    }
}
