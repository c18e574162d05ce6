//! Session guarantees: what each process saw for itself.

use super::script::*;
use gameday_record::verdict::Check;

fn sessions(s: &Script) -> Check {
    s.check("session-guarantees")
}

/// One anomaly, of this name and guarantee, over these operations.
#[track_caller]
fn broken(s: &Script, name: &str, guarantee: &str, indices: &[u64]) {
    let check = sessions(s);
    one(&check, name, indices);
    assert_eq!(check.anomalies[0].violates, guarantee);
}

#[test]
fn read_your_writes() {
    let mut s = Script::default();
    s.write(0, 10, 1).process = 7;
    s.write(20, 30, 2).process = 7;
    s.read(40, 50, 1).process = 7;
    let guarantee = "read your writes";
    broken(&s, "read-your-writes violation", guarantee, &[1, 2]);
    // A read of another process is stale, and breaks no guarantee of a session.
    s.operations[2].process = 8;
    assert_eq!(s.check("linearizability").anomalies_total, 1);
    passes_or_has_nothing(&s);
}

/// No check, or one that passes.
#[track_caller]
fn passes_or_has_nothing(s: &Script) {
    let all = s.checks();
    let found = all.iter().find(|c| c.name == "session-guarantees");
    found.into_iter().for_each(passes);
}

/// What never comes back is missed by every read.
#[test]
fn read_your_writes_again_and_again() {
    let mut s = Script::default();
    s.write(0, 10, 1).process = 7;
    s.write(20, 30, 2).process = 7;
    for t in [40, 60, 80] {
        s.read(t, t + 10, 1).process = 7;
    }
    let check = sessions(&s);
    assert_eq!(check.anomalies_total, 3, "{check:#?}");
    for a in &check.anomalies {
        assert_eq!(a.name, "read-your-writes violation");
    }
}

#[test]
fn read_your_writes_of_something_newer_is_kept() {
    let mut s = Script::default();
    s.write(0, 10, 1).process = 7;
    s.write(5, 30, 2);
    s.read(40, 50, 2).process = 7;
    passes(&sessions(&s));
}

#[test]
fn an_own_absence_is_older_than_an_own_write() {
    let mut s = Script::default();
    s.cas(0, 10, None, 1).process = 7;
    s.read(20, 30, None).process = 7;
    let guarantee = "read your writes";
    broken(&s, "read-your-writes violation", guarantee, &[0, 1]);
}

#[test]
fn monotonic_reads() {
    let mut s = Script::default();
    s.write(0, 10, 1);
    s.write(20, 30, 2);
    s.read(40, 50, 2).process = 7;
    s.read(60, 70, 1).process = 7;
    broken(&s, "non-monotonic read", "monotonic reads", &[2, 3]);
    // Two clients that see different things keep their guarantees.
    s.operations[3].process = 8;
    passes_or_has_nothing(&s);
}

/// Which of two concurrent writes is the newer is not known; that one was
/// gone and came back is.
#[test]
fn monotonic_reads_of_concurrent_writes() {
    let mut s = Script::default();
    s.write(0, 10, 1);
    s.write(0, 10, 2);
    s.read(20, 30, 1).process = 7;
    s.read(40, 50, 2).process = 7;
    passes(&sessions(&s));
    s.read(60, 70, 1).process = 7;
    broken(&s, "non-monotonic read", "monotonic reads", &[3, 4]);
}

#[test]
fn a_conditional_write_reads_what_it_replaces() {
    let mut s = Script::default();
    s.write(0, 10, 1);
    s.write(20, 30, 2);
    s.read(40, 50, 2).process = 7;
    s.cas(60, 70, 1, 3).process = 7;
    broken(&s, "non-monotonic read", "monotonic reads", &[2, 3]);
}

#[test]
fn monotonic_writes() {
    let mut s = Script::default();
    s.write(0, 10, 1).process = 7;
    s.write(20, 30, 2).process = 7;
    s.read(40, 50, 2);
    s.last(100, 110, 1);
    let check = sessions(&s);
    let found: Vec<(&str, &str)> = check
        .anomalies
        .iter()
        .map(|a| (a.name.as_str(), a.violates.as_str()))
        .collect();
    assert_eq!(found, [("non-monotonic write", "monotonic writes")]);
    // Of two processes, nobody promised an order.
    s.operations[1].process = 8;
    passes_or_has_nothing(&s);
}

/// After a call of unknown outcome a client is a new one: what it does next is
/// not ordered behind what may still take effect.
#[test]
fn a_session_ends_with_an_unknown_outcome() {
    let mut s = Script::default();
    s.write(0, 10, 1).process = 7;
    s.hang(20, 2).process = 7;
    s.read(40, 50, 1).process = 8;
    passes(&s.check("linearizability"));
    passes_or_has_nothing(&s);
}

/// Eventual reads promise nothing of this; how often is counted.
#[test]
fn eventual_reads_break_no_guarantee_and_are_counted() {
    let mut s = Script::default();
    s.write(0, 10, 1).process = 7;
    s.write(20, 30, 2).process = 7;
    s.eventual(40, 50, 1).process = 7;
    s.read(60, 70, 2).process = 7;
    s.eventual(80, 90, 1).process = 7;
    passes(&sessions(&s));
    let check = s.check("eventual-reads");
    passes(&check);
    let counts = "Of 2 that followed another operation of their process on the key, 2 missed a write of their own and 0 went back";
    assert!(check.detail.contains(counts), "{}", check.detail);
}
