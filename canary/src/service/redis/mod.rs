//! Redis by RESP2: a fixed endpoint, or the primary that Sentinels name.
//!
//! | call | command |
//! | --- | --- |
//! | read, of either kind | `GET` |
//! | write | `SET` |
//! | insert | `SET … NX` |
//! | compare-and-set | `EVAL` of a script that reads, compares and sets |
//! | addition | `INCRBY` |
//!
//! A key is `<table>:<key>`, a register's value the number, then a space and the filler.
//! Redis answers from one node and replicates afterwards, so it promises no
//! linearizability across a failover, whatever it is told.

mod outcome;
mod resp;
mod sentinel;

use super::once::once;
use super::url::{Parts, ServiceUrl, az_of, decoded};
use super::{Answer, Fut, Place, Secret, Service, ServiceSpec};
use crate::call;
use crate::classify::NoAnswer;
use crate::config::{CanaryConfig, Endpoint};
use crate::connect::{Connector, Stream};
use crate::workload::Drawn;
use gameday_record::{Call, ErrorClass, Outcome};
use resp::{Reply, command};
use sentinel::Sentinels;
use serde::{Deserialize, Serialize};
use tokio::io::AsyncWriteExt;

/// Port where none is given.
const PORT: u16 = 6379;

/// Port of a Sentinel where none is given.
const SENTINEL_PORT: u16 = 26379;

/// Keys that are deleted at once.
const DELETED: usize = 256;

/// Writes the second argument if the number at the key is the first one; an empty first one
/// stands for no key. What it finds else is its answer.
const COMPARE_AND_SET: &[u8] = b"local v = redis.call('GET', KEYS[1]) \
local n = v and string.match(v, '^[^ ]*') or '' \
if n ~= ARGV[1] then return {0, v} end \
redis.call('SET', KEYS[1], ARGV[2]) return {1}";

/// How Redis is called.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RedisSpec {
    /// User; `default` if there is a password alone.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub user: Option<String>,
    /// Password.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub password: Option<Secret>,
    /// Number of the database.
    #[serde(default)]
    pub database: u32,
    /// Name by which Sentinels know the primary; the endpoints are Sentinels then.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub primary: Option<String>,
}

impl RedisSpec {
    /// Reads `[AZ=]redis[s]://[[user]:password@]host[:port][/database]`, or
    /// `redis[s]+sentinel://…host[:port],…/primary[/database]`.
    ///
    /// # Errors
    /// What is wrong with it, for people; never with the password.
    pub fn parse(text: &str) -> Result<ServiceUrl, String> {
        let (az, url) = az_of(text)?;
        let parts = Parts::parse(url)?;
        let (tls, sentinel) = match parts.scheme.as_str() {
            "redis" => (false, false),
            "rediss" => (true, false),
            "redis+sentinel" => (false, true),
            "rediss+sentinel" => (true, true),
            other => {
                return Err(format!(
                    "'{other}://' is no Redis; write redis://, rediss:// (TLS), \
                     redis+sentinel:// or rediss+sentinel://"
                ));
            }
        };
        if let Some((name, _)) = parts.query.first() {
            return Err(format!("'?{name}=' is not known here"));
        }
        let mut path = parts.path.split('/').filter(|p| !p.is_empty());
        let primary = match sentinel {
            true => {
                let name = path.next().ok_or(
                    "the name of the primary is missing, as in \
                     redis+sentinel://host:26379/mymaster",
                )?;
                Some(decoded(name)?)
            }
            false => None,
        };
        let database = path.next().map(|n| {
            let why = || format!("'{n}' is no number of a database");
            n.parse().map_err(|_| why())
        });
        let database = database.transpose()?.unwrap_or(0);
        if path.next().is_some() {
            return Err("the path is too long: a database at most follows the host".into());
        }
        if !sentinel && parts.hosts.len() > 1 {
            return Err(
                "several hosts are Sentinels: write redis+sentinel://host,host/primary".into(),
            );
        }
        let port = if sentinel { SENTINEL_PORT } else { PORT };
        Ok(ServiceUrl {
            az,
            hosts: parts.endpoints(tls, port),
            service: ServiceSpec::Redis(RedisSpec {
                user: parts.user,
                password: parts.password,
                database,
                primary,
            }),
        })
    }
}

/// Redis as a service.
#[derive(Debug)]
pub struct Redis {
    spec: RedisSpec,
    sentinels: Option<Sentinels>,
    /// What keys of each table begin with.
    prefixes: Vec<String>,
    /// A space and filler, as long as it gets.
    filler: Vec<u8>,
}

impl Redis {
    /// As `spec` says, with the tables and the item size of `config`.
    pub fn new(spec: &RedisSpec, config: &CanaryConfig) -> Self {
        Redis {
            spec: spec.clone(),
            sentinels: spec.primary.as_deref().map(Sentinels::new),
            prefixes: config.tables().iter().map(|t| format!("{t}:")).collect(),
            filler: [b" ", &*vec![b'x'; config.most_filler()]].concat(),
        }
    }

    /// A register's value.
    fn value(&self, number: i64, bytes: u32) -> Vec<u8> {
        let filler = match bytes {
            0 => &[][..],
            n => &self.filler[..n as usize + 1],
        };
        [number.to_string().as_bytes(), filler].concat()
    }

    /// Says who we are and which database is meant, as far as there is anything to say.
    async fn greet(&self, stream: &mut dyn Stream) -> Result<(), NoAnswer> {
        let RedisSpec {
            user,
            password,
            database,
            ..
        } = &self.spec;
        let (mut said, mut asked) = (Vec::new(), Vec::new());
        if let Some(password) = password {
            let password = password.reveal().as_bytes();
            match user {
                Some(user) => command(&mut said, &[b"AUTH", user.as_bytes(), password]),
                None => command(&mut said, &[b"AUTH", password]),
            }
            asked.push("AUTH");
        }
        if *database > 0 {
            command(&mut said, &[b"SELECT", database.to_string().as_bytes()]);
            asked.push("SELECT");
        }
        if self.sentinels.is_some() {
            command(&mut said, &[b"ROLE"]);
            asked.push("ROLE");
        }
        let replies = ask(stream, &said, asked.len()).await?;
        for (what, reply) in asked.iter().zip(&replies) {
            match reply {
                Reply::Error(text) => {
                    let class = match *what {
                        "ROLE" => outcome::class(text).unwrap_or(ErrorClass::Server),
                        _ => outcome::class(text).unwrap_or(ErrorClass::Misconfigured),
                    };
                    return Err(NoAnswer::NotServed(class, format!("{what}: {text}")));
                }
                Reply::Array(Some(parts)) if *what == "ROLE" => sentinel::is_primary(parts)?,
                _ => {}
            }
        }
        Ok(())
    }
}

/// Writes `said` and reads `n` replies. The caller sets the deadline.
async fn ask(stream: &mut dyn Stream, said: &[u8], n: usize) -> Result<Vec<Reply>, NoAnswer> {
    if n == 0 {
        return Ok(Vec::new());
    }
    let sent = async {
        stream.write_all(said).await?;
        stream.flush().await
    };
    sent.await
        .map_err(|e| NoAnswer::NotConnected(format!("writing: {e}")))?;
    let mut read = |bytes: &[u8], _: bool| replies(bytes, n);
    match call::answer(stream, &mut Vec::new(), &mut read).await? {
        (replies, true) => Ok(replies),
        (_, false) => Err(NoAnswer::NotConnected(
            "it closed, or said more than was asked".into(),
        )),
    }
}

fn replies(bytes: &[u8], n: usize) -> Answer<Vec<Reply>> {
    let (mut what, mut used) = (Vec::new(), 0);
    while what.len() < n {
        match resp::reply(bytes, used) {
            Err(stop) => return stop.into(),
            Ok((reply, end)) => {
                // Whoever is refused is told one thing and no more.
                let last = matches!(&reply, Reply::Error(_)) && end == bytes.len();
                what.push(reply);
                used = end;
                if last {
                    break;
                }
            }
        }
    }
    Answer::Done {
        used,
        keep: true,
        what,
    }
}

/// Asks what is prepared with: one command, one reply that is no error.
async fn command_once(service: &Redis, at: Place<'_>, words: &[&[u8]]) -> Result<Reply, String> {
    let mut said = Vec::new();
    command(&mut said, words);
    let replies = once(service, at, &said, |bytes, _| replies(bytes, 1)).await?;
    match replies.into_iter().next() {
        Some(Reply::Error(text)) => Err(text),
        Some(reply) => Ok(reply),
        None => Err("no reply".into()),
    }
}

impl Service for Redis {
    fn open<'a>(
        &'a self,
        connector: &'a Connector,
        endpoint: &'a Endpoint,
    ) -> Fut<'a, Result<Box<dyn Stream>, NoAnswer>> {
        Box::pin(async move {
            let mut stream = match &self.sentinels {
                None => connector.open_bare(endpoint).await?,
                Some(sentinels) => {
                    let primary = sentinels.primary(connector, endpoint).await?;
                    connector.open_bare(&primary).await?
                }
            };
            match self.greet(stream.as_mut()).await {
                Ok(()) => Ok(stream),
                // Nothing of a call was on its way, however it ended.
                Err(NoAnswer::Broken(why) | NoAnswer::Garbled(why)) => {
                    Err(NoAnswer::NotConnected(why))
                }
                Err(NoAnswer::Closed) => {
                    let why = "connection closed while it was opened";
                    Err(NoAnswer::NotConnected(why.into()))
                }
                Err(why) => Err(why),
            }
        })
    }

    fn request(&self, drawn: &Drawn, _: usize) -> Vec<u8> {
        let prefix = &self.prefixes[drawn.table];
        let key = [prefix, drawn.call.key()].concat();
        let key = key.as_bytes();
        let mut out = Vec::with_capacity(128 + drawn.bytes as usize);
        match &drawn.call {
            Call::Read { .. } => command(&mut out, &[b"GET", key]),
            Call::Write { value, .. } => {
                command(&mut out, &[b"SET", key, &self.value(*value, drawn.bytes)]);
            }
            Call::Insert { value, .. } => {
                let value = self.value(*value, drawn.bytes);
                command(&mut out, &[b"SET", key, &value, b"NX"]);
            }
            Call::Cas { expected, new, .. } => {
                let expected = expected.map(|n| n.to_string()).unwrap_or_default();
                let new = self.value(*new, drawn.bytes);
                let words = [
                    b"EVAL",
                    COMPARE_AND_SET,
                    b"1",
                    key,
                    expected.as_bytes(),
                    &new,
                ];
                command(&mut out, &words);
            }
            Call::Add { delta, .. } => {
                command(&mut out, &[b"INCRBY", key, delta.to_string().as_bytes()]);
            }
        }
        out
    }

    fn answer(&self, call: &Call, bytes: &[u8], _: bool) -> Answer<Outcome> {
        match resp::reply(bytes, 0) {
            Err(stop) => stop.into(),
            Ok((reply, used)) => {
                let (what, keep) = outcome::outcome(call, &reply);
                Answer::Done { used, keep, what }
            }
        }
    }

    fn prepare<'a>(&'a self, at: Place<'a>, _: bool) -> Fut<'a, Result<bool, String>> {
        Box::pin(async move {
            match command_once(self, at, &[b"PING"]).await {
                Ok(Reply::Status(_)) => Ok(false),
                Ok(other) => Err(format!("PING was answered by {other:?}: is it Redis?")),
                Err(why) => Err(format!("PING: {why}")),
            }
        })
    }

    fn clear<'a>(&'a self, at: Place<'a>, keys: Vec<String>) -> Fut<'a, Result<(), String>> {
        Box::pin(async move {
            for some in keys.chunks(DELETED) {
                let keys: Vec<String> = some.iter().map(|k| format!("{}:{k}", at.table)).collect();
                let mut words: Vec<&[u8]> = vec![b"DEL"];
                words.extend(keys.iter().map(|k| k.as_bytes()));
                match command_once(self, at, &words).await {
                    Ok(Reply::Integer(_)) => {}
                    Ok(other) => return Err(format!("DEL was answered by {other:?}")),
                    Err(why) => return Err(format!("DEL: {why}")),
                }
            }
            Ok(())
        })
    }
}

#[cfg(test)]
mod tests;
