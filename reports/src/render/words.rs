//! The words of the field, each in one sentence, for readers who meet them
//! for the first time.

/// What an anomaly of this name means; `None` for a name that is not known here.
pub fn anomaly(name: &str) -> Option<&'static str> {
    Some(match name {
        "lost write" => {
            "A write that the store had acknowledged is gone: nothing that was read afterwards shows it, and no later write explains why."
        }
        "lost update" => {
            "Two conditional writes both succeeded on the same version, so one of them overwrote a change that it had not seen (P4)."
        }
        "stale read" => {
            "A read answered with an old value although a newer one had been acknowledged, or read by somebody, before the read began."
        }
        "non-monotonic read" => {
            "A newer value was read, and after it an older one again: time seemed to run backwards."
        }
        "dirty read" => {
            "A read found the value of a write that had certainly failed (aborted read, G1a)."
        }
        "phantom read" => "A read found a value that nobody had written.",
        "future read" => "A read found a value before its write had begun.",
        "false CAS failure" => {
            "A conditional write was refused although the value that it expected was there."
        }
        "cyclic information flow" => {
            "Conditional writes each claim to follow another, in a circle: no order of them is possible (G1c)."
        }
        "not linearizable" => "No order of these operations explains all of their results.",
        "stale own read" | "read your writes" => {
            "A client wrote a value, was told that it was written, and then did not find it in its own next read."
        }
        "monotonic reads" => "One client read a newer value and after it an older one.",
        "monotonic writes" => {
            "Two writes of one client took effect in another order than it had made them."
        }
        "replica divergence" => {
            "Replicas of one partition hold different items although nothing was left to copy."
        }
        "resurrected" => "A value that had been deleted or replaced came back.",
        "duplicate" => "One element is there more than once.",
        "wrong sum" => {
            "A counter's value is none that the acknowledged and possible additions can make."
        }
        _ => return None,
    })
}

/// What a consistency model promises; `None` for one that is not known here.
pub fn model(name: &str) -> Option<&'static str> {
    Some(match name {
        "linearizability" => {
            "every operation takes effect at one instant between its call and its answer"
        }
        "sequential consistency" => {
            "there is one order of all operations in which those of each client are in its own order"
        }
        "durability" => "what was acknowledged stays, whatever fails afterwards",
        "read committed" => "only values of writes that took effect are ever read",
        "read uncommitted" => "only values that somebody wrote are ever read",
        "monotonic reads" => "a client that has read a value never reads an older one afterwards",
        "monotonic writes" => "the writes of one client take effect in its order",
        "read your writes" => "a client finds its own acknowledged writes",
        "causal consistency" => {
            "what a client has seen comes before what it does next, for everybody"
        }
        "eventual consistency" => "once writes have stopped, all replicas come to hold the same",
        _ => return None,
    })
}
