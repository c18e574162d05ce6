//! Metrics in the Prometheus text format, version 0.0.4
//! ("Exposition formats", prometheus.io).
//!
//! Counters and classic histograms, so that any scrape interval works. Every
//! series that can occur is there from the start with a zero: a rate over a
//! first error needs the zero before it. Labels take only values that are known
//! beforehand, so that a scrape cannot grow.

use crate::protocol::Health;
use gameday_record::{ErrorClass, Kind, Operation, Outcome};
use prometheus::core::Collector;
use prometheus::{
    GaugeVec, Histogram, HistogramOpts, HistogramVec, IntCounter, IntCounterVec, IntGauge,
    IntGaugeVec, Opts, Registry, TextEncoder,
};
use std::time::Duration;

/// Outcomes as the label says them.
const OUTCOMES: [&str; 4] = ["ok", "failed", "unknown", "unsent"];

/// Classes of errors as the label says them; a condition that did not hold is an answer.
const CLASSES: [(ErrorClass, &str); 11] = [
    (ErrorClass::Timeout, "timeout"),
    (ErrorClass::Refused, "refused"),
    (ErrorClass::ConnectTimeout, "connect-timeout"),
    (ErrorClass::Reset, "reset"),
    (ErrorClass::Server, "server"),
    (ErrorClass::Throttled, "throttled"),
    (ErrorClass::Rejected, "rejected"),
    (ErrorClass::Misconfigured, "misconfigured"),
    (ErrorClass::Protocol, "protocol"),
    (ErrorClass::Unsent, "unsent"),
    (ErrorClass::Abandoned, "abandoned"),
];

/// Upper bounds of the send lag's buckets, in seconds.
const LAG_BOUNDS: [f64; 13] = [
    0.000_02, 0.000_05, 0.000_1, 0.000_2, 0.000_5, 0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 1.0,
];

/// An objective as it stands.
#[derive(Clone, Debug, PartialEq)]
pub struct Budget {
    /// Name of the objective.
    pub objective: String,
    /// What is promised, 0 to 1.
    pub ratio: f64,
    /// What is left of the error budget: 1 whole, 0 spent, below 0 overspent.
    pub remaining: f64,
    /// Burn rate (1: the budget lasts exactly its period) by window.
    pub burn: Vec<(String, f64)>,
}

/// An alarm as it stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AlarmState {
    /// Its name.
    pub alarm: String,
    /// True while it fires.
    pub firing: bool,
}

/// What one endpoint did with one kind of operation.
#[derive(Clone, Debug)]
struct Cell {
    /// By outcome.
    requests: [IntCounter; OUTCOMES.len()],
    /// By outcome.
    duration: [Histogram; OUTCOMES.len()],
    /// By class.
    errors: [IntCounter; CLASSES.len()],
}

/// The metrics of one canary.
#[derive(Clone, Debug)]
pub struct Metrics {
    registry: Registry,
    endpoints: Vec<String>,
    /// By endpoint, then by kind.
    cells: Vec<Cell>,
    /// By endpoint.
    lag: Vec<Histogram>,
    in_flight: IntGauge,
    healthy: IntGauge,
    unrecorded: IntCounter,
    anomalies: IntCounter,
    dropped_segments: IntCounter,
    firing: IntGaugeVec,
    ratio: GaugeVec,
    remaining: GaugeVec,
    burn: GaugeVec,
}

impl Metrics {
    /// For the canary in `az` that calls `endpoints` with this timeout; of this
    /// `version` of gameday.
    ///
    /// # Errors
    /// Names that the library refuses: of metrics, which are fixed.
    pub fn new(
        az: &str,
        endpoints: &[String],
        timeout: Duration,
        version: &str,
    ) -> prometheus::Result<Self> {
        let registry = Registry::new();
        let of = |name: &str, help: &str| Opts::new(name, help).const_label("az", az);
        let requests = kept(
            &registry,
            IntCounterVec::new(
                of("gameday_canary_requests_total", "Operations by outcome."),
                &["endpoint", "op", "outcome"],
            ),
        )?;
        let errors = kept(
            &registry,
            IntCounterVec::new(
                of(
                    "gameday_canary_errors_total",
                    "Operations that were not ok, by class.",
                ),
                &["endpoint", "op", "class"],
            ),
        )?;
        let duration = HistogramOpts::from(of(
            "gameday_canary_request_duration_seconds",
            "Time from when an operation was due to its outcome.",
        ));
        let duration = kept(
            &registry,
            HistogramVec::new(
                duration.buckets(bounds(timeout)),
                &["endpoint", "op", "outcome"],
            ),
        )?;
        let lag = HistogramOpts::from(of(
            "gameday_canary_send_lag_seconds",
            "How late the canary itself began its operations.",
        ));
        let lag = kept(
            &registry,
            HistogramVec::new(lag.buckets(LAG_BOUNDS.to_vec()), &["endpoint"]),
        )?;
        let cell = |endpoint: &str, kind| Cell {
            requests: OUTCOMES.map(|o| requests.with_label_values(&[endpoint, op(kind), o])),
            duration: OUTCOMES.map(|o| duration.with_label_values(&[endpoint, op(kind), o])),
            errors: CLASSES.map(|(_, c)| errors.with_label_values(&[endpoint, op(kind), c])),
        };
        let pairs = endpoints.iter().flat_map(|e| Kind::ALL.map(|k| (e, k)));
        let counter = |name, help| kept(&registry, IntCounter::with_opts(of(name, help)));
        let gauge = |name: &str, help: &str, labels: &[&str]| {
            kept(&registry, GaugeVec::new(Opts::new(name, help), labels))
        };
        let build = Opts::new("gameday_build_info", "Version of gameday.");
        let build = IntGauge::with_opts(build.const_label("version", version));
        kept(&registry, build)?.set(1);
        Ok(Metrics {
            endpoints: endpoints.to_vec(),
            cells: pairs.map(|(e, k)| cell(e, k)).collect(),
            lag: endpoints
                .iter()
                .map(|e| lag.with_label_values(&[e]))
                .collect(),
            in_flight: kept(
                &registry,
                IntGauge::with_opts(of("gameday_canary_inflight", "Operations in flight.")),
            )?,
            healthy: kept(
                &registry,
                IntGauge::with_opts(of(
                    "gameday_canary_healthy",
                    "0 while calls are refused for the canary's own fault: credentials, rights, its table.",
                )),
            )?,
            unrecorded: counter(
                "gameday_canary_unrecorded_total",
                "Operations that were due and neither sent nor recorded.",
            )?,
            anomalies: counter(
                "gameday_canary_anomalies_total",
                "Anomalies that the checker found in finished segments of the history.",
            )?,
            dropped_segments: counter(
                "gameday_canary_dropped_segments_total",
                "Segments of the history that were removed to keep the folder small.",
            )?,
            firing: kept(
                &registry,
                IntGaugeVec::new(
                    Opts::new("gameday_alarm_firing", "1 while the alarm fires."),
                    &["alarm"],
                ),
            )?,
            ratio: gauge(
                "gameday_slo_objective_ratio",
                "What is promised.",
                &["objective"],
            )?,
            remaining: gauge(
                "gameday_slo_error_budget_remaining_ratio",
                "What is left of the error budget of 30 days; below 0 if overspent.",
                &["objective"],
            )?,
            burn: gauge(
                "gameday_slo_burn_rate",
                "Burn rate of the error budget by window.",
                &["objective", "window"],
            )?,
            registry,
        })
    }

    /// Counts one operation of the load whose outcome is known. An operation
    /// through an endpoint that was not named at the start is not counted.
    pub fn operation(&mut self, op: &Operation) {
        let Some(e) = self.endpoints.iter().position(|e| *e == op.endpoint) else {
            return;
        };
        let kind = Kind::of(&op.call);
        let kind_at = Kind::ALL.iter().position(|k| *k == kind).unwrap_or(0);
        let cell = &self.cells[e * Kind::ALL.len() + kind_at];
        let class = op.outcome.failure().map(|f| f.class);
        let unsent = class == Some(ErrorClass::Unsent);
        let outcome = match &op.outcome {
            _ if unsent => 3,
            o if o.answered() => 0,
            Outcome::Failed { .. } => 1,
            _ => 2,
        };
        let ended = op.returned.unwrap_or(op.invoked);
        cell.requests[outcome].inc();
        cell.duration[outcome].observe(ended.since(op.due).as_secs_f64());
        if outcome != 0
            && let Some(at) = CLASSES.iter().position(|(c, _)| Some(*c) == class)
        {
            cell.errors[at].inc();
        }
        if !unsent {
            self.lag[e].observe(op.invoked.since(op.due).as_secs_f64());
        }
    }

    /// Takes a canary's own health.
    pub fn health(&mut self, health: &Health) {
        self.in_flight
            .set(health.in_flight.try_into().unwrap_or(i64::MAX));
        self.unrecorded.inc_by(health.counts.unrecorded);
    }

    /// Whether nothing is refused for the canary's own fault.
    pub fn healthy(&mut self, healthy: bool) {
        self.healthy.set(i64::from(healthy));
    }

    /// Takes the objectives and the alarms as they stand now.
    pub fn standing(&mut self, budgets: &[Budget], alarms: &[AlarmState]) {
        for a in alarms {
            let firing = self.firing.with_label_values(&[&a.alarm]);
            firing.set(i64::from(a.firing));
        }
        for b in budgets {
            self.ratio.with_label_values(&[&b.objective]).set(b.ratio);
            let remaining = self.remaining.with_label_values(&[&b.objective]);
            remaining.set(b.remaining);
            for (window, rate) in &b.burn {
                let burn = self.burn.with_label_values(&[&b.objective, window]);
                burn.set(*rate);
            }
        }
    }

    /// Takes what the checker found so far, and how many segments of the history are gone.
    pub fn judged(&mut self, anomalies: u64, dropped_segments: u64) {
        for (counter, total) in [
            (&self.anomalies, anomalies),
            (&self.dropped_segments, dropped_segments),
        ] {
            counter.inc_by(total.saturating_sub(counter.get()));
        }
    }

    /// The text of a scrape.
    ///
    /// # Errors
    /// The library cannot write what it holds.
    pub fn render(&self) -> prometheus::Result<String> {
        TextEncoder::new().encode_to_string(&self.registry.gather())
    }
}

/// Made, and in every scrape from now on.
fn kept<C: Collector + Clone + 'static>(
    registry: &Registry,
    made: prometheus::Result<C>,
) -> prometheus::Result<C> {
    let made = made?;
    registry.register(Box::new(made.clone()))?;
    Ok(made)
}

fn op(kind: Kind) -> &'static str {
    match kind {
        Kind::Write => "write",
        Kind::StrongRead => "strong-read",
        Kind::EventualRead => "eventual-read",
    }
}

/// 1-2-5 from 0.5 ms to the timeout, in seconds. What takes longer than
/// the timeout, by the time to notice it, is in the bucket without a bound.
fn bounds(timeout: Duration) -> Vec<f64> {
    let last = timeout.as_micros();
    let steps = (2..).flat_map(|e| [1, 2, 5].map(|m| m * 10_u128.pow(e)));
    steps
        .skip_while(|us| *us < 500)
        .take_while(|us| *us < last)
        .chain([last])
        .map(|us| us as f64 / 1e6)
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::classify::failed;
    use crate::protocol::Counts;
    use gameday_record::{Call, Nanos};
    use std::collections::{BTreeMap, BTreeSet};

    fn op_of(endpoint: &str, strong: bool, ms: u64, outcome: Outcome) -> Operation {
        Operation {
            index: 0,
            process: 0,
            az: "a".into(),
            endpoint: endpoint.into(),
            table: String::new(),
            call: Call::Read {
                key: "k".into(),
                strong,
            },
            due: Nanos(1_000_000),
            invoked: Nanos(1_030_000),
            returned: Some(Nanos(1_000_000 + ms * 1_000_000)),
            outcome,
            last: false,
            fresh: false,
            attempt: Default::default(),
        }
    }

    fn metrics() -> Metrics {
        let endpoints = ["a".to_string(), "b\"\\\n".to_string()];
        let mut m = Metrics::new("a", &endpoints, Duration::from_secs(2), "1.2.3").unwrap();
        let ok = || Outcome::Ok { value: None };
        m.operation(&op_of("a", true, 1, ok()));
        m.operation(&op_of("a", true, 3, ok()));
        m.operation(&op_of("a", true, 3, failed(ErrorClass::Condition, "")));
        m.operation(&op_of("a", false, 2001, failed(ErrorClass::Timeout, "")));
        m.operation(&op_of("a", false, 0, failed(ErrorClass::Unsent, "")));
        m.operation(&op_of("elsewhere", true, 1, ok()));
        m.healthy(true);
        m.health(&Health {
            in_flight: 7,
            counts: Counts {
                unrecorded: 2,
                ..Counts::default()
            },
            ..Health::default()
        });
        m.standing(
            &[Budget {
                objective: "read_availability".into(),
                ratio: 0.999,
                remaining: -0.5,
                burn: vec![("1h".into(), 14.4), ("5m".into(), f64::INFINITY)],
            }],
            &[AlarmState {
                alarm: "page".into(),
                firing: true,
            }],
        );
        m
    }

    /// Name with labels → value, of a text that is strictly what the format
    /// says. `le` is taken out into the third part of the key.
    type Samples = BTreeMap<(String, BTreeMap<String, String>), f64>;

    fn parse(text: &str) -> Samples {
        let mut kinds: BTreeMap<String, String> = BTreeMap::new();
        let mut closed = BTreeSet::new();
        let mut current = String::new();
        let mut samples = Samples::new();
        assert!(text.ends_with('\n'));
        for line in text.lines() {
            if let Some(rest) = line.strip_prefix("# ") {
                let mut words = rest.splitn(3, ' ');
                let (word, name, rest) = (
                    words.next().unwrap(),
                    words.next().unwrap(),
                    words.next().unwrap(),
                );
                if word == "TYPE" {
                    assert!(["counter", "gauge", "histogram"].contains(&rest), "{line}");
                    assert!(kinds.insert(name.into(), rest.into()).is_none(), "{line}");
                    assert!(closed.insert(name.to_string()), "{name} comes twice");
                    current = name.into();
                } else {
                    assert_eq!(word, "HELP", "{line}");
                }
                continue;
            }
            let end = line.find(['{', ' ']).unwrap();
            let name = &line[..end];
            let known = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == ':';
            assert!(name.chars().all(known), "{line}");
            let (labels, rest) = labels(&line[end..]);
            let value = match rest.strip_prefix(' ').unwrap() {
                "+Inf" | "inf" => f64::INFINITY,
                number => number.parse().unwrap(),
            };
            // Samples follow the head of their family.
            let suffix = name.strip_prefix(current.as_str()).unwrap();
            match kinds[&current].as_str() {
                "histogram" => assert!(["_bucket", "_sum", "_count"].contains(&suffix), "{line}"),
                "counter" => assert!(suffix.is_empty() && name.ends_with("_total"), "{line}"),
                _ => assert!(suffix.is_empty(), "{line}"),
            }
            let fresh = samples.insert((name.into(), labels), value).is_none();
            assert!(fresh, "twice: {line}");
        }
        samples
    }

    /// `{a="b",c="d"} rest`, unescaped.
    fn labels(text: &str) -> (BTreeMap<String, String>, &str) {
        let mut out = BTreeMap::new();
        let Some(mut rest) = text.strip_prefix('{') else {
            return (out, text);
        };
        loop {
            let (name, after) = rest.split_once("=\"").unwrap();
            let mut value = String::new();
            let mut chars = after.char_indices();
            let end = loop {
                match chars.next().unwrap() {
                    (at, '"') => break at,
                    (_, '\\') => value.push(match chars.next().unwrap().1 {
                        'n' => '\n',
                        c @ ('\\' | '"') => c,
                        c => panic!("escape {c}"),
                    }),
                    (_, c) => value.push(c),
                }
            };
            assert!(out.insert(name.to_string(), value).is_none());
            rest = &after[end + 1..];
            if let Some(after) = rest.strip_prefix('}') {
                return (out, after);
            }
            rest = rest.strip_prefix(',').unwrap();
        }
    }

    fn value(samples: &Samples, name: &str, labels: &[(&str, &str)]) -> f64 {
        let labels = labels
            .iter()
            .map(|(l, v)| (l.to_string(), v.to_string()))
            .collect();
        *samples
            .get(&(name.to_string(), labels))
            .unwrap_or_else(|| panic!("{name}"))
    }

    #[test]
    fn a_scrape_is_what_the_format_says() {
        let text = metrics().render().unwrap();
        let s = parse(&text);
        let cell = |op, outcome| {
            [
                ("az", "a"),
                ("endpoint", "a"),
                ("op", op),
                ("outcome", outcome),
            ]
        };
        let requests = |op, outcome| value(&s, "gameday_canary_requests_total", &cell(op, outcome));
        assert_eq!(requests("strong-read", "ok"), 3.0);
        assert_eq!(requests("eventual-read", "failed"), 1.0);
        assert_eq!(requests("eventual-read", "unsent"), 1.0);
        assert_eq!(requests("write", "ok"), 0.0, "there from the start");
        let odd = [
            ("az", "a"),
            ("endpoint", "b\"\\\n"),
            ("op", "write"),
            ("outcome", "ok"),
        ];
        assert_eq!(value(&s, "gameday_canary_requests_total", &odd), 0.0);
        let timeouts = [
            ("az", "a"),
            ("class", "timeout"),
            ("endpoint", "a"),
            ("op", "eventual-read"),
        ];
        assert_eq!(value(&s, "gameday_canary_errors_total", &timeouts), 1.0);
        for (name, labels, expected) in [
            ("gameday_canary_inflight", [("az", "a")], 7.0),
            ("gameday_canary_healthy", [("az", "a")], 1.0),
            ("gameday_canary_unrecorded_total", [("az", "a")], 2.0),
            ("gameday_alarm_firing", [("alarm", "page")], 1.0),
            ("gameday_build_info", [("version", "1.2.3")], 1.0),
            (
                "gameday_slo_objective_ratio",
                [("objective", "read_availability")],
                0.999,
            ),
            (
                "gameday_slo_error_budget_remaining_ratio",
                [("objective", "read_availability")],
                -0.5,
            ),
        ] {
            assert_eq!(value(&s, name, &labels), expected, "{name}");
        }
        let burn = [("objective", "read_availability"), ("window", "1h")];
        assert_eq!(value(&s, "gameday_slo_burn_rate", &burn), 14.4);
    }

    #[test]
    fn histograms_are_cumulative_and_agree_with_the_counters() {
        let s = parse(&metrics().render().unwrap());
        let name = "gameday_canary_request_duration_seconds";
        let labels = |le| {
            [
                ("az", "a"),
                ("endpoint", "a"),
                ("op", "strong-read"),
                ("outcome", "ok"),
                ("le", le),
            ]
        };
        let at = |le| value(&s, &format!("{name}_bucket"), &labels(le));
        let found: Vec<f64> = ["0.0005", "0.001", "0.002", "0.005", "2", "+Inf"]
            .map(at)
            .to_vec();
        assert_eq!(found, [0.0, 1.0, 1.0, 3.0, 3.0, 3.0]);
        let without = &labels("")[..4];
        assert_eq!(value(&s, &format!("{name}_count"), without), 3.0);
        assert!((value(&s, &format!("{name}_sum"), without) - 0.007).abs() < 1e-12);
        let lag = [("az", "a"), ("endpoint", "a"), ("le", "0.00005")];
        assert_eq!(
            value(&s, "gameday_canary_send_lag_seconds_bucket", &lag),
            4.0
        );
        // A call that timed out is above the last bound.
        let late = [
            ("az", "a"),
            ("endpoint", "a"),
            ("op", "eventual-read"),
            ("outcome", "failed"),
            ("le", "2"),
        ];
        assert_eq!(value(&s, &format!("{name}_bucket"), &late), 0.0);
    }

    #[test]
    fn bounds_end_with_the_timeout() {
        assert_eq!(
            bounds(Duration::from_millis(3)),
            [0.0005, 0.001, 0.002, 0.003]
        );
        assert_eq!(bounds(Duration::from_millis(2)), [0.0005, 0.001, 0.002]);
        assert_eq!(bounds(Duration::from_secs(60)).last(), Some(&60.0));
    }

    #[test]
    fn a_scrape_does_not_grow() {
        let mut m = metrics();
        let lines = |m: &Metrics| m.render().unwrap().lines().count();
        let before = lines(&m);
        for i in 0..10_000 {
            let endpoint = format!("x{i}");
            m.operation(&op_of(&endpoint, true, i, Outcome::Ok { value: None }));
            m.operation(&op_of("a", true, i, Outcome::Ok { value: None }));
        }
        assert_eq!(lines(&m), before);
    }
}
