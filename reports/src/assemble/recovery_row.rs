//! Recovery against its limit.

use super::slo::{Seen, time_margin};
use super::timeline::proven_gone;
use crate::numbers::{millis, up_to_millis};
use crate::overall;
use crate::recovery::{Health, NotHealthy, SPAN};
use crate::report::InjectionReport;
use gameday_record::{Nanos, Verdict};

/// A proof that came sooner after its revert is not remarked on, in milliseconds.
const PROMPT_MS: u64 = 1_000;

/// The worst recovery of the cells after a proven revert, of all injections,
/// counted from the completion of the revert: how long its proof took must not
/// make the service look quicker.
/// One that cannot be said is worse than any that held.
pub fn see(limit: u64, injections: &[InjectionReport], health: &Health<'_>, end: Nanos) -> Seen {
    let mut verdict = Verdict::Pass;
    let mut worst: Option<(Verdict, u64, String)> = None;
    for i in injections {
        let (v, ms, text) = one(limit, i, health, end);
        verdict = verdict.and(v);
        let rank = ms.unwrap_or(u64::MAX);
        if worst
            .as_ref()
            .is_none_or(|w| (gravity(v), rank) > (gravity(w.0), w.1))
        {
            worst = Some((v, rank, text));
        }
    }
    let Some((_, ms, text)) = worst else {
        return Seen::unknown("no fault was injected");
    };
    Seen {
        verdict,
        margin: if ms == u64::MAX {
            String::new()
        } else {
            time_margin(ms, limit)
        },
        ..Seen::unknown(text)
    }
}

fn one(
    limit: u64,
    i: &InjectionReport,
    health: &Health<'_>,
    end: Nanos,
) -> (Verdict, Option<u64>, String) {
    let name = overall::name(i);
    let (Some(reverted), Some(gone)) = (i.reverted, proven_gone(i)) else {
        return (
            Verdict::Unknown,
            None,
            format!("unknown: the revert of {name} was not proven"),
        );
    };
    if i.impact.is_none() {
        return (
            Verdict::Unknown,
            None,
            format!("unknown: {name} was never injected"),
        );
    }
    match health.from(reverted) {
        Ok(t) => {
            let ms = up_to_millis(t.0 - reverted.0);
            // The fault was certainly gone only when that was proven.
            let least = up_to_millis(t.0.saturating_sub(gone.0));
            let v = if ms <= limit {
                Verdict::Pass
            } else {
                Verdict::Fail
            };
            let proof = match ms - least {
                0..PROMPT_MS => String::new(),
                late => format!(" (its proof came {} after the revert)", millis(late)),
            };
            (v, Some(ms), format!("{} after {name}{proof}", millis(ms)))
        }
        // It had the time that it was given, and the span to show it.
        Err(NotHealthy::Never)
            if end.since(reverted).saturating_sub(SPAN).as_millis() >= u128::from(limit) =>
        {
            (Verdict::Fail, None, format!("not recovered after {name}"))
        }
        Err(why) => (
            Verdict::Unknown,
            None,
            format!(
                "unknown: recovery from {name}: {}",
                super::injections::timing(reverted, Err(why)).why
            ),
        ),
    }
}

fn gravity(v: Verdict) -> u8 {
    match v {
        Verdict::Pass => 0,
        Verdict::Unknown => 1,
        Verdict::Fail => 2,
    }
}
