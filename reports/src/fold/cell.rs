//! Cells: which operations are counted together.

use gameday_record::{Kind, Operation, Scope, Selection};
use std::collections::BTreeSet;

/// One cell: what one canary asked one endpoint of one table, over connections
/// of one sort.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct CellRef<'a> {
    /// AZ of the canary.
    pub az: &'a str,
    /// AZ of the endpoint.
    pub endpoint: &'a str,
    /// What was asked.
    pub kind: Kind,
    /// Table; empty where it has no name.
    pub table: &'a str,
    /// True for connections opened for one call.
    pub fresh: bool,
}

impl<'a> CellRef<'a> {
    /// The cell that an operation belongs to.
    pub fn of(op: &'a Operation) -> Self {
        CellRef {
            az: &op.az,
            endpoint: &op.endpoint,
            kind: Kind::of(&op.call),
            table: &op.table,
            fresh: op.fresh,
        }
    }

    /// Whether a selection lets it through. `touched` are the AZs that faults
    /// touch; they matter to [`Scope::Untouched`] only.
    pub fn is_in(&self, s: &Selection, touched: &BTreeSet<String>) -> bool {
        let same = |want: &Option<String>, is: &str| want.as_ref().is_none_or(|w| w == is);
        s.kind.is_none_or(|k| k == self.kind)
            && same(&s.table, self.table)
            && same(&s.az, self.az)
            && same(&s.endpoint, self.endpoint)
            && (s.scope == Scope::All || !self.touched(touched))
    }

    /// True if one of its two AZs is among these.
    pub fn touched(&self, azs: &BTreeSet<String>) -> bool {
        azs.contains(self.az) || azs.contains(self.endpoint)
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::{ok, op};
    use super::*;

    #[test]
    fn a_selection_filters_by_every_field() {
        let o = op("a", "b", 0, 1, ok());
        let cell = CellRef::of(&o);
        let none = BTreeSet::new();
        let b = BTreeSet::from(["b".to_string()]);
        let s = |f: &dyn Fn(&mut Selection)| {
            let mut s = Selection::default();
            f(&mut s);
            s
        };
        for (selection, touched, want) in [
            (s(&|_| ()), &b, true),
            (s(&|s| s.kind = Some(Kind::Write)), &none, true),
            (s(&|s| s.kind = Some(Kind::StrongRead)), &none, false),
            (s(&|s| s.table = Some("t".into())), &none, false),
            (s(&|s| s.az = Some("a".into())), &none, true),
            (s(&|s| s.az = Some("b".into())), &none, false),
            (s(&|s| s.endpoint = Some("b".into())), &none, true),
            (s(&|s| s.endpoint = Some("a".into())), &none, false),
            (s(&|s| s.scope = Scope::Untouched), &none, true),
            (s(&|s| s.scope = Scope::Untouched), &b, false),
        ] {
            assert_eq!(cell.is_in(&selection, touched), want, "{selection:?}");
        }
    }
}
