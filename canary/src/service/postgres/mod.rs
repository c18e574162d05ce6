//! PostgreSQL by its own protocol, version 3: one round trip a call.
//!
//! | call | statement |
//! | --- | --- |
//! | read, of either kind | `SELECT v … WHERE pk = $1` |
//! | write | `INSERT … ON CONFLICT … DO UPDATE` |
//! | insert | `INSERT … ON CONFLICT … DO NOTHING` |
//! | compare-and-set | `UPDATE … WHERE pk = $1 AND v = $4`, or the insert if nothing is expected |
//! | addition | `INSERT … ON CONFLICT … DO UPDATE SET v = v + … RETURNING v` |
//!
//! Each is parsed, bound, executed and synced in one write: the sync commits it. A table has
//! the columns pk (text, the primary key), v (bigint) and pad (text).

mod frames;
mod open;
mod outcome;

use super::once::once;
use super::url::{Parts, ServiceUrl, az_of, decoded};
use super::{Answer, Fut, Place, Secret, Service, ServiceSpec};
use crate::classify::NoAnswer;
use crate::config::{Attributes, CanaryConfig, Endpoint};
use crate::connect::{Connector, Stream};
use crate::workload::Drawn;
use bytes::{BufMut, BytesMut};
use frames::Reply;
use gameday_record::{Call, Outcome};
use postgres_protocol::IsNull;
use postgres_protocol::message::frontend;
use serde::{Deserialize, Serialize};
use std::io;
use std::sync::atomic::AtomicUsize;

/// Port where none is given.
const PORT: u16 = 5432;

/// Keys that are deleted at once.
const DELETED: usize = 500;

/// Types of parameters, as `pg_type` numbers them.
const TEXT: u32 = 25;
const BIGINT: u32 = 20;

/// How PostgreSQL is called.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PostgresSpec {
    /// User.
    pub user: String,
    /// Password.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub password: Option<Secret>,
    /// Name of the database.
    pub database: String,
    /// True if connections go over to TLS first.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub tls: bool,
    /// True if only a server that takes writes will do; of several hosts, the first.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub read_write: bool,
}

impl PostgresSpec {
    /// Reads `[AZ=]postgres://user[:password]@host[:port][,host[:port]…]/database`, with
    /// `sslmode=disable|verify-full` and `target_session_attrs=any|read-write` behind a `?`.
    ///
    /// # Errors
    /// What is wrong with it, for people; never with the password.
    pub fn parse(text: &str) -> Result<ServiceUrl, String> {
        let (az, url) = az_of(text)?;
        let parts = Parts::parse(url)?;
        if !matches!(parts.scheme.as_str(), "postgres" | "postgresql") {
            let scheme = &parts.scheme;
            return Err(format!("'{scheme}://' is no PostgreSQL; write postgres://"));
        }
        let user = parts.user.clone();
        let user = user.ok_or("a user is missing, as in postgres://user:password@host/database")?;
        let database = match parts.path.as_str() {
            "" => user.clone(),
            path if path.contains('/') => return Err("the path is one name of a database".into()),
            path => decoded(path)?,
        };
        if [&user, &database]
            .iter()
            .any(|name| name.contains('\0') || name.len() > 63)
        {
            return Err("names of users and databases are 1 to 63 bytes without a zero".into());
        }
        let (mut tls, mut read_write) = (false, false);
        for (name, value) in &parts.query {
            match (name.as_str(), value.as_str()) {
                ("sslmode", "disable") => tls = false,
                ("sslmode", "verify-full") => tls = true,
                ("sslmode", _) => {
                    return Err("sslmode is disable (the default) or verify-full".into());
                }
                ("target_session_attrs", "any") => read_write = false,
                ("target_session_attrs", "read-write") => read_write = true,
                ("target_session_attrs", _) => {
                    return Err("target_session_attrs is any (the default) or read-write".into());
                }
                _ => return Err(format!("'?{name}=' is not known here")),
            }
        }
        Ok(ServiceUrl {
            az,
            hosts: parts.endpoints(tls, PORT),
            service: ServiceSpec::Postgres(PostgresSpec {
                user,
                password: parts.password,
                database,
                tls,
                read_write,
            }),
        })
    }
}

/// PostgreSQL as a service.
#[derive(Debug)]
pub struct Postgres {
    spec: PostgresSpec,
    /// Of each table.
    statements: Vec<Statements>,
    /// Names of the columns, quoted: key, value, filler.
    columns: [String; 3],
    /// As long as it gets.
    filler: String,
    /// Which host served last.
    first: AtomicUsize,
}

/// The statements of one table, each as the message that has it parsed.
#[derive(Debug)]
struct Statements {
    read: Vec<u8>,
    write: Vec<u8>,
    insert: Vec<u8>,
    cas: Vec<u8>,
    add: Vec<u8>,
}

impl Statements {
    fn new(table: &str, [key, value, filler]: &[String; 3]) -> io::Result<Self> {
        let t = quoted(table);
        let into = format!("INSERT INTO {t} ({key}, {value}, {filler}) VALUES ($1, $2, $3)");
        Ok(Statements {
            read: parsed(
                &format!("SELECT {value} FROM {t} WHERE {key} = $1"),
                &[TEXT],
            )?,
            write: parsed(
                &format!(
                    "{into} ON CONFLICT ({key}) DO UPDATE SET {value} = excluded.{value}, \
                     {filler} = excluded.{filler}"
                ),
                &[TEXT, BIGINT, TEXT],
            )?,
            insert: parsed(
                &format!("{into} ON CONFLICT ({key}) DO NOTHING"),
                &[TEXT, BIGINT, TEXT],
            )?,
            cas: parsed(
                &format!(
                    "UPDATE {t} SET {value} = $2, {filler} = $3 WHERE {key} = $1 AND {value} = $4"
                ),
                &[TEXT, BIGINT, TEXT, BIGINT],
            )?,
            add: parsed(
                &format!(
                    "INSERT INTO {t} ({key}, {value}) VALUES ($1, $2) ON CONFLICT ({key}) \
                     DO UPDATE SET {value} = {t}.{value} + excluded.{value} RETURNING {value}"
                ),
                &[TEXT, BIGINT],
            )?,
        })
    }
}

/// A name in a statement.
fn quoted(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}

/// The message that has a statement parsed.
fn parsed(statement: &str, types: &[u32]) -> io::Result<Vec<u8>> {
    let mut out = BytesMut::new();
    frontend::parse("", statement, types.iter().copied(), &mut out)?;
    Ok(out.to_vec())
}

/// Parses, binds, executes and syncs.
fn pipelined(parsed: &[u8], values: &[&str]) -> Vec<u8> {
    let mut out = BytesMut::with_capacity(parsed.len() + 256);
    out.put_slice(parsed);
    let text = |value: &&str, out: &mut BytesMut| {
        out.put_slice(value.as_bytes());
        Ok(IsNull::No)
    };
    // Fails for a name with a zero in it and for values of gigabytes, of which there are none.
    let _ = frontend::bind("", "", [], values, text, [], &mut out);
    let _ = frontend::execute("", 0, &mut out);
    frontend::sync(&mut out);
    out.to_vec()
}

impl Postgres {
    /// As `spec` says, with the tables and the item size of `config`.
    ///
    /// # Errors
    /// Names that cannot be written.
    pub fn new(spec: &PostgresSpec, config: &CanaryConfig) -> Result<Self, String> {
        let Attributes { key, value, filler } = &config.attributes;
        let columns = [key, value, filler].map(|name| quoted(name));
        let tables = config.tables();
        let statements = tables.iter().map(|table| Statements::new(table, &columns));
        Ok(Postgres {
            spec: spec.clone(),
            statements: statements
                .collect::<io::Result<_>>()
                .map_err(|e| format!("a name of the table or its columns: {e}"))?,
            columns,
            filler: "x".repeat(config.most_filler()),
            first: AtomicUsize::new(0),
        })
    }

    /// Makes one statement, while things are prepared.
    async fn execute(
        &self,
        at: Place<'_>,
        statement: &str,
        types: &[u32],
        values: &[&str],
    ) -> Result<Reply, String> {
        let parsed = parsed(statement, types).map_err(|e| e.to_string())?;
        let request = pipelined(&parsed, values);
        once(self, at, &request, |bytes, closed| {
            match frames::reply(bytes, closed) {
                Ok((what, used)) => Answer::Done {
                    used,
                    keep: true,
                    what,
                },
                Err(stop) => stop.into(),
            }
        })
        .await
    }
}

impl Service for Postgres {
    fn open<'a>(
        &'a self,
        connector: &'a Connector,
        endpoint: &'a Endpoint,
    ) -> Fut<'a, Result<Box<dyn Stream>, NoAnswer>> {
        Box::pin(open::one_of(&self.spec, &self.first, connector, endpoint))
    }

    fn request(&self, drawn: &Drawn, _: usize) -> Vec<u8> {
        let s = &self.statements[drawn.table];
        let key = drawn.call.key();
        let filler = &self.filler[..drawn.bytes as usize];
        match &drawn.call {
            Call::Read { .. } => pipelined(&s.read, &[key]),
            Call::Write { value, .. } => pipelined(&s.write, &[key, &value.to_string(), filler]),
            Call::Insert { value, .. } => pipelined(&s.insert, &[key, &value.to_string(), filler]),
            Call::Cas { expected, new, .. } => {
                let new = &new.to_string();
                match expected {
                    None => pipelined(&s.insert, &[key, new, filler]),
                    Some(old) => pipelined(&s.cas, &[key, new, filler, &old.to_string()]),
                }
            }
            Call::Add { delta, .. } => pipelined(&s.add, &[key, &delta.to_string()]),
        }
    }

    fn answer(&self, call: &Call, bytes: &[u8], closed: bool) -> Answer<Outcome> {
        match frames::reply(bytes, closed) {
            Err(stop) => stop.into(),
            Ok((reply, used)) => {
                let (what, keep) = outcome::outcome(call, &reply);
                Answer::Done { used, keep, what }
            }
        }
    }

    fn prepare<'a>(&'a self, at: Place<'a>, create: bool) -> Fut<'a, Result<bool, String>> {
        Box::pin(async move {
            let table = quoted(at.table);
            let [key, value, filler] = &self.columns;
            // Nothing is found by it, and every column and its type is needed for it.
            let look = format!(
                "SELECT {value} + 0 FROM {table} WHERE {key} = '' AND {filler} = '' AND false"
            );
            let found = self.execute(at, &look, &[], &[]).await?;
            let Some(error) = found.error else {
                return Ok(false);
            };
            let columns =
                format!("({key} text PRIMARY KEY, {value} bigint NOT NULL, {filler} text)");
            match error.code.as_str() {
                "42P01" if create => {
                    let make = format!("CREATE TABLE IF NOT EXISTS {table} {columns}");
                    match self.execute(at, &make, &[], &[]).await?.error {
                        None => Ok(true),
                        Some(error) => Err(format!("CREATE TABLE {table}: {error}")),
                    }
                }
                "42P01" => Err(format!(
                    "there is no table {table}: --create-table makes it {columns}"
                )),
                "42703" | "42883" | "22P02" => Err(format!(
                    "table {table}: {error}; it must be {columns}: name another table"
                )),
                _ => Err(format!("table {table}: {error}")),
            }
        })
    }

    fn clear<'a>(&'a self, at: Place<'a>, keys: Vec<String>) -> Fut<'a, Result<(), String>> {
        Box::pin(async move {
            let (table, key) = (quoted(at.table), &self.columns[0]);
            let delete = format!("DELETE FROM {table} WHERE {key} = ANY ($1::text[])");
            for some in keys.chunks(DELETED) {
                // Keys are letters and digits: nothing in them needs quoting.
                let list = format!("{{{}}}", some.join(","));
                let done = self.execute(at, &delete, &[TEXT], &[&list]).await?;
                if let Some(error) = done.error {
                    return Err(format!("DELETE: {error}"));
                }
            }
            Ok(())
        })
    }
}

#[cfg(test)]
mod tests;
