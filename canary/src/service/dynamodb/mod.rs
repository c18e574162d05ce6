//! The DynamoDB JSON protocol over HTTP/1.1.

mod answer;
mod control;
mod request;

pub use answer::Tables;

use super::{Answer, Fut, Place, Service};
use crate::config::{Attributes, CanaryConfig};
use crate::exchange;
use crate::sign::{Sign, Unsigned};
use crate::workload::Drawn;
use control::Control;
use gameday_record::{Call, Outcome};
use request::Requests;
use std::sync::Arc;

const CONTENT: &str = "application/x-amz-json-1.0";

/// A store that speaks it.
#[derive(Clone, Debug)]
pub struct DynamoDb {
    requests: Requests,
    attributes: Attributes,
    tables: Tables,
    signer: Arc<dyn Sign>,
}

impl DynamoDb {
    /// The one that `config` names, called with requests that `signer` signs.
    pub fn new(config: &CanaryConfig, signer: Arc<dyn Sign>) -> Self {
        DynamoDb {
            requests: Requests::new(config, signer.clone()),
            attributes: config.attributes.clone(),
            tables: config.owner(),
            signer,
        }
    }

    fn control(&self, at: Place<'_>) -> Control {
        let (connector, endpoint) = (at.connector.clone(), at.endpoint.clone());
        Control::new(connector, self.signer.clone(), endpoint)
    }
}

impl Service for DynamoDb {
    fn request(&self, drawn: &Drawn, endpoint: usize) -> Vec<u8> {
        self.requests.request(drawn, endpoint)
    }

    fn answer(&self, call: &Call, bytes: &[u8], closed: bool) -> Answer<Outcome> {
        exchange::answer(bytes, closed)
            .map(|r| answer::outcome(call, &self.attributes, self.tables, r.status, &r.body))
    }

    fn prepare<'a>(&'a self, at: Place<'a>, create: bool) -> Fut<'a, Result<bool, String>> {
        let control = self.control(at);
        Box::pin(async move {
            control
                .ensure_table(at.table, &self.attributes, create)
                .await
        })
    }

    fn clear<'a>(&'a self, at: Place<'a>, keys: Vec<String>) -> Fut<'a, Result<(), String>> {
        let control = self.control(at);
        Box::pin(async move {
            let keys = keys.into_iter();
            control.clear(at.table, &self.attributes, keys).await
        })
    }
}

/// A signed request. `host` and `target` are visible ASCII: nothing in them can end a
/// header.
fn post(signer: &dyn Sign, host: &str, target: &str, body: &[u8]) -> Vec<u8> {
    let signature = signer.sign(&Unsigned {
        host,
        content_type: CONTENT,
        target,
        body,
    });
    let fixed = [
        ("host", host),
        ("content-type", CONTENT),
        ("x-amz-target", target),
    ];
    let signature = signature.iter().map(|(name, value)| (*name, &**value));
    exchange::request("POST /", fixed.into_iter().chain(signature), body)
}
