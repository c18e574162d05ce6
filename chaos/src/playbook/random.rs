//! `[random]`: faults drawn by weight, one after the other, with pauses in
//! which the cluster must recover. What is drawn is decided when planning.

use super::fields::{Fields, Mistakes, range, wrong_type};
use super::groups::Groups;
use super::step::{Random, Weighted};
use super::steps;
use super::values::MAX_DURATION;
use std::time::Duration;
use toml::de::DeValue;

/// Most faults to draw from.
const MAX_FAULTS: usize = 50;

/// Reads the section; `None` if there is none or a mistake was recorded.
pub(super) fn read(top: &Fields<'_, '_>, groups: &Groups, m: &mut Mistakes<'_>) -> Option<Random> {
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
            DeValue::Table(t) => steps::weighted(t, item.span(), groups, m),
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
