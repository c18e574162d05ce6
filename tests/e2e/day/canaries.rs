//! What canaries got: of which endpoints, when, after how long.

use super::times::Times;
use gameday_record::{ErrorClass, Nanos, Operation};
use std::time::Duration;

/// Some pairs of a canary's AZ and an endpoint's.
#[derive(Clone, Copy, Debug)]
pub enum Pairs {
    /// Those of which exactly one is in an AZ that is hurt.
    Across,
    /// All of them.
    All,
    /// These: `"ab"` is canary a and endpoint b.
    These(&'static [&'static str]),
}

impl Pairs {
    fn has(self, op: &Operation, hurt: &[String]) -> bool {
        match self {
            Pairs::Across => hurt.contains(&op.az) != hurt.contains(&op.endpoint),
            Pairs::All => true,
            Pairs::These(all) => all.contains(&format!("{}{}", op.az, op.endpoint).as_str()),
        }
    }
}

/// Calls of some pairs around one step.
pub struct Calls<'a> {
    /// Begun after it was proven to be in force, and ended before its revert.
    during: Vec<&'a Operation>,
    /// Begun when it was proven gone.
    after: Vec<&'a Operation>,
}

impl<'a> Calls<'a> {
    pub fn of(pairs: Pairs, times: &Times, all: &'a [Operation]) -> Calls<'a> {
        let hurt = &times.injection.azs;
        let ours = || all.iter().filter(|op| pairs.has(op, hurt) && !op.last);
        let ended = |op: &Operation| op.returned.unwrap_or(Nanos::FOREVER);
        Calls {
            during: ours()
                .filter(|op| times.proven <= op.invoked && ended(op) <= times.reverting)
                .collect(),
            after: ours().filter(|op| op.invoked >= times.gone).collect(),
        }
    }

    /// Only those that carry an item.
    pub fn with_items(mut self) -> Self {
        let carries = |op: &&Operation| op.call.is_write();
        self.during.retain(carries);
        self.after.retain(carries);
        self
    }

    /// Only those that carry none.
    pub fn without_items(mut self) -> Self {
        self.during.retain(|op| !op.call.is_write());
        self.after.retain(|op| !op.call.is_write());
        self
    }

    /// None was answered, and afterwards through every pair one was.
    pub fn fail(&self) {
        assert!(!self.during.is_empty(), "nobody called meanwhile");
        let answered = self.during.iter().find(|op| op.outcome.answered());
        assert!(answered.is_none(), "an answer: {answered:?}");
        self.recover();
    }

    /// Afterwards through every pair a call was answered.
    fn recover(&self) {
        for op in &self.during {
            let same = |o: &&&Operation| o.az == op.az && o.endpoint == op.endpoint;
            let mut again = self.after.iter().filter(same);
            assert!(
                again.any(|o| o.outcome.answered()),
                "no answer for canary {} through {} any more",
                op.az,
                op.endpoint
            );
        }
    }

    /// Through every pair some were answered.
    pub fn succeed(&self) {
        for op in &self.after {
            let same = |o: &&&Operation| o.az == op.az && o.endpoint == op.endpoint;
            let mut meanwhile = self.during.iter().filter(same);
            assert!(
                meanwhile.any(|o| o.outcome.answered()),
                "no answer for canary {} through {}",
                op.az,
                op.endpoint
            );
        }
    }

    /// Whether some were told that nobody is there.
    pub fn are_told(&self) -> bool {
        let told = [ErrorClass::Refused, ErrorClass::Reset];
        let class = |op: &&Operation| op.outcome.failure().map(|f| f.class);
        let mut all = self.during.iter().filter_map(class);
        all.any(|class| told.contains(&class))
    }

    /// Some were answered, none of them earlier than after this, and afterwards some were.
    pub fn take_at_least(&self, least: Duration) {
        let fastest = |of: &[&Operation]| {
            let answered = of.iter().filter(|op| op.outcome.answered());
            answered
                .filter_map(|op| Some(op.returned?.since(op.invoked)))
                .min()
        };
        let during = fastest(&self.during).expect("an answer meanwhile");
        assert!(during >= least, "an answer after {during:?}");
        let after = fastest(&self.after).expect("an answer afterwards");
        assert!(after < least, "none faster than {after:?} afterwards");
    }
}
