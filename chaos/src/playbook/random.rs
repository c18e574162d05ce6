//! `[random]`: faults drawn by weight, one after the other, with pauses in
//! which the cluster must recover. What is drawn is decided when planning.

use super::Diagnostic;
use super::diagnostic::Source;
use super::fields::{Fields, Mistakes, wrong_type};
use super::steps::{self, Step};
use super::values::{self, MAX_DURATION};
use gameday_record::ClusterSpec;
use std::ops::Range;
use std::time::Duration;
use toml::de::DeValue;

/// Most faults to draw from.
const MAX_FAULTS: usize = 50;

/// What is drawn from, and for how long.
#[derive(Clone, Debug, PartialEq)]
pub struct Random {
    /// How long faults and pauses take together, reverts included.
    pub lasting: Duration,
    /// Between the proven revert of one fault and the next: from, to.
    pub pause: (Duration, Duration),
    /// At least one.
    pub faults: Vec<Weighted>,
    /// Where it stands in the text.
    pub(crate) span: Range<usize>,
}

/// A fault that may be drawn.
#[derive(Clone, Debug, PartialEq)]
pub struct Weighted {
    /// How often, in relation to the others; at least 1.
    pub weight: u32,
    /// What; its start is of no meaning.
    pub step: Step,
    /// It is held from the step's hold to this.
    pub longest: Duration,
}

impl Random {
    /// A mistake about the section as a whole.
    pub(crate) fn wrong(&self, source: &Source, message: impl Into<String>) -> Diagnostic {
        Diagnostic::at(source, self.span.clone(), message)
    }
}

/// Reads the section; `None` if there is none or a mistake was recorded.
pub(super) fn read(
    top: &Fields<'_, '_>,
    cluster: &ClusterSpec,
    m: &mut Mistakes<'_>,
) -> Option<Random> {
    let value = top.get("random")?;
    let DeValue::Table(table) = value.get_ref() else {
        return wrong_type(
            "random",
            "a section: [random]",
            value.get_ref(),
            value.span(),
            m,
        );
    };
    let f = Fields::new(
        table,
        value.span(),
        "[random]",
        &["for", "pause", "fault"],
        m,
    );
    for (key, example) in [
        ("for", "for = \"20m\""),
        ("pause", "pause = [\"5s\", \"15s\"]"),
        (
            "fault",
            "[[random.fault]]\nweight = 1\nfault = \"power-off\"\ntarget = { random = 1 }\nfor = \"10s\"",
        ),
    ] {
        if f.get(key).is_none() {
            m.missing(f.span.clone(), format!("[random] has no '{key}'"), example);
        }
    }
    let lasting = f.duration("for", Duration::from_secs(1)..=MAX_DURATION, m);
    let pause = range(&f, "pause", m);
    let list = f.get("fault")?;
    let DeValue::Array(list) = list.get_ref() else {
        return wrong_type(
            "fault",
            "a list: each begins with [[random.fault]], in two brackets",
            list.get_ref(),
            list.span(),
            m,
        );
    };
    if list.is_empty() || list.len() > MAX_FAULTS {
        m.wrong(
            value.span(),
            format!("[random] draws from 1 to {MAX_FAULTS} faults"),
        );
        return None;
    }
    let faults: Vec<Option<Weighted>> = list
        .iter()
        .map(|item| match item.get_ref() {
            DeValue::Table(t) => steps::weighted(t, item.span(), cluster, m),
            other => wrong_type("fault", "a table", other, item.span(), m),
        })
        .collect();
    Some(Random {
        lasting: lasting?,
        pause: pause?,
        faults: faults.into_iter().collect::<Option<Vec<_>>>()?,
        span: value.span(),
    })
}

/// `"5s"`, or `["5s", "15s"]`: from, to.
pub(super) fn range(
    f: &Fields<'_, '_>,
    key: &str,
    m: &mut Mistakes<'_>,
) -> Option<(Duration, Duration)> {
    let least = Duration::from_millis(1);
    let value = f.get(key)?;
    let DeValue::Array(pair) = value.get_ref() else {
        return f
            .duration(key, least..=MAX_DURATION, m)
            .map(|both| (both, both));
    };
    let read: Option<Vec<Duration>> = pair
        .iter()
        .map(|d| match d.get_ref() {
            DeValue::String(s) => values::duration(s).ok().filter(|d| *d >= least),
            _ => None,
        })
        .collect();
    match read.as_deref() {
        Some([from, to]) if from <= to => Some((*from, *to)),
        _ => {
            m.wrong_help(
                value.span(),
                format!("'{key}' is a duration above zero, or the shortest and the longest"),
                format!("{key} = [\"5s\", \"15s\"]"),
            );
            None
        }
    }
}
