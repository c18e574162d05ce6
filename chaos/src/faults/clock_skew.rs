//! The nodes' clocks are wrong: the wall clock jumped, or the monotonic clock
//! goes at another rate. Proven by comparing what a node reads with what this
//! host reads, before and after.

use super::process::Targets;
use super::resources::Resources;
use super::{Fault, Scene, merge};
use crate::runtime::files::FilesRequest;
use crate::runtime::{Fut, RuntimeError};
use futures_util::future::{BoxFuture, join_all};
use gameday_record::conditions::{ClockCondition, ClockReading};
use gameday_record::timeline::Proof;
use gameday_record::{Node, Topology, Verdict};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Mutex, MutexGuard};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

/// How long a node may take to read its clock.
const READ: Duration = Duration::from_secs(2);
/// Two readings together are usually off by no more than half of this.
const READINGS_OFF: Duration = Duration::from_millis(10);
/// A rate is as asked if it is off by no more than this share of what was asked, and the error.
const TOLERANCE: f64 = 0.1;

pub(super) struct ClockSkew {
    targets: Targets,
    condition: ClockCondition,
    /// What the clocks read before the last change.
    first: Mutex<BTreeMap<String, Compared>>,
}

/// A node's clock beside the host's, read in the middle of asking.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Compared {
    /// Seconds by which the node's wall clock is ahead.
    ahead: f64,
    /// Seconds on the node's monotonic clock.
    node: f64,
    /// Seconds on the host's, from the injection on.
    host: f64,
    /// The host's readings may be off by so many seconds.
    error: f64,
}

impl ClockSkew {
    pub(super) fn new(nodes: Vec<String>, params: &Resources) -> Self {
        ClockSkew {
            targets: Targets::new(nodes),
            condition: params.clock,
            first: Mutex::new(BTreeMap::new()),
        }
    }

    fn first(&self) -> MutexGuard<'_, BTreeMap<String, Compared>> {
        self.first.lock().unwrap_or_else(|e| e.into_inner())
    }

    async fn give(&self, scene: &Scene, condition: ClockCondition) -> Result<(), RuntimeError> {
        let give = |node| -> Fut<'_, ()> {
            Box::pin(async move {
                let request = FilesRequest::Clock(condition);
                scene.runtime.files(node, request).await.map(drop)
            })
        };
        self.targets.each(give).await
    }

    /// Reads the clocks, to compare later readings with.
    async fn begin(&self, scene: &Scene) -> Result<(), RuntimeError> {
        for node in &self.targets.nodes {
            let seen = compare(scene, node).await?;
            self.first().insert(node.clone(), seen);
        }
        Ok(())
    }

    async fn look(
        &self,
        scene: &Scene,
        judge: fn(&ClockCondition, &Compared, &Compared) -> (Verdict, String),
    ) -> Proof {
        let seen = join_all(self.targets.nodes.iter().map(|n| compare(scene, n))).await;
        let first = self.first().clone();
        let judged = self.targets.nodes.iter().zip(seen).map(|(node, seen)| {
            let (verdict, text) = match (first.get(node), seen) {
                (Some(first), Ok(now)) => judge(&self.condition, first, &now),
                (_, Err(e)) => (Verdict::Unknown, format!("its clock was not read: {e}")),
                (None, _) => (Verdict::Unknown, "its clock was not read before".into()),
            };
            (verdict, format!("{node}: {text}"))
        });
        merge(judged.collect())
    }
}

/// Reads a node's clock, and the host's before and after.
async fn compare(scene: &Scene, node: &str) -> Result<Compared, RuntimeError> {
    let (wall, begun) = (SystemTime::now(), Instant::now());
    let text = scene.runtime.admin(node, "/clock", READ).await?;
    let took = begun.elapsed().as_secs_f64();
    let reading: ClockReading =
        serde_json::from_str(&text).map_err(|e| RuntimeError(format!("{node}: {e}")))?;
    let wall = wall.duration_since(UNIX_EPOCH).unwrap_or_default();
    Ok(Compared {
        ahead: reading.wall_ns as f64 / 1e9 - (wall.as_secs_f64() + took / 2.0),
        node: reading.monotonic_ns as f64 / 1e9,
        host: begun.duration_since(*START).as_secs_f64() + took / 2.0,
        error: took / 2.0,
    })
}

/// The host's readings count from here.
static START: std::sync::LazyLock<Instant> = std::sync::LazyLock::new(Instant::now);

/// Judges a change that should be `wanted`, give or take.
fn near(measured: f64, wanted: f64, error: f64, slack: f64) -> Verdict {
    if (measured - wanted).abs() <= error + slack {
        Verdict::Pass
    } else {
        Verdict::Fail
    }
}

fn is_skewed(asked: &ClockCondition, first: &Compared, now: &Compared) -> (Verdict, String) {
    skewed_by(asked.jump_ms as f64 / 1e3, asked, asked.drift(), first, now)
}

/// The clock as it was before the revert is the measure.
fn is_right(asked: &ClockCondition, first: &Compared, now: &Compared) -> (Verdict, String) {
    skewed_by(-asked.jump_ms as f64 / 1e3, asked, 0.0, first, now)
}

/// Judges whether the wall clock has moved by `jump` and the rate is wrong by `drift`.
fn skewed_by(
    jump: f64,
    asked: &ClockCondition,
    drift: f64,
    first: &Compared,
    now: &Compared,
) -> (Verdict, String) {
    let mut seen = Vec::new();
    if asked.jump_ms != 0 {
        let moved = now.ahead - first.ahead;
        let error = first.error + now.error;
        // The host's own clock may be set meanwhile, by far less than the jump.
        let slack = TOLERANCE * jump.abs();
        seen.push((
            near(moved, jump, error, slack),
            format!("its wall clock moved by {moved:.3} s"),
        ));
    }
    if asked.drift_ppm != 0 {
        let passed = now.host - first.host;
        if now.node < first.node || passed <= 0.0 {
            let text = "its process was started again: its clock cannot be compared";
            return (Verdict::Unknown, text.into());
        }
        let measured = (now.node - first.node) / passed - 1.0;
        let error = (first.error + now.error) / passed;
        let text = format!(
            "over {passed:.1} s its clock went wrong by {:.2} % (± {:.2})",
            measured * 100.0,
            error * 100.0
        );
        // What was asked must be told apart from nothing.
        let verdict = if error * 2.0 > asked.drift().abs() {
            Verdict::Unknown
        } else {
            near(measured, drift, error, TOLERANCE * asked.drift().abs())
        };
        seen.push((verdict, text));
    }
    let proof = merge(seen);
    (proof.verdict, proof.evidence.join("; "))
}

impl Fault for ClockSkew {
    fn undo(&self) -> String {
        format!(
            "remove the file {} from the data folder of each of these nodes: {}",
            gameday_record::conditions::CLOCK,
            self.targets.nodes.join(", ")
        )
    }

    fn looking(&self, _: &Topology, _: &[Node]) -> Result<Duration, String> {
        // A drift has to grow beyond what the readings may be off by.
        let drift = self.condition.drift().abs();
        let grows = (drift > 0.0).then(|| READINGS_OFF.div_f64(drift));
        Ok(grows.unwrap_or_default())
    }

    fn inject<'a>(&'a self, scene: &'a Scene) -> Fut<'a, ()> {
        Box::pin(async {
            self.begin(scene).await?;
            self.give(scene, self.condition).await
        })
    }

    fn prove_injected<'a>(
        &'a self,
        scene: &'a Scene,
        _away: &'a BTreeSet<String>,
    ) -> BoxFuture<'a, Proof> {
        Box::pin(self.look(scene, is_skewed))
    }

    fn revert<'a>(&'a self, scene: &'a Scene) -> Fut<'a, ()> {
        Box::pin(async {
            // A clock that cannot be read now must be set right all the same; what it reads later
            // is then compared with nothing, which the proof tells.
            self.first().clear();
            let _ = self.begin(scene).await;
            self.give(scene, ClockCondition::default()).await
        })
    }

    fn prove_reverted<'a>(
        &'a self,
        scene: &'a Scene,
        _away: &'a BTreeSet<String>,
    ) -> BoxFuture<'a, Proof> {
        Box::pin(self.look(scene, is_right))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use Verdict::{Fail, Pass, Unknown};

    fn at(ahead: f64, node: f64, host: f64, error: f64) -> Compared {
        Compared {
            ahead,
            node,
            host,
            error,
        }
    }

    #[test]
    fn a_jump_is_seen_on_the_wall_clock_alone() {
        let asked = ClockCondition {
            jump_ms: 3_600_000,
            drift_ppm: 0,
        };
        let first = at(0.0, 10.0, 10.0, 0.01);
        assert_eq!(
            is_skewed(&asked, &first, &at(3600.0, 11.0, 11.0, 0.01)).0,
            Pass
        );
        assert_eq!(
            is_skewed(&asked, &first, &at(0.0, 11.0, 11.0, 0.01)).0,
            Fail
        );
        let jumped = at(3600.0, 20.0, 20.0, 0.01);
        assert_eq!(
            is_right(&asked, &jumped, &at(0.01, 21.0, 21.0, 0.01)).0,
            Pass
        );
        assert_eq!(
            is_right(&asked, &jumped, &at(3600.0, 21.0, 21.0, 0.01)).0,
            Fail
        );
    }

    #[test]
    fn a_drift_is_seen_once_it_can_be_told_from_nothing() {
        let asked = ClockCondition {
            jump_ms: 0,
            drift_ppm: 50_000,
        };
        let first = at(0.0, 10.0, 10.0, 0.02);
        let seen = |node, host| is_skewed(&asked, &first, &at(0.0, node, host, 0.02)).0;
        assert_eq!(seen(10.525, 10.5), Unknown, "too soon");
        assert_eq!(seen(12.1, 12.0), Pass);
        assert_eq!(seen(12.0, 12.0), Fail);
        assert_eq!(seen(9.0, 12.0), Unknown, "another process");
        let gone = |node, host| is_right(&asked, &first, &at(0.0, node, host, 0.02)).0;
        assert_eq!(gone(12.0, 12.0), Pass);
        assert_eq!(gone(12.1, 12.0), Fail);
    }
}
