//! The canary's loop: due operations become calls, ended calls become events.
//!
//! It owns all state and runs on one thread, on which it also drives the calls:
//! at this pace a task for each would cost as much as the call.

use crate::blame::Blame;
use crate::call::{self, Connection};
use crate::classify::{failed, without_answer};
use crate::config::CanaryConfig;
use crate::connect::Connector;
use crate::finale::Finale;
use crate::outbox::Outbox;
use crate::pacer::{Pacer, Timer};
use crate::processes::Processes;
use crate::protocol::{Command, Notice, Totals};
use crate::retry::{Retries, Used};
use crate::schedule::{Schedule, Tick};
use crate::service::{Service, ServiceSpec};
use crate::vitals::Vitals;
use crate::waiting::{Again, Waiting};
use crate::workload::{Drawn, Workload};
use crate::{CanaryError, Wire};
use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;
use gameday_record::operation::{Attempt, Failure};
use gameday_record::{Call, ErrorClass, Event, Nanos, Operation, Outcome};
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::mpsc;
use tokio::time::{Instant, Interval, MissedTickBehavior};

/// From the command to start to the first due time.
const LEAD: Duration = Duration::from_millis(20);

/// Numbers of requests of canary `i` begin after `i` times this.
const REQUESTS: u64 = 1_000_000_000_000;

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

/// A call on its way.
struct Flying {
    endpoint: usize,
    op: Operation,
    drawn: Drawn,
    used: Used,
}

/// A call that is driven to its end.
type Driven = Pin<Box<dyn Future<Output = Ended> + Send>>;

/// A call that ended.
struct Ended {
    call: Box<Flying>,
    at: Nanos,
    outcome: Outcome,
    connection: Option<Connection>,
}

/// What one endpoint has.
#[derive(Debug)]
struct Pool {
    idle: Vec<Connection>,
    in_flight: usize,
    /// Retries that wait or are in flight: apart, so that they take no room
    /// from what is paced.
    retrying: usize,
    retries: Retries,
}

pub(crate) struct Engine {
    config: Arc<CanaryConfig>,
    connector: Arc<Connector>,
    own: usize,
    /// Names of the tables as histories have them: empty if there is only one.
    tables: Vec<String>,
    out: Outbox,
    service: Arc<dyn Service>,
    workload: Workload,
    processes: Processes,
    vitals: Vitals,
    blame: Blame,
    pools: Vec<Pool>,
    calls: FuturesUnordered<Driven>,
    waiting: Waiting,
    /// Requests so far, if they are numbered.
    numbered: u64,
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
            service: ServiceSpec::service(&config, &wire)?,
            workload: config.drawing(),
            processes: Processes::new(config.index, n),
            vitals: Vitals::default(),
            blame: Blame::new(n),
            pools: (0..n)
                .map(|_| Pool {
                    idle: Vec::new(),
                    in_flight: 0,
                    retrying: 0,
                    retries: Retries::new(config.workload.attempts),
                })
                .collect(),
            tables: match config.workload.tables {
                1 => vec![String::new()],
                _ => config.tables(),
            },
            calls: FuturesUnordered::new(),
            waiting: Waiting::default(),
            numbered: 0,
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
        let mut retries = Timer::new(self.config.clock).map_err(pacing)?;
        let mut second = every(Duration::from_secs(1));
        let mut again = every(Duration::from_millis(20));
        loop {
            self.go_on();
            if self.goal == Goal::Stop && self.quiet() {
                break;
            }
            tokio::select! {
                // What happens a thousand times a second is looked at first. It
                // starves nothing: a tick that is late yields once, and calls
                // that end are bounded by those in flight.
                biased;
                tick = tick(&mut self.pacer) => match tick.map_err(pacing)? {
                    Some(tick) => self.paced(tick),
                    None => self.pacer = None,
                },
                Some(ended) = self.calls.next() => self.ended(ended),
                order = orders.recv() => match order {
                    Some(Order::Command(command)) => self.command(command)?,
                    Some(Order::HangUp) | None => break,
                },
                due = until(&mut retries, self.waiting.next()) => {
                    due.map_err(pacing)?;
                    self.retry();
                }
                _ = second.tick() => self.every_second(),
                _ = again.tick(), if self.finale.is_some() => {}
            }
        }
        if let Some(pacer) = self.pacer.take() {
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
        // Retries that wait were dropped when pacing was stopped.
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
        let pacer = Pacer::start(c.clock, schedule).map_err(pacing)?;
        self.pacer = Some(pacer);
        self.started = true;
        Ok(())
    }

    /// Nothing that is not in flight is begun any more, retries included.
    fn stop_pacing(&mut self) {
        for w in self.waiting.drain().collect::<Vec<_>>() {
            self.pools[w.endpoint].retrying -= 1;
            self.forgo(w.endpoint, &w.before, w.attempt);
        }
        if let Some(pacer) = &mut self.pacer {
            pacer.stop();
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
            let (table, key) = key;
            let drawn = Drawn {
                call: Call::Read { key, strong: true },
                table,
                fresh: false,
                bytes: 0,
            };
            let mut op = self.operation(self.own, &drawn, now);
            op.last = true;
            let deadline = (now + self.config.timeout()).min(finale.deadline());
            self.begin(self.own, op, drawn, Used::default(), deadline);
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
        let drawn = self.workload.draw(endpoint);
        if !self.out.reserve(2) {
            self.vitals.unrecorded(1);
            return;
        }
        let mut op = self.operation(endpoint, &drawn, due);
        if self.config.workload.attempts > 1 {
            self.numbered += 1;
            op.attempt.request = u64::from(self.config.index) * REQUESTS + self.numbered;
        }
        let deadline = due + self.config.timeout();
        let why = if self.pools[endpoint].in_flight >= self.config.in_flight_cap() {
            "too many calls in flight"
        } else if op.invoked >= deadline {
            "its time was over before it could be sent"
        } else {
            self.pools[endpoint].in_flight += 1;
            let invoked = self.begin(endpoint, op, drawn, Used::default(), deadline);
            self.vitals.sent(invoked.since(due));
            return;
        };
        self.vitals.unsent();
        self.out.event(&Event::of_invocation(&op));
        let at = op.invoked;
        let call = Flying {
            endpoint,
            op,
            drawn,
            used: Used::default(),
        };
        self.close(call, at, failed(ErrorClass::Unsent, why));
    }

    /// Begins the retries that are due.
    fn retry(&mut self) {
        while let Some(w) = self.waiting.due(self.config.clock.now()) {
            if !self.out.reserve(2) {
                self.pools[w.endpoint].retrying -= 1;
                self.vitals.forgone(1);
                continue;
            }
            let drawn = self.workload.again(w.endpoint, &w.before);
            let mut op = self.operation(w.endpoint, &drawn, w.due);
            op.attempt = w.attempt;
            self.vitals.retried();
            let deadline = op.invoked + self.config.timeout();
            self.begin(w.endpoint, op, drawn, w.used, deadline);
        }
    }

    /// An attempt of a request ended: another one waits for its time, if there
    /// is to be one.
    fn try_again(&mut self, call: &Flying, at: Nanos) {
        let pool = &mut self.pools[call.endpoint];
        let mut used = call.used;
        let jitter = self.workload.jitter();
        let Some(wait) = pool.retries.after(&mut used, &call.op.outcome, jitter) else {
            return;
        };
        // Once the load was told to end, nothing more is begun.
        let attempt = Attempt {
            request: call.op.attempt.request,
            retry: used.retries,
        };
        if self.goal != Goal::Serve || pool.retrying >= self.config.in_flight_cap() {
            self.forgo(call.endpoint, &call.drawn, attempt);
            return;
        }
        pool.retrying += 1;
        self.waiting.push(Again {
            due: at + wait,
            endpoint: call.endpoint,
            before: call.drawn.clone(),
            attempt,
            used,
        });
    }

    /// A retry that will not be made is in the history as one that was not sent:
    /// what would have become of its request is not the service's doing.
    fn forgo(&mut self, endpoint: usize, before: &Drawn, attempt: Attempt) {
        self.vitals.forgone(1);
        if !self.out.reserve(2) {
            return;
        }
        let drawn = self.workload.again(endpoint, before);
        let mut op = self.operation(endpoint, &drawn, self.config.clock.now());
        op.attempt = attempt;
        self.out.event(&Event::of_invocation(&op));
        let at = op.invoked;
        let call = Flying {
            endpoint,
            op,
            drawn,
            used: Used::default(),
        };
        self.close(call, at, failed(ErrorClass::Unsent, "its turn never came"));
    }

    /// An operation that is about to be invoked.
    fn operation(&mut self, endpoint: usize, drawn: &Drawn, due: Nanos) -> Operation {
        Operation {
            index: 0,
            process: self.processes.take(endpoint),
            az: self.config.az.clone(),
            endpoint: self.config.endpoints[endpoint].az.clone(),
            table: self.tables[drawn.table].clone(),
            call: drawn.call.clone(),
            due,
            invoked: self.config.clock.now(),
            returned: None,
            outcome: Outcome::Unknown {
                failure: Failure {
                    class: ErrorClass::Abandoned,
                    message: String::new(),
                },
            },
            last: false,
            fresh: drawn.fresh,
            attempt: Attempt::default(),
        }
    }

    /// Begins the call and records its invocation, whose time it returns: the
    /// last instant before anything of the call leaves this process, which is
    /// the write on a connection that was kept. A connection that is opened for
    /// the call is part of it: the wait for it is the service's, not ours.
    fn begin(
        &mut self,
        endpoint: usize,
        mut op: Operation,
        drawn: Drawn,
        used: Used,
        deadline: Nanos,
    ) -> Nanos {
        let request = self.service.request(&drawn, endpoint);
        let idle = self.idle(endpoint, drawn.fresh);
        let invoked = self.config.clock.now();
        op.invoked = invoked;
        let begun = idle.map(|connection| connection.begin(&request));
        self.out.event(&Event::of_invocation(&op));
        let deadline = Instant::now() + deadline.since(invoked);
        let config = self.config.clone();
        let connector = self.connector.clone();
        let call = Box::new(Flying {
            endpoint,
            op,
            drawn,
            used,
        });
        let service = self.service.clone();
        self.calls.push(Box::pin(async move {
            let to = &config.endpoints[endpoint];
            let mut at = None;
            // It ended when its last bytes came, not when they were understood.
            let read = |bytes: &[u8], closed| {
                at = Some(config.clock.now());
                service.answer(&call.op.call, bytes, closed)
            };
            let open = || service.open(&connector, to);
            let (came, connection) = call::attempt(open, begun, &request, deadline, read).await;
            let (at, outcome) = match came {
                Ok(outcome) => (at.unwrap_or_else(|| config.clock.now()), outcome),
                Err(why) => (config.clock.now(), without_answer(&call.op.call, &why)),
            };
            Ended {
                call,
                at,
                outcome,
                connection,
            }
        }));
        invoked
    }

    /// An idle connection; none for a call that opens its own.
    fn idle(&mut self, endpoint: usize, fresh: bool) -> Option<Connection> {
        if fresh {
            return None;
        }
        let idle = &mut self.pools[endpoint].idle;
        std::iter::from_fn(|| idle.pop()).find_map(|mut c| c.usable().then_some(c))
    }

    fn ended(&mut self, mut ended: Ended) {
        let call = ended.call;
        let times = (call.op.invoked, ended.at);
        self.blame.settle(call.endpoint, times, &mut ended.outcome);
        let pool = &mut self.pools[call.endpoint];
        if !call.op.attempt.is_first() {
            pool.retrying -= 1;
        } else if !call.op.last {
            pool.in_flight -= 1;
        }
        // A connection that was opened for one call alone is closed with it.
        if let Some(connection) = ended.connection
            && !call.drawn.fresh
            && pool.idle.len() < MAX_IDLE
        {
            pool.idle.push(connection);
        }
        self.close(*call, ended.at, ended.outcome);
    }

    /// Records the completion and learns from it.
    fn close(&mut self, mut call: Flying, at: Nanos, outcome: Outcome) {
        let op = &mut call.op;
        if !matches!(outcome, Outcome::Unknown { .. }) {
            self.processes.release(call.endpoint, op.process);
        }
        op.returned = Some(at);
        op.outcome = outcome;
        self.out.event(&Event::of_completion(op, at));
        self.workload.learn(call.drawn.table, op);
        if op.last {
            let ok = matches!(op.outcome, Outcome::Ok { .. });
            let key = (call.drawn.table, op.call.key().to_string());
            if let Some(finale) = &mut self.finale {
                finale.ended(at, key, ok);
            }
            return;
        }
        if op.attempt.is_first() {
            self.vitals.ended(&op.outcome);
        }
        self.try_again(&call, at);
    }

    fn every_second(&mut self) {
        // What servers closed is let go even if nobody calls them.
        for pool in &mut self.pools {
            pool.idle.retain_mut(Connection::usable);
        }
        self.health();
    }

    /// Says how the canary is, while it paces or its last calls end.
    fn health(&mut self) {
        if self.started && !self.vitals.idle() && self.out.reserve(1) {
            let now = self.config.clock.now();
            let health = self.vitals.take(now, self.calls.len(), self.waiting.len());
            self.out.notice(Notice::Health(health));
        }
    }
}

fn every(period: Duration) -> Interval {
    let mut interval = tokio::time::interval(period);
    interval.set_missed_tick_behavior(MissedTickBehavior::Delay);
    interval
}

/// Until `due`, if something is due.
async fn until(timer: &mut Timer, due: Option<Nanos>) -> std::io::Result<()> {
    match due {
        Some(due) => timer.until(due).await.map(drop),
        None => std::future::pending().await,
    }
}

fn pacing(e: std::io::Error) -> CanaryError {
    CanaryError::Internal(format!("the timer that paces: {e}"))
}

/// The next tick, if something paces.
async fn tick(pacer: &mut Option<Pacer>) -> std::io::Result<Option<Tick>> {
    match pacer {
        Some(pacer) => pacer.tick().await,
        None => std::future::pending().await,
    }
}

#[cfg(test)]
#[path = "engine_tests.rs"]
mod tests;
