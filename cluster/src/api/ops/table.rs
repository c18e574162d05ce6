//! CreateTable, DescribeTable, ListTables, DeleteTable, DescribeEndpoints.

use super::{Context, reply};
use crate::api::error::{ApiError, ErrorKind};
use crate::api::params::{AttributeDefinition, Params, one_of, required};
use crate::api::value::KeyType;
use crate::backend::{Backend, BackendError, KeyAttribute, TableInfo, TableSpec, TableStatus};
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
    reply(&json!({"TableDescription": description(&table, context)}))
}

pub(super) async fn describe(
    backend: &dyn Backend,
    params: Params,
    context: Context<'_>,
) -> Result<Vec<u8>, ApiError> {
    params.only("DescribeTable", &["TableName"])?;
    let table = backend.table(params.table()?).await.map_err(control)?;
    reply(&json!({"Table": description(&table, context)}))
}

pub(super) async fn delete(
    backend: &dyn Backend,
    params: Params,
    context: Context<'_>,
) -> Result<Vec<u8>, ApiError> {
    params.only("DeleteTable", &["TableName"])?;
    let table = backend
        .delete_table(params.table()?)
        .await
        .map_err(control)?;
    reply(&json!({"TableDescription": description(&table, context)}))
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
    let definitions = required(
        params.attribute_definitions.as_deref(),
        "attributeDefinitions",
    )?;
    let schema = required(params.key_schema.as_deref(), "keySchema")?;
    let (hash, range) = match schema {
        [hash] => (hash, None),
        [hash, range] => (hash, Some(range)),
        _ => {
            return Err(ApiError::validation(
                "1 validation error detected: Value at 'keySchema' failed to satisfy constraint: Member must have length between 1 and 2",
            ));
        }
    };
    for element in schema {
        one_of(
            Some(&element.key_type),
            "keySchema.keyType",
            &["HASH", "RANGE"],
            "",
        )?;
    }
    if hash.key_type != "HASH" {
        return Err(ApiError::validation(
            "Invalid KeySchema: The first KeySchemaElement is not a HASH key type",
        ));
    }
    if let Some(range) = range {
        if range.key_type != "RANGE" {
            return Err(ApiError::validation(
                "Invalid KeySchema: The second KeySchemaElement is not a RANGE key type",
            ));
        }
        if range.attribute_name == hash.attribute_name {
            return Err(ApiError::validation(
                "Both the Hash Key and the Range Key element in the KeySchema have the same name",
            ));
        }
    }
    let key = |name: &str| key_attribute(definitions, name);
    let (hash, range) = (
        key(&hash.attribute_name)?,
        range.map(|range| key(&range.attribute_name)).transpose()?,
    );
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
        ("PROVISIONED", Some(units)) => {
            if units.read_capacity_units == 0 || units.write_capacity_units == 0 {
                return Err(ApiError::validation(
                    "1 validation error detected: Value '0' at 'provisionedThroughput' failed to satisfy constraint: Member must have value greater than or equal to 1",
                ));
            }
            (units.read_capacity_units, units.write_capacity_units)
        }
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

fn key_attribute(
    definitions: &[AttributeDefinition],
    name: &str,
) -> Result<KeyAttribute, ApiError> {
    let Some(definition) = definitions.iter().find(|d| d.attribute_name == name) else {
        let defined: Vec<&str> = definitions
            .iter()
            .map(|d| d.attribute_name.as_str())
            .collect();
        return Err(wrong(format!(
            "Some index key attributes are not defined in AttributeDefinitions. Keys: [{name}], AttributeDefinitions: [{}]",
            defined.join(", ")
        )));
    };
    if name.is_empty() || name.len() > 255 {
        return Err(wrong("a key attribute's name must have 1 to 255 bytes"));
    }
    let kind = match definition.attribute_type.as_str() {
        "S" => KeyType::S,
        "N" => KeyType::N,
        "B" => KeyType::B,
        other => {
            one_of(
                Some(other),
                "attributeDefinitions.attributeType",
                &["B", "N", "S"],
                "",
            )?;
            return Err(wrong("attributeType"));
        }
    };
    Ok(KeyAttribute {
        name: name.to_owned(),
        kind,
    })
}

/// A table as DescribeTable shows it. Counts of items and bytes are left out:
/// nobody counts them.
fn description(table: &TableInfo, context: Context<'_>) -> Value {
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
        out["BillingModeSummary"] = json!({"BillingMode": spec.billing_mode});
    }
    out
}
