//! What a person sees while a canary runs: a status line on a terminal, plain
//! lines elsewhere; alarms when they fire and clear.

use super::publisher::Publisher;
use crate::print;
use gameday_canary::protocol::Health;
use gameday_record::{Nanos, RunClock};
use gameday_reports::{Change, Fold, Kind, numbers};
use std::time::Duration;

/// Seconds over which rates are shown.
const RECENT: u64 = 10;

/// The live view.
pub struct View {
    clock: RunClock,
    /// Calls that were due in this last time may still be in flight.
    settle: Duration,
    /// A status line that is written over; otherwise lines alone.
    terminal: bool,
}

impl View {
    /// For a terminal, or for a file.
    pub fn new(clock: RunClock, settle: Duration, terminal: bool) -> Self {
        View {
            clock,
            settle,
            terminal,
        }
    }

    /// Time between two status lines.
    pub fn pace(&self) -> Duration {
        match self.terminal {
            true => Duration::from_secs(1),
            false => Duration::from_secs(10),
        }
    }

    /// Says something that stays.
    pub fn line(&self, text: &str) {
        say!("[{:>8.1} s] {text}", self.clock.now().as_secs_f64());
    }

    /// Says that an alarm changed.
    pub fn alarm(&self, change: &Change) {
        self.line(&alarm(change));
    }

    /// Shows how things are.
    pub fn status(&self, publisher: &Publisher) {
        let now = self.clock.now();
        let text = publisher.look(|fold, health| status(fold, health, now - self.settle));
        match self.terminal {
            true => print::status(Some(text)),
            false => self.line(&text),
        }
    }

    /// Takes the status line away.
    pub fn end(&self) {
        print::status(None);
    }
}

/// `ALARM failures (a through b): 12 % failed`
fn alarm(change: &Change) -> String {
    let who = match change.who.as_str() {
        "" => String::new(),
        who => format!(" ({who})"),
    };
    let word = if change.firing { "ALARM" } else { "clear" };
    format!(
        "{word} {}{who} at {}: {}",
        change.name, change.known_at, change.observed
    )
}

/// `writes 99.90 %, p99 3 ms · reads … · all: 99.95 % of 12 345 · lag p99 0.1 ms`
fn status(fold: &Fold, health: &Health, now: Nanos) -> String {
    let mut parts = Vec::new();
    for (kind, label) in [
        (Kind::Write, "writes"),
        (Kind::StrongRead, "strong reads"),
        (Kind::EventualRead, "eventual reads"),
    ] {
        let recent = fold.recent(now, RECENT, Some(kind));
        if let Some(share) = recent.counts.availability() {
            let p99 = recent
                .p99
                .map(|d| format!(", p99 {:.1} ms", d.as_secs_f64() * 1e3))
                .unwrap_or_default();
            parts.push(format!("{label} {}{p99}", floored(share)));
        }
    }
    let all = fold.totals(|_| true);
    if let Some(share) = all.availability() {
        parts.push(format!(
            "so far {} of {}",
            floored(share),
            numbers::count(all.attempts())
        ));
    }
    if let Some(lag) = &health.lag_us {
        parts.push(format!("send lag p99 {:.1} ms", lag.p99 as f64 / 1e3));
    }
    if parts.is_empty() {
        return "nothing measured yet".into();
    }
    parts.join(" · ")
}

/// Floored to two digits: 99.999 % is not 100 %.
fn floored(share: f64) -> String {
    format!("{:.2} %", (share * 10_000.0).floor() / 100.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_is_not_everything() {
        assert_eq!(
            status(&Fold::new(), &Health::default(), Nanos(0)),
            "nothing measured yet"
        );
        assert_eq!(floored(0.999_99), "99.99 %");
    }

    #[test]
    fn an_alarm_is_one_line() {
        let change = Change {
            alarm: 0,
            name: "failures".into(),
            firing: true,
            at: Nanos(1_000_000_000),
            known_at: Nanos(3_200_000_000),
            who: "a through b".into(),
            observed: "12 % failed".into(),
            stop: false,
        };
        assert_eq!(
            alarm(&change),
            "ALARM failures (a through b) at +3.200 s: 12 % failed"
        );
    }
}
