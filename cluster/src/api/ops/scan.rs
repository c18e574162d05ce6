//! Scan.

use super::{check_work, parse, reply, serving, values};
use crate::api::capacity::{Consumed, Detail, read_units};
use crate::api::error::{ApiError, ErrorKind};
use crate::api::expr::{MAX_WORK, Work};
use crate::api::json::Json;
use crate::api::key;
use crate::api::params::{Params, one_of};
use crate::api::value::Item;
use crate::backend::{Backend, BackendError, key_attributes};
use serde::Serialize;

/// A page ends once it has evaluated this many bytes, or its filter has made [`MAX_WORK`].
const PAGE_BYTES: usize = 1 << 20;
/// Items asked of the backend at a time.
const CHUNK: usize = 1000;
/// Calls to the backend for one page; a page that needs more ends early,
/// with its LastEvaluatedKey.
const MAX_CALLS: usize = 64;
/// Most segments of a parallel scan.
const MAX_SEGMENTS: i64 = 1_000_000;

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct Answer<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    items: Option<Vec<Json<'a, Item>>>,
    count: usize,
    scanned_count: usize,
    #[serde(skip_serializing_if = "Option::is_none")]
    last_evaluated_key: Option<Json<'a, Item>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    consumed_capacity: Option<Consumed>,
}

pub(super) async fn scan(backend: &dyn Backend, mut params: Params) -> Result<Vec<u8>, ApiError> {
    params.only(
        "Scan",
        &[
            "TableName",
            "ConsistentRead",
            "ExclusiveStartKey",
            "ExpressionAttributeNames",
            "ExpressionAttributeValues",
            "FilterExpression",
            "Limit",
            "ProjectionExpression",
            "ReturnConsumedCapacity",
            "Segment",
            "Select",
            "TotalSegments",
        ],
    )?;
    let detail = Detail::of(&params)?;
    let segment = segment(params.segment, params.total_segments)?;
    let count_only = select(&params)?;
    let limit = match params.limit {
        None => usize::MAX,
        Some(limit) => usize::try_from(limit)
            .ok()
            .filter(|limit| *limit > 0)
            .ok_or_else(|| {
                ApiError::validation(format!(
                    "1 validation error detected: Value '{limit}' at 'limit' failed to satisfy constraint: Member must have value greater than or equal to 1"
                ))
            })?,
    };
    let values = values(params.values.take())?;
    let ((filter, projection), values) = parse(params.names.as_ref(), values, |scope| {
        let filter = params.filter_expression.as_deref();
        let filter = filter.map(|text| scope.condition("FilterExpression", text));
        let projection = params.projection_expression.as_deref();
        let projection = projection.map(|text| scope.projection(text));
        Ok((filter.transpose()?, projection.transpose()?))
    })?;
    check_work(filter.as_ref(), &values)?;
    let consistent = params.consistent_read.unwrap_or(false);
    let table = serving(backend, params.table()?).await?;
    let mut after = match params.start_key.take() {
        None => None,
        Some(start) => Some(key::of_key(&table.spec, &start.0).map_err(|e| {
            ApiError::validation(format!(
                "The provided starting key is invalid: {}",
                e.message
            ))
        })?),
    };

    let mut items: Vec<Item> = Vec::new();
    let (mut scanned, mut bytes, mut spent) = (0, 0, 0);
    let mut last_key = None;
    'page: for _ in 0..MAX_CALLS {
        let ask = CHUNK.min(limit - scanned);
        let chunk = backend
            .scan(&table, after.take(), ask, segment, consistent)
            .await
            .map_err(|error| outside(error, segment))?;
        last_key = match &chunk.last {
            None => None,
            Some(last) => Some(match chunk.items.last() {
                Some(item) => key_attributes(&table.spec, item),
                None => key::decode(&table.spec, last).ok_or_else(|| {
                    ApiError::new(
                        ErrorKind::InternalServerError,
                        "the store answered with a key that is not of this table",
                    )
                })?,
            }),
        };
        let mut found = chunk.items.into_iter();
        while let Some(item) = found.next() {
            scanned += 1;
            bytes += item.size();
            let mut holds = true;
            if let Some(filter) = &filter {
                let mut work = Work::default();
                holds = filter
                    .holds(&item, &values, &mut work)
                    .map_err(|error| ApiError::validation(error.to_string()))?;
                spent += MAX_WORK - work.left();
            }
            // Enough for one page: the next one goes on after this item.
            let ends = spent > MAX_WORK && (found.len() > 0 || chunk.last.is_some());
            if ends {
                last_key = Some(key_attributes(&table.spec, &item));
            }
            if holds {
                items.push(match &projection {
                    Some(projection) => projection.apply(&item),
                    None => item,
                });
            }
            if ends {
                break 'page;
            }
        }
        after = chunk.last;
        if after.is_none() || scanned >= limit || bytes >= PAGE_BYTES {
            break;
        }
    }
    reply(&Answer {
        count: items.len(),
        items: (!count_only).then(|| items.iter().map(Json).collect()),
        scanned_count: scanned,
        last_evaluated_key: last_key.as_ref().map(Json),
        consumed_capacity: detail.report(params.given_table()?, read_units(bytes, consistent)),
    })
}

/// Words an ExclusiveStartKey that is not in the segment as DynamoDB does.
fn outside(error: BackendError, (segment, total): (u32, u32)) -> ApiError {
    match error {
        BackendError::OutsideSegment => ApiError::validation(format!(
            "The provided starting key is invalid: Invalid ExclusiveStartKey. Please use ExclusiveStartKey with correct Segment. TotalSegments: {total} Segment: {segment}"
        )),
        other => other.into(),
    }
}

/// Whether only the count is wanted.
fn select(params: &Params) -> Result<bool, ApiError> {
    let known = [
        "SPECIFIC_ATTRIBUTES",
        "COUNT",
        "ALL_ATTRIBUTES",
        "ALL_PROJECTED_ATTRIBUTES",
    ];
    let projected = params.projection_expression.is_some();
    match one_of(params.select.as_deref(), "select", &known, "")? {
        "" => Ok(false),
        "COUNT" | "ALL_ATTRIBUTES" if projected => Err(ApiError::validation(
            "Cannot specify the ProjectionExpression when choosing to get COUNT or ALL_ATTRIBUTES",
        )),
        "COUNT" => Ok(true),
        "ALL_PROJECTED_ATTRIBUTES" => Err(ApiError::validation(
            "One or more parameter values were invalid: ALL_PROJECTED_ATTRIBUTES can be used only when Querying using an IndexName",
        )),
        "SPECIFIC_ATTRIBUTES" if !projected => Err(ApiError::validation(
            "Must specify the ProjectionExpression when choosing to get SPECIFIC_ATTRIBUTES",
        )),
        _ => Ok(false),
    }
}

fn segment(segment: Option<i64>, total: Option<i64>) -> Result<(u32, u32), ApiError> {
    let missing = |what: &str, present: &str| {
        Err(ApiError::validation(format!(
            "The {what} parameter is required but was not present in the request when parameter {present} is present"
        )))
    };
    match (segment, total) {
        (None, None) => Ok((0, 1)),
        (Some(_), None) => missing("TotalSegments", "Segment"),
        (None, Some(_)) => missing("Segment", "TotalSegments"),
        (Some(_), Some(total)) if !(1..=MAX_SEGMENTS).contains(&total) => {
            Err(ApiError::validation(format!(
                "1 validation error detected: Value '{total}' at 'totalSegments' failed to satisfy constraint: Member must have value between 1 and {MAX_SEGMENTS}"
            )))
        }
        (Some(segment), Some(total)) if segment < 0 || segment >= total => {
            Err(ApiError::validation(format!(
                "The Segment parameter is zero-based and must be less than parameter TotalSegments: Segment: {segment} is not less than TotalSegments: {total}"
            )))
        }
        (Some(segment), Some(total)) => Ok((segment as u32, total as u32)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn segments_are_checked() {
        assert_eq!(segment(None, None).unwrap(), (0, 1));
        assert_eq!(segment(Some(2), Some(3)).unwrap(), (2, 3));
        for (s, t) in [
            (Some(0), None),
            (None, Some(1)),
            (Some(3), Some(3)),
            (Some(-1), Some(3)),
            (Some(0), Some(0)),
            (Some(0), Some(1_000_001)),
        ] {
            assert!(segment(s, t).is_err(), "{s:?} {t:?}");
        }
    }
}
