//! The data verdict: checks, what they measured, and every anomaly with its
//! picture.

use super::mark;
use crate::numbers::{count, plural, shorten};
use crate::render::anomaly;
use crate::report::{InjectionReport, Report};
use gameday_record::verdict::OperationRecord;
use gameday_record::{Anomaly, AnomalyKind, Check, Measure, Model, Verdict};
use maud::{Markup, PreEscaped, html};

/// Anomalies of a check that are drawn; the others are listed.
const MAX_DRAWN: usize = 4;
/// Anomalies of all checks that are drawn: pages must stay small.
const MAX_DRAWN_IN_ALL: usize = 12;
/// Anomalies of a check that are listed.
const MAX_LISTED: usize = 40;

pub fn section(r: &Report) -> Markup {
    let mut left = MAX_DRAWN_IN_ALL;
    let drawn: Vec<usize> = r
        .data
        .checks
        .iter()
        .map(|c| {
            let n = c.anomalies.len().min(MAX_DRAWN).min(left);
            left -= n;
            n
        })
        .collect();
    html! {
        @if r.data.checks.is_empty() { p { (mark(r.data.verdict)) " " (r.data.why) } }
        @else {
            p.lead {
                "Recorded were every call of every canary, with its answer. From this alone the checks decide whether a "
                "store that keeps its promises could have given these answers."
            }
            div.scroll { table {
                thead { tr { th scope="col" { "Check" } th scope="col" { "Verdict" } th scope="col" { "What was examined" } } }
                tbody { @for c in sorted(&r.data.checks) { tr {
                    th.nw scope="row" { (c.name) } td { (mark(c.verdict)) } td { (c.detail) }
                } } }
            } }
            p.muted {
                @match r.measured.final_reads { 0 => "No final read", n => (plural(n, "final read")) }
                @if r.measured.final_reads > 1 { " were" } @else { " was" }
                @if r.faulted() { " made after recovery." } @else { " made at the end." }
            }
            @if drawn.iter().any(|n| *n > 0) { (legend()) }
            @for (n, c) in r.data.checks.iter().enumerate() { (anomalies(n, c, drawn[n], &r.injections)) }
            (measures(&r.data.checks))
            (resolution(r))
        }
    }
}

/// How to read the pictures.
fn legend() -> Markup {
    html! {
        p.lead {
            "In the pictures each lane is one client, with the AZ it stands in and the endpoint that it called. "
            "A bar reaches from a call to its answer: "
            span.key style="background:var(--write)" {} "write, "
            span.key style="background:var(--read)" {} "read; pale ones are others on the same key. "
            "Dashed: the outcome is unknown, it may take effect at any later time. "
            "Hollow with a cross: it certainly had no effect. "
            span.key style="background:var(--fault)" {} "a fault in force."
        }
    }
}

/// Failures first, then what could not be decided.
fn sorted(checks: &[Check]) -> Vec<&Check> {
    let mut all: Vec<_> = checks.iter().collect();
    all.sort_by_key(|c| match c.verdict {
        Verdict::Fail => 0,
        Verdict::Unknown => 1,
        Verdict::Pass => 2,
    });
    all
}

fn anomalies(n: usize, c: &Check, drawn: usize, injections: &[InjectionReport]) -> Markup {
    let total = c.anomalies_total.max(c.anomalies.len() as u64);
    let listed = &c.anomalies[drawn..c.anomalies.len().min(MAX_LISTED)];
    let word = if total == 1 { "anomaly" } else { "anomalies" };
    html! {
        @if !c.anomalies.is_empty() {
            h3 { (c.name) ": " (count(total)) " " (word) }
            @for (i, a) in c.anomalies.iter().take(drawn).enumerate() {
                @let new = c.anomalies[..i].iter().all(|b| b.name != a.name || b.violates != a.violates);
                (one(a, new, injections, &format!("an-{n}-{i}")))
            }
            @if !listed.is_empty() {
                details {
                    summary { (count(listed.len() as u64)) " more" }
                    div.scroll { table {
                        thead { tr { th scope="col" { "Anomaly" } th scope="col" { "Key" } th scope="col" { "What was seen" } th scope="col" { "First call" } } }
                        tbody { @for a in listed { tr {
                            th.nw scope="row" { (shorten(&a.name, 60)) } td { code { (shorten(&a.key, 60)) } }
                            td { (shorten(&a.summary, 400)) }
                            td.nw { @if let Some(o) = a.operations.iter().min_by_key(|o| o.invoked) { (o.invoked) } @else { "–" } }
                        } } }
                    } }
                }
            }
            @if total > (drawn + listed.len()) as u64 {
                p.muted { "Only " (count((drawn + listed.len()) as u64)) " of " (count(total)) " are shown." }
            }
        }
    }
}

/// What the name means is said at the first of its `name`.
fn one(a: &Anomaly, new: bool, injections: &[InjectionReport], id: &str) -> Markup {
    let (core, around) = anomaly::operations(a);
    let in_force = anomaly::overlapping(a, injections);
    html! {
        article.anomaly {
            h4 { (shorten(&a.name, 60)) " on key " code { (shorten(&a.key, 60)) } }
            p { (shorten(&a.summary, 600)) }
            @if new {
                p.muted {
                    @if let Some(what) = AnomalyKind::of(&a.name) { (what.meaning()) " " }
                    @if !a.violates.is_empty() {
                        "What is violated is " strong { (shorten(&a.violates, 60)) }
                        @if let Some(what) = Model::of(&a.violates) { ": " (what.meaning()) } "."
                    }
                }
            }
            @if let Some(svg) = anomaly::picture(a, injections, id) {
                div.scroll { (PreEscaped(svg)) }
                p {
                    @if in_force.is_empty() { "No injection was in force between the first and the last of these calls." }
                    @else {
                        "In force between the first and the last of these calls: "
                        @for (n, i) in in_force.iter().take(4).enumerate() {
                            @if n > 0 { "; " } (anomaly::in_force(i))
                        }
                        @if in_force.len() > 4 { " and " (in_force.len() - 4) " more" } "."
                    }
                }
                (table(core, around))
            }
        }
    }
}

fn table(core: &[OperationRecord], around: &[OperationRecord]) -> Markup {
    let mut rows: Vec<_> = core.iter().map(|o| (o, true)).collect();
    rows.extend(around.iter().map(|o| (o, false)));
    rows.sort_by_key(|(o, _)| (o.invoked, o.index));
    let tables = rows.iter().any(|(o, _)| !o.table.is_empty());
    html! {
        details {
            summary { "The same as a table" }
            div.scroll { table {
                caption { "The operations that show it are bold. Index: their line in history.jsonl." }
                thead { tr {
                    th scope="col" { "Operation" } th scope="col" { "Outcome" } th scope="col" { "From" } th scope="col" { "To" }
                    th scope="col" { "Process" } th scope="col" { "AZ" } th scope="col" { "Endpoint" }
                    @if tables { th scope="col" { "Table" } } th.r scope="col" { "Index" }
                } }
                tbody { @for (o, strong) in rows { tr.muted[!strong] {
                    th.nw scope="row" { @if strong { strong { (shorten(&o.what, 80)) } } @else { (shorten(&o.what, 80)) } }
                    td { (shorten(&o.outcome, 20)) }
                    td.nw { (o.invoked) } td.nw { @if let Some(t) = o.returned { (t) } @else { "no answer" } }
                    td { (o.process) } td { (shorten(&o.az, 40)) } td { (shorten(&o.endpoint, 40)) }
                    @if tables { td { (shorten(&o.table, 40)) } } td.r { (o.index) }
                } } }
            } }
        }
    }
}

/// What became of writes of unknown outcome.
fn resolution(r: &Report) -> Markup {
    html! {
        @if let Some(x) = &r.data.resolution {
            h3 { "Writes of unknown outcome" }
            p {
                @if x.unknown == 0 { "Every write had a certain outcome." }
                @else {
                    (plural(x.unknown, "write")) " had no certain outcome. Looked up afterwards: "
                    (count(x.seen)) " took effect, as reads or conditional writes show; "
                    (count(x.logged)) " took effect, as the store's log shows; "
                    (count(x.absent)) " had no effect: the log is whole and does not have them; "
                    (count(x.open)) " cannot be said."
                }
            }
        }
    }
}

/// What checks measured beside their verdicts: staleness, time to visibility.
fn measures(checks: &[Check]) -> Markup {
    let all: Vec<_> = checks
        .iter()
        .flat_map(|c| c.measures.iter().map(move |m| (c, m)))
        .collect();
    html! {
        @if !all.is_empty() {
            h3 { "What the checks measured" }
            div.scroll { table {
                thead { tr {
                    th scope="col" { "Measure" } th scope="col" { "Check" } th.r scope="col" { "Samples" }
                    th.r scope="col" { "p50" } th.r scope="col" { "p90" } th.r scope="col" { "p99" } th.r scope="col" { "Largest" }
                } }
                tbody { @for (c, m) in all { tr {
                    th.nw scope="row" { (m.name) } td.nw { (c.name) } td.r { (count(m.samples)) }
                    @for v in [m.p50, m.p90, m.p99, m.max] { td.r { (value(m, v)) } }
                } } }
            } }
        }
    }
}

/// `2 versions`, `12.3 ms`; `–` without samples.
fn value(m: &Measure, v: f64) -> String {
    if m.samples == 0 || !v.is_finite() {
        return "–".into();
    }
    match m.unit.as_str() {
        "ms" => {
            crate::numbers::latency(std::time::Duration::from_secs_f64(v.clamp(0.0, 1e12) / 1e3))
        }
        "versions" => plural(v.max(0.0).round() as u64, "version"),
        unit => format!("{v:.1} {unit}"),
    }
}
