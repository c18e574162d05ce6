//! What the canaries measured: chart, pairs, latency, errors.

use crate::fold::{Counts, Kind};
use crate::numbers::{self, count};
use crate::render::chart;
use crate::report::{CellRow, Report};
use maud::{Markup, PreEscaped, html};
use std::collections::BTreeSet;
use std::time::Duration;

/// Largest heat map, in AZs; more would not be read.
const MAX_AZS: usize = 12;

/// Rows of the table beside the chart.
const MAX_ROWS: usize = 60;

pub fn timeline(r: &Report) -> Markup {
    let every = match r.series.step {
        1 => "second".to_string(),
        s => format!("{s} seconds"),
    };
    html! {
        @match chart::timeline(r) {
            None => p { "No operation was measured, so there is nothing to draw." },
            Some(svg) => figure role="group" {
                div.scroll { (PreEscaped(svg)) }
                figcaption {
                    "Share of operations answered per " (every) " over all AZ × endpoint pairs, by the time they were due. "
                    @if r.faulted() { span.key style="background:var(--fault)" {} "a fault, from the act to its revert, and paler until every pair was well again; " }
                    @if r.injections.iter().any(|i| !i.gaps.is_empty()) { span.key style="background:var(--muted)" {} "a gap in it; " }
                    span.key style="background:var(--fail)" {} "what was not answered, with a tick below for every "
                    (every) " that missed any. Latency counts from the due time, of what was answered: the p50 as a thin and the p99 as a thick line, writes and strong reads apart in the colours of their lanes. "
                    @if r.alarms.iter().any(|a| !a.firings.is_empty()) { "Alarms: from firing to clearing; the standard ones as production would see them. " }
                    @if r.trust.suspect_seconds > 0 { "Hatched: a canary sent late, so the latency is partly its own. " }
                    "Blank: nothing was measured."
                }
            },
        }
        @let bad: Vec<_> = r.series.points.iter().enumerate()
            .filter(|(_, p)| p.write.missed() + p.read.missed() + p.eventual.missed() > 0)
            .collect();
        @if !bad.is_empty() {
            details {
                summary { "The " (numbers::plural(bad.len() as u64, "step")) " that missed operations, as a table" }
                div.scroll { table {
                    thead { tr {
                        th scope="col" { "From" } th.r scope="col" { "Writes missed" }
                        th.r scope="col" { "Strong reads missed" } th.r scope="col" { "Eventual reads missed" }
                        th.r scope="col" { "p99 of writes" } th.r scope="col" { "p99 of strong reads" }
                    } }
                    tbody { @for (i, p) in bad.iter().take(MAX_ROWS) { tr {
                        th scope="row" { "+" (r.series.start + *i as u64 * r.series.step) " s" }
                        @for c in [p.write, p.read, p.eventual] { td.r { (missed(c)) } }
                        @for q in [p.write_latency, p.read_latency] { td.r { @if let Some(q) = q { (us_text(q.p99_us)) } @else { "–" } } }
                    } } }
                } }
                @if bad.len() > MAX_ROWS { p.muted { "The rest is in report.json." } }
            }
        }
        @if !r.cluster_events.is_empty() {
            details {
                summary { "What the cluster did by itself (" (r.cluster_events.len()) ")" }
                div.scroll { table {
                    thead { tr { th scope="col" { "When" } th scope="col" { "Node" } th scope="col" { "What" } } }
                    tbody { @for e in r.cluster_events.iter().take(MAX_ROWS) { tr {
                        th.nw scope="row" { (e.at) } td.nw { (e.node) } td { (e.kind) ": " (e.detail) }
                    } } }
                } }
                @if r.cluster_events.len() > MAX_ROWS { p.muted { "The rest is in report.json." } }
            }
        }
        @if !r.notes.is_empty() {
            details {
                summary { "Remarks of the runner (" (r.notes.len()) ")" }
                ul { @for n in r.notes.iter().take(MAX_ROWS) { li { (n.at) " " (n.text) } } }
            }
        }
    }
}

fn missed(c: Counts) -> Markup {
    html! { @if c.attempts() == 0 { "–" } @else { (count(c.missed())) " of " (count(c.attempts())) } }
}

fn us_text(us: u64) -> String {
    numbers::latency(Duration::from_micros(us))
}

pub fn pairs(r: &Report) -> Markup {
    let names = |f: fn(&CellRow) -> &str| -> Vec<&str> {
        let all: BTreeSet<_> = r.cells.iter().map(f).collect();
        all.into_iter().collect()
    };
    let (azs, endpoints) = (names(|c| &c.az), names(|c| &c.endpoint));
    let any_touched = r.cells.iter().any(|c| c.touched);
    html! {
        @if r.cells.is_empty() { p { "No operation was measured." } }
        @else if azs.len() > MAX_AZS || endpoints.len() > MAX_AZS {
            p { "Too many AZs for a table; see cells in report.json." }
        } @else {
            p.lead {
                "Each cell is one canary calling one endpoint: the share answered, how many of all were missed, and the run as a strip with a mark where something was missed."
                @if any_touched { " ◆ marks pairs whose canary or endpoint stands in an AZ with a target." }
            }
            div.heats { @for kind in Kind::ALL {
                @if r.cells.iter().any(|c| c.kind == kind) { (heat(r, kind, "answered", &azs, &endpoints, &|c| cell(r, c))) }
            } }
        }
    }
}

/// Latency of every pair, kinds apart: what finds the one that is slow and nowhere down.
fn pair_latency(r: &Report) -> Markup {
    let names = |f: fn(&CellRow) -> &str| -> Vec<&str> {
        let all: BTreeSet<_> = r.cells.iter().map(f).collect();
        all.into_iter().collect()
    };
    let (azs, endpoints) = (names(|c| &c.az), names(|c| &c.endpoint));
    let few = azs.len() <= MAX_AZS && endpoints.len() <= MAX_AZS;
    html! {
        @if few && azs.len() * endpoints.len() > 1 && r.cells.iter().any(|c| c.p50_us.is_some()) {
            h3 { "By AZ and endpoint" }
            p.lead {
                "The p50 and the p99 of what was answered, over the whole measured time. A coloured cell is a pair whose p50, or p99, is more than twice that of the middle pair."
            }
            div.heats { @for kind in Kind::ALL {
                @if r.cells.iter().any(|c| c.kind == kind) {
                    @let middle = |of: fn(&CellRow) -> Option<u64>| {
                        let mut all: Vec<u64> = r.cells.iter().filter(|c| c.kind == kind).filter_map(of).collect();
                        all.sort_unstable();
                        all.get(all.len().saturating_sub(1) / 2).copied()
                    };
                    @let (p50, p99) = (middle(|c| c.p50_us), middle(|c| c.p99_us));
                    (heat(r, kind, "latency", &azs, &endpoints, &|c| html! {
                        @match (c.p50_us, c.p99_us) {
                            (Some(a), Some(b)) => {
                                @let slow = p50.is_some_and(|m| a > 2 * m) || p99.is_some_and(|m| b > 2 * m);
                                div.cell.all[!slow] style={ "--heat:" (if slow { 25 } else { 0 }) } {
                                    b { (us_text(a)) } small { "p99 " (us_text(b)) @if slow { span.vh { " (slow)" } } }
                                }
                            },
                            _ => div.cell.none { "–" small { "no answer" } },
                        }
                    }))
                }
            } }
        }
    }
}

/// A table of every canary's AZ by every endpoint, of one kind.
fn heat(
    r: &Report,
    kind: Kind,
    what: &str,
    azs: &[&str],
    endpoints: &[&str],
    cell: &dyn Fn(&CellRow) -> Markup,
) -> Markup {
    html! {
        div.scroll { table.heat {
            caption { strong { (capital(kind.name())) "s" } " " (what) }
            thead { tr {
                td {} @for e in endpoints { th scope="col" { "through " (e) } }
            } }
            tbody { @for az in azs { tr {
                th scope="row" { "from " (az) }
                @for e in endpoints {
                    td { @match r.cells.iter().find(|c| c.az == *az && c.endpoint == *e && c.kind == kind) {
                        Some(c) => (cell(c)),
                        None => div.cell.none { "–" small { "no data" } },
                    } }
                }
            } } }
        } }
    }
}

fn cell(r: &Report, c: &CellRow) -> Markup {
    // Any miss shows; half missed is as red as it gets.
    let heat = match c.counts.availability() {
        Some(a) if a < 1.0 => (((1.0 - a) * 100.0).ceil().min(50.0) as u32).max(12),
        _ => 0,
    };
    let none = c.counts.attempts() == 0;
    html! {
        div.cell.none[none].all[heat == 0 && !none] style={ "--heat:" (heat) } {
            b { (c.text) } @if c.touched { " " span.tgt { span aria-hidden="true" { "◆" } span.vh { " (an AZ with a target)" } } }
            small { (count(c.counts.missed())) " of\u{a0}" (count(c.counts.attempts())) }
            (strip(r, c))
        }
    }
}

/// The run from left to right, with a mark for every stretch with a miss.
fn strip(r: &Report, c: &CellRow) -> Markup {
    let total = (r.series.points.len() as u64 * r.series.step).max(1);
    let width = (total as f64 / 120.0).max(0.5);
    // One path for all: a rectangle per stretch, and one for those that run into each other.
    let mut marks: Vec<(f64, f64)> = Vec::new();
    for (from, to) in &c.missed {
        let x = from.saturating_sub(r.series.start) as f64;
        let end = x + (to.saturating_sub(*from) as f64).max(width);
        match marks.last_mut() {
            Some(last) if x <= last.1 => last.1 = last.1.max(end),
            _ => marks.push((x, end)),
        }
    }
    let marks: String = marks
        .iter()
        .map(|(x, end)| {
            let wide = ((end - x) * 10.0).round() / 10.0;
            format!("M{x} 0h{wide}v10h-{wide}z")
        })
        .collect();
    html! {
        svg.strip viewBox={ "0 0 " (total) " 10" } preserveAspectRatio="none" aria-hidden="true" {
            rect.f-muted x="0" y="4" width=(total) height="2" opacity=".35" {}
            @if !c.missed.is_empty() { path.f-fail d=(marks) {} }
        }
    }
}

fn capital(s: &str) -> String {
    let mut c = s.chars();
    c.next().map_or(String::new(), |f| {
        f.to_uppercase().collect::<String>() + c.as_str()
    })
}

pub fn latency(r: &Report) -> Markup {
    html! {
        @if r.latency.is_empty() { p { "No operation was answered." } }
        @else {
            div.scroll { table {
                caption {
                    "From the time an operation was due to its answer: a client that had to wait counts its waiting. "
                    "The last column counts what was not answered as infinitely slow: the p99 that users got."
                }
                thead { tr {
                    th scope="col" { "Operation" } th scope="col" { "When" } th.r scope="col" { "Answered" }
                    th.r scope="col" { "p50" } th.r scope="col" { "p90" } th.r scope="col" { "p99" }
                    th.r scope="col" { "p99.9" } th.r scope="col" { "Slowest" } th.r scope="col" { "p99 with failures" }
                } }
                tbody { @for l in &r.latency { tr {
                    th.nw scope="row" { (l.kind.name()) } td.nw { (l.segment) } td.r { (count(l.answered)) }
                    @for us in [l.p50_us, l.p90_us, l.p99_us] { td.r { (us_text(us)) } }
                    td.r { @if let Some(us) = l.p999_us { (us_text(us)) } @else { "–" } }
                    td.r { (us_text(l.max_us)) }
                    td.r { @if let Some(us) = l.p99_all_us { (us_text(us)) } @else { "never" } }
                } } }
            } }
            (pair_latency(r))
        }
    }
}

pub fn errors(r: &Report) -> Markup {
    html! {
        @if r.errors.is_empty() { p { "There was none." } }
        @else { div.scroll { table {
            caption {
                "failed: certainly without effect. unknown: may have had effect. late: answered, but later than slow_after of the workload. unsent: the canary's own fault, not counted against the service."
            }
            thead { tr {
                th scope="col" { "Operation" } th scope="col" { "Error" } th scope="col" { "Outcome" } th.r scope="col" { "Count" }
                th scope="col" { "First due" } th scope="col" { "Last due" } th scope="col" { "Example" }
            } }
            tbody { @for e in &r.errors { tr {
                th.nw scope="row" { (e.kind.name()) } td.nw { (e.class) } td { (e.outcome) } td.r { (count(e.count)) }
                td.nw { (e.first) } td.nw { (e.last) } td { code { (e.example) } }
            } } }
        } } }
    }
}
