//! Which consistency model an anomaly breaks: the weakest that can be named.

use super::script::*;

#[track_caller]
fn violates(s: &Script, model: &str) {
    let check = s.check("linearizability");
    let found = check.anomalies.first().expect("an anomaly");
    assert_eq!(found.violates, model, "{check:#?}");
}

/// Adds a call that begins at a time.
type Adds = fn(&mut Script, u64);

/// Three writes or reads after each other, of the processes given.
fn script(calls: [(u64, Adds); 3]) -> Script {
    let mut s = Script::default();
    for (n, (process, call)) in (0u64..).zip(calls) {
        call(&mut s, 20 * n);
        s.operations[n as usize].process = process;
    }
    s
}

fn write_1(s: &mut Script, t: u64) {
    s.write(t, t + 10, 1);
}
fn write_2(s: &mut Script, t: u64) {
    s.write(t, t + 10, 2);
}
fn read_1(s: &mut Script, t: u64) {
    s.read(t, t + 10, 1);
}
fn read_9(s: &mut Script, t: u64) {
    s.read(t, t + 10, 9);
}

#[test]
fn the_weakest_model_is_named() {
    // Somebody else's read is late: with another clock it would be fine.
    let late = script([(1, write_1), (2, write_2), (3, read_1)]);
    violates(&late, "linearizability");
    let found = &late.check("linearizability").anomalies[0];
    let holds = "sequential consistency of the key still holds";
    assert!(found.summary.contains(holds), "{}", found.summary);
    let own = script([(1, write_1), (2, write_2), (2, read_1)]);
    violates(&own, "read your writes");
    let invented = script([(1, write_1), (2, write_2), (3, read_9)]);
    violates(&invented, "read committed");
}

#[test]
fn who_went_back_breaks_monotonic_reads() {
    let mut s = Script::default();
    s.write(0, 10, 1);
    s.hang(20, 2);
    s.read(30, 40, 2).process = 7;
    s.read(50, 60, 1).process = 7;
    violates(&s, "monotonic reads");
}

#[test]
fn two_who_saw_another_order_break_sequential_consistency() {
    let mut s = Script::default();
    s.write(0, 10, 1);
    s.write(0, 10, 2);
    for (process, values) in [(7, [1, 2]), (8, [2, 1])] {
        s.read(20, 30, values[0]).process = process;
        s.read(40, 50, values[1]).process = process;
    }
    violates(&s, "sequential consistency");
}

#[test]
fn what_is_lost_breaks_durability() {
    let mut s = Script::default();
    s.write(0, 10, 1);
    s.last(20, 30, None);
    let check = s.check("lost-writes");
    assert_eq!(check.anomalies[0].violates, "durability");
}
