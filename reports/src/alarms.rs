//! Customer-facing alarms, evaluated second by second over the fold: live,
//! where one may end a run, and again in the report. Both are this code.
//!
//! Only whole seconds are judged that are *settled*: so old that every call
//! due in them has ended (`settle`, the timeout of the calls with a margin).
//! A second that is judged is not judged again, so what is known live is what
//! the report says, as long as outcomes come within `settle`. What made an alarm
//! fire is a second of *due* times ([`Change::at`]); when anybody could know it is
//! another time, and later ([`Change::known_at`]).
//!
//! Seconds without operations are no data: they are neither bad nor good.

use crate::burn::{self, window};
use crate::fold::{Counts, Fold, SECOND, Second};
use crate::numbers::limit_percent;
use gameday_record::{AlarmRule, AlarmSpec, Nanos, Scope};
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::time::Duration;

/// Longest window that is evaluated, in seconds; longer ones are cut to it.
pub const MAX_WINDOW_S: u64 = 31 * 86_400;

/// An alarm fired or cleared.
#[derive(Clone, Debug, PartialEq)]
pub struct Change {
    /// Its place among the specs.
    pub alarm: usize,
    /// Its name.
    pub name: String,
    /// True if it fired, false if it cleared.
    pub firing: bool,
    /// End of the second, by due times, that made it so.
    pub at: Nanos,
    /// When that could be known: live, when it was evaluated; of a recording, when that
    /// second and the last call due in its window had ended.
    pub known_at: Nanos,
    /// Pair that made it fire (`a through b`); empty if all were taken together.
    pub who: String,
    /// What was seen, with window and threshold.
    pub observed: String,
    /// True if its firing should end the run.
    pub stop: bool,
}

/// What an alarm is now.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct State<'a> {
    /// The alarm.
    pub spec: &'a AlarmSpec,
    /// Since when it fires, if it does.
    pub firing_since: Option<Nanos>,
    /// Current burn rate of the long window, for burn-rate alarms with data.
    pub burn: Option<f64>,
}

/// Evaluates alarms. Its memory is bounded by the windows: eight bytes for
/// each of their seconds.
#[derive(Debug)]
pub struct Watch {
    alarms: Vec<Alarm>,
    /// From when on faults touch an AZ.
    touched: BTreeMap<String, u64>,
    begin: u64,
    next: u64,
    settle: Duration,
}

#[derive(Debug)]
struct Alarm {
    spec: AlarmSpec,
    since: Option<Nanos>,
    eval: Eval,
    /// When the last call was known of those judged so far.
    known: Nanos,
}

#[derive(Debug)]
enum Eval {
    /// Per pair, its last seconds.
    Failures(BTreeMap<(String, String), Recent>),
    Burn {
        long: Sliding,
        short: Sliding,
    },
}

/// The last seconds of a pair.
#[derive(Debug, Default)]
struct Recent(VecDeque<Second>);

/// The sum over a sliding window.
#[derive(Debug)]
struct Sliding {
    length: u64,
    seconds: VecDeque<(u32, u32)>,
    attempts: u64,
    missed: u64,
}

impl Sliding {
    fn new(ms: u64) -> Self {
        Sliding {
            length: (ms / 1000).clamp(1, MAX_WINDOW_S),
            seconds: VecDeque::new(),
            attempts: 0,
            missed: 0,
        }
    }

    fn push(&mut self, attempts: u64, missed: u64) {
        let clip = |n: u64| u32::try_from(n).unwrap_or(u32::MAX);
        let new = (clip(attempts), clip(missed));
        if self.seconds.len() as u64 == self.length
            && let Some((a, m)) = self.seconds.pop_front()
        {
            self.attempts -= u64::from(a);
            self.missed -= u64::from(m);
        }
        self.attempts += u64::from(new.0);
        self.missed += u64::from(new.1);
        self.seconds.push_back(new);
    }

    fn full(&self) -> bool {
        self.seconds.len() as u64 == self.length
    }

    /// Share of errors. Seconds before the first count as free of errors and
    /// with as much traffic as was seen since.
    fn errors(&self) -> Option<f64> {
        let seen = self.seconds.len() as f64 / self.length as f64;
        (self.attempts > 0).then(|| self.missed as f64 / self.attempts as f64 * seen)
    }
}

impl Watch {
    /// Evaluates these from the first whole second at or after `begin` on.
    /// `settle`: how long after its end every call due in a second has ended;
    /// the timeout of the calls and a margin for late sending.
    pub fn new(specs: Vec<AlarmSpec>, begin: Nanos, settle: Duration) -> Self {
        let alarms = specs
            .into_iter()
            .map(|spec| Alarm {
                eval: match spec.rule {
                    AlarmRule::Failures { .. } => Eval::Failures(BTreeMap::new()),
                    AlarmRule::BurnRate {
                        long_ms, short_ms, ..
                    } => Eval::Burn {
                        long: Sliding::new(long_ms),
                        short: Sliding::new(short_ms),
                    },
                },
                spec,
                since: None,
                known: Nanos::ZERO,
            })
            .collect();
        let begin = begin.0.div_ceil(SECOND);
        Watch {
            alarms,
            touched: BTreeMap::new(),
            begin,
            next: begin,
            settle,
        }
    }

    /// A fault touches these AZs from `from` on, to the end of the run: pairs
    /// with them no longer count for alarms of [`Scope::Untouched`]. To be
    /// told before that second is settled.
    pub fn touch(&mut self, azs: &[String], from: Nanos) {
        let second = from.0 / SECOND;
        for az in azs {
            let at = self.touched.entry(az.clone()).or_insert(second);
            *at = second.min(*at);
        }
    }

    /// Judges every second that is settled by `now` and was not judged yet.
    /// A bounded fold must still have them: call it at least as often as that
    /// forgets.
    pub fn step(&mut self, fold: &Fold, now: Nanos) -> Vec<Change> {
        self.until(fold, (now - self.settle).0 / SECOND, Some(now))
    }

    /// Judges every whole second before `end`, settled or not: for a recording
    /// that has ended.
    pub fn finish(&mut self, fold: &Fold, end: Nanos) -> Vec<Change> {
        self.until(fold, end.0 / SECOND, None)
    }

    /// How things stand after the last judged second.
    pub fn states(&self) -> Vec<State<'_>> {
        self.alarms
            .iter()
            .map(|a| State {
                spec: &a.spec,
                firing_since: a.since,
                burn: match (&a.eval, &a.spec.rule) {
                    (Eval::Burn { long, .. }, AlarmRule::BurnRate { objective, .. }) => {
                        long.errors().map(|e| e / (1.0 - objective))
                    }
                    _ => None,
                },
            })
            .collect()
    }

    fn until(&mut self, fold: &Fold, end: u64, now: Option<Nanos>) -> Vec<Change> {
        let mut out = Vec::new();
        while self.next < end {
            let second = self.next;
            self.next += 1;
            let touched: BTreeSet<String> = self
                .touched
                .iter()
                .filter(|(_, from)| **from <= second)
                .map(|(az, _)| az.clone())
                .collect();
            for (i, alarm) in self.alarms.iter_mut().enumerate() {
                let change = alarm.judge(i, fold, second, &touched, second + 1 - self.begin);
                out.extend(change.map(|c| Change {
                    known_at: now.unwrap_or(c.known_at),
                    ..c
                }));
            }
        }
        out
    }
}

impl Alarm {
    /// Takes one second; the change that it made, if any. `elapsed`: seconds
    /// judged so far, this one included.
    fn judge(
        &mut self,
        index: usize,
        fold: &Fold,
        second: u64,
        touched: &BTreeSet<String>,
        elapsed: u64,
    ) -> Option<Change> {
        let selection = &self.spec.selection;
        let fired = match (&mut self.eval, &self.spec.rule) {
            (
                Eval::Failures(pairs),
                AlarmRule::Failures {
                    share,
                    bad,
                    of,
                    failures,
                },
            ) => {
                let counts = fold.pairs_at(second, |c| c.is_in(selection, touched));
                for (az, endpoint) in counts.keys() {
                    // Only what is new is copied.
                    if !pairs.iter().any(|((a, e), _)| a == az && e == endpoint) {
                        pairs.insert((az.to_string(), endpoint.to_string()), Recent::default());
                    }
                }
                if selection.scope == Scope::Untouched {
                    pairs.retain(|(a, e), _| !touched.contains(a) && !touched.contains(e));
                }
                self.known = counts.values().map(|s| s.known).max().unwrap_or_default();
                let mut worst: Option<(u64, String, String)> = None;
                let mut known = Nanos::ZERO;
                for ((az, endpoint), recent) in pairs.iter_mut() {
                    let now = counts.get(&(az.as_str(), endpoint.as_str()));
                    recent.0.push_back(now.copied().unwrap_or_default());
                    while recent.0.len() > *of as usize {
                        recent.0.pop_front();
                    }
                    let seen = || recent.0.iter().map(|s| s.counts);
                    let is_bad = |c: &Counts| c.missed() as f64 > share * c.attempts() as f64;
                    let bads = seen().filter(is_bad).count();
                    let missed: u64 = seen().map(|c| c.missed()).sum();
                    if bads >= *bad as usize
                        && missed >= *failures
                        && worst.as_ref().is_none_or(|w| missed > w.0)
                    {
                        let all: u64 = seen().map(|c| c.attempts()).sum();
                        known = recent.0.iter().map(|s| s.known).max().unwrap_or_default();
                        worst = Some((
                            missed,
                            format!("{az} through {endpoint}"),
                            format!(
                                "{missed} of {all} not answered, in {bads} of {} s more than {}",
                                recent.0.len(),
                                limit_percent(*share)
                            ),
                        ));
                    }
                }
                self.known = self.known.max(known);
                worst.map(|(_, who, observed)| (who, observed))
            }
            (
                Eval::Burn { long, short },
                AlarmRule::BurnRate {
                    objective,
                    long_ms,
                    short_ms,
                    factor,
                    clean_before,
                },
            ) => {
                let Second { counts: c, known } =
                    fold.second(second, |c| c.is_in(selection, touched));
                self.known = self.known.max(known);
                long.push(c.attempts(), c.missed());
                short.push(c.attempts(), c.missed());
                let threshold = factor * (1.0 - objective);
                let seen = long.errors().zip(short.errors());
                seen.filter(|(l, s)| {
                    (*clean_before || long.full()) && *l > threshold && *s > threshold
                })
                .map(|(l, s)| {
                    let rate = |e: f64| e / (1.0 - objective);
                    let burnt = rate(l) * long.length as f64 / burn::PERIOD_S * 100.0;
                    let observed = format!(
                        "burn rate {:.1} over {} and {:.1} over {} (limit {factor}): {burnt:.2} % of a 30-day budget in {} s",
                        rate(l),
                        window(*long_ms),
                        rate(s),
                        window(*short_ms),
                        elapsed.min(long.length),
                    );
                    (String::new(), observed)
                })
            }
            // `new` pairs them.
            (Eval::Failures(_), AlarmRule::BurnRate { .. })
            | (Eval::Burn { .. }, AlarmRule::Failures { .. }) => None,
        };
        let at = Nanos((second + 1) * SECOND);
        if fired.is_some() == self.since.is_some() {
            return None;
        }
        self.since = fired.is_some().then_some(at);
        let firing = fired.is_some();
        let (who, observed) = fired.unwrap_or_default();
        Some(Change {
            alarm: index,
            name: self.spec.name.clone(),
            firing,
            at,
            known_at: self.known.max(at),
            who,
            observed,
            stop: firing && self.spec.stop,
        })
    }
}

/// A rule in words.
pub fn rule_text(rule: &AlarmRule) -> String {
    match rule {
        AlarmRule::Failures {
            share,
            bad,
            of,
            failures,
        } => format!(
            "a pair misses more than {} in {bad} of {of} s, and at least {failures} in all",
            limit_percent(*share)
        ),
        AlarmRule::BurnRate {
            objective,
            long_ms,
            short_ms,
            factor,
            clean_before,
        } => format!(
            "errors burn the budget of {} more than {factor} times too fast over {} and {}{}",
            limit_percent(*objective),
            window(*long_ms),
            window(*short_ms),
            if *clean_before {
                ", a clean past taken for granted"
            } else {
                ""
            }
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fold::tests::{ok, op, unknown};
    use gameday_record::Selection;

    fn spec(rule: AlarmRule) -> AlarmSpec {
        AlarmSpec {
            name: "x".into(),
            selection: Selection::default(),
            rule,
            stop: true,
            expect: None,
            within_ms: None,
        }
    }

    /// Ten operations a second through a and b from 10 to 60 s; those of
    /// endpoint b missed in the given seconds, `share` of ten.
    fn fold(bad: std::ops::Range<u64>, share: u64) -> Fold {
        let mut fold = Fold::new();
        for s in 10..60 {
            for i in 0..10 {
                for endpoint in ["a", "b"] {
                    let spoiled = endpoint == "b" && bad.contains(&s) && i < share;
                    let outcome = if spoiled { unknown() } else { ok() };
                    fold.push(&op("a", endpoint, s * 1000 + i * 100, 1, outcome));
                }
            }
        }
        fold
    }

    fn run(rule: AlarmRule, fold: &Fold) -> Vec<(bool, u64, String)> {
        let mut w = Watch::new(vec![spec(rule)], Nanos(10 * SECOND), Duration::from_secs(3));
        w.finish(fold, Nanos(60 * SECOND))
            .into_iter()
            .map(|c| (c.firing, c.at.0 / SECOND, c.who))
            .collect()
    }

    #[test]
    fn a_pair_that_fails_fires_at_the_third_bad_second() {
        let changes = run(AlarmRule::default(), &fold(20..30, 10));
        // Bad seconds 20, 21, 22; after 30 the last five hold three bad ones
        // until second 32 has pushed one out.
        let b = "a through b".to_string();
        assert_eq!(changes, [(true, 23, b), (false, 33, String::new())]);
        // Two bad seconds are not three, and four failures not five.
        assert_eq!(run(AlarmRule::default(), &fold(20..22, 10)), []);
        assert_eq!(run(AlarmRule::default(), &fold(20..24, 1)), []);
    }

    #[test]
    fn a_burn_rate_fires_when_the_formula_says() {
        // Half of all fails from 20 s on; 99 %: 14.4 × 1 % × 50 s / 0.5 = 14.4 s
        // over a window of which ten seconds were clean.
        let rule = AlarmRule::BurnRate {
            objective: 0.99,
            long_ms: 50_000,
            short_ms: 4_000,
            factor: 14.4,
            clean_before: true,
        };
        let f = fold(20..60, 10);
        assert_eq!(run(rule.clone(), &f), [(true, 35, String::new())]);
        // Without a past, it waits for the window to fill.
        let AlarmRule::BurnRate {
            objective,
            long_ms,
            short_ms,
            factor,
            ..
        } = rule
        else {
            unreachable!("a burn rate");
        };
        let rule = AlarmRule::BurnRate {
            objective,
            long_ms,
            short_ms,
            factor,
            clean_before: false,
        };
        assert_eq!(run(rule, &f), [(true, 60, String::new())]);
    }

    #[test]
    fn the_short_window_clears_it() {
        let rule = AlarmRule::BurnRate {
            objective: 0.99,
            long_ms: 30_000,
            short_ms: 3_000,
            factor: 5.0,
            clean_before: true,
        };
        // Threshold 5 %: the long window has it after 0.05 × 30 / 0.5 = 3 s;
        // after the end the short one holds one bad second of three (17 %) until 42.
        let got: Vec<_> = run(rule, &fold(20..40, 10))
            .into_iter()
            .map(|c| (c.0, c.1))
            .collect();
        assert_eq!(got, [(true, 24), (false, 43)]);
    }

    #[test]
    fn touched_pairs_stop_counting_for_alarms_on_the_others() {
        let mut s = spec(AlarmRule::default());
        s.selection.scope = Scope::Untouched;
        let f = fold(20..30, 10);
        let changes = |from| {
            let mut w = Watch::new(vec![s.clone()], Nanos(10 * SECOND), Duration::ZERO);
            w.touch(&["b".into()], Nanos(from * SECOND));
            w.finish(&f, Nanos(60 * SECOND)).len()
        };
        assert_eq!(changes(20), 0);
        // Touched only later: it fires, and clears when the pair leaves.
        assert_eq!(changes(25), 2);
    }

    #[test]
    fn seconds_are_judged_once_settled_and_once_only() {
        let f = fold(20..30, 10);
        let mut w = Watch::new(
            vec![spec(AlarmRule::default())],
            Nanos(10 * SECOND),
            Duration::from_secs(3),
        );
        assert_eq!(w.step(&f, Nanos(26 * SECOND - 1)), []);
        let fired = w.step(&f, Nanos(26 * SECOND));
        assert!(fired.len() == 1 && fired[0].stop && fired[0].at == Nanos(23 * SECOND));
        assert_eq!(
            fired[0].observed,
            "30 of 50 not answered, in 3 of 5 s more than 1 %"
        );
        assert_eq!(w.states()[0].firing_since, Some(Nanos(23 * SECOND)));
        assert_eq!(w.step(&f, Nanos(26 * SECOND)), []);
    }

    #[test]
    fn an_alarm_is_known_when_the_last_call_of_its_window_is() {
        // Ten a second; from 20 s on none is answered, and each is given up after 2 s.
        let lost = |s| {
            if s >= 20 {
                (2_000, unknown())
            } else {
                (1, ok())
            }
        };
        let mut fold = Fold::new();
        for i in 100..300 {
            let (took, outcome) = lost(i / 10);
            fold.push(&op("a", "b", i * 100, took, outcome));
        }
        let specs = || vec![spec(AlarmRule::default())];
        let begin = Nanos(10 * SECOND);
        let mut w = Watch::new(specs(), begin, Duration::from_secs(3));
        let fired = w.finish(&fold, Nanos(30 * SECOND));
        // The third bad second ends at 23 s; its last call, due at 22.9 s, at 24.9 s.
        let (at, known) = (Nanos(23 * SECOND), Nanos(24_900_000_000));
        assert_eq!((fired[0].at, fired[0].known_at), (at, known));
        // Live it is known when it is evaluated.
        let mut w = Watch::new(specs(), begin, Duration::from_secs(3));
        assert_eq!(w.step(&fold, Nanos(25 * SECOND)), []);
        let fired = w.step(&fold, Nanos(26_300_000_000));
        assert_eq!(
            (fired[0].at, fired[0].known_at),
            (at, Nanos(26_300_000_000))
        );
        // The same of a burn rate, of more than 15 % over ten seconds.
        let burn = spec(AlarmRule::BurnRate {
            objective: 0.9,
            long_ms: 10_000,
            short_ms: 1_000,
            factor: 1.5,
            clean_before: true,
        });
        let mut w = Watch::new(vec![burn], begin, Duration::from_secs(3));
        let fired = w.finish(&fold, Nanos(30 * SECOND));
        // 20 of 100 are missed at the end of the second one.
        let (at, known) = (Nanos(22 * SECOND), Nanos(23_900_000_000));
        assert_eq!((fired[0].at, fired[0].known_at), (at, known));
    }

    #[test]
    fn an_empty_second_is_no_error() {
        assert_eq!(run(AlarmRule::default(), &Fold::new()), []);
    }
}
