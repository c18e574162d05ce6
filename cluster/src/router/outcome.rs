//! What an answer, or none, means for a request. Pure.

use crate::backend::BackendError;
use crate::consensus::types::{NodeId, Outcome};
use crate::rpc::CallError;
use crate::rpc::protocol::{Refusal, Response, WriteFailure};

/// What to do after one attempt at a write.
#[derive(Clone, Debug, PartialEq)]
pub enum After {
    /// It is decided.
    Done(Outcome),
    /// Certainly not proposed: another try is allowed.
    Retry {
        /// Who may lead instead.
        hint: Option<NodeId>,
        /// The node did not even get it.
        unreachable: bool,
        /// Why, for people.
        why: String,
    },
    /// It may have happened. Never tried again.
    Unknown {
        /// The node did not answer at all.
        silent: bool,
        /// Why, for people.
        why: String,
    },
}

/// Judges one attempt at a write.
pub fn of_write(answer: Result<Response, CallError>) -> After {
    let retry = |hint, unreachable, why: String| After::Retry {
        hint,
        unreachable,
        why,
    };
    match answer {
        Ok(Response::Write(Ok(Outcome::Refused(why)))) => retry(None, false, why),
        Ok(Response::Write(Ok(outcome))) => After::Done(outcome),
        Ok(Response::Write(Err(WriteFailure::Refused(refusal)))) => {
            retry(hint(&refusal), false, describe(&refusal))
        }
        Ok(Response::Write(Err(WriteFailure::Unknown(why)))) => {
            After::Unknown { silent: false, why }
        }
        // It could not even be read there.
        Ok(Response::Failed(why)) => retry(None, false, why),
        Ok(_) => After::Unknown {
            silent: false,
            why: "an answer to another question".into(),
        },
        Err(CallError::NotSent(why)) => retry(None, true, why.into()),
        Err(error @ CallError::TooLong(_)) => retry(None, false, error.to_string()),
        Err(CallError::Lost(why)) => After::Unknown {
            silent: true,
            why: why.into(),
        },
    }
}

/// Whom a refusal names.
pub fn hint(refusal: &Refusal) -> Option<NodeId> {
    match refusal {
        Refusal::NotLeader { leader } => *leader,
        _ => None,
    }
}

/// A refusal for people.
pub fn describe(refusal: &Refusal) -> String {
    match refusal {
        Refusal::NotLeader { leader: Some(n) } => format!("not the leader, node {n} may be"),
        Refusal::NotLeader { leader: None } => "no leader".into(),
        Refusal::NotMember { .. } => "no replica there".into(),
        Refusal::Unavailable(why) => why.clone(),
    }
}

/// The error of a request that certainly had no effect.
pub fn unavailable(why: impl Into<String>) -> BackendError {
    BackendError::Unavailable(why.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_was_certainly_not_proposed_is_tried_again() {
        let refused = |r| Ok(Response::Write(Err(WriteFailure::Refused(r))));
        let again = [
            refused(Refusal::NotLeader { leader: Some(2) }),
            refused(Refusal::NotMember { map: 3 }),
            refused(Refusal::Unavailable("x".into())),
            Ok(Response::Failed("x".into())),
            Err(CallError::NotSent("x")),
        ];
        for answer in again {
            let text = format!("{answer:?}");
            assert!(matches!(of_write(answer), After::Retry { .. }), "{text}");
        }
        let never = [
            Ok(Response::Write(Err(WriteFailure::Unknown("x".into())))),
            Ok(Response::Map(None)),
            Err(CallError::Lost("x")),
        ];
        for answer in never {
            let text = format!("{answer:?}");
            assert!(matches!(of_write(answer), After::Unknown { .. }), "{text}");
        }
        assert_eq!(
            of_write(Ok(Response::Write(Ok(Outcome::None)))),
            After::Done(Outcome::None)
        );
    }

    #[test]
    fn a_refusal_hands_its_hint_on() {
        let answer = Ok(Response::Write(Err(WriteFailure::Refused(
            Refusal::NotLeader { leader: Some(7) },
        ))));
        assert!(matches!(
            of_write(answer),
            After::Retry {
                hint: Some(7),
                unreachable: false,
                ..
            }
        ));
    }
}
