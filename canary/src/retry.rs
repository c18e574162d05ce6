//! Which requests are tried again, and when: the standard retry mode of the AWS
//! SDKs, as in `botocore/retries/standard.py` and `quota.py` (mode version 2.0)
//! and in the AWS SDKs and Tools Reference Guide, "Retry behavior".
//!
//! - Retry `i` (from 0) waits `random(0, 1) * min(2^i, 20)` seconds.
//! - A bucket of 500 tokens pays for them: 10 for a timeout, 5 for anything else
//!   that is retried. Without tokens nothing is tried again.
//! - Success pays back what its last retry took, or 1 token if it needed none.
//!
//! A pure state machine: the caller brings outcomes and randomness, and waits.

use gameday_record::{ErrorClass, Outcome};
use std::time::Duration;

/// Tokens of a full bucket.
const CAPACITY: u32 = 500;
/// Price of a retry.
const COST: u32 = 5;
/// Price of a retry after a timeout.
const TIMEOUT_COST: u32 = 10;
/// What a success without retry pays in.
const REFILL: u32 = 1;
/// Longest wait before a retry, in seconds.
const MAX_BACKOFF: f64 = 20.0;

/// The retries of one client: all requests to one endpoint share its tokens.
#[derive(Clone, Debug)]
pub(crate) struct Retries {
    attempts: u32,
    tokens: u32,
}

/// What one request has used so far.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Used {
    /// Retries begun.
    pub(crate) retries: u32,
    /// Tokens that the last of them took.
    held: u32,
}

impl Retries {
    /// A request has so many attempts, at least 1.
    pub(crate) fn new(attempts: u32) -> Self {
        Retries {
            attempts,
            tokens: CAPACITY,
        }
    }

    /// An attempt ended: the wait before the next one, if there is to be one.
    /// `random` is uniform in 0 to 1.
    pub(crate) fn after(
        &mut self,
        used: &mut Used,
        outcome: &Outcome,
        random: f64,
    ) -> Option<Duration> {
        if matches!(outcome, Outcome::Ok { .. }) {
            let back = if used.retries == 0 { REFILL } else { used.held };
            self.tokens = (self.tokens + back).min(CAPACITY);
            return None;
        }
        let cost = cost(outcome.failure()?.class)?;
        if used.retries + 1 >= self.attempts || cost > self.tokens {
            return None;
        }
        self.tokens -= cost;
        let most = 2f64.powi(used.retries.min(30) as i32).min(MAX_BACKOFF);
        used.retries += 1;
        used.held = cost;
        Some(Duration::from_secs_f64(random * most))
    }
}

/// What a retry after such a failure costs; `None` if it is not tried again:
/// conditions and requests that were wrong would fail again, an answer that
/// makes no sense is nothing to retry on, and what this side could not send
/// says nothing about the service.
fn cost(class: ErrorClass) -> Option<u32> {
    match class {
        ErrorClass::Timeout | ErrorClass::ConnectTimeout => Some(TIMEOUT_COST),
        ErrorClass::Refused | ErrorClass::Reset | ErrorClass::Server | ErrorClass::Throttled => {
            Some(COST)
        }
        ErrorClass::Condition
        | ErrorClass::Rejected
        | ErrorClass::Misconfigured
        | ErrorClass::Protocol
        | ErrorClass::Unsent
        | ErrorClass::Abandoned => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::classify::failed;

    const OK: Outcome = Outcome::Ok { value: None };

    fn is(class: ErrorClass) -> Outcome {
        failed(class, "")
    }

    #[test]
    fn waits_double_up_to_twenty_seconds_and_end_with_the_attempts() {
        let mut r = Retries::new(8);
        let mut used = Used::default();
        let waits: Vec<_> = (0..8)
            .map(|_| r.after(&mut used, &is(ErrorClass::Server), 1.0))
            .collect();
        let s = |s| Some(Duration::from_secs(s));
        assert_eq!(waits, [s(1), s(2), s(4), s(8), s(16), s(20), s(20), None]);
        assert_eq!(used.retries, 7);
        let half = r.after(&mut Used::default(), &is(ErrorClass::Server), 0.25);
        assert_eq!(half, Some(Duration::from_millis(250)), "full jitter");
    }

    #[test]
    fn what_is_tried_again_and_what_it_costs() {
        use ErrorClass as C;
        for (class, expected) in [
            (C::Timeout, Some(10)),
            (C::ConnectTimeout, Some(10)),
            (C::Refused, Some(5)),
            (C::Reset, Some(5)),
            (C::Server, Some(5)),
            (C::Throttled, Some(5)),
            (C::Condition, None),
            (C::Rejected, None),
            (C::Protocol, None),
            (C::Unsent, None),
            (C::Abandoned, None),
        ] {
            let mut r = Retries::new(2);
            let again = r.after(&mut Used::default(), &is(class), 0.5);
            assert_eq!(again.map(|_| CAPACITY - r.tokens), expected, "{class:?}");
        }
    }

    #[test]
    fn an_outage_empties_the_bucket_and_successes_fill_it() {
        let mut r = Retries::new(2);
        let mut begun = 0;
        while r
            .after(&mut Used::default(), &is(ErrorClass::Timeout), 0.5)
            .is_some()
        {
            begun += 1;
        }
        assert_eq!((begun, r.tokens), (50, 0));
        for _ in 0..5 {
            let again = r.after(&mut Used::default(), &is(ErrorClass::Refused), 0.5);
            assert_eq!(again, None);
            assert_eq!(r.after(&mut Used::default(), &OK, 0.5), None);
        }
        assert_eq!(r.tokens, 5);
        // The retry that succeeds pays back what it took, not more.
        let mut used = Used::default();
        assert!(r.after(&mut used, &is(ErrorClass::Refused), 0.5).is_some());
        assert_eq!(r.tokens, 0);
        assert_eq!(r.after(&mut used, &OK, 0.5), None);
        assert_eq!(r.tokens, 5);
        for _ in 0..1000 {
            r.after(&mut Used::default(), &OK, 0.5);
        }
        assert_eq!(r.tokens, CAPACITY);
    }

    #[test]
    fn one_attempt_means_no_retry() {
        let mut r = Retries::new(1);
        let again = r.after(&mut Used::default(), &is(ErrorClass::Server), 0.5);
        assert_eq!((again, r.tokens), (None, CAPACITY));
    }
}
