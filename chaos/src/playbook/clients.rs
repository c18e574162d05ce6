//! Whose clients a step is about: `from = "a"`, `from = ["a", "c"]`.

use super::fields::{Fields, Mistakes, text, wrong_type};
use std::collections::BTreeSet;
use toml::de::DeValue;

/// Most AZs that are named.
const MOST: usize = 26;

/// Names of AZs; none if the key is not there, or is a mistake.
pub(super) fn read(f: &Fields<'_, '_>, m: &mut Mistakes<'_>) -> BTreeSet<String> {
    let Some(value) = f.get("from") else {
        return BTreeSet::new();
    };
    match value.get_ref() {
        DeValue::String(_) => text("from", value, 40, m).into_iter().collect(),
        DeValue::Array(list) if (1..=MOST).contains(&list.len()) => {
            let names = list.iter().filter_map(|az| text("from", az, 40, m));
            names.collect()
        }
        DeValue::Array(_) => {
            m.wrong_help(
                value.span(),
                format!("'from' is the name of an AZ, or 1 to {MOST} of them"),
                "without it the clients of all AZs are meant",
            );
            BTreeSet::new()
        }
        other => {
            let expected = "an AZ or a list of them, such as [\"a\", \"c\"]";
            wrong_type("from", expected, other, value.span(), m).unwrap_or_default()
        }
    }
}
