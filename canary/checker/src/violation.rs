//! What can be wrong with a key, before it is put into words.

/// The name of an anomaly. The words are the field's, see `Display`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Kind {
    /// A read found a value although a newer one had been acknowledged or read before it began.
    StaleRead,
    /// Values were read in an order that goes back and forth: v1, v2, v1.
    NonMonotonicRead,
    /// A conditional write succeeded although its expected value had been replaced: two from
    /// one version, or one after a newer write was acknowledged (P4).
    LostUpdate,
    /// The value of a write that certainly failed was seen (aborted read, G1a).
    DirtyRead,
    /// A value was seen that nobody wrote.
    PhantomRead,
    /// A value was seen before its write had begun.
    FutureRead,
    /// A conditional write was refused although the expected value was there.
    FalseCasFailure,
    /// Conditional writes each claim to follow another in a circle.
    CyclicInformationFlow,
    /// No order of the operations explains their results; nothing more specific is known.
    NotLinearizable,
    /// The final read shows a state that an acknowledged write had replaced.
    LostWrite,
    /// A read found something older than what its own process had written.
    ReadYourWrites,
    /// Of two writes of one process, the first is what is left.
    NonMonotonicWrite,
    /// More is there than was ever written: something took effect twice.
    Duplicate,
    /// Two reads each found something that the other did not.
    LongFork,
}

impl Kind {
    /// The field's term.
    pub fn name(self) -> &'static str {
        match self {
            Kind::StaleRead => "stale read",
            Kind::NonMonotonicRead => "non-monotonic read",
            Kind::LostUpdate => "lost update",
            Kind::DirtyRead => "dirty read",
            Kind::PhantomRead => "phantom read",
            Kind::FutureRead => "future read",
            Kind::FalseCasFailure => "false CAS failure",
            Kind::CyclicInformationFlow => "cyclic information flow",
            Kind::NotLinearizable => "not linearizable",
            Kind::LostWrite => "lost write",
            Kind::ReadYourWrites => "read-your-writes violation",
            Kind::NonMonotonicWrite => "non-monotonic write",
            Kind::Duplicate => "duplicate",
            Kind::LongFork => "long fork",
        }
    }
}

impl std::fmt::Display for Kind {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.name())
    }
}

/// One thing that is wrong, with the operations that show it. Operations are
/// positions in the slice that was checked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Violation {
    /// What.
    pub kind: Kind,
    /// The operation whose result is impossible.
    pub culprit: u32,
    /// The operation that it contradicts, if there is one.
    pub against: Option<u32>,
    /// More of the proof, at most two: usually who wrote the values in question.
    pub context: Vec<u32>,
}

impl Violation {
    /// All its operations, without repetition: one to four.
    pub fn operations(&self) -> Vec<u32> {
        let mut all = vec![self.culprit];
        for op in self.against.iter().chain(&self.context) {
            if !all.contains(op) {
                all.push(*op);
            }
        }
        all.truncate(4);
        all
    }
}

/// Violations found, all counted, the first ones kept.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Violations {
    /// At most [`Violations::KEPT`].
    pub kept: Vec<Violation>,
    /// All of them.
    pub total: u64,
    /// Values that nobody wrote are no violation if the recording was cut off:
    /// their writes may be what is missing. Then they are only counted, here.
    pub unexplained: u64,
    cut_off: bool,
}

impl Violations {
    /// How many are kept per key.
    pub const KEPT: usize = 20;

    /// None yet. `cut_off`: operations may be missing from what is checked.
    pub fn of(cut_off: bool) -> Self {
        Violations {
            cut_off,
            ..Violations::default()
        }
    }

    /// Takes one more; `context` may hold gaps, for writes that are not
    /// operations (the initial value).
    pub(crate) fn push(
        &mut self,
        kind: Kind,
        culprit: u32,
        against: Option<u32>,
        context: [Option<u32>; 2],
    ) {
        if self.cut_off && kind == Kind::PhantomRead {
            self.unexplained += 1;
            return;
        }
        self.total += 1;
        if self.kept.len() < Self::KEPT {
            let violation = Violation {
                kind,
                culprit,
                against,
                context: context.into_iter().flatten().collect(),
            };
            self.kept.push(violation);
        }
    }
}
