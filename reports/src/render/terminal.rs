//! The lines at the end of a run.

use super::data_word;
use crate::numbers::millis;
use crate::report::{AlarmOutcome, AlarmRow, AlarmSource, Availability, Ending, Report};
use std::fmt::Write;

/// Reasons said beside the first; the report has them all.
const MAX_REASONS: usize = 5;
/// Alarms named.
const MAX_ALARMS: usize = 4;

/// Verdict, the numbers that matter, and where the report is. `colour` adds
/// ANSI colours to the verdict; without it the text is plain.
pub fn terminal(report: &Report, path: &str, colour: bool) -> String {
    let o = &report.overall;
    let word = o.ending.word();
    let word = match (colour, o.ending) {
        (false, _) => word.to_string(),
        (true, Ending::Pass) => format!("\x1b[1;32m{word}\x1b[0m"),
        (true, Ending::Fail | Ending::NotClean) => format!("\x1b[1;31m{word}\x1b[0m"),
        (true, _) => format!("\x1b[1;33m{word}\x1b[0m"),
    };
    let h = &report.headline;
    let mut out = String::new();
    // Writing to a string cannot fail.
    let _ = writeln!(out, "{word}  {}", plain(&o.sentence));
    let more: Vec<_> = o
        .reasons
        .iter()
        .filter(|r| !o.sentence.contains(*r))
        .collect();
    for reason in more.iter().take(MAX_REASONS) {
        let _ = writeln!(out, "  - {}", plain(reason));
    }
    if more.len() > MAX_REASONS {
        let _ = writeln!(out, "  - and {} more", more.len() - MAX_REASONS);
    }
    let _ = writeln!(out, "  writes answered   {}", line(&h.write, report));
    let _ = writeln!(out, "  reads answered    {}", line(&h.read, report));
    if !report.injections.is_empty() {
        let _ = writeln!(
            out,
            "  well again after  {}",
            plain(&match h.worst_failover_ms {
                Some(ms) => format!("{} in other AZs, {} everywhere", time(ms), super::total(h)),
                None => super::total(h),
            })
        );
    }
    let alarms = alarms(report);
    if !alarms.is_empty() {
        let _ = writeln!(out, "  alarms            {}", plain(&alarms));
    }
    if let Some(proven) = super::proven_text(report) {
        let _ = writeln!(out, "  proven            {}", plain(&proven));
    }
    let _ = writeln!(out, "  data              {}", data_word(report, "pass"));
    let _ = writeln!(out, "  report            {path}");
    out
}

fn time(ms: u64) -> String {
    if ms == 0 {
        "at once".into()
    } else {
        millis(ms)
    }
}

/// Which of the playbook's alarms fired, and which should have.
fn alarms(report: &Report) -> String {
    let of = |wanted: &dyn Fn(&AlarmRow) -> bool| -> Vec<&AlarmRow> {
        let all = report.alarms.iter();
        all.filter(|a| a.source == AlarmSource::Playbook && wanted(a))
            .collect()
    };
    let fired = of(&|a| !a.firings.is_empty());
    let missed = of(&|a| a.outcome == AlarmOutcome::Missed);
    let mut parts = Vec::new();
    if !fired.is_empty() {
        let names = fired.iter().take(MAX_ALARMS).map(|a| {
            let after = a.firings.first().and_then(|f| f.after_ms);
            match after {
                Some(ms) => format!("{} ({} after the act)", a.name, millis(ms)),
                None => format!("{} (without a fault)", a.name),
            }
        });
        parts.push(format!("fired: {}", join(names, fired.len())));
    }
    if !missed.is_empty() {
        let names = missed.iter().take(MAX_ALARMS).map(|a| a.name.clone());
        parts.push(format!("silent: {}", join(names, missed.len())));
    }
    parts.join("; ")
}

fn join(names: impl Iterator<Item = String>, all: usize) -> String {
    let names: Vec<_> = names.collect();
    let more = all - names.len();
    let text = names.join(", ");
    if more == 0 {
        text
    } else {
        format!("{text} and {more} more")
    }
}

/// Those whom no fault hit first; then those that were hurt, as it was planned.
fn line(a: &Availability, report: &Report) -> String {
    plain(&match super::lead(a, report) {
        Some(lead) if lead.spared => {
            let planned = match report.overall.ending {
                Ending::Pass => ", as planned",
                _ => "",
            };
            format!(
                "{} in AZs that no fault touched; {} in AZs that were hurt{planned}",
                lead.text, a.hurt_text
            )
        }
        Some(lead) if report.faulted() => format!("{}; every AZ was hurt", lead.text),
        _ => a.text.clone(),
    })
}

/// What comes from files must not steer the terminal.
fn plain(text: &str) -> String {
    text.chars()
        .map(|c| if c.is_control() { ' ' } else { c })
        .collect()
}
