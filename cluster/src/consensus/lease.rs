//! When a leader may answer from its own state.
//!
//! # The argument
//!
//! A strong read must see every write acknowledged before it began. A leader of term T whose
//! no-op of term T is applied has applied everything acknowledged by leaders before it (leader
//! completeness), and what it acknowledged itself it applied first. So its tree is fresh enough
//! unless *another* leader has acknowledged something meanwhile.
//!
//! Another leader needs the votes of a quorum, and openraft (0.10.0-alpha.37) makes voters wait:
//! `Engine::handle_vote_req` and `handle_pre_vote_req` refuse while the local vote is committed
//! and its lease has not expired. That lease is renewed (`VoteHandler::update_vote`) whenever a
//! message of the leader is handled, at the *follower's* clock at that moment, for
//! `election_timeout_max`, which we call `lease_ms`. The leader's `last_quorum_acked` is its own
//! clock *before* it sent the message that a quorum has answered, thus earlier than every one of
//! those promises began. Every member of that quorum refuses votes until at least
//! `last_quorum_acked + lease_ms`, and every quorum of voters has one of them, or the leader
//! itself. Both ends measure with CLOCK_MONOTONIC, which runs on while a process is frozen, so
//! only the *rates* of two clocks matter: a tenth of the lease is a margin of 10 %, where real
//! clocks differ by 0.02 %. (A node whose clock is set wrong on purpose, see [`crate::clock`], can
//! break the argument beyond the margin, and only then.)
//!
//! Three things that would break it are excluded elsewhere:
//! - A restarted follower forgets its promise: for `silence_after_start` a node that has promised
//!   anything before it started neither votes nor campaigns (`node::service`, `Group::start`).
//! - A restarted leader must not take up its old term with an older tree: leader restore is off.
//! - Leadership transfer ignores leases: we never transfer, and refuse such votes.
//!
//! A process can be frozen anywhere, also between looking at the clock and reading. So the tree
//! is read *first* and the lease verified *after*, for the same term that was ready before the
//! read: if no other leader can have been elected up to the second moment, none had acknowledged
//! anything at the first. (The term matters: a node that was deposed, read, and was elected again
//! has a good lease and an old value.) If the lease cannot be verified, the read is repeated
//! behind a read index (a heartbeat round answered by a quorum).

use std::time::Duration;

/// Whether a lease still holds if a quorum confirmed it for a message that was sent `age` ago,
/// measured *after* the state was read.
pub fn held(age: Option<Duration>, read_lease: Duration) -> bool {
    age.is_some_and(|age| age < read_lease)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lease_ends_and_never_begins_by_itself() {
        let lease = Duration::from_millis(450);
        let age = |ms| Some(Duration::from_millis(ms));
        assert!(held(age(0), lease));
        assert!(held(age(449), lease));
        assert!(!held(age(450), lease));
        assert!(!held(age(100_000), lease), "after a long pause");
        assert!(!held(None, lease), "nobody has answered yet");
    }
}
