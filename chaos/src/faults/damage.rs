//! A stored file is damaged while its node is down: the node comes back with
//! data that is not what it wrote. It must notice, and repair itself from the
//! other replicas.
//!
//! This cannot be undone: reverting starts the node, and the store does the
//! rest. So it is done only with `allow_data_loss = true`, and to no more than
//! a minority of the replicas.

use super::process::{Sighting, Targets, is_back, is_dead};
use super::resources::Resources;
use super::{Fault, Scene, merge};
use crate::runtime::damage::{Damage, DamageSeen, Damaged, How};
use crate::runtime::files::{FilesAnswer, FilesRequest};
use crate::runtime::{Fut, Identity, RuntimeError};
use futures_util::future::{BoxFuture, join_all};
use gameday_record::Verdict;
use gameday_record::timeline::Proof;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Mutex;

pub(super) struct Damages {
    targets: Targets,
    damage: Damage,
    /// What was done, by node.
    done: Mutex<BTreeMap<String, Damaged>>,
}

/// A bit of a stored byte is flipped.
pub(super) fn bit_flip(nodes: Vec<String>, params: &Resources) -> Damages {
    Damages::new(nodes, How::FlipBit, params)
}

/// A stored file is cut off.
pub(super) fn truncate(nodes: Vec<String>, params: &Resources) -> Damages {
    Damages::new(nodes, How::Truncate, params)
}

/// Another place on every node.
fn seed_of(node: &str, seed: u64) -> u64 {
    // FNV-1a.
    node.bytes()
        .fold(seed ^ 0xcbf2_9ce4_8422_2325, |hash, byte| {
            (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
        })
}

impl Damages {
    fn new(nodes: Vec<String>, how: How, params: &Resources) -> Self {
        Damages {
            targets: Targets::new(nodes),
            damage: Damage {
                how,
                file: params.file,
                seed: params.seed,
            },
            done: Mutex::new(BTreeMap::new()),
        }
    }

    fn done(&self, node: &str) -> Option<Damaged> {
        let done = self.done.lock().unwrap_or_else(|e| e.into_inner());
        done.get(node).cloned()
    }

    async fn hit(&self, scene: &Scene, node: &str) -> Result<(), RuntimeError> {
        let damage = Damage {
            seed: seed_of(node, self.damage.seed),
            ..self.damage
        };
        match scene
            .runtime
            .files(node, FilesRequest::Damage(damage))
            .await?
        {
            FilesAnswer::Damaged(done) => {
                let mut all = self.done.lock().unwrap_or_else(|e| e.into_inner());
                all.insert(node.to_string(), done);
                Ok(())
            }
            other => Err(RuntimeError(format!("unexpected answer {other:?}"))),
        }
    }

    /// What the damaged files are like now, in the order of the targets.
    async fn files(&self, scene: &Scene) -> Vec<Result<(Damaged, DamageSeen), String>> {
        join_all(self.targets.nodes.iter().map(async |node| {
            let done = self.done(node).ok_or("nothing was damaged")?;
            let look = FilesRequest::Look(done.clone());
            match scene.runtime.files(node, look).await {
                Ok(FilesAnswer::Seen(seen)) => Ok((done, seen)),
                Ok(other) => Err(format!("unexpected answer {other:?}")),
                Err(e) => Err(e.0),
            }
        }))
        .await
    }

    async fn look(
        &self,
        scene: &Scene,
        dead: bool,
        process: fn(Option<&Identity>, &Sighting) -> (Verdict, String),
        file: fn(&Damaged, &DamageSeen) -> (Verdict, String),
    ) -> Proof {
        let (mut proof, files) =
            tokio::join!(self.targets.look(scene, dead, process), self.files(scene));
        let judged = self.targets.nodes.iter().zip(files).map(|(node, seen)| {
            let (verdict, text) = match seen {
                Ok((done, seen)) => file(&done, &seen),
                Err(why) => (Verdict::Unknown, format!("its files were not seen: {why}")),
            };
            (verdict, format!("{node}: {text}"))
        });
        let files = merge(judged.collect());
        proof.verdict = proof.verdict.and(files.verdict);
        proof.evidence.extend(files.evidence);
        proof
    }
}

fn describe(done: &Damaged) -> String {
    match done.how {
        How::FlipBit => format!(
            "exactly bit {} of byte {} is flipped",
            done.bit, done.offset
        ),
        How::Truncate => format!("it ends at byte {}", done.offset),
    }
}

/// Judges whether the damage is there, and nothing else.
fn is_damaged(done: &Damaged, seen: &DamageSeen) -> (Verdict, String) {
    let file = &done.file;
    match seen {
        DamageSeen::AsLeft => (
            Verdict::Pass,
            format!(
                "{file} read back and compared with its copy: {}",
                describe(done)
            ),
        ),
        DamageSeen::Whole => (Verdict::Fail, format!("{file} is as it was before")),
        DamageSeen::Changed => (
            Verdict::Fail,
            format!("{file} was written to by somebody else"),
        ),
        DamageSeen::Gone => (
            Verdict::Fail,
            format!("{file} was removed by somebody else"),
        ),
    }
}

/// Tells what became of the file. Whether the node is well again is seen by its health: a store
/// may as well have left the file as it is, if nothing in it is used any more.
fn became(done: &Damaged, seen: &DamageSeen) -> (Verdict, String) {
    let became = match seen {
        DamageSeen::AsLeft => "is still as the damage left it: what was hit is not in use",
        DamageSeen::Whole => "is as it was before the damage",
        DamageSeen::Changed => "was written anew",
        DamageSeen::Gone => "is not there any more",
    };
    (
        Verdict::Pass,
        format!("{}, where {}, {became}", done.file, describe(done)),
    )
}

impl Fault for Damages {
    fn undo(&self) -> String {
        format!(
            "it cannot be undone; start each of these nodes and see that it repairs itself (a \
             copy of the file is beside it, named .damage-…copy): {}",
            self.targets.nodes.join(", ")
        )
    }

    fn inject<'a>(&'a self, scene: &'a Scene) -> Fut<'a, ()> {
        Box::pin(async {
            self.targets.remember(scene).await?;
            self.targets.each(|n| scene.runtime.kill(n)).await?;
            self.targets.each(|n| Box::pin(self.hit(scene, n))).await
        })
    }

    fn prove_injected<'a>(
        &'a self,
        scene: &'a Scene,
        _away: &'a BTreeSet<String>,
    ) -> BoxFuture<'a, Proof> {
        Box::pin(self.look(scene, true, is_dead, is_damaged))
    }

    fn revert<'a>(&'a self, scene: &'a Scene) -> Fut<'a, ()> {
        Box::pin(self.targets.each(|n| scene.runtime.start(n)))
    }

    fn prove_reverted<'a>(
        &'a self,
        scene: &'a Scene,
        _away: &'a BTreeSet<String>,
    ) -> BoxFuture<'a, Proof> {
        Box::pin(self.look(scene, false, is_back, became))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_damage_itself_is_proof_of_it() {
        let done = Damaged {
            file: "log".into(),
            copy: ".copy".into(),
            how: How::FlipBit,
            offset: 7,
            bit: 2,
        };
        let judged = |seen| is_damaged(&done, &seen).0;
        assert_eq!(judged(DamageSeen::AsLeft), Verdict::Pass);
        for other in [DamageSeen::Whole, DamageSeen::Changed, DamageSeen::Gone] {
            assert_eq!(judged(other), Verdict::Fail);
        }
        let (verdict, text) = became(&done, &DamageSeen::Changed);
        assert_eq!(verdict, Verdict::Pass);
        assert!(text.contains("byte 7") && text.contains("anew"), "{text}");
        assert_ne!(seed_of("storage-a1", 5), seed_of("storage-b1", 5));
        assert_ne!(seed_of("storage-a1", 5), seed_of("storage-a1", 6));
    }
}
