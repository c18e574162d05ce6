//! What is done to the traffic of links, seen by other means: measured by
//! messages of our own, and by what the nodes hear of each other.

use crate::suite::{self, Canary, Cluster, link};
use gameday_chaos::runtime::traffic::{Heard, Share, Sounding, Traffic};
use gameday_chaos::runtime::{Link, LinkState, Runtime};
use std::time::Duration;
use tokio::time::Instant;

const MS: Duration = Duration::from_millis(1);
const PACED: Sounding = Sounding {
    messages: 30,
    bytes: 128,
    gap: Duration::from_millis(5),
    wait: Duration::from_secs(10),
};
const BURST: Sounding = Sounding {
    messages: 40,
    bytes: 1250,
    gap: Duration::ZERO,
    wait: Duration::from_secs(10),
};

async fn up(runtime: &dyn Runtime) -> Canary {
    let nodes = suite::launches(runtime);
    runtime.launch_nodes(nodes).await.expect("nodes");
    suite::all_healthy(runtime).await;
    suite::instrument(runtime).await
}

async fn measure(runtime: &dyn Runtime, links: &[Link], sounding: Sounding) -> Vec<Heard> {
    let heard = runtime.measure(links, sounding).await.expect("measured");
    heard.into_iter().map(|h| h.expect("heard")).collect()
}

fn least(heard: &Heard) -> Duration {
    Duration::from_micros(heard.delays_us[0])
}

fn median(heard: &Heard) -> Duration {
    Duration::from_micros(heard.delays_us[heard.delays_us.len() / 2])
}

/// Delay, rate and rejection, which both runtimes have.
pub async fn is_as_asked(runtime: &dyn Runtime) {
    let mut canary = up(runtime).await;
    let c = Cluster(runtime);
    let links = [link("a1", "b1"), link("b1", "a1"), link("a1", "c1")];
    let before = measure(runtime, &links, PACED).await;
    assert!(before.iter().all(|h| h.arrived == 30), "{before:?}");

    // One direction is slower; the other, and other links, are not.
    let slow = Traffic {
        delay: MS * 400,
        jitter: MS * 50,
        ..Traffic::default()
    };
    runtime.shape(&links[..1], slow).await.expect("shaped");
    let now = measure(runtime, &links, PACED).await;
    assert!(least(&now[0]) >= MS * 349, "{now:?}");
    for other in &now[1..] {
        assert!(median(other) < MS * 300, "{now:?}");
    }
    // The nodes notice, and what was sent arrives all the same.
    let asked = Instant::now();
    assert_eq!(c.says("a1", &c.path("try", "a1", "b1")).await, "echo");
    assert!(asked.elapsed() >= MS * 349);
    // For longer than the lease: it is renewed.
    tokio::time::sleep(MS * 4500).await;
    let now = measure(runtime, &links[..1], PACED).await;
    assert!(least(&now[0]) >= MS * 349, "{now:?}");
    runtime.unshape(&links).await.expect("unshaped");
    let now = measure(runtime, &links, PACED).await;
    assert!(median(&now[0]) < MS * 200, "{now:?}");

    // An instrument's links are slower too, in either direction, and are measured like others.
    let ways = [link("canary-a", "b1"), link("b1", "canary-a")];
    for slower in [0, 1] {
        let way = &ways[slower..=slower];
        runtime.shape(way, slow).await.expect("shaped");
        let now = measure(runtime, &ways, PACED).await;
        assert!(least(&now[slower]) >= MS * 349, "{now:?}");
        assert!(median(&now[1 - slower]) < MS * 300, "{now:?}");
        let at = runtime
            .reach_addr("canary-a", "b1", "peer")
            .expect("an address");
        let asked = Instant::now();
        assert_eq!(suite::ask(&mut canary, &format!("try {at}")).await, "echo");
        assert!(asked.elapsed() >= MS * 349);
        runtime.unshape(way).await.expect("unshaped");
    }

    // 50 000 bytes are 400 ms of a megabit per second, and sooner gone without it.
    let rate = Traffic {
        rate: Some(1_000_000),
        ..Traffic::default()
    };
    runtime.shape(&links[1..2], rate).await.expect("shaped");
    let now = measure(runtime, &links, BURST).await;
    assert!(now.iter().all(|h| h.arrived == 40), "{now:?}");
    assert!(now[1].span >= MS * 399, "{now:?}");
    runtime.unshape(&links).await.expect("unshaped");
    runtime
        .unshape(&links)
        .await
        .expect("unshaping twice is fine");

    // Rejection is heard at once, on the existing connection too.
    let pairs = [("a1", "b1"), ("b1", "a1"), ("a1", "c1")];
    assert_eq!(c.says("a1", &c.path("dial", "a1", "b1")).await, "connected");
    assert_eq!(c.says("a1", "/talk/one").await, "echo");
    runtime.reject(&links[..2]).await.expect("rejected");
    use LinkState::{Open, Rejected};
    assert_eq!(c.probe(&pairs).await, [Rejected, Rejected, Open]);
    assert_eq!(c.says("a1", "/talk/two").await, "broken");
    assert_eq!(c.says("a1", &c.path("try", "a1", "b1")).await, "broken");
    assert_eq!(c.says("a1", &c.path("try", "a1", "c1")).await, "echo");
    runtime.open(&links).await.expect("open");
    assert_eq!(c.probe(&pairs).await, [Open, Open, Open]);
    suite::until(runtime, "a1", &c.path("try", "a1", "b1"), "echo").await;
    assert_eq!(runtime.lapses(), Vec::<String>::new());
    let nobody = [link("a1", "nobody")];
    assert!(runtime.shape(&nobody, slow).await.is_err());
    assert!(runtime.reject(&nobody).await.is_err());
    assert!(runtime.measure(&nobody, PACED).await.is_err());
    runtime.down().await.expect("down");
}

/// Loss, doubling, damage and reordering, which need packets.
pub async fn messages_are_spoilt(runtime: &dyn Runtime) {
    drop(up(runtime).await);
    let links = [link("a1", "b1"), link("b1", "a1")];
    let none = Traffic::default();
    let half = Share::of(0.5);
    let many = Sounding {
        messages: 200,
        gap: MS * 3,
        wait: MS * 700,
        ..PACED
    };
    // 200 at a half: beyond these with a chance of one in a million.
    let about_half = |n: u32, of: u32, heard: &Heard| {
        let least = of / 2 - 35;
        assert!((least..=of / 2 + 35).contains(&n), "{heard:?}");
    };
    for traffic in [
        Traffic { loss: half, ..none },
        Traffic {
            duplicate: half,
            ..none
        },
        Traffic {
            corrupt: half,
            ..none
        },
        Traffic {
            reorder: half,
            delay: MS * 100,
            ..none
        },
    ] {
        runtime.shape(&links[..1], traffic).await.expect("shaped");
        let now = measure(runtime, &links, many).await;
        let (hit, spared) = (&now[0], &now[1]);
        eprintln!(
            "{traffic}: {} of 200 arrived, {} again, {} damaged, {} overtaken",
            hit.arrived, hit.again, hit.damaged, hit.overtaken
        );
        match () {
            () if !traffic.loss.is_never() => about_half(hit.arrived, 200, hit),
            () if !traffic.duplicate.is_never() => about_half(hit.again, 200, hit),
            () if !traffic.corrupt.is_never() => about_half(hit.damaged, 200, hit),
            () => {
                let late = hit.delays_us.iter().filter(|us| **us >= 100_000).count();
                about_half(late as u32, 200, hit);
                assert!(hit.overtaken > 0, "{hit:?}");
            }
        }
        assert_eq!((spared.again, spared.damaged), (0, 0), "{spared:?}");
        runtime.unshape(&links[..1]).await.expect("unshaped");
        let now = measure(runtime, &links[..1], many).await;
        assert_eq!((now[0].again, now[0].damaged), (0, 0), "{now:?}");
        assert!(now[0].arrived > 190, "{now:?}");
    }
    runtime.down().await.expect("down");
}

/// What the queue costs: round trips and bytes between two nodes, with packets going through it and
/// without. Prints.
pub async fn queue_overhead(runtime: &dyn Runtime) {
    drop(up(runtime).await);
    let c = Cluster(runtime);
    let links = [link("a1", "b1"), link("b1", "a1")];
    // Through the queue, and not changed there: no packet of this length of time is reordered.
    let through = Traffic {
        rate: Some(100_000_000_000),
        ..Traffic::default()
    };
    for round in 0..2 {
        for queued in [false, true] {
            if queued {
                runtime.shape(&links, through).await.expect("shaped");
            }
            let at = runtime.reach_addr("a1", "b1", "peer").expect("an address");
            let said = c.says("a1", &format!("/bench/{at}")).await;
            println!("round {round}, queue {queued}: {said}");
            runtime.unshape(&links).await.expect("unshaped");
        }
    }
    runtime.down().await.expect("down");
}
