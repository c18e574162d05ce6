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
use std::sync::{Mutex, MutexGuard};
use std::time::{Duration, Instant};

/// How long the kernel's counts are watched in one look: several periods of a processor's bound.
const COUNT: Duration = Duration::from_millis(500);

/// What was seen of one node.
#[derive(Clone, Copy, Debug)]
struct Readings {
    /// Before the injection.
    before: Usage,
    /// When the look began.
    first: Usage,
    /// [`COUNT`] later.
    now: Usage,
    /// From the first to the last of these.
    passed: Duration,
}

type Judge = fn(&Limits, &Readings) -> (Verdict, String);

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

    async fn look(&self, scene: &Scene, in_force: bool, judge: Judge) -> Proof {
        let seen = join_all(self.targets.nodes.iter().map(async |node| {
            let state = scene.runtime.process(node).await?;
            if let ProcessState::Exited(exit @ Exit::OutOfMemory(_)) = &state
                && in_force
                && self.limits.memory.is_some()
            {
                return Ok((Verdict::Pass, format!("the kernel ended it: {exit}")));
            }
            let ProcessState::Running { identity } = &state else {
                return Ok((Verdict::Fail, format!("does not run: {}", describe(&state))));
            };
            if in_force && self.targets.identity(node).as_ref() != Some(identity) {
                let text = format!("was started again by somebody else, as {identity}");
                return Ok((Verdict::Fail, text));
            }
            let found = self.before().get(node).copied();
            let (before, begun) =
                found.ok_or_else(|| RuntimeError("nothing was seen before".into()))?;
            let first = scene.runtime.usage(node).await?;
            tokio::time::sleep(COUNT).await;
            let now = scene.runtime.usage(node).await?;
            let readings = Readings {
                before,
                first,
                now,
                passed: begun.elapsed(),
            };
            Ok(judge(&self.limits, &readings))
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

    fn before(&self) -> MutexGuard<'_, BTreeMap<String, (Usage, Instant)>> {
        self.before.lock().unwrap_or_else(|e| e.into_inner())
    }
}

fn percent(bound: Option<u32>) -> String {
    bound.map_or("no bound".into(), |percent| {
        format!("a bound of {percent} %")
    })
}

/// In force is what the engine has, and the kernel looks after just now: it counts periods only
/// while there is a bound. One that never made the node wait changed nothing.
fn is_throttled(limits: &Limits, r: &Readings) -> (Verdict, String) {
    let throttled = r.now.throttled.saturating_sub(r.before.throttled);
    let lately = r.now.periods.saturating_sub(r.first.periods);
    let text = format!(
        "there is {}; the kernel made it wait in {throttled} of {} periods, {:.1} s altogether, and \
         counted {lately} of them in the last {:.1} s; it used {:.2} s of a processor in {:.1} s",
        percent(r.now.cpu_percent),
        r.now.periods.saturating_sub(r.before.periods),
        r.now.waited_ns.saturating_sub(r.before.waited_ns) as f64 / 1e9,
        COUNT.as_secs_f64(),
        r.now.cpu_ns.saturating_sub(r.before.cpu_ns) as f64 / 1e9,
        r.passed.as_secs_f64(),
    );
    let verdict = if r.now.cpu_percent != limits.cpu_percent {
        Verdict::Fail
    } else if lately == 0 || throttled == 0 {
        Verdict::Unknown
    } else {
        Verdict::Pass
    };
    (verdict, text)
}

fn is_free(_: &Limits, r: &Readings) -> (Verdict, String) {
    let periods = r.now.periods.saturating_sub(r.first.periods);
    let used = r.now.cpu_ns.saturating_sub(r.first.cpu_ns);
    if r.now.cpu_percent.is_some() || periods > 0 {
        let text = format!(
            "there still is {}, and the kernel counts periods of one: {periods}",
            percent(r.now.cpu_percent)
        );
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
fn is_short(limits: &Limits, r: &Readings) -> (Verdict, String) {
    let limit = limits.memory.unwrap_or(u64::MAX);
    let now = &r.now;
    let refused = now.memory_refused.zip(r.before.memory_refused);
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

fn has_memory(limits: &Limits, r: &Readings) -> (Verdict, String) {
    let now = &r.now;
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
                self.before().insert(node.clone(), seen);
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
        let readings = |first, now| Readings {
            before: none,
            first,
            now,
            passed: Duration::from_secs(9),
        };
        let cpu = |cpu_percent, periods, throttled, cpu_ns| Usage {
            cpu_percent,
            periods,
            throttled,
            cpu_ns,
            ..none
        };
        let asked = Some(10);
        for (first, now, in_force, gone) in [
            (cpu(asked, 10, 3, 1), cpu(asked, 15, 3, 2), Pass, Fail),
            (cpu(asked, 10, 0, 1), cpu(asked, 15, 0, 2), Unknown, Fail),
            // Taken away since, however much it had to wait before.
            (cpu(None, 30, 4, 1), cpu(None, 30, 4, 2), Fail, Pass),
            (cpu(Some(50), 10, 3, 1), cpu(Some(50), 15, 3, 2), Fail, Fail),
            // Behind the engine's back.
            (cpu(asked, 30, 4, 1), cpu(asked, 30, 4, 2), Unknown, Fail),
            (cpu(None, 30, 4, 1), cpu(None, 35, 4, 2), Fail, Fail),
            (cpu(None, 30, 4, 1), cpu(None, 30, 4, 1), Fail, Unknown),
        ] {
            let seen = readings(first, now);
            assert_eq!(is_throttled(&limits, &seen).0, in_force, "{now:?}");
            assert_eq!(is_free(&limits, &seen).0, gone, "{now:?}");
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
            let seen = Readings {
                before: first,
                ..readings(now, now)
            };
            assert_eq!(is_short(&limits, &seen).0, in_force);
            assert_eq!(has_memory(&limits, &seen).0, gone);
        }
    }
}
