//! Whose error a refusal is, when the service says that the one who asks is at fault.
//!
//! A canary signs all of its calls with the same keys. Where they are expired or
//! wrong, no endpoint answers any more, so a call through *another* endpoint that
//! was begun after the refusals began, and was answered, shows that the keys are
//! good: then a call that is refused although it was begun after that answer is the
//! service's failure. Without such an answer it is the canary's own fault.

use gameday_record::{ErrorClass, Nanos, Outcome};
use std::time::Duration;

/// Clocks of a service's machines tell the end of keys so far apart, at most.
const APART: Duration = Duration::from_secs(5);

/// What is known of each endpoint.
#[derive(Debug)]
pub(crate) struct Blame {
    endpoints: Vec<Known>,
}

#[derive(Clone, Copy, Debug, Default)]
struct Known {
    /// When the first of the refusals came, if the last call was refused.
    refused: Option<Nanos>,
    /// When the last call that was answered began, and when its answer came.
    answered: Option<(Nanos, Nanos)>,
}

impl Blame {
    /// Of so many endpoints.
    pub(crate) fn new(endpoints: usize) -> Self {
        Blame {
            endpoints: vec![Known::default(); endpoints],
        }
    }

    /// Takes what came of a call through `endpoint` that began at `invoked` and
    /// ended at `returned`; makes a refusal that is the service's fault one.
    pub(crate) fn settle(
        &mut self,
        endpoint: usize,
        (invoked, returned): (Nanos, Nanos),
        outcome: &mut Outcome,
    ) {
        let known = &mut self.endpoints[endpoint];
        if outcome.answered() {
            known.refused = None;
            known.answered = Some((invoked, returned));
            return;
        }
        let Outcome::Failed { failure, .. } = outcome else {
            return;
        };
        if failure.class != ErrorClass::Misconfigured {
            return;
        }
        let since = *known.refused.get_or_insert(returned) + APART;
        let mut others = self.endpoints.iter().enumerate();
        let shown = others.any(|(other, known)| {
            let answer = known.answered.filter(|_| other != endpoint);
            answer.is_some_and(|(began, came)| began > since && came < invoked)
        });
        if shown {
            failure.class = ErrorClass::Rejected;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::classify::failed;

    /// Plays calls of 10 ms, each an endpoint, when it begins in ms, and whether it is
    /// refused; returns the class of the last one's failure.
    fn last(calls: &[(usize, u64, bool)]) -> Option<ErrorClass> {
        let mut blame = Blame::new(2);
        let mut class = None;
        for (endpoint, ms, refused) in calls {
            let mut outcome = match refused {
                true => failed(ErrorClass::Misconfigured, "400 ExpiredTokenException"),
                false => Outcome::Ok { value: None },
            };
            let at = |ms: u64| Nanos(ms * 1_000_000);
            blame.settle(*endpoint, (at(*ms), at(ms + 10)), &mut outcome);
            class = outcome.failure().map(|f| f.class);
        }
        class
    }

    const OWN: Option<ErrorClass> = Some(ErrorClass::Misconfigured);
    const THEIRS: Option<ErrorClass> = Some(ErrorClass::Rejected);

    #[test]
    fn keys_that_are_expired_are_refused_everywhere() {
        // The other endpoint's last answer came before, or was begun before.
        assert_eq!(last(&[(1, 0, false), (0, 100, true)]), OWN);
        assert_eq!(
            last(&[
                (1, 0, false),
                (0, 100, true),
                (1, 105, false),
                (0, 9_000, true)
            ]),
            OWN
        );
        assert_eq!(
            last(&[(0, 100, true), (1, 150, true), (0, 60_000, true)]),
            OWN
        );
        assert_eq!(last(&[(0, 100, true)]), OWN, "nobody else was asked");
    }

    #[test]
    fn an_endpoint_that_refuses_what_another_answers_is_at_fault() {
        assert_eq!(
            last(&[(0, 100, true), (1, 6_000, false), (0, 6_020, true)]),
            THEIRS
        );
        // Its own answers show nothing of the kind.
        assert_eq!(
            last(&[(0, 100, true), (0, 6_000, false), (0, 6_020, true)]),
            OWN
        );
    }

    #[test]
    fn a_call_that_was_signed_before_the_keys_were_renewed_is_not_the_services() {
        let refused = [(0, 100, true), (1, 200, true)];
        let renewed = [(1, 60_000, false), (0, 60_005, true)];
        assert_eq!(last(&[refused, renewed].concat()), OWN);
    }
}
