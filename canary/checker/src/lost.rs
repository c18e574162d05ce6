//! Durability of acknowledged writes, judged by the final reads.
//!
//! # The rule
//!
//! A *final read* is a strong read marked `last` that succeeded, after load
//! and faults are over. Let w be an acknowledged write (or successful
//! conditional write), and consider the final reads of its key that began
//! after w was acknowledged. In any legal order w stands before them, so the
//! value each found must be w's or one that can have come after w. **w is
//! lost if every one of them found a value that must have come before w.**
//!
//! v "must have come before" w, with u the write of v, if
//!
//! - v is the initial absence (the workload deletes nothing), or
//! - u was over, or v had been read, before w began; or before a read of w's
//!   value, or a conditional write that follows from w, began; or the same is
//!   true of a value that follows from v by a chain of successful conditional
//!   writes (v must stand directly before that chain, and can not return), or
//! - w itself follows from v by such a chain.
//!
//! These are exactly the cases in which two blocks of [`crate::zones`], one of
//! w and one of v, must each precede the other. A write u of unknown outcome
//! that was still open when w began never makes w lost: it may have taken
//! effect after w. Nor does a w of unknown outcome: nothing was promised.
//!
//! If no successful final read began after w was acknowledged, or the final
//! reads found a value that has no write, nothing can be said: unknown.

use crate::budget::{Budget, Exhausted};
use crate::explain;
use crate::findings::{self, Findings};
use crate::intake::{Intake, KeyOps};
use crate::log::{Code, Effect, Entry};
use crate::register::Operations;
use crate::say::who;
use crate::violation::Kind;
use crate::zones::{Analysis, Replaced};
use gameday_record::Model;
use gameday_record::verdict::{Anomaly, Check};

/// An acknowledged write that is gone. Positions in the key's operations.
#[derive(Debug)]
struct Lost {
    write: u32,
    read: u32,
    proof: Replaced,
}

/// Collects over all keys.
#[derive(Debug)]
pub(crate) struct LostWrites {
    findings: Findings,
    acknowledged: u64,
    final_reads: u64,
    /// Listed behind the latest one of each key.
    more: Vec<Anomaly>,
    finals: Vec<u32>,
}

impl LostWrites {
    pub fn new(findings: Findings) -> Self {
        LostWrites {
            findings,
            acknowledged: 0,
            final_reads: 0,
            more: Vec::new(),
            finals: Vec::new(),
        }
    }

    pub fn findings(&mut self) -> &mut Findings {
        &mut self.findings
    }

    /// True if there are final reads.
    pub fn any(&self) -> bool {
        self.final_reads > 0
    }

    /// Judges one key.
    ///
    /// # Errors
    /// The budget ran out, and nothing is said about the key.
    pub fn key(
        &mut self,
        key: u32,
        analysis: &Analysis<'_>,
        ops: &KeyOps<'_>,
        intake: &Intake<'_>,
        budget: &mut Budget,
    ) -> Result<(), Exhausted> {
        let acknowledged = |i: &u32| {
            let e = ops.entry(*i);
            e.effect == Effect::Ok && e.writes().is_some()
        };
        self.collect_finals(ops);
        let name = || crate::say::key(intake.log, key);
        self.final_reads += self.finals.len() as u64;
        let mut lost: Vec<Lost> = Vec::new();
        let mut writes = 0;
        let (mut unread, mut unexplained) = (false, false);
        for write in (0..ops.len() as u32).filter(acknowledged) {
            budget.spend()?;
            writes += 1;
            let finish = ops.finish(write);
            let mut worst = None;
            let mut safe = false;
            for &read in &self.finals {
                budget.spend()?;
                if ops.start(read) <= finish {
                    break;
                }
                if !analysis.explained(read) {
                    unexplained = true;
                    safe = true;
                    break;
                }
                match analysis.must_replace(write, read) {
                    Some(proof) => worst = worst.or(Some(Lost { write, read, proof })),
                    None => {
                        safe = true;
                        break;
                    }
                }
            }
            match worst {
                _ if safe => {}
                Some(found) => lost.push(found),
                None => unread = true,
            }
        }
        self.acknowledged += writes;
        if self.finals.is_empty() && writes > 0 {
            self.findings
                .unknown_key("no final read succeeded", &name());
        } else if unread {
            let reason = "no final read began after the last acknowledged write";
            self.findings.unknown_key(reason, &name());
        }
        if unexplained {
            let reason = "a final read found a value that no write explains";
            self.findings.unknown_key(reason, &name());
        }
        self.report(key, lost, ops, intake);
        Ok(())
    }

    /// The successful final reads, the latest first; of those that found the
    /// same value only the latest, which stands for all of them.
    fn collect_finals(&mut self, ops: &KeyOps<'_>) {
        self.finals.clear();
        let value = |i: u32| ops.log.first(ops.entry(i));
        let is_final = |e: &Entry| e.last() && e.code == Code::Read && e.effect == Effect::Ok;
        let all = 0..ops.len() as u32;
        self.finals.extend(all.filter(|i| is_final(ops.entry(*i))));
        let start = |i: u32| std::cmp::Reverse(ops.start(i));
        self.finals.sort_unstable_by_key(|i| (value(*i), start(*i)));
        self.finals.dedup_by_key(|i| value(*i));
        self.finals.sort_unstable_by_key(|i| start(*i));
    }

    /// Lists the latest lost write of the key first; then, if there is room in
    /// the end, the others.
    fn report(&mut self, key: u32, mut lost: Vec<Lost>, ops: &KeyOps<'_>, intake: &Intake<'_>) {
        let n = lost.len();
        lost.sort_unstable_by_key(|l| std::cmp::Reverse(ops.start(l.write)));
        for (rank, l) in lost.iter().enumerate() {
            let describe = || {
                let at = |i: u32| ops.at[i as usize];
                let mut summary = format!(
                    "acknowledged, then gone: {}; after it, {}",
                    who(intake.log, at(l.write)),
                    who(intake.log, at(l.read)),
                );
                match l.proof.older {
                    Some(u) => {
                        let older = who(intake.log, at(u));
                        summary.push_str(&format!(", which is older: {older}"));
                    }
                    None => summary.push_str(", the state before any write"),
                }
                if rank == 0 && n > 1 {
                    summary.push_str(&format!(
                        " ({n} acknowledged writes of this key are newer than what is left)"
                    ));
                }
                let mut shown = vec![at(l.write), at(l.read)];
                let rest = [l.proof.older, l.proof.evidence, l.proof.later];
                for op in rest.into_iter().flatten().map(at) {
                    if !shown.contains(&op) && shown.len() < 4 {
                        shown.push(op);
                    }
                }
                explain::anomaly(
                    Kind::LostWrite,
                    Model::Durability,
                    summary,
                    &shown,
                    intake,
                    key,
                )
            };
            if rank == 0 {
                self.findings.list(describe);
            } else {
                self.findings.count(1);
                if self.more.len() < findings::LISTED {
                    self.more.push(describe());
                }
            }
        }
    }

    /// Lets go of the memory that served all keys.
    pub fn done(&mut self) {
        self.finals = Vec::new();
    }

    /// Takes over what was collected about later keys.
    pub fn merge(&mut self, other: LostWrites) {
        self.findings.merge(other.findings);
        self.acknowledged += other.acknowledged;
        self.final_reads += other.final_reads;
        let room = findings::LISTED.saturating_sub(self.more.len());
        self.more.extend(other.more.into_iter().take(room));
    }

    /// The check.
    pub fn finish(mut self) -> Check {
        if self.final_reads == 0 {
            self.findings.unknown("there are no final reads");
        } else if self.acknowledged == 0 {
            self.findings
                .unknown("no write was acknowledged, so none could be lost");
        }
        let examined = format!(
            "{} acknowledged writes against {} distinct results of final reads.",
            self.acknowledged, self.final_reads
        );
        self.findings.fill(self.more);
        self.findings.finish(&examined, Vec::new())
    }
}
