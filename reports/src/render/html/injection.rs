//! Each injection from intent to recovery.

use super::{mark, timing};
use crate::numbers::{count, millis};
use crate::recovery::SPAN;
use crate::report::{
    AlarmSource, FaultGap, Impact, InjectionReport, PairOutage, ProofAt, Report, Timing,
};
use gameday_record::{Nanos, Verdict};
use maud::{Markup, html};

/// Most injections in the table.
const MAX: usize = 50;
/// Most shown in full, if there are more than that.
const MAX_FULL: usize = 10;
/// Rows of the breakdown by pair.
const MAX_PAIRS: usize = 60;
/// Pairs named that never recovered.
const MAX_NEVER: usize = 3;
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
            @let full = costliest(&r.injections, if r.injections.len() > MAX { MAX_FULL } else { MAX });
            @if full.len() < r.injections.len() { p.muted { "In full, the " (full.len()) " that cost most; all are in report.json." } }
            @for i in full { (one(i)) }
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

/// The injections, or, if they are more than `most`, those that cost most; in the order of time. What
/// was not carried out or never recovered from costs more than anything that was.
fn costliest(all: &[InjectionReport], most: usize) -> Vec<&InjectionReport> {
    let cost = |i: &InjectionReport| {
        let x = i.impact.as_ref();
        let time = |of: fn(&Impact) -> &Timing| x.and_then(|x| of(x).ms).unwrap_or(u64::MAX);
        let missed = x.map_or(0, |x| x.kinds.iter().map(|k| k.missed()).sum::<u64>());
        (time(|x| &x.recovery), time(|x| &x.total), missed)
    };
    let mut found: Vec<(usize, &InjectionReport)> = all.iter().enumerate().collect();
    found.sort_by_key(|(_, i)| std::cmp::Reverse(cost(i)));
    found.truncate(most);
    found.sort_by_key(|(n, _)| *n);
    found.into_iter().map(|(_, i)| i).collect()
}

/// One row per injection, all in milliseconds of the same definitions.
fn summary(r: &Report) -> Markup {
    let rows = costliest(&r.injections, MAX);
    html! {
        div.scroll { table {
            caption {
                @if rows.len() < r.injections.len() { "The " (rows.len()) " of " (count(r.injections.len() as u64)) " injections that cost most. " }
                "All times from the act of the injection unless said otherwise. First impact: when the first call was due that was missed. "
                "Detected: when a client could know, by the first call that ended without an answer. Alarmed: when an alarm of the playbook could tell. "
                "First success: the first answer after the first impact, of the slowest pair. "
                "Brown-out: seconds in which some calls were answered but fewer than 99 %, or the p99 was above twice the baseline's."
            }
            thead { tr {
                th scope="col" { "Injection" } th.r scope="col" { "First impact" } th.r scope="col" { "Detected" } th.r scope="col" { "Alarmed" } th.r scope="col" { "First success" }
                th.r scope="col" { "Other AZs well" } th.r scope="col" { "All well" } th.r scope="col" { "… from its revert" }
                th.r scope="col" { "Write gap" } th.r scope="col" { "Brown-out" } th.r scope="col" { "Failed" } th.r scope="col" { "Unknown" }
            } }
            tbody { @for i in rows { tr {
                th scope="row" { (i.injection.id) ". " (i.injection.fault) " on " (i.injection.selector) }
                @match &i.impact {
                    None => td colspan="11" { "It was never carried out." },
                    Some(x) => {
                        td.r { @match x.first_impact_ms { Some(0) => "at once", Some(ms) => (millis(ms)), None => "nobody felt it" } }
                        td.r { @match x.detected_ms { Some(ms) => (millis(ms)), None => "–" } }
                        td.r { @match &x.alarmed { Some(a) if a.ms == 0 => "fired already", Some(a) => (millis(a.ms)), None => (no_alarm(r)) } }
                        td.r { (first_success(x)) }
                        td.r { (short(&x.elsewhere)) } td.r { (short(&x.total)) } td.r { (short(&x.recovery)) (uncertainty(x)) }
                        td.r { @match x.write_gap_ms { Some(ms) => (millis(ms)), None => "–" } }
                        td.r { @match x.kinds.iter().map(|k| k.brownout_s).max() { Some(0) | None => "–", Some(s) => { (count(s)) " s" } } }
                        td.r { (count(x.kinds.iter().map(|k| k.failed).sum())) (late(x.kinds.iter().map(|k| k.late).sum())) }
                        td.r { (count(x.kinds.iter().map(|k| k.unknown).sum())) }
                    },
                }
            } } }
        } }
    }
}

/// Why no alarm is told: there was none, or it was silent.
fn no_alarm(r: &Report) -> &'static str {
    match r.alarms.iter().any(|a| a.source == AlarmSource::Playbook) {
        true => "silent",
        false => "no alarm",
    }
}

/// How much later than the revert its proof came, if that is much.
fn uncertainty(x: &Impact) -> Markup {
    html! { @if let (Some(_), Some(ms)) = (x.recovery.ms, x.revert_proof_ms.filter(|ms| *ms >= 1_000)) {
        small.sub { "proven " (millis(ms)) " after it" }
    } }
}

fn late(n: u64) -> Markup {
    html! { @if n > 0 { small.sub { (count(n)) " late" } } }
}

/// The slowest pair's first success after a failure, or which pairs had none.
fn first_success(x: &Impact) -> Markup {
    let mut never: Vec<&str> = x
        .kinds
        .iter()
        .flat_map(|k| &k.never)
        .map(String::as_str)
        .collect();
    never.sort_unstable();
    never.dedup();
    html! {
        @if never.is_empty() {
            @match x.kinds.iter().filter_map(|k| k.first_success_ms).max() { Some(ms) => (millis(ms)), None => "–" }
        } @else {
            "never"
            small.sub {
                (never[..never.len().min(MAX_NEVER)].join(", "))
                @if never.len() > MAX_NEVER { " and " (never.len() - MAX_NEVER) " more" }
            }
        }
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
    let lost: u64 = x.kinds.iter().map(|k| k.missed()).sum();
    let all: u64 = x.kinds.iter().map(|k| k.attempts).sum();
    html! {
        dl.facts {
            div { dt { "Calls missed" } dd { (count(lost)) " of " (count(all)) } }
            div { dt { "Other AZs well again" } dd { (timing(&x.elsewhere)) } }
            div { dt { "All well again, from the revert" } dd { (timing(&x.recovery)) } }
            @if let Some(a) = &x.alarmed { div { dt { "First alarm" } dd { (a.name) } } }
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
                    td.r { (count(k.failed)) (late(k.late)) } td.r { (count(k.unknown)) } td.r { (count(k.attempts)) }
                    td.r { @match (k.first_success_ms, k.never.is_empty()) { (Some(ms), _) => (millis(ms)), (None, true) => "–", (None, false) => "never" } }
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
    rows.sort_by_key(|p| std::cmp::Reverse(p.missed()));
    html! {
        @if !rows.is_empty() {
            details {
                summary { "By AZ and endpoint" }
                div.scroll { table {
                    thead { tr {
                        th scope="col" { "From" } th scope="col" { "Through" } th scope="col" { "Operation" }
                        th.r scope="col" { "Failed" } th.r scope="col" { "Unknown" } th.r scope="col" { "Of" }
                        th.r scope="col" { "First impact" } th.r scope="col" { "Detected" } th.r scope="col" { "First success" } th.r scope="col" { "Brown-out" }
                        th scope="col" { "Longest outage" }
                    } }
                    tbody { @for p in rows.iter().take(MAX_PAIRS) { tr {
                        th scope="row" { (p.az) } td { (p.endpoint) } td.nw { (p.kind.name()) }
                        td.r { (count(p.failed)) (late(p.late)) } td.r { (count(p.unknown)) } td.r { (count(p.attempts)) }
                        @for ms in [p.first_failure_ms, p.detected_ms] {
                            td.r { @match ms { Some(0) => "at once", Some(ms) => (millis(ms)), None => "–" } }
                        }
                        td.r { @match (p.first_success_ms, p.first_failure_ms) { (Some(ms), _) => (millis(ms)), (None, Some(_)) => "never", (None, None) => "–" } }
                        td.r { @if p.brownout_s == 0 { "–" } @else { (p.brownout_s) " s" } }
                        td { (outage(p.outage.as_ref(), false)) }
                    } } }
                } }
                @if rows.len() > MAX_PAIRS { p.muted { "The rest is in report.json." } }
            }
        }
    }
}
