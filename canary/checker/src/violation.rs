//! What can be wrong with a key, before it is put into words.

pub use gameday_record::AnomalyKind as Kind;

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
    /// Values that nobody wrote are no violation if writes may be missing.
    /// Then they are only counted, here.
    pub unexplained: u64,
    missing: bool,
}

impl Violations {
    /// How many are kept per key.
    pub const KEPT: usize = 20;

    /// None yet. `missing`: writes may be missing from what is checked.
    pub fn of(missing: bool) -> Self {
        Violations {
            missing,
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
        if self.missing && kind == Kind::PhantomRead {
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
