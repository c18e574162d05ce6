//! What the measurement rests on: trust, limits, how to run it again.

use crate::numbers::{self, count};
use crate::report::Report;
use gameday_record::Phase;
use maud::{Markup, html};
use std::time::Duration;

pub fn trust(r: &Report) -> Markup {
    let t = &r.trust;
    let us = |us: Option<u64>| {
        us.map_or("no data".to_string(), |us| {
            numbers::latency(Duration::from_micros(us))
        })
    };
    html! {
        div.scroll { table { tbody {
            tr { th scope="row" { "Pace asked, all pairs" } td { (format!("{:.1}", t.asked_rate)) " operations per second over " (t.pairs) " pairs" } }
            tr { th scope="row" { "Pace sent" } td {
                (format!("{:.1}", t.sent_rate)) " per second"
                @if t.asked_rate > 0.0 { " (" (format!("{:.1}", t.sent_rate / t.asked_rate * 100.0)) " %)" }
                @if let Some((pair, share)) = &t.slowest_pair {
                    "; the slowest pair, " (pair) ", made " (format!("{:.0}", share * 100.0)) " % of its own"
                }
            } }
            tr { th scope="row" { "Not sent" } td {
                @if t.unsent_share == 0.0 { "none" } @else { (format!("{:.3}", t.unsent_share * 100.0)) " %" }
                " (more than "
                (numbers::limit_percent(crate::overall::MAX_UNSENT)) " would make the run inconclusive)"
            } }
            tr { th scope="row" { "Sent late by" } td { "p99 " (us(t.lag_p99_us)) ", at most " (us(t.lag_max_us)) } }
            @if let Some(told) = waiting(r) { tr { th scope="row" { "Waiting for a processor" } td { (told) } } }
            @if t.suspect_seconds > 0 { tr { th scope="row" { "Suspect seconds" } td { (count(t.suspect_seconds)) ", in which a canary sent late" } } }
            tr { th scope="row" { "Operations measured" } td { (count(r.measured.operations)) " from " (r.measured.from) " to " (r.measured.to) } }
            tr { th scope="row" { "History" } td { @if t.history_complete { "complete, with its end marker" } @else { "cut off: no end marker" } } }
            tr { th scope="row" { "Timeout of a call" } td { (numbers::millis(r.run.timeout_ms)) ", "
                @match r.run.workload.as_ref().map_or(1, |w| w.attempts) {
                    1 => "one attempt, no retry",
                    n => { "up to " (n) " attempts for a request; only first attempts are paced" },
                }
                @if let Some(ms) = r.run.workload.as_ref().and_then(|w| w.slow_after_ms) { "; an answer after more than " (numbers::millis(ms)) " counts as missed" } } }
        } } }
        (lag(r))
        @for remark in &t.remarks { p { (remark) } }
    }
}

/// In what shares of the phases some task of the machine waited for a processor.
fn waiting(r: &Report) -> Option<String> {
    let counted = r.series.phases.iter().filter(|p| {
        [Phase::Baseline, Phase::Steps, Phase::Cooldown]
            .map(Phase::name)
            .contains(&p.name.as_str())
    });
    let shares: Vec<String> = counted
        .filter_map(|p| Some(format!("{:.0} % of the {}", p.waiting? * 100.0, p.name)))
        .collect();
    (!shares.is_empty()).then(|| format!("some task of this machine in {}", shares.join(", ")))
}

/// How late each canary sent: the health of the measurement itself.
fn lag(r: &Report) -> Markup {
    let t = &r.trust;
    html! {
        @if !t.canaries.is_empty() {
            h3 { "How late each canary sent" }
            div.scroll { table {
                caption {
                    "From the time that a call was due to the time that it was sent. A second is suspect if the canary's p99 was above 5 ms or one call was more than 50 ms late: "
                    "its latencies are partly the canary's own and it is hatched in the timeline; its availability counts all the same."
                }
                thead { tr {
                    th scope="col" { "Canary in" } th.r scope="col" { "Sent" } th.r scope="col" { "Not sent" }
                    th.r scope="col" { "p50" } th.r scope="col" { "p90" } th.r scope="col" { "p99" } th.r scope="col" { "p99.9" } th.r scope="col" { "Latest" }
                    th.r scope="col" { "Suspect seconds" }
                } }
                tbody { @for c in t.canaries.iter().take(64) { tr {
                    th scope="row" { (c.az) } td.r { (count(c.sent)) } td.r { (count(c.unsent)) }
                    @for us in [c.p50_us, c.p90_us, c.p99_us, c.p999_us, c.max_us] { td.r { (numbers::latency(Duration::from_micros(us))) } }
                    td.r { (count(c.suspect.iter().map(|(a, b)| b.saturating_sub(*a)).sum())) }
                } } }
            } }
        }
    }
}

pub fn definitions(r: &Report) -> Markup {
    html! {
        @if r.definitions.is_empty() { p { "This report was written by a version that did not define them." } }
        @else { dl.words { @for d in &r.definitions { dt { (d.term) } dd { (d.text) } } } }
    }
}

pub fn limits(r: &Report) -> Markup {
    html! { ul { @for l in &r.limits { li { (l) } } } }
}

pub fn again(r: &Report) -> Markup {
    let run = &r.run;
    let v = &run.versions;
    html! {
        pre { code { (run.command) } }
        div.scroll { table { tbody {
            tr { th scope="row" { "Run" } td { (run.id) } }
            tr { th scope="row" { "Seed" } td { (run.seed) } }
            tr { th scope="row" { "Versions" } td {
                "gameday " (v.gameday) @if let Some(d) = &v.docker { ", Docker " (d) } ", kernel " (v.kernel)
                ", " (numbers::plural(u64::from(v.cpus), "processor"))
                @if !run.features.is_empty() { ", built with " strong { (run.features.join(", ")) } }
            } }
            tr { th scope="row" { "Runtime" } td { (run.runtime) } }
            @for az in run.topology.azs.iter().filter(|az| run.topology.in_az(az).next().is_some()) {
                tr { th scope="row" { "AZ " (az) } td {
                    (run.topology.in_az(az).map(|n| n.name.as_str()).collect::<Vec<_>>().join(", "))
                } }
            }
        } } }
        @if !run.plan.is_empty() { details { summary { "The plan" } pre { code { (run.plan.join("\n")) } } } }
        @if !run.playbook_text.is_empty() {
            details {
                summary { @if r.canary_alone() { "The configuration" } @else { "The playbook" } }
                pre { code { (run.playbook_text) } }
            }
        }
    }
}
