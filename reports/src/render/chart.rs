//! The timeline chart: what was injected, what clients got, how long it took,
//! on one time axis.
//!
//! plotters draws in fixed colours at twice the size; afterwards each colour
//! becomes a CSS class, so that the page's theme paints the chart.

use crate::fold::Counts;
use crate::report::{Point, Report};
use plotters::coord::Shift;
use plotters::prelude::*;
use plotters::style::text_anchor::{HPos, Pos, VPos};

type Area<'a> = DrawingArea<SVGBackend<'a>, Shift>;
/// One kind's counts of a step.
type Take = fn(&Point) -> Counts;
type Drawn = Result<(), Box<dyn std::error::Error>>;

const WIDTH: i32 = 2240;
const LEFT: i32 = 310;
const RIGHT: i32 = 90;
const PHASES: i32 = 52;
const BAR: i32 = 52;
const LANE: i32 = 160;
const TICKS: i32 = 16;
const GAP: i32 = 38;
const LATENCY: i32 = 210;
const AXIS: i32 = 64;
/// Rows of injection bars; more share rows.
const MAX_ROWS: usize = 8;

/// Each colour stands for a CSS class and is never seen.
macro_rules! inks {
    ($($name:ident = $n:literal, $class:literal;)*) => {
        $(const $name: RGBColor = RGBColor($n, $n, $n);)*
        const INKS: &[(u8, &str)] = &[$(($n, $class)),*];
    };
}
inks! {
    TEXT = 1, "text";
    MUTED = 2, "muted";
    GRID = 3, "grid";
    WRITE = 4, "write";
    READ = 5, "read";
    EVENTUAL = 6, "third";
    FAIL = 7, "fail";
    FAULT = 8, "fault";
    ON_FAULT = 9, "on-fault";
}

/// The chart as an inline SVG element, or `None` if nothing was measured.
pub fn timeline(report: &Report) -> Option<String> {
    if report.measured.operations == 0 || report.series.points.is_empty() {
        return None;
    }
    let rows = pack(report);
    let used = rows.iter().map(|r| r + 1).max().unwrap_or(0) as i32;
    let height = PHASES + used * BAR + 20 + 3 * (LANE + TICKS + GAP) + LATENCY + AXIS;
    let mut svg = String::new();
    {
        let root =
            SVGBackend::with_string(&mut svg, (WIDTH as u32, height as u32)).into_drawing_area();
        draw(&root, report, &rows, used, height).ok()?;
        root.present().ok()?;
    }
    Some(themed(&svg, height, &describe(report)))
}

/// Time axis: seconds of the run to pixels.
#[derive(Clone, Copy)]
struct Axis {
    from: f64,
    to: f64,
}

impl Axis {
    fn of(report: &Report) -> Axis {
        let s = &report.series;
        let from = s.start as f64;
        Axis {
            from,
            to: from + (s.points.len() as u64 * s.step) as f64,
        }
    }
    fn x(&self, t: f64) -> i32 {
        let share = ((t - self.from) / (self.to - self.from)).clamp(0.0, 1.0);
        LEFT + (share * f64::from(WIDTH - LEFT - RIGHT)).round() as i32
    }
}

/// Which row each injection's bar stands in: the first where it does not
/// overlap, so that faults one after the other share a row.
fn pack(report: &Report) -> Vec<usize> {
    let axis = Axis::of(report);
    let mut ends: Vec<i32> = Vec::new();
    report
        .injections
        .iter()
        .map(|i| {
            let (a, b) = extent(report, i);
            let label = text_width(&label(i));
            let (from, to) = (axis.x(a), axis.x(b).max(axis.x(a)));
            // The label may stand beside its bar, on either side.
            let (from, to) = if to - from > label + 24 {
                (from, to)
            } else {
                (from - label - 24, to + label + 24)
            };
            let row = ends.iter().position(|e| *e < from).unwrap_or(ends.len());
            if row >= MAX_ROWS {
                return MAX_ROWS - 1;
            }
            if row == ends.len() {
                ends.push(to);
            } else {
                ends[row] = to;
            }
            row
        })
        .collect()
}

fn extent(report: &Report, i: &crate::report::InjectionReport) -> (f64, f64) {
    let from = i.injected.unwrap_or(i.intent);
    let to = i.reverted.unwrap_or(report.measured.to);
    (from.as_secs_f64(), to.as_secs_f64())
}

fn label(i: &crate::report::InjectionReport) -> String {
    super::ascii(
        &format!("{} {}", i.injection.fault, i.injection.selector),
        48,
    )
}

/// Generous estimate for 24 px text.
fn text_width(text: &str) -> i32 {
    text.len() as i32 * 14
}

fn draw(root: &Area<'_>, report: &Report, rows: &[usize], used: i32, height: i32) -> Drawn {
    let axis = Axis::of(report);
    let bottom = height - AXIS;
    let bars = PHASES;
    let first_lane = bars + used * BAR + 20;

    for i in &report.injections {
        let (a, b) = extent(report, i);
        let (x0, x1) = (axis.x(a), axis.x(b).max(axis.x(a) + 2));
        root.draw(&Rectangle::new(
            [(x0, bars), (x1, bottom)],
            FAULT.mix(0.12).filled(),
        ))?;
        for x in [x0, x1] {
            root.draw(&PathElement::new(
                [(x, bars), (x, bottom)],
                FAULT.mix(0.6).stroke_width(2),
            ))?;
        }
    }
    phases(root, report, axis)?;
    injections(root, report, rows, axis, bars)?;

    let lanes: [(&str, RGBColor, Take); 3] = [
        ("Writes", WRITE, |p| p.write),
        ("Strong reads", READ, |p| p.read),
        ("Eventual reads", EVENTUAL, |p| p.eventual),
    ];
    let mut y = first_lane;
    for (name, ink, counts) in lanes {
        success_lane(root, report, axis, y, name, ink, counts)?;
        y += LANE + TICKS + GAP;
    }
    latency_lane(root, report, axis, y)?;
    time_axis(root, axis, bottom)
}

fn font(size: f64, ink: RGBColor, h: HPos, v: VPos) -> TextStyle<'static> {
    // The SVG backend divides by 1.24.
    TextStyle {
        font: ("sans-serif", size * 1.24).into_font(),
        color: ink.to_backend_color(),
        pos: Pos::new(h, v),
    }
}

fn phases(root: &Area<'_>, report: &Report, axis: Axis) -> Drawn {
    let marks: Vec<_> = report
        .series
        .phases
        .iter()
        .filter(|p| {
            let t = p.at.as_secs_f64();
            t >= axis.from && t < axis.to
        })
        .collect();
    for (i, p) in marks.iter().enumerate() {
        let x = axis.x(p.at.as_secs_f64());
        let next = marks
            .get(i + 1)
            .map_or(WIDTH - RIGHT, |n| axis.x(n.at.as_secs_f64()));
        root.draw(&PathElement::new([(x, 4), (x, 38)], MUTED.stroke_width(2)))?;
        if next - x > text_width(&p.name) + 14 {
            root.draw_text(
                &super::ascii(&p.name, 20),
                &font(24.0, MUTED, HPos::Left, VPos::Center),
                (x + 10, 21),
            )?;
        }
    }
    Ok(())
}

fn injections(root: &Area<'_>, report: &Report, rows: &[usize], axis: Axis, top: i32) -> Drawn {
    for (i, row) in report.injections.iter().zip(rows) {
        let (a, b) = extent(report, i);
        let (x0, x1) = (axis.x(a), axis.x(b).max(axis.x(a) + 4));
        let y = top + *row as i32 * BAR + 6;
        let (y0, y1) = (y, y + BAR - 12);
        root.draw(&Rectangle::new([(x0, y0), (x1, y1)], FAULT.filled()))?;
        let well = i
            .impact
            .as_ref()
            .filter(|x| x.recovery.ms.is_some())
            .zip(crate::assemble::proven_gone(i));
        let x2 = match well {
            Some((x, gone)) => {
                let ms = x.recovery.ms.unwrap_or_default();
                axis.x(gone.as_secs_f64() + ms as f64 / 1000.0).max(x1)
            }
            None => x1,
        };
        if x2 > x1 {
            root.draw(&Rectangle::new(
                [(x1, y0), (x2, y1)],
                FAULT.mix(0.35).filled(),
            ))?;
        }
        let label = label(i);
        let width = text_width(&label) + 24;
        let middle = (y0 + y1) / 2;
        let (ink, h, x) = if x1 - x0 > width {
            (ON_FAULT, HPos::Left, x0 + 14)
        } else if x2 + width < WIDTH - 4 {
            (TEXT, HPos::Left, x2 + 12)
        } else {
            (TEXT, HPos::Right, x0 - 12)
        };
        root.draw_text(&label, &font(24.0, ink, h, VPos::Center), (x, middle))?;
    }
    if !report.injections.is_empty() {
        root.draw_text(
            "Faults",
            &font(26.0, TEXT, HPos::Left, VPos::Center),
            (0, top + BAR / 2),
        )?;
    }
    Ok(())
}

fn success_lane(
    root: &Area<'_>,
    report: &Report,
    axis: Axis,
    top: i32,
    name: &str,
    ink: RGBColor,
    counts: Take,
) -> Drawn {
    let bottom = top + LANE;
    root.draw_text(
        name,
        &font(26.0, TEXT, HPos::Left, VPos::Center),
        (0, top + 14),
    )?;
    for (share, text) in [(0, "0 %"), (50, "50 %"), (100, "100 %")] {
        let y = bottom - LANE * share / 100;
        root.draw(&PathElement::new(
            [(LEFT, y), (WIDTH - RIGHT, y)],
            GRID.stroke_width(if share == 0 { 2 } else { 1 }),
        ))?;
        // The name stands where 100 % would; two lines say enough.
        let y = if share == 100 { y + 46 } else { y };
        if share != 50 {
            let x = if share == 100 { 0 } else { LEFT - 14 };
            let (h, text) = if share == 100 {
                (HPos::Left, "answered")
            } else {
                (HPos::Right, text)
            };
            root.draw_text(text, &font(22.0, MUTED, h, VPos::Center), (x, y))?;
        }
    }
    root.draw_text(
        "100 %",
        &font(22.0, MUTED, HPos::Right, VPos::Center),
        (LEFT - 14, top),
    )?;
    let points = &report.series.points;
    let step = report.series.step as f64;
    let time = |i: usize| axis.from + i as f64 * step;
    let lane = root
        .clone()
        .shrink((LEFT, top), ((WIDTH - LEFT - RIGHT) as u32, LANE as u32));
    let mut chart = ChartBuilder::on(&lane).build_cartesian_2d(axis.from..axis.to, 0f64..1f64)?;

    // What was not answered hangs from the top, and is never thinner than a hair.
    for (i, p) in points.iter().enumerate() {
        let c = counts(p);
        let Some(a) = c.availability().filter(|_| c.missed() > 0) else {
            continue;
        };
        let (x0, x1) = (
            axis.x(time(i)),
            axis.x(time(i + 1)).max(axis.x(time(i)) + 2),
        );
        let deep = ((1.0 - a) * f64::from(LANE)).max(4.0) as i32;
        root.draw(&Rectangle::new(
            [(x0, top), (x1, top + deep)],
            FAIL.mix(0.55).filled(),
        ))?;
        root.draw(&Rectangle::new(
            [(x0, bottom + 5), (x1, bottom + TICKS)],
            FAIL.filled(),
        ))?;
    }
    for line in steps(
        points.iter().map(|p| counts(p).availability()),
        axis.from,
        step,
    ) {
        chart.draw_series(std::iter::once(PathElement::new(line, ink.stroke_width(4))))?;
    }
    Ok(())
}

/// Step lines, one per stretch with data: nothing is drawn where nothing was measured.
fn steps(values: impl Iterator<Item = Option<f64>>, from: f64, step: f64) -> Vec<Vec<(f64, f64)>> {
    let mut lines = Vec::new();
    let mut line: Vec<(f64, f64)> = Vec::new();
    for (i, v) in values.enumerate() {
        let t = from + i as f64 * step;
        match v {
            Some(v) => {
                // A level stretch needs two points, not two per second.
                if let [.., a, b] = line[..]
                    && a.1 == v
                    && b.1 == v
                {
                    line.pop();
                } else {
                    line.push((t, v));
                }
                line.push((t + step, v));
            }
            None => lines.push(std::mem::take(&mut line)),
        }
    }
    lines.push(line);
    lines.retain(|l| !l.is_empty());
    lines
}

fn latency_lane(root: &Area<'_>, report: &Report, axis: Axis, top: i32) -> Drawn {
    root.draw_text(
        "Latency",
        &font(26.0, TEXT, HPos::Left, VPos::Center),
        (0, top + 14),
    )?;
    root.draw_text(
        "answered, log",
        &font(22.0, MUTED, HPos::Left, VPos::Center),
        (0, top + 46),
    )?;
    let points = &report.series.points;
    let all = || points.iter().flat_map(|p| [p.p50_us, p.p99_us]).flatten();
    let (Some(low), Some(high)) = (all().min(), all().max()) else {
        return Ok(());
    };
    let low = low.max(1) as f64 / 1.3;
    let high = (high as f64 * 1.3).max(low * 10.0);
    let lane = root
        .clone()
        .shrink((LEFT, top), ((WIDTH - LEFT - RIGHT) as u32, LATENCY as u32));
    let mut chart =
        ChartBuilder::on(&lane).build_cartesian_2d(axis.from..axis.to, (low..high).log_scale())?;
    let pixel = |us: f64| {
        let share = (us.ln() - low.ln()) / (high.ln() - low.ln());
        top + LATENCY - (share * f64::from(LATENCY)).round() as i32
    };
    let mut last = i32::MAX;
    for us in (0..10).map(|e| 10f64.powi(e)).flat_map(|d| [d, d * 3.0]) {
        let decade = us.log10().fract() == 0.0;
        if us < low || us > high || (!decade && high / low > 300.0) {
            continue;
        }
        let y = pixel(us);
        root.draw(&PathElement::new(
            [(LEFT, y), (WIDTH - RIGHT, y)],
            GRID.stroke_width(1),
        ))?;
        // Keep clear of the label below, and of the lane's name.
        if last - y > 30 {
            root.draw_text(
                &tick_latency(us),
                &font(22.0, MUTED, HPos::Right, VPos::Center),
                (LEFT - 14, y),
            )?;
            last = y;
        }
    }
    let step = report.series.step as f64;
    let mut ends = Vec::new();
    for (name, ink, width, value) in [
        (
            "p50",
            MUTED,
            3,
            (|p: &Point| p.p50_us) as fn(&Point) -> Option<u64>,
        ),
        ("p99", TEXT, 4, |p: &Point| p.p99_us),
    ] {
        let values = points.iter().map(|p| value(p).map(|us| us as f64));
        for line in steps(values, axis.from, step) {
            chart.draw_series(std::iter::once(PathElement::new(
                line,
                ink.stroke_width(width),
            )))?;
        }
        if let Some(v) = points.iter().rev().find_map(value) {
            ends.push((name, ink, pixel(v as f64)));
        }
    }
    // p99 is above p50; push the names apart where the lines meet.
    if let [(_, _, p50), (_, _, p99)] = &mut ends[..] {
        let close = 28 - (*p50 - *p99);
        if close > 0 {
            *p50 += close / 2;
            *p99 -= close / 2;
        }
    }
    for (name, ink, y) in ends {
        root.draw_text(
            name,
            &font(24.0, ink, HPos::Left, VPos::Center),
            (WIDTH - RIGHT + 12, y),
        )?;
    }
    Ok(())
}

fn tick_latency(us: f64) -> String {
    if us < 1000.0 {
        format!("{us:.0} us")
    } else if us < 1e6 {
        format!("{:.0} ms", us / 1000.0)
    } else {
        format!("{:.0} s", us / 1e6)
    }
}

fn time_axis(root: &Area<'_>, axis: Axis, y: i32) -> Drawn {
    root.draw(&PathElement::new(
        [(LEFT, y), (WIDTH - RIGHT, y)],
        MUTED.stroke_width(2),
    ))?;
    let span = axis.to - axis.from;
    let step = [
        1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 1800, 3600, 10_800, 43_200, 86_400,
    ]
    .into_iter()
    .map(f64::from)
    .find(|s| span / s <= 14.0)
    .unwrap_or(span / 10.0);
    let mut t = (axis.from / step).ceil() * step;
    while t <= axis.to {
        let x = axis.x(t);
        root.draw(&PathElement::new(
            [(x, y), (x, y + 10)],
            MUTED.stroke_width(2),
        ))?;
        root.draw_text(
            &tick_time(t, step),
            &font(24.0, MUTED, HPos::Center, VPos::Top),
            (x, y + 18),
        )?;
        t += step;
    }
    Ok(())
}

fn tick_time(t: f64, step: f64) -> String {
    if step >= 3600.0 {
        format!("{:.1} h", t / 3600.0)
    } else if step >= 60.0 {
        format!("{:.0} min", t / 60.0)
    } else {
        format!("+{t:.0} s")
    }
}

/// One sentence that states the finding, for those who do not see the chart.
fn describe(report: &Report) -> String {
    let s = &report.series;
    let lowest = s
        .points
        .iter()
        .enumerate()
        .filter_map(|(i, p)| Some((i, p.write.availability()?)))
        .min_by(|a, b| a.1.total_cmp(&b.1));
    let faults = crate::numbers::plural(report.injections.len() as u64, "fault");
    match lowest {
        Some((_, a)) if a >= 1.0 => format!("{faults}; every write was answered throughout."),
        Some((i, a)) => format!(
            "{faults}; writes were lowest at +{} s, with {:.0} % answered. The table below has the numbers.",
            s.start + i as u64 * s.step,
            (a * 100.0).floor()
        ),
        None => format!("{faults}; no write was measured."),
    }
}

/// Colours become classes, and the element becomes one that a page can hold.
fn themed(svg: &str, height: i32, desc: &str) -> String {
    let body = svg
        .find('>')
        .map_or("", |i| &svg[i + 1..])
        .replace(" font-family=\"sans-serif\"", "")
        .replace(" opacity=\"1\"", "")
        .replace('\n', "");
    let mut body = body;
    for (n, class) in INKS {
        let hex = format!("#{n:02X}{n:02X}{n:02X}");
        body = body
            .replace(&format!("fill=\"{hex}\""), &format!("class=\"f-{class}\""))
            .replace(
                &format!("stroke=\"{hex}\""),
                &format!("class=\"s-{class}\""),
            );
    }
    let desc = super::escape(desc);
    format!(
        "<svg class=\"chart\" role=\"img\" viewBox=\"0 0 {WIDTH} {height}\" aria-labelledby=\"tl-t tl-d\">\
         <title id=\"tl-t\">Faults, success rates and latency over time</title>\
         <desc id=\"tl-d\">{desc}</desc>{body}"
    )
}

#[cfg(test)]
mod tests {
    use super::steps;

    #[test]
    fn lines_break_where_nothing_was_measured_and_level_ones_are_short() {
        let one = Some(1.0);
        let lines = steps([one, one, one, None, Some(0.5), one].into_iter(), 10.0, 1.0);
        assert_eq!(
            lines,
            vec![
                vec![(10.0, 1.0), (13.0, 1.0)],
                vec![(14.0, 0.5), (15.0, 0.5), (15.0, 1.0), (16.0, 1.0)],
            ]
        );
    }
}
