//! Operations: from a body to a body.

mod batch;
mod item;
mod scan;
mod table;

use crate::api::error::{ApiError, ErrorKind};
use crate::api::expr::{Condition, Scope, Values, Work};
use crate::api::json::{JsonValue, decode};
use crate::api::params::Params;
use crate::api::value::{AttributeValue, Item, MAX_NESTING};
use crate::backend::{Backend, TableInfo, TableStatus};
use serde::Serialize;
use std::collections::BTreeMap;

/// What an operation can know of its request besides the body.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Context<'a> {
    /// Region that the client signed for; part of table names (ARN).
    pub region: &'a str,
    /// Host that the client called.
    pub host: &'a str,
}

/// An operation of the API.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Operation {
    PutItem,
    GetItem,
    DeleteItem,
    UpdateItem,
    Scan,
    BatchGetItem,
    BatchWriteItem,
    CreateTable,
    DescribeTable,
    ListTables,
    DeleteTable,
    DescribeEndpoints,
}

impl Operation {
    /// By the name in `X-Amz-Target`, `DynamoDB_20120810.` included.
    pub(crate) fn from_target(target: &str) -> Option<Self> {
        Some(match target.strip_prefix("DynamoDB_20120810.")? {
            "PutItem" => Self::PutItem,
            "GetItem" => Self::GetItem,
            "DeleteItem" => Self::DeleteItem,
            "UpdateItem" => Self::UpdateItem,
            "Scan" => Self::Scan,
            "BatchGetItem" => Self::BatchGetItem,
            "BatchWriteItem" => Self::BatchWriteItem,
            "CreateTable" => Self::CreateTable,
            "DescribeTable" => Self::DescribeTable,
            "ListTables" => Self::ListTables,
            "DeleteTable" => Self::DeleteTable,
            "DescribeEndpoints" => Self::DescribeEndpoints,
            _ => return None,
        })
    }

    /// Decodes the body. Kept apart from [`Operation::run`], since a body
    /// that is not JSON is refused before the caller's identity is looked at.
    pub(crate) fn decode(body: &[u8]) -> Result<Params, ApiError> {
        decode(body)
    }

    /// Does it.
    pub(crate) async fn run(
        self,
        backend: &dyn Backend,
        params: Params,
        context: Context<'_>,
    ) -> Result<Vec<u8>, ApiError> {
        match self {
            Self::PutItem => item::put(backend, params).await,
            Self::GetItem => item::get(backend, params).await,
            Self::DeleteItem => item::delete(backend, params).await,
            Self::UpdateItem => item::update(backend, params).await,
            Self::Scan => scan::scan(backend, params).await,
            Self::BatchGetItem => batch::get(backend, params).await,
            Self::BatchWriteItem => batch::write(backend, params).await,
            Self::CreateTable => table::create(backend, params, context).await,
            Self::DescribeTable => table::describe(backend, params, context).await,
            Self::ListTables => table::list(backend, params).await,
            Self::DeleteTable => table::delete(backend, params, context).await,
            Self::DescribeEndpoints => table::endpoints(params, context),
        }
    }
}

/// A reply's body.
fn reply<T: Serialize>(value: &T) -> Result<Vec<u8>, ApiError> {
    let mut out = Vec::with_capacity(256);
    match serde_json::to_writer(&mut out, value) {
        Ok(()) => Ok(out),
        Err(error) => Err(ApiError::new(
            ErrorKind::InternalServerError,
            format!("the reply could not be written: {error}"),
        )),
    }
}

/// The table, if it serves.
async fn serving(backend: &dyn Backend, name: &str) -> Result<TableInfo, ApiError> {
    let table = backend.table(name).await?;
    if table.status != TableStatus::Active {
        return Err(ApiError::new(
            ErrorKind::ResourceNotFound,
            "Requested resource not found",
        ));
    }
    Ok(table)
}

/// The request's expression values, unwrapped and checked.
fn values(given: Option<BTreeMap<String, JsonValue>>) -> Result<Option<Values>, ApiError> {
    let Some(given) = given else { return Ok(None) };
    let values: Values = given.into_iter().map(|(k, v)| (k, v.0)).collect();
    values.values().try_for_each(check_nesting)?;
    Ok(Some(values))
}

fn check_nesting(value: &AttributeValue) -> Result<(), ApiError> {
    if value.nesting() > MAX_NESTING {
        return Err(ApiError::validation(
            "Nesting Levels have exceeded supported limits",
        ));
    }
    Ok(())
}

/// Runs the parsing of all of a request's expressions in their common scope. Returns the values
/// too, by their numbers.
fn parse<T>(
    names: Option<&BTreeMap<String, String>>,
    values: Option<Values>,
    rule: impl FnOnce(&mut Scope<'_>) -> Result<T, String>,
) -> Result<(T, Vec<AttributeValue>), ApiError> {
    let mut scope = Scope::new(names, values);
    let parsed = rule(&mut scope).map_err(ApiError::validation)?;
    let values = scope.finish().map_err(ApiError::validation)?;
    Ok((parsed, values))
}

/// Refuses what takes too much work whatever the item is, before it is asked of the store.
fn check_work(condition: Option<&Condition>, values: &[AttributeValue]) -> Result<(), ApiError> {
    let Some(condition) = condition else {
        return Ok(());
    };
    let tried = condition.holds(&Item::default(), values, &mut Work::default());
    tried.map_err(|error| ApiError::validation(error.to_string()))?;
    Ok(())
}
