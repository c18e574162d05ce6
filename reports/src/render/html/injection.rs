//! Each injection from intent to recovery.

use super::{mark, timing};
use crate::numbers::{count, millis};
use crate::recovery::SPAN;
use crate::report::{FaultGap, Impact, InjectionReport, PairOutage, ProofAt, Report, Timing};
use gameday_record::{Nanos, Verdict};
use maud::{Markup, html};

/// Most injections shown in full.
const MAX: usize = 50;
/// Rows of the breakdown by pair.
const MAX_PAIRS: usize = 60;
/// Gaps of one injection.
const MAX_GAPS: usize = 20;

pub fn section(r: &Report) -> Markup {
    html! {
        @if r.injections.is_empty() { p { "No fault was injected." } }
        @else {
            (summary(r))
            p.lead {
                "Well again means: from then on, for " (SPAN.as_secs()) " seconds, every pair of canary and endpoint "
                "that no active fault touches answered at least 99 % of each kind of operation."
            }
            @for i in r.injections.iter().take(MAX) { (one(i)) }
            @if r.injections.len() > MAX { p.muted { "The rest is in report.json." } }
            @if let Some(seen) = &r.reachability {
                h3 { "After the last revert: does every link carry?" }
                ol.steps { (proof(&r.reachability, match seen.proof.verdict {
                    Verdict::Pass => "all of them",
                    Verdict::Fail => "not all of them",
                    Verdict::Unknown => "not known",
                })) }
            }
        }
    }
}

/// One row per injection, all in milliseconds of the same definitions.
fn summary(r: &Report) -> Markup {
    html! {
        div.scroll { table {
            caption {
                "All times from the act of the injection unless said otherwise. Detected: the first call that failed. "
                "First success: the first one after that, of the slowest pair. "
                "Brown-out: seconds in which some calls were answered but fewer than 99 %, or the p99 was above twice the baseline's."
            }
            thead { tr {
                th scope="col" { "Injection" } th.r scope="col" { "Detected" } th.r scope="col" { "First success" }
                th.r scope="col" { "Other AZs well" } th.r scope="col" { "All well" } th.r scope="col" { "… from its proven revert" }
                th.r scope="col" { "Write gap" } th.r scope="col" { "Brown-out" } th.r scope="col" { "Failed" } th.r scope="col" { "Unknown" }
            } }
            tbody { @for i in r.injections.iter().take(MAX) { tr {
                th scope="row" { (i.injection.id) ". " (i.injection.fault) " on " (i.injection.selector) }
                @match &i.impact {
                    None => td colspan="9" { "It was never carried out." },
                    Some(x) => {
                        td.r { @match x.first_impact_ms { Some(0) => "at once", Some(ms) => (millis(ms)), None => "nobody felt it" } }
                        td.r { @match x.kinds.iter().filter_map(|k| k.first_success_ms).max() { Some(ms) => (millis(ms)), None => "–" } }
                        td.r { (short(&x.elsewhere)) } td.r { (short(&x.total)) } td.r { (short(&x.recovery)) }
                        td.r { @match x.write_gap_ms { Some(ms) => (millis(ms)), None => "–" } }
                        td.r { @match x.kinds.iter().map(|k| k.brownout_s).max() { Some(0) | None => "–", Some(s) => { (count(s)) " s" } } }
                        td.r { (count(x.kinds.iter().map(|k| k.failed).sum())) }
                        td.r { (count(x.kinds.iter().map(|k| k.unknown).sum())) }
                    },
                }
            } } }
        } }
    }
}

/// A time, or the shortest word for why there is none; the reason stands below.
fn short(t: &Timing) -> String {
    match (t.ms, t.never) {
        (Some(_), _) => t.text(),
        (None, true) => "never".into(),
        (None, false) if t.why.is_empty() => "–".into(),
        (None, false) => "unknown".into(),
    }
}

fn one(i: &InjectionReport) -> Markup {
    let x = &i.injection;
    html! {
        article.inj {
            h3 { (x.id) ". " (x.fault) " on " (x.selector) }
            p.muted {
                "Step " (x.step) " · targets " (x.targets.join(", ")) " · AZ " (x.azs.join(", "))
                " · planned for " (millis(x.hold_ms))
            }
            @if let Some(impact) = &i.impact { (facts(impact)) }
            @else { p { "It was never carried out." } }
            ol.steps {
                (step(Some(i.intent), "intended", html! { "To undo by hand: " (x.undo) "." }))
                (step(i.injected, "injected", html! { @if i.injected.is_none() { "no record that it was carried out" } }))
                (proof(&i.proof_injected, "proven"))
                @for gap in i.gaps.iter().take(MAX_GAPS) { (gap_row(gap)) }
                @if i.gaps.len() > MAX_GAPS { li { "Further gaps are in report.json." } }
                @if i.proof_held.is_some() { (proof(&i.proof_held, "still in force")) }
                @if let Some(error) = &i.revert_error {
                    (step(i.reverting, "not reverted", html! { (error) }))
                } @else {
                    (step(i.reverted, "reverted", html! { @if i.reverted.is_none() { "no record of it" } }))
                }
                (proof(&i.proof_reverted, "proven gone"))
            }
            @if let Some(impact) = &i.impact { (kinds(impact)) (pairs(impact)) }
        }
    }
}

fn step(at: Option<Nanos>, what: &str, text: Markup) -> Markup {
    html! {
        li {
            span.nw { @if let Some(at) = at { (at) } @else { "–" } }
            span { (what) }
            span.muted { (text) }
        }
    }
}

/// When the fault was not in force, and that it was again.
fn gap_row(gap: &FaultGap) -> Markup {
    html! {
        (step(Some(gap.from), "gap", html! {
            "Not known to be in force on links of " (gap.whose()) " " (gap.length()) ": " (gap.text) "."
        }))
        @if gap.proof.is_some() { (proof(&gap.proof, "in force again")) }
    }
}

fn proof(p: &Option<ProofAt>, what: &str) -> Markup {
    match p {
        None => step(None, what, html! { "no proof was recorded" }),
        Some(p) => step(
            Some(p.at),
            what,
            html! {
                (mark(p.proof.verdict)) " "
                @if p.proof.evidence.is_empty() { "without evidence" }
                @else { (p.proof.evidence.join(" · ")) }
            },
        ),
    }
}

/// What the table above has no room for.
fn facts(x: &Impact) -> Markup {
    let lost: u64 = x.kinds.iter().map(|k| k.failed + k.unknown).sum();
    let all: u64 = x.kinds.iter().map(|k| k.attempts).sum();
    html! {
        dl.facts {
            div { dt { "Calls missed" } dd { (count(lost)) " of " (count(all)) } }
            div { dt { "Other AZs well again" } dd { (timing(&x.elsewhere)) } }
            div { dt { "All well again, from the proven revert" } dd { (timing(&x.recovery)) } }
        }
    }
}

fn kinds(x: &Impact) -> Markup {
    html! {
        details {
            summary { "By kind of operation" }
            div.scroll { table {
                caption {
                    "From " (x.window.from) " to " (x.window.to)
                    ", with what was under way when the fault came. An outage lasted between the two times given: from its first to its last failure, and between the successes around it."
                }
                thead { tr {
                    th scope="col" { "Operation" } th.r scope="col" { "Failed" } th.r scope="col" { "Unknown" } th.r scope="col" { "Of" }
                    th.r scope="col" { "Slowest first success" } th scope="col" { "Longest outage of one pair" }
                } }
                tbody { @for k in &x.kinds { tr {
                    th.nw scope="row" { (k.kind.name()) }
                    td.r { (count(k.failed)) } td.r { (count(k.unknown)) } td.r { (count(k.attempts)) }
                    td.r { @if let Some(ms) = k.first_success_ms { (millis(ms)) } @else { "–" } }
                    td { (outage(k.outage.as_ref(), true)) }
                } } }
            } }
        }
    }
}

fn outage(o: Option<&PairOutage>, pair: bool) -> Markup {
    html! {
        @match o {
            None => "none",
            Some(o) => {
                @match o.high_ms {
                    Some(high) => { (millis(o.low_ms)) " to " (millis(high)) },
                    None => { "at least " (millis(o.low_ms)) },
                }
                @if pair { ", from " (o.az) " through " (o.endpoint) }
                ", " (count(o.missed)) " missed in a row"
            }
        }
    }
}

/// The same pair by pair, those that missed most first.
fn pairs(x: &Impact) -> Markup {
    let mut rows: Vec<_> = x.pairs.iter().collect();
    rows.sort_by_key(|p| std::cmp::Reverse(p.failed + p.unknown));
    html! {
        @if !rows.is_empty() {
            details {
                summary { "By AZ and endpoint" }
                div.scroll { table {
                    thead { tr {
                        th scope="col" { "From" } th scope="col" { "Through" } th scope="col" { "Operation" }
                        th.r scope="col" { "Failed" } th.r scope="col" { "Unknown" } th.r scope="col" { "Of" }
                        th.r scope="col" { "First failure" } th.r scope="col" { "First success" } th.r scope="col" { "Brown-out" }
                        th scope="col" { "Longest outage" }
                    } }
                    tbody { @for p in rows.iter().take(MAX_PAIRS) { tr {
                        th scope="row" { (p.az) } td { (p.endpoint) } td.nw { (p.kind.name()) }
                        td.r { (count(p.failed)) } td.r { (count(p.unknown)) } td.r { (count(p.attempts)) }
                        @for ms in [p.first_failure_ms, p.first_success_ms] {
                            td.r { @match ms { Some(0) => "at once", Some(ms) => (millis(ms)), None => "–" } }
                        }
                        td.r { @if p.brownout_s == 0 { "–" } @else { (p.brownout_s) " s" } }
                        td { (outage(p.outage.as_ref(), false)) }
                    } } }
                } }
                @if rows.len() > MAX_PAIRS { p.muted { "The rest is in report.json." } }
            }
        }
    }
}
