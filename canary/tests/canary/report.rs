//! A canary measures a stub that freezes, falls silent and refuses: what the report says of these
//! equals what is computed here, in another way, from the recorded operations.

use crate::common::{Synthetic, check, info, line, proof};
use crate::support::{Mode, Stub};
use gameday_canary::{Attributes, CanaryConfig, Command, Endpoint, Line, Notice, Wire, run};
use gameday_record::history::Pairing;
use gameday_record::*;
use gameday_reports::report::{Impact, Report};
use std::time::Duration;
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::net::TcpListener;
use tokio::sync::oneshot;

const TIMEOUT_MS: u64 = 3_000;
/// Of the freeze, the silence and the refusal.
const HOLDS_MS: [u64; 3] = [1_500, 4_000, 4_000];

/// What was done, and what the canary recorded.
struct Recorded {
    operations: Vec<Operation>,
    /// (act, revert) of each fault.
    faults: Vec<(Nanos, Nanos)>,
    /// First and last moment of the measurement.
    measured: (Nanos, Nanos),
}

/// The canary's operations until `stop`, by due time.
async fn operations(config: CanaryConfig, stop: oneshot::Receiver<()>) -> Vec<Operation> {
    let (mut stdin, theirs) = tokio::io::duplex(1 << 12);
    let (output, stdout) = tokio::io::duplex(1 << 16);
    let running = tokio::spawn(run(config, Wire::default(), BufReader::new(theirs), output));
    let mut lines = BufReader::new(stdout).lines();
    let (mut pairing, mut operations) = (Pairing::default(), Vec::new());
    let mut stop = std::pin::pin!(stop);
    let mut stopped = false;
    loop {
        let line = tokio::select! {
            line = lines.next_line() => line.unwrap(),
            _ = &mut stop, if !stopped => {
                stopped = true;
                stdin.write_all(Command::Stop.line().as_bytes()).await.unwrap();
                continue;
            }
        };
        let Some(line) = line else { break };
        match Line::parse(line.as_bytes()).unwrap() {
            Line::Event(e) => operations.extend(pairing.push(&e).unwrap()),
            Line::Notice(Notice::Ready) => {
                let start = Command::Start.line();
                stdin.write_all(start.as_bytes()).await.unwrap();
            }
            Line::Notice(_) => {}
        }
    }
    running.await.unwrap().unwrap();
    operations.extend(pairing.finish());
    operations.sort_by_key(|o| o.due);
    operations
}

async fn record() -> Recorded {
    let (stub, _) = Stub::listen().await;
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let addr = listener.local_addr().unwrap();
    let serving = stub.clone().serve_on(listener);
    let clock = RunClock::start();
    let config = CanaryConfig {
        az: "b".into(),
        index: 1,
        clock,
        seed: 42,
        endpoints: vec![Endpoint::plain("b", addr)],
        service: Default::default(),
        table: "canary".into(),
        attributes: Attributes::default(),
        workload: workload(),
        alone: false,
    };
    let (stop, stopped) = oneshot::channel();
    let canary = tokio::spawn(operations(config, stopped));
    let pause = |ms| tokio::time::sleep(Duration::from_millis(ms));
    pause(3_000).await;
    let from = clock.now();
    let mut faults = Vec::new();
    pause(2_000).await;
    for (mode, hold) in [Mode::Freeze, Mode::Hang].into_iter().zip(HOLDS_MS) {
        let act = clock.now();
        stub.set(mode);
        pause(hold).await;
        stub.set(Mode::Serve);
        faults.push((act, clock.now()));
        // What hangs is given up, then the service is well for more than a span.
        pause(TIMEOUT_MS + 4_000).await;
    }
    let act = clock.now();
    serving.abort();
    let _ = serving.await;
    pause(HOLDS_MS[2]).await;
    stub.serve_on(TcpListener::bind(addr).await.unwrap());
    faults.push((act, clock.now()));
    pause(4_500).await;
    let to = clock.now();
    stop.send(()).unwrap();
    Recorded {
        operations: canary.await.unwrap(),
        faults,
        measured: (from, to),
    }
}

fn workload() -> WorkloadSpec {
    WorkloadSpec {
        rate: 40.0,
        keys: 8,
        timeout_ms: TIMEOUT_MS,
        ..WorkloadSpec::default()
    }
}

/// The report of a run with these faults.
fn report(r: &Recorded, slow_after_ms: Option<u64>) -> Report {
    let mut run = info();
    run.workload = WorkloadSpec {
        slow_after_ms,
        ..workload()
    };
    run.slo = SloSpec::default();
    run.alarms = vec![AlarmSpec {
        name: "pair fails".into(),
        selection: Selection::default(),
        rule: AlarmRule::default(),
        stop: false,
        expect: None,
        within_ms: None,
    }];
    let at = |time, event| TimelineLine { time, event };
    let phase = |phase| TimelineEvent::Phase {
        phase,
        cpu_wait_ms: None,
    };
    let mut timeline = vec![
        line(0, phase(Phase::Up)),
        at(r.measured.0, phase(Phase::Baseline)),
    ];
    for (n, (act, revert)) in r.faults.iter().enumerate() {
        let id = n as u32 + 1;
        let injection = Injection {
            id,
            step: format!("fault {id}"),
            fault: "pause".into(),
            selector: "az b".into(),
            targets: vec!["router-b".into()],
            hurt: vec!["router-b".into()],
            azs: vec!["b".into()],
            hold_ms: HOLDS_MS[n],
            undo: "let it go on".into(),
        };
        let seen = |side| TimelineEvent::Proof {
            id,
            side,
            proof: proof(Verdict::Pass, "seen"),
        };
        timeline.extend([
            at(*act, TimelineEvent::Intent { injection }),
            at(*act, TimelineEvent::Injected { id }),
            at(*act, seen(ProofSide::Injected)),
            at(*revert, seen(ProofSide::Held)),
            at(*revert, TimelineEvent::Reverted { id }),
            // The proof takes its time, and changes no number.
            at(
                *revert + Duration::from_millis(1_700),
                seen(ProofSide::Reverted),
            ),
        ]);
    }
    timeline.extend([
        at(r.measured.1, phase(Phase::Checks)),
        at(
            r.measured.1,
            TimelineEvent::Ended {
                state: RunState::Completed,
                reason: None,
            },
        ),
    ]);
    let synthetic = Synthetic {
        run,
        operations: r.operations.clone(),
        timeline,
        verdict: Some(DataVerdict::new(vec![check("x", Verdict::Pass, "x")])),
        complete: true,
    };
    let dir = tempfile::tempdir().unwrap();
    gameday_reports::assemble(&synthetic.write(&dir.path().join("run"))).unwrap()
}

/// The recorded operations, looked at in the simplest way.
struct Truth<'a> {
    measured: Vec<&'a Operation>,
    slow_after: Option<Duration>,
}

/// Milliseconds, rounded up.
fn ms(d: Duration) -> u64 {
    d.as_nanos().div_ceil(1_000_000) as u64
}

impl Truth<'_> {
    fn ended(o: &Operation) -> Nanos {
        o.returned
            .unwrap_or(o.due + Duration::from_millis(TIMEOUT_MS))
    }

    fn missed(&self, o: &Operation) -> bool {
        let took = Self::ended(o).since(o.due);
        !o.outcome.answered() || self.slow_after.is_some_and(|most| took > most)
    }

    /// The time between two acknowledged writes around this moment.
    fn gap_around(&self, t: Nanos) -> u64 {
        let writes = || {
            let all = self.measured.iter().filter(|o| o.call.is_write());
            all.filter(|o| o.outcome.answered()).map(|o| Self::ended(o))
        };
        let before = writes().filter(|end| *end <= t).max().unwrap();
        ms(writes().filter(|end| *end > t).min().unwrap().since(before))
    }

    /// Of what was missed and under way between the act and `to`: the due time of the first, and
    /// the first moment at which one was known, both from the act.
    fn first_missed(&self, act: Nanos, to: Nanos) -> Option<(u64, u64)> {
        let lost = || {
            let all = self.measured.iter().filter(|o| self.missed(o));
            all.filter(|o| o.due < to && Self::ended(o) >= act)
        };
        let due = lost().map(|o| o.due).min()?;
        let known = lost().map(|o| Self::ended(o)).min()?;
        Some((ms(due.since(act)), ms(known.since(act))))
    }

    /// When a rule of 3 bad seconds of 5 and 5 failures could first say so, from the act.
    fn alarmed(&self, act: Nanos, to: Nanos) -> Option<u64> {
        let second = |o: &Operation| o.due.0 / 1_000_000_000;
        let first = self
            .measured
            .iter()
            .map(|o| second(o))
            .min()?
            .max(act.0 / 1_000_000_000);
        (first..to.0 / 1_000_000_000 + 2).find_map(|now| {
            let of = |s: u64| self.measured.iter().filter(move |o| second(o) == s);
            let missed = |s: u64| of(s).filter(|o| self.missed(o)).count();
            let window = now.saturating_sub(4)..=now;
            let bad = window.clone().filter(|s| missed(*s) * 100 > of(*s).count());
            let all: usize = window.clone().map(missed).sum();
            (bad.count() >= 3 && all >= 5).then(|| {
                let last = window.flat_map(of).map(|o| Self::ended(o)).max().unwrap();
                ms(last.max(Nanos((now + 1) * 1_000_000_000)).since(act))
            })
        })
    }

    /// The first millisecond from which on for 3 s 99 % of each kind are answered, from the revert.
    fn recovery(&self, revert: Nanos) -> u64 {
        let milliseconds = (revert.0 / 1_000_000 + 1..).map(|t| Nanos(t * 1_000_000));
        let well = |from: &Nanos| {
            let to = *from + Duration::from_secs(3);
            Kind::ALL.into_iter().all(|kind| {
                let of = self
                    .measured
                    .iter()
                    .filter(|o| Kind::of(&o.call) == kind && (*from..to).contains(&o.due));
                let (all, missed) =
                    of.fold((0, 0), |(n, m), o| (n + 1, m + u32::from(self.missed(o))));
                missed * 100 <= all
            })
        };
        let found = std::iter::once(revert).chain(milliseconds).find(well);
        ms(found.unwrap().since(revert))
    }
}

#[tokio::test]
async fn the_report_says_what_the_recorded_completions_say() {
    let recorded = record().await;
    let (from, to) = recorded.measured;
    for slow_after_ms in [None, Some(500)] {
        let r = report(&recorded, slow_after_ms);
        let truth = Truth {
            measured: recorded
                .operations
                .iter()
                .filter(|o| !o.last && o.due >= from && o.due < to)
                .collect(),
            slow_after: slow_after_ms.map(Duration::from_millis),
        };
        for (n, (act, revert)) in recorded.faults.iter().enumerate() {
            let x: &Impact = r.injections[n].impact.as_ref().unwrap();
            let name = format!("fault {}, slow after {slow_after_ms:?}", n + 1);
            let hold = revert.since(*act);
            let gap = truth.gap_around(*act + hold / 2);
            assert_eq!(x.write_gap_ms, Some(gap), "{name}: write gap");
            assert!(gap >= HOLDS_MS[n], "{name}: {gap}");
            let recovery = truth.recovery(*revert);
            assert_eq!(x.recovery.ms, Some(recovery), "{name}: recovery");
            assert_eq!(x.revert_proof_ms, Some(1_700), "{name}");
            let end = *revert + Duration::from_millis(recovery);
            let missed = truth.first_missed(*act, end);
            let said = x.first_impact_ms.zip(x.detected_ms);
            assert_eq!(said, missed, "{name}: first impact, detected");
            let alarmed = truth.alarmed(*act, end);
            let said = x.alarmed.as_ref().map(|a| a.ms);
            assert_eq!(said, alarmed, "{name}: alarmed");
        }
        // What the faults are: a freeze that nothing else shows than the gap, unless a late
        // answer is a missed one; a silence that is known when a call is given up; a refusal that
        // is known at once.
        let of = |n: usize| r.injections[n].impact.as_ref().unwrap();
        assert_eq!(of(0).detected_ms.is_some(), slow_after_ms.is_some());
        let classes = |fault: usize, outcome: ErrorClass| {
            let (act, revert) = recorded.faults[fault];
            let mut during = recorded.operations.iter();
            during.any(|o| {
                (act..revert).contains(&o.due)
                    && o.outcome.failure().is_some_and(|f| f.class == outcome)
            })
        };
        assert!(classes(1, ErrorClass::Timeout) && classes(2, ErrorClass::Refused));
        assert!(of(1).alarmed.is_some() && of(2).alarmed.is_some());
        assert!(of(1).detected_ms > of(1).first_impact_ms);
    }
}
