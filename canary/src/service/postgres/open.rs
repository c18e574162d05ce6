//! How a connection to PostgreSQL begins: TLS, who we are, and whether it takes writes.

use super::PostgresSpec;
use super::frames::{Frame, frame, reply, said};
use crate::call;
use crate::classify::NoAnswer;
use crate::config::Endpoint;
use crate::connect::{Connector, Stream};
use crate::service::{Answer, Stop};
use bytes::BytesMut;
use gameday_record::ErrorClass;
use postgres_protocol::authentication::md5_hash;
use postgres_protocol::authentication::sasl::{ChannelBinding, SCRAM_SHA_256, ScramSha256};
use postgres_protocol::message::frontend;
use std::io;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::time::timeout;

/// Time that each of several hosts has.
const EACH: Duration = Duration::from_millis(800);

/// Most messages before a server is ready.
const MAX_MESSAGES: usize = 200;

/// Most rounds of its hash function that a server may ask for; 4096 are usual. They run on
/// the thread of the calls.
const MAX_ITERATIONS: u32 = 100_000;

/// Kinds of authentication, as the server numbers them.
const OK: u32 = 0;
const CLEARTEXT: u32 = 3;
const MD5: u32 = 5;
const SASL: u32 = 10;
const SASL_CONTINUE: u32 = 11;
const SASL_FINAL: u32 = 12;

/// A connection to the first host of `endpoint` that serves, beginning with the one that did
/// last.
pub(super) async fn one_of(
    spec: &PostgresSpec,
    first: &AtomicUsize,
    connector: &Connector,
    endpoint: &Endpoint,
) -> Result<Box<dyn Stream>, NoAnswer> {
    if endpoint.more.is_empty() {
        return one(spec, connector, endpoint).await;
    }
    let hosts: Vec<Endpoint> = endpoint.hosts().collect();
    let begin = first.load(Ordering::Relaxed);
    let mut whys = Vec::new();
    let mut class = ErrorClass::Refused;
    for n in 0..hosts.len() {
        let n = (begin + n) % hosts.len();
        let why = match timeout(EACH, one(spec, connector, &hosts[n])).await {
            Ok(Ok(stream)) => {
                first.store(n, Ordering::Relaxed);
                return Ok(stream);
            }
            // It is ours, whichever host there is.
            Ok(Err(why @ NoAnswer::NoMeans(_))) => return Err(why),
            Ok(Err(NoAnswer::NotServed(served, why))) => {
                class = served;
                why
            }
            Ok(Err(why)) => why.to_string(),
            Err(_) => format!("no connection within {EACH:?}"),
        };
        whys.push(format!("{}: {why}", hosts[n].host()));
    }
    Err(NoAnswer::NotServed(class, whys.join("; ")))
}

async fn one(
    spec: &PostgresSpec,
    connector: &Connector,
    endpoint: &Endpoint,
) -> Result<Box<dyn Stream>, NoAnswer> {
    let mut tcp = connector.tcp(endpoint).await?;
    let mut stream: Box<dyn Stream> = if spec.tls {
        let mut ask = BytesMut::new();
        frontend::ssl_request(&mut ask);
        let answer = async {
            tcp.write_all(&ask).await?;
            tcp.read_u8().await
        };
        match answer.await.map_err(broken)? {
            b'S' => connector.secure(tcp, endpoint).await?,
            _ => {
                let why = "the server has no TLS; sslmode=disable goes without";
                return Err(misconfigured(why.into()));
            }
        }
    } else {
        Box::new(tcp)
    };
    start(spec, stream.as_mut()).await?;
    if spec.read_write {
        takes_writes(stream.as_mut()).await?;
    }
    Ok(stream)
}

/// Says who we are, until the server is ready.
async fn start(spec: &PostgresSpec, stream: &mut dyn Stream) -> Result<(), NoAnswer> {
    let mut out = BytesMut::new();
    let who = [
        ("user", spec.user.as_str()),
        ("database", &spec.database),
        ("application_name", "gameday"),
        ("client_encoding", "UTF8"),
    ];
    frontend::startup_message(who, &mut out).map_err(unwritable)?;
    send(stream, &mut out).await?;
    let mut input = Input::default();
    let mut scram = None;
    for _ in 0..MAX_MESSAGES {
        let frame = input.next(stream).await?;
        match frame.tag {
            b'R' => {
                authenticate(spec, frame.body, &mut scram, &mut out)?;
                if !out.is_empty() {
                    send(stream, &mut out).await?;
                }
            }
            b'E' => {
                let error = said(frame.body);
                let class = match error.code.get(..2) {
                    // It is starting up or shutting down, or has too many connections.
                    Some("57" | "53") => ErrorClass::Server,
                    _ => ErrorClass::Misconfigured,
                };
                return Err(NoAnswer::NotServed(class, error.to_string()));
            }
            b'Z' => return Ok(()),
            // Parameters, the key to cancel with, notices, another version of the protocol.
            b'S' | b'K' | b'N' | b'v' => {}
            other => {
                let why = format!("it began with a message '{}'", char::from(other));
                return Err(NoAnswer::NotConnected(why));
            }
        }
    }
    Err(NoAnswer::NotConnected(
        "it talks without being ready".into(),
    ))
}

/// Answers a request for authentication into `out`.
fn authenticate(
    spec: &PostgresSpec,
    body: &[u8],
    scram: &mut Option<ScramSha256>,
    out: &mut BytesMut,
) -> Result<(), NoAnswer> {
    let Some((kind, rest)) = body.split_first_chunk::<4>() else {
        return Err(NoAnswer::NotConnected(
            "no request for authentication".into(),
        ));
    };
    let kind = u32::from_be_bytes(*kind);
    let password = || {
        let password = spec.password.as_ref().map(|p| p.reveal().as_bytes());
        password.ok_or_else(|| misconfigured("it asks for a password, and there is none".into()))
    };
    let odd = |e: io::Error| misconfigured(format!("authentication: {e}"));
    match (kind, scram) {
        (OK, _) => Ok(()),
        (CLEARTEXT, _) if spec.tls => frontend::password_message(password()?, out).map_err(odd),
        (CLEARTEXT, _) => Err(misconfigured(
            "it asks for the password in clear text, which is sent over TLS only".into(),
        )),
        (MD5, _) => {
            let salt = rest.first_chunk::<4>();
            let salt = *salt.ok_or_else(|| misconfigured("MD5 without a salt".into()))?;
            let hash = md5_hash(spec.user.as_bytes(), password()?, salt);
            frontend::password_message(hash.as_bytes(), out).map_err(odd)
        }
        (SASL, scram) => {
            let mut known = rest.split(|b| *b == 0);
            if !known.any(|m| m == SCRAM_SHA_256.as_bytes()) {
                return Err(misconfigured("it does not know SCRAM-SHA-256".into()));
            }
            let begun = ScramSha256::new(password()?, ChannelBinding::unsupported());
            let done = frontend::sasl_initial_response(SCRAM_SHA_256, begun.message(), out);
            *scram = Some(begun);
            done.map_err(odd)
        }
        (SASL_CONTINUE, Some(scram)) => {
            if iterations(rest).is_none_or(|n| n > MAX_ITERATIONS) {
                let why = format!("SCRAM with more than {MAX_ITERATIONS} iterations");
                return Err(misconfigured(why));
            }
            scram.update(rest).map_err(odd)?;
            frontend::sasl_response(scram.message(), out).map_err(odd)
        }
        // The server proves that it knows the password as well.
        (SASL_FINAL, Some(scram)) => scram.finish(rest).map_err(odd),
        (kind, _) => Err(misconfigured(format!(
            "it asks for authentication of kind {kind}, which is not known here"
        ))),
    }
}

/// The number of iterations in a server's first message of SCRAM: `r=…,s=…,i=4096`.
fn iterations(message: &[u8]) -> Option<u32> {
    let mut parts = message.split(|b| *b == b',');
    let number = parts.find_map(|part| part.strip_prefix(b"i="))?;
    std::str::from_utf8(number).ok()?.parse().ok()
}

/// Refuses a server that only reads.
async fn takes_writes(stream: &mut dyn Stream) -> Result<(), NoAnswer> {
    let mut out = BytesMut::new();
    frontend::query("SHOW transaction_read_only", &mut out).map_err(unwritable)?;
    send(stream, &mut out).await?;
    let mut read = |bytes: &[u8], closed| match reply(bytes, closed) {
        Ok((what, used)) => Answer::Done {
            used,
            keep: true,
            what,
        },
        Err(stop) => stop.into(),
    };
    let answered = call::answer(stream, &mut Vec::new(), &mut read).await;
    let (reply, _) = answered.map_err(|why| NoAnswer::NotConnected(why.to_string()))?;
    match reply.value.flatten().as_deref() {
        Some("off") => Ok(()),
        Some("on") => Err(NoAnswer::NotServed(
            ErrorClass::Server,
            "it takes no writes".into(),
        )),
        _ => Err(NoAnswer::NotConnected(
            "it does not say whether it takes writes".into(),
        )),
    }
}

async fn send(stream: &mut dyn Stream, out: &mut BytesMut) -> Result<(), NoAnswer> {
    let sent = async {
        stream.write_all(out).await?;
        stream.flush().await
    };
    sent.await.map_err(broken)?;
    out.clear();
    Ok(())
}

/// What came and was not understood yet.
#[derive(Default)]
struct Input {
    bytes: Vec<u8>,
    used: usize,
}

impl Input {
    /// The next message.
    async fn next(&mut self, stream: &mut dyn Stream) -> Result<Frame<'_>, NoAnswer> {
        self.bytes.drain(..std::mem::take(&mut self.used));
        loop {
            match frame(&self.bytes, 0) {
                Ok((_, end)) => {
                    self.used = end;
                    let tag = self.bytes[0];
                    let body = &self.bytes[5..end];
                    return Ok(Frame { tag, body });
                }
                Err(Stop::Garbled(why)) => return Err(NoAnswer::NotConnected(why)),
                Err(Stop::Partial(_)) => {
                    if stream.read_buf(&mut self.bytes).await.map_err(broken)? == 0 {
                        let why = "connection closed while it was opened";
                        return Err(NoAnswer::NotConnected(why.into()));
                    }
                }
            }
        }
    }
}

/// Nothing of a call was on its way.
fn broken(e: io::Error) -> NoAnswer {
    NoAnswer::NotConnected(format!("opening the connection: {e}"))
}

fn unwritable(e: io::Error) -> NoAnswer {
    misconfigured(format!("a name: {e}"))
}

fn misconfigured(why: String) -> NoAnswer {
    NoAnswer::NotServed(ErrorClass::Misconfigured, why)
}
