//! The first screen: the verdict in a word and a sentence, and the numbers
//! that a decision needs.

use super::class;
use crate::numbers::{count, limit_percent, millis, plural};
use crate::report::{AlarmOutcome, Availability, Ending, Report};
use gameday_record::{Scope, Verdict};
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
            (answered("Writes answered", &r.headline.write, r))
            (answered("Strong reads answered", &r.headline.read, r))
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

/// The promise that was tested first: what those got whom no fault hit. Those that were hurt on
/// purpose come second, and are called so.
fn answered(name: &str, a: &Availability, r: &Report) -> Markup {
    let Some(lead) = super::super::lead(a, r) else {
        return tile(name, "–", html! { "none was measured" });
    };
    tile(
        name,
        lead.text,
        html! {
            @if r.faulted() { @if lead.spared { "in AZs that no fault touched; " } @else { "every AZ was hurt" (planned(r)) "; " } }
            span.nw { (count(lead.counts.missed())) " of " (count(lead.counts.attempts())) } " missed"
            @if lead.spared { br; "AZs that were hurt" (planned(r)) ": " span.nw { (a.hurt_text) } }
            @if let Some(l) = a.limit {
                br; "promised" @if r.faulted() { @match a.limit_scope { Scope::All => " of all", Scope::Untouched => " in AZs that no fault touches" } }
                ": " span.nw { (limit_percent(l)) }
                @if lead.spared && a.limit_scope == Scope::All { ", all got " span.nw { (a.text) } }
            }
        },
    )
}

/// Said of those that were hurt: nobody who passes need explain it.
fn planned(r: &Report) -> &'static str {
    match r.overall.ending {
        Ending::Pass => ", as planned",
        _ => "",
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
                html! { "between two acknowledged writes through any endpoint, from " (g.from) (doomed(r)) },
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
                    (write_gap(r))
                },
            )),
            None => (tile("Other AZs felt it for", "–", html! {
                @if h.worst_failover_note.is_empty() { (h.worst_recovery_note) } @else { (h.worst_failover_note) }
                (rest(r))
                (write_gap(r))
            })),
        }
    }
}

fn write_gap(r: &Report) -> Markup {
    html! { @if let Some(g) = r.headline.write_gap.filter(|_| r.headline.write.all.attempts() > 0) {
        br; "longest write gap " span.nw { (millis(g.ms())) }
    } }
}

/// The calls that were lost in a row, beside the gap.
fn doomed(r: &Report) -> Markup {
    html! { @if let Some(d) = r.headline.doomed_writes {
        br; "longest stretch of doomed writes, by due times: " span.nw { (millis(d.ms())) }
    } }
}

fn rest(r: &Report) -> Markup {
    let h = &r.headline;
    html! {
        @if let Some(ms) = h.worst_total_ms { br; "all well " span.nw { (millis(ms)) } " after the act" }
        @if let Some(ms) = h.worst_recovery_ms {
            br; @if ms == 0 { "and as soon as it was reverted" } @else { "and " span.nw { (millis(ms)) } " after its revert" }
        }
    }
}

fn data(r: &Report) -> Markup {
    let h = &r.headline;
    let word = super::super::data_word(r, "intact");
    let anomalies: u64 = r
        .data
        .checks
        .iter()
        .map(|c| c.anomalies_total.max(c.anomalies.len() as u64))
        .sum();
    tile(
        "Data",
        match h.data {
            Verdict::Fail => "wrong",
            Verdict::Pass | Verdict::Unknown => word,
        },
        html! {
            @if r.data.checks.is_empty() { (r.data.why) } @else if word == super::super::NOT_JUDGED {
                "every check was left out"
            } @else {
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
    let Some(s) = super::super::least_proven(r) else {
        return tile(
            "Proven",
            "–",
            html! { @if r.faulted() { "no AZ was left to prove it from" } @else { "there is nothing to prove it from" } },
        );
    };
    tile(
        "Proven",
        &super::availability::at_least(&s.proven_untouched),
        html! {
            "of " (s.kind.name()) "s" @if r.faulted() { " in AZs that no fault touched" }
            @if s.proven_untouched.nines > 0 { ", " (plural(u64::from(s.proven_untouched.nines), "nine")) }
            br; "by " (plural(s.proven_untouched.seconds, "second")) ", " span.nw { "with 95 % confidence" }
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
                            " (" @match f.after_ms { Some(ms) => { (millis(ms)) " after the act" }, None => { "at " (f.known_at) ", no fault near" } } ")"
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
