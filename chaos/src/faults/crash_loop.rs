//! SIGKILL and started again at once, over and over: a process that crashes
//! some time after each start.
//!
//! The loop keeps its own account: each crash counts once another process is
//! seen to run afterwards, and a crash that fails ends the loop. A proof wants
//! as many of them as the time allows, one more than the last proof, and that
//! whoever runs was started by the loop.

use super::process::{Sighting, Targets, describe, is_serving};
use super::{Fault, Scene};
use crate::runtime::{Fut, Identity, ProcessState, RuntimeError};
use futures_util::future::{BoxFuture, join_all};
use gameday_record::Verdict;
use gameday_record::timeline::Proof;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio::time::Instant;

/// How long one crash and start may take beside the time that the process lives, before the loop
/// counts as too slow.
const EACH: Duration = Duration::from_secs(3);

pub(super) struct CrashLoop {
    targets: Arc<Targets>,
    every: Duration,
    account: Arc<Mutex<Account>>,
    /// The loop, while it runs. It ends when its sender is told or dropped.
    crashing: Mutex<Option<(watch::Sender<bool>, JoinHandle<()>)>>,
}

/// What the loop has done so far.
#[derive(Clone, Debug, Default)]
struct Account {
    /// When the first crash was done.
    began: Option<Instant>,
    /// Crashes done, of all targets.
    crashes: u32,
    /// Of these, those that the last proof has seen.
    proven: u32,
    /// Whether one is under way.
    under_way: bool,
    /// As whom each target was started last.
    runs_as: BTreeMap<String, Identity>,
    /// Why it ended by itself.
    failed: Option<String>,
}

impl CrashLoop {
    pub(super) fn new(nodes: Vec<String>, every: Duration) -> Self {
        CrashLoop {
            targets: Arc::new(Targets::new(nodes)),
            every,
            account: Arc::default(),
            crashing: Mutex::new(None),
        }
    }
}

fn lock(account: &Mutex<Account>) -> MutexGuard<'_, Account> {
    account.lock().unwrap_or_else(|e| e.into_inner())
}

/// One crash of all targets, and the proof that each is another process afterwards.
async fn crash(
    targets: &Targets,
    account: &Mutex<Account>,
    scene: &Scene,
) -> Result<(), RuntimeError> {
    lock(account).under_way = true;
    targets.each(|n| scene.runtime.kill(n)).await?;
    targets.each(|n| scene.runtime.start(n)).await?;
    let states = join_all(targets.nodes.iter().map(|n| scene.runtime.process(n))).await;
    let mut account = lock(account);
    for (node, state) in targets.nodes.iter().zip(states) {
        match state? {
            ProcessState::Running { identity } if account.runs_as.get(node) != Some(&identity) => {
                account.runs_as.insert(node.clone(), identity);
            }
            state => {
                return Err(RuntimeError(format!(
                    "{node} was not started again: {}",
                    describe(&state)
                )));
            }
        }
    }
    account.under_way = false;
    account.crashes += 1;
    account.began.get_or_insert_with(Instant::now);
    Ok(())
}

impl Account {
    /// Whether it crashed as often as it should have by now, and went on since the last proof.
    fn goes_on(&self, every: Duration, now: Instant) -> (Verdict, String) {
        let crashes = self.crashes;
        if let Some(why) = &self.failed {
            let text = format!("the loop ended after {crashes} crashes: {why}");
            return (Verdict::Fail, text);
        }
        let passed = self.began.map_or(Duration::ZERO, |began| now - began);
        let due = 1 + (passed.as_secs_f64() / (every + EACH).as_secs_f64()) as u32;
        let text = format!(
            "{crashes} crashes in {:.1} s, of which the last proof saw {}",
            passed.as_secs_f64(),
            self.proven
        );
        if crashes < due {
            let text = format!("{text}; {due} or more were due");
            return (Verdict::Unknown, text);
        }
        match crashes > self.proven {
            true => (Verdict::Pass, text),
            false => (Verdict::Unknown, text),
        }
    }

    /// Whether a node runs as whom it was started by the loop: as it was before it was looked at,
    /// or as it is now.
    fn judge(&self, before: &Account, node: &str, seen: &Sighting) -> (Verdict, String) {
        let moved = self.under_way || before.under_way || self.crashes != before.crashes;
        match &seen.state {
            Err(e) => (
                Verdict::Unknown,
                format!("its process could not be looked at: {e}"),
            ),
            Ok(ProcessState::Running { identity })
                if [self, before]
                    .iter()
                    .any(|a| a.runs_as.get(node) == Some(identity)) =>
            {
                (
                    Verdict::Pass,
                    format!("runs as {identity}, as the loop started it"),
                )
            }
            Ok(state) if moved => (
                Verdict::Unknown,
                format!("a crash was under way: {}", describe(state)),
            ),
            Ok(state) => (
                Verdict::Fail,
                format!("is not as the loop left it: {}", describe(state)),
            ),
        }
    }
}

impl Fault for CrashLoop {
    fn undo(&self) -> String {
        format!(
            "start each of these nodes that does not run: {}",
            self.targets.nodes.join(", ")
        )
    }

    fn inject<'a>(&'a self, scene: &'a Scene) -> Fut<'a, ()> {
        Box::pin(async move {
            self.targets.remember(scene).await?;
            for node in &self.targets.nodes {
                let before = self.targets.identity(node);
                let before = before.map(|before| (node.clone(), before));
                lock(&self.account).runs_as.extend(before);
            }
            crash(&self.targets, &self.account, scene).await?;
            let (end, mut ended) = watch::channel(false);
            let (targets, scene, every) = (self.targets.clone(), scene.clone(), self.every);
            let account = self.account.clone();
            let task = tokio::spawn(async move {
                // A timeout is the time to crash; a message, or nobody left to send one, the end.
                while tokio::time::timeout(every, ended.changed()).await.is_err() {
                    if let Err(e) = crash(&targets, &account, &scene).await {
                        lock(&account).failed = Some(e.0);
                        return;
                    }
                }
            });
            *self.crashing.lock().unwrap_or_else(|e| e.into_inner()) = Some((end, task));
            Ok(())
        })
    }

    fn prove_injected<'a>(
        &'a self,
        scene: &'a Scene,
        _away: &'a BTreeSet<String>,
    ) -> BoxFuture<'a, Proof> {
        Box::pin(async move {
            let before = lock(&self.account).clone();
            let judge = |node: &str, seen: &Sighting| {
                let account = lock(&self.account);
                account.judge(&before, node, seen)
            };
            let mut proof = self.targets.look_with(scene, true, judge).await;
            let mut account = lock(&self.account);
            let (verdict, text) = account.goes_on(self.every, Instant::now());
            proof.verdict = proof.verdict.and(verdict);
            proof.evidence.push(text);
            if proof.verdict == Verdict::Pass {
                account.proven = account.crashes;
            }
            proof
        })
    }

    fn revert<'a>(&'a self, scene: &'a Scene) -> Fut<'a, ()> {
        Box::pin(async move {
            let crashing = self
                .crashing
                .lock()
                .unwrap_or_else(|e| e.into_inner())
                .take();
            if let Some((end, task)) = crashing {
                end.send_replace(true);
                // The crash under way is waited for, lest it land after the start.
                task.await
                    .map_err(|e| RuntimeError(format!("the crash loop failed: {e}")))?;
            }
            self.targets.each(|n| scene.runtime.start(n)).await
        })
    }

    fn prove_reverted<'a>(
        &'a self,
        scene: &'a Scene,
        _away: &'a BTreeSet<String>,
    ) -> BoxFuture<'a, Proof> {
        self.targets.look(scene, false, is_serving)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use Verdict::{Fail, Pass, Unknown};

    #[test]
    fn a_loop_is_as_good_as_its_crashes() {
        let now = Instant::now() + Duration::from_secs(100);
        let account = |crashes, proven, secs, failed: Option<&str>| Account {
            began: Some(now - Duration::from_secs(secs)),
            crashes,
            proven,
            failed: failed.map(String::from),
            ..Account::default()
        };
        let every = Duration::from_secs(2);
        for (account, expected) in [
            (account(1, 0, 0, None), Pass),
            // Every two seconds, or every five on a busy machine.
            (account(5, 1, 9, None), Pass),
            (account(2, 1, 9, None), Pass),
            (account(1, 0, 9, None), Unknown),
            (account(1, 1, 3, None), Unknown),
            (account(9, 1, 9, Some("no answer")), Fail),
        ] {
            assert_eq!(account.goes_on(every, now).0, expected, "{account:?}");
        }
    }

    #[test]
    fn whoever_runs_was_started_by_the_loop() {
        let account = |identity: &str, crashes| Account {
            crashes,
            runs_as: BTreeMap::from([("b1".to_string(), identity.into())]),
            ..Account::default()
        };
        let seen = |state| Sighting {
            state,
            health: Ok(()),
        };
        let runs = |identity: &str| {
            seen(Ok(ProcessState::Running {
                identity: identity.into(),
            }))
        };
        let judged =
            |before: &Account, after: &Account, seen: &Sighting| after.judge(before, "b1", seen).0;
        let (first, second) = (account("1", 1), account("2", 2));
        let dead = seen(Ok(ProcessState::Exited(crate::runtime::Exit::Signal(9))));
        assert_eq!(judged(&first, &first, &runs("1")), Pass);
        assert_eq!(judged(&first, &second, &runs("1")), Pass);
        assert_eq!(judged(&first, &second, &runs("2")), Pass);
        assert_eq!(judged(&first, &first, &runs("7")), Fail);
        assert_eq!(judged(&first, &first, &dead), Fail);
        assert_eq!(judged(&first, &second, &dead), Unknown);
        let under_way = Account {
            under_way: true,
            ..first.clone()
        };
        assert_eq!(judged(&under_way, &first, &dead), Unknown);
        let blind = seen(Err(RuntimeError("no answer".into())));
        assert_eq!(judged(&first, &first, &blind), Unknown);
    }
}
