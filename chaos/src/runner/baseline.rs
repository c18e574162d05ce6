//! The baseline: the healthy cluster is measured before anything is injected.

use super::busy::Meanwhile;
use super::prove;
use super::seams::Health;
use super::shared::Shared;
use gameday_record::timeline::Proof;
use gameday_record::{Phase, Verdict};
use std::time::Duration;
use tokio::time::{Instant, sleep, timeout};

/// How long the verdict on a baseline may take.
const HEALTH: Duration = Duration::from_secs(30);
/// By how much it is longer each time that some of it was not measured yet.
const LONGER: Duration = Duration::from_secs(1);

/// Measures until the cluster was healthy for the length of the baseline, or the time for that
/// is over. Where it was not, a baseline begins anew; where some of it was not measured yet, it
/// goes on.
///
/// # Errors
/// Why it is not; at least one reason.
pub(super) async fn baseline(shared: &Shared, health: &dyn Health) -> Result<(), Vec<String>> {
    let wanted = shared.plan.baseline;
    let end = Instant::now() + wanted.within;
    loop {
        shared.phase(Phase::Baseline, wanted.lasts).await;
        let proof = one(shared, health, end).await;
        let again = Instant::now() + wanted.lasts <= end;
        match proof.verdict {
            Verdict::Pass => return Ok(()),
            Verdict::Fail if again => {
                let text = format!(
                    "the baseline was unhealthy and is measured again: {}",
                    prove::first(&proof)
                );
                shared.note(text).await;
            }
            Verdict::Fail | Verdict::Unknown => return Err(proof.evidence),
        }
    }
}

/// One baseline, until it is known how it was, or `end`.
async fn one(shared: &Shared, health: &dyn Health, end: Instant) -> Proof {
    let began = Instant::now();
    let meanwhile = Meanwhile::begin();
    let mut told = false;
    sleep(shared.plan.baseline.lasts).await;
    loop {
        let proof = timeout(HEALTH, health.baseline(began.elapsed())).await;
        let mut proof = proof.unwrap_or_else(|_| Proof {
            verdict: Verdict::Unknown,
            evidence: vec![format!("no verdict within {} s", HEALTH.as_secs())],
        });
        if proof.evidence.is_empty() {
            proof.evidence.push("no reason was given".into());
        }
        if proof.verdict != Verdict::Unknown || Instant::now() + LONGER > end {
            meanwhile.add_to(&mut proof);
            return proof;
        }
        if !told {
            let text = format!("the baseline goes on: {}", prove::first(&proof));
            shared.note(text).await;
            told = true;
        }
        sleep(LONGER).await;
    }
}
