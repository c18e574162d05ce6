//! What happened: phases, faults and alarms as bars over the same time axis.

use super::{Area, Axis, BAR, Drawn, FAIL, FAULT, LEFT, MUTED, ON_FAULT, RIGHT, TEXT, WIDTH, font};
use crate::report::{AlarmRow, AlarmSource, Firing, InjectionReport, Report};
use gameday_record::Nanos;
use plotters::prelude::*;
use plotters::style::text_anchor::{HPos, VPos};

/// Injections drawn one by one, with their names.
const MAX_BARS: usize = 60;
/// Stretches nearer to each other than this are drawn as one, where there are many, in pixels.
const APART: i32 = 4;
/// Rows of injection bars; more share rows.
const MAX_ROWS: usize = 8;
/// Gaps drawn in one bar.
const MAX_GAPS: usize = 20;
/// Alarms drawn.
pub const MAX_ALARMS: usize = 5;
/// Stretches of a row that are drawn apart.
const MAX_STRETCHES: usize = 200;
/// Width of the mark where an alarm fired.
const MARK: i32 = 6;

/// True if there are too many injections to tell them apart: then they are drawn as stretches of
/// time in which any was in force, in one row and without names.
fn crowded(report: &Report) -> bool {
    report.injections.len() > MAX_BARS
}

/// The stretches in which a fault was in force, in pixels: one per injection, or, if they are too
/// many, those together that touch.
pub fn bands(report: &Report, axis: Axis) -> Vec<(i32, i32)> {
    let mut all: Vec<(i32, i32)> = report
        .injections
        .iter()
        .map(|i| {
            let (a, b) = extent(report, i);
            (axis.x(a), axis.x(b).max(axis.x(a) + 2))
        })
        .collect();
    if crowded(report) {
        all = united(all, MAX_STRETCHES);
    }
    all
}

/// Stretches of the axis as they look, in order: those that nothing can be seen between are one.
/// If there are more than `most`, so are those with little between them.
pub fn united(mut all: Vec<(i32, i32)>, most: usize) -> Vec<(i32, i32)> {
    all.sort_unstable();
    let mut apart = APART;
    loop {
        all.dedup_by(|next, kept| {
            let touch = next.0 <= kept.1 + apart;
            if touch {
                kept.1 = kept.1.max(next.1);
            }
            touch
        });
        if all.len() <= most.max(1) {
            return all;
        }
        apart *= 2;
    }
}

/// Which row each injection's bar stands in: the first where it does not
/// overlap, so that faults one after the other share a row.
pub fn pack(report: &Report) -> Vec<usize> {
    let axis = Axis::of(report);
    if crowded(report) {
        return vec![0; report.injections.len()];
    }
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

pub fn extent(report: &Report, i: &InjectionReport) -> (f64, f64) {
    let from = i.injected.unwrap_or(i.intent);
    let to = i.reverted.unwrap_or(report.measured.to);
    (from.as_secs_f64(), to.as_secs_f64())
}

fn label(i: &InjectionReport) -> String {
    crate::render::ascii(
        &format!("{} {}", i.injection.fault, i.injection.selector),
        48,
    )
}

/// Generous estimate for 24 px text.
fn text_width(text: &str) -> i32 {
    text.len() as i32 * 14
}

pub fn phases(root: &Area<'_>, report: &Report, axis: Axis) -> Drawn {
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
                &crate::render::ascii(&p.name, 20),
                &font(24.0, MUTED, HPos::Left, VPos::Center),
                (x + 10, 21),
            )?;
        }
    }
    Ok(())
}

pub fn injections(root: &Area<'_>, report: &Report, rows: &[usize], axis: Axis, top: i32) -> Drawn {
    if crowded(report) {
        for (x0, x1) in bands(report, axis) {
            let bar = [(x0, top + 6), (x1, top + BAR - 6)];
            root.draw(&Rectangle::new(bar, FAULT.filled()))?;
        }
    }
    let single = report.injections.iter().filter(|_| !crowded(report));
    for (i, row) in single.zip(rows) {
        let (a, b) = extent(report, i);
        let (x0, x1) = (axis.x(a), axis.x(b).max(axis.x(a) + 4));
        let y = top + *row as i32 * BAR + 6;
        let (y0, y1) = (y, y + BAR - 12);
        root.draw(&Rectangle::new([(x0, y0), (x1, y1)], FAULT.filled()))?;
        for gap in i.gaps.iter().take(MAX_GAPS) {
            let to = gap.to().map_or(x1, |to| axis.x(to.as_secs_f64()).min(x1));
            let from = axis.x(gap.from.as_secs_f64()).clamp(x0, to.max(x0));
            root.draw(&Rectangle::new([(from, y0), (to, y1)], MUTED.filled()))?;
        }
        let well = i
            .impact
            .as_ref()
            .filter(|x| x.recovery.ms.is_some())
            .zip(i.reverted);
        let x2 = match well {
            Some((x, reverted)) => {
                let ms = x.recovery.ms.unwrap_or_default();
                axis.x(reverted.as_secs_f64() + ms as f64 / 1000.0).max(x1)
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

/// The alarms that fired and are drawn: the playbook's, then pages as
/// production would see them.
pub fn fired(report: &Report) -> Vec<&AlarmRow> {
    let of = |source, severity: &'static str| {
        report.alarms.iter().filter(move |a| {
            a.source == source && !a.firings.is_empty() && a.severity.starts_with(severity)
        })
    };
    of(AlarmSource::Playbook, "")
        .chain(of(AlarmSource::Standard, "page"))
        .take(MAX_ALARMS)
        .collect()
}

/// A row per alarm: a mark where it fired, a bar until it cleared.
pub fn alarms(root: &Area<'_>, shown: &[&AlarmRow], to: Nanos, axis: Axis, top: i32) -> Drawn {
    for (row, a) in shown.iter().enumerate() {
        let y0 = top + row as i32 * BAR + 10;
        let (y1, middle) = (y0 + BAR - 24, y0 + (BAR - 24) / 2);
        let from = |f: &Firing| axis.x(f.at.as_secs_f64());
        let until = |f: &Firing| axis.x(f.cleared.unwrap_or(to).as_secs_f64());
        let bars = a
            .firings
            .iter()
            .map(|f| (from(f), until(f).max(from(f) + MARK)));
        let bars = united(bars.collect(), MAX_STRETCHES);
        let marks = a.firings.iter().map(|f| (from(f), from(f) + MARK));
        for (x0, x1) in &bars {
            let bar = [(*x0, y0), (*x1, y1)];
            root.draw(&Rectangle::new(bar, FAIL.mix(0.25).filled()))?;
        }
        for (x0, x1) in united(marks.collect(), MAX_STRETCHES) {
            root.draw(&Rectangle::new([(x0, y0), (x1, y1)], FAIL.filled()))?;
        }
        let end = bars.last().map_or(LEFT, |(_, end)| *end);
        let name = crate::render::ascii(&a.name, 40);
        let width = text_width(&name) + 24;
        let first = bars.first().map_or(LEFT, |(first, _)| *first);
        // Inside the first bar if nothing is in the way, else beside.
        let (h, x) = if a.firings.len() == 1 && end - first > width {
            (HPos::Left, first + 18)
        } else if end + width < WIDTH - 4 {
            (HPos::Left, end + 12)
        } else {
            (HPos::Right, first - 12)
        };
        // Before the first bar there may be little room, and the lane's own name in it.
        let room = match h {
            HPos::Right => (x - text_width("Alarms ")).max(0) as usize / text_width(" ") as usize,
            _ => name.len(),
        };
        let name = crate::render::ascii(&name, room);
        root.draw_text(&name, &font(24.0, TEXT, h, VPos::Center), (x, middle))?;
    }
    if !shown.is_empty() {
        root.draw_text(
            "Alarms",
            &font(26.0, TEXT, HPos::Left, VPos::Center),
            (0, top + BAR / 2),
        )?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stretches_that_touch_are_one_and_more_are_if_there_are_many() {
        let united_of = |most| united(vec![(50, 60), (10, 30), (34, 40), (20, 30)], most);
        assert_eq!(united_of(9), [(10, 40), (50, 60)]);
        assert_eq!(united_of(1), [(10, 60)]);
        assert_eq!(united(vec![], 1), []);
        let many = (0..2_000).map(|i| (i * 10, i * 10 + 2)).collect();
        let few = united(many, 200);
        assert_eq!((few[0].0, few[few.len() - 1].1), (0, 19_992));
        assert!(few.len() <= 200);
    }
}
