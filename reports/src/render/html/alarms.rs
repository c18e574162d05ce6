//! What monitoring would have said: which alarms fired, how soon, and which
//! should have.

use crate::numbers::{count, millis, plural};
use crate::report::{AlarmOutcome, AlarmRow, AlarmSource, Report};
use gameday_record::Scope;
use maud::{Markup, html};

/// Alarms shown of one source.
const MAX: usize = 100;
/// Firings of an alarm that are listed.
const MAX_FIRINGS: usize = 20;

pub fn section(r: &Report) -> Markup {
    let of = |source| -> Vec<&AlarmRow> {
        let mut rows: Vec<_> = r.alarms.iter().filter(|a| a.source == source).collect();
        rows.sort_by_key(|a| rank(a.outcome));
        rows
    };
    let groups = [
        (
            AlarmSource::Playbook,
            if r.canary_alone() {
                "Alarms that were watched"
            } else {
                "Alarms of the playbook"
            },
            "As a customer's own monitoring would see it, judged second by second with the run's windows.",
        ),
        (
            AlarmSource::Standard,
            "Standard burn-rate alarms, as production would see them",
            "The windows of Google's SRE workbook (chapter 5) at their real length; time before the run counts as free of errors. ",
        ),
        (
            AlarmSource::Scaled,
            "The same with windows scaled to the run",
            "So that a run of a minute can fill windows that are hours long in production.",
        ),
    ];
    html! {
        @if r.alarms.is_empty() { p { "No alarm was evaluated. Alarms come from the playbook and from its availability objectives." } }
        @for (source, title, lead) in groups {
            @let rows = of(source);
            @if !rows.is_empty() {
                h3 { (title) }
                p.lead { (lead) }
                @let (quiet, loud): (Vec<_>, Vec<_>) = rows.iter().partition(|a| a.outcome == AlarmOutcome::Quiet);
                @if !loud.is_empty() { (table(&loud, r.faulted())) }
                @if !quiet.is_empty() {
                    details { summary { (plural(quiet.len() as u64, "alarm")) " stayed quiet" } (table(&quiet, r.faulted())) }
                }
            }
        }
    }
}

/// What somebody must look at comes first.
fn rank(o: AlarmOutcome) -> u8 {
    match o {
        AlarmOutcome::Missed => 0,
        AlarmOutcome::False => 1,
        AlarmOutcome::Late => 2,
        AlarmOutcome::Unknown => 3,
        AlarmOutcome::Fired => 4,
        AlarmOutcome::Told => 5,
        AlarmOutcome::Quiet => 6,
    }
}

/// An outcome in words.
pub fn word(o: AlarmOutcome) -> &'static str {
    match o {
        AlarmOutcome::Fired => "fired as expected",
        AlarmOutcome::Told => "fired",
        AlarmOutcome::Quiet => "quiet",
        AlarmOutcome::Missed => "missed",
        AlarmOutcome::Late => "late",
        AlarmOutcome::False => "false alarm",
        AlarmOutcome::Unknown => "not evaluated",
    }
}

fn outcome(o: AlarmOutcome) -> Markup {
    let (class, glyph) = match o {
        AlarmOutcome::Fired => ("v-pass", "✓"),
        AlarmOutcome::Told => ("v-told", "▲"),
        AlarmOutcome::Quiet => ("v-quiet", "·"),
        AlarmOutcome::Missed | AlarmOutcome::False => ("v-fail", "✗"),
        AlarmOutcome::Late => ("v-unknown", "!"),
        AlarmOutcome::Unknown => ("v-unknown", "?"),
    };
    html! { span class={ "mark " (class) } { span aria-hidden="true" { (glyph) " " } (word(o)) } }
}

fn table(rows: &[&AlarmRow], faulted: bool) -> Markup {
    html! {
        div.scroll { table {
            thead { tr {
                th scope="col" { "Outcome" } th scope="col" { "Alarm" } th.r scope="col" { "Fired" }
                @if faulted { th.r scope="col" { "After the act" } th.r scope="col" { "By formula" } }
                th.r scope="col" { "Cleared" }
                th scope="col" { "Why" }
            } }
            tbody { @for a in rows.iter().take(MAX) { tr {
                td { (outcome(a.outcome)) }
                th scope="row" {
                    (a.name) @if !a.severity.is_empty() { span.muted { " · " (a.severity) } }
                    @if a.stop { span.muted { " · stops the run" } }
                    small.sub { (a.rule_text) (scope(a)) }
                }
                @match a.firings.first() {
                    None => td.r { "never" },
                    Some(f) => td.r { (f.known_at) @if let Some(live) = f.live_at { small.sub { "told live at " (live) } } @if a.firings.len() > 1 { small.sub { (a.firings.len()) " times" } } },
                }
                @if faulted {
                    td.r { @match a.firings.first() {
                        None => "–",
                        Some(f) => { @match f.after_ms { Some(ms) => (millis(ms)), None => "no fault near" } },
                    } }
                    td.r { @match a.after.iter().find_map(|x| x.formula_ms) { Some(ms) => (millis(ms)), None => "–" } }
                }
                td.r { @match a.firings.first() {
                    None => "–",
                    Some(f) => { @match f.cleared { Some(t) => (t), None => "not in the run" } },
                } }
                td { (a.why) (firings(a)) }
            } } }
        } }
        @if rows.len() > MAX { p.muted { "The rest is in report.json." } }
    }
}

fn scope(a: &AlarmRow) -> &'static str {
    match a.selection.scope {
        Scope::All => "",
        Scope::Untouched => " · untouched pairs only",
    }
}

/// `it fired for 690 of 700 injections, after 2.1 s to 4.0 s`
fn in_all(a: &AlarmRow) -> String {
    let after = || a.after.iter().filter_map(|x| x.fired_ms);
    let times = after().min().zip(after().max());
    format!(
        "it fired for {} of {}{}",
        count(after().count() as u64),
        plural(a.after.len() as u64, "injection"),
        times.map_or_else(String::new, |(least, most)| format!(
            ", after {} to {}",
            millis(least),
            millis(most)
        ))
    )
}

fn firings(a: &AlarmRow) -> Markup {
    html! {
        @if !a.firings.is_empty() {
            details {
                summary { "What was seen" }
                ul.tight {
                    @for f in a.firings.iter().take(MAX_FIRINGS) {
                        li { (f.known_at) ", by what was due up to " (f.at) @if !f.who.is_empty() { ", " (f.who) } ": " (f.observed) }
                    }
                    @if a.after.len() > MAX_FIRINGS { li { (in_all(a)) } }
                    @for x in a.after.iter().take(MAX_FIRINGS) {
                        li {
                            "injection " (x.injection) ": "
                            @match x.fired_ms { Some(ms) => { "fired after " (millis(ms)) }, None => "did not fire" }
                            @if let Some(ms) = x.formula_ms { ", by formula after " (millis(ms)) }
                        }
                    }
                }
                @if a.firings.len().max(a.after.len()) > MAX_FIRINGS { p.muted { "The rest is in report.json." } }
            }
        }
    }
}
