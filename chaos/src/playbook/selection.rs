//! Which operations an objective or an alarm is about.

use super::diagnostic::{Diagnostic, Source};
use super::fields::{Fields, Mistakes, clip};
use super::suggest::hint;
use gameday_record::{Kind, Scope, Selection, WorkloadSpec};
use std::collections::BTreeSet;
use std::ops::Range;

/// The keys that select operations, in `[[objective]]` and `[[alarm]]`.
pub(super) const KEYS: [&str; 5] = ["of", "table", "az", "endpoint", "count"];

const KINDS: [(&str, Kind); 3] = [
    ("writes", Kind::Write),
    ("strong-reads", Kind::StrongRead),
    ("eventual-reads", Kind::EventualRead),
];

const SCOPES: [(&str, Scope); 2] = [("all", Scope::All), ("untouched", Scope::Untouched)];

/// What is there to be selected, as far as it is known before planning.
pub(super) struct Fed<'a> {
    pub(super) workload: &'a WorkloadSpec,
    pub(super) tables: Vec<String>,
}

/// Where a selection names places, for mistakes that only a plan can find.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Places {
    pub(super) name: Range<usize>,
    az: Range<usize>,
    endpoint: Range<usize>,
    count: Range<usize>,
}

impl Places {
    /// Where the values of these fields stand, else the whole table.
    pub(super) fn of(f: &Fields<'_, '_>) -> Places {
        let place = |key| f.get(key).map_or(f.span.clone(), |v| v.span());
        Places {
            name: place("name"),
            az: place("az"),
            endpoint: place("endpoint"),
            count: place("count"),
        }
    }
}

/// `count = "all"` or `"untouched"`.
pub(super) fn scope(f: &Fields<'_, '_>, m: &mut Mistakes<'_>) -> Scope {
    f.word("count", &SCOPES, m).unwrap_or_default()
}

/// Reads the keys of a selection; one that no operation can ever match is a mistake.
pub(super) fn read(f: &Fields<'_, '_>, fed: &Fed<'_>, m: &mut Mistakes<'_>) -> Selection {
    let kind = f.word("of", &KINDS, m);
    must_be_fed(f, "of", kind, fed, m);
    let table = f.text("table", 255, m);
    if let Some(name) = &table
        && !fed.tables.contains(name)
    {
        let known: Vec<&str> = fed.tables.iter().map(String::as_str).collect();
        m.wrong_help(
            f.get("table").map_or(f.span.clone(), |v| v.span()),
            format!("the workload has no table '{}'", clip(name)),
            hint(name, &known),
        );
    }
    Selection {
        kind,
        table,
        az: f.text("az", 40, m),
        endpoint: f.text("endpoint", 40, m),
        scope: scope(f, m),
    }
}

/// Says so if the workload has no operations of this kind.
pub(super) fn must_be_fed(
    f: &Fields<'_, '_>,
    key: &str,
    kind: Option<Kind>,
    fed: &Fed<'_>,
    m: &mut Mistakes<'_>,
) {
    if fed.workload.share(kind) > 0.0 {
        return;
    }
    let (what, shares) = match kind {
        Some(Kind::EventualRead) => ("eventually consistent reads", "eventual_reads"),
        Some(Kind::StrongRead) => ("strongly consistent reads", "strong_reads"),
        Some(Kind::Write) | None => ("writes of any sort", "writes, inserts, cas or adds"),
    };
    m.wrong_help(
        f.key_span(key),
        format!("the workload has no {what}, so this could never be judged"),
        format!("give {shares} a share above 0, or leave this out"),
    );
}

/// Mistakes of selections on known AZs, in the order of the text. `touched` are the AZs that faults are
/// planned for.
pub(crate) fn misplaced<'a>(
    selections: impl IntoIterator<Item = (&'a Selection, &'a Places)>,
    azs: &[String],
    touched: &BTreeSet<&str>,
    source: &Source,
) -> Vec<Diagnostic> {
    let known: Vec<&str> = azs.iter().map(String::as_str).collect();
    let mut found = Vec::new();
    for (selection, places) in selections {
        let named = [
            (&selection.az, &places.az),
            (&selection.endpoint, &places.endpoint),
        ];
        for (az, span) in named {
            let Some(az) = az else { continue };
            if !known.contains(&az.as_str()) {
                let message = format!("there is no AZ '{}'", clip(az));
                found.push(Diagnostic::at(source, span.clone(), message).help(hint(az, &known)));
            }
        }
        if selection.scope == Scope::All {
            continue;
        }
        let hurt = named
            .into_iter()
            .find(|(az, _)| az.as_deref().is_some_and(|az| touched.contains(az)));
        let message = match hurt {
            Some((az, _)) => format!(
                "a step touches AZ {}, so nothing there is untouched",
                az.as_deref().unwrap_or_default()
            ),
            None if known.iter().all(|az| touched.contains(az)) => {
                "the steps touch every AZ, so nothing is untouched".to_string()
            }
            None => continue,
        };
        found.push(
            Diagnostic::at(source, places.count.clone(), message)
                .help("count = \"all\", or other AZs"),
        );
    }
    found.sort_by_key(|d| d.place.as_ref().map(|p| (p.line, p.column)));
    found
}
