//! A synthetic run whose truth is known: three AZs, 20 operations per second
//! and pair from 5 to 60 s, AZ b powered off from 20 to 40 s.

// Each test binary uses a part of this.
#![allow(dead_code)]

use gameday_record::history::{HISTORY_VERSION, HistoryWriter};
use gameday_record::timeline::TimelineWriter;
use gameday_record::*;
use std::io::BufWriter;
use std::path::Path;

pub mod full;

pub const AZS: [&str; 3] = ["a", "b", "c"];
pub const FROM_MS: u64 = 5_000;
pub const FAULT_MS: u64 = 20_000;
pub const REVERT_MS: u64 = 40_000;
pub const PROVEN_MS: u64 = 40_400;
pub const BACK_MS: u64 = 41_600;
pub const TO_MS: u64 = 60_000;
/// Operations of any pair due in this stretch time out, whatever the endpoint.
pub const ELECTION_MS: (u64, u64) = (20_000, 21_500);

pub struct Synthetic {
    pub run: RunInfo,
    pub operations: Vec<Operation>,
    pub timeline: Vec<TimelineLine>,
    pub verdict: Option<DataVerdict>,
    pub complete: bool,
}

pub fn ms(t: u64) -> Nanos {
    Nanos(t * 1_000_000)
}

pub fn line(at: u64, event: TimelineEvent) -> TimelineLine {
    TimelineLine {
        time: ms(at),
        event,
    }
}

pub fn proof(verdict: Verdict, evidence: &str) -> Proof {
    Proof {
        verdict,
        evidence: vec![evidence.into()],
    }
}

pub fn check(name: &str, verdict: Verdict, detail: &str) -> Check {
    Check {
        name: name.into(),
        verdict,
        detail: detail.into(),
        anomalies: vec![],
        anomalies_total: 0,
        measures: vec![],
    }
}

pub fn info() -> RunInfo {
    let node = |name: String, az: &str, role: &str| Node {
        name,
        az: az.into(),
        role: role.into(),
    };
    RunInfo {
        id: "20261123T221500Z-az-power-off-7".into(),
        playbook: "az-power-off".into(),
        title: "Power off one AZ and bring it back".into(),
        playbook_text: "# What it shows: an AZ may vanish.\ntitle = \"Power off one AZ\"\n".into(),
        seed: 7,
        runtime: "process".into(),
        epoch_utc: "2026-11-23T22:15:00Z".into(),
        epoch_monotonic_ns: 1,
        topology: Topology {
            azs: AZS.map(String::from).to_vec(),
            nodes: AZS
                .iter()
                .flat_map(|az| {
                    [
                        node(format!("storage-{az}1"), az, "storage"),
                        node(format!("storage-{az}2"), az, "storage"),
                        node(format!("router-{az}"), az, "router"),
                    ]
                })
                .collect(),
            ..Topology::default()
        },
        cluster: ClusterSpec::default(),
        workload: WorkloadSpec::default(),
        slo: SloSpec {
            write_availability: Some(0.8),
            read_availability: Some(0.8),
            eventual_read_availability: None,
            max_write_gap_ms: Some(5_000),
            recover_within_ms: Some(10_000),
            ..SloSpec::default()
        },
        alarms: vec![],
        unpromised: vec![],
        versions: Versions {
            gameday: "0.1.0".into(),
            docker: None,
            kernel: "6.18.0".into(),
            cpus: 2,
        },
        replay: Replay {
            command: "gameday run playbooks/az-power-off.toml --seed 7 --runtime process".into(),
            options: vec![],
            features: vec![],
        },
        plan: vec!["at 15 s: power-off az b, for 20 s".into()],
        runner: "boot/1/2".into(),
    }
}

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

/// The longest time between two completions of answered writes, in whole milliseconds, rounded up.
pub fn longest_write_gap(operations: &[Operation]) -> (Nanos, Nanos) {
    let writes = operations.iter().filter(|o| o.call.is_write());
    let mut ends: Vec<Nanos> = writes
        .filter(|o| matches!(o.outcome, Outcome::Ok { .. }))
        .filter_map(|o| o.returned)
        .collect();
    ends.sort();
    let gaps = ends.windows(2).map(|w| (w[0], w[1]));
    gaps.max_by_key(|(a, b)| b.since(*a)).unwrap()
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

    pub fn write(&self, root: &Path) -> RunFolder {
        let folder = RunFolder::create(root).unwrap();
        folder::write_json(&folder.run_json(), &self.run).unwrap();
        let mut events: Vec<Event> = Vec::new();
        for o in &self.operations {
            events.push(Event::invoke(o));
            events.extend(o.returned.map(|at| Event::complete(o, at)));
        }
        events.sort_by_key(|e| e.time);
        let file = BufWriter::new(std::fs::File::create(folder.history()).unwrap());
        let mut out = HistoryWriter::new(
            file,
            HistoryHeader {
                version: HISTORY_VERSION,
                run: self.run.id.clone(),
                seed: self.run.seed,
                clock: "CLOCK_MONOTONIC".into(),
                epoch_utc: self.run.epoch_utc.clone(),
                forgotten: None,
            },
        )
        .unwrap();
        for e in events {
            out.append(e).unwrap();
        }
        if self.complete {
            out.finish().unwrap();
        } else {
            out.flush().unwrap();
        }
        let mut timeline = TimelineWriter::open(&folder.timeline()).unwrap();
        for l in &self.timeline {
            timeline.append(l).unwrap();
        }
        if let Some(v) = &self.verdict {
            folder::write_json(&folder.verdict(), v).unwrap();
        }
        folder
    }
}

/// Turns the verdict into a lost write with the operations that show it.
pub fn lost_write(s: &mut Synthetic) {
    let record =
        |index, what: &str, from: u64, to: Option<u64>, outcome: &str| verdict::OperationRecord {
            index,
            process: index,
            az: "a".into(),
            endpoint: "c".into(),
            table: String::new(),
            what: what.into(),
            invoked: ms(from),
            returned: to.map(ms),
            outcome: outcome.into(),
        };
    let mut lost = check("lost-writes", Verdict::Fail, "60 keys were read back.");
    lost.anomalies_total = 1;
    lost.anomalies = vec![Anomaly {
        name: "lost write".into(),
        key: "k17".into(),
        summary: "The acknowledged write of 4711 is not in the final state, and no later write explains it.".into(),
        operations: vec![
            record(4012, "write 4711", 19_950, Some(19_953), "ok"),
            record(4100, "write 4720", 20_010, None, "unknown"),
            record(9001, "read found 4650", 61_000, Some(61_002), "ok"),
        ],
        violates: "durability".into(),
        around: vec![],
    }];
    s.verdict = Some(DataVerdict::new(vec![
        lost,
        check(
            "linearizability",
            Verdict::Unknown,
            "k3: gave up after 60 s.",
        ),
        check(
            "replicas-equal",
            Verdict::Pass,
            "6 partitions, 18 replicas.",
        ),
    ]));
}

/// A page that opens from disk, without the network, in any browser.
pub fn sound_page(page: &str) {
    assert!(page.starts_with("<!DOCTYPE html><html lang=\"en\">"));
    for bad in [
        "http://", "https://", "NaN", ">inf", "\"inf", " inf ", "<script", "src=", "url(",
    ] {
        assert!(!page.contains(bad), "'{bad}' in the page");
    }
    assert!(page.contains("default-src 'none'"));
    assert!(page.len() < 300_000, "{} bytes", page.len());
    for tag in [
        "table", "section", "details", "figure", "svg", "div", "text", "span",
    ] {
        let open =
            page.matches(&format!("<{tag}>")).count() + page.matches(&format!("<{tag} ")).count();
        let close = page.matches(&format!("</{tag}>")).count();
        assert_eq!(open, close, "<{tag}> is not closed");
    }
}
