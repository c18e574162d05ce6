//! A small picture of the operations of an anomaly on a time axis.

use super::escape;
use crate::numbers::shorten;
use gameday_record::Anomaly;
use std::fmt::Write;

const WIDTH: f64 = 760.0;
const LEFT: f64 = 250.0;
const RIGHT: f64 = 120.0;
const ROW: f64 = 30.0;

/// The picture, or `None` if the anomaly names no operations. `id` must be
/// unique in the page.
///
/// Times are to scale unless the operations stand so far apart that they
/// would be dots; a call that never returned is open to the right.
pub fn picture(a: &Anomaly, id: &str) -> Option<String> {
    let ops = &a.operations;
    let from = ops.iter().map(|o| o.invoked.0).min()?;
    let to = ops
        .iter()
        .map(|o| o.returned.unwrap_or(o.invoked).0.max(o.invoked.0))
        .max()?;
    let span = (to - from).max(1) as f64;
    let plot = WIDTH - LEFT - RIGHT;
    let x = |t: u64| LEFT + t.saturating_sub(from) as f64 / span * plot;
    let height = ROW * ops.len() as f64 + 26.0;
    let mut s = String::new();
    // Writing to a string cannot fail.
    let _ = write!(
        s,
        "<svg class=\"ops\" role=\"img\" viewBox=\"0 0 {WIDTH} {height}\" aria-labelledby=\"{id}-t\">\
         <title id=\"{id}-t\">{} on key {}: {} operations in order of time</title>",
        escape(&a.name),
        escape(&a.key),
        ops.len()
    );
    for (i, o) in ops.iter().enumerate() {
        let middle = ROW * i as f64 + ROW / 2.0;
        let x0 = x(o.invoked.0);
        let (x1, open) = match o.returned {
            Some(t) => (x(t.0).max(x0 + 6.0), false),
            None => (LEFT + plot + 8.0, true),
        };
        let class = match o.outcome.as_str() {
            "ok" => "pass",
            "failed" => "fail",
            _ => "fault",
        };
        let _ = write!(
            s,
            "<line x1=\"{LEFT}\" x2=\"{}\" y1=\"{middle}\" y2=\"{middle}\" class=\"s-grid\"/>\
             <text x=\"0\" y=\"{middle}\" dy=\".35em\" class=\"f-text\">{}</text>\
             <rect x=\"{x0:.1}\" y=\"{:.1}\" width=\"{:.1}\" height=\"14\" rx=\"3\" class=\"f-{class}\"{}/>",
            WIDTH - RIGHT,
            escape(&shorten(&format!("{}, {}", o.what, o.outcome), 34)),
            middle - 7.0,
            x1 - x0,
            if open { " opacity=\".55\"" } else { "" },
        );
        let end = if open {
            "no answer".to_string()
        } else {
            o.invoked.to_string()
        };
        let _ = write!(
            s,
            "<text x=\"{WIDTH}\" y=\"{middle}\" dy=\".35em\" text-anchor=\"end\" class=\"f-muted\">{}</text>",
            escape(&end)
        );
    }
    let y = height - 6.0;
    let _ = write!(
        s,
        "<text x=\"{LEFT}\" y=\"{y}\" class=\"f-muted\">+{:.3} s</text>\
         <text x=\"{}\" y=\"{y}\" text-anchor=\"end\" class=\"f-muted\">+{:.3} s</text></svg>",
        from as f64 / 1e9,
        WIDTH - RIGHT,
        to as f64 / 1e9
    );
    Some(s)
}
