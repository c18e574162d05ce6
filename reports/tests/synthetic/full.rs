//! A report with every part filled, whatever the assembly computes today: what
//! renderers must be able to show.

use crate::common::*;
use gameday_record::*;
use gameday_reports::Kind;
use gameday_reports::fold::Counts;
use gameday_reports::report::*;

fn availability(answered: u64, failed: u64, text: &str, untouched_text: &str) -> Availability {
    let counts = |answered, failed| Counts {
        answered,
        failed,
        ..Counts::default()
    };
    Availability {
        text: text.into(),
        untouched_text: untouched_text.into(),
        ..Availability::new(counts(answered, failed), counts(answered / 2, failed / 10))
    }
}

fn proven(n: u64, missed: u64, low: f64, nines: u32) -> Proven {
    Proven {
        n,
        missed,
        events: 10.min(missed),
        seconds: 55,
        low: Some(low),
        nines,
        text: format!(
            "at least {:.1} % (95 % confidence; {missed} failures in 10 separate stretches of 55 seconds)",
            low * 100.0,
        ),
    }
}

fn sli(group: SliGroup, name: &str, kind: Kind, missed: u64) -> SliRow {
    SliRow {
        group,
        name: name.into(),
        kind,
        first_attempts: availability(3960 - missed, missed, "84.2 %", "96.3 %"),
        requests: availability(3960 - missed / 4, missed / 4, "96.0 %", "99.1 %"),
        sliced: Sliced {
            slice_ms: 10_000,
            with_data: 5,
            without_data: 1,
            mean: Some(0.842),
            text: "84.2 %".into(),
        },
        uptime: matches!(group, SliGroup::Overall | SliGroup::Az | SliGroup::Endpoint).then(|| {
            Uptime {
                share: Some(0.853),
                up_ms: 421_300,
                down_ms: 73_700,
                inactive_ms: 0,
                cutoff_ms: 625,
                text: "85.3 %".into(),
            }
        }),
        proven: proven(
            3960,
            missed,
            if missed == 0 { 0.999_24 } else { 0.79 },
            if missed == 0 { 3 } else { 0 },
        ),
        proven_untouched: proven(
            1760,
            missed,
            if missed == 0 { 0.999_24 } else { 0.79 },
            if missed == 0 { 3 } else { 0 },
        ),
    }
}

fn curve(kind: Kind, shares: &[f64], knee_s: Option<u64>) -> McrCurve {
    McrCurve {
        kind,
        points: shares
            .iter()
            .enumerate()
            .map(|(i, a)| McrPoint {
                window_s: 1 << i,
                availability: *a,
                from: ms(20_000),
                attempts: 72 << i,
                missed: (72.0 * (1 << i) as f64 * (1.0 - a)) as u64,
            })
            .collect(),
        knee_s,
    }
}

fn alarm(name: &str, source: AlarmSource, severity: &str, outcome: AlarmOutcome) -> AlarmRow {
    let fires = matches!(
        outcome,
        AlarmOutcome::Fired | AlarmOutcome::Told | AlarmOutcome::Late | AlarmOutcome::False
    );
    AlarmRow {
        name: name.into(),
        source,
        severity: severity.into(),
        selection: Selection::default(),
        rule: AlarmRule::default(),
        rule_text: "more than 1 % failed in 3 of 5 seconds, and at least 5 calls".into(),
        stop: false,
        expect: matches!(outcome, AlarmOutcome::Fired | AlarmOutcome::Missed).then_some(true),
        within_ms: Some(5_000),
        firings: if fires {
            vec![Firing {
                at: ms(23_000),
                known_at: ms(23_000),
                live_at: Some(ms(25_600)),
                cleared: (source != AlarmSource::Standard).then_some(ms(45_000)),
                who: "a through b".into(),
                observed: "8 of 8 failed in 3 of 5 seconds (more than 1 % needed)".into(),
                injection: Some(1),
                after_ms: Some(3_000),
            }]
        } else {
            vec![]
        },
        after: vec![AlarmAfter {
            injection: 1,
            fired_ms: fires.then_some(3_000),
            formula_ms: (source != AlarmSource::Playbook).then_some(2_600),
        }],
        outcome,
        verdict: match outcome {
            AlarmOutcome::Missed | AlarmOutcome::False => Verdict::Fail,
            AlarmOutcome::Unknown => Verdict::Unknown,
            _ => Verdict::Pass,
        },
        why: match outcome {
            AlarmOutcome::Missed => "It was expected to fire, and never did.".into(),
            AlarmOutcome::Quiet => "Too little of the budget was burned.".into(),
            _ => "It fired 3.0 s after power-off on az b.".into(),
        },
    }
}

/// Fills every part that a report can have.
pub fn fill(mut r: Report) -> Report {
    use AlarmOutcome::*;
    r.sli.clear();
    for (kind, missed) in [
        (Kind::Write, 624),
        (Kind::StrongRead, 576),
        (Kind::EventualRead, 0),
    ] {
        r.sli.push(sli(SliGroup::Overall, "", kind, missed));
        for (group, names) in [
            (SliGroup::Table, ["orders", "users"].as_slice()),
            (SliGroup::Az, &AZS),
            (SliGroup::Endpoint, &AZS),
            (SliGroup::Connection, &["kept", "fresh"]),
        ] {
            for name in names {
                r.sli.push(sli(group, name, kind, missed / 3));
            }
        }
    }
    r.mcr = vec![
        curve(
            Kind::Write,
            &[0.0, 0.0, 0.31, 0.49, 0.58, 0.63, 0.842],
            Some(32),
        ),
        curve(
            Kind::StrongRead,
            &[0.0, 0.22, 0.4, 0.52, 0.61, 0.66, 0.854],
            Some(32),
        ),
        curve(Kind::EventualRead, &[1.0; 7], None),
    ];
    r.projections = vec![
        Projection {
            injection: None,
            kind: Kind::Write,
            scope: Scope::All,
            cost: 0.0289,
            slo: 0.9999,
            per_month: Some(29.8),
        },
        Projection {
            injection: Some(1),
            kind: Kind::EventualRead,
            scope: Scope::Untouched,
            cost: 0.0,
            slo: 0.9999,
            per_month: None,
        },
    ];
    r.alarms = vec![
        alarm("writes fail", AlarmSource::Playbook, "", Fired),
        alarm("reads elsewhere", AlarmSource::Playbook, "", Missed),
        alarm("write page, 1 h", AlarmSource::Standard, "page", Fired),
        alarm("write page, 6 h", AlarmSource::Standard, "page", Fired),
        alarm(
            "write ticket, 1 day",
            AlarmSource::Standard,
            "ticket",
            Quiet,
        ),
        alarm("write page, 1 h, scaled", AlarmSource::Scaled, "page", Late),
        alarm(
            "write ticket, 3 days, scaled",
            AlarmSource::Scaled,
            "ticket",
            Unknown,
        ),
    ];
    for (i, row) in r.slo.iter_mut().enumerate() {
        row.all_text = if i == 0 {
            "84.2 %".into()
        } else {
            "2.7 s".into()
        };
        row.untouched_text = if i == 0 {
            "96.3 %".into()
        } else {
            "1.5 s".into()
        };
        row.margin = "+4.2 %".into();
        row.budget_used = (i < 2).then_some(0.79);
        row.proven = (i < 2).then(|| proven(3960, 624, 0.79, 0));
        row.selection.kind = Some(Kind::Write);
        row.target = (i == 0).then_some(Target::Availability { at_least: 0.8 });
    }
    r.headline.worst_failover_ms = Some(1_491);
    r.headline.worst_failover_note = "power-off on az b (injection 1)".into();
    r.headline.worst_total_ms = Some(21_586);
    r.headline.worst_total_note = r.headline.worst_failover_note.clone();
    r.headline.nines_proven = Some(0);
    for i in &mut r.injections {
        if let Some(x) = &mut i.impact {
            x.total = Timing::known(21_586);
            x.kinds[0].brownout_s = 20;
            x.pairs = AZS
                .iter()
                .map(|az| PairImpact {
                    az: (*az).into(),
                    endpoint: "b".into(),
                    kind: Kind::Write,
                    attempts: 176,
                    failed: 168,
                    unknown: 8,
                    late: 0,
                    first_failure_ms: Some(12),
                    detected_ms: Some(2_012),
                    first_success_ms: Some(21_990),
                    outage: x.kinds[0].outage.clone(),
                    brownout_s: 1,
                })
                .collect();
        }
    }
    r.data.resolution = Some(Resolution {
        unknown: 96,
        seen: 31,
        logged: 40,
        absent: 20,
        open: 5,
    });
    r.trust.canaries = AZS
        .iter()
        .map(|az| CanaryLag {
            az: (*az).into(),
            sent: 6600,
            unsent: 0,
            p50_us: 62,
            p90_us: 118,
            p99_us: 184,
            p999_us: 3_100,
            max_us: 61_000,
            suspect: vec![(31, 33), (50, 51)],
        })
        .collect();
    r.trust.suspect_seconds = 3;
    r.definitions = vec![
        Definition {
            term: "Recovery".into(),
            text: "From then on, for 3 seconds, every pair answered at least 99 % of each kind.".into(),
        },
        Definition {
            term: "MCR".into(),
            text: "Minimum over all windows of a length of answered / asked (Hauer et al., NSDI 2020).".into(),
        },
    ];
    r
}
