//! The operations of an anomaly on a time axis, a lane per process.

use super::scale::Scale;
use super::{last, line, operations, overlapping};
use crate::numbers::{self, shorten};
use crate::render::escape;
use crate::report::InjectionReport;
use gameday_record::Anomaly;
use gameday_record::verdict::OperationRecord;
use std::fmt::Write;

const WIDTH: f64 = 900.0;
/// Left edge of the time axis; the processes' names stand before it.
const LEFT: f64 = 150.0;
/// Right edge; behind it calls without an answer run out.
const RIGHT: f64 = 868.0;
const BAND: f64 = 20.0;
const LABEL: f64 = 16.0;
const BAR: f64 = 12.0;
const AXIS: f64 = 26.0;
/// Injections drawn as bands.
const MAX_BANDS: usize = 4;
/// Rows of labels in a lane.
const MAX_ROWS: usize = 3;
/// A generous width of one character of 13 px text, and of a bold one.
const CHARACTER: f64 = 7.4;
const BOLD: f64 = 8.4;

/// The picture, or `None` if the anomaly names no operations. `id` must be
/// unique in the page.
///
/// A bar reaches from the call to its answer. A call that was never answered
/// runs out at the right; one of unknown outcome has a dashed tail, because it
/// may still take effect. The operations that show the anomaly are strong,
/// those beside them pale.
pub fn picture(a: &Anomaly, injections: &[InjectionReport], id: &str) -> Option<String> {
    let (core, around) = operations(a);
    let all = || core.iter().chain(around);
    let times = all().flat_map(|o| [o.invoked.0, last(o).0]).collect();
    let scale = Scale::new(times, LEFT, RIGHT - 24.0)?;
    let lanes = lanes(core, around, &scale);
    let (first, end) = scale.range();
    let bands: Vec<_> = injections
        .iter()
        .filter(|i| i.injected.is_some_and(|t| t.0 <= end))
        .filter(|i| i.reverted.is_none_or(|t| t.0 >= first))
        .take(MAX_BANDS)
        .collect();

    let top = bands.len() as f64 * BAND + 6.0;
    let bottom = top + lanes.iter().map(Lane::height).sum::<f64>() + 4.0;
    let height = bottom + AXIS;
    let mut s = String::new();
    // Writing to a string cannot fail.
    let _ = write!(
        s,
        "<svg class=\"ops\" role=\"img\" viewBox=\"0 0 {WIDTH} {height}\" aria-labelledby=\"{id}-t {id}-d\">\
         <title id=\"{id}-t\">{} on key {}</title><desc id=\"{id}-d\">{}</desc>",
        escape(&shorten(&a.name, 60)),
        escape(&shorten(&a.key, 60)),
        escape(&shorten(&describe(a, core, injections), 1200)),
    );
    for (row, i) in bands.iter().enumerate() {
        band(&mut s, i, row, &scale, bottom);
    }
    let mut y = top;
    for lane in &lanes {
        lane.draw(&mut s, y, &scale);
        y += lane.height();
    }
    axis(&mut s, bottom, &scale);
    s.push_str("</svg>");
    Some(s)
}

/// What is to be seen, for those who do not see it.
fn describe(a: &Anomaly, core: &[OperationRecord], injections: &[InjectionReport]) -> String {
    let mut sorted: Vec<_> = core.iter().collect();
    sorted.sort_by_key(|o| (o.invoked, o.index));
    let lines: Vec<_> = sorted.into_iter().map(line).collect();
    let faults: Vec<_> = overlapping(a, injections)
        .into_iter()
        .map(super::in_force)
        .collect();
    let faults = if faults.is_empty() {
        "No fault was in force.".to_string()
    } else {
        format!("In force: {}.", faults.join("; "))
    };
    format!("{} {}. {faults}", a.summary, lines.join("; "))
}

/// The operations of one process.
struct Lane<'a> {
    process: u64,
    through: String,
    /// In order of time; true for those that show the anomaly.
    ops: Vec<(&'a OperationRecord, bool)>,
    labels: Vec<Label>,
}

struct Label {
    row: usize,
    x: f64,
    text: String,
    strong: bool,
}

fn lanes<'a>(
    core: &'a [OperationRecord],
    around: &'a [OperationRecord],
    scale: &Scale,
) -> Vec<Lane<'a>> {
    let mut all: Vec<_> = core.iter().map(|o| (o, true)).collect();
    all.extend(around.iter().map(|o| (o, false)));
    all.sort_by_key(|(o, _)| (o.invoked, o.index));
    let mut lanes: Vec<Lane<'a>> = Vec::new();
    for (o, strong) in all {
        match lanes.iter_mut().find(|l| l.process == o.process) {
            Some(lane) => lane.ops.push((o, strong)),
            None => lanes.push(Lane {
                process: o.process,
                through: format!("{} → {}", shorten(&o.az, 9), shorten(&o.endpoint, 9)),
                ops: vec![(o, strong)],
                labels: Vec::new(),
            }),
        }
    }
    for lane in &mut lanes {
        lane.labels = labels(&lane.ops, scale);
    }
    lanes
}

/// Places the labels of a lane, the strong ones first, in the lowest row that
/// is free. A pale one that finds no room is left out: its bar has a tooltip.
fn labels(ops: &[(&OperationRecord, bool)], scale: &Scale) -> Vec<Label> {
    let mut rows: Vec<Vec<(f64, f64)>> = vec![Vec::new(); MAX_ROWS];
    let mut out = Vec::new();
    for wanted in [true, false] {
        for (o, _) in ops.iter().filter(|(_, strong)| *strong == wanted) {
            let mut text = shorten(&o.what, 34);
            if o.outcome != "ok" {
                text.push_str(&format!(", {}", shorten(&o.outcome, 10)));
            }
            let width = text.chars().count() as f64 * if wanted { BOLD } else { CHARACTER };
            let x = scale.x(o.invoked.0).min(WIDTH - width).max(LEFT - 4.0);
            let free = |row: &[(f64, f64)]| row.iter().all(|(a, b)| x + width < *a || x > *b);
            // One row of labels is enough for what stands beside.
            let most = if wanted { MAX_ROWS } else { 1 };
            let row = match rows.iter().take(most).position(|r| free(r)) {
                Some(row) => row,
                None if wanted => MAX_ROWS - 1,
                None => continue,
            };
            rows[row].push((x, x + width));
            out.push(Label {
                row,
                x,
                text,
                strong: wanted,
            });
        }
    }
    out
}

impl Lane<'_> {
    fn height(&self) -> f64 {
        let rows = self.labels.iter().map(|l| l.row + 1).max().unwrap_or(0);
        (rows as f64 * LABEL + BAR + 12.0).max(38.0)
    }

    fn draw(&self, s: &mut String, y: f64, scale: &Scale) {
        let floor = y + self.height();
        let bar = floor - BAR - 6.0;
        let strong = self.ops.iter().any(|(_, strong)| *strong);
        let _ = write!(
            s,
            "<line x1=\"0\" x2=\"{WIDTH}\" y1=\"{floor}\" y2=\"{floor}\" class=\"s-grid\"/>\
             <text x=\"0\" y=\"{}\" class=\"{}\">process {}</text>\
             <text x=\"0\" y=\"{}\" class=\"f-muted sm\">{}</text>",
            floor - 20.0,
            if strong { "f-text" } else { "f-muted" },
            self.process,
            floor - 6.0,
            escape(&self.through),
        );
        for (o, strong) in &self.ops {
            draw_bar(s, o, *strong, bar, scale);
        }
        for l in &self.labels {
            let _ = write!(
                s,
                "<text x=\"{:.1}\" y=\"{:.1}\" class=\"{}\">{}</text>",
                l.x,
                bar - 5.0 - l.row as f64 * LABEL,
                if l.strong { "f-text b" } else { "f-muted" },
                escape(&l.text)
            );
        }
    }
}

fn draw_bar(s: &mut String, o: &OperationRecord, strong: bool, y: f64, scale: &Scale) {
    let x0 = scale.x(o.invoked.0);
    let open = o.returned.is_none();
    let x1 = if open {
        RIGHT
    } else {
        scale.x(last(o).0).max(x0 + 5.0)
    };
    let ink = if o.what.starts_with("read") || o.what.starts_with("eventual") {
        "read"
    } else {
        "write"
    };
    let (middle, end) = (y + BAR / 2.0, y + BAR);
    let pale = if strong { "" } else { " pale" };
    let _ = write!(
        s,
        "<g class=\"op{pale}\"><title>{}</title>",
        escape(&shorten(&line(o), 300))
    );
    match o.outcome.as_str() {
        "ok" => {
            let _ = write!(
                s,
                "<rect x=\"{x0:.1}\" y=\"{y:.1}\" width=\"{:.1}\" height=\"{BAR}\" rx=\"2\" class=\"f-{ink}\"/>",
                x1 - x0
            );
        }
        "failed" => {
            let _ = write!(
                s,
                "<rect x=\"{x0:.1}\" y=\"{y:.1}\" width=\"{:.1}\" height=\"{BAR}\" rx=\"2\" class=\"s-{ink} hollow\"/>\
                 <path d=\"M{:.1} {:.1}l8 8m0 -8l-8 8\" class=\"s-fail two\"/>",
                x1 - x0,
                x1 + 4.0,
                middle - 4.0
            );
        }
        _ => {
            let _ = write!(
                s,
                "<path d=\"M{x1:.1} {y:.1}H{x0:.1}V{end:.1}H{x1:.1}\" class=\"s-{ink} hollow dash\"/>"
            );
            if !open && x1 < RIGHT {
                let _ = write!(
                    s,
                    "<path d=\"M{x1:.1} {middle:.1}H{RIGHT}\" class=\"s-{ink} hollow dash\"/>"
                );
            }
            let _ = write!(
                s,
                "<path d=\"M{RIGHT} {:.1}l6 5l-6 5\" class=\"s-{ink} hollow\"/>",
                middle - 5.0
            );
        }
    }
    s.push_str("</g>");
}

fn band(s: &mut String, i: &InjectionReport, row: usize, scale: &Scale, bottom: f64) {
    let (first, end) = scale.range();
    let from = i.injected.unwrap_or(i.intent).0;
    let x0 = if from < first { LEFT } else { scale.x(from) };
    let x1 = match i.reverted {
        Some(t) if t.0 <= end => scale.x(t.0).max(x0 + 2.0),
        _ => RIGHT,
    };
    let y = row as f64 * BAND;
    let text = shorten(
        &format!("{} {}", i.injection.fault, i.injection.selector),
        40,
    );
    let width = text.chars().count() as f64 * CHARACTER;
    let (ink, anchor, x) = if x1 - x0 > width + 12.0 {
        ("on-fault", "start", x0 + 6.0)
    } else if x1 + 6.0 + width < WIDTH {
        ("text", "start", x1 + 6.0)
    } else {
        ("text", "end", x0 - 6.0)
    };
    let _ = write!(
        s,
        "<g><title>{}</title>\
         <rect x=\"{x0:.1}\" y=\"{y}\" width=\"{:.1}\" height=\"{:.1}\" class=\"f-fault\" opacity=\".12\"/>\
         <rect x=\"{x0:.1}\" y=\"{}\" width=\"{:.1}\" height=\"16\" class=\"f-fault\"/></g>\
         <text x=\"{x:.1}\" y=\"{}\" text-anchor=\"{anchor}\" class=\"f-{ink}\">{}</text>",
        escape(&shorten(&super::in_force(i), 200)),
        x1 - x0,
        bottom - y,
        y + 1.0,
        x1 - x0,
        y + 13.5,
        escape(&text)
    );
}

fn axis(s: &mut String, y: f64, scale: &Scale) {
    let _ = write!(s, "<path d=\"M{LEFT} {y:.1}H{RIGHT}\" class=\"s-muted\"/>");
    for cut in &scale.cuts {
        let middle = (cut.from + cut.to) / 2.0;
        // A gap in the axis between two slashes, and how long it is.
        let _ = write!(
            s,
            "<path d=\"M{:.1} {y:.1}h6\" class=\"s-bg\"/>\
             <path d=\"M{:.1} {:.1}l4 -8m2 8l4 -8\" class=\"s-muted\"/>",
            middle - 3.0,
            middle - 5.0,
            y + 4.0
        );
        let text = numbers::latency(std::time::Duration::from_nanos(cut.length));
        if cut.to - cut.from > (text.len() as f64 + 1.0) * CHARACTER {
            let _ = write!(
                s,
                "<text x=\"{middle:.1}\" y=\"{:.1}\" text-anchor=\"middle\" class=\"f-muted sm\">{text}</text>",
                y - 6.0
            );
        }
    }
    for (t, x) in scale.ticks(84.0) {
        let _ = write!(
            s,
            "<path d=\"M{x:.1} {y:.1}v6\" class=\"s-muted\"/>\
             <text x=\"{x:.1}\" y=\"{:.1}\" text-anchor=\"middle\" class=\"f-muted sm\">{}</text>",
            y + 20.0,
            gameday_record::Nanos(t)
        );
    }
    if !scale.cuts.is_empty() {
        let _ = write!(
            s,
            "<text x=\"0\" y=\"{:.1}\" class=\"f-muted sm\">// time left out</text>",
            y + 20.0
        );
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use gameday_record::Nanos;

    fn op(process: u64, what: &str, from: u64, to: Option<u64>, outcome: &str) -> OperationRecord {
        OperationRecord {
            index: from,
            process,
            az: "a".into(),
            endpoint: "b".into(),
            table: String::new(),
            what: what.into(),
            invoked: Nanos(from * 1_000_000),
            returned: to.map(|t| Nanos(t * 1_000_000)),
            outcome: outcome.into(),
        }
    }

    fn anomaly(operations: Vec<OperationRecord>, around: Vec<OperationRecord>) -> Anomaly {
        Anomaly {
            name: "stale read".into(),
            key: "k1".into(),
            summary: "Process 2 read 1 after 2 was acknowledged.".into(),
            violates: "linearizability".into(),
            operations,
            around,
        }
    }

    #[test]
    fn a_process_has_one_lane_and_an_unknown_call_has_no_end() {
        let a = anomaly(
            vec![
                op(1, "write 2", 0, Some(3), "ok"),
                op(1, "write 3", 5, None, "unknown"),
                op(2, "read found 1", 9, Some(12), "ok"),
            ],
            vec![op(3, "cas 1 to 9", 1, Some(4), "failed")],
        );
        let svg = picture(&a, &[], "x").unwrap();
        assert_eq!(svg.matches(">process ").count(), 3);
        assert_eq!(svg.matches("class=\"op\"").count(), 3);
        assert_eq!(svg.matches("class=\"op pale\"").count(), 1);
        assert_eq!(svg.matches(" hollow dash\"").count(), 1);
        assert!(svg.contains("No fault was in force."));
        assert!(svg.contains("write 3: unknown, from +0.005 s, no answer"));
    }

    #[test]
    fn without_operations_there_is_no_picture_and_many_are_bounded() {
        assert_eq!(picture(&anomaly(vec![], vec![]), &[], "x"), None);
        let many = |n: u64| {
            (0..n)
                .map(|i| op(i, "write 1", i, Some(i + 1), "ok"))
                .collect()
        };
        let svg = picture(&anomaly(many(40), many(40)), &[], "x").unwrap();
        assert_eq!(svg.matches("<g class=\"op").count(), 16);
    }

    #[test]
    fn labels_of_a_lane_never_overlap_and_the_strong_ones_are_all_there() {
        let ops: Vec<_> = (0..12)
            .map(|i| op(1, "read found 123456", i * 2, Some(i * 2 + 1), "ok"))
            .collect();
        let scale = Scale::new((0..24).map(|t| t * 1_000_000).collect(), LEFT, RIGHT).unwrap();
        let marked: Vec<_> = ops
            .iter()
            .enumerate()
            .map(|(i, o)| (o, i == 5 || i == 6))
            .collect();
        let labels = labels(&marked, &scale);
        assert_eq!(labels.iter().filter(|l| l.strong).count(), 2);
        for (i, a) in labels.iter().enumerate() {
            for b in &labels[..i] {
                let width = a.text.len() as f64 * CHARACTER;
                assert!(a.row != b.row || (a.x - b.x).abs() >= width);
            }
        }
    }
}
