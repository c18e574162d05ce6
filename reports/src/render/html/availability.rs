//! Availability in four definitions, what it proves, and its worst windows.

use crate::fold::Kind;
use crate::numbers::{count, limit_percent, millis};
use crate::render::curve;
use crate::report::{Availability, Proven, Report, SliGroup, SliRow, Sliced};
use gameday_record::Scope;
use maud::{Markup, PreEscaped, html};

/// Five-minute intervals of 30 days: more incidents find no room in a month.
const INTERVALS: f64 = 8640.0;
/// Rows of a breakdown that are shown.
const MAX_ROWS: usize = 120;

pub fn section(r: &Report) -> Markup {
    let of = |group| -> Vec<&SliRow> { r.sli.iter().filter(|s| s.group == group).collect() };
    let overall = of(SliGroup::Overall);
    html! {
        @if overall.is_empty() { p { "No operation was measured." } }
        @else {
            p.lead {
                "Reads and writes are never merged. "
                @if r.faulted() { "An untouched pair is a canary and an endpoint in AZs without a target: what a service promises to those whom the fault did not hit." }
            }
            (table(&overall, "", r))
            @if overall.iter().any(|s| s.proven.n > 0) {
                h3 { "What this proves" }
                ul { @for s in &overall { @if s.proven.n > 0 { li {
                    (capital(s.kind.name())) "s: "
                    @if r.faulted() {
                        "in AZs that no fault touched " (s.proven_untouched.text) "; those hurt on purpose included, " (s.proven.text)
                    } @else { (s.proven.text) }
                } } } }
            }
            @for (group, title, column) in [
                (SliGroup::Table, "By table", "Table"),
                (SliGroup::Az, "By AZ of the canary", "From AZ"),
                (SliGroup::Endpoint, "By endpoint", "Through"),
                (SliGroup::Connection, "By connection: kept, or opened for one call", "Connection"),
            ] {
                @let rows = of(group);
                @if !rows.is_empty() { details { summary { (title) } (table(&rows, column, r)) } }
            }
            (windows(r))
        }
    }
}

fn capital(s: &str) -> String {
    let mut c = s.chars();
    c.next().map_or(String::new(), |f| {
        f.to_uppercase().collect::<String>() + c.as_str()
    })
}

fn table(rows: &[&SliRow], column: &str, r: &Report) -> Markup {
    let retries = r.run.workload.as_ref().is_some_and(|w| w.attempts > 1)
        || rows.iter().any(|s| s.requests.all != s.first_attempts.all);
    let faulted = r.faulted();
    let uptime = rows.iter().any(|s| s.uptime.is_some());
    let slice = rows.first().map_or(0, |s| s.sliced.slice_ms);
    html! {
        div.scroll { table {
            caption {
                "Per attempt: the share of first attempts that were answered. "
                @if retries { "After retries: the share of requests that any of their attempts answered. " }
                "Mean of slices: the mean over slices of " (span(slice / 1000)) " of the share answered, each weighted by the time that it covers; a slice without data does not count. "
                @if uptime { "Uptime: the share of the time in which pairs were up, each counted as down from a failure to its next success; the time is summed over pairs." }
            }
            thead { tr {
                @if !column.is_empty() { th scope="col" { (column) } }
                th scope="col" { "Operation" }
                th.r scope="col" { "Per attempt, all pairs" }
                @if faulted { th.r scope="col" { "… untouched pairs" } }
                @if retries {
                    th.r scope="col" { "After retries, all" }
                    @if faulted { th.r scope="col" { "… untouched" } }
                }
                th.r scope="col" { "Mean of slices" }
                @if uptime { th.r scope="col" { "Uptime" } }
                th.r scope="col" { "Proven, 95\u{a0}%" }
            } }
            tbody { @for s in rows.iter().take(MAX_ROWS) { tr {
                @if !column.is_empty() { th.nw scope="row" { (s.name) } }
                th.nw scope="row" { (s.kind.name()) }
                (share(&s.first_attempts)) @if faulted { (untouched(&s.first_attempts)) }
                @if retries { (share(&s.requests)) @if faulted { (untouched(&s.requests)) } }
                td.r { (s.sliced.text) (gaps(&s.sliced)) }
                @if uptime { td.r { @match &s.uptime {
                    None => "–",
                    Some(u) => { (u.text) @if u.down_ms > 0 { small.sub { (millis(u.down_ms)) " down" } } },
                } } }
                td.r { (at_least(&s.proven)) }
            } } }
        } }
        @if rows.len() > MAX_ROWS { p.muted { "The rest is in report.json." } }
    }
}

fn share(a: &Availability) -> Markup {
    html! { td.r { (a.text) @if a.all.attempts() > 0 {
        small.sub { (count(a.all.missed())) " of " (count(a.all.attempts())) " missed" }
    } } }
}

fn untouched(a: &Availability) -> Markup {
    html! { td.r { (a.untouched_text) @if a.untouched.missed() > 0 {
        small.sub { (count(a.untouched.missed())) " of " (count(a.untouched.attempts())) " missed" }
    } } }
}

fn gaps(s: &Sliced) -> Markup {
    html! { @if s.with_data + s.without_data > 0 {
        small.sub { (count(s.with_data)) @if s.with_data == 1 { " slice" } @else { " slices" }
            @if s.without_data > 0 { ", " (count(s.without_data)) " empty" } }
    } }
}

/// `≥ 99.93 %`.
pub fn at_least(p: &Proven) -> String {
    match p.low {
        None => "–".into(),
        Some(low) => format!("≥ {}", crate::numbers::at_least(low)),
    }
}

/// The worst window of every length.
fn windows(r: &Report) -> Markup {
    let any = r.mcr.iter().any(|c| !c.points.is_empty());
    html! {
        @if any {
            h3 id="windows" { "The worst window of every length" }
            figure role="group" {
                @if let Some(svg) = curve::curve(r) { div.scroll { (PreEscaped(svg)) } }
                figcaption {
                    "How bad was the worst second, the worst ten seconds, and so on: the least share answered in any window of that length (Google's MCR curve). "
                    "The right end is the availability of the whole run. A circle or square marks the knee, the length from which on windows get better: the outage that weighs most is that long, and at most twice."
                    @if r.mcr.iter().all(|c| c.points.len() < 5) { " So short a run has only a few windows, so no line is drawn." }
                }
            }
            ul { @for c in &r.mcr { @if let (Some(first), Some(last)) = (c.points.first(), c.points.last()) {
                li {
                    (capital(c.kind.name())) "s: "
                    @if last.missed == 0 { "nothing was missed in any window." }
                    @else {
                        "in the worst " @if first.window_s == 1 { "second" } @else { (span(first.window_s)) } ", from " (first.from) ", " (first.text()) " were answered"
                        @match c.knee_s {
                            Some(k) => { "; an outage of " (span(k)) " to " (span(2 * k)) " weighs most." },
                            None => "; there is no knee: windows twice as long were nowhere much better, so no outage within the run stands out.",
                        }
                    }
                }
            } } }
            details {
                summary { "The curve as a table" }
                div.scroll { table {
                    thead { tr { th scope="col" { "Operation" } th.r scope="col" { "Window" } th.r scope="col" { "Worst share answered" } th.r scope="col" { "Missed" } th.r scope="col" { "From" } } }
                    tbody { @for c in &r.mcr { @for p in c.points.iter().take(40) { tr {
                        th.nw scope="row" { (c.kind.name()) } td.r { (span(p.window_s)) } td.r { (p.text()) }
                        td.r { (count(p.missed)) " of " (count(p.attempts)) } td.r { (p.from) }
                    } } } }
                } }
            }
        }
        (projections(r))
    }
}

/// `1 s`, `64 s`, `17 min 4 s`.
fn span(s: u64) -> String {
    if s < 100 {
        format!("{s} s")
    } else if s.is_multiple_of(60) && s < 3600 {
        format!("{} min", s / 60)
    } else {
        millis(s.saturating_mul(1000))
    }
}

fn projections(r: &Report) -> Markup {
    html! {
        @if !r.projections.is_empty() {
            h3 { "How many of these a month survives" }
            div.scroll { table {
                caption {
                    "The cost is what the incident took from the five-minute shares of a month (1: five minutes of full outage). "
                    "So many incidents of this cost use up the error budget of 30 days."
                }
                thead { tr { th scope="col" { "Incident" } th scope="col" { "Operation" } th.r scope="col" { "Cost" } th.r scope="col" { "Promised" } th.r scope="col" { "Incidents a month" } } }
                tbody { @for p in r.projections.iter().take(MAX_ROWS) { tr {
                    th scope="row" { @match p.injection {
                        None => "the whole run",
                        Some(id) => { @match r.injections.iter().find(|i| i.injection.id == id) {
                            Some(i) => (crate::overall::name(i)),
                            None => { "injection " (id) },
                        } },
                    } }
                    td { (p.kind.name()) @if p.scope == Scope::Untouched { ", untouched pairs" } }
                    td.r { @if p.cost.is_finite() { (format!("{:.4}", p.cost)) } @else { "–" } } td.r { (limit_percent(p.slo)) }
                    td.r { @match p.per_month {
                        Some(n) if n.is_finite() && n < 100.0 => (format!("{n:.1}")),
                        Some(n) if n.is_finite() && n > INTERVALS => { "one every five minutes" },
                        Some(n) if n.is_finite() => (count(n as u64)),
                        Some(_) => "–",
                        None => "any number: it cost nothing",
                    } }
                } } }
            } }
        }
    }
}

/// The kinds with their colours, for legends.
pub fn ink(kind: Kind) -> &'static str {
    match kind {
        Kind::Write => "write",
        Kind::StrongRead => "read",
        Kind::EventualRead => "third",
    }
}
