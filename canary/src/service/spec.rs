//! Which service a canary calls, as its configuration says.

use super::dynamodb::DynamoDb;
use super::etcd::{self, Etcd};
use super::http::{Http, HttpSpec};
use super::postgres::{Postgres, PostgresSpec};
use super::redis::{Redis, RedisSpec};
use super::{CallKind, Secret, Service};
use crate::config::CanaryConfig;
use crate::{CanaryError, Wire};
use gameday_record::{Unpromised, WorkloadSpec};
use serde::{Deserialize, Serialize};
use std::sync::Arc;

/// Which service is called.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "protocol", rename_all = "kebab-case", deny_unknown_fields)]
pub enum ServiceSpec {
    /// A store that speaks the DynamoDB JSON protocol.
    #[default]
    DynamoDb,
    /// etcd.
    Etcd,
    /// Any service over HTTP.
    Http(HttpSpec),
    /// PostgreSQL.
    Postgres(PostgresSpec),
    /// Redis.
    Redis(RedisSpec),
}

impl ServiceSpec {
    /// True if it is the default.
    pub fn is_default(&self) -> bool {
        *self == ServiceSpec::default()
    }

    /// What people call it.
    pub fn name(&self) -> &'static str {
        match self {
            ServiceSpec::DynamoDb => "DynamoDB",
            ServiceSpec::Etcd => "etcd",
            ServiceSpec::Http(_) => "HTTP",
            ServiceSpec::Postgres(_) => "PostgreSQL",
            ServiceSpec::Redis(_) => "Redis",
        }
    }

    /// Takes a password from where the service's own tools look for it, if the URL had none.
    pub fn password_of_environment(&mut self, variable: impl Fn(&str) -> Option<String>) {
        let (password, name) = match self {
            ServiceSpec::DynamoDb | ServiceSpec::Etcd | ServiceSpec::Http(_) => return,
            ServiceSpec::Postgres(spec) => (&mut spec.password, "PGPASSWORD"),
            ServiceSpec::Redis(spec) => (&mut spec.password, "REDISCLI_AUTH"),
        };
        let there = || variable(name).filter(|p| !p.is_empty()).map(Secret::new);
        *password = password.take().or_else(there);
    }

    /// What stands for a table there.
    pub fn place(&self) -> &'static str {
        match self {
            ServiceSpec::DynamoDb | ServiceSpec::Postgres(_) => "table",
            ServiceSpec::Etcd | ServiceSpec::Http(_) | ServiceSpec::Redis(_) => "keys of",
        }
    }

    /// Whether there are tables that can be made.
    pub fn has_tables(&self) -> bool {
        match self {
            ServiceSpec::DynamoDb | ServiceSpec::Postgres(_) => true,
            ServiceSpec::Etcd | ServiceSpec::Http(_) | ServiceSpec::Redis(_) => false,
        }
    }

    /// Whether it has this kind of call.
    ///
    /// # Errors
    /// Why not, and what to do instead.
    pub fn can(&self, kind: CallKind) -> Result<(), String> {
        match self {
            ServiceSpec::Etcd => etcd::can(kind),
            ServiceSpec::Http(spec) => spec.can(kind),
            ServiceSpec::DynamoDb | ServiceSpec::Postgres(_) | ServiceSpec::Redis(_) => Ok(()),
        }
    }

    /// Whether it has all kinds of calls of a workload.
    ///
    /// # Errors
    /// Those that it has not: all at once, each with what to do instead.
    pub fn can_all(&self, workload: &WorkloadSpec) -> Result<(), String> {
        let refused: Vec<String> = CallKind::ALL
            .into_iter()
            .filter(|kind| *share(&mut workload.clone(), *kind) > 0.0)
            .filter_map(|kind| {
                let why = self.can(kind).err()?;
                Some(format!("{}: {why}", kind.share_name()))
            })
            .collect();
        match refused.is_empty() {
            true => Ok(()),
            false => Err(refused.join("; ")),
        }
    }

    /// Takes kinds of calls out of a workload that it has not; the others share what they
    /// had. Returns the names of the shares that were taken.
    pub fn fit(&self, workload: &mut WorkloadSpec) -> Vec<&'static str> {
        let mut taken = Vec::new();
        for kind in CallKind::ALL {
            let share = share(workload, kind);
            if *share > 0.0 && self.can(kind).is_err() {
                *share = 0.0;
                taken.push(kind.share_name());
            }
        }
        let left: f64 = CallKind::ALL
            .map(|kind| *share(workload, kind))
            .iter()
            .sum();
        if left > 0.0 && !taken.is_empty() {
            for kind in CallKind::ALL {
                *share(workload, kind) /= left;
            }
        }
        taken
    }

    /// Checks that ask for what it does not promise.
    pub fn unpromised(&self) -> Vec<Unpromised> {
        let (checks, why): (&[&str], &str) = match self {
            ServiceSpec::DynamoDb | ServiceSpec::Etcd | ServiceSpec::Postgres(_) => (&[], ""),
            ServiceSpec::Http(spec) if spec.write.is_none() => (
                &[
                    "lost-writes",
                    "linearizability",
                    "session-guarantees",
                    "eventual-reads",
                ],
                "The service is only read, and what it says is not looked at.",
            ),
            ServiceSpec::Http(_) => (
                &["linearizability"],
                "HTTP promises no consistency by itself.",
            ),
            ServiceSpec::Redis(_) => (
                &["linearizability"],
                "Redis acknowledges a write before its replicas have it, and does not promise \
                 linearizability across a failover.",
            ),
        };
        let of = |check: &&str| Unpromised {
            check: (*check).into(),
            why: why.into(),
        };
        checks.iter().map(of).collect()
    }

    /// What speaks to the service of `config`.
    ///
    /// # Errors
    /// The workload has calls that the service has not.
    pub fn service(config: &CanaryConfig, wire: &Wire) -> Result<Arc<dyn Service>, CanaryError> {
        let spec = &config.service;
        spec.can_all(&config.workload)
            .map_err(CanaryError::Config)?;
        Ok(match spec {
            ServiceSpec::DynamoDb => Arc::new(DynamoDb::new(config, wire.signer.clone())),
            ServiceSpec::Etcd => Arc::new(Etcd::new(config)),
            ServiceSpec::Http(spec) => {
                Arc::new(Http::new(spec, config).map_err(CanaryError::Config)?)
            }
            ServiceSpec::Postgres(spec) => {
                Arc::new(Postgres::new(spec, config).map_err(CanaryError::Config)?)
            }
            ServiceSpec::Redis(spec) => Arc::new(Redis::new(spec, config)),
        })
    }
}

/// The share of one kind of calls.
fn share(workload: &mut WorkloadSpec, kind: CallKind) -> &mut f64 {
    match kind {
        CallKind::Write => &mut workload.writes,
        CallKind::Insert => &mut workload.inserts,
        CallKind::Cas => &mut workload.cas,
        CallKind::Add => &mut workload.adds,
        CallKind::StrongRead => &mut workload.strong_reads,
        CallKind::EventualRead => &mut workload.eventual_reads,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::tests::config;

    #[test]
    fn a_configuration_says_what_is_called_and_old_ones_mean_dynamodb() {
        let mut c = config();
        assert!(!serde_json::to_string(&c).unwrap().contains("service"));
        let url = "redis+sentinel://u:p@h/main/2";
        c.service = RedisSpec::parse(url).unwrap().service;
        let json = serde_json::to_string(&c).unwrap();
        let said = r#""service":{"protocol":"redis","user":"u","password":"p","database":2,"primary":"main"}"#;
        assert!(json.contains(said), "{json}");
        assert_eq!(CanaryConfig::parse(&json).unwrap(), c);
        let json = json.replace("\"user\"", "\"usr\"");
        assert!(CanaryConfig::parse(&json).is_err());
    }

    #[test]
    fn what_a_service_has_not_is_refused_or_left_out() {
        let mut c = config();
        c.service = ServiceSpec::Etcd;
        c.workload.adds = 0.2;
        c.workload.writes -= 0.2 - 0.1;
        c.workload.inserts -= 0.1;
        let e = ServiceSpec::service(&c, &Wire::default()).unwrap_err();
        assert!(e.to_string().contains("adds: etcd has no addition"), "{e}");
        assert_eq!(c.service.fit(&mut c.workload), ["adds"]);
        assert_eq!(c.workload.adds, 0.0);
        assert!(c.validate().is_ok(), "the shares are together 1 again");
        assert!(ServiceSpec::service(&c, &Wire::default()).is_ok());
        let before = c.workload.clone();
        assert!(c.service.fit(&mut c.workload).is_empty());
        assert_eq!(c.workload, before);
    }

    #[test]
    fn a_password_is_taken_from_where_the_tools_look_unless_it_is_in_the_url() {
        let env = |name: &str| (name == "REDISCLI_AUTH").then(|| "env".to_string());
        for (url, expected) in [("redis://h", Some("env")), ("redis://:url@h", Some("url"))] {
            let mut spec = RedisSpec::parse(url).unwrap().service;
            spec.password_of_environment(env);
            let ServiceSpec::Redis(spec) = spec else {
                panic!("{spec:?}");
            };
            assert_eq!(spec.password.as_ref().map(Secret::reveal), expected);
        }
    }
}
