//! The canary's loop: due operations become calls, ended calls become events.
//!
//! It owns all state and runs on one thread; calls are tasks that hand their
//! outcome back.

use crate::call::{self, Connection};
use crate::classify::{classify, failed};
use crate::config::CanaryConfig;
use crate::connect::Connector;
use crate::finale::Finale;
use crate::outbox::Outbox;
use crate::pacer::Pacer;
use crate::processes::Processes;
use crate::protocol::{Command, Notice, Totals};
use crate::request::Requests;
use crate::schedule::{Schedule, Tick};
use crate::vitals::Vitals;
use crate::workload::Workload;
use crate::{CanaryError, Wire};
use gameday_record::operation::Failure;
use gameday_record::{Call, ErrorClass, Event, Nanos, Operation, Outcome};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::mpsc;
use tokio::task::{JoinError, JoinSet};
use tokio::time::{Instant, Interval, MissedTickBehavior};

/// From the command to start to the first due time.
const LEAD: Duration = Duration::from_millis(20);

/// Most idle connections that are kept per endpoint.
const MAX_IDLE: usize = 32;

/// What the loop is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Order {
    /// A command.
    Command(Command),
    /// The input ended: stop now.
    HangUp,
}

/// What the loop works towards.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Goal {
    /// Serving commands, pacing if told to.
    Serve,
    /// The final reads, when nothing is in flight.
    Final,
    /// The end, when nothing is in flight.
    Stop,
}

/// A call that ended.
struct Ended {
    endpoint: usize,
    op: Operation,
    at: Nanos,
    outcome: Outcome,
    connection: Option<Connection>,
}

#[derive(Debug, Default)]
struct Pool {
    idle: Vec<Connection>,
    in_flight: usize,
}

pub(crate) struct Engine {
    config: Arc<CanaryConfig>,
    connector: Arc<Connector>,
    own: usize,
    out: Outbox,
    requests: Requests,
    workload: Workload,
    processes: Processes,
    vitals: Vitals,
    pools: Vec<Pool>,
    calls: JoinSet<Ended>,
    pacer: Option<Pacer>,
    started: bool,
    finale: Option<Finale>,
    goal: Goal,
}

impl Engine {
    pub(crate) fn new(config: CanaryConfig, wire: Wire, out: Outbox) -> Result<Self, CanaryError> {
        config.validate()?;
        let own = config.endpoints.iter().position(|e| e.az == config.az);
        let own = own.ok_or_else(|| CanaryError::Config("no endpoint in the own az".into()))?;
        let n = config.endpoints.len();
        Ok(Engine {
            own,
            out,
            requests: Requests::new(&config, wire.signer),
            workload: Workload::new(&config.workload, config.seed, config.index, n),
            processes: Processes::new(config.index, n),
            vitals: Vitals::default(),
            pools: (0..n).map(|_| Pool::default()).collect(),
            calls: JoinSet::new(),
            pacer: None,
            started: false,
            finale: None,
            goal: Goal::Serve,
            connector: Arc::new(wire.connector),
            config: Arc::new(config),
        })
    }

    /// Runs until told to end.
    pub(crate) async fn run(
        mut self,
        mut orders: mpsc::Receiver<Order>,
    ) -> Result<(), CanaryError> {
        self.out.urgent(Notice::Ready);
        let mut second = every(Duration::from_secs(1));
        let mut retry = every(Duration::from_millis(20));
        loop {
            self.go_on();
            if self.goal == Goal::Stop && self.quiet() {
                break;
            }
            tokio::select! {
                order = orders.recv() => match order {
                    Some(Order::Command(command)) => self.command(command)?,
                    Some(Order::HangUp) | None => break,
                },
                tick = tick(&mut self.pacer) => match tick {
                    Some(tick) => self.paced(tick),
                    None => self.paced_all()?,
                },
                Some(ended) = self.calls.join_next() => self.ended(ended)?,
                _ = second.tick() => self.health(),
                _ = retry.tick(), if self.finale.is_some() => {}
            }
        }
        if let Some(mut pacer) = self.pacer.take() {
            self.vitals.unrecorded(pacer.finish());
        }
        self.health();
        let totals = Totals {
            counts: self.vitals.totals(),
            abandoned: self.calls.len() as u64,
            events: self.out.events(),
        };
        self.out.urgent(Notice::Done(totals));
        Ok(())
    }

    /// True if nothing is due, in flight or to be read any more.
    fn quiet(&self) -> bool {
        self.pacer.is_none() && self.calls.is_empty() && self.finale.is_none()
    }

    fn command(&mut self, command: Command) -> Result<(), CanaryError> {
        match (command, self.goal) {
            (Command::Start, Goal::Serve) if !self.started => self.start(),
            (Command::Final, Goal::Serve) => {
                self.goal = Goal::Final;
                self.stop_pacing();
                Ok(())
            }
            (Command::Stop, Goal::Serve | Goal::Final) => {
                self.goal = Goal::Stop;
                self.stop_pacing();
                if let Some(finale) = &mut self.finale {
                    finale.give_up();
                }
                Ok(())
            }
            (command, _) => Err(CanaryError::Command(format!(
                "'{}' does not fit now",
                command.line().trim_end()
            ))),
        }
    }

    fn start(&mut self) -> Result<(), CanaryError> {
        let c = &self.config;
        let n = c.endpoints.len();
        let t0 = c.clock.now() + LEAD;
        let schedule = Schedule::new(t0, c.workload.rate, n, c.index);
        let waiting = c.in_flight_cap() * n;
        let pacer = Pacer::start(c.clock, schedule, waiting)
            .map_err(|e| CanaryError::Internal(format!("starting the pacing thread: {e}")))?;
        self.pacer = Some(pacer);
        self.started = true;
        Ok(())
    }

    fn stop_pacing(&mut self) {
        if let Some(pacer) = &self.pacer {
            pacer.stop();
        }
    }

    /// The pacing thread ended: because it was told to, else the load would
    /// stop without anybody noticing.
    fn paced_all(&mut self) -> Result<(), CanaryError> {
        if self.goal == Goal::Serve {
            return Err(CanaryError::Internal("the pacing thread died".into()));
        }
        self.count_missed();
        self.pacer = None;
        Ok(())
    }

    fn count_missed(&mut self) {
        if let Some(pacer) = &self.pacer {
            let missed = pacer.take_missed();
            self.vitals.unrecorded(missed);
        }
    }

    /// Begins what can begin and reports what ended, of the final reads.
    fn go_on(&mut self) {
        if self.goal == Goal::Final && self.quiet() {
            let now = self.config.clock.now();
            self.finale = Some(Finale::new(now, self.workload.keys()));
        }
        let Some(mut finale) = self.finale.take() else {
            return;
        };
        let mut now = self.config.clock.now();
        while let Some(key) = finale.next(now) {
            if !self.out.reserve(2) {
                finale.back(key);
                break;
            }
            let op = self.operation(self.own, Call::Read { key, strong: true }, now, true);
            let deadline = (now + self.config.timeout()).min(finale.deadline());
            self.begin(self.own, op, deadline);
            now = self.config.clock.now();
        }
        match finale.result() {
            Some(reads) => {
                self.out.urgent(Notice::Final(reads));
                if self.goal == Goal::Final {
                    self.goal = Goal::Serve;
                }
            }
            None => self.finale = Some(finale),
        }
    }

    /// An operation is due.
    fn paced(&mut self, tick: Tick) {
        let Tick { endpoint, due, .. } = tick;
        let call = self.workload.draw(endpoint);
        if !self.out.reserve(2) {
            self.vitals.unrecorded(1);
            return;
        }
        let op = self.operation(endpoint, call, due, false);
        let deadline = due + self.config.timeout();
        let why = if self.pools[endpoint].in_flight >= self.config.in_flight_cap() {
            "too many calls in flight"
        } else if op.invoked >= deadline {
            "its time was over before it could be sent"
        } else {
            self.vitals.sent(&op);
            self.begin(endpoint, op, deadline);
            return;
        };
        self.vitals.unsent();
        self.out.event(Event::invoke(&op));
        let at = op.invoked;
        self.close(endpoint, op, at, failed(ErrorClass::Unsent, why));
    }

    /// An operation that is invoked now.
    fn operation(&mut self, endpoint: usize, call: Call, due: Nanos, last: bool) -> Operation {
        Operation {
            index: 0,
            process: self.processes.take(endpoint),
            az: self.config.az.clone(),
            endpoint: self.config.endpoints[endpoint].az.clone(),
            call,
            due,
            invoked: self.config.clock.now(),
            returned: None,
            outcome: Outcome::Unknown {
                failure: Failure {
                    class: ErrorClass::Abandoned,
                    message: String::new(),
                },
            },
            last,
            table: String::new(),
            fresh: false,
            attempt: Default::default(),
        }
    }

    /// Records the invocation, then makes the call.
    fn begin(&mut self, endpoint: usize, op: Operation, deadline: Nanos) {
        self.out.event(Event::invoke(&op));
        let pool = &mut self.pools[endpoint];
        pool.in_flight += 1;
        let idle = loop {
            match pool.idle.pop() {
                Some(connection) if !connection.usable() => drop(connection),
                other => break other,
            }
        };
        let config = self.config.clone();
        let connector = self.connector.clone();
        let request = self.requests.request(&op.call, endpoint);
        self.calls.spawn(async move {
            let deadline = Instant::now() + deadline.since(config.clock.now());
            let to = &config.endpoints[endpoint];
            let (attempt, connection) =
                call::attempt(&connector, to, idle, request, deadline).await;
            let at = config.clock.now();
            let outcome = classify(&op.call, &config.attributes, &attempt);
            Ended {
                endpoint,
                op,
                at,
                outcome,
                connection,
            }
        });
    }

    fn ended(&mut self, ended: Result<Ended, JoinError>) -> Result<(), CanaryError> {
        let ended = ended.map_err(|e| CanaryError::Internal(format!("a call died: {e}")))?;
        let pool = &mut self.pools[ended.endpoint];
        pool.in_flight -= 1;
        if let Some(connection) = ended.connection
            && pool.idle.len() < MAX_IDLE
        {
            pool.idle.push(connection);
        }
        self.close(ended.endpoint, ended.op, ended.at, ended.outcome);
        Ok(())
    }

    /// Records the completion and learns from it.
    fn close(&mut self, endpoint: usize, mut op: Operation, at: Nanos, outcome: Outcome) {
        if !matches!(outcome, Outcome::Unknown { .. }) {
            self.processes.release(endpoint, op.process);
        }
        op.returned = Some(at);
        op.outcome = outcome;
        self.out.event(Event::complete(&op, at));
        self.workload.learn(&op);
        if op.last {
            let ok = matches!(op.outcome, Outcome::Ok { .. });
            if let Some(finale) = &mut self.finale {
                finale.ended(at, op.call.key(), ok);
            }
        } else {
            self.vitals.ended(&op.outcome);
        }
    }

    /// Says how the canary is, while it paces or its last calls end.
    fn health(&mut self) {
        self.count_missed();
        if self.started && !self.vitals.idle() && self.out.reserve(1) {
            let now = self.config.clock.now();
            let health = self.vitals.take(now, self.calls.len());
            self.out.notice(Notice::Health(health));
        }
    }
}

fn every(period: Duration) -> Interval {
    let mut interval = tokio::time::interval(period);
    interval.set_missed_tick_behavior(MissedTickBehavior::Delay);
    interval
}

/// The next tick, if something paces.
async fn tick(pacer: &mut Option<Pacer>) -> Option<Tick> {
    match pacer {
        Some(pacer) => pacer.tick().await,
        None => std::future::pending().await,
    }
}

#[cfg(test)]
mod tests {
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
}
