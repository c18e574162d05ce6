//! Which service a canary calls, as its configuration says.

use super::dynamodb::DynamoDb;
use super::{CallKind, Service};
use crate::config::CanaryConfig;
use crate::{CanaryError, Wire};
use gameday_record::WorkloadSpec;
use serde::{Deserialize, Serialize};
use std::sync::Arc;

/// Which service is called.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "protocol", rename_all = "kebab-case", deny_unknown_fields)]
pub enum ServiceSpec {
    /// A store that speaks the DynamoDB JSON protocol.
    #[default]
    DynamoDb,
}

impl ServiceSpec {
    /// True if it is the default.
    pub fn is_default(&self) -> bool {
        *self == ServiceSpec::default()
    }

    /// What speaks to the service of `config`.
    ///
    /// # Errors
    /// The workload has calls that the service has not.
    pub fn service(config: &CanaryConfig, wire: &Wire) -> Result<Arc<dyn Service>, CanaryError> {
        let service: Arc<dyn Service> = match &config.service {
            ServiceSpec::DynamoDb => Arc::new(DynamoDb::new(config, wire.signer.clone())),
        };
        refusals(&*service, &config.workload).map_err(CanaryError::Config)?;
        Ok(service)
    }
}

/// Why a service cannot be called with this workload: all reasons at once.
fn refusals(service: &dyn Service, workload: &WorkloadSpec) -> Result<(), String> {
    let refused: Vec<String> = CallKind::ALL
        .into_iter()
        .filter(|kind| share(workload, *kind) > 0.0)
        .filter_map(|kind| {
            let why = service.can(kind).err()?;
            Some(format!("workload.{}: {why}", kind.share_name()))
        })
        .collect();
    match refused.is_empty() {
        true => Ok(()),
        false => Err(refused.join("; ")),
    }
}

/// The share of one kind of calls.
fn share(workload: &WorkloadSpec, kind: CallKind) -> f64 {
    match kind {
        CallKind::Write => workload.writes,
        CallKind::Insert => workload.inserts,
        CallKind::Cas => workload.cas,
        CallKind::Add => workload.adds,
        CallKind::StrongRead => workload.strong_reads,
        CallKind::EventualRead => workload.eventual_reads,
    }
}
