//! Capacity units, and what `ReturnConsumedCapacity` answers.

use crate::api::error::ApiError;
use crate::api::params::{Params, one_of};
use serde::Serialize;

/// How much a request wants to hear about capacity.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Detail {
    None,
    Total,
    Indexes,
}

impl Detail {
    pub(crate) fn of(params: &Params) -> Result<Self, ApiError> {
        let known = ["INDEXES", "TOTAL", "NONE"];
        let asked = params.return_capacity.as_deref();
        Ok(
            match one_of(asked, "returnConsumedCapacity", &known, "NONE")? {
                "INDEXES" => Self::Indexes,
                "TOTAL" => Self::Total,
                _ => Self::None,
            },
        )
    }

    pub(crate) fn wanted(self) -> bool {
        self != Self::None
    }

    /// The answer for one table; `None` if nobody asked.
    pub(crate) fn report(self, table: &str, units: f64) -> Option<Consumed> {
        self.wanted().then(|| Consumed {
            table_name: table.to_owned(),
            capacity_units: units,
            table: (self == Self::Indexes).then_some(TableUnits {
                capacity_units: units,
            }),
        })
    }
}

/// `ConsumedCapacity`.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct Consumed {
    table_name: String,
    capacity_units: f64,
    #[serde(skip_serializing_if = "Option::is_none")]
    table: Option<TableUnits>,
}

#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "PascalCase")]
struct TableUnits {
    capacity_units: f64,
}

/// Units for reading so many bytes: one per 4 KiB, half if eventually consistent.
pub(crate) fn read_units(bytes: usize, consistent: bool) -> f64 {
    let units = bytes.div_ceil(4096).max(1) as f64;
    if consistent { units } else { units / 2.0 }
}

/// Units for a write: one per KiB of the larger of the items before and after.
pub(crate) fn write_units(before: usize, after: usize) -> f64 {
    before.max(after).div_ceil(1024).max(1) as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn units_are_rounded_up() {
        assert_eq!(read_units(0, true), 1.0);
        assert_eq!(read_units(4096, true), 1.0);
        assert_eq!(read_units(4097, true), 2.0);
        assert_eq!(read_units(4097, false), 1.0);
        assert_eq!(read_units(1, false), 0.5);
        assert_eq!(write_units(0, 0), 1.0);
        assert_eq!(write_units(2000, 1), 2.0);
        assert_eq!(write_units(1, 1025), 2.0);
    }
}
