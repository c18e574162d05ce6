//! `summary.md`, for a CI page: verdict, one table, the worst findings.

use super::verdict_word;
use crate::numbers::{millis, shorten};
use crate::report::Report;
use std::fmt::Write;

/// Largest summary, in bytes; CI services drop large ones without a word.
const MAX: usize = 64 * 1024;

/// Renders it; at most 64 KiB.
pub fn markdown(report: &Report) -> String {
    let (o, h, run) = (&report.overall, &report.headline, &report.run);
    let mut s = String::new();
    // Writing to a string cannot fail.
    let _ = writeln!(s, "## {} · {}\n", o.ending.word(), text(&run.title));
    let _ = writeln!(s, "{}\n", text(&o.sentence));
    let more: Vec<_> = o
        .reasons
        .iter()
        .filter(|r| !o.sentence.contains(*r))
        .collect();
    for reason in more.iter().take(10) {
        let _ = writeln!(s, "- {}", text(reason));
    }
    if more.len() > 10 {
        let _ = writeln!(s, "- and {} more", more.len() - 10);
    }
    let _ = writeln!(
        s,
        "\n| | all pairs | untouched AZs |\n| --- | ---: | ---: |"
    );
    for (name, a) in [
        ("Writes answered", &h.write),
        ("Strong reads answered", &h.read),
        ("Eventual reads answered", &h.eventual),
    ] {
        let _ = writeln!(s, "| {name} | {} | {} |", a.text, a.untouched_text);
    }
    let recovery = match h.worst_recovery_ms {
        Some(ms) => format!("{} ({})", millis(ms), h.worst_recovery_note),
        None => h.worst_recovery_note.clone(),
    };
    let _ = writeln!(s, "| Worst recovery | {} | |", text(&recovery));
    let _ = writeln!(s, "| Data | {} | |", verdict_word(h.data));

    if !report.slo.is_empty() {
        let _ = writeln!(
            s,
            "\n| Objective | Limit | Observed | |\n| --- | --- | --- | --- |"
        );
        for r in &report.slo {
            let _ = writeln!(
                s,
                "| {} | {} | {} | {} |",
                text(&r.objective),
                text(&r.limit),
                text(&r.observed),
                verdict_word(r.verdict)
            );
        }
    }
    let strip = sparkline(report);
    if !strip.is_empty() {
        let _ = writeln!(s, "\nWrites answered over time: `{strip}`");
    }
    let found: Vec<_> = report
        .data
        .checks
        .iter()
        .flat_map(|c| &c.anomalies)
        .collect();
    if !found.is_empty() {
        let _ = writeln!(s, "\nAnomalies:\n");
        for a in found.iter().take(5) {
            let _ = writeln!(
                s,
                "- **{}** on {}: {}",
                text(&a.name),
                text(&a.key),
                text(&a.summary)
            );
        }
    }
    let _ = writeln!(s, "\nRun again:\n\n    {}", code(&run.command));
    let _ = writeln!(
        s,
        "\nRun {} · seed {} · {} · gameday {}",
        text(&run.id),
        run.seed,
        text(&run.runtime),
        text(&run.versions.gameday)
    );
    if s.len() > MAX {
        let mut end = MAX - 64;
        while !s.is_char_boundary(end) {
            end -= 1;
        }
        s.truncate(end);
        s.push_str("\n\n(shortened; see report.html)\n");
    }
    s
}

/// The run in forty blocks; a space where nothing was measured.
fn sparkline(report: &Report) -> String {
    const BLOCKS: [char; 8] = ['▁', '▂', '▃', '▄', '▅', '▆', '▇', '█'];
    let points = &report.series.points;
    let width = points.len().div_ceil(40).max(1);
    points
        .chunks(width)
        .map(|chunk| {
            let mut sum = crate::fold::Counts::default();
            for p in chunk {
                sum += p.write;
            }
            match sum.availability() {
                None => ' ',
                Some(a) if a >= 1.0 => BLOCKS[7],
                // Anything missed is at least one step down.
                Some(a) => BLOCKS[((a * 7.0) as usize).min(6)],
            }
        })
        .collect()
}

/// Text that Markdown and its HTML leave alone: one line, nothing special.
fn text(s: &str) -> String {
    let mut out = String::new();
    for c in shorten(s, 600).chars() {
        match c {
            '\\' | '`' | '*' | '_' | '[' | ']' | '|' | '#' | '!' | '~' | '$' | '@' => {
                out.push('\\');
                out.push(c);
            }
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '&' => out.push_str("&amp;"),
            c if c.is_control() => out.push(' '),
            c => out.push(c),
        }
    }
    out
}

/// Text for an indented code block: one line.
fn code(s: &str) -> String {
    shorten(s, 2000)
        .chars()
        .map(|c| if c.is_control() { ' ' } else { c })
        .collect()
}
