//! BatchGetItem and BatchWriteItem.
//!
//! A batch does not fail because a part of it does: parts that were certainly
//! not done come back as unprocessed, for the client to send again. Only if
//! nothing at all could be done, the batch fails as its parts did. A write whose
//! outcome is unknown was perhaps done, and is no "unprocessed" one: the whole
//! batch is answered as unknown then, as a single write would be.

use super::item::{check_item, projection};
use super::{reply, serving};
use crate::api::capacity::{Consumed, Detail, read_units, write_units};
use crate::api::error::ApiError;
use crate::api::expr::Projection;
use crate::api::json::Json;
use crate::api::key;
use crate::api::params::{Params, TableRequest, one_of, required, table_name};
use crate::api::value::Item;
use crate::api::write::{Action, Wants, WriteOp, WriteReply};
use crate::backend::{Backend, BackendError, StoreKey, TableInfo};
use futures_util::StreamExt;
use futures_util::stream;
use serde::Serialize;
use serde_json::{Map, Value, json};
use std::collections::{BTreeMap, HashSet};

/// Most keys of a BatchGetItem.
const MAX_GETS: usize = 100;
/// Most writes of a BatchWriteItem.
const MAX_WRITES: usize = 25;
/// Parts in flight at a time.
const PARALLEL: usize = 16;
/// Items of a BatchGetItem's reply, in bytes; the rest comes back unprocessed.
const REPLY_BYTES: usize = 16 << 20;

const DUPLICATES: &str = "Provided list of item keys contains duplicates";

/// The tables that a batch names, at least one.
fn tables<T>(
    items: Option<BTreeMap<String, T>>,
    operation: &str,
) -> Result<BTreeMap<String, T>, ApiError> {
    let items = required(items, "requestItems")?;
    if items.is_empty() {
        return Err(ApiError::validation(format!(
            "The requestItems parameter is required for {operation}"
        )));
    }
    Ok(items)
}

/// The place of a table among those before it, or after them: it may be named by its name and
/// by its ARN.
fn place_of<'t>(
    mut before: impl Iterator<Item = &'t TableInfo>,
    table: &TableInfo,
    count: usize,
) -> usize {
    before.position(|t| t.id == table.id).unwrap_or(count)
}

fn count_error(member: &str, count: usize, limit: usize) -> ApiError {
    let bound = if count == 0 {
        "greater than or equal to 1".to_owned()
    } else {
        format!("less than or equal to {limit}")
    };
    ApiError::validation(format!(
        "1 validation error detected: Value at '{member}' failed to satisfy constraint: Member must have length {bound}"
    ))
}

/// What a BatchGetItem wants of one table.
struct Gets {
    /// Name or ARN.
    given: String,
    table: TableInfo,
    consistent: bool,
    projection: Option<Projection>,
    /// The request without its keys, to be sent back.
    echo: Map<String, Value>,
}

pub(super) async fn get(backend: &dyn Backend, mut params: Params) -> Result<Vec<u8>, ApiError> {
    #[derive(Serialize)]
    #[serde(rename_all = "PascalCase")]
    struct Answer<'a> {
        responses: BTreeMap<&'a str, Vec<Json<'a, Item>>>,
        unprocessed_keys: BTreeMap<&'a str, Map<String, Value>>,
        #[serde(skip_serializing_if = "Option::is_none")]
        consumed_capacity: Option<Vec<Consumed>>,
    }
    params.only("BatchGetItem", &["RequestItems", "ReturnConsumedCapacity"])?;
    let detail = Detail::of(&params)?;
    let requests = tables(params.request_items.take(), "BatchGetItem")?;

    // All that can be said without the tables, then the tables.
    let mut wanted = Vec::new();
    let mut count = 0;
    for (name, request) in requests {
        let TableRequest::Get(mut request) = request else {
            return Err(ApiError::validation(
                "RequestItems must give Keys for each table",
            ));
        };
        table_name(&name)?;
        request.only(
            "BatchGetItem",
            &[
                "Keys",
                "ConsistentRead",
                "ProjectionExpression",
                "ExpressionAttributeNames",
            ],
        )?;
        let keys = required(request.keys.take(), "requestItems.keys")?;
        if keys.is_empty() || keys.len() > MAX_GETS {
            let member = format!("requestItems.{name}.member.keys");
            return Err(count_error(&member, keys.len(), MAX_GETS));
        }
        count += keys.len();
        let projection = projection(&request)?;
        wanted.push((name, request, keys, projection));
    }
    if count > MAX_GETS {
        return Err(ApiError::validation(
            "Too many items requested for the BatchGetItem call",
        ));
    }
    let mut tables: Vec<Gets> = Vec::new();
    let mut parts: Vec<(usize, Item, StoreKey)> = Vec::new();
    let mut seen = HashSet::new();
    for (given, request, keys, projection) in wanted {
        let table = serving(backend, table_name(&given)?).await?;
        let known = place_of(tables.iter().map(|t| &t.table), &table, tables.len());
        for key in keys {
            let place = key::of_key(&table.spec, &key.0)?;
            if !seen.insert((known, place.clone())) {
                return Err(ApiError::validation(DUPLICATES));
            }
            parts.push((tables.len(), key.0, place));
        }
        let mut echo = Map::new();
        if let Some(consistent) = request.consistent_read {
            echo.insert("ConsistentRead".into(), json!(consistent));
        }
        if let Some(text) = request.projection_expression {
            echo.insert("ProjectionExpression".into(), json!(text));
        }
        if let Some(names) = request.names {
            echo.insert("ExpressionAttributeNames".into(), json!(names));
        }
        tables.push(Gets {
            given,
            table,
            consistent: request.consistent_read.unwrap_or(false),
            projection,
            echo,
        });
    }

    let shared = &tables;
    let mut results = stream::iter(parts)
        .map(|(at, key, place)| async move {
            let gets = &shared[at];
            let found = backend.read(&gets.table, place, gets.consistent).await;
            (at, key, found)
        })
        .buffered(PARALLEL);
    let mut found: Vec<Vec<Item>> = tables.iter().map(|_| Vec::new()).collect();
    let mut units = vec![0.0; tables.len()];
    let mut undone: Vec<Vec<Item>> = tables.iter().map(|_| Vec::new()).collect();
    let (mut bytes, mut done, mut why) = (0, 0, None);
    while let Some((at, key, result)) = results.next().await {
        match result {
            Ok(item) => {
                let size = item.as_ref().map_or(0, Item::size);
                if bytes + size > REPLY_BYTES {
                    undone[at].push(key);
                    continue;
                }
                bytes += size;
                done += 1;
                units[at] += read_units(size, tables[at].consistent);
                found[at].extend(item.map(|item| match &tables[at].projection {
                    Some(projection) => projection.apply(&item),
                    None => item,
                }));
            }
            Err(error @ BackendError::NoSuchTable(_)) => return Err(error.into()),
            Err(error) => {
                why.get_or_insert(error);
                undone[at].push(key);
            }
        }
    }
    drop(results);
    if let (0, Some(why)) = (done, why) {
        return Err(why.into());
    }
    let mut answer = Answer {
        responses: BTreeMap::new(),
        unprocessed_keys: BTreeMap::new(),
        consumed_capacity: detail.wanted().then(Vec::new),
    };
    for (at, gets) in tables.iter().enumerate() {
        let name = gets.given.as_str();
        answer
            .responses
            .insert(name, found[at].iter().map(Json).collect());
        if !undone[at].is_empty() {
            let mut echo = gets.echo.clone();
            let keys: Vec<_> = undone[at].iter().map(Json).collect();
            echo.insert("Keys".into(), json!(keys));
            answer.unprocessed_keys.insert(name, echo);
        }
        if let Some(list) = &mut answer.consumed_capacity {
            list.extend(detail.report(name, units[at]));
        }
    }
    reply(&answer)
}

/// One write of a batch; kept to be sent back if it could not be done.
struct Write {
    table: usize,
    place: StoreKey,
    /// The item to put, or the key to delete.
    item: Item,
    put: bool,
}

pub(super) async fn write(backend: &dyn Backend, mut params: Params) -> Result<Vec<u8>, ApiError> {
    #[derive(Serialize)]
    #[serde(rename_all = "PascalCase")]
    struct Answer<'a> {
        unprocessed_items: BTreeMap<&'a str, Vec<Value>>,
        #[serde(skip_serializing_if = "Option::is_none")]
        consumed_capacity: Option<Vec<Consumed>>,
    }
    params.only(
        "BatchWriteItem",
        &[
            "RequestItems",
            "ReturnConsumedCapacity",
            "ReturnItemCollectionMetrics",
        ],
    )?;
    let detail = Detail::of(&params)?;
    one_of(
        params.return_metrics.as_deref(),
        "returnItemCollectionMetrics",
        &["SIZE", "NONE"],
        "NONE",
    )?;
    let requests = tables(params.request_items.take(), "BatchWriteItem")?;
    let mut wanted = Vec::new();
    let mut count = 0;
    for (name, request) in requests {
        let TableRequest::Write(list) = request else {
            return Err(ApiError::validation(
                "RequestItems must give a list of writes for each table",
            ));
        };
        table_name(&name)?;
        if list.is_empty() || list.len() > MAX_WRITES {
            let member = format!("requestItems.{name}.member");
            return Err(count_error(&member, list.len(), MAX_WRITES));
        }
        count += list.len();
        let mut writes = Vec::with_capacity(list.len());
        for request in list {
            writes.push(match (request.put_request, request.delete_request) {
                (Some(put), None) => {
                    check_item(&put.item.0)?;
                    (put.item.0, true)
                }
                (None, Some(delete)) => (delete.key.0, false),
                _ => {
                    return Err(ApiError::validation(
                        "Supplied AttributeValue has more than one datatypes set, must contain exactly one of PutRequest and DeleteRequest",
                    ));
                }
            });
        }
        wanted.push((name, writes));
    }
    if count > MAX_WRITES {
        return Err(ApiError::validation(
            "Too many items requested for the BatchWriteItem call",
        ));
    }
    let mut tables: Vec<(String, TableInfo)> = Vec::new();
    let mut parts = Vec::new();
    let mut seen = HashSet::new();
    for (given, writes) in wanted {
        let table = serving(backend, table_name(&given)?).await?;
        let known = place_of(tables.iter().map(|(_, t)| t), &table, tables.len());
        for (item, put) in writes {
            let place = if put {
                key::of_item(&table.spec, &item)?
            } else {
                key::of_key(&table.spec, &item)?
            };
            if !seen.insert((known, place.clone())) {
                return Err(ApiError::validation(DUPLICATES));
            }
            parts.push(Write {
                table: tables.len(),
                place,
                item,
                put,
            });
        }
        tables.push((given, table));
    }

    let shared = &tables;
    let sizes = detail.wanted();
    let mut results = stream::iter(parts)
        .map(|part| async move {
            let action = if part.put {
                Action::Put(part.item.clone())
            } else {
                Action::Delete
            };
            let mut op = WriteOp::new(action);
            op.wants = Wants {
                old: sizes,
                ..Wants::default()
            };
            let done = backend
                .write(&shared[part.table].1, part.place.clone(), op)
                .await;
            (part, done)
        })
        .buffered(PARALLEL);
    let mut units = vec![0.0; tables.len()];
    let mut undone: Vec<Vec<Write>> = tables.iter().map(|_| Vec::new()).collect();
    let (mut done, mut unknown, mut why) = (0, None, None);
    // To the end, whatever fails: what is given up in the middle would be unknown.
    while let Some((part, result)) = results.next().await {
        match result {
            Ok(WriteReply::Done { old, .. }) => {
                let after = if part.put { part.item.size() } else { 0 };
                units[part.table] += write_units(old.as_ref().map_or(0, Item::size), after);
                done += 1;
            }
            Ok(WriteReply::Invalid { .. } | WriteReply::ConditionFailed { .. }) => {
                unknown = Some(BackendError::Unknown(
                    "the store answered as to another kind of write".into(),
                ));
            }
            Err(error @ BackendError::Unknown(_)) => unknown = Some(error),
            Err(error) => {
                why.get_or_insert(error);
                undone[part.table].push(part);
            }
        }
    }
    drop(results);
    if let Some(unknown) = unknown {
        return Err(unknown.into());
    }
    if let (0, Some(why)) = (done, why) {
        return Err(why.into());
    }
    let mut answer = Answer {
        unprocessed_items: BTreeMap::new(),
        consumed_capacity: detail.wanted().then(Vec::new),
    };
    for (at, (given, _)) in tables.iter().enumerate() {
        let name = given.as_str();
        if !undone[at].is_empty() {
            let echo = |write: &Write| {
                if write.put {
                    json!({"PutRequest": {"Item": Json(&write.item)}})
                } else {
                    json!({"DeleteRequest": {"Key": Json(&write.item)}})
                }
            };
            answer
                .unprocessed_items
                .insert(name, undone[at].iter().map(echo).collect());
        }
        if let Some(list) = &mut answer.consumed_capacity {
            list.extend(detail.report(name, units[at]));
        }
    }
    reply(&answer)
}
