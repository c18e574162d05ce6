//! `report.html`: one self-contained page. No script, no network, readable
//! from disk, light or dark as the reader's system is.

mod alarms;
mod availability;
mod data;
mod evidence;
mod head;
mod injection;
mod measured;
mod objectives;

use super::day;
use crate::report::{Report, Timing};
use gameday_record::Verdict;
use maud::{DOCTYPE, Markup, PreEscaped, html};

pub(super) use alarms::word as outcome_word;
pub(super) use availability::ink;

const STYLE: &str = include_str!("style.css");

/// Renders it.
pub fn html(report: &Report) -> String {
    let mut sections: Vec<(&str, &str, Markup)> = [
        ("objectives", "Objectives", objectives::section(report)),
        ("timeline", "Timeline", measured::timeline(report)),
        ("pairs", "AZ by endpoint", measured::pairs(report)),
        ("faults", "Faults and recovery", injection::section(report)),
        ("alarms", "Alarms", alarms::section(report)),
        ("data", "Data", data::section(report)),
        (
            "availability",
            "Availability",
            availability::section(report),
        ),
        ("latency", "Latency", measured::latency(report)),
        ("errors", "Errors", measured::errors(report)),
        (
            "trust",
            "Can the canaries be trusted?",
            evidence::trust(report),
        ),
        (
            "limits",
            "What this run does not show",
            evidence::limits(report),
        ),
        ("again", "Run it again", evidence::again(report)),
        (
            "words",
            "What the words mean",
            evidence::definitions(report),
        ),
    ]
    .into();
    if report.canary_alone() {
        // There was no fault to recover from.
        sections.retain(|s| s.0 != "faults");
    }
    if report.data.verdict == Verdict::Fail {
        // Wrong data are what must be looked at first.
        let data = sections.iter().position(|s| s.0 == "data");
        sections[..=data.unwrap_or(0)].rotate_right(1);
    }
    let nav = |title: &str| match title {
        "Can the canaries be trusted?" => "Trust".to_string(),
        "What this run does not show" => "Limits".to_string(),
        "What the words mean" => "Words".to_string(),
        t => t.to_string(),
    };
    let page = html! {
        (DOCTYPE)
        html lang="en" {
            head {
                meta charset="utf-8";
                meta http-equiv="Content-Security-Policy"
                    content="default-src 'none'; style-src 'unsafe-inline'; img-src data:; base-uri 'none'; form-action 'none'";
                meta name="viewport" content="width=device-width, initial-scale=1";
                meta name="color-scheme" content="light dark";
                title { (title(report)) }
                style { (PreEscaped(STYLE)) }
            }
            body {
                a.skip href={ "#" (sections[0].0) } { "Skip to the evidence" }
                header { div.in { (head::head(report)) } }
                nav aria-label="Sections" { div.in {
                    @for (id, title, _) in &sections { a href={ "#" (id) } { (nav(title)) } }
                } }
                p.printed { "Evidence that is folded on the page is printed by browsers that can unfold it; report.json has all of it." }
                main {
                    @for (id, title, body) in &sections {
                        section id=(id) aria-labelledby={ (id) "-h" } {
                            h2 id={ (id) "-h" } { (title) }
                            (body)
                        }
                    }
                }
                footer {
                    "Rendered by gameday from report.json, format " (report.version)
                    ". All times count from the start of the run, " (report.run.started_utc) "."
                }
            }
        }
    };
    printable(page.into_string())
}

/// Control characters have no place in a page, wherever they came from.
fn printable(page: String) -> String {
    let bad = |c: char| c.is_control() && !matches!(c, '\n' | '\t' | '\r');
    if page.contains(bad) {
        page.replace(bad, "\u{fffd}")
    } else {
        page
    }
}

/// `PASS · write 99.91 % · az-power-off · 2026-11-23`: what those got whom no fault hit.
fn title(r: &Report) -> String {
    let a = &r.headline.write;
    format!(
        "{} · write {} · {} · {}",
        r.overall.ending.word(),
        super::lead(a, r).map_or(a.text.as_str(), |lead| lead.text),
        r.run.playbook,
        day(&r.run.started_utc)
    )
}

fn class(v: Verdict) -> &'static str {
    match v {
        Verdict::Pass => "v-pass",
        Verdict::Fail => "v-fail",
        Verdict::Unknown => "v-unknown",
    }
}

/// A verdict as glyph, word and colour.
fn mark(v: Verdict) -> Markup {
    let (glyph, word) = match v {
        Verdict::Pass => ("✓", "pass"),
        Verdict::Fail => ("✗", "fail"),
        Verdict::Unknown => ("?", "unknown"),
    };
    html! { span class={ "mark " (class(v)) } { span aria-hidden="true" { (glyph) " " } (word) } }
}

fn timing(t: &Timing) -> Markup {
    html! { (t.text()) }
}
