use super::*;
use crate::config::tests::config;
use crate::outbox::outbox;
use crate::protocol::Line;
use std::net::TcpListener;

/// A port that refuses.
fn closed_port() -> std::net::SocketAddr {
    TcpListener::bind("127.0.0.1:0")
        .unwrap()
        .local_addr()
        .unwrap()
}

fn block_on<T>(f: impl Future<Output = T>) -> T {
    let rt = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    rt.block_on(f)
}

#[test]
fn what_nobody_reads_is_counted_as_unsent() {
    let mut c = config();
    c.clock = gameday_record::RunClock::start();
    c.workload.rate = 1000.0;
    for e in &mut c.endpoints {
        e.addr = closed_port();
    }
    let (out, lines) = outbox(20);
    let engine = Engine::new(c, Wire::default(), out).unwrap();
    let (orders, taken) = mpsc::channel(4);
    let written = block_on(async {
        let conduct = async {
            orders.send(Order::Command(Command::Start)).await.unwrap();
            // Nobody takes lines meanwhile.
            tokio::time::sleep(Duration::from_millis(300)).await;
            orders.send(Order::Command(Command::Stop)).await.unwrap();
        };
        let (result, ()) = tokio::join!(engine.run(taken), conduct);
        result.unwrap();
        let mut written = Vec::new();
        crate::outbox::write_lines(lines, &mut written)
            .await
            .unwrap();
        written
    });
    let lines: Vec<Line> = written
        .split_inclusive(|b| *b == b'\n')
        .map(|l| Line::parse(l).unwrap())
        .collect();
    let events = lines.iter().filter(|l| matches!(l, Line::Event(_))).count();
    let Some(Line::Notice(Notice::Done(totals))) = lines.last() else {
        panic!("{lines:?}");
    };
    let n = totals.counts;
    assert!(n.unrecorded > 0, "{n:?}");
    assert_eq!(n.due, n.sent + n.unsent);
    assert_eq!(n.unsent, n.unrecorded);
    assert_eq!(n.sent, n.ok + n.failed + n.unknown);
    assert_eq!((totals.events, totals.events), (events as u64, 2 * n.sent));
}

#[test]
fn what_cannot_be_sent_in_time_is_recorded_as_failed() {
    let mut c = config();
    c.clock = gameday_record::RunClock::start();
    // Both are due at the epoch; the second has no time left.
    for (full, timeout_ms, why) in [(true, 60_000, "many"), (false, 50, "time")] {
        c.workload.timeout_ms = timeout_ms;
        let (out, lines) = outbox(10);
        let mut engine = Engine::new(c.clone(), Wire::default(), out).unwrap();
        engine.pools[1].in_flight = if full { c.in_flight_cap() } else { 0 };
        while c.clock.now() < Nanos(60_000_000) {
            std::thread::yield_now();
        }
        engine.paced(Tick {
            endpoint: 1,
            number: 0,
            due: Nanos(0),
        });
        let n = engine.vitals.totals();
        assert_eq!(
            (n.due, n.sent, n.unsent, n.unrecorded, n.failed),
            (1, 0, 1, 0, 1)
        );
        assert!(engine.calls.is_empty());
        // Its process is free again.
        assert_eq!(engine.processes.take(1), 2_000_000_000);
        drop(engine);
        let mut written = Vec::new();
        block_on(crate::outbox::write_lines(lines, &mut written)).unwrap();
        let mut pairing = gameday_record::history::Pairing::default();
        let mut ended = Vec::new();
        for line in written.split_inclusive(|b| *b == b'\n') {
            let Line::Event(e) = Line::parse(line).unwrap() else {
                panic!("no event");
            };
            ended.extend(pairing.push(&e).unwrap());
        }
        assert_eq!(ended.len(), 1);
        let Outcome::Failed { failure, .. } = &ended[0].outcome else {
            panic!("{ended:?}");
        };
        assert_eq!(failure.class, ErrorClass::Unsent);
        assert!(failure.message.contains(why), "{}", failure.message);
    }
}

#[test]
fn commands_that_do_not_fit_are_refused() {
    let start = Order::Command(Command::Start);
    let last = Order::Command(Command::Final);
    for orders in [[start, start], [last, start]] {
        let mut c = config();
        c.clock = gameday_record::RunClock::start();
        let (out, _lines) = outbox(100);
        let engine = Engine::new(c, Wire::default(), out).unwrap();
        let (sender, taken) = mpsc::channel(4);
        let result = block_on(async {
            for order in orders {
                sender.send(order).await.unwrap();
            }
            engine.run(taken).await
        });
        assert!(matches!(result, Err(CanaryError::Command(_))), "{orders:?}");
    }
}
