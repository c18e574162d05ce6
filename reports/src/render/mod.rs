//! Renderers: from a [`Report`] to what people and tools read. None of them
//! computes a number that is not in the report.

mod anomaly;
mod chart;
mod curve;
mod html;
mod junit;
mod markdown;
mod terminal;

use crate::fold::Counts;
use crate::report::{Availability, Headline, Report, SliGroup, SliRow};
use gameday_record::RunFolder;
use gameday_record::folder::{write_file, write_json};
use gameday_record::{DataVerdict, Verdict};

pub use html::html;
pub use junit::junit;
pub use markdown::markdown;
pub use terminal::terminal;

/// Writes `report.json`, `report.html`, `summary.md` and `junit.xml`.
///
/// # Errors
/// Those of the file system, with the path. JSON comes first, so that what
/// was computed is kept even if a page cannot be written.
pub fn render_all(folder: &RunFolder, report: &Report) -> Result<(), String> {
    write_json(&folder.report_json(), report)?;
    write_file(&folder.report_html(), html(report).as_bytes())?;
    write_file(&folder.summary(), markdown(report).as_bytes())?;
    write_file(&folder.junit(), junit(report)?.as_bytes())
}

/// `pass`, `fail`, `unknown`.
fn verdict_word(v: Verdict) -> &'static str {
    match v {
        Verdict::Pass => "pass",
        Verdict::Fail => "fail",
        Verdict::Unknown => "unknown",
    }
}

/// Said of data that nothing was asked of.
const NOT_JUDGED: &str = "not judged";

/// The data in a word; `passed` where they passed.
fn data_word<'a>(r: &Report, passed: &'a str) -> &'a str {
    let judged = r
        .data
        .checks
        .iter()
        .any(|c| c.name != DataVerdict::NOT_JUDGED);
    match r.headline.data {
        Verdict::Pass if !judged => NOT_JUDGED,
        Verdict::Pass => passed,
        other => verdict_word(other),
    }
}

/// The worst time from an act until every pair was well, or why there is none.
fn total(h: &Headline) -> String {
    match h.worst_total_ms {
        Some(ms) => crate::numbers::millis(ms),
        None if h.worst_total_note.is_empty() => h.worst_recovery_note.clone(),
        None => h.worst_total_note.clone(),
    }
}

/// The same of the pairs that no fault touched.
fn failover(h: &Headline) -> String {
    match h.worst_failover_ms {
        Some(ms) => crate::numbers::millis(ms),
        None if h.worst_failover_note.is_empty() => "–".into(),
        None => h.worst_failover_note.clone(),
    }
}

/// The availability that a reader is told first.
struct Lead<'a> {
    text: &'a str,
    counts: Counts,
    /// True if it is that of the pairs that no fault touched, and there are others.
    spared: bool,
}

/// What those got whom no fault hit, or everybody where it hit nobody or all; `None` without
/// operations.
fn lead<'a>(a: &'a Availability, r: &Report) -> Option<Lead<'a>> {
    let spared = r.faulted() && a.untouched.attempts() > 0;
    let (text, counts) = match spared {
        true => (&a.untouched_text, a.untouched),
        false => (&a.text, a.all),
    };
    (counts.attempts() > 0).then_some(Lead {
        text,
        counts,
        spared,
    })
}

/// The kind of operations of which least is proven in AZs that no fault touched.
fn least_proven(r: &Report) -> Option<&SliRow> {
    let low = |s: &SliRow| s.proven_untouched.low.unwrap_or(0.0);
    r.sli
        .iter()
        .filter(|s| s.group == SliGroup::Overall && s.proven_untouched.n > 0)
        .min_by(|a, b| low(a).total_cmp(&low(b)))
}

/// `at least 94.5 % of every kind in AZs that no fault touched`, or `None` without data.
fn proven_text(r: &Report) -> Option<String> {
    let p = &least_proven(r)?.proven_untouched;
    let low = p.low.filter(|low| low.is_finite())?;
    let nines = match p.nines {
        0 => String::new(),
        n => format!(" ({})", crate::numbers::plural(n.into(), "nine")),
    };
    let scope = if r.faulted() {
        " in AZs that no fault touched"
    } else {
        ""
    };
    Some(format!(
        "at least {}{nines} of every kind{scope}, by {} with 95 % confidence",
        crate::numbers::at_least(low),
        crate::numbers::plural(p.seconds, "second")
    ))
}

/// `-log10(1 - a)`: 0.99 is 2; infinite if nothing was missed.
fn nines(a: f64) -> f64 {
    if a >= 1.0 {
        f64::INFINITY
    } else {
        -(1.0 - a.max(0.0)).log10()
    }
}

/// Text for XML and HTML.
fn escape(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\'' => out.push_str("&#39;"),
            c if c.is_control() && c != '\n' && c != '\t' => out.push('\u{fffd}'),
            c => out.push(c),
        }
    }
    out
}

/// Chart text: widths are estimated from bytes, so what is not ASCII becomes `?`.
fn ascii(text: &str, max: usize) -> String {
    let clean: String = text
        .chars()
        .map(|c| {
            if c == ' ' || c.is_ascii_graphic() {
                c
            } else {
                '?'
            }
        })
        .collect();
    if clean.len() <= max {
        clean
    } else {
        format!("{}...", &clean[..max.saturating_sub(3)])
    }
}

/// The day of an RFC 3339 time: `2026-11-23`.
fn day(utc: &str) -> &str {
    utc.get(..10).unwrap_or(utc)
}

#[cfg(test)]
mod tests {
    use super::nines;

    #[test]
    fn nines_of_shares() {
        for (a, n) in [(0.0, 0.0), (0.9, 1.0), (0.999, 3.0), (-1.0, 0.0)] {
            assert!((nines(a) - n).abs() < 1e-9, "{a}");
        }
        assert!(nines(1.0).is_infinite());
    }
}
