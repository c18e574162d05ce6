//! Renderers: from a [`Report`] to what people and tools read. None of them
//! computes a number that is not in the report.

mod anomaly;
mod chart;
mod curve;
mod html;
mod junit;
mod markdown;
mod terminal;
mod words;

use crate::report::Report;
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

/// A share as a percentage, floored: `floor_percent(0.99991, 2)` is `99.99 %`.
fn floor_percent(share: f64, decimals: usize) -> String {
    let scale = 10f64.powi(decimals.min(6) as i32);
    // What only floating point took away is given back.
    let scaled = (share.clamp(0.0, 1.0) * 100.0 * scale + 1e-7).floor();
    format!("{:.*} %", decimals.min(6), scaled / scale)
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
    use super::floor_percent;

    #[test]
    fn shares_are_floored() {
        for (share, decimals, text) in [
            (0.9999, 0, "99 %"),
            (0.9999, 2, "99.99 %"),
            (0.29, 0, "29 %"),
            (1.0, 3, "100.000 %"),
            (-0.5, 0, "0 %"),
            (0.999_999_99, 4, "99.9999 %"),
        ] {
            assert_eq!(floor_percent(share, decimals), text);
        }
    }
}
