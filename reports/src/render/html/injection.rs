//! Each injection from intent to recovery.

use super::{mark, timing};
use crate::numbers::{count, millis};
use crate::recovery::SPAN;
use crate::report::{Impact, InjectionReport, KindImpact, ProofAt, Report};
use gameday_record::Nanos;
use maud::{Markup, html};

/// Most injections shown in full.
const MAX: usize = 50;

pub fn section(r: &Report) -> Markup {
    html! {
        @if r.injections.is_empty() { p { "No fault was injected." } }
        @else {
            p.lead {
                "Well again means: from then on, for " (SPAN.as_secs()) " seconds, every pair of canary and endpoint "
                "that no active fault touches answered at least 99 % of each kind of operation."
            }
            @for i in r.injections.iter().take(MAX) { (one(i)) }
            @if r.injections.len() > MAX { p.muted { "The rest is in report.json." } }
        }
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
                @if i.proof_held.is_some() { (proof(&i.proof_held, "still in force")) }
                @if let Some(error) = &i.revert_error {
                    (step(i.reverting, "not reverted", html! { (error) }))
                } @else {
                    (step(i.reverted, "reverted", html! { @if i.reverted.is_none() { "no record of it" } }))
                }
                (proof(&i.proof_reverted, "proven gone"))
            }
            @if let Some(impact) = &i.impact { (kinds(impact)) }
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

fn facts(x: &Impact) -> Markup {
    let lost: u64 = x.kinds.iter().map(|k| k.failed + k.unknown).sum();
    let all: u64 = x.kinds.iter().map(|k| k.attempts).sum();
    html! {
        dl.facts {
            div { dt { "Operations missed" } dd { (count(lost)) " of " (count(all)) } }
            div { dt { "First felt" } dd {
                @match x.first_impact_ms {
                    Some(0) => "at once",
                    Some(ms) => { (millis(ms)) " after the act" },
                    None => "by nobody",
                }
            } }
            div { dt { "Longest write gap in it" } dd {
                @if let Some(ms) = x.write_gap_ms { (millis(ms)) } @else { "–" }
            } }
            div { dt { "Other AZs well again, from the act" } dd { (timing(&x.elsewhere)) } }
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
                    td { (outage(k)) }
                } } }
            } }
        }
    }
}

fn outage(k: &KindImpact) -> Markup {
    html! {
        @match &k.outage {
            None => "none",
            Some(o) => {
                @match o.high_ms {
                    Some(high) => { (millis(o.low_ms)) " to " (millis(high)) },
                    None => { "at least " (millis(o.low_ms)) },
                }
                ", from " (o.az) " through " (o.endpoint) ", " (count(o.missed)) " missed in a row"
            }
        }
    }
}
