//! Gaps on the cluster in memory: what makes links so is started anew.

use super::*;
use fake::{Anew, Then};

/// The baseline takes so long; the hold begins a moment later.
const BASELINE: u64 = 10;

const fn secs(s: u64) -> Duration {
    Duration::from_secs(s)
}

/// One AZ is cut off for ten seconds, while this happens so many milliseconds into its hold.
async fn isolated(units: &[(&'static str, u64, Then)]) -> Seen {
    let mut run = Run::of(step("cut", "isolate", "az = \"b\"", AT0, "10s"));
    let anew = |(unit, ms, then): &(&'static str, u64, Then)| Anew {
        unit,
        at: secs(BASELINE) + Duration::from_millis(*ms),
        then: *then,
    };
    run.switches.anew = units.iter().map(anew).collect();
    run.go().await
}

impl Seen {
    fn gaps(&self) -> Vec<String> {
        let all = self.log.all();
        let gaps = all.iter().filter_map(|l| l.strip_prefix("timeline gap "));
        gaps.map(String::from).collect()
    }
}

#[tokio::test(start_paused = true)]
async fn what_is_put_back_is_proven_again_and_told() {
    use Then::Back;
    // At a target, at the far end of a cut link, both, one after the other, and so late that the
    // proof at the end meets it.
    for (units, again) in [
        (vec![("storage-b1", 3_000, Back(secs(2)))], 1),
        (vec![("storage-a1", 3_000, Back(secs(2)))], 1),
        (
            vec![
                ("storage-b1", 3_000, Back(secs(2))),
                ("storage-a1", 3_500, Back(secs(4))),
            ],
            1,
        ),
        (
            vec![
                ("storage-b1", 1_000, Back(secs(2))),
                ("storage-a1", 4_500, Back(secs(2))),
            ],
            2,
        ),
        (vec![("storage-b1", 8_900, Back(secs(2)))], 0),
        (vec![("storage-b1", 8_900, Back(secs(9)))], 0),
    ] {
        let names: Vec<&str> = units.iter().map(|u| u.0).collect();
        let seen = isolated(&units).await;
        let what = format!("{names:?}: {:#?}", seen.log.all());
        assert_eq!(seen.summary.state, RunState::Completed, "{what}");
        assert_eq!(seen.proofs(1), vec![Pass; 3 + again], "{what}");
        let expected: Vec<String> = names.iter().map(|n| format!("{n} [1]")).collect();
        assert_eq!(seen.gaps(), expected, "{what}");
        let last = if again > 0 { "again" } else { "held" };
        let proven = seen.log.at(&format!("timeline proof 1 {last} Pass"));
        assert!(seen.log.at("timeline gap") <= proven, "{what}");
        assert!(seen.clean, "{what}");
    }
}

#[tokio::test(start_paused = true)]
async fn what_is_not_put_back_or_not_in_force_again_is_no_pass() {
    for (then, verdict, why) in [
        (Then::GivenUp(secs(3)), Unknown, "the agent of storage-b1"),
        (Then::Nothing, Unknown, "the agent of storage-b1"),
        // Too late: the fault is not kept in force for it.
        (Then::Back(secs(18)), Unknown, "within 10 s after its hold"),
        (Then::SaidToBeBack(secs(2)), Fail, "across the border"),
    ] {
        for ms in [3_000, 8_900] {
            let seen = isolated(&[("storage-b1", ms, then)]).await;
            let what = format!("{why}: {:#?}", seen.log.all());
            assert_eq!(seen.summary.state, RunState::Failed, "{what}");
            assert!(seen.summary.unproven[0].contains("to its end"), "{what}");
            assert!(seen.summary.unproven[0].contains(why), "{:?}", seen.summary);
            assert_eq!(seen.proofs(1)[..2], [Pass, verdict], "{what}");
            assert!(seen.log.has("timeline proof 1 held"), "{what}");
            let over = seen.log.at("timeline reverting");
            assert!(over <= (BASELINE + 10 + 10) * 1000, "{what}");
            assert_eq!(seen.gaps(), ["storage-b1 [1]"], "{what}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_gap_that_concerns_no_injection_is_told_and_nothing_else() {
    let then = Then::Back(secs(1));
    for (unit, ms) in [("router-c", 3_000), ("storage-b1", 13_000)] {
        let mut run = Run::of(step("lose", "kill", "node = \"storage-b1\"", AT0, "10s"));
        let at = secs(BASELINE) + Duration::from_millis(ms);
        run.switches.anew = vec![Anew { unit, at, then }];
        let seen = run.go().await;
        assert_eq!(seen.summary.state, RunState::Completed);
        assert_eq!(seen.proofs(1), [Pass, Pass, Pass]);
        assert_eq!(seen.gaps(), [format!("{unit} []")]);
    }
}
