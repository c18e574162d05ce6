//! What the measurement rests on: trust, limits, how to run it again.

use crate::numbers::{self, count};
use crate::report::Report;
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
                (format!("{:.3}", t.unsent_share * 100.0)) " % (more than "
                (numbers::limit_percent(crate::overall::MAX_UNSENT)) " would make the run inconclusive)"
            } }
            tr { th scope="row" { "Sent late by" } td { "p99 " (us(t.lag_p99_us)) ", at most " (us(t.lag_max_us)) } }
            tr { th scope="row" { "Operations measured" } td { (count(r.measured.operations)) " from " (r.measured.from) " to " (r.measured.to) } }
            tr { th scope="row" { "History" } td { @if t.history_complete { "complete, with its end marker" } @else { "cut off: no end marker" } } }
            tr { th scope="row" { "Timeout of a call" } td { (numbers::millis(r.run.timeout_ms)) ", one attempt, no retry" } }
        } } }
        @for remark in &t.remarks { p { (remark) } }
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
            @for az in &run.topology.azs {
                tr { th scope="row" { "AZ " (az) } td {
                    (run.topology.in_az(az).map(|n| n.name.as_str()).collect::<Vec<_>>().join(", "))
                } }
            }
        } } }
        @if !run.plan.is_empty() { details { summary { "The plan" } pre { code { (run.plan.join("\n")) } } } }
        details { summary { "The playbook" } pre { code { (run.playbook_text) } } }
    }
}
