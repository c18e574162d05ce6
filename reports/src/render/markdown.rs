//! `summary.md`, for a CI page: verdict, one table, the worst findings.

use super::verdict_word;
use crate::numbers::{millis, shorten};
use crate::report::{AlarmRow, AlarmSource, Report};
use gameday_record::Verdict;
use std::fmt::Write;

/// Largest summary, in bytes; CI services drop large ones without a word.
const MAX: usize = 64 * 1024;

/// Gaps told.
const MAX_GAPS: usize = 10;

/// Alarms listed.
const MAX_ALARMS: usize = 20;

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
    let faulted = report.faulted();
    // Those whom no fault hit come first: they were promised something.
    let _ = match faulted {
        true => writeln!(
            s,
            "\n| | AZs that no fault touched | AZs hurt on purpose | all |\n| --- | ---: | ---: | ---: |"
        ),
        false => writeln!(s, "\n| | |\n| --- | ---: |"),
    };
    let more = if faulted { " | |" } else { "" };
    for (name, a) in [
        ("Writes answered", &h.write),
        ("Strong reads answered", &h.read),
        ("Eventual reads answered", &h.eventual),
    ] {
        let _ = match faulted {
            true => writeln!(
                s,
                "| {name} | {} | {} | {} |",
                text(&a.untouched_text),
                text(&a.hurt_text),
                text(&a.text)
            ),
            false => writeln!(s, "| {name} | {} |", text(&a.text)),
        };
    }
    if let Some(proven) = super::proven_text(report) {
        let _ = writeln!(s, "| Proven | {} |{more}", text(&proven));
    }
    if let Some(gap) = h.write_gap.filter(|_| h.write.all.attempts() > 0) {
        let gap = millis(gap.ms());
        let _ = match faulted {
            true => writeln!(s, "| Longest write gap, through any endpoint | | | {gap} |"),
            false => writeln!(s, "| Longest write gap, through any endpoint | {gap} |"),
        };
    }
    if faulted {
        let (all, other) = (super::total(h), super::failover(h));
        let _ = writeln!(
            s,
            "| Worst time until well, from the act | {} | | {} |",
            text(&other),
            text(&all)
        );
    }
    let _ = writeln!(s, "| Data | {} |{more}", super::data_word(report, "pass"));

    if !report.slo.is_empty() {
        let _ = writeln!(
            s,
            "\n| | Objective | Limit | Observed | Margin |\n| --- | --- | --- | --- | --- |"
        );
        for r in &report.slo {
            let _ = writeln!(
                s,
                "| {} | {} | {} | {} | {} |",
                verdict_word(r.verdict),
                text(&r.objective),
                text(&r.limit),
                text(&r.observed),
                text(&r.margin)
            );
        }
    }
    alarms(&mut s, report);
    gaps(&mut s, report);
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
            for i in super::anomaly::overlapping(a, &report.injections)
                .iter()
                .take(3)
            {
                let _ = writeln!(s, "  - in force: {}", text(&super::anomaly::in_force(i)));
            }
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

/// When faults were not in force, and for how long.
fn gaps(s: &mut String, report: &Report) {
    let all = report.injections.iter();
    let mut rows = all.flat_map(|i| i.gaps.iter().map(move |gap| (i, gap)));
    for (i, gap) in rows.by_ref().take(MAX_GAPS) {
        let _ = writeln!(
            s,
            "\n{} was not known to be in force on links of {} {}: {}.",
            text(&crate::overall::name(i)),
            text(&gap.whose()),
            gap.length(),
            text(&gap.text)
        );
    }
    match rows.count() {
        0 => {}
        more => drop(writeln!(s, "\n{more} more gaps in report.html.")),
    }
}

/// Alarms that fired, were expected, or did what they should not.
fn alarms(s: &mut String, report: &Report) {
    let told = |a: &&AlarmRow| {
        a.source == AlarmSource::Playbook || !a.firings.is_empty() || a.verdict != Verdict::Pass
    };
    let mut rows: Vec<_> = report.alarms.iter().filter(told).collect();
    rows.sort_by_key(|a| a.verdict == Verdict::Pass);
    if rows.is_empty() {
        return;
    }
    let _ = writeln!(
        s,
        "\n| Alarm | Outcome | After the act | By formula |\n| --- | --- | ---: | ---: |"
    );
    let time = |ms: Option<u64>| ms.map_or("–".into(), millis);
    for a in rows.iter().take(MAX_ALARMS) {
        let _ = writeln!(
            s,
            "| {} | {} | {} | {} |",
            text(&a.name),
            super::html::outcome_word(a.outcome),
            time(a.firings.first().and_then(|f| f.after_ms)),
            time(a.after.iter().find_map(|x| x.formula_ms))
        );
    }
    if rows.len() > MAX_ALARMS {
        let _ = writeln!(
            s,
            "\n{} more alarms in report.html.",
            rows.len() - MAX_ALARMS
        );
    }
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
