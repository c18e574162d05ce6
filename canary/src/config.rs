//! What one canary is told before it begins.

use crate::CanaryError;
use crate::service::ServiceSpec;
use crate::service::dynamodb::Tables;
use crate::workload::Workload;
use gameday_record::spec::KeyChoice;
use gameday_record::{RunClock, WorkloadSpec};
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::time::Duration;

/// Most endpoints of one canary.
const MAX_ENDPOINTS: usize = 64;

/// Most hosts of one endpoint.
const MAX_HOSTS: usize = 16;

/// Greatest canary index: keeps values and process ids of all canaries apart.
const MAX_INDEX: u32 = 999;

/// Most filler of an item, in bytes.
const MAX_ITEM_BYTES: u32 = 100_000;

/// Configuration of one canary, as JSON in `GAMEDAY_CANARY`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CanaryConfig {
    /// Its AZ.
    pub az: String,
    /// Its number among the canaries of the run, 0 to 999, different for each.
    pub index: u32,
    /// The run's clock.
    pub clock: RunClock,
    /// Seed of the run.
    pub seed: u64,
    /// What it calls, its own AZ's endpoint among them; 1 to 64.
    pub endpoints: Vec<Endpoint>,
    /// What the endpoints speak; DynamoDB's protocol if it is not said.
    #[serde(default, skip_serializing_if = "ServiceSpec::is_default")]
    pub service: ServiceSpec,
    /// Table that it uses; the others of `workload.tables` have its name with
    /// `-2`, `-3` … behind.
    pub table: String,
    /// Names of the item's attributes.
    #[serde(default)]
    pub attributes: Attributes,
    /// What it does.
    pub workload: WorkloadSpec,
    /// True if it measures alone, on a table that another such canary may have used before.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub alone: bool,
}

/// One endpoint of the service.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Endpoint {
    /// AZ that it belongs to.
    pub az: String,
    /// Where to connect, `ip:port`: no names, whose resolution would be measured too.
    pub addr: SocketAddr,
    /// Name for the `Host` header and for TLS, 1 to 255 visible ASCII
    /// characters, with the port if it is not the scheme's; else `addr` stands in.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub host: Option<String>,
    /// True if it is spoken to over TLS.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub tls: bool,
    /// Further hosts of the same endpoint, 0 to 15: those of a URL with several.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub more: Vec<Host>,
}

/// Another host of an endpoint.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Host {
    /// As [`Endpoint::addr`].
    pub addr: SocketAddr,
    /// As [`Endpoint::host`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub host: Option<String>,
}

impl Endpoint {
    /// One without a name and without TLS.
    pub fn plain(az: impl Into<String>, addr: SocketAddr) -> Self {
        Endpoint {
            az: az.into(),
            addr,
            host: None,
            tls: false,
            more: Vec::new(),
        }
    }

    /// Its hosts in order, each as an endpoint of its own.
    pub fn hosts(&self) -> impl Iterator<Item = Endpoint> + '_ {
        let of = |addr: SocketAddr, host: &Option<String>| Endpoint {
            az: self.az.clone(),
            addr,
            host: host.clone(),
            tls: self.tls,
            more: Vec::new(),
        };
        let more = self.more.iter().map(move |h| of(h.addr, &h.host));
        std::iter::once(of(self.addr, &self.host)).chain(more)
    }

    /// What the `Host` header says.
    pub fn host(&self) -> String {
        self.host.clone().unwrap_or_else(|| self.addr.to_string())
    }
}

/// Names of an item's attributes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Attributes {
    /// Partition key, a string.
    pub key: String,
    /// The register's value, a number.
    pub value: String,
    /// Filler, a string.
    pub filler: String,
}

impl Default for Attributes {
    fn default() -> Self {
        Attributes {
            key: "pk".into(),
            value: "v".into(),
            filler: "pad".into(),
        }
    }
}

impl CanaryConfig {
    /// What it will call.
    pub fn drawing(&self) -> Workload {
        let (spec, endpoints) = (&self.workload, self.endpoints.len());
        match self.alone {
            true => Workload::alone(spec, self.seed, self.index, endpoints),
            false => Workload::new(spec, self.seed, self.index, endpoints),
        }
    }

    /// Whose the tables are that it calls.
    pub fn owner(&self) -> Tables {
        match self.alone {
            true => Tables::Given,
            false => Tables::OfRun,
        }
    }

    /// Reads and checks a configuration.
    ///
    /// # Errors
    /// What is wrong with it; all that is out of range at once.
    pub fn parse(json: &str) -> Result<Self, CanaryError> {
        let config: CanaryConfig =
            serde_json::from_str(json).map_err(|e| CanaryError::Config(e.to_string()))?;
        config.validate()?;
        Ok(config)
    }

    /// Checks ranges.
    ///
    /// # Errors
    /// All that is out of range, in one message.
    pub fn validate(&self) -> Result<(), CanaryError> {
        let w = &self.workload;
        let mut wrong = Vec::new();
        let mut must = |holds: bool, what: &str| {
            if !holds {
                wrong.push(what.to_string());
            }
        };
        must(self.index <= MAX_INDEX, "index must be 0 to 999");
        must(
            (1..=MAX_ENDPOINTS).contains(&self.endpoints.len()),
            "endpoints must be 1 to 64",
        );
        let azs: BTreeSet<_> = self.endpoints.iter().map(|e| &e.az).collect();
        must(
            azs.len() == self.endpoints.len(),
            "endpoints must be of different AZs",
        );
        must(
            self.endpoints
                .iter()
                .flat_map(|e| e.more.iter().map(|h| &h.host).chain([&e.host]))
                .filter_map(|h| h.as_deref())
                .all(|h| (1..=255).contains(&h.len()) && h.bytes().all(|b| b.is_ascii_graphic())),
            "endpoint hosts must be 1 to 255 visible ASCII characters",
        );
        must(
            self.endpoints.iter().all(|e| e.more.len() < MAX_HOSTS),
            "endpoints must have 1 to 16 hosts",
        );
        must(
            azs.contains(&self.az),
            "endpoints must include the one of the canary's own az",
        );
        must(
            (1..=253).contains(&self.table.len()),
            "table must be 1 to 253 bytes",
        );
        let a = &self.attributes;
        let names = BTreeSet::from([&a.key, &a.value, &a.filler]);
        must(
            names.len() == 3 && names.iter().all(|n| (1..=255).contains(&n.len())),
            "attributes must be three different names of 1 to 255 bytes",
        );
        must(
            (1.0..=1000.0).contains(&w.rate),
            "workload.rate must be 1 to 1000",
        );
        must(
            (1..=100_000).contains(&w.keys),
            "workload.keys must be 1 to 100000",
        );
        must(
            (1..=8).contains(&w.tables),
            "workload.tables must be 1 to 8",
        );
        must(
            match w.choice {
                KeyChoice::Uniform => true,
                KeyChoice::Zipfian { theta } => theta > 0.0 && theta <= 2.0,
                KeyChoice::Hot { keys, share } => {
                    (1..=w.keys).contains(&keys) && (0.0..=1.0).contains(&share)
                }
            },
            "workload.choice must be uniform, zipfian with theta above 0 and at most 2, \
             or hot with 1 to workload.keys keys and a share of 0 to 1",
        );
        let shares = [
            w.writes,
            w.inserts,
            w.cas,
            w.adds,
            w.strong_reads,
            w.eventual_reads,
        ];
        must(
            shares.iter().all(|s| (0.0..=1.0).contains(s))
                && (shares.iter().sum::<f64>() - 1.0).abs() < 1e-6,
            "workload shares must be 0 to 1 each and 1 together",
        );
        must(
            (50..=60_000).contains(&w.timeout_ms),
            "workload.timeout_ms must be 50 to 60000",
        );
        must(
            w.slow_after_ms
                .is_none_or(|ms| (1..w.timeout_ms).contains(&ms)),
            "workload.slow_after_ms must be 1 to less than workload.timeout_ms",
        );
        must(
            w.item_bytes <= MAX_ITEM_BYTES,
            "workload.item_bytes must be 0 to 100000",
        );
        must(
            w.item_bytes_max
                .is_none_or(|most| (w.item_bytes..=MAX_ITEM_BYTES).contains(&most)),
            "workload.item_bytes_max must be item_bytes to 100000",
        );
        must(
            (0.0..=1.0).contains(&w.fresh_connections),
            "workload.fresh_connections must be 0 to 1",
        );
        must(
            (1..=10).contains(&w.attempts),
            "workload.attempts must be 1 to 10",
        );
        if wrong.is_empty() {
            Ok(())
        } else {
            Err(CanaryError::Config(wrong.join("; ")))
        }
    }

    /// Most filler of an item, in bytes.
    pub fn most_filler(&self) -> usize {
        let w = &self.workload;
        w.item_bytes_max.unwrap_or(w.item_bytes).max(w.item_bytes) as usize
    }

    /// The names of all tables, 1 to 8.
    pub fn tables(&self) -> Vec<String> {
        let more = (2..=self.workload.tables).map(|n| format!("{}-{n}", self.table));
        std::iter::once(self.table.clone()).chain(more).collect()
    }

    /// Time that a call has, from its due time.
    pub fn timeout(&self) -> Duration {
        Duration::from_millis(self.workload.timeout_ms)
    }

    /// Most calls in flight per endpoint: what an endpoint that never answers
    /// can hold until its calls time out, and a quarter and 16 more for the
    /// stretched moments of a busy machine.
    pub fn in_flight_cap(&self) -> usize {
        (self.workload.rate * self.timeout().as_secs_f64() * 1.25).ceil() as usize + 16
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    /// A configuration for unit tests.
    pub(crate) fn config() -> CanaryConfig {
        CanaryConfig {
            az: "a".into(),
            index: 2,
            clock: RunClock { epoch: 0 },
            seed: 7,
            endpoints: ["a", "b", "c"]
                .iter()
                .zip(1..)
                .map(|(az, n)| Endpoint::plain(*az, SocketAddr::from(([127, 0, 0, n], 8000))))
                .collect(),
            service: ServiceSpec::default(),
            table: "canary".into(),
            attributes: Attributes::default(),
            workload: WorkloadSpec::default(),
            alone: false,
        }
    }

    #[test]
    fn reads_back_what_the_runner_writes() {
        let c = config();
        let json = serde_json::to_string(&c).unwrap();
        assert!(json.contains(r#""addr":"127.0.0.1:8000""#), "{json}");
        assert_eq!(CanaryConfig::parse(&json).unwrap(), c);
    }

    #[test]
    fn unknown_fields_and_host_names_are_refused() {
        let json = serde_json::to_string(&config()).unwrap();
        let more = json.replacen('{', r#"{"extra":1,"#, 1);
        let e = CanaryConfig::parse(&more).unwrap_err().to_string();
        assert!(e.contains("extra"), "{e}");
        let named = json.replace("127.0.0.1:8000", "router-a:8000");
        assert!(CanaryConfig::parse(&named).is_err());
    }

    #[test]
    fn all_that_is_wrong_is_said_at_once() {
        let mut c = config();
        c.az = "z".into();
        c.index = 1000;
        c.endpoints[0].host = Some("two lines\r\n".into());
        let host = Host {
            addr: c.endpoints[1].addr,
            host: None,
        };
        c.endpoints[1].more = vec![host; 16];
        c.workload.rate = f64::NAN;
        c.workload.keys = 0;
        c.workload.cas = 0.5;
        c.workload.timeout_ms = 1;
        c.workload.slow_after_ms = Some(1);
        c.workload.tables = 9;
        c.workload.choice = KeyChoice::Hot {
            keys: 61,
            share: 0.5,
        };
        c.workload.item_bytes_max = Some(99);
        c.workload.fresh_connections = -0.1;
        c.workload.attempts = 0;
        let e = c.validate().unwrap_err().to_string();
        for part in [
            "own az",
            "index",
            "endpoint hosts",
            "1 to 16 hosts",
            "rate",
            "keys",
            "shares",
            "timeout_ms",
            "slow_after_ms",
            "tables",
            "choice",
            "item_bytes_max",
            "fresh_connections",
            "attempts",
        ] {
            assert!(e.contains(part), "{part}: {e}");
        }
        assert!(config().validate().is_ok());
    }

    #[test]
    fn tables_are_numbered_from_the_second_on() {
        let mut c = config();
        assert_eq!(c.tables(), ["canary"]);
        c.workload.tables = 3;
        assert_eq!(c.tables(), ["canary", "canary-2", "canary-3"]);
    }

    #[test]
    fn the_cap_holds_every_call_of_an_endpoint_that_never_answers() {
        let c = config();
        assert!(c.in_flight_cap() as f64 > c.workload.rate * 2.0);
    }
}
