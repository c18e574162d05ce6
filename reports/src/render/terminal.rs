//! The lines at the end of a run.

use super::verdict_word;
use crate::numbers::millis;
use crate::report::{Availability, Ending, Report};
use std::fmt::Write;

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
    let recovery = match h.worst_recovery_ms {
        Some(ms) => format!("{} after {}", millis(ms), h.worst_recovery_note),
        None => h.worst_recovery_note.clone(),
    };
    let mut out = String::new();
    // Writing to a string cannot fail.
    let _ = writeln!(out, "{word}  {}", plain(&o.sentence));
    for reason in o
        .reasons
        .iter()
        .filter(|r| !o.sentence.contains(*r))
        .take(5)
    {
        let _ = writeln!(out, "  - {}", plain(reason));
    }
    let _ = writeln!(out, "  writes answered   {}", line(&h.write));
    let _ = writeln!(out, "  reads answered    {}", line(&h.read));
    let _ = writeln!(out, "  worst recovery    {}", plain(&recovery));
    let _ = writeln!(out, "  data              {}", verdict_word(h.data));
    let _ = writeln!(out, "  report            {path}");
    out
}

fn line(a: &Availability) -> String {
    if a.all.attempts() == 0 {
        return a.text.clone();
    }
    format!("{} ({} through untouched AZs)", a.text, a.untouched_text)
}

/// What comes from files must not steer the terminal.
fn plain(text: &str) -> String {
    text.chars()
        .map(|c| if c.is_control() { ' ' } else { c })
        .collect()
}
