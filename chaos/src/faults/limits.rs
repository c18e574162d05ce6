//! The node's process may use less of the machine than it wants: processor
//! time, or memory. The kernel keeps it to that, and says so: its own counts
//! are the proof, beside the bound itself.

use super::process::{Targets, describe};
use super::resources::Resources;
use super::{Fault, Scene, merge};
use crate::runtime::limits::{Limits, Usage};
use crate::runtime::{Exit, Fut, ProcessState, RuntimeError};
use futures_util::future::{BoxFuture, join_all};
use gameday_record::Verdict;
use gameday_record::timeline::Proof;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Mutex;
use std::time::{Duration, Instant};

/// How long the periods of a processor's bound are counted to see that there is none.
const COUNT: Duration = Duration::from_millis(500);

/// What was seen of one node: before the last change, and now.
type Judge = fn(&Limits, &Usage, &Usage, Duration) -> (Verdict, String);

/// Bounds on what the targets use.
pub(super) struct Limited {
    targets: Targets,
    limits: Limits,
    in_force: Judge,
    gone: Judge,
    /// What they had used before the injection.
    before: Mutex<BTreeMap<String, (Usage, Instant)>>,
}

/// At most so much of a processor.
pub(super) fn cpu_limit(nodes: Vec<String>, params: &Resources) -> Limited {
    let limits = Limits {
        cpu_percent: Some(params.cpu_percent),
        memory: None,
    };
    Limited::new(nodes, limits, is_throttled, is_free)
}

/// At most so much memory.
pub(super) fn memory_limit(nodes: Vec<String>, params: &Resources) -> Limited {
    let limits = Limits {
        cpu_percent: None,
        memory: Some(params.memory),
    };
    Limited::new(nodes, limits, is_short, has_memory)
}

impl Limited {
    fn new(nodes: Vec<String>, limits: Limits, in_force: Judge, gone: Judge) -> Self {
        Limited {
            targets: Targets::new(nodes),
            limits,
            in_force,
            gone,
            before: Mutex::new(BTreeMap::new()),
        }
    }

    async fn set(&self, scene: &Scene, limits: Limits) -> Result<(), RuntimeError> {
        self.targets.each(|n| scene.runtime.limit(n, limits)).await
    }

    async fn look(&self, scene: &Scene, since_injection: bool, judge: Judge) -> Proof {
        let seen = join_all(self.targets.nodes.iter().map(async |node| {
            let state = scene.runtime.process(node).await?;
            if let ProcessState::Exited(exit @ Exit::OutOfMemory(_)) = &state
                && since_injection
                && self.limits.memory.is_some()
            {
                return Ok((Verdict::Pass, format!("the kernel ended it: {exit}")));
            }
            if !matches!(state, ProcessState::Running { .. }) {
                return Ok((Verdict::Fail, format!("does not run: {}", describe(&state))));
            }
            let (first, at) = if since_injection {
                let before = self.before.lock().unwrap_or_else(|e| e.into_inner());
                let found = before.get(node).copied();
                found.ok_or_else(|| RuntimeError("nothing was seen before".into()))?
            } else {
                let first = (scene.runtime.usage(node).await?, Instant::now());
                tokio::time::sleep(COUNT).await;
                first
            };
            let now = scene.runtime.usage(node).await?;
            Ok(judge(&self.limits, &first, &now, at.elapsed()))
        }))
        .await;
        let judged = self.targets.nodes.iter().zip(seen).map(|(node, seen)| {
            let (verdict, text) = seen.unwrap_or_else(|e: RuntimeError| {
                (Verdict::Unknown, format!("its bounds were not seen: {e}"))
            });
            (verdict, format!("{node}: {text}"))
        });
        merge(judged.collect())
    }
}

/// The kernel counts periods only while there is a bound. One that never made the node wait
/// changed nothing.
fn is_throttled(
    limits: &Limits,
    first: &Usage,
    now: &Usage,
    passed: Duration,
) -> (Verdict, String) {
    let periods = now.periods.saturating_sub(first.periods);
    let throttled = now.throttled.saturating_sub(first.throttled);
    let used = now.cpu_ns.saturating_sub(first.cpu_ns) as f64 / 1e9;
    let text = format!(
        "the kernel made it wait in {throttled} of {periods} periods, {:.1} s altogether; it used \
         {used:.2} s of a processor in {:.1} s, where {} % are allowed",
        now.waited_ns.saturating_sub(first.waited_ns) as f64 / 1e9,
        passed.as_secs_f64(),
        limits.cpu_percent.unwrap_or_default()
    );
    let verdict = match (periods, throttled) {
        (0, _) => Verdict::Fail,
        (_, 0) => Verdict::Unknown,
        _ => Verdict::Pass,
    };
    (verdict, text)
}

fn is_free(_: &Limits, first: &Usage, now: &Usage, _: Duration) -> (Verdict, String) {
    let periods = now.periods.saturating_sub(first.periods);
    let used = now.cpu_ns.saturating_sub(first.cpu_ns);
    if periods > 0 {
        let text = format!("the kernel still counts periods of a bound: {periods}");
        return (Verdict::Fail, text);
    }
    if used == 0 {
        let text = "it did nothing, so that no bound would have been seen";
        return (Verdict::Unknown, text.into());
    }
    let text = "it ran, and the kernel counted no period of a bound";
    (Verdict::Pass, text.into())
}

/// A bound that the node never came up against changed nothing. Memory is refused also to the
/// page cache of its files, so that a bound near what it uses is met soon.
fn is_short(limits: &Limits, first: &Usage, now: &Usage, _: Duration) -> (Verdict, String) {
    let limit = limits.memory.unwrap_or(u64::MAX);
    let refused = now.memory_refused.zip(first.memory_refused);
    let refused = refused.map(|(now, first)| now.saturating_sub(first));
    let text = format!(
        "it uses {} of {} KiB{}",
        now.memory >> 10,
        now.memory_limit >> 10,
        refused.map_or(String::new(), |n| format!(", and wanted more {n} times"))
    );
    // The kernel rounds to pages.
    if now.memory_limit > limit || now.memory_limit + (64 << 10) < limit {
        return (Verdict::Fail, text);
    }
    let met = refused.map_or(now.memory >= limit / 10 * 9, |n| n > 0);
    let verdict = if met { Verdict::Pass } else { Verdict::Unknown };
    (verdict, text)
}

fn has_memory(limits: &Limits, _: &Usage, now: &Usage, _: Duration) -> (Verdict, String) {
    let limited = now.memory_limit <= limits.memory.unwrap_or(0);
    let verdict = if limited {
        Verdict::Fail
    } else {
        Verdict::Pass
    };
    let text = format!(
        "it uses {} KiB and may use {} KiB",
        now.memory >> 10,
        now.memory_limit >> 10
    );
    (verdict, text)
}

impl Fault for Limited {
    fn undo(&self) -> String {
        let what = match self.limits.memory {
            Some(_) => "memory",
            None => "processor",
        };
        format!(
            "take the bound on the {what} from each of these nodes (docker update), and start \
             it if it does not run: {}",
            self.targets.nodes.join(", ")
        )
    }

    fn inject<'a>(&'a self, scene: &'a Scene) -> Fut<'a, ()> {
        Box::pin(async {
            self.targets.remember(scene).await?;
            for node in &self.targets.nodes {
                let seen = (scene.runtime.usage(node).await?, Instant::now());
                let mut before = self.before.lock().unwrap_or_else(|e| e.into_inner());
                before.insert(node.clone(), seen);
            }
            self.set(scene, self.limits).await
        })
    }

    fn prove_injected<'a>(
        &'a self,
        scene: &'a Scene,
        _away: &'a BTreeSet<String>,
    ) -> BoxFuture<'a, Proof> {
        Box::pin(self.look(scene, true, self.in_force))
    }

    fn revert<'a>(&'a self, scene: &'a Scene) -> Fut<'a, ()> {
        Box::pin(async {
            self.set(scene, Limits::default()).await?;
            self.targets.each(|n| scene.runtime.start(n)).await
        })
    }

    fn prove_reverted<'a>(
        &'a self,
        scene: &'a Scene,
        _away: &'a BTreeSet<String>,
    ) -> BoxFuture<'a, Proof> {
        Box::pin(self.look(scene, false, self.gone))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use Verdict::{Fail, Pass, Unknown};

    #[test]
    fn a_bound_that_is_never_met_is_no_proof() {
        let limits = Limits {
            cpu_percent: Some(10),
            memory: Some(64 << 20),
        };
        let none = Usage::default();
        let cpu = |periods, throttled| Usage {
            periods,
            throttled,
            cpu_ns: 1,
            ..none
        };
        let second = Duration::from_secs(1);
        for (now, in_force, gone) in [
            (cpu(0, 0), Fail, Pass),
            (cpu(10, 0), Unknown, Fail),
            (cpu(10, 3), Pass, Fail),
            (none, Fail, Unknown),
        ] {
            assert_eq!(is_throttled(&limits, &none, &now, second).0, in_force);
            assert_eq!(is_free(&limits, &none, &now, second).0, gone);
        }
        let memory = |memory_limit, memory, memory_refused| Usage {
            memory_limit,
            memory,
            memory_refused,
            ..none
        };
        let first = memory(1 << 40, 60 << 20, Some(2));
        for (now, in_force, gone) in [
            (memory(64 << 20, 63 << 20, Some(9)), Pass, Fail),
            (memory(64 << 20, 63 << 20, Some(2)), Unknown, Fail),
            (memory(64 << 20, 63 << 20, None), Pass, Fail),
            (memory(64 << 20, 20 << 20, None), Unknown, Fail),
            (memory(1 << 40, 63 << 20, Some(9)), Fail, Pass),
        ] {
            assert_eq!(is_short(&limits, &first, &now, second).0, in_force);
            assert_eq!(has_memory(&limits, &first, &now, second).0, gone);
        }
    }
}
