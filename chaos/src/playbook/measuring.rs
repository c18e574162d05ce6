//! The sections that say what is measured and what must hold: `[workload]`,
//! `[slo]`, `[[objective]]` and `[[alarm]]`. They stand in a playbook, or in a
//! file of their own for canaries that run alone.

use super::diagnostic::{Diagnostic, Source};
use super::fields::{Fields, MAX_BYTES, Mistakes, section, wrong_type};
use super::selection::{Fed, Places, misplaced};
use super::{alarms, promises, workload};
use gameday_record::{AlarmSpec, Selection, SloSpec, WorkloadSpec};
use std::collections::BTreeSet;
use std::ops::Range;
use toml::de::{DeTable, DeValue};

/// Their names.
pub(super) const SECTIONS: [&str; 4] = ["workload", "slo", "objective", "alarm"];

/// Most objectives, and most alarms.
const MOST: usize = 100;

/// What is measured and what must hold.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Measuring {
    /// What the canaries do.
    pub workload: WorkloadSpec,
    /// What must hold.
    pub slo: SloSpec,
    /// What would wake somebody.
    pub alarms: Vec<AlarmSpec>,
    slo_places: Places,
    objective_places: Vec<Places>,
    alarm_places: Vec<Places>,
}

impl Measuring {
    /// Reads a text that has these sections and no others; `name` stands for
    /// it in messages. `azs` are the AZs that exist, and the first of the
    /// workload's tables is called `table`.
    ///
    /// # Errors
    /// Every mistake in it, in the order of the text.
    pub fn parse(
        name: &str,
        text: &str,
        azs: &[String],
        table: &str,
    ) -> Result<Measuring, Vec<Diagnostic>> {
        let source = Source {
            name: name.into(),
            text: text.into(),
        };
        if text.len() as u64 > MAX_BYTES {
            let why = format!("such a file is at most {} KiB", MAX_BYTES >> 10);
            return Err(vec![Diagnostic::whole(name, why)]);
        }
        let mut m = Mistakes::new(&source);
        let (tree, errors) = DeTable::parse_recoverable(text);
        for e in &errors {
            m.syntax(e);
        }
        let top = Fields::new(tree.get_ref(), 0..0, "this file", &SECTIONS, &mut m);
        let measuring = read(&top, table, &mut m);
        if !m.none() {
            return Err(m.finish());
        }
        let wrong = measuring.misplaced(azs, &BTreeSet::new(), &source);
        if wrong.is_empty() {
            Ok(measuring)
        } else {
            Err(wrong)
        }
    }

    /// Mistakes about AZs: those that do not exist, and promises about what no
    /// fault touches where faults touch everything. `touched` are the AZs that
    /// steps are planned for.
    pub(crate) fn misplaced(
        &self,
        azs: &[String],
        touched: &BTreeSet<&str>,
        source: &Source,
    ) -> Vec<Diagnostic> {
        let short = Selection {
            scope: self.slo.scope,
            ..Selection::default()
        };
        let objectives = self.slo.objectives.iter().map(|o| &o.selection);
        let alarms = self.alarms.iter().map(|a| &a.selection);
        let all = std::iter::once((&short, &self.slo_places))
            .chain(objectives.zip(&self.objective_places))
            .chain(alarms.zip(&self.alarm_places));
        misplaced(all, azs, touched, source)
    }
}

/// Reads the sections that are there.
pub(super) fn read(top: &Fields<'_, '_>, table: &str, m: &mut Mistakes<'_>) -> Measuring {
    let workload = section(top, "workload", m)
        .map(|(t, span)| workload::read(t, span, m))
        .unwrap_or_default();
    let fed = Fed {
        tables: workload.table_names(table),
        workload: &workload,
    };
    let (mut slo, slo_places) = section(top, "slo", m)
        .map(|(t, span)| promises::slo(t, span, &fed, m))
        .unwrap_or_default();
    let mut objective_places = Vec::new();
    for (t, span) in list(top, "objective", m) {
        if let Some((objective, places)) = promises::objective(t, span, &fed, m) {
            slo.objectives.push(objective);
            objective_places.push(places);
        }
    }
    let names = slo.objectives.iter().map(|o| o.name.as_str());
    promises::unique("objective", names.zip(&objective_places), m);
    let mut alarms = Vec::new();
    let mut alarm_places = Vec::new();
    for (t, span) in list(top, "alarm", m) {
        if let Some((alarm, places)) = alarms::alarm(t, span, &fed, m) {
            alarms.push(alarm);
            alarm_places.push(places);
        }
    }
    let names = alarms.iter().map(|a: &AlarmSpec| a.name.as_str());
    promises::unique("alarm", names.zip(&alarm_places), m);
    Measuring {
        workload,
        slo,
        alarms,
        slo_places,
        objective_places,
        alarm_places,
    }
}

/// The tables of a list of tables.
fn list<'t, 'i>(
    top: &Fields<'t, 'i>,
    name: &str,
    m: &mut Mistakes<'_>,
) -> Vec<(&'t DeTable<'i>, Range<usize>)> {
    let Some(value) = top.get(name) else {
        return Vec::new();
    };
    let shape = format!("a list: each begins with [[{name}]], in two brackets");
    let DeValue::Array(array) = value.get_ref() else {
        return wrong_type(name, &shape, value.get_ref(), value.span(), m).unwrap_or_default();
    };
    if array.len() > MOST {
        m.wrong(
            value.span(),
            format!("{} of [[{name}]]; at most {MOST}", array.len()),
        );
        return Vec::new();
    }
    let mut tables = Vec::new();
    for item in array.iter() {
        match item.get_ref() {
            DeValue::Table(t) => tables.push((t, item.span())),
            other => {
                let _: Option<()> = wrong_type(name, &shape, other, item.span(), m);
            }
        }
    }
    tables
}
