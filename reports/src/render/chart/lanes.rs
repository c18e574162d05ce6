//! What clients got: a lane of answered calls per kind, and one of latency.

use super::bars::united;
use super::{
    Area, Axis, Drawn, FAIL, GRID, LANE, LATENCY, LEFT, MUTED, READ, RIGHT, TEXT, TICKS, Take,
    WIDTH, WRITE, font,
};
use crate::report::{Point, Quantiles, Report};
use plotters::prelude::*;
use plotters::style::text_anchor::{HPos, VPos};

/// One kind's latency of a step.
type Latency = fn(&Point) -> Option<Quantiles>;
/// One quantile of it.
type Microseconds = fn(Quantiles) -> u64;

/// Points of a line of latency.
const MAX_LATENCIES: usize = 400;
/// Suspect stretches that are hatched apart: each takes some lines.
const MAX_SUSPECT: usize = 60;

pub fn success(
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
    let lane = root
        .clone()
        .shrink((LEFT, top), ((WIDTH - LEFT - RIGHT) as u32, LANE as u32));
    let mut chart = ChartBuilder::on(&lane).build_cartesian_2d(axis.from..axis.to, 0f64..1f64)?;

    // What was not answered hangs from the top, and is never thinner than a hair.
    let deep = points.iter().map(|p| {
        let c = counts(p);
        let a = c.availability().filter(|_| c.missed() > 0)?;
        Some(((1.0 - a) * f64::from(LANE)).max(4.0))
    });
    for line in steps(deep, axis.from, step) {
        let (x0, x1) = match line[..] {
            [(a, _), .., (b, _)] => (axis.x(a), axis.x(b).max(axis.x(a) + 2)),
            _ => continue,
        };
        let mut area: Vec<(i32, i32)> = line
            .iter()
            .map(|(t, deep)| (axis.x(*t), top + *deep as i32))
            .collect();
        if let Some(last) = area.last_mut() {
            last.0 = x1;
        }
        area.extend([(x1, top), (x0, top)]);
        root.draw(&Polygon::new(area, FAIL.mix(0.55).filled()))?;
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

/// Lines through the middle of each step, one per stretch with data: half as large as step lines.
fn joined(values: impl Iterator<Item = Option<f64>>, from: f64, step: f64) -> Vec<Vec<(f64, f64)>> {
    let mut lines = vec![Vec::new()];
    for (i, v) in values.enumerate() {
        let t = from + (i as f64 + 0.5) * step;
        match (v, lines.last_mut()) {
            (Some(v), Some(line)) => line.push((t, v)),
            (None, Some(line)) if !line.is_empty() => lines.push(Vec::new()),
            _ => {}
        }
    }
    lines.retain(|l: &Vec<_>| !l.is_empty());
    // One step alone is a dash.
    for line in &mut lines {
        if let [(t, v)] = line[..] {
            *line = vec![(t - step / 2.0, v), (t + step / 2.0, v)];
        }
    }
    lines
}

pub fn latency(root: &Area<'_>, report: &Report, axis: Axis, top: i32) -> Drawn {
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
    suspect(root, report, axis, top)?;
    let points = &report.series.points;
    let quantiles = || {
        points
            .iter()
            .flat_map(|p| [p.write_latency, p.read_latency])
    };
    let all = || quantiles().flatten().flat_map(|q| [q.p50_us, q.p99_us]);
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
    // Of neighbouring steps that are hardly apart on the screen, the slowest.
    let bin = points.len().div_ceil(MAX_LATENCIES).max(1);
    // Reads and writes apart, in the colours of their lanes.
    let of: [(RGBColor, Latency); 2] = [(READ, |p| p.read_latency), (WRITE, |p| p.write_latency)];
    let what: [(&str, u32, Microseconds); 2] = [("p50", 2, |q| q.p50_us), ("p99", 4, |q| q.p99_us)];
    for (ink, latency) in of {
        for (name, width, quantile) in what {
            let value = |p: &Point| latency(p).map(|q| quantile(q) as f64);
            let highest = |all: &[Point]| all.iter().filter_map(value).reduce(f64::max);
            let bins = points.chunks(bin).map(highest);
            for line in joined(bins, axis.from, step * bin as f64) {
                chart.draw_series(std::iter::once(PathElement::new(
                    line,
                    ink.stroke_width(width),
                )))?;
            }
            if let Some(v) = points.iter().rev().find_map(value) {
                ends.push((name, ink, pixel(v)));
            }
        }
    }
    apart(&mut ends, top + LATENCY);
    for (name, ink, y) in ends {
        root.draw_text(
            name,
            &font(24.0, ink, HPos::Left, VPos::Center),
            (WIDTH - RIGHT + 12, y),
        )?;
    }
    Ok(())
}

/// Pushes names apart that would be written over each other, from the lowest, at most at `bottom`,
/// upwards.
fn apart(ends: &mut [(&str, RGBColor, i32)], bottom: i32) {
    const LINE: i32 = 26;
    ends.sort_by_key(|end| std::cmp::Reverse(end.2));
    let mut below = bottom + LINE;
    for end in ends {
        end.2 = end.2.min(below - LINE);
        below = end.2;
    }
}

/// Hatches the seconds in which a canary sent late: latencies there are partly
/// its own.
fn suspect(root: &Area<'_>, report: &Report, axis: Axis, top: i32) -> Drawn {
    let all = report.trust.canaries.iter().flat_map(|c| &c.suspect);
    let all = all.map(|(from, to)| (axis.x(*from as f64), axis.x(*to as f64)));
    for (x0, x1) in united(all.collect(), MAX_SUSPECT) {
        for line in hatching((x0, x1), (top, top + LATENCY)) {
            root.draw(&PathElement::new(line, MUTED.mix(0.5).stroke_width(2)))?;
        }
    }
    Ok(())
}

/// Parallel lines that lean by 45 degrees, within a rectangle.
fn hatching((left, right): (i32, i32), (top, bottom): (i32, i32)) -> Vec<[(i32, i32); 2]> {
    const APART: usize = 18;
    let (wide, high) = (right - left, bottom - top);
    // Each is x - left + bottom - y = n.
    (0..wide + high)
        .step_by(APART)
        .map(|n| {
            let from = (left + n.min(wide), bottom - (n - n.min(wide)));
            let to = (left + (n - n.min(high)), bottom - n.min(high));
            [from, to]
        })
        .collect()
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

#[cfg(test)]
mod tests {
    use super::{TEXT, apart, hatching, joined, steps};

    #[test]
    fn joined_lines_break_where_nothing_was_measured() {
        let (a, b) = (Some(1.0), Some(2.0));
        assert_eq!(
            joined([None, a, b, None, None, b].into_iter(), 10.0, 1.0),
            [
                vec![(11.5, 1.0), (12.5, 2.0)],
                vec![(15.0, 2.0), (16.0, 2.0)]
            ]
        );
    }

    #[test]
    fn names_are_not_written_over_each_other() {
        let mut ends = [
            ("a", TEXT, 100),
            ("b", TEXT, 110),
            ("c", TEXT, 300),
            ("d", TEXT, 105),
        ];
        apart(&mut ends, 210);
        assert_eq!(
            ends.map(|e| (e.0, e.2)),
            [("c", 210), ("b", 110), ("d", 84), ("a", 58)]
        );
    }

    #[test]
    fn hatching_stays_inside() {
        for (wide, high) in [(4, 210), (300, 210), (1, 1), (0, 210)] {
            let lines = hatching((100, 100 + wide), (50, 50 + high));
            assert!(!lines.is_empty());
            for (x, y) in lines.into_iter().flatten() {
                assert!((100..=100 + wide).contains(&x), "{x}");
                assert!((50..=50 + high).contains(&y), "{y}");
            }
        }
    }

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
