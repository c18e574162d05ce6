//! Renderers: from a [`Report`] to what people and tools read. None of them
//! computes a number that is not in the report.

mod anomaly;
mod chart;
mod curve;
mod html;
mod junit;
mod markdown;
mod terminal;

use crate::report::{Headline, Report};
use gameday_record::RunFolder;
use gameday_record::Verdict;
use gameday_record::folder::{write_file, write_json};

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

/// `2 nines`, or that there is none.
fn nines_text(n: u32) -> String {
    match n {
        0 => "not one nine".into(),
        n => crate::numbers::plural(n.into(), "nine"),
    }
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
