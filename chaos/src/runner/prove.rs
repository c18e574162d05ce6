//! Asking for a proof until it is had or time is up.

use super::busy::Meanwhile;
use gameday_record::Verdict;
use gameday_record::timeline::Proof;
use std::time::Duration;
use tokio::time::{Instant, sleep, timeout_at};

/// Between two looks.
const LOOK_AGAIN: Duration = Duration::from_millis(250);
/// Pieces of evidence in a sentence, at most.
const TOLD: usize = 4;

/// Looks until a verdict is `settled` or `limit` has passed; the last proof
/// counts, and none at all is unknown. One that is no pass tells of a busy machine.
pub(super) async fn until<F: Future<Output = Proof>>(
    limit: Duration,
    settled: impl Fn(Verdict) -> bool,
    look: impl Fn() -> F,
) -> Proof {
    let meanwhile = Meanwhile::begin();
    let mut proof = looked(limit, settled, look).await;
    meanwhile.add_to(&mut proof);
    proof
}

async fn looked<F: Future<Output = Proof>>(
    limit: Duration,
    settled: impl Fn(Verdict) -> bool,
    look: impl Fn() -> F,
) -> Proof {
    let end = Instant::now() + limit;
    let mut last = Proof {
        verdict: Verdict::Unknown,
        evidence: vec![format!("nothing was seen within {} ms", limit.as_millis())],
    };
    loop {
        match timeout_at(end, look()).await {
            Ok(proof) if settled(proof.verdict) => return proof,
            Ok(proof) => last = proof,
            Err(_) => return last,
        }
        if Instant::now() + LOOK_AGAIN >= end {
            return last;
        }
        sleep(LOOK_AGAIN).await;
    }
}

/// The first piece of evidence, and how many more there are.
pub(super) fn first(proof: &Proof) -> String {
    match proof.evidence.as_slice() {
        [] => String::new(),
        [one] => one.clone(),
        [one, more @ ..] => format!("{one} (and {} more)", more.len()),
    }
}

/// The evidence in one sentence.
pub(super) fn describe(proof: &Proof) -> String {
    let more = proof.evidence.len().saturating_sub(TOLD);
    let mut text = proof.evidence[..proof.evidence.len() - more].join("; ");
    if more > 0 {
        text.push_str(&format!("; and {more} more"));
    }
    text
}
