//! The timeline chart: what was injected, what clients got, how long it took,
//! on one time axis.
//!
//! plotters draws in fixed colours at twice the size; afterwards each colour
//! becomes a CSS class, so that the page's theme paints the chart.

mod bars;
mod hints;
mod lanes;

use crate::fold::Counts;
use crate::report::{AlarmRow, Point, Report};
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
    let rows = bars::pack(report);
    let alarms = bars::fired(report);
    let used = rows.iter().map(|r| r + 1).max().unwrap_or(0) as i32;
    let height = PHASES
        + (used + alarms.len() as i32) * BAR
        + 20
        + 3 * (LANE + TICKS + GAP)
        + LATENCY
        + AXIS;
    let mut svg = String::new();
    {
        let root =
            SVGBackend::with_string(&mut svg, (WIDTH as u32, height as u32)).into_drawing_area();
        draw(&root, report, &rows, &alarms, height).ok()?;
        root.present().ok()?;
    }
    let hints = hints::hints(report, Axis::of(report), height - AXIS);
    Some(themed(&svg, height, &describe(report), &hints))
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

fn draw(
    root: &Area<'_>,
    report: &Report,
    rows: &[usize],
    alarms: &[&AlarmRow],
    height: i32,
) -> Drawn {
    let axis = Axis::of(report);
    let bottom = height - AXIS;
    let top = PHASES;
    let used = rows.iter().map(|r| r + 1).max().unwrap_or(0) as i32;
    let alarm_rows = top + used * BAR;
    let first_lane = alarm_rows + alarms.len() as i32 * BAR + 20;

    for (x0, x1) in bars::bands(report, axis) {
        root.draw(&Rectangle::new(
            [(x0, top), (x1, bottom)],
            FAULT.mix(0.12).filled(),
        ))?;
        for x in [x0, x1] {
            root.draw(&PathElement::new(
                [(x, top), (x, bottom)],
                FAULT.mix(0.6).stroke_width(2),
            ))?;
        }
    }
    bars::phases(root, report, axis)?;
    bars::injections(root, report, rows, axis, top)?;
    bars::alarms(root, alarms, report.measured.to, axis, alarm_rows)?;

    let kinds: [(&str, RGBColor, Take); 3] = [
        ("Writes", WRITE, |p| p.write),
        ("Strong reads", READ, |p| p.read),
        ("Eventual reads", EVENTUAL, |p| p.eventual),
    ];
    let mut y = first_lane;
    for (name, ink, counts) in kinds {
        lanes::success(root, report, axis, y, name, ink, counts)?;
        y += LANE + TICKS + GAP;
    }
    lanes::latency(root, report, axis, y)?;
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

/// A sentence or two that state the finding, for those who do not see the chart.
fn describe(report: &Report) -> String {
    let s = &report.series;
    let mut faults = crate::numbers::plural(report.injections.len() as u64, "fault");
    let alarms = bars::fired(report).len();
    if alarms > 0 {
        faults.push_str(&format!(
            ", {} that fired",
            crate::numbers::plural(alarms as u64, "alarm")
        ));
    }
    let lowest = |of: Take| {
        s.points
            .iter()
            .enumerate()
            .filter_map(|(i, p)| Some((i, of(p).availability()?)))
            .min_by(|a, b| a.1.total_cmp(&b.1))
    };
    let kinds: [(&str, Take); 3] = [
        ("writes", |p| p.write),
        ("strong reads", |p| p.read),
        ("eventual reads", |p| p.eventual),
    ];
    let told: Vec<String> = kinds
        .into_iter()
        .filter_map(|(name, of)| {
            Some(match lowest(of)? {
                (_, a) if a >= 1.0 => format!("{name} were all answered"),
                (i, a) => format!(
                    "{name} were lowest at +{} s, with {:.0} % answered",
                    s.start + i as u64 * s.step,
                    (a * 100.0).floor()
                ),
            })
        })
        .collect();
    let told = match &told[..] {
        [] => "nothing was measured".into(),
        all => all.join(", "),
    };
    format!("{faults}; {told}. The tables below have the numbers.")
}

/// Colours become classes, and the element becomes one that a page can hold.
/// `over` comes on top of all that was drawn.
fn themed(svg: &str, height: i32, desc: &str, over: &str) -> String {
    let body = svg
        .find('>')
        .map_or("", |i| &svg[i + 1..])
        .trim_end()
        .trim_end_matches("</svg>")
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
         <desc id=\"tl-d\">{desc}</desc>{body}{over}</svg>"
    )
}
