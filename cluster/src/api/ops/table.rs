//! CreateTable, DescribeTable, ListTables, DeleteTable, DescribeEndpoints.

use super::{Context, reply};
use crate::api::error::{ApiError, ErrorKind};
use crate::api::params::{Params, one_of, required};
use crate::api::value::KeyType;
use crate::backend::{
    Backend, BackendError, Census, KeyAttribute, TableInfo, TableSpec, TableStatus,
};
use serde::Serialize;
use serde_json::{Value, json};

pub(super) async fn create(
    backend: &dyn Backend,
    params: Params,
    context: Context<'_>,
) -> Result<Vec<u8>, ApiError> {
    params.only(
        "CreateTable",
        &[
            "TableName",
            "AttributeDefinitions",
            "KeySchema",
            "BillingMode",
            "ProvisionedThroughput",
            "DeletionProtectionEnabled",
            "TableClass",
            "StreamSpecification",
            "SSESpecification",
        ],
    )?;
    let spec = spec(&params)?;
    let table = backend
        .create_table(spec)
        .await
        .map_err(|error| match error {
            BackendError::InUse(name) => ApiError::new(
                ErrorKind::ResourceInUse,
                format!("Table already exists: {name}"),
            ),
            other => control(other),
        })?;
    // It is empty yet.
    let census = Some(Census::default());
    reply(&json!({"TableDescription": description(&table, census, context)}))
}

pub(super) async fn describe(
    backend: &dyn Backend,
    params: Params,
    context: Context<'_>,
) -> Result<Vec<u8>, ApiError> {
    params.only("DescribeTable", &["TableName"])?;
    let table = backend.table(params.table()?).await.map_err(control)?;
    let census = census(backend, &table).await;
    reply(&json!({"Table": description(&table, census, context)}))
}

pub(super) async fn delete(
    backend: &dyn Backend,
    params: Params,
    context: Context<'_>,
) -> Result<Vec<u8>, ApiError> {
    params.only("DeleteTable", &["TableName"])?;
    let name = params.table()?;
    // What it had, while it can still be asked.
    let census = match backend.table(name).await {
        Ok(table) => census(backend, &table).await,
        Err(_) => None,
    };
    let table = backend.delete_table(name).await.map_err(control)?;
    let mut shown = description(&table, census, context);
    if let Value::Object(fields) = &mut shown {
        for gone in ["KeySchema", "AttributeDefinitions", "CreationDateTime"] {
            fields.remove(gone);
        }
    }
    reply(&json!({"TableDescription": shown}))
}

/// The table's items and bytes; one that does not serve yet has none.
async fn census(backend: &dyn Backend, table: &TableInfo) -> Option<Census> {
    match table.status {
        TableStatus::Creating => Some(Census::default()),
        TableStatus::Active => backend.census(table).await,
        TableStatus::Deleting => None,
    }
}

pub(super) async fn list(backend: &dyn Backend, params: Params) -> Result<Vec<u8>, ApiError> {
    #[derive(Serialize)]
    #[serde(rename_all = "PascalCase")]
    struct Answer {
        table_names: Vec<String>,
        #[serde(skip_serializing_if = "Option::is_none")]
        last_evaluated_table_name: Option<String>,
    }
    params.only("ListTables", &["Limit", "ExclusiveStartTableName"])?;
    let limit = params.limit.unwrap_or(100);
    if !(1..=100).contains(&limit) {
        return Err(ApiError::validation(format!(
            "1 validation error detected: Value '{limit}' at 'limit' failed to satisfy constraint: Member must have value between 1 and 100"
        )));
    }
    let mut names = backend.tables().await?;
    if let Some(start) = &params.start_table {
        names.retain(|name| name > start);
    }
    let more = names.len() > limit as usize;
    names.truncate(limit as usize);
    reply(&Answer {
        last_evaluated_table_name: names.last().filter(|_| more).cloned(),
        table_names: names,
    })
}

pub(super) fn endpoints(params: Params, context: Context<'_>) -> Result<Vec<u8>, ApiError> {
    params.only("DescribeEndpoints", &[])?;
    reply(&json!({"Endpoints": [{"Address": context.host, "CachePeriodInMinutes": 1440}]}))
}

/// Errors of operations on tables, which name the table.
fn control(error: BackendError) -> ApiError {
    match error {
        BackendError::NoSuchTable(name) => ApiError::new(
            ErrorKind::ResourceNotFound,
            format!("Requested resource not found: Table: {name} not found"),
        ),
        other => other.into(),
    }
}

fn wrong(what: impl std::fmt::Display) -> ApiError {
    ApiError::validation(format!("One or more parameter values were invalid: {what}"))
}

fn spec(params: &Params) -> Result<TableSpec, ApiError> {
    let name = params.table()?.to_owned();
    if params.deletion_protection == Some(true) {
        return Err(wrong("DeletionProtectionEnabled is not supported here"));
    }
    if params
        .table_class
        .as_deref()
        .is_some_and(|c| c != "STANDARD")
    {
        return Err(wrong(
            "TableClass other than STANDARD is not supported here",
        ));
    }
    if let Some(stream) = &params.stream
        && (stream.stream_enabled != Some(false) || stream.stream_view_type.is_some())
    {
        return Err(wrong("StreamSpecification is not supported here"));
    }
    if let Some(encryption) = &params.encryption
        && (encryption.enabled != Some(false)
            || encryption.kind.is_some()
            || encryption.key.is_some())
    {
        return Err(wrong("SSESpecification is not supported here"));
    }
    let definitions = definitions(params)?;
    let schema = required(params.key_schema.as_deref(), "keySchema")?;
    let mut keys = Vec::new();
    for (n, element) in schema.iter().enumerate() {
        let at = |member: &str| format!("keySchema.{}.member.{member}", n + 1);
        let name = required(element.attribute_name.as_deref(), &at("attributeName"))?;
        let role = required(element.key_type.as_deref(), &at("keyType"))?;
        keys.push((
            name,
            one_of(Some(role), &at("keyType"), &["HASH", "RANGE"], "")?,
        ));
    }
    let (hash, range) = match keys[..] {
        [hash] => (hash, None),
        [hash, range] => (hash, Some(range)),
        _ => {
            return Err(ApiError::validation(
                "1 validation error detected: Value at 'keySchema' failed to satisfy constraint: Member must have length between 1 and 2",
            ));
        }
    };
    if hash.1 != "HASH" {
        return Err(ApiError::validation(
            "Invalid KeySchema: The first KeySchemaElement is not a HASH key type",
        ));
    }
    if let Some(range) = range {
        if range.1 != "RANGE" {
            return Err(ApiError::validation(
                "Invalid KeySchema: The second KeySchemaElement is not a RANGE key type",
            ));
        }
        if range.0 == hash.0 {
            return Err(ApiError::validation(
                "Both the Hash Key and the Range Key element in the KeySchema have the same name",
            ));
        }
    }
    let key = |name: &str| key_attribute(&definitions, name);
    let (hash, range) = (key(hash.0)?, range.map(|range| key(range.0)).transpose()?);
    if definitions.len() != schema.len() {
        return Err(wrong(
            "Number of attributes in KeySchema does not exactly match number of attributes defined in AttributeDefinitions",
        ));
    }
    let modes = ["PROVISIONED", "PAY_PER_REQUEST"];
    let mode = one_of(
        params.billing_mode.as_deref(),
        "billingMode",
        &modes,
        "PROVISIONED",
    )?;
    let (read_units, write_units) = match (mode, params.throughput) {
        ("PROVISIONED", Some(given)) => (
            units(given.read_capacity_units, "readCapacityUnits")?,
            units(given.write_capacity_units, "writeCapacityUnits")?,
        ),
        ("PROVISIONED", None) => {
            return Err(wrong(
                "ReadCapacityUnits and WriteCapacityUnits must both be specified when BillingMode is PROVISIONED",
            ));
        }
        (_, Some(_)) => {
            return Err(wrong(
                "Neither ReadCapacityUnits nor WriteCapacityUnits can be specified when BillingMode is PAY_PER_REQUEST",
            ));
        }
        (_, None) => (0, 0),
    };
    Ok(TableSpec {
        name,
        hash,
        range,
        billing_mode: mode.to_owned(),
        read_units,
        write_units,
    })
}

/// Provisioned units, at least one.
fn units(given: Option<i64>, member: &str) -> Result<u64, ApiError> {
    let member = format!("provisionedThroughput.{member}");
    let given = required(given, &member)?;
    u64::try_from(given).ok().filter(|units| *units > 0).ok_or_else(|| {
        ApiError::validation(format!(
            "1 validation error detected: Value '{given}' at '{member}' failed to satisfy constraint: Member must have value greater than or equal to 1"
        ))
    })
}

/// Names and types of the attributes that are defined, each name once.
fn definitions(params: &Params) -> Result<Vec<(&str, KeyType)>, ApiError> {
    let given = required(
        params.attribute_definitions.as_deref(),
        "attributeDefinitions",
    )?;
    let mut out: Vec<(&str, KeyType)> = Vec::new();
    for (n, definition) in given.iter().enumerate() {
        let at = |member: &str| format!("attributeDefinitions.{}.member.{member}", n + 1);
        let name = required(definition.attribute_name.as_deref(), &at("attributeName"))?;
        let kind = required(definition.attribute_type.as_deref(), &at("attributeType"))?;
        let kind = match one_of(Some(kind), &at("attributeType"), &["B", "N", "S"], "")? {
            "N" => KeyType::N,
            "B" => KeyType::B,
            _ => KeyType::S,
        };
        if name.is_empty() || name.len() > 255 {
            let bound = if name.is_empty() {
                "greater than or equal to 1"
            } else {
                "less than or equal to 255"
            };
            return Err(ApiError::validation(format!(
                "1 validation error detected: Value '{name}' at '{}' failed to satisfy constraint: Member must have length {bound}",
                at("attributeName")
            )));
        }
        if out.iter().any(|(other, _)| *other == name) {
            return Err(wrong(format!(
                "Duplicate AttributeName in AttributeDefinitions: {name}"
            )));
        }
        out.push((name, kind));
    }
    Ok(out)
}

fn key_attribute(definitions: &[(&str, KeyType)], name: &str) -> Result<KeyAttribute, ApiError> {
    let Some((_, kind)) = definitions.iter().find(|(defined, _)| *defined == name) else {
        let defined: Vec<&str> = definitions.iter().map(|(name, _)| *name).collect();
        return Err(wrong(format!(
            "Some index key attributes are not defined in AttributeDefinitions. Keys: [{name}], AttributeDefinitions: [{}]",
            defined.join(", ")
        )));
    };
    Ok(KeyAttribute {
        name: name.to_owned(),
        kind: *kind,
    })
}

/// A table as DescribeTable shows it. Without a census its counts are left out: they are not known.
fn description(table: &TableInfo, census: Option<Census>, context: Context<'_>) -> Value {
    let spec = &table.spec;
    let keys = [(Some(&spec.hash), "HASH"), (spec.range.as_ref(), "RANGE")];
    let keys = || keys.iter().filter_map(|(key, role)| Some(((*key)?, *role)));
    let mut out = json!({
        "TableName": spec.name,
        "TableStatus": match table.status {
            TableStatus::Creating => "CREATING",
            TableStatus::Active => "ACTIVE",
            TableStatus::Deleting => "DELETING",
        },
        "TableArn": format!("arn:aws:dynamodb:{}:000000000000:table/{}", context.region, spec.name),
        "TableId": table.id,
        "CreationDateTime": table.created,
        "KeySchema": keys()
            .map(|(key, role)| json!({"AttributeName": key.name, "KeyType": role}))
            .collect::<Vec<_>>(),
        "AttributeDefinitions": keys()
            .map(|(key, _)| json!({"AttributeName": key.name, "AttributeType": key.kind.as_str()}))
            .collect::<Vec<_>>(),
        "ProvisionedThroughput": {
            "ReadCapacityUnits": spec.read_units,
            "WriteCapacityUnits": spec.write_units,
            "NumberOfDecreasesToday": 0,
        },
    });
    if spec.billing_mode == "PAY_PER_REQUEST" {
        out["BillingModeSummary"] = json!({
            "BillingMode": spec.billing_mode,
            // It always was: there is no changing it.
            "LastUpdateToPayPerRequestDateTime": table.created,
        });
    }
    if let Some(census) = census {
        out["ItemCount"] = json!(census.items);
        out["TableSizeBytes"] = json!(census.bytes);
    }
    out
}
