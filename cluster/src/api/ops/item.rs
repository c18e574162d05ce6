//! PutItem, GetItem, DeleteItem, UpdateItem.

use super::{check_nesting, check_work, parse, reply, serving, values};
use crate::api::capacity::{Consumed, Detail, read_units, write_units};
use crate::api::error::{ApiError, ErrorKind};
use crate::api::expr::update::TOO_LARGE;
use crate::api::expr::{Condition, Projection, Update};
use crate::api::json::Json;
use crate::api::key;
use crate::api::params::{Params, one_of, required, together};
use crate::api::value::{AttributeValue, Item, MAX_ITEM_SIZE};
use crate::api::write::{Action, Wants, WriteOp, WriteReply};
use crate::backend::{Backend, StoreKey, TableInfo, TableSpec};
use serde::Serialize;

/// What a reply of a write shows of the item.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Returning {
    None,
    AllOld,
    AllNew,
    UpdatedOld,
    UpdatedNew,
}

impl Returning {
    fn of(params: &Params) -> Result<Self, ApiError> {
        let known = ["ALL_NEW", "UPDATED_OLD", "ALL_OLD", "NONE", "UPDATED_NEW"];
        Ok(
            match one_of(
                params.return_values.as_deref(),
                "returnValues",
                &known,
                "NONE",
            )? {
                "ALL_OLD" => Self::AllOld,
                "ALL_NEW" => Self::AllNew,
                "UPDATED_OLD" => Self::UpdatedOld,
                "UPDATED_NEW" => Self::UpdatedNew,
                _ => Self::None,
            },
        )
    }

    /// For operations that have nothing new to show.
    fn old_only(self) -> Result<Self, ApiError> {
        match self {
            Self::None | Self::AllOld => Ok(self),
            _ => Err(ApiError::validation("Return values set to invalid value")),
        }
    }
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct WriteAnswer<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    attributes: Option<Json<'a, Item>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    consumed_capacity: Option<Consumed>,
}

/// Everything a write needs besides its action.
struct Plan {
    condition: Option<Condition>,
    values: Vec<AttributeValue>,
    returning: Returning,
    on_failure: bool,
    detail: Detail,
    /// Paths of the update, for UPDATED_OLD and UPDATED_NEW.
    updated: Option<Projection>,
}

impl Plan {
    fn of(params: &Params) -> Result<Self, ApiError> {
        let metrics = one_of(
            params.return_metrics.as_deref(),
            "returnItemCollectionMetrics",
            // There are metrics only of tables with local indexes, and there are none.
            &["SIZE", "NONE"],
            "NONE",
        );
        let on_failure = one_of(
            params.on_failure.as_deref(),
            "returnValuesOnConditionCheckFailure",
            &["ALL_OLD", "NONE"],
            "NONE",
        );
        let (returning, detail) = (Returning::of(params), Detail::of(params));
        together(&[
            detail.as_ref().err(),
            metrics.as_ref().err(),
            returning.as_ref().err(),
            on_failure.as_ref().err(),
        ])?;
        Ok(Self {
            condition: None,
            values: Vec::new(),
            returning: returning?,
            on_failure: on_failure? == "ALL_OLD",
            detail: detail?,
            updated: None,
        })
    }

    async fn run(
        self,
        backend: &dyn Backend,
        (given, table): (&str, &TableInfo),
        key: StoreKey,
        action: Action,
    ) -> Result<Vec<u8>, ApiError> {
        use Returning as R;
        check_work(self.condition.as_ref(), &self.values)?;
        let sizes = self.detail.wanted();
        let wants = Wants {
            old: sizes || matches!(self.returning, R::AllOld | R::UpdatedOld),
            new: sizes || matches!(self.returning, R::AllNew | R::UpdatedNew),
            on_failure: self.on_failure,
        };
        let op = WriteOp {
            action,
            condition: self.condition,
            values: self.values,
            wants,
        };
        match backend.write(table, key, op).await? {
            WriteReply::Done { old, new } => {
                let size = |item: &Option<Item>| item.as_ref().map_or(0, Item::size);
                let units = write_units(size(&old), size(&new));
                let shown = match self.returning {
                    R::None => None,
                    R::AllOld | R::UpdatedOld => old,
                    R::AllNew | R::UpdatedNew => new,
                };
                let shown = match (self.returning, self.updated) {
                    (R::UpdatedOld | R::UpdatedNew, Some(paths)) => shown
                        .map(|item| paths.apply(&item))
                        .filter(|item| !item.0.is_empty()),
                    _ => shown,
                };
                reply(&WriteAnswer {
                    attributes: shown.as_ref().map(Json),
                    consumed_capacity: self.detail.report(given, units),
                })
            }
            WriteReply::ConditionFailed { old } => {
                let mut error = ApiError::new(
                    ErrorKind::ConditionalCheckFailed,
                    "The conditional request failed",
                );
                error.item = old.filter(|_| self.on_failure);
                Err(error)
            }
            WriteReply::Invalid { message } => Err(ApiError::validation(message)),
        }
    }
}

/// The operations that write, and what they have in common.
const WRITE: [&str; 8] = [
    "TableName",
    "ConditionExpression",
    "ExpressionAttributeNames",
    "ExpressionAttributeValues",
    "ReturnValues",
    "ReturnValuesOnConditionCheckFailure",
    "ReturnConsumedCapacity",
    "ReturnItemCollectionMetrics",
];

fn check_write(params: &Params, operation: &str, more: &[&str]) -> Result<(), ApiError> {
    let known: Vec<&str> = WRITE.iter().chain(more).copied().collect();
    params.only(operation, &known)
}

/// Refuses an item that is too large or too deep.
pub(super) fn check_item(item: &Item) -> Result<(), ApiError> {
    if item.size() > MAX_ITEM_SIZE {
        return Err(ApiError::validation(
            "Item size has exceeded the maximum allowed size",
        ));
    }
    item.0.values().try_for_each(check_nesting)
}

/// Parses a condition that stands alone.
fn condition(params: &mut Params, plan: &mut Plan) -> Result<(), ApiError> {
    let values = values(params.values.take())?;
    let text = params.condition_expression.as_deref();
    (plan.condition, plan.values) = parse(params.names.as_ref(), values, |scope| {
        text.map(|text| scope.condition("ConditionExpression", text))
            .transpose()
    })?;
    Ok(())
}

pub(super) async fn put(backend: &dyn Backend, mut params: Params) -> Result<Vec<u8>, ApiError> {
    check_write(&params, "PutItem", &["Item"])?;
    let mut plan = Plan::of(&params)?;
    plan.returning = plan.returning.old_only()?;
    let item = required(params.item.take(), "item")?.0;
    check_item(&item)?;
    condition(&mut params, &mut plan)?;
    let table = serving(backend, params.table()?).await?;
    let key = key::of_item(&table.spec, &item)?;
    let given = params.given_table()?;
    plan.run(backend, (given, &table), key, Action::Put(item))
        .await
}

pub(super) async fn delete(backend: &dyn Backend, mut params: Params) -> Result<Vec<u8>, ApiError> {
    check_write(&params, "DeleteItem", &["Key"])?;
    let mut plan = Plan::of(&params)?;
    plan.returning = plan.returning.old_only()?;
    let item = required(params.key.take(), "key")?.0;
    condition(&mut params, &mut plan)?;
    let table = serving(backend, params.table()?).await?;
    let key = key::of_key(&table.spec, &item)?;
    let given = params.given_table()?;
    plan.run(backend, (given, &table), key, Action::Delete)
        .await
}

pub(super) async fn update(backend: &dyn Backend, mut params: Params) -> Result<Vec<u8>, ApiError> {
    check_write(&params, "UpdateItem", &["Key", "UpdateExpression"])?;
    let mut plan = Plan::of(&params)?;
    let item = required(params.key.take(), "key")?.0;
    let values = values(params.values.take())?;
    let texts = (
        params.update_expression.as_deref(),
        params.condition_expression.as_deref(),
    );
    let ((update, condition), values) = parse(params.names.as_ref(), values, |scope| {
        let update = match texts.0 {
            Some(text) => scope.update(text)?,
            // Without an update, the item is made if it is not there.
            None => Update::default(),
        };
        let condition = texts
            .1
            .map(|text| scope.condition("ConditionExpression", text));
        Ok((update, condition.transpose()?))
    })?;
    if update.least_size(&values) > MAX_ITEM_SIZE {
        return Err(ApiError::validation(TOO_LARGE));
    }
    (plan.condition, plan.values) = (condition, values);
    let table = serving(backend, params.table()?).await?;
    check_keys_kept(&table.spec, &update)?;
    let key = key::of_key(&table.spec, &item)?;
    plan.updated = Some(Projection::new(update.paths()));
    let action = Action::Update { key: item, update };
    let given = params.given_table()?;
    plan.run(backend, (given, &table), key, action).await
}

fn check_keys_kept(spec: &TableSpec, update: &Update) -> Result<(), ApiError> {
    let keys = [Some(&spec.hash), spec.range.as_ref()];
    for key in keys.into_iter().flatten() {
        if update.paths().any(|path| path.root == key.name) {
            return Err(ApiError::validation(format!(
                "One or more parameter values were invalid: Cannot update attribute {}. This attribute is part of the key",
                key.name
            )));
        }
    }
    Ok(())
}

pub(super) async fn get(backend: &dyn Backend, mut params: Params) -> Result<Vec<u8>, ApiError> {
    #[derive(Serialize)]
    #[serde(rename_all = "PascalCase")]
    struct Answer<'a> {
        #[serde(skip_serializing_if = "Option::is_none")]
        item: Option<Json<'a, Item>>,
        #[serde(skip_serializing_if = "Option::is_none")]
        consumed_capacity: Option<Consumed>,
    }
    params.only(
        "GetItem",
        &[
            "TableName",
            "Key",
            "ConsistentRead",
            "ProjectionExpression",
            "ExpressionAttributeNames",
            "ReturnConsumedCapacity",
        ],
    )?;
    let detail = Detail::of(&params)?;
    let key = required(params.key.take(), "key")?.0;
    let projection = projection(&params)?;
    let consistent = params.consistent_read.unwrap_or(false);
    let table = serving(backend, params.table()?).await?;
    let key = key::of_key(&table.spec, &key)?;
    let found = backend.read(&table, key, consistent).await?;
    let size = found.as_ref().map_or(0, Item::size);
    let shown = match projection {
        Some(projection) => found.map(|item| projection.apply(&item)),
        None => found,
    };
    reply(&Answer {
        item: shown.as_ref().map(Json),
        consumed_capacity: detail.report(params.given_table()?, read_units(size, consistent)),
    })
}

/// Parses a projection that stands alone.
pub(super) fn projection(params: &Params) -> Result<Option<Projection>, ApiError> {
    let (projection, _) = parse(params.names.as_ref(), None, |scope| {
        let text = params.projection_expression.as_deref();
        text.map(|text| scope.projection(text)).transpose()
    })?;
    Ok(projection)
}
