//! The measured operations in little memory: what a report is computed from.
//!
//! A first attempt takes 24 bytes, filed under its AZ, endpoint and kind; what
//! is the same for many (names, tables, messages of errors) is kept once. So a
//! night of many millions fits where a few hundred thousand whole operations do.

use crate::fold::{CellRef, Kind, Patience, Tally};
use crate::recovery::{Cell, Sample};
use gameday_record::{Nanos, Operation};
use std::collections::BTreeMap;
use std::time::Duration;

/// See the module's text.
#[derive(Debug, Default)]
pub struct Load {
    cells: Vec<Cell>,
    /// By AZ and endpoint: where the cell of each kind is.
    places: BTreeMap<String, BTreeMap<String, [Option<u32>; 3]>>,
    /// Table and whether a connection was opened for the call.
    variants: Vec<(String, bool)>,
    unsent: Vec<Unsent>,
    first: Option<Nanos>,
    last: Option<Nanos>,
}

#[derive(Clone, Copy, Debug)]
struct Unsent {
    cell: u32,
    variant: u16,
    due: Nanos,
}

/// One of the operations.
#[derive(Clone, Copy, Debug)]
pub struct Op<'a> {
    /// What was asked of whom.
    pub cell: CellRef<'a>,
    /// When it was due.
    pub due: Nanos,
    /// When its outcome was known; the due time if it was not sent.
    pub known: Nanos,
    /// How late it was sent.
    pub lag: Duration,
    /// How it counts.
    pub tally: Tally,
}

impl Op<'_> {
    /// As a sample of its cell; `None` if it was not sent.
    pub fn sample(&self) -> Option<Sample> {
        (self.tally != Tally::Unsent).then(|| Sample::new(self.due, self.known, self.tally))
    }
}

impl Load {
    /// Files one first attempt. Final reads and retries are not load.
    pub fn push(&mut self, patience: Patience, op: &Operation) {
        let tally = patience.tally(op);
        let cell = self.place(&op.az, &op.endpoint, Kind::of(&op.call));
        let variant = self.variant(&op.table, op.fresh);
        self.first = Some(self.first.map_or(op.due, |t| t.min(op.due)));
        self.last = Some(self.last.map_or(op.due, |t| t.max(op.due)));
        if tally == Tally::Unsent {
            let due = op.due;
            self.unsent.push(Unsent { cell, variant, due });
            return;
        }
        let lag = op.invoked.since(op.due).as_micros();
        self.cells[cell as usize].push(Sample {
            lag_us: u32::try_from(lag).unwrap_or(u32::MAX),
            variant,
            ..Sample::new(op.due, patience.known(op), tally)
        });
    }

    fn place(&mut self, az: &str, endpoint: &str, kind: Kind) -> u32 {
        let known = self.places.get(az).and_then(|of| of.get(endpoint));
        if let Some(cell) = known.and_then(|kinds| kinds[kind as usize]) {
            return cell;
        }
        let cell = self.cells.len() as u32;
        let named = Cell::new(az.into(), endpoint.into(), kind, Vec::new());
        self.cells.push(named);
        let of = self.places.entry(az.into()).or_default();
        of.entry(endpoint.into()).or_default()[kind as usize] = Some(cell);
        cell
    }

    fn variant(&mut self, table: &str, fresh: bool) -> u16 {
        let same = |v: &(String, bool)| v.1 == fresh && v.0 == table;
        let at = self.variants.iter().position(same).unwrap_or_else(|| {
            self.variants.push((table.into(), fresh));
            self.variants.len() - 1
        });
        // A run has eight tables at most; beyond any number they would share one name.
        u16::try_from(at).unwrap_or(u16::MAX)
    }

    /// Brings every cell into the order of its due times, once all are there.
    pub fn finish(&mut self) {
        self.cells.iter_mut().for_each(Cell::sort);
    }

    /// The operations that were sent, by AZ, endpoint and kind.
    pub fn cells(&self) -> Vec<&Cell> {
        let mut all = self.all_cells();
        all.retain(|c| !c.samples.is_empty());
        all
    }

    /// The same, with those of which nothing was sent.
    pub fn all_cells(&self) -> Vec<&Cell> {
        let mut all: Vec<&Cell> = self.cells.iter().collect();
        all.sort_by_key(|c| (&c.az, &c.endpoint, c.kind));
        all
    }

    /// Whose samples a cell's variants are.
    pub fn names<'a>(&'a self, cell: &'a Cell, variant: u16) -> CellRef<'a> {
        let (table, fresh) = match self.variants.get(usize::from(variant)) {
            Some((table, fresh)) => (table.as_str(), *fresh),
            None => ("", false),
        };
        CellRef {
            az: &cell.az,
            endpoint: &cell.endpoint,
            kind: cell.kind,
            table,
            fresh,
        }
    }

    /// Numbers of all variants.
    pub fn variants(&self) -> std::ops::Range<u16> {
        0..u16::try_from(self.variants.len()).unwrap_or(u16::MAX)
    }

    /// All operations, those that were not sent last.
    pub fn iter(&self) -> impl Iterator<Item = Op<'_>> {
        let sent = self.cells.iter().flat_map(|cell| self.sent(cell));
        sent.chain(self.unsent.iter().map(|u| self.not_sent(u)))
    }

    /// Those of one of its cells.
    pub fn of<'a>(&'a self, cell: &'a Cell) -> impl Iterator<Item = Op<'a>> {
        let name = |c: &'a Cell| (&c.az, &c.endpoint, c.kind);
        let mine = move |u: &&Unsent| name(&self.cells[u.cell as usize]) == name(cell);
        let unsent = self.unsent.iter().filter(mine);
        self.sent(cell).chain(unsent.map(|u| self.not_sent(u)))
    }

    fn sent<'a>(&'a self, cell: &'a Cell) -> impl Iterator<Item = Op<'a>> {
        cell.samples.iter().map(|s| Op {
            cell: self.names(cell, s.variant),
            due: s.due,
            known: s.known,
            lag: s.lag(),
            tally: s.tally,
        })
    }

    fn not_sent(&self, u: &Unsent) -> Op<'_> {
        Op {
            cell: self.names(&self.cells[u.cell as usize], u.variant),
            due: u.due,
            known: u.due,
            lag: Duration::ZERO,
            tally: Tally::Unsent,
        }
    }

    /// How many there are.
    pub fn operations(&self) -> u64 {
        let sent: usize = self.cells.iter().map(|c| c.samples.len()).sum();
        (sent + self.unsent.len()) as u64
    }

    /// Earliest and latest due time; `None` if there is no operation.
    pub fn dues(&self) -> Option<(Nanos, Nanos)> {
        self.first.zip(self.last)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fold::tests::{failed, ok, op, unknown};
    use gameday_record::ErrorClass;

    #[test]
    fn operations_are_filed_with_all_that_is_asked_of_them() {
        let patience = Patience {
            slow_after: None,
            timeout: Duration::from_secs(2),
        };
        let mut other = op("b", "a", 500, 2, ok());
        other.table = "t".into();
        other.fresh = true;
        let mut lost = op("a", "b", 700, 0, unknown());
        lost.returned = None;
        let mut load = Load::default();
        for o in [
            op("a", "b", 900, 5, ok()),
            lost,
            other,
            op("a", "b", 800, 1, failed(ErrorClass::Unsent)),
        ] {
            load.push(patience, &o);
        }
        load.finish();
        assert_eq!(load.operations(), 4);
        let ms = |t: u64| Nanos(t * 1_000_000);
        assert_eq!(load.dues(), Some((ms(500), ms(900))));
        let seen: Vec<_> = load
            .iter()
            .map(|o| {
                (
                    o.cell.az,
                    o.cell.table,
                    o.cell.fresh,
                    o.due,
                    o.known,
                    o.tally,
                )
            })
            .collect();
        assert_eq!(
            seen,
            [
                ("a", "", false, ms(700), ms(2_700), Tally::Unknown),
                ("a", "", false, ms(900), ms(905), Tally::Answered),
                ("b", "t", true, ms(500), ms(502), Tally::Answered),
                ("a", "", false, ms(800), ms(800), Tally::Unsent),
            ]
        );
        assert_eq!(load.cells().len(), 2);
    }

    #[test]
    fn a_sample_is_small() {
        assert_eq!(size_of::<Sample>(), 24);
    }
}
