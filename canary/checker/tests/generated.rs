//! Whole histories: legal ones pass, and what a broken store would record fails.

use gameday_checker::generate::{self, Random};
use gameday_checker::{Options, check_history};
use gameday_record::history::{self, Event, History, HistoryWriter};
use gameday_record::operation::{Call, Operation, Outcome};
use gameday_record::time::Nanos;
use gameday_record::verdict::{Check, Verdict};

fn options(seed: u64) -> generate::Options {
    let mut r = Random::new(seed);
    generate::Options {
        seed,
        keys: 1 + r.below(6) as u32,
        clients: 1 + r.below(20) as u32,
        operations: 400,
        unknown: [0.0, 0.02, 0.2][seed as usize % 3],
        failed: 0.03,
        cas: [0.0, 0.2, 0.5][r.below(3) as usize],
        writes: 0.3,
        eventual: 0.3,
        final_reads: true,
        tables: 1 + r.below(3) as u32,
        inserts: [0.0, 0.1][r.below(2) as usize],
        adds: [0.0, 0.1][r.below(2) as usize],
    }
}

fn named<'a>(checks: &'a [Check], name: &str) -> &'a Check {
    let found = checks.iter().find(|c| c.name == name);
    found.unwrap_or_else(|| panic!("no check named {name}"))
}

#[test]
fn legal_histories_pass() {
    let (mut unknown, mut refused, mut inserts, mut adds, mut tables) = (0, 0, 0, 0, 0);
    for seed in 0..300 {
        let history = generate::history(&options(seed));
        for op in &history.operations {
            inserts += u32::from(matches!(op.call, Call::Insert { .. }));
            adds += u32::from(matches!(op.call, Call::Add { .. }));
            tables += u32::from(op.table == "table-2");
            match &op.outcome {
                Outcome::Unknown { .. } => unknown += 1,
                Outcome::Failed {
                    observed: Some(_), ..
                } => refused += 1,
                _ => {}
            }
        }
        for check in check_history(&history, &Options::default()) {
            assert_eq!(check.verdict, Verdict::Pass, "seed {seed}: {check:#?}");
        }
    }
    assert!(unknown > 1000 && refused > 1000, "{unknown} {refused}");
    assert!(
        inserts > 1000 && adds > 1000 && tables > 1000,
        "{inserts} {adds} {tables}"
    );
}

#[test]
fn the_same_seed_gives_the_same_history() {
    let a = generate::history(&options(7));
    assert_eq!(a, generate::history(&options(7)));
    assert_ne!(a, generate::history(&options(8)));
}

/// Written to disk and read back, a history is judged the same.
#[test]
fn survives_the_file_format() {
    let before = generate::history(&options(5));
    let mut events: Vec<Event> = Vec::new();
    for op in &before.operations {
        events.push(Event::invoke(op));
        if let Some(at) = op.returned {
            events.push(Event::complete(op, at));
        }
    }
    events.sort_by_key(|e| e.time);
    let mut writer = HistoryWriter::new(Vec::new(), before.header.clone()).unwrap();
    for e in events {
        writer.append(e).unwrap();
    }
    let after = history::read(&writer.finish().unwrap()[..]).unwrap();
    assert_eq!(before.operations.len(), after.operations.len());
    assert!(after.complete);
    assert_eq!(
        check_history(&before, &Options::default()),
        check_history(&after, &Options::default())
    );
}

/// The store forgets everything after some instant: the final reads of all
/// keys find what was there then.
#[test]
fn a_store_that_forgets_is_found() {
    let mut lossy = 0;
    for seed in 0..100 {
        let mut o = options(seed);
        o.unknown = 0.0;
        // Sums are not judged by what final reads lost.
        o.adds = 0.0;
        let mut history = generate::history(&o);
        let end = history.operations.iter().map(|o| o.invoked).max().unwrap();
        let cut = Nanos(end.0 / 3);
        let mut must_lose = false;
        let before = history.clone();
        for op in history.operations.iter_mut().filter(|o| o.last) {
            let old = visible_at(&before, op, cut);
            if op.outcome != (Outcome::Ok { value: old }) {
                // Something was acknowledged after the cut; whether it provably
                // came after `old` depends on what overlapped.
                must_lose |= old.is_none();
                op.outcome = Outcome::Ok { value: old };
            }
        }
        let checks = check_history(&history, &Options::default());
        let lost = named(&checks, "lost-writes");
        if must_lose {
            assert_eq!(lost.verdict, Verdict::Fail, "seed {seed}");
        }
        if lost.verdict == Verdict::Fail {
            lossy += 1;
            assert!(lost.anomalies.iter().all(|a| a.name == "lost write"));
            let order = named(&checks, "linearizability");
            assert_eq!(order.verdict, Verdict::Fail, "seed {seed}");
        }
    }
    assert!(lossy > 80, "{lossy}");
}

/// What the last strong read of the same key that ended before `at` found.
fn visible_at(history: &History, op: &Operation, at: Nanos) -> Option<i64> {
    let reads = history.operations.iter().filter(|o| {
        matches!(o.call, Call::Read { strong: true, .. })
            && (&o.table, o.call.key()) == (&op.table, op.call.key())
            && o.returned.is_some_and(|t| t < at)
    });
    match reads.max_by_key(|o| o.returned)?.outcome {
        Outcome::Ok { value } => value,
        _ => None,
    }
}

/// An acknowledged addition that no sum shows is found, whatever else goes on.
#[test]
fn a_counter_that_forgets_is_found() {
    let mut broken = 0;
    for seed in 0..50 {
        let mut o = options(seed);
        (o.adds, o.unknown, o.failed) = (0.3, 0.0, 0.0);
        let mut history = generate::history(&o);
        let sum = |op: &Operation| op.call.key().starts_with("sum-");
        for op in history
            .operations
            .iter_mut()
            .filter(|op| op.last && sum(op))
        {
            // Every delta is at most 9.
            if let Outcome::Ok { value: Some(v) } = &mut op.outcome {
                *v -= 10_000;
                broken += 1;
            }
        }
        let checks = check_history(&history, &Options::default());
        let counters = named(&checks, "counters");
        assert_eq!(counters.verdict, Verdict::Fail, "seed {seed}");
        assert!(counters.anomalies.iter().all(|a| a.name == "lost write"));
        for c in checks.iter().filter(|c| c.name != "counters") {
            assert_eq!(c.verdict, Verdict::Pass, "seed {seed}: {c:#?}");
        }
    }
    assert!(broken > 100, "{broken}");
}
