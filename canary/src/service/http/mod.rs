//! Any service over HTTP/1.1: what is asked and what counts as an answer is said in a few
//! words.
//!
//! | call | request |
//! | --- | --- |
//! | read, of either kind | `GET` of the path |
//! | write, insert | the method for writing, on the path, with the body; none if there is no method |
//! | compare-and-set, addition | none |
//!
//! In path and body stand `{key}`, `{value}` and `{pad}` for the key, the number and the
//! filler. Without a method for writing the service is only read, and what it says is not
//! looked at: its availability and its latency are measured, and nothing else.

mod outcome;
mod template;

use super::once::once;
use super::url::{Parts, ServiceUrl, az_of};
use super::{Answer, CallKind, Fut, Place, Service, ServiceSpec};
use crate::config::{CanaryConfig, Endpoint};
use crate::exchange;
use crate::workload::Drawn;
use gameday_record::{Call, Outcome};
use serde::{Deserialize, Serialize};
use template::Template;

/// Most headers that are added.
const MAX_HEADERS: usize = 32;

/// Longest of the texts, in bytes.
const MAX_TEXT: usize = 16 << 10;

/// How a service is called over HTTP.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct HttpSpec {
    /// Path and query, beginning with `/`.
    pub path: String,
    /// Method that reads.
    #[serde(default = "get")]
    pub read: String,
    /// How it is written, if it is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub write: Option<HttpWrite>,
    /// Headers of every request, with their values.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub headers: Vec<(String, String)>,
    /// Statuses that count as success, from and to.
    #[serde(default = "success")]
    pub success: Vec<(u16, u16)>,
}

/// How a value gets there and is found again.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct HttpWrite {
    /// Method that writes.
    pub method: String,
    /// Body of what writes.
    pub body: String,
    /// Method that deletes, before anything is measured.
    pub delete: String,
    /// Where the number is in what is read: a JSON pointer (RFC 6901), which is empty if the
    /// whole body is the number.
    pub value: String,
}

fn get() -> String {
    "GET".into()
}

fn success() -> Vec<(u16, u16)> {
    vec![(200, 299)]
}

impl HttpSpec {
    /// Reads `[AZ=]http[s]://host[:port][/path]`: a service that is only read.
    ///
    /// # Errors
    /// What is wrong with it, for people.
    pub fn parse(text: &str) -> Result<ServiceUrl, String> {
        let (az, url) = az_of(text)?;
        let parts = Parts::parse_whole_path(url)?;
        let (tls, port) = match parts.scheme.as_str() {
            "http" => (false, 80),
            "https" => (true, 443),
            other => {
                return Err(format!(
                    "'{other}://' is no HTTP; write http:// or https://"
                ));
            }
        };
        if parts.user.is_some() || parts.password.is_some() {
            return Err("a user and a password go into a header: --http-header".into());
        }
        if parts.hosts.len() > 1 {
            return Err("an endpoint has one host: repeat the option, each with an AZ".into());
        }
        let spec = HttpSpec {
            path: format!("/{}", parts.path),
            read: get(),
            write: None,
            headers: Vec::new(),
            success: success(),
        };
        Ok(ServiceUrl {
            az,
            hosts: parts.endpoints(tls, port),
            service: ServiceSpec::Http(spec),
        })
    }

    /// Reads a header, `name: value`.
    ///
    /// # Errors
    /// It is none, or one that is set anyway.
    pub fn header(text: &str) -> Result<(String, String), String> {
        let (name, value) = text
            .split_once(':')
            .ok_or(format!("'{text}' is no header, such as 'name: value'"))?;
        Ok((name.trim().to_ascii_lowercase(), value.trim().into()))
    }

    /// Reads statuses that count as success: `200-299,404`.
    ///
    /// # Errors
    /// They are none.
    pub fn statuses(text: &str) -> Result<Vec<(u16, u16)>, String> {
        let one = |part: &str| {
            let (from, to) = part.split_once('-').unwrap_or((part, part));
            let (from, to) = (from.trim().parse().ok()?, to.trim().parse().ok()?);
            ((200..=599).contains(&from) && (from..=599).contains(&to)).then_some((from, to))
        };
        let all = text.split(',').map(one).collect::<Option<Vec<_>>>();
        all.ok_or(format!(
            "'{text}' is no list of statuses, such as 200-299,404"
        ))
    }

    /// Checks all of it.
    ///
    /// # Errors
    /// What is wrong, and what to do.
    pub fn validate(&self) -> Result<(), String> {
        let token = |text: &str| {
            let plain = |b: u8| b.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&b);
            (1..=64).contains(&text.len()) && text.bytes().all(plain)
        };
        let path = |text: &str| text.starts_with('/') && text.bytes().all(|b| b.is_ascii_graphic());
        if !path(&self.path) || self.path.len() > MAX_TEXT {
            return Err("the path begins with / and is visible ASCII".into());
        }
        let write = self.write.as_ref();
        let methods = write.map(|w| [&w.method, &w.delete]).into_iter().flatten();
        if !methods.chain([&self.read]).all(|m| token(m)) {
            return Err("a method is one word, such as PUT".into());
        }
        if self.read.eq_ignore_ascii_case("HEAD") {
            return Err("an answer to HEAD has no body to read: use GET".into());
        }
        if self.headers.len() > MAX_HEADERS {
            return Err(format!("at most {MAX_HEADERS} headers are added"));
        }
        for (name, value) in &self.headers {
            let set = ["host", "content-length", "transfer-encoding", "connection"];
            let visible = |b: u8| b == b'\t' || (b' '..=b'~').contains(&b);
            if !token(name) || !value.bytes().all(visible) || value.len() > MAX_TEXT {
                return Err(format!(
                    "the header '{name}' is no name with a value of visible ASCII"
                ));
            }
            if set.contains(&name.as_str()) {
                return Err(format!(
                    "the header '{name}' is set by itself: leave it out"
                ));
            }
        }
        if self.success.is_empty() {
            return Err("some status counts as success".into());
        }
        let Some(write) = write else {
            return Ok(());
        };
        if write.body.len() > MAX_TEXT || write.value.len() > MAX_TEXT {
            return Err(format!("texts are at most {MAX_TEXT} bytes"));
        }
        if !self.path.contains("{key}") {
            return Err("what is written has a path with {key} in it".into());
        }
        if !write.body.contains("{value}") && !self.path.contains("{value}") {
            return Err("what is written has {value} in its body".into());
        }
        if !write.value.is_empty() && !write.value.starts_with('/') {
            return Err(
                "where the value is, is a JSON pointer such as /item/value, or empty".into(),
            );
        }
        Ok(())
    }

    /// Whether it has this kind of call.
    ///
    /// # Errors
    /// Why not, and what to do instead.
    pub fn can(&self, kind: CallKind) -> Result<(), String> {
        match kind {
            CallKind::StrongRead | CallKind::EventualRead => Ok(()),
            CallKind::Write | CallKind::Insert if self.write.is_some() => Ok(()),
            CallKind::Write | CallKind::Insert => {
                Err("it is only read: say --http-write METHOD".into())
            }
            CallKind::Cas | CallKind::Add => {
                Err("HTTP has no such call that every service knows; use writes and inserts".into())
            }
        }
    }
}

/// A service over HTTP.
#[derive(Debug)]
pub struct Http {
    spec: HttpSpec,
    path: Template,
    body: Template,
    filler: String,
    /// What each endpoint is called.
    hosts: Vec<String>,
    /// What keys of each table begin with.
    prefixes: Vec<String>,
}

impl Http {
    /// As `spec` says, with the endpoints and the item size of `config`.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn new(spec: &HttpSpec, config: &CanaryConfig) -> Result<Self, String> {
        spec.validate()?;
        let body = spec.write.as_ref().map_or("", |w| w.body.as_str());
        Ok(Http {
            path: Template::new(&spec.path),
            body: Template::new(body),
            spec: spec.clone(),
            filler: "x".repeat(config.most_filler()),
            hosts: config.endpoints.iter().map(Endpoint::host).collect(),
            prefixes: config.tables().iter().map(|t| prefix(t)).collect(),
        })
    }

    fn asks(&self, method: &str, host: &str, key: &str, value: &str, body: &str) -> Vec<u8> {
        let path = self.path.filled(key, value, "");
        let headers = self.spec.headers.iter();
        let headers = headers.map(|(name, value)| (name.as_str(), value.as_str()));
        exchange::request(
            &[method, " ", &path].concat(),
            [("host", host)].into_iter().chain(headers),
            body.as_bytes(),
        )
    }
}

/// What keys of a table begin with, so that it fits into a path.
fn prefix(table: &str) -> String {
    let plain = |b: char| b.is_ascii_alphanumeric() || "-._~".contains(b);
    let table: String = table
        .chars()
        .map(|c| if plain(c) { c } else { '-' })
        .collect();
    format!("{table}-")
}

impl Service for Http {
    fn request(&self, drawn: &Drawn, endpoint: usize) -> Vec<u8> {
        let host = &self.hosts[endpoint];
        let key = [&self.prefixes[drawn.table], drawn.call.key()].concat();
        match (&drawn.call, &self.spec.write) {
            (Call::Write { value, .. } | Call::Insert { value, .. }, Some(write)) => {
                let value = value.to_string();
                let filler = &self.filler[..drawn.bytes as usize];
                let body = self.body.filled(&key, &value, filler);
                self.asks(&write.method, host, &key, &value, &body)
            }
            // Nothing else is drawn than reads: the rest is refused beforehand.
            _ => self.asks(&self.spec.read, host, &key, "", ""),
        }
    }

    fn answer(&self, call: &Call, bytes: &[u8], closed: bool) -> Answer<Outcome> {
        exchange::answer(bytes, closed)
            .map(|r| outcome::outcome(&self.spec, call, r.status, &r.body))
    }

    fn prepare<'a>(&'a self, at: Place<'a>, _: bool) -> Fut<'a, Result<bool, String>> {
        Box::pin(async move {
            // Whether it is there at all; what it answers is what is measured.
            let key = [&prefix(at.table), "none"].concat();
            let request = self.asks(&self.spec.read, &at.endpoint.host(), &key, "", "");
            let read = |bytes: &[u8], closed| exchange::answer(bytes, closed).map(|r| r.status);
            once(self, at, &request, read).await.map(|_| false)
        })
    }

    fn clear<'a>(&'a self, at: Place<'a>, keys: Vec<String>) -> Fut<'a, Result<(), String>> {
        Box::pin(async move {
            let Some(write) = &self.spec.write else {
                return Ok(());
            };
            for key in keys {
                let key = [prefix(at.table), key].concat();
                let request = self.asks(&write.delete, &at.endpoint.host(), &key, "", "");
                let read = |bytes: &[u8], closed| exchange::answer(bytes, closed).map(|r| r.status);
                let status = once(self, at, &request, read).await?;
                if !self.spec.succeeds(status) && status != 404 {
                    let method = &write.delete;
                    return Err(format!(
                        "{method} of {key} was answered by {status}; say --http-delete METHOD"
                    ));
                }
            }
            Ok(())
        })
    }
}

#[cfg(test)]
mod tests;
