//! The first screen: the verdict in a word and a sentence, and the numbers
//! that a decision needs.

use super::class;
use crate::numbers::{count, limit_percent, millis, plural};
use crate::report::{AlarmOutcome, Availability, Ending, Report, SliGroup};
use gameday_record::Verdict;
use maud::{Markup, html};

/// Reasons said at the top.
const MAX_REASONS: usize = 12;

pub fn head(r: &Report) -> Markup {
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
            "gameday · " (r.run.playbook) " · " (r.run.started_utc) " · "
            @if r.canary_alone() { "a canary alone" } @else { (r.run.runtime) " runtime" }
            " · seed " (r.run.seed)
        }
        h1 { (r.run.title) }
        div class={ "verdict " (class(o.verdict)) } {
            p.word { span aria-hidden="true" { (glyph) " " } (o.ending.word()) }
            p.say { (o.sentence) }
            @if !more.is_empty() {
                ul { @for reason in more.iter().take(MAX_REASONS) { li { (reason) } } }
                @if more.len() > MAX_REASONS { p.muted { "… and " (more.len() - MAX_REASONS) " more." } }
            }
        }
        div.tiles {
            (tile("Writes answered", &r.headline.write.text, availability_note(&r.headline.write, r.faulted())))
            (tile("Strong reads answered", &r.headline.read.text, availability_note(&r.headline.read, r.faulted())))
            (recovery(r))
            (data(r))
            (proven(r))
        }
        (alarms(r))
    }
}

fn tile(name: &str, value: &str, note: Markup) -> Markup {
    html! { div.tile { div.k { (name) } div.n { (value) } div.d { (note) } } }
}

fn availability_note(a: &Availability, faulted: bool) -> Markup {
    html! {
        @if a.all.attempts() > 0 {
            span.nw { (count(a.all.missed())) " of " (count(a.all.attempts())) } " missed"
            @if let Some(l) = a.limit { br; "promised: " span.nw { (limit_percent(l)) } }
            @if faulted {
                br;
                @if a.untouched.attempts() > 0 {
                    "untouched AZs: " span.nw { (a.untouched_text) }
                } @else { "no AZ was left untouched" }
            }
        } @else { "none was measured" }
    }
}

/// What an outage of a part cost the rest; without a fault, the longest write gap.
fn recovery(r: &Report) -> Markup {
    let h = &r.headline;
    let gap = h.write_gap.filter(|_| h.write.all.attempts() > 0);
    if r.injections.is_empty() {
        return match gap {
            Some(g) => tile(
                "Longest write gap",
                &millis(g.ms()),
                html! { "without an answered write through any endpoint, from " (g.from) },
            ),
            None => tile("Longest write gap", "–", html! { "no write was measured" }),
        };
    }
    html! {
        @match h.worst_failover_ms {
            Some(ms) => (tile(
                "Other AZs felt it for",
                &if ms == 0 { "0 s".to_string() } else { millis(ms) },
                html! {
                    "at worst, until they were well again"
                    (rest(r))
                },
            )),
            None => (tile("Other AZs felt it for", "–", html! {
                @if h.worst_failover_note.is_empty() { (h.worst_recovery_note) } @else { (h.worst_failover_note) }
                (rest(r))
            })),
        }
    }
}

fn rest(r: &Report) -> Markup {
    let h = &r.headline;
    html! {
        @if let Some(ms) = h.worst_total_ms { br; "all well " span.nw { (millis(ms)) } " after the act" }
        @if let Some(ms) = h.worst_recovery_ms {
            br; @if ms == 0 { "and as soon as it was gone" } @else { "and " span.nw { (millis(ms)) } " after it was gone" }
        }
    }
}

fn data(r: &Report) -> Markup {
    let h = &r.headline;
    let anomalies: u64 = r
        .data
        .checks
        .iter()
        .map(|c| c.anomalies_total.max(c.anomalies.len() as u64))
        .sum();
    tile(
        "Data",
        match h.data {
            Verdict::Pass => "intact",
            Verdict::Fail => "wrong",
            Verdict::Unknown => "unknown",
        },
        html! {
            @if r.data.checks.is_empty() { (r.data.why) } @else {
                @let bad = |v| r.data.checks.iter().filter(|c| c.verdict == v).count();
                (plural(r.data.checks.len() as u64, "check")) ", "
                @match (bad(Verdict::Fail), bad(Verdict::Unknown)) {
                    (0, 0) => "all passed",
                    (0, n) => { (n) " undecided" },
                    (n, 0) => { (n) " failed" },
                    (n, m) => { (n) " failed, " (m) " undecided" },
                }
                @if anomalies > 0 {
                    br; (count(anomalies)) @if anomalies == 1 { " anomaly" } @else { " anomalies" }
                }
            }
        },
    )
}

fn proven(r: &Report) -> Markup {
    let worst = r
        .sli
        .iter()
        .filter(|s| s.group == SliGroup::Overall && s.proven.n > 0)
        .min_by(|a, b| {
            let low = |s: &crate::report::SliRow| s.proven.low.unwrap_or(0.0);
            low(a).total_cmp(&low(b))
        });
    let value = match (r.headline.nines_proven, worst) {
        (Some(n), _) if n > 0 => plural(u64::from(n), "nine"),
        (_, Some(s)) => super::availability::at_least(&s.proven),
        _ => "–".to_string(),
    };
    tile(
        "Proven",
        &value,
        html! {
            @match worst {
                Some(s) => {
                    "of the worst kind, " (s.kind.name()) "s" @if r.headline.nines_proven == Some(0) { ": not one nine" }
                    br; span.nw { "with 95 % confidence" }
                    @if r.headline.nines_proven.is_some_and(|n| n > 0) { ": " span.nw { (super::availability::at_least(&s.proven)) } }
                },
                None => "there is nothing to prove it from",
            }
        },
    )
}

/// What monitoring would have said, in a line.
fn alarms(r: &Report) -> Markup {
    let playbook = |wanted: fn(AlarmOutcome) -> bool| -> Vec<&str> {
        let judged = r
            .alarms
            .iter()
            .filter(|a| a.source == crate::report::AlarmSource::Playbook);
        judged
            .filter(|a| wanted(a.outcome))
            .map(|a| a.name.as_str())
            .collect()
    };
    let missed = playbook(|o| o == AlarmOutcome::Missed);
    let fired = r
        .alarms
        .iter()
        .filter(|a| a.source == crate::report::AlarmSource::Playbook && !a.firings.is_empty());
    let fired: Vec<_> = fired.take(5).collect();
    html! {
        @if !fired.is_empty() || !missed.is_empty() {
            p.alarmline {
                @if !fired.is_empty() {
                    strong { "Alarms that fired: " }
                    @for (i, a) in fired.iter().enumerate() {
                        @if i > 0 { ", " } (a.name)
                        @if let Some(f) = a.firings.first() {
                            " (" @match f.after_ms { Some(ms) => { (millis(ms)) " after the act" }, None => { "at " (f.at) } } ")"
                        }
                    }
                    ". "
                }
                @if !missed.is_empty() {
                    strong.bad { "Expected, but silent: " } (missed.join(", ")) "."
                }
            }
        }
    }
}
