//! Metrics in the Prometheus text format, version 0.0.4
//! ("Exposition formats", prometheus.io).
//!
//! Counters and classic histograms, so that any scrape interval works. Every
//! series that can occur is there from the start with a zero: a rate over a
//! first error needs the zero before it. Labels take only values that are known
//! beforehand, so that a scrape cannot grow.

use crate::protocol::Health;
use gameday_record::{ErrorClass, Kind, Operation, Outcome};
use std::fmt::Write;
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

/// Upper bounds of the send lag's buckets, in microseconds.
const LAG_BOUNDS: [u64; 13] = [
    20, 50, 100, 200, 500, 1_000, 2_000, 5_000, 10_000, 20_000, 50_000, 100_000, 1_000_000,
];

/// A classic histogram: counts per bucket, the last one without a bound.
#[derive(Clone, Debug)]
struct Buckets {
    counts: Vec<u64>,
    sum_ns: u128,
}

impl Buckets {
    fn new(bounds: &[u64]) -> Self {
        Buckets {
            counts: vec![0; bounds.len() + 1],
            sum_ns: 0,
        }
    }

    fn observe(&mut self, bounds: &[u64], value: Duration) {
        let us = value.as_nanos().div_ceil(1000);
        let bucket = bounds.partition_point(|b| u128::from(*b) < us);
        self.counts[bucket] += 1;
        self.sum_ns += value.as_nanos();
    }
}

/// What one endpoint did with one kind of operation.
#[derive(Clone, Debug)]
struct Cell {
    /// By outcome.
    duration: [Buckets; OUTCOMES.len()],
    /// By class.
    errors: [u64; CLASSES.len()],
}

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

/// The metrics of one canary.
#[derive(Clone, Debug)]
pub struct Metrics {
    az: String,
    endpoints: Vec<String>,
    bounds: Vec<u64>,
    /// By endpoint, then by kind.
    cells: Vec<Cell>,
    /// By endpoint.
    lag: Vec<Buckets>,
    in_flight: u64,
    unrecorded: u64,
    version: String,
    budgets: Vec<Budget>,
    alarms: Vec<AlarmState>,
    anomalies: u64,
    dropped_segments: u64,
}

impl Metrics {
    /// For the canary in `az` that calls `endpoints` with this timeout; of this
    /// `version` of gameday.
    pub fn new(az: &str, endpoints: &[String], timeout: Duration, version: &str) -> Self {
        let bounds = bounds(timeout);
        let cell = Cell {
            duration: std::array::from_fn(|_| Buckets::new(&bounds)),
            errors: [0; CLASSES.len()],
        };
        Metrics {
            az: az.into(),
            endpoints: endpoints.to_vec(),
            cells: vec![cell; endpoints.len() * Kind::ALL.len()],
            lag: vec![Buckets::new(&LAG_BOUNDS); endpoints.len()],
            bounds,
            in_flight: 0,
            unrecorded: 0,
            version: version.into(),
            budgets: Vec::new(),
            alarms: Vec::new(),
            anomalies: 0,
            dropped_segments: 0,
        }
    }

    /// Counts one operation of the load whose outcome is known. An operation
    /// through an endpoint that was not named at the start is not counted.
    pub fn operation(&mut self, op: &Operation) {
        let Some(e) = self.endpoints.iter().position(|e| *e == op.endpoint) else {
            return;
        };
        let kind = Kind::of(&op.call);
        let kind_at = Kind::ALL.iter().position(|k| *k == kind).unwrap_or(0);
        let cell = &mut self.cells[e * Kind::ALL.len() + kind_at];
        let class = op.outcome.failure().map(|f| f.class);
        let unsent = class == Some(ErrorClass::Unsent);
        let outcome = match &op.outcome {
            _ if unsent => 3,
            o if o.answered() => 0,
            Outcome::Failed { .. } => 1,
            _ => 2,
        };
        let ended = op.returned.unwrap_or(op.invoked);
        cell.duration[outcome].observe(&self.bounds, ended.since(op.due));
        if outcome != 0
            && let Some(at) = CLASSES.iter().position(|(c, _)| Some(*c) == class)
        {
            cell.errors[at] += 1;
        }
        if !unsent {
            self.lag[e].observe(&LAG_BOUNDS, op.invoked.since(op.due));
        }
    }

    /// Takes a canary's own health.
    pub fn health(&mut self, health: &Health) {
        self.in_flight = health.in_flight;
        self.unrecorded += health.counts.unrecorded;
    }

    /// Takes the objectives and the alarms as they stand now.
    pub fn standing(&mut self, budgets: Vec<Budget>, alarms: Vec<AlarmState>) {
        self.budgets = budgets;
        self.alarms = alarms;
    }

    /// Takes what the checker found so far, and how many segments of the history are gone.
    pub fn judged(&mut self, anomalies: u64, dropped_segments: u64) {
        self.anomalies = anomalies;
        self.dropped_segments = dropped_segments;
    }

    /// The text of a scrape.
    pub fn render(&self) -> String {
        let mut t = Text::default();
        self.requests(&mut t);
        self.durations(&mut t);
        self.vitals(&mut t);
        self.promises(&mut t);
        t.family("gameday_build_info", "gauge", "Version of gameday.");
        t.sample(
            "gameday_build_info",
            &[("version", &self.version)],
            &1.to_string(),
        );
        t.out
    }

    /// Every cell with its labels.
    fn cells(&self) -> impl Iterator<Item = ([(&str, &str); 3], &Cell)> {
        let pairs = self
            .endpoints
            .iter()
            .flat_map(|e| Kind::ALL.map(|k| (e.as_str(), op(k))));
        pairs.zip(&self.cells).map(|((endpoint, op), cell)| {
            let labels = [("az", self.az.as_str()), ("endpoint", endpoint), ("op", op)];
            (labels, cell)
        })
    }

    fn requests(&self, t: &mut Text) {
        let name = "gameday_canary_requests_total";
        t.family(name, "counter", "Operations by outcome.");
        for (labels, cell) in self.cells() {
            for (outcome, buckets) in OUTCOMES.iter().zip(&cell.duration) {
                let n: u64 = buckets.counts.iter().sum();
                let labels = [labels.as_slice(), &[("outcome", outcome)]].concat();
                t.sample(name, &labels, &n.to_string());
            }
        }
        let name = "gameday_canary_errors_total";
        t.family(name, "counter", "Operations that were not ok, by class.");
        for (labels, cell) in self.cells() {
            for ((_, class), n) in CLASSES.iter().zip(cell.errors) {
                let labels = [labels.as_slice(), &[("class", class)]].concat();
                t.sample(name, &labels, &n.to_string());
            }
        }
    }

    fn durations(&self, t: &mut Text) {
        let name = "gameday_canary_request_duration_seconds";
        let help = "Time from when an operation was due to its outcome.";
        t.family(name, "histogram", help);
        for (labels, cell) in self.cells() {
            for (outcome, buckets) in OUTCOMES.iter().zip(&cell.duration) {
                let labels = [labels.as_slice(), &[("outcome", outcome)]].concat();
                t.histogram(name, &labels, &self.bounds, buckets);
            }
        }
        let name = "gameday_canary_send_lag_seconds";
        let help = "How late the canary itself began its operations.";
        t.family(name, "histogram", help);
        for (endpoint, buckets) in self.endpoints.iter().zip(&self.lag) {
            let labels = [("az", self.az.as_str()), ("endpoint", endpoint)];
            t.histogram(name, &labels, &LAG_BOUNDS, buckets);
        }
    }

    fn vitals(&self, t: &mut Text) {
        let az = [("az", self.az.as_str())];
        for (name, kind, help, value) in [
            (
                "gameday_canary_inflight",
                "gauge",
                "Operations in flight.",
                self.in_flight,
            ),
            (
                "gameday_canary_unrecorded_total",
                "counter",
                "Operations that were due and neither sent nor recorded.",
                self.unrecorded,
            ),
            (
                "gameday_canary_anomalies_total",
                "counter",
                "Anomalies that the checker found in finished segments of the history.",
                self.anomalies,
            ),
            (
                "gameday_canary_dropped_segments_total",
                "counter",
                "Segments of the history that were removed to keep the folder small.",
                self.dropped_segments,
            ),
        ] {
            t.family(name, kind, help);
            t.sample(name, &az, &value.to_string());
        }
    }

    fn promises(&self, t: &mut Text) {
        let name = "gameday_alarm_firing";
        t.family(name, "gauge", "1 while the alarm fires.");
        for a in &self.alarms {
            let value = if a.firing { "1" } else { "0" };
            t.sample(name, &[("alarm", &a.alarm)], value);
        }
        type Value = fn(&Budget) -> f64;
        let of: [(&str, &str, Value); 2] = [
            (
                "gameday_slo_objective_ratio",
                "What is promised.",
                |b: &Budget| b.ratio,
            ),
            (
                "gameday_slo_error_budget_remaining_ratio",
                "What is left of the error budget since the start; below 0 if overspent.",
                |b: &Budget| b.remaining,
            ),
        ];
        for (name, help, value) in of {
            t.family(name, "gauge", help);
            for b in &self.budgets {
                t.sample(name, &[("objective", &b.objective)], &number(value(b)));
            }
        }
        let name = "gameday_slo_burn_rate";
        t.family(name, "gauge", "Burn rate of the error budget by window.");
        for b in &self.budgets {
            for (window, rate) in &b.burn {
                let labels = [("objective", b.objective.as_str()), ("window", window)];
                t.sample(name, &labels, &number(*rate));
            }
        }
    }
}

fn op(kind: Kind) -> &'static str {
    match kind {
        Kind::Write => "write",
        Kind::StrongRead => "strong-read",
        Kind::EventualRead => "eventual-read",
    }
}

/// 1-2-5 from 0.5 ms to the timeout, in microseconds. What takes longer than
/// the timeout, by the time to notice it, is in the bucket without a bound.
fn bounds(timeout: Duration) -> Vec<u64> {
    let last = timeout.as_micros();
    let steps = (2..).flat_map(|e| [1, 2, 5].map(|m| m * 10_u64.pow(e)));
    let mut bounds: Vec<u64> = steps
        .skip_while(|b| *b < 500)
        .take_while(|b| u128::from(*b) < last)
        .collect();
    bounds.push(u64::try_from(last).unwrap_or(u64::MAX));
    bounds
}

/// A number as the format writes it.
fn number(value: f64) -> String {
    if value.is_nan() {
        "NaN".into()
    } else if value.is_infinite() {
        if value > 0.0 { "+Inf" } else { "-Inf" }.into()
    } else {
        value.to_string()
    }
}

/// Microseconds as seconds, exactly.
fn seconds(us: u64) -> String {
    let text = format!("{}.{:06}", us / 1_000_000, us % 1_000_000);
    text.trim_end_matches('0').trim_end_matches('.').to_string()
}

#[derive(Default)]
struct Text {
    out: String,
}

impl Text {
    fn family(&mut self, name: &str, kind: &str, help: &str) {
        let _ = writeln!(self.out, "# HELP {name} {help}\n# TYPE {name} {kind}");
    }

    fn sample(&mut self, name: &str, labels: &[(&str, &str)], value: &str) {
        self.out.push_str(name);
        for (i, (label, v)) in labels.iter().enumerate() {
            let open = if i == 0 { '{' } else { ',' };
            let _ = write!(self.out, "{open}{label}=\"{}\"", escaped(v));
        }
        if !labels.is_empty() {
            self.out.push('}');
        }
        let _ = writeln!(self.out, " {value}");
    }

    fn histogram(&mut self, name: &str, labels: &[(&str, &str)], bounds: &[u64], b: &Buckets) {
        let bucket = format!("{name}_bucket");
        let mut below = 0;
        let edges = bounds.iter().map(|us| seconds(*us));
        for (edge, n) in edges.chain(["+Inf".to_string()]).zip(&b.counts) {
            below += n;
            let labels = [labels, &[("le", &edge)]].concat();
            self.sample(&bucket, &labels, &below.to_string());
        }
        let sum = number(b.sum_ns as f64 / 1e9);
        self.sample(&format!("{name}_sum"), labels, &sum);
        self.sample(&format!("{name}_count"), labels, &below.to_string());
    }
}

/// A label's value as it stands between quotes.
fn escaped(value: &str) -> String {
    value
        .replace('\\', "\\\\")
        .replace('"', "\\\"")
        .replace('\n', "\\n")
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
        let mut m = Metrics::new("a", &endpoints, Duration::from_secs(2), "1.2.3");
        let ok = || Outcome::Ok { value: None };
        m.operation(&op_of("a", true, 1, ok()));
        m.operation(&op_of("a", true, 3, ok()));
        m.operation(&op_of("a", true, 3, failed(ErrorClass::Condition, "")));
        m.operation(&op_of("a", false, 2001, failed(ErrorClass::Timeout, "")));
        m.operation(&op_of("a", false, 0, failed(ErrorClass::Unsent, "")));
        m.operation(&op_of("elsewhere", true, 1, ok()));
        m.health(&Health {
            in_flight: 7,
            counts: Counts {
                unrecorded: 2,
                ..Counts::default()
            },
            ..Health::default()
        });
        m.standing(
            vec![Budget {
                objective: "read_availability".into(),
                ratio: 0.999,
                remaining: -0.5,
                burn: vec![("1h".into(), 14.4), ("5m".into(), f64::INFINITY)],
            }],
            vec![AlarmState {
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
                "+Inf" => f64::INFINITY,
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
        let text = metrics().render();
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
        let s = parse(&metrics().render());
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
            [500, 1000, 2000, 3000],
            "µs"
        );
        assert_eq!(bounds(Duration::from_millis(2)), [500, 1000, 2000]);
        assert_eq!(bounds(Duration::from_secs(60)).last(), Some(&60_000_000));
    }

    #[test]
    fn a_scrape_does_not_grow() {
        let mut m = metrics();
        let lines = |m: &Metrics| m.render().lines().count();
        let before = lines(&m);
        for i in 0..10_000 {
            let endpoint = format!("x{i}");
            m.operation(&op_of(&endpoint, true, i, Outcome::Ok { value: None }));
            m.operation(&op_of("a", true, i, Outcome::Ok { value: None }));
        }
        assert_eq!(lines(&m), before);
    }
}
