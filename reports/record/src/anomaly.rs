//! The names of what can be wrong with data, each with its meaning: written by
//! checkers, explained by reports.

use std::fmt;

/// Makes an enum of words: each variant with its name and what it means.
macro_rules! words {
    ($(#[$doc:meta])* $enum:ident { $($variant:ident: $name:literal = $meaning:literal,)+ }) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub enum $enum {
            $(#[doc = $meaning] $variant,)+
        }

        impl $enum {
            /// All of them.
            pub const ALL: &[$enum] = &[$($enum::$variant,)+];

            /// The field's term.
            pub const fn name(self) -> &'static str {
                match self {
                    $($enum::$variant => $name,)+
                }
            }

            /// What it means, for readers who meet it for the first time.
            pub const fn meaning(self) -> &'static str {
                match self {
                    $($enum::$variant => $meaning,)+
                }
            }

            /// The one of that name, if there is one.
            pub fn of(name: &str) -> Option<$enum> {
                Self::ALL.iter().copied().find(|x| x.name() == name)
            }
        }

        impl fmt::Display for $enum {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(self.name())
            }
        }
    };
}

words! {
    /// What an anomaly is called. A sentence says what the name means.
    AnomalyKind {
        LostWrite: "lost write"
            = "A write that the store had acknowledged is gone: nothing that was read afterwards shows it, and no later write explains why.",
        StaleRead: "stale read"
            = "A read answered with an old value although a newer one had been acknowledged, or read by somebody, before the read began.",
        NonMonotonicRead: "non-monotonic read"
            = "A newer value was read, and after it an older one again: time seemed to run backwards.",
        LostUpdate: "lost update"
            = "A change succeeded although what it started from had been replaced, so it overwrote a change that it had not seen (P4).",
        DirtyRead: "dirty read"
            = "A read found the value of a write that had certainly failed (aborted read, G1a).",
        PhantomRead: "phantom read"
            = "A read found a value that nobody had written.",
        FutureRead: "future read"
            = "A read found a value before its write had begun.",
        FalseCasFailure: "false CAS failure"
            = "A conditional write was refused although the value that it expected was there.",
        CyclicInformationFlow: "cyclic information flow"
            = "Conditional writes each claim to follow another, in a circle: no order of them is possible (G1c).",
        NotLinearizable: "not linearizable"
            = "No order of these operations explains all of their results; nothing more specific is known.",
        ReadYourWrites: "read-your-writes violation"
            = "A client wrote a value, was told that it was written, and then found something older.",
        NonMonotonicWrite: "non-monotonic write"
            = "Of two writes of one client, the first is what is left: they took effect in another order than it had made them.",
        Duplicate: "duplicate"
            = "More is there than was ever written: something took effect twice.",
        LongFork: "long fork"
            = "Two reads each found something that the other did not: no order of the two writes explains both.",
        ReplicaDivergence: "replica divergence"
            = "Replicas of one partition applied the same log and hold different items.",
    }
}

words! {
    /// A consistency model. Its meaning completes the sentence "the store promised that …".
    Model {
        Linearizability: "linearizability"
            = "every operation takes effect at one instant between its call and its answer",
        LinearizabilityAtLeast: "linearizability (at least)"
            = "every operation takes effect at one instant between its call and its answer; whether a weaker model is violated too could not be told",
        SequentialConsistency: "sequential consistency"
            = "there is one order of all operations in which those of each client are in its own order",
        Durability: "durability"
            = "what was acknowledged stays, whatever fails afterwards",
        ReadCommitted: "read committed"
            = "only values of writes that took effect are ever read",
        MonotonicReads: "monotonic reads"
            = "a client that has read a value never reads an older one afterwards",
        MonotonicWrites: "monotonic writes"
            = "the writes of one client take effect in its order",
        ReadYourWrites: "read your writes"
            = "a client finds its own acknowledged writes",
        EventualConsistency: "eventual consistency"
            = "reads find what was written before them, and all replicas come to hold the same once writes have stopped",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_word_is_found_by_its_name_and_only_by_that() {
        for kind in AnomalyKind::ALL {
            assert_eq!(AnomalyKind::of(kind.name()), Some(*kind));
            assert!(kind.meaning().ends_with('.'), "{kind}");
        }
        for model in Model::ALL {
            assert_eq!(Model::of(model.name()), Some(*model));
            // It stands within a sentence.
            assert!(!model.meaning().ends_with('.'), "{model}");
        }
        assert_eq!(AnomalyKind::of("stale"), None);
        assert_eq!(Model::of(""), None);
    }
}
