//! From facts to one verdict. A pass needs everything: clean, nothing failed,
//! nothing unknown.

use crate::report::{AlarmRow, Ending, ErrorRow, Headline, InjectionReport, ProofAt, SloRow};
use gameday_record::{RunState, Verdict};

/// Largest share of operations that the canaries may fail to send before the
/// measurement is invalid.
pub const MAX_UNSENT: f64 = 0.001;

/// Least share of its operations that every pair must have sent.
pub const MIN_SENT: f64 = 0.9;

/// All that the verdict rests on.
#[derive(Clone, Debug)]
pub struct Facts<'a> {
    /// How the run ended; `None` if the timeline does not say.
    pub state: Option<RunState>,
    /// Why, if the timeline says.
    pub end_reason: Option<&'a str>,
    /// What could not be read, one sentence per file.
    pub unreadable: &'a [String],
    /// True if the history has its end marker.
    pub history_complete: bool,
    /// True if at least one operation was measured.
    pub measured: bool,
    /// Share of due operations that are missing by the canaries' own fault.
    pub unsent_share: f64,
    /// Errors by kind and class.
    pub errors: &'a [ErrorRow],
    /// Pairs that sent less than [`MIN_SENT`] of what they should have, with the number.
    pub thin_pairs: &'a [String],
    /// Objectives.
    pub slo: &'a [SloRow],
    /// Alarms.
    pub alarms: &'a [AlarmRow],
    /// Injections.
    pub injections: &'a [InjectionReport],
    /// What the runner noted that it could not take away.
    pub left_behind: &'a [String],
    /// Whether every node reached every other after the last revert.
    pub reachability: Option<&'a ProofAt>,
    /// Lines of the plan; a plan always has a step.
    pub planned: usize,
    /// Data verdict.
    pub data: Verdict,
    /// What failed in the data, or why the verdict is unknown.
    pub data_why: &'a str,
}

/// How a run came out, and why it is not a pass (the gravest first).
///
/// Not clean over fail over stopped or interrupted over inconclusive over
/// pass: the order in which somebody must act.
pub fn judge(f: &Facts<'_>) -> (Ending, Vec<String>) {
    let mut unclean = not_clean(f.injections);
    unclean.extend(
        f.left_behind
            .iter()
            .map(|what| format!("Left behind: {what}")),
    );
    if let Some(why) = unreached(f.reachability, Verdict::Fail) {
        unclean.push(format!(
            "Left behind: not every link carries after the last revert{why}"
        ));
    }
    let failed = failures(f);
    let doubts = doubts(f);
    let reason = |what: &str| match f.end_reason {
        Some(why) => format!("{what}: {why}"),
        None => format!("{what}."),
    };
    let cut = match f.state {
        Some(RunState::Stopped) => Some((Ending::Stopped, reason("The run was stopped"))),
        Some(RunState::Interrupted) => {
            Some((Ending::Interrupted, reason("The run was interrupted")))
        }
        _ => None,
    };
    let ending = if !unclean.is_empty() {
        Ending::NotClean
    } else if !failed.is_empty() {
        Ending::Fail
    } else if let Some((ending, _)) = &cut {
        *ending
    } else if !doubts.is_empty() {
        Ending::Inconclusive
    } else {
        Ending::Pass
    };
    let mut reasons = unclean;
    reasons.extend(failed);
    reasons.extend(cut.map(|(_, why)| why));
    reasons.extend(doubts);
    (ending, reasons)
}

/// Pass, fail or unknown. What was left behind is a failure too.
pub fn verdict(ending: Ending) -> Verdict {
    match ending {
        Ending::Pass => Verdict::Pass,
        Ending::Fail | Ending::NotClean => Verdict::Fail,
        Ending::Inconclusive | Ending::Stopped | Ending::Interrupted => Verdict::Unknown,
    }
}

/// `az-power-off on az b (injection 1)`.
pub fn name(i: &InjectionReport) -> String {
    format!(
        "{} on {} (injection {})",
        i.injection.fault, i.injection.selector, i.injection.id
    )
}

fn not_clean(injections: &[InjectionReport]) -> Vec<String> {
    let mut out = Vec::new();
    for i in injections {
        let what = name(i);
        let undo = &i.injection.undo;
        let gone = i.proof_reverted.as_ref().map(|p| p.proof.verdict);
        if let Some(error) = &i.revert_error {
            out.push(format!(
                "Left behind: {what} could not be reverted: {error}. By hand: {undo}."
            ));
        } else if i.reverted.is_none() {
            out.push(format!(
                "Left behind: nothing says that {what} was reverted. By hand: {undo}."
            ));
        } else if gone == Some(Verdict::Fail) {
            out.push(format!(
                "Left behind: {what} is still in force after its revert. By hand: {undo}."
            ));
        }
    }
    out
}

/// What the look at all pairs of nodes saw, if it came out like this.
fn unreached(seen: Option<&ProofAt>, verdict: Verdict) -> Option<String> {
    let proof = &seen.filter(|p| p.proof.verdict == verdict)?.proof;
    Some(match proof.evidence.first() {
        Some(text) => format!(": {}.", text.trim_end_matches('.')),
        None => ".".into(),
    })
}

fn failures(f: &Facts<'_>) -> Vec<String> {
    let mut out = Vec::new();
    if f.data == Verdict::Fail {
        out.push(format!("The data are wrong: {}", f.data_why));
    }
    for row in f.slo.iter().filter(|r| r.verdict == Verdict::Fail) {
        out.push(format!(
            "SLO missed: {} was {}, {} expected.",
            lower_first(&row.objective),
            row.observed,
            row.limit
        ));
    }
    out.extend(
        f.alarms
            .iter()
            .filter(|a| a.verdict == Verdict::Fail)
            .map(alarm),
    );
    out
}

/// What an alarm did, with its name: `Alarm x: it should have fired and did not.`
fn alarm(a: &AlarmRow) -> String {
    format!("Alarm {}: {}", a.name, lower_first(&a.why))
}

/// Names of tables and AZs stay as they are.
fn lower_first(text: &str) -> String {
    let mut chars = text.chars();
    chars
        .next()
        .map_or_else(String::new, |c| c.to_lowercase().chain(chars).collect())
}

fn doubts(f: &Facts<'_>) -> Vec<String> {
    let mut out = Vec::new();
    match f.state {
        Some(RunState::Failed) => out.push(match f.end_reason {
            Some(why) => format!("The run could not be carried through: {why}"),
            None => "The run could not be carried through.".into(),
        }),
        None => out.push("The timeline has no end: the runner died, or still runs.".into()),
        Some(_) => {}
    }
    out.extend(f.unreadable.iter().cloned());
    if !f.history_complete {
        out.push("The history has no end marker: some operations were not recorded.".into());
    }
    if !f.measured {
        out.push("No operation was measured.".into());
    }
    let own = |outcome: &str| {
        let rows = f.errors.iter().filter(move |e| e.outcome == outcome);
        (
            rows.clone().map(|e| e.count).sum::<u64>(),
            rows.min_by_key(|e| e.first),
        )
    };
    if let (refused, Some(first)) = own("own fault") {
        out.push(format!(
            "{} refused by the canary's own fault, which says nothing about the service: {}",
            match refused {
                1 => "1 call was".into(),
                n => format!("{} calls were", crate::numbers::count(n)),
            },
            first.example
        ));
    }
    if f.unsent_share > MAX_UNSENT && own("unsent").0 > 0 {
        out.push(format!(
            "The canaries did not send {:.2} % of their operations in time (at most {} may be missing).",
            f.unsent_share * 100.0,
            crate::numbers::limit_percent(MAX_UNSENT)
        ));
    }
    if let Some(first) = f.thin_pairs.first() {
        let more = match f.thin_pairs.len() - 1 {
            0 => String::new(),
            n => format!(" (and {n} more)"),
        };
        out.push(format!("Measurements are missing: {first}{more}."));
    }
    if f.injections.is_empty() && f.planned > 0 && f.state == Some(RunState::Completed) {
        out.push("Steps were planned, but no fault was injected.".into());
    }
    for i in f.injections {
        for (proof, what) in [
            (&i.proof_injected, "took effect"),
            (&i.proof_held, "was in force to its end"),
            (&i.proof_reverted, "is gone"),
        ] {
            let evidence = |p: &ProofAt| match p.proof.evidence.first() {
                Some(e) => format!(": {}", e.trim_end_matches('.')),
                None => String::new(),
            };
            match proof {
                // What never took effect cannot last; one reason is enough.
                None if what == "was in force to its end" && !shown(&i.proof_injected) => {}
                None => out.push(format!("It was not proven that {} {what}.", name(i))),
                Some(p) if p.proof.verdict == Verdict::Unknown => out.push(format!(
                    "It could not be proven that {} {what}{}.",
                    name(i),
                    evidence(p)
                )),
                // A fault that is not gone is not clean, which is said already.
                Some(p) if p.proof.verdict == Verdict::Fail && what == "took effect" => {
                    out.push(format!("{} did not take effect{}.", name(i), evidence(p)));
                }
                Some(p) if p.proof.verdict == Verdict::Fail && what != "is gone" => {
                    out.push(format!(
                        "{} ended before its revert{}.",
                        name(i),
                        evidence(p)
                    ));
                }
                Some(_) => {}
            }
        }
    }
    if let Some(why) = unreached(f.reachability, Verdict::Unknown) {
        out.push(format!(
            "It could not be seen whether every link carries after the last revert{why}"
        ));
    }
    if f.data == Verdict::Unknown {
        out.push(format!("The data verdict is unknown: {}", f.data_why));
    }
    for row in f.slo.iter().filter(|r| r.verdict == Verdict::Unknown) {
        out.push(format!(
            "{} could not be judged: {}.",
            row.objective, row.observed
        ));
    }
    out.extend(
        f.alarms
            .iter()
            .filter(|a| a.verdict == Verdict::Unknown)
            .map(alarm),
    );
    out
}

fn shown(proof: &Option<ProofAt>) -> bool {
    proof
        .as_ref()
        .is_some_and(|p| p.proof.verdict == Verdict::Pass)
}

/// The one sentence on top of a report. `promised` says whether there were objectives or alarms
/// that could have been missed.
pub fn sentence(
    ending: Ending,
    reasons: &[String],
    h: &Headline,
    injections: usize,
    promised: bool,
) -> String {
    let first = reasons.first().map_or("", String::as_str);
    match ending {
        Ending::Pass => {
            let kinds = || {
                [
                    (&h.write, "writes"),
                    (&h.read, "strong reads"),
                    (&h.eventual, "eventual reads"),
                ]
                .into_iter()
                .filter(|(a, _)| a.all.attempts() > 0)
                .take(2)
            };
            // What was hurt on purpose was not to answer: others are who was promised something.
            let spared = injections > 0 && kinds().all(|(a, _)| a.untouched.attempts() > 0);
            let answered: Vec<_> = kinds()
                .map(|(a, what)| match spared {
                    true => format!("{} of {what}", a.untouched_text),
                    false => format!("{} of {what}", a.text),
                })
                .collect();
            let place = if spared {
                "in AZs that no fault touched, "
            } else {
                ""
            };
            let held = match promised {
                true => "Everything promised held",
                false => "No objective was set",
            };
            let mut s = format!("{held}: {place}{} were answered", answered.join(" and "));
            if injections > 0 {
                s.push_str(&recovered(h));
            }
            s.push_str(match h.write.all.attempts() {
                0 => ", and nothing was written that could be missing.",
                _ => ", and no acknowledged write was found missing or wrong.",
            });
            s
        }
        Ending::Inconclusive => format!("Nothing can be concluded. {first}"),
        Ending::Fail | Ending::NotClean | Ending::Stopped | Ending::Interrupted => first.into(),
    }
}

/// How soon it was well again: after the revert, or, if it was well before
/// that, after the act.
fn recovered(h: &Headline) -> String {
    use crate::numbers::millis;
    match (h.worst_recovery_ms, h.worst_total_ms) {
        (Some(0), Some(0)) => ", no fault made any pair unwell".into(),
        (Some(0), Some(total)) => format!(
            ", every pair was well {} after the fault began",
            millis(total)
        ),
        (Some(0), None) => ", every pair was well as soon as the fault was reverted".into(),
        (Some(ms), _) => format!(
            ", the cluster was well {} after the fault was reverted",
            millis(ms)
        ),
        (None, _) => String::new(),
    }
}
