//! Runs whose truth is known: three AZs, 20 operations per second and pair from 5
//! to 60 s, and in one of them AZ b powered off from 20 to 40 s.

use crate::common::*;
use gameday_record::*;

pub const FROM_MS: u64 = 5_000;
pub const FAULT_MS: u64 = 20_000;
pub const REVERT_MS: u64 = 40_000;
pub const PROVEN_MS: u64 = 40_400;
pub const BACK_MS: u64 = 41_600;
pub const TO_MS: u64 = 60_000;
/// Operations of any pair due in this stretch time out, whatever the endpoint.
pub const ELECTION_MS: (u64, u64) = (20_000, 21_500);

/// A write that is answered after a millisecond.
pub fn answered_write(az: &str, endpoint: &str, due: Nanos, n: u64) -> Operation {
    Operation {
        index: 0,
        process: n,
        az: az.into(),
        endpoint: endpoint.into(),
        table: String::new(),
        call: Call::Write {
            key: "k".into(),
            value: n as i64,
        },
        due,
        invoked: due + std::time::Duration::from_micros(60),
        returned: Some(due + std::time::Duration::from_millis(1)),
        outcome: Outcome::Ok { value: None },
        last: false,
        fresh: false,
        attempt: Attempt::default(),
    }
}

/// Everything well, no fault: one operation per pair every 50 ms.
pub fn healthy_operations() -> Vec<Operation> {
    let mut out = Vec::new();
    let mut noise = 12_345u64;
    let mut random = move || {
        noise = noise
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1);
        (noise >> 33) % 1000
    };
    for (p, (az, endpoint)) in AZS
        .iter()
        .flat_map(|a| AZS.iter().map(move |e| (*a, *e)))
        .enumerate()
    {
        for i in 0..(TO_MS - FROM_MS) / 50 {
            // Pairs do not tick together, as with real canaries.
            let due = ms(FROM_MS + i * 50) + std::time::Duration::from_millis(p as u64 * 5);
            let n = (p as u64) * 100_000 + i;
            let key = format!("k{}", n % 60);
            let call = match i % 20 {
                0..5 => Call::Write {
                    key,
                    value: n as i64,
                },
                5..8 => Call::Cas {
                    key,
                    expected: Some(1),
                    new: n as i64,
                },
                8..16 => Call::Read { key, strong: true },
                _ => Call::Read { key, strong: false },
            };
            let r = random();
            let us = 900 + r * 2 + if r > 980 { r * 12 } else { 0 };
            out.push(Operation {
                index: 0,
                process: n,
                az: az.into(),
                endpoint: endpoint.into(),
                call,
                due,
                invoked: due + std::time::Duration::from_micros(60 + r / 10),
                returned: Some(due + std::time::Duration::from_micros(us)),
                outcome: Outcome::Ok { value: None },
                last: false,
                table: String::new(),
                fresh: false,
                attempt: Default::default(),
            });
        }
    }
    out
}

pub fn spoil(o: &mut Operation, class: ErrorClass, message: &str, unknown: bool, after_ms: u64) {
    let failure = Failure {
        class,
        message: message.into(),
    };
    o.returned = Some(o.due + std::time::Duration::from_millis(after_ms));
    o.outcome = if unknown {
        Outcome::Unknown { failure }
    } else {
        Outcome::Failed {
            failure,
            observed: None,
        }
    };
}

impl Synthetic {
    pub fn healthy() -> Synthetic {
        let mut run = info();
        run.plan.clear();
        run.slo.recover_within_ms = None;
        Synthetic {
            run,
            operations: healthy_operations(),
            timeline: vec![
                line(
                    0,
                    TimelineEvent::Phase {
                        phase: Phase::Up,
                        cpu_wait_ms: None,
                    },
                ),
                line(
                    FROM_MS,
                    TimelineEvent::Phase {
                        phase: Phase::Baseline,
                        cpu_wait_ms: None,
                    },
                ),
                line(
                    TO_MS,
                    TimelineEvent::Phase {
                        phase: Phase::Checks,
                        cpu_wait_ms: None,
                    },
                ),
                line(
                    TO_MS + 3_000,
                    TimelineEvent::Phase {
                        phase: Phase::Down,
                        cpu_wait_ms: None,
                    },
                ),
                line(
                    TO_MS + 4_000,
                    TimelineEvent::Ended {
                        state: RunState::Completed,
                        reason: None,
                    },
                ),
            ],
            verdict: Some(DataVerdict::new(vec![
                check(
                    "lost-writes",
                    Verdict::Pass,
                    "3960 acknowledged writes of 60 keys were read back.",
                ),
                check(
                    "linearizability",
                    Verdict::Pass,
                    "60 keys, 7920 strong operations.",
                ),
            ])),
            complete: true,
        }
    }

    pub fn az_power_off() -> Synthetic {
        let mut s = Synthetic::healthy();
        s.run.plan = info().plan;
        s.run.slo = info().slo;
        for o in &mut s.operations {
            let due = o.due.0 / 1_000_000;
            if o.endpoint == "b" && (FAULT_MS..BACK_MS).contains(&due) {
                if due < FAULT_MS + 800 {
                    spoil(
                        o,
                        ErrorClass::ConnectTimeout,
                        "no connection in 2 s",
                        false,
                        2000,
                    );
                } else {
                    spoil(o, ErrorClass::Refused, "connection refused", false, 1);
                }
            } else if (ELECTION_MS.0..ELECTION_MS.1).contains(&due)
                && !matches!(o.call, Call::Read { strong: false, .. })
            {
                spoil(o, ErrorClass::Timeout, "no answer in 2 s", true, 2000);
            }
        }
        let injection = Injection {
            id: 1,
            step: "off".into(),
            fault: "power-off".into(),
            selector: "az b".into(),
            targets: vec!["router-b".into(), "storage-b1".into(), "storage-b2".into()],
            hurt: vec!["router-b".into(), "storage-b1".into(), "storage-b2".into()],
            azs: vec!["b".into()],
            hold_ms: 20_000,
            undo: "start router-b, storage-b1 and storage-b2 again".into(),
        };
        let more = vec![
            line(
                FAULT_MS - 100,
                TimelineEvent::Phase {
                    phase: Phase::Steps,
                    cpu_wait_ms: None,
                },
            ),
            line(FAULT_MS - 50, TimelineEvent::Intent { injection }),
            line(FAULT_MS, TimelineEvent::Injected { id: 1 }),
            line(
                FAULT_MS + 300,
                TimelineEvent::Proof {
                    id: 1,
                    side: ProofSide::Injected,
                    proof: Proof {
                        verdict: Verdict::Pass,
                        evidence: vec![
                            "router-b: exited (signal 9)".into(),
                            "storage-b1: exited (signal 9)".into(),
                            "storage-b2: exited (signal 9)".into(),
                        ],
                    },
                },
            ),
            line(
                21_400,
                TimelineEvent::Cluster {
                    node: "storage-a1".into(),
                    kind: "leader".into(),
                    detail: "leads canary/3 in term 2".into(),
                },
            ),
            line(
                REVERT_MS - 900,
                TimelineEvent::Proof {
                    id: 1,
                    side: ProofSide::Held,
                    proof: proof(Verdict::Pass, "all three are still off"),
                },
            ),
            line(REVERT_MS - 200, TimelineEvent::Reverting { id: 1 }),
            line(REVERT_MS, TimelineEvent::Reverted { id: 1 }),
            line(
                PROVEN_MS,
                TimelineEvent::Proof {
                    id: 1,
                    side: ProofSide::Reverted,
                    proof: proof(Verdict::Pass, "all three run again with a new identity"),
                },
            ),
            line(
                PROVEN_MS + 1,
                TimelineEvent::Phase {
                    phase: Phase::Cooldown,
                    cpu_wait_ms: None,
                },
            ),
        ];
        s.timeline.splice(2..2, more);
        s
    }
}
