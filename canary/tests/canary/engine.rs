//! A whole canary against a stub of the service.

use crate::support::{Mode, Stub};
use gameday_canary::protocol::Totals;
use gameday_canary::{
    Attributes, CanaryConfig, CanaryError, Command, Endpoint, Line, Notice, Wire, run,
};
use gameday_record::history::Pairing;
use gameday_record::{
    Call, ErrorClass, Event, EventKind, Operation, Outcome, RunClock, WorkloadSpec,
};
use std::collections::{BTreeMap, HashSet};
use std::net::SocketAddr;
use std::time::Duration;
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader, DuplexStream, Lines};
use tokio::task::JoinHandle;

/// A canary in AZ `a` that runs here, and what it said so far.
struct Canary {
    stdin: Option<DuplexStream>,
    stdout: Lines<BufReader<DuplexStream>>,
    running: JoinHandle<Result<(), CanaryError>>,
    pairing: Pairing,
    events: Vec<Event>,
    operations: Vec<Operation>,
    healths: usize,
    clock: RunClock,
}

impl Canary {
    fn start(endpoints: &[(&str, SocketAddr)], workload: WorkloadSpec) -> Canary {
        let clock = RunClock::start();
        let config = CanaryConfig {
            az: "a".into(),
            index: 1,
            clock,
            seed: 42,
            endpoints: endpoints
                .iter()
                .map(|(az, addr)| Endpoint::plain(*az, *addr))
                .collect(),
            service: Default::default(),
            table: "canary".into(),
            attributes: Attributes::default(),
            workload,
            alone: false,
        };
        let json = serde_json::to_string(&config).unwrap();
        let config = CanaryConfig::parse(&json).unwrap();
        let (stdin, theirs) = tokio::io::duplex(1 << 12);
        let (output, stdout) = tokio::io::duplex(1 << 12);
        let running = tokio::spawn(run(config, Wire::default(), BufReader::new(theirs), output));
        Canary {
            stdin: Some(stdin),
            stdout: BufReader::new(stdout).lines(),
            running,
            pairing: Pairing::default(),
            events: Vec::new(),
            operations: Vec::new(),
            healths: 0,
            clock,
        }
    }

    async fn say(&mut self, command: Command) {
        let stdin = self.stdin.as_mut().unwrap();
        stdin.write_all(command.line().as_bytes()).await.unwrap();
    }

    /// The next notice that is no health line, after recording what comes before.
    async fn notice(&mut self) -> Notice {
        loop {
            if let Some(notice) = self.line().await {
                return notice;
            }
        }
    }

    async fn line(&mut self) -> Option<Notice> {
        let line = tokio::time::timeout(Duration::from_secs(60), self.stdout.next_line());
        let line = line
            .await
            .expect("the canary says something")
            .unwrap()
            .unwrap();
        match Line::parse(line.as_bytes()).unwrap() {
            Line::Event(e) => {
                assert_eq!(e.index, 0);
                let last = self.events.last();
                assert!(last.is_none_or(|last| last.time <= e.time), "in order");
                self.operations.extend(self.pairing.push(&e).unwrap());
                self.events.push(e);
                None
            }
            Line::Notice(Notice::Health(h)) => {
                self.healths += 1;
                assert_eq!(h.counts.due, h.counts.sent + h.counts.unsent);
                assert!(h.lag_us.is_some() || h.counts.sent == 0);
                None
            }
            Line::Notice(other) => Some(other),
        }
    }

    /// Reads until `n` more operations of this kind ended; returns them.
    async fn until(&mut self, n: usize, wanted: impl Fn(&Operation) -> bool) -> Vec<Operation> {
        let mut seen = Vec::new();
        let mut from = self.operations.len();
        while seen.len() < n {
            let notice = self.line().await;
            assert_eq!(notice, None);
            let fresh = &self.operations[from..];
            seen.extend(fresh.iter().filter(|o| wanted(o)).cloned());
            from = self.operations.len();
        }
        seen
    }

    async fn end(&mut self) -> Totals {
        let Notice::Done(totals) = self.notice().await else {
            panic!("not done");
        };
        assert_eq!(self.stdout.next_line().await.unwrap(), None, "done is last");
        (&mut self.running).await.unwrap().unwrap();
        assert_eq!(totals.events, self.events.len() as u64);
        totals
    }
}

fn class(o: &Operation) -> Option<ErrorClass> {
    o.outcome.failure().map(|f| f.class)
}

fn closed_port() -> SocketAddr {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    listener.local_addr().unwrap()
}

fn workload() -> WorkloadSpec {
    WorkloadSpec {
        rate: 50.0,
        keys: 8,
        timeout_ms: 500,
        ..WorkloadSpec::default()
    }
}

#[tokio::test]
async fn a_game_day_as_one_canary_sees_it() {
    let (a, a_addr) = Stub::listen().await;
    let (b, b_addr) = a.sibling().await;
    let mut canary = Canary::start(
        &[("a", a_addr), ("b", b_addr), ("c", closed_port())],
        workload(),
    );
    assert_eq!(canary.notice().await, Notice::Ready);
    canary.say(Command::Start).await;
    let through_b = |o: &Operation, c: Option<ErrorClass>| o.endpoint == "b" && class(o) == c;

    canary.until(20, |o| through_b(o, None)).await;
    b.set(Mode::Contended);
    let refused = canary
        .until(3, |o| through_b(o, Some(ErrorClass::Condition)))
        .await;
    for o in refused {
        assert!(matches!(o.call, Call::Cas { .. }));
        let Outcome::Failed { observed, .. } = o.outcome else {
            panic!("{o:?}");
        };
        assert_eq!(observed, Some(Some(-1)));
    }
    b.set(Mode::Hang);
    let hung = canary
        .until(40, |o| through_b(o, Some(ErrorClass::Timeout)))
        .await;
    b.set(Mode::Reset);
    canary
        .until(10, |o| through_b(o, Some(ErrorClass::Reset)))
        .await;
    b.set(Mode::Broken);
    canary
        .until(10, |o| through_b(o, Some(ErrorClass::Server)))
        .await;
    b.set(Mode::Serve);
    canary.until(10, |o| through_b(o, None)).await;

    canary.say(Command::Final).await;
    let Notice::Final(reads) = canary.notice().await else {
        panic!("no final reads");
    };
    canary.say(Command::Stop).await;
    let totals = canary.end().await;
    assert!(canary.healths > 0);
    let n = totals.counts;
    assert_eq!((totals.abandoned, n.unrecorded), (0, 0));
    assert_eq!(n.due, n.sent + n.unsent);
    assert_eq!(n.due, n.ok + n.failed + n.unknown);
    assert!(std::mem::take(&mut canary.pairing).finish().is_empty());

    outcomes_are_honest(&canary.operations);
    processes_retire(&canary.events);
    due_times_hold(&canary.operations, 50.0);

    // An open loop: calls went out while earlier ones hung.
    let most = hung
        .iter()
        .map(|o| {
            let meanwhile = |p: &&Operation| {
                p.invoked <= o.invoked && p.returned.is_some_and(|r| r > o.invoked)
            };
            hung.iter().filter(meanwhile).count()
        })
        .max();
    assert!(most >= Some(5), "{most:?} calls in flight at once");

    // The final reads: every register and every insert, strongly, through the canary's own AZ.
    let (last, paced): (Vec<_>, Vec<_>) = canary.operations.iter().partition(|o| o.last);
    let keys: HashSet<_> = last.iter().map(|o| o.call.key()).collect();
    let inserts: HashSet<_> = paced
        .iter()
        .filter(|o| matches!(o.call, Call::Insert { .. }))
        .map(|o| o.call.key())
        .collect();
    assert!(!inserts.is_empty() && inserts.is_subset(&keys));
    assert_eq!(keys.len(), 8 + inserts.len());
    assert_eq!((reads.read, reads.failed), (keys.len() as u64, 0));
    for o in last {
        assert_eq!(o.endpoint, "a");
        assert!(matches!(o.call, Call::Read { strong: true, .. }));
    }
}

/// Every outcome is one that its cause allows, and every value is written once.
fn outcomes_are_honest(operations: &[Operation]) {
    let mut values = HashSet::new();
    for o in operations {
        assert_eq!(o.az, "a");
        assert!(o.invoked >= o.due || o.last, "{o:?}");
        if let Call::Write { value, .. }
        | Call::Insert { value, .. }
        | Call::Cas { new: value, .. } = o.call
        {
            assert!(values.insert(value), "{value} written twice");
            assert!(value > 1_000_000_000_000);
        }
        let unknown = matches!(o.outcome, Outcome::Unknown { .. });
        match class(o) {
            None => assert_ne!(o.endpoint, "c"),
            Some(ErrorClass::Timeout | ErrorClass::Reset | ErrorClass::Server) => {
                assert_eq!(unknown, o.call.is_write(), "{o:?}");
                assert_ne!(o.endpoint, "c");
            }
            Some(ErrorClass::Refused) => assert!(o.endpoint == "c" && !unknown),
            Some(ErrorClass::Condition) => {
                assert!(!unknown && matches!(o.call, Call::Cas { .. }));
            }
            // What a machine that stands still for half a second makes.
            Some(ErrorClass::Unsent | ErrorClass::ConnectTimeout) => assert!(!unknown),
            Some(other) => panic!("{other:?}: {o:?}"),
        }
    }
    let refused = |o: &&Operation| class(o) == Some(ErrorClass::Refused);
    assert!(operations.iter().filter(refused).count() > 0);
    let swapped = |o: &&Operation| matches!(o.call, Call::Cas { .. }) && class(o).is_none();
    assert!(operations.iter().filter(swapped).count() > 0);
}

fn processes_retire(events: &[Event]) {
    let mut retired = HashSet::new();
    for e in events {
        assert!((1_000_000_000..2_000_000_000).contains(&e.process));
        assert!(!retired.contains(&e.process), "{} is retired", e.process);
        if e.kind == EventKind::Info {
            retired.insert(e.process);
        }
    }
    assert!(!retired.is_empty());
}

/// The due times of each endpoint are an arithmetic sequence without gaps,
/// whatever the server did.
fn due_times_hold(operations: &[Operation], rate: f64) {
    let mut due: BTreeMap<&str, Vec<u64>> = BTreeMap::new();
    for o in operations.iter().filter(|o| !o.last) {
        due.entry(&o.endpoint).or_default().push(o.due.0);
    }
    assert_eq!(due.len(), 3);
    for (endpoint, times) in &mut due {
        times.sort_unstable();
        let first = times[0] as f64;
        for (i, t) in times.iter().enumerate() {
            let expected = first + i as f64 * 1e9 / rate;
            assert!((*t as f64 - expected).abs() < 10.0, "{endpoint} #{i}: {t}");
        }
    }
}

/// All that recorded times say of when an outage began and ended, in ns: the
/// begin is in the first range, the end in the second.
fn brackets(operations: &[Operation]) -> Option<[(u64, u64); 2]> {
    let span = |o: &Operation| Some((o.invoked.0, o.returned?.0));
    let split = |ok: bool| {
        let of = move |o: &&Operation| o.outcome.answered() == ok;
        operations.iter().filter(of).filter_map(span)
    };
    // A call that failed met the outage at some time between its two.
    let began_by = split(false).map(|(_, returned)| returned).min()?;
    let lasted_to = split(false).map(|(invoked, _)| invoked).max()?;
    if began_by > lasted_to {
        return None;
    }
    let before = split(true).filter(|(_, returned)| *returned <= began_by);
    let after = split(true).filter(|(invoked, _)| *invoked >= lasted_to);
    let not_before = before.map(|(invoked, _)| invoked).max()?;
    let over_by = after.map(|(_, returned)| returned).min()?;
    Some([(not_before, began_by), (lasted_to, over_by)])
}

#[tokio::test]
async fn a_scripted_outage_is_measured_within_one_probe_interval() {
    let (stub, addr) = Stub::listen().await;
    let spec = WorkloadSpec {
        timeout_ms: 60_000,
        ..workload()
    };
    let interval = 20_000_000;
    let mut canary = Canary::start(&[("a", addr)], spec);
    let clock = canary.clock;
    assert_eq!(canary.notice().await, Notice::Ready);
    canary.say(Command::Start).await;
    canary.until(20, |o| class(o).is_none()).await;

    // The script, each step between two readings of the same clock.
    let scripted = |mode| {
        let from = clock.now().0;
        stub.set(mode);
        (from, clock.now().0)
    };
    let began = scripted(Mode::Reset);
    let reset = |o: &Operation| class(o) == Some(ErrorClass::Reset);
    let first = canary.until(1, reset).await.remove(0).returned;
    canary
        .until(10, |o| reset(o) && Some(o.invoked) > first)
        .await;
    let ended = scripted(Mode::Serve);
    // Whatever was due while the outage lasted has ended well before these.
    let healthy = |o: &Operation| class(o).is_none() && o.due.0 > ended.1 + 2 * interval;
    canary.until(10, healthy).await;
    canary.say(Command::Stop).await;
    canary.end().await;

    let [begin, end] = brackets(&canary.operations).expect("an outage");
    assert!(
        begin.0 <= began.1 && began.0 <= begin.1,
        "{begin:?} {began:?}"
    );
    assert!(end.0 <= ended.1 && ended.0 <= end.1, "{end:?} {ended:?}");
    // Not wider than the interval between two probes, and what this machine
    // added between a due time and its answer, as recorded.
    let took = |o: &Operation| o.returned.map(|r| r.0 - o.due.0);
    let slack = canary.operations.iter().filter_map(took).max().unwrap();
    for (from, to) in [begin, end] {
        assert!(to - from <= interval + slack, "{from}-{to}, slack {slack}");
    }
    // So the length is known to within one interval at each end.
    let measured = (end.1 - begin.0, end.0 - begin.1);
    assert!(measured.0 >= ended.0 - began.1 && measured.1 <= ended.1 - began.0);
}

#[tokio::test]
async fn all_sorts_of_calls_and_retries_reach_the_service() {
    let (stub, addr) = Stub::listen().await;
    let spec = WorkloadSpec {
        rate: 200.0,
        adds: 0.2,
        strong_reads: 0.3,
        eventual_reads: 0.1,
        item_bytes_max: Some(300),
        fresh_connections: 0.3,
        attempts: 3,
        ..workload()
    };
    let mut canary = Canary::start(&[("a", addr)], spec);
    assert_eq!(canary.notice().await, Notice::Ready);
    canary.say(Command::Start).await;
    let added = |o: &Operation| matches!(o.call, Call::Add { .. }) && class(o).is_none();
    let sums = canary.until(20, added).await;
    for o in &sums {
        let Outcome::Ok { value: Some(sum) } = o.outcome else {
            panic!("no sum: {o:?}");
        };
        assert!(sum > 0);
    }
    stub.set(Mode::Broken);
    canary.until(5, |o| class(o).is_some()).await;
    stub.set(Mode::Serve);
    let again = canary
        .until(1, |o| !o.attempt.is_first() && class(o).is_none())
        .await
        .remove(0);
    stub.set(Mode::Broken);
    canary.until(5, |o| class(o).is_some()).await;
    canary.say(Command::Stop).await;
    let totals = canary.end().await;
    let n = totals.counts;
    // Retries that wait up to a second are not made any more, and the history says so.
    let retries = || canary.operations.iter().filter(|o| !o.attempt.is_first());
    let forgone = retries()
        .filter(|o| class(o) == Some(ErrorClass::Unsent))
        .count() as u64;
    assert!(forgone > 0 && forgone == n.forgone, "{n:?}");
    assert_eq!(retries().count() as u64, n.retries + forgone);
    assert_eq!(n.due, n.ok + n.failed + n.unknown, "retries are not paced");
    let mut firsts = HashSet::new();
    for o in canary.operations.iter().filter(|o| o.attempt.is_first()) {
        assert!(firsts.insert(o.attempt.request), "{o:?}");
    }
    let of = |o: &&Operation| o.attempt.request == again.attempt.request;
    let attempts: Vec<_> = canary.operations.iter().filter(of).collect();
    assert!(attempts.len() >= 2 && firsts.contains(&again.attempt.request));
    assert!(canary.operations.iter().any(|o| o.fresh));
    assert!(canary.operations.iter().any(|o| !o.fresh));
}

#[tokio::test]
async fn the_end_of_the_input_ends_it_with_calls_in_flight() {
    let (stub, addr) = Stub::listen().await;
    stub.set(Mode::Hang);
    let spec = WorkloadSpec {
        timeout_ms: 60_000,
        ..workload()
    };
    let mut canary = Canary::start(&[("a", addr)], spec);
    assert_eq!(canary.notice().await, Notice::Ready);
    canary.say(Command::Start).await;
    while canary.events.len() < 5 {
        assert_eq!(canary.line().await, None);
    }
    canary.stdin = None;
    let totals = canary.end().await;
    let open = std::mem::take(&mut canary.pairing).finish();
    assert!(open.len() >= 5);
    assert_eq!(totals.abandoned, open.len() as u64);
    assert!(canary.operations.is_empty());
}

#[tokio::test]
async fn final_reads_go_on_until_the_service_is_back() {
    let (stub, addr) = Stub::listen().await;
    stub.set(Mode::Broken);
    let mut canary = Canary::start(&[("a", addr)], workload());
    assert_eq!(canary.notice().await, Notice::Ready);
    canary.say(Command::Final).await;
    let failed = canary
        .until(20, |o| class(o) == Some(ErrorClass::Server))
        .await;
    assert!(failed.iter().all(|o| o.last));
    stub.set(Mode::Serve);
    let Notice::Final(reads) = canary.notice().await else {
        panic!("no final reads");
    };
    assert_eq!((reads.read, reads.failed), (8, 0));
    canary.say(Command::Stop).await;
    let totals = canary.end().await;
    assert_eq!(totals.counts.due, 0);
}

#[tokio::test]
async fn a_stop_lets_calls_end_even_if_the_input_ends_with_it() {
    let (stub, addr) = Stub::listen().await;
    stub.set(Mode::Hang);
    let mut canary = Canary::start(&[("a", addr)], workload());
    canary.notice().await;
    canary.say(Command::Start).await;
    while canary.events.len() < 3 {
        assert_eq!(canary.line().await, None);
    }
    canary.say(Command::Stop).await;
    canary.stdin = None;
    let totals = canary.end().await;
    assert_eq!(totals.abandoned, 0);
    assert!(std::mem::take(&mut canary.pairing).finish().is_empty());
}

#[tokio::test]
async fn a_line_that_is_no_command_ends_it_with_an_error() {
    let (_, addr) = Stub::listen().await;
    let long = "x".repeat(5000);
    for bad in ["{\"command\":\"dance\"}\n", "start\n", &long] {
        let mut canary = Canary::start(&[("a", addr)], workload());
        canary.notice().await;
        let stdin = canary.stdin.as_mut().unwrap();
        stdin.write_all(bad.as_bytes()).await.unwrap();
        assert!(matches!(canary.notice().await, Notice::Done(_)));
        let e = canary.running.await.unwrap().unwrap_err();
        assert!(matches!(e, CanaryError::Command(_)), "{e}");
    }
}
