//! What is measured and what must hold, in words, for `gameday plan`.

use super::Measuring;
use super::values::{show, show_share};
use gameday_record::{
    AlarmRule, AlarmSpec, KeyChoice, Kind, Objective, Scope, Selection, Target, WorkloadSpec,
};
use std::time::Duration;

impl Measuring {
    /// One line for the workload, and one for each promise and alarm.
    pub fn lines(&self) -> Vec<String> {
        let mut out = vec![format!("{:<9} {}", "workload", workload(&self.workload))];
        let promises = self.slo.all();
        out.extend(
            promises
                .iter()
                .map(|o| format!("{:<9} {}", "promise", objective(o))),
        );
        if promises.is_empty() {
            out.push(format!("{:<9} none: availability is not judged", "promise"));
        }
        out.extend(
            self.alarms
                .iter()
                .map(|a| format!("{:<9} {}", "alarm", alarm(a))),
        );
        out
    }
}

/// `20 operations/s from each canary through each endpoint: 40 % strong reads, …`
fn workload(w: &WorkloadSpec) -> String {
    let shares = [
        (w.writes, "writes"),
        (w.inserts, "inserts"),
        (w.cas, "compare-and-set"),
        (w.adds, "additions"),
        (w.strong_reads, "strong reads"),
        (w.eventual_reads, "eventual reads"),
    ];
    let shares: Vec<String> = shares
        .into_iter()
        .filter(|(share, _)| *share > 0.0)
        .map(|(share, what)| format!("{} {what}", show_share(share)))
        .collect();
    let choice = match w.choice {
        KeyChoice::Uniform => String::new(),
        KeyChoice::Zipfian { theta } => format!(", zipfian ({theta})"),
        KeyChoice::Hot { keys, share } => {
            format!(", {} of the calls on {keys} hot", show_share(share))
        }
    };
    let mut parts = vec![
        format!(
            "{} operations/s of each canary through each endpoint: {}",
            w.rate,
            shares.join(", ")
        ),
        match w.tables {
            1 => format!("{} keys{choice}", w.keys),
            n => format!("{n} tables of {} keys{choice}", w.keys),
        },
        match w.item_bytes_max {
            Some(most) if most != w.item_bytes => format!("{} to {most} bytes", w.item_bytes),
            _ => format!("{} bytes", w.item_bytes),
        },
    ];
    if w.fresh_connections > 0.0 {
        parts.push(format!(
            "{} on fresh connections",
            show_share(w.fresh_connections)
        ));
    }
    if let Some(slow) = w.slow_after_ms {
        parts.push(format!("an answer after {} is too late", ms(slow)));
    }
    parts.push(match w.attempts {
        1 => format!("given up after {}", ms(w.timeout_ms)),
        n => format!(
            "an attempt given up after {}, {n} attempts",
            ms(w.timeout_ms)
        ),
    });
    parts.join("; ")
}

/// `reads are fast: 99 % of strong reads within 200ms`
fn objective(o: &Objective) -> String {
    let of = selection(&o.selection);
    let at_least = |share: f64| format!("at least {}", show_share(share));
    let what = match o.target {
        Target::Availability { at_least: n } => format!("{} of {of} answered", at_least(n)),
        Target::RequestAvailability { at_least: n } => {
            format!("{} of {of} answered after their retries", at_least(n))
        }
        Target::SlicedAvailability {
            slice_ms,
            at_least: n,
        } => format!(
            "{} of {of} answered, as the mean of slices of {}",
            at_least(n),
            ms(slice_ms)
        ),
        Target::Uptime { at_least: n } => format!("up for {} of the time, by {of}", at_least(n)),
        Target::WorstWindow {
            window_ms,
            at_least: n,
        } => format!(
            "{} of {of} answered in the worst window of {}",
            at_least(n),
            ms(window_ms)
        ),
        Target::Latency {
            quantile,
            at_most_ms,
        } => format!(
            "{} of {of} answered within {}",
            show_share(quantile),
            ms(at_most_ms)
        ),
        Target::LongestGap { at_most_ms } => {
            format!("no longer than {} without {of} answered", ms(at_most_ms))
        }
        Target::Recovery { at_most_ms } => format!(
            "recovered within {} of every revert, by {of}",
            ms(at_most_ms)
        ),
    };
    format!("{}: {what}", o.name)
}

/// `customers notice: if more than 1 % of all operations of a pair fail in 3 of 5 seconds …`
fn alarm(a: &AlarmSpec) -> String {
    let of = selection(&a.selection);
    let when = match &a.rule {
        AlarmRule::Failures {
            share,
            bad,
            of: seconds,
            failures,
        } => format!(
            "if more than {} of {of} fail in {bad} of {seconds} seconds through any one pair, {failures} of them at least",
            show_share(*share)
        ),
        AlarmRule::BurnRate {
            objective,
            long_ms,
            short_ms,
            factor,
            clean_before,
        } => format!(
            "if {of} burn the error budget of {} {factor} times too fast over {} and {}{}",
            show_share(*objective),
            ms(*long_ms),
            ms(*short_ms),
            if *clean_before {
                ", the time before the run taken as free of errors"
            } else {
                ""
            }
        ),
    };
    let mut out = format!("{}: {when}", a.name);
    match a.expect {
        Some(true) => {
            out.push_str("; this run should make it fire");
            if let Some(within) = a.within_ms {
                out.push_str(&format!(" within {} of a fault", ms(within)));
            }
        }
        Some(false) => out.push_str("; this run should not make it fire"),
        None => {}
    }
    if a.stop {
        out.push_str("; it ends the run");
    }
    out
}

/// `strong reads of table canary-2 from AZ a through endpoint b, of untouched pairs only`
fn selection(s: &Selection) -> String {
    let mut out = match s.kind {
        None => "all operations",
        Some(Kind::Write) => "writes",
        Some(Kind::StrongRead) => "strong reads",
        Some(Kind::EventualRead) => "eventual reads",
    }
    .to_string();
    if let Some(table) = &s.table {
        out.push_str(&format!(" of table {table}"));
    }
    if let Some(az) = &s.az {
        out.push_str(&format!(" from AZ {az}"));
    }
    if let Some(endpoint) = &s.endpoint {
        out.push_str(&format!(" through endpoint {endpoint}"));
    }
    if s.scope == Scope::Untouched {
        out.push_str(" where no fault touches AZ or endpoint");
    }
    out
}

fn ms(ms: u64) -> String {
    show(Duration::from_millis(ms))
}
