//! The numbers behind the chart: columns that nobody sees until the pointer is
//! over one, which then tells its step.

use super::{Axis, PHASES};
use crate::numbers::{count, latency};
use crate::report::{Point, Report};
use std::fmt::Write;
use std::time::Duration;

/// Most columns: a page must stay small.
const MAX: usize = 200;

/// SVG elements over the lanes that end at `bottom`: for every step of a short
/// run, for those that missed something of a longer one. None if these are too many.
pub fn hints(report: &Report, axis: Axis, bottom: i32) -> String {
    let s = &report.series;
    let few = s.points.len() <= MAX;
    let missed = |p: &Point| p.write.missed() + p.read.missed() + p.eventual.missed() > 0;
    let steps = s.points.iter().zip((s.start..).step_by(s.step as usize));
    let mut out = String::new();
    let told: Vec<_> = steps.filter(|(p, _)| few || missed(p)).collect();
    if told.len() > MAX {
        return out;
    }
    for (p, second) in told {
        let (x0, x1) = (axis.x(second as f64), axis.x((second + s.step) as f64));
        // Writing to a string cannot fail.
        let _ = write!(
            out,
            "<path class=\"hit\" d=\"M{x0} {PHASES}H{x1}V{bottom}H{x0}z\"><title>{}</title></path>",
            text(p, second)
        );
    }
    out
}

/// `+21 s · writes 17 of 20 · strong reads 20 of 20 answered · writes p50 2.10 ms, p99 40.2 ms`
fn text(p: &Point, second: u64) -> String {
    let mut parts = vec![format!("+{second} s")];
    for (name, c) in [
        ("writes", p.write),
        ("strong reads", p.read),
        ("eventual reads", p.eventual),
    ] {
        if c.attempts() > 0 {
            parts.push(format!(
                "{name} {} of {}",
                count(c.answered),
                count(c.attempts())
            ));
        }
    }
    match parts.len() {
        1 => parts.push("nothing was measured".into()),
        n => parts[n - 1].push_str(" answered"),
    }
    for (name, quantiles) in [
        ("writes", p.write_latency),
        ("strong reads", p.read_latency),
    ] {
        if let Some(q) = quantiles {
            let us = |us| latency(Duration::from_micros(us));
            parts.push(format!("{name} p50 {}, p99 {}", us(q.p50_us), us(q.p99_us)));
        }
    }
    parts.join(" · ")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fold::Counts;

    #[test]
    fn a_step_is_told_in_a_line() {
        let mut p = Point::default();
        assert_eq!(text(&p, 3), "+3 s · nothing was measured");
        p.write = Counts {
            answered: 17,
            unknown: 3,
            ..Counts::default()
        };
        p.write_latency = Some(crate::report::Quantiles {
            p50_us: 2_100,
            p99_us: 40_200,
        });
        assert_eq!(
            text(&p, 21),
            "+21 s · writes 17 of 20 answered · writes p50 2.10 ms, p99 40.2 ms"
        );
    }
}
