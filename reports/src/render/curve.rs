//! The chart of the worst windows (MCR curve): window length against nines.

use super::{escape, nines};
use crate::fold::Kind;
use crate::report::{McrCurve, McrPoint, Report};
use gameday_record::Target;
use std::fmt::Write;

const WIDTH: f64 = 900.0;
const HEIGHT: f64 = 310.0;
const LEFT: f64 = 78.0;
const RIGHT: f64 = 790.0;
const TOP: f64 = 22.0;
const BOTTOM: f64 = 262.0;
/// Curves with fewer points are drawn as points alone.
const MIN_LINE: usize = 5;

/// The chart, or `None` if there is no point to draw.
pub fn curve(r: &Report) -> Option<String> {
    let curves: Vec<&McrCurve> = r.mcr.iter().filter(|c| !c.points.is_empty()).collect();
    let points = || curves.iter().flat_map(|c| &c.points);
    let longest = points().map(|p| p.window_s).max()?.max(2);
    let targets = targets(r);
    let finite = points()
        .map(|p| nines(p.availability))
        .chain(targets.iter().map(|t| nines(t.1)))
        .filter(|n| n.is_finite())
        .fold(1.0, f64::max);
    // A line above the last nine stands for "nothing missed".
    let top = (finite.floor() + 1.0).min(9.0);
    let x = |s: u64| LEFT + (s.max(1) as f64).ln() / (longest as f64).ln() * (RIGHT - LEFT);
    let y = |a: f64| BOTTOM - nines(a).min(top) / top * (BOTTOM - TOP);

    let mut s = String::new();
    // Writing to a string cannot fail.
    let _ = write!(
        s,
        "<svg class=\"mcr\" role=\"img\" viewBox=\"0 0 {WIDTH} {HEIGHT}\" aria-labelledby=\"mcr-t mcr-d\">\
         <title id=\"mcr-t\">Worst window of every length</title><desc id=\"mcr-d\">{}</desc>",
        escape(&describe(&curves))
    );
    for n in 0..=(top as usize) {
        let at = BOTTOM - n as f64 / top * (BOTTOM - TOP);
        let label = match n {
            0 => "0 %".to_string(),
            n if n as f64 == top => "100 %".to_string(),
            1 => "90 %".to_string(),
            2 => "99 %".to_string(),
            n => format!("99.{} %", "9".repeat(n - 2)),
        };
        let _ = write!(
            s,
            "<path d=\"M{LEFT} {at:.1}H{RIGHT}\" class=\"s-grid\"/>\
             <text x=\"{}\" y=\"{at:.1}\" dy=\".35em\" text-anchor=\"end\" class=\"f-muted\">{label}</text>",
            LEFT - 10.0
        );
    }
    if top <= 3.0 {
        let at = y(0.5);
        let _ = write!(
            s,
            "<path d=\"M{LEFT} {at:.1}H{RIGHT}\" class=\"s-grid\"/>\
             <text x=\"{}\" y=\"{at:.1}\" dy=\".35em\" text-anchor=\"end\" class=\"f-muted\">50 %</text>",
            LEFT - 10.0
        );
    }
    for (seconds, label) in [
        (1, "1 s"),
        (10, "10 s"),
        (60, "1 min"),
        (600, "10 min"),
        (3600, "1 h"),
        (6 * 3600, "6 h"),
        (86_400, "1 day"),
        (7 * 86_400, "7 days"),
        (30 * 86_400, "30 days"),
    ] {
        if seconds <= longest {
            let _ = write!(
                s,
                "<path d=\"M{0:.1} {BOTTOM}v6\" class=\"s-muted\"/>\
                 <text x=\"{0:.1}\" y=\"{1}\" text-anchor=\"middle\" class=\"f-muted\">{label}</text>",
                x(seconds),
                BOTTOM + 22.0
            );
        }
    }
    let _ = write!(
        s,
        "<path d=\"M{LEFT} {BOTTOM}H{RIGHT}\" class=\"s-muted\"/>\
         <text x=\"{RIGHT}\" y=\"{}\" text-anchor=\"end\" class=\"f-muted\">length of the window</text>",
        BOTTOM + 37.0
    );
    // Names of targets and curves share the right margin.
    let mut names: Vec<(f64, String, &'static str)> = Vec::new();
    for (kind, share) in &targets {
        let (at, ink) = (y(*share), ink(*kind));
        let _ = write!(
            s,
            "<path d=\"M{LEFT} {at:.1}H{RIGHT}\" class=\"s-{ink} hollow dot\"/>"
        );
        let name = format!("promised {}", crate::numbers::limit_percent(*share));
        // What is promised of several kinds alike is said once.
        match names.iter_mut().find(|n| n.1 == name) {
            Some(same) => same.2 = "muted",
            None => names.push((at, name, ink)),
        }
    }
    for c in &curves {
        let ink = ink(c.kind);
        let place = |p: &McrPoint| (x(p.window_s), y(p.availability));
        if c.points.len() >= MIN_LINE {
            let path: Vec<_> = c
                .points
                .iter()
                .map(|p| format!("{:.1} {:.1}", place(p).0, place(p).1))
                .collect();
            // Writes dashed, reads solid: colour is not the only sign.
            let dash = if c.kind == Kind::Write { " long" } else { "" };
            let _ = write!(
                s,
                "<path d=\"M{}\" class=\"s-{ink} hollow two{dash}\"/>",
                path.join("L")
            );
        }
        for p in &c.points {
            let knee = c.knee_s == Some(p.window_s);
            if knee || c.points.len() < MIN_LINE {
                symbol(&mut s, place(p), c.kind, ink);
            }
        }
        if let Some(last) = c.points.last() {
            names.push((place(last).1, format!("{}s", c.kind.name()), ink));
        }
    }
    for (at, name, ink) in spread(names) {
        let _ = write!(
            s,
            "<text x=\"{}\" y=\"{at:.1}\" dy=\".35em\" class=\"f-{ink}\">{}</text>",
            RIGHT + 8.0,
            escape(&name)
        );
    }
    s.push_str("</svg>");
    Some(s)
}

fn ink(kind: Kind) -> &'static str {
    super::html::ink(kind)
}

/// What the objectives promise of all operations of a kind, at most one line per kind.
fn targets(r: &Report) -> Vec<(Kind, f64)> {
    let mut out: Vec<(Kind, f64)> = Vec::new();
    for row in &r.slo {
        let s = &row.selection;
        let whole = s.table.is_none() && s.az.is_none() && s.endpoint.is_none();
        if let (Some(kind), Some(Target::Availability { at_least })) = (s.kind, row.target)
            && whole
            && at_least < 1.0
            && !out.iter().any(|t| t.0 == kind)
        {
            out.push((kind, at_least));
        }
    }
    out
}

/// Squares for writes, circles for reads.
fn symbol(s: &mut String, (x, y): (f64, f64), kind: Kind, ink: &str) {
    let _ = match kind {
        Kind::Write => write!(
            s,
            "<rect x=\"{:.1}\" y=\"{:.1}\" width=\"10\" height=\"10\" class=\"f-{ink}\"/>",
            x - 5.0,
            y - 5.0
        ),
        _ => write!(
            s,
            "<circle cx=\"{x:.1}\" cy=\"{y:.1}\" r=\"5.5\" class=\"f-{ink}\"/>"
        ),
    };
}

/// Pushes names apart that would stand on each other.
fn spread(mut names: Vec<(f64, String, &'static str)>) -> Vec<(f64, String, &'static str)> {
    const APART: f64 = 17.0;
    names.sort_by(|a, b| a.0.total_cmp(&b.0));
    let mut free = TOP - 8.0;
    for n in &mut names {
        n.0 = n.0.max(free);
        free = n.0 + APART;
    }
    let mut free = HEIGHT - 10.0;
    for n in names.iter_mut().rev() {
        n.0 = n.0.min(free);
        free = n.0 - APART;
    }
    names
}

fn describe(curves: &[&McrCurve]) -> String {
    let one = |c: &&McrCurve| {
        let (first, last) = (c.points.first()?, c.points.last()?);
        let knee = c.knee_s.map_or(String::new(), |k| {
            format!(", with a knee from {k} to {} s", 2 * k)
        });
        Some(format!(
            "{}s: {} in the worst {} s, {} over {} s{knee}.",
            c.kind.name(),
            first.text(),
            first.window_s,
            last.text(),
            last.window_s
        ))
    };
    curves.iter().filter_map(one).collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_never_stand_on_each_other() {
        let at = |y| (y, String::new(), "write");
        let y: Vec<_> = spread(vec![at(100.0), at(104.0), at(99.0), at(290.0)])
            .into_iter()
            .map(|n| n.0)
            .collect();
        assert!(y.windows(2).all(|w| w[1] - w[0] >= 17.0 - 1e-9), "{y:?}");
    }
}
