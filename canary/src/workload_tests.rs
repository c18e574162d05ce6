use super::*;
use crate::inserts::INSERT;
use gameday_record::{ErrorClass, operation::Failure};
use std::collections::HashSet;

fn calls(seed: u64, canary: u32, n: usize) -> Vec<Call> {
    let mut w = Workload::new(&WorkloadSpec::default(), seed, canary, 3);
    (0..n).map(|i| w.draw(i % 3).call).collect()
}

fn written(call: &Call) -> Option<i64> {
    match call {
        Call::Write { value, .. } => Some(*value),
        Call::Cas { new, .. } => Some(*new),
        Call::Insert { value, .. } => Some(*value),
        Call::Read { .. } | Call::Add { .. } => None,
    }
}

fn op(call: Call, invoked: u64, outcome: Outcome) -> Operation {
    Operation {
        index: 0,
        process: 0,
        az: String::new(),
        endpoint: String::new(),
        call,
        due: Nanos(0),
        invoked: Nanos(invoked),
        returned: None,
        outcome,
        last: false,
        table: String::new(),
        fresh: false,
        attempt: Default::default(),
    }
}

#[test]
fn the_same_seed_draws_the_same_and_another_does_not() {
    assert_eq!(calls(1, 0, 300), calls(1, 0, 300));
    assert_ne!(calls(1, 0, 300), calls(2, 0, 300));
    let keys = |c: &[Call]| c.iter().map(|c| c.key().to_string()).collect::<Vec<_>>();
    assert_ne!(keys(&calls(1, 0, 300)), keys(&calls(1, 1, 300)));
}

#[test]
fn an_endpoint_draws_the_same_however_they_take_turns() {
    let spec = WorkloadSpec::default();
    let mut alone = Workload::new(&spec, 9, 1, 2);
    let a: Vec<_> = (0..50).map(|_| alone.draw(1)).collect();
    let mut mixed = Workload::new(&spec, 9, 1, 2);
    let b: Vec<_> = (0..50)
        .map(|_| {
            mixed.draw(0);
            let drawn = mixed.draw(1);
            // Nor do retries change what comes next.
            mixed.again(1, &drawn);
            drawn
        })
        .collect();
    assert_eq!(a, b);
}

#[test]
fn values_are_unique_over_all_canaries_and_above_zero() {
    let mut all = HashSet::new();
    for canary in 0..3 {
        for value in calls(5, canary, 3000).iter().filter_map(written) {
            assert!(all.insert(value), "{value} twice");
            assert_eq!((value - 1) / VALUES_PER_CANARY, i64::from(canary));
        }
    }
    assert!(all.iter().all(|v| *v > 0));
    // What 999 canaries can write is exact even as a double.
    const { assert!(1000 * VALUES_PER_CANARY < 1 << 53) };
}

#[test]
fn the_mix_and_the_keys_are_as_asked() {
    let spec = WorkloadSpec {
        adds: 0.1,
        strong_reads: 0.3,
        tables: 2,
        ..WorkloadSpec::default()
    };
    let mut w = Workload::new(&spec, 3, 0, 3);
    let drawn: Vec<_> = (0..6000).map(|i| w.draw(i % 3)).collect();
    let share = |f: fn(&Call) -> bool| drawn.iter().filter(|d| f(&d.call)).count() as f64 / 6000.0;
    let near = |a: f64, b: f64| (a - b).abs() < 0.03;
    assert!(near(
        share(|c| matches!(c, Call::Write { .. })),
        spec.writes
    ));
    assert!(near(
        share(|c| matches!(c, Call::Insert { .. })),
        spec.inserts
    ));
    assert!(near(share(|c| matches!(c, Call::Cas { .. })), spec.cas));
    assert!(near(share(|c| matches!(c, Call::Add { .. })), spec.adds));
    let strong = share(|c| matches!(c, Call::Read { strong: true, .. }));
    assert!(near(strong, spec.strong_reads));
    let all: HashSet<_> = w.keys().collect();
    let called: HashSet<_> = drawn
        .iter()
        .map(|d| (d.table, d.call.key().to_string()))
        .filter(|(_, k)| !k.starts_with(INSERT))
        .collect();
    assert!(called.is_subset(&all));
    let inserts = drawn
        .iter()
        .filter(|d| matches!(d.call, Call::Insert { .. }))
        .count();
    assert_eq!(all.len(), 2 * (60 + 8) + inserts);
    for (i, d) in drawn.iter().enumerate() {
        let key = d.call.key();
        match d.call {
            Call::Add { delta, .. } => {
                assert!(key.starts_with(COUNTER) && (1..=9).contains(&delta))
            }
            Call::Write { .. } | Call::Cas { .. } => assert!(key.starts_with(REGISTER)),
            Call::Insert { .. } => assert!(key.starts_with(INSERT)),
            Call::Read { .. } => {}
        }
        assert!(d.table < 2 && !d.fresh && d.bytes == 100, "#{i} {d:?}");
    }
    let reads_of = |letter: &str| {
        let of = |d: &&Drawn| !d.call.is_write() && d.call.key().starts_with(letter);
        drawn.iter().filter(of).count()
    };
    // 0.1 of 0.4 changes are additions: a quarter of the reads that look for no insert.
    let (c, k) = (reads_of(COUNTER) as f64, reads_of(REGISTER) as f64);
    assert!(near(c / (c + k), 0.25), "{c} {k}");
}

#[test]
fn sizes_and_fresh_connections_are_as_asked() {
    let spec = WorkloadSpec {
        item_bytes: 10,
        item_bytes_max: Some(12),
        fresh_connections: 0.25,
        ..WorkloadSpec::default()
    };
    let mut w = Workload::new(&spec, 3, 0, 1);
    let drawn: Vec<_> = (0..4000).map(|_| w.draw(0)).collect();
    let count = |f: &dyn Fn(&Drawn) -> bool| drawn.iter().filter(|d| f(d)).count();
    for bytes in 10..=12 {
        let n = count(&|d| d.bytes == bytes);
        assert!((1200..1470).contains(&n), "{bytes}: {n}");
    }
    let fresh = count(&|d| d.fresh);
    assert!((900..1100).contains(&fresh), "{fresh}");
}

#[test]
fn what_is_inserted_is_written_once_and_read_at_the_end() {
    let spec = WorkloadSpec {
        tables: 3,
        ..WorkloadSpec::default()
    };
    let mut w = Workload::new(&spec, 3, 7, 2);
    let mut inserted = HashSet::new();
    for i in 0..2000 {
        let drawn = w.draw(i % 2);
        if !matches!(drawn.call, Call::Insert { .. }) {
            continue;
        }
        let again = w.again(i % 2, &drawn);
        for d in [drawn, again] {
            let place = (d.table, d.call.key().to_string());
            assert!(inserted.insert(place), "written twice: {d:?}");
        }
    }
    let read: HashSet<_> = w.keys().collect();
    assert!(inserted.is_subset(&read));
    assert_eq!(read.len(), 3 * 60 + inserted.len());
    let mut other = Workload::new(&spec, 3, 8, 2);
    let theirs = (0..2000)
        .map(|i| other.draw(i % 2))
        .filter(|d| d.call.is_write());
    for d in theirs {
        assert!(!inserted.contains(&(d.table, d.call.key().into())), "{d:?}");
    }
}

#[test]
fn watched_inserts_are_read_a_few_times_soon_after_by_all_canaries() {
    let spec = WorkloadSpec {
        tables: 2,
        ..WorkloadSpec::default()
    };
    let mut canaries: Vec<_> = (0..3).map(|c| Workload::new(&spec, 5, c, 3)).collect();
    let mut inserted = std::collections::HashMap::new();
    let mut looks: std::collections::HashMap<_, HashSet<_>> = std::collections::HashMap::new();
    let (mut reads, mut looking) = (0, 0);
    for n in 0..3000u64 {
        let mut found = Vec::new();
        for (c, canary) in canaries.iter_mut().enumerate() {
            for e in 0..3 {
                let d = canary.draw(e);
                let place = (d.table, d.call.key().to_string());
                match d.call {
                    Call::Insert { .. } => {
                        inserted.insert(place, n);
                    }
                    Call::Read { key, .. } => {
                        reads += 1;
                        if key.starts_with(INSERT) {
                            looking += 1;
                            found.push((place, c, e));
                        }
                    }
                    _ => {}
                }
            }
        }
        for (place, c, e) in found {
            let at = inserted
                .get(&place)
                .expect("what is looked for was inserted");
            assert!(n - at < WINDOW, "{place:?}");
            looks.entry(place).or_default().insert((c, e, n));
        }
    }
    let few = looks.values().map(HashSet::len).sum::<usize>() as f64 / looks.len() as f64;
    assert!((3.0..7.0).contains(&few), "{few} reads of a watched insert");
    let sample = looks.len() as f64 / inserted.len() as f64;
    assert!(
        (0.08..0.16).contains(&sample),
        "{sample} of the inserts are watched"
    );
    let canaries: HashSet<_> = looks.values().flatten().map(|(c, ..)| c).collect();
    assert_eq!(canaries.len(), 3);
    assert!(looking * 8 < reads, "{looking} of {reads} reads");
}

#[test]
fn a_retry_is_the_same_request_with_a_value_of_its_own() {
    let spec = WorkloadSpec {
        adds: 0.1,
        strong_reads: 0.3,
        fresh_connections: 0.5,
        ..WorkloadSpec::default()
    };
    let mut w = Workload::new(&spec, 3, 2, 2);
    let mut values = HashSet::new();
    let mut jitters = HashSet::new();
    for i in 0..400 {
        let first = w.draw(i % 2);
        let second = w.again(i % 2, &first);
        let third = w.again(i % 2, &second);
        let j = w.jitter();
        assert!((0.0..1.0).contains(&j) && jitters.insert(j.to_bits()));
        for d in [&first, &second, &third] {
            if let Some(v) = written(&d.call) {
                assert!(values.insert(v), "{v} twice");
                assert!((2_000_000_000_000..3_000_000_000_000).contains(&v));
            }
            assert_eq!(
                (d.table, d.fresh, d.bytes),
                (first.table, first.fresh, first.bytes)
            );
            let insert = matches!(d.call, Call::Insert { .. });
            assert!(insert || d.call.key() == first.call.key());
            let kind = std::mem::discriminant::<Call>;
            assert_eq!(kind(&d.call), kind(&first.call));
        }
    }
}

#[test]
fn the_first_operations_are_the_same_in_every_version() {
    let spec = WorkloadSpec::default();
    let mut w = Workload::new(&spec, 42, 1, 3);
    let names: Vec<String> = (0..8)
        .map(|_| {
            let call = w.draw(2).call;
            let kind = match call {
                Call::Read { strong: true, .. } => "read",
                Call::Read { .. } => "eventual",
                Call::Write { .. } => "write",
                Call::Insert { .. } => "insert",
                Call::Add { .. } => "add",
                Call::Cas { .. } => "cas",
            };
            format!("{kind} {}", call.key())
        })
        .collect();
    assert_eq!(
        names,
        [
            "cas k00040",
            "read k00057",
            "read k00022",
            "read k00022",
            "cas k00037",
            "read k00029",
            "read k00035",
            "insert i1-2-0000007"
        ]
    );
}

#[test]
fn a_share_of_zero_is_never_drawn() {
    let shares = [
        (Kind::Write, 0.0),
        (Kind::Cas, 0.4),
        (Kind::Strong, 0.6 - 1e-9),
        (Kind::Eventual, 0.0),
    ];
    assert_eq!(pick(&shares, 0.0), Kind::Cas);
    assert_eq!(pick(&shares, 0.4), Kind::Strong);
    assert_eq!(pick(&shares, unit(u64::MAX)), Kind::Strong);
}

#[test]
fn a_compare_and_set_expects_what_was_last_seen() {
    let spec = WorkloadSpec {
        writes: 0.0,
        inserts: 0.0,
        cas: 1.0,
        strong_reads: 0.0,
        eventual_reads: 0.0,
        keys: 1,
        ..WorkloadSpec::default()
    };
    let mut w = Workload::new(&spec, 0, 0, 1);
    let expected = |w: &mut Workload| match w.draw(0).call {
        Call::Cas { expected, .. } => expected,
        other => panic!("{other:?}"),
    };
    let k = || "k00000".to_string();
    let read = |strong| Call::Read { key: k(), strong };
    let ok = |value| Outcome::Ok { value };
    assert_eq!(expected(&mut w), None);
    w.learn(0, &op(read(true), 10, ok(Some(7))));
    assert_eq!(expected(&mut w), Some(7));
    // An older answer that arrives later, an eventual read, a failure: nothing new.
    w.learn(0, &op(read(true), 9, ok(Some(6))));
    w.learn(0, &op(read(false), 11, ok(Some(5))));
    let failure = || Failure {
        class: ErrorClass::Timeout,
        message: String::new(),
    };
    let write = |value| Call::Write { key: k(), value };
    w.learn(
        0,
        &op(write(4), 12, Outcome::Unknown { failure: failure() }),
    );
    assert_eq!(expected(&mut w), Some(7));
    w.learn(0, &op(write(3), 13, ok(None)));
    assert_eq!(expected(&mut w), Some(3));
    let cas = Call::Cas {
        key: k(),
        expected: Some(3),
        new: 2,
    };
    let found = |observed| Outcome::Failed {
        failure: failure(),
        observed,
    };
    w.learn(0, &op(cas.clone(), 14, found(None)));
    assert_eq!(expected(&mut w), Some(3));
    w.learn(0, &op(cas.clone(), 15, found(Some(Some(8)))));
    assert_eq!(expected(&mut w), Some(8));
    w.learn(0, &op(cas, 16, ok(None)));
    assert_eq!(expected(&mut w), Some(2));
}

#[test]
fn a_canary_alone_inserts_few_keys_that_can_be_told_beforehand() {
    let spec = WorkloadSpec {
        writes: 0.0,
        inserts: 0.5,
        cas: 0.0,
        strong_reads: 0.5,
        eventual_reads: 0.0,
        tables: 2,
        ..WorkloadSpec::default()
    };
    let mut w = Workload::alone(&spec, 3, 0, 2);
    let ever: HashSet<_> = w.ever().collect();
    let (mut inserted, mut writes, mut looked) = (HashSet::new(), 0, 0);
    for i in 0..4000 {
        let first = w.draw(i % 2);
        let retried = match first.call {
            Call::Insert { .. } if i % 10 == 0 => Some(w.again(i % 2, &first)),
            _ => None,
        };
        for d in [Some(first), retried].into_iter().flatten() {
            let place = (d.table, d.call.key().to_string());
            assert!(ever.contains(&place), "{place:?}");
            match d.call {
                Call::Insert { .. } => assert!(inserted.insert(place), "twice: {d:?}"),
                Call::Write { .. } => writes += 1,
                Call::Read { key, .. } if key.starts_with(INSERT) => {
                    looked += 1;
                    assert!(inserted.contains(&place), "nobody else inserts: {place:?}");
                }
                _ => {}
            }
        }
    }
    // 500 through each of the two endpoints; beyond, they are writes.
    assert_eq!(inserted.len(), 1000);
    assert!(writes > 500, "{writes}");
    assert!(looked > 20, "{looked}");
    // All of it is read at the end, and deleted before the next one begins.
    let read: HashSet<_> = w.keys().collect();
    assert!(inserted.is_subset(&read) && read.is_subset(&ever));
    let without = WorkloadSpec {
        inserts: 0.0,
        writes: 0.5,
        ..spec
    };
    assert_eq!(Workload::alone(&without, 3, 0, 2).ever().count(), 2 * 60);
}
