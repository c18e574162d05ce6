//! `report.html`: one self-contained page. No script, no network, readable
//! from disk, light or dark as the reader's system is.

mod data;
mod evidence;
mod injection;
mod measured;

use super::day;
use crate::numbers::{limit_percent, millis};
use crate::report::{Availability, Ending, Report, Timing};
use gameday_record::Verdict;
use maud::{DOCTYPE, Markup, PreEscaped, html};

const STYLE: &str = include_str!("style.css");

/// Renders it.
pub fn html(report: &Report) -> String {
    let sections: Vec<(&str, &str, Markup)> = [
        ("timeline", "Timeline", measured::timeline(report)),
        ("objectives", "Objectives", measured::objectives(report)),
        ("pairs", "AZ by endpoint", measured::pairs(report)),
        ("faults", "Faults and recovery", injection::section(report)),
        ("data", "Data", data::section(report)),
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
    ]
    .into();
    let nav = |title: &str| match title {
        "Can the canaries be trusted?" => "Trust".to_string(),
        "What this run does not show" => "Limits".to_string(),
        t => t.to_string(),
    };
    html! {
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
                a.skip href="#timeline" { "Skip to the timeline" }
                header { div.in { (head(report)) } }
                nav aria-label="Sections" { div.in {
                    @for (id, title, _) in &sections { a href={ "#" (id) } { (nav(title)) } }
                } }
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
    }
    .into_string()
}

/// `PASS · write 99.91 % · az-power-off · 2026-11-23`
fn title(r: &Report) -> String {
    format!(
        "{} · write {} · {} · {}",
        r.overall.ending.word(),
        r.headline.write.text,
        r.run.playbook,
        day(&r.run.started_utc)
    )
}

fn head(r: &Report) -> Markup {
    let o = &r.overall;
    let glyph = match o.ending {
        Ending::Pass => "✓",
        Ending::Fail | Ending::NotClean => "✗",
        Ending::Inconclusive => "?",
        Ending::Stopped | Ending::Interrupted => "■",
    };
    let more: Vec<_> = o
        .reasons
        .iter()
        .filter(|x| !o.sentence.contains(*x))
        .collect();
    html! {
        p.eyebrow {
            "gameday · " (r.run.playbook) " · " (r.run.started_utc) " · " (r.run.runtime)
            " runtime · seed " (r.run.seed)
        }
        h1 { (r.run.title) }
        div class={ "verdict " (class(o.verdict)) } {
            p.word { span aria-hidden="true" { (glyph) " " } (o.ending.word()) }
            p.say { (o.sentence) }
            @if !more.is_empty() {
                ul { @for reason in more.iter().take(12) { li { (reason) } } }
                @if more.len() > 12 { p.muted { "… and " (more.len() - 12) " more." } }
            }
        }
        div.tiles { (tiles(r)) }
    }
}

fn tiles(r: &Report) -> Markup {
    let h = &r.headline;
    let gap = h.write_gap.filter(|_| h.write.all.attempts() > 0);
    html! {
        (tile("Writes answered", &h.write.text, availability_note(&h.write)))
        (tile("Strong reads answered", &h.read.text, availability_note(&h.read)))
        @match h.worst_recovery_ms {
            Some(ms) => (tile("Worst recovery", &millis(ms), html! {
                "from the proven revert until every pair was well · " (h.worst_recovery_note)
                @if let Some(g) = gap { br; "longest write gap " (millis(g.ms())) }
            })),
            None => (tile("Worst recovery", "–", html! {
                (h.worst_recovery_note)
                @if let Some(g) = gap { br; "longest write gap " (millis(g.ms())) }
            })),
        }
        (tile("Data", match h.data {
            Verdict::Pass => "intact",
            Verdict::Fail => "wrong",
            Verdict::Unknown => "unknown",
        }, html! {
            @if r.data.checks.is_empty() { (r.data.why) } @else {
                @let bad = r.data.checks.iter().filter(|c| c.verdict != Verdict::Pass).count();
                (crate::numbers::plural(r.data.checks.len() as u64, "check")) ", "
                @if bad == 0 { "all passed" } @else { (bad) " not passed" }
            }
        }))
    }
}

fn tile(name: &str, value: &str, note: Markup) -> Markup {
    html! { div.tile { div.k { (name) } div.n { (value) } div.d { (note) } } }
}

fn availability_note(a: &Availability) -> Markup {
    let n = crate::numbers::count;
    html! {
        @if a.all.attempts() > 0 {
            (n(a.all.missed())) " of " (n(a.all.attempts())) " missed, over all pairs"
            @if let Some(l) = a.limit { br; "promised: at least " (limit_percent(l)) }
            br;
            @if a.untouched.attempts() > 0 {
                "untouched AZs: " (a.untouched_text)
                @if a.untouched.missed() > 0 {
                    ", " (n(a.untouched.missed())) " of " (n(a.untouched.attempts())) " missed"
                }
            } @else { "no AZ was left untouched" }
        } @else { "none was measured" }
    }
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
