//! Which node is the primary, as Redis' Sentinels say.
//!
//! As the guidelines for clients ask: the Sentinels are asked one after the other, each for
//! a few hundred milliseconds, the one that answered last first; and the node that they name
//! is asked for its role, because they may not know yet.
//! <https://redis.io/docs/latest/develop/reference/sentinel-clients/>

use super::resp::{Reply, command};
use crate::classify::NoAnswer;
use crate::config::Endpoint;
use crate::connect::Connector;
use gameday_record::ErrorClass;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;
use tokio::net::lookup_host;
use tokio::time::timeout;

/// Time that each Sentinel has.
const EACH: Duration = Duration::from_millis(300);

/// Those who know the primary by a name.
#[derive(Debug)]
pub(super) struct Sentinels {
    name: String,
    /// Which of them answered last.
    first: AtomicUsize,
}

impl Sentinels {
    pub(super) fn new(name: &str) -> Self {
        Sentinels {
            name: name.into(),
            first: AtomicUsize::new(0),
        }
    }

    /// The primary now, as an endpoint in the AZ of the one that stands for its Sentinels.
    pub(super) async fn primary(
        &self,
        connector: &Connector,
        endpoint: &Endpoint,
    ) -> Result<Endpoint, NoAnswer> {
        let hosts: Vec<Endpoint> = endpoint.hosts().collect();
        let first = self.first.load(Ordering::Relaxed);
        let mut whys = Vec::new();
        for n in 0..hosts.len() {
            let n = (first + n) % hosts.len();
            let asked = timeout(EACH, self.ask(connector, &hosts[n])).await;
            let why = match asked {
                Ok(Ok((host, port))) => match address(&host, port).await {
                    Ok(addr) => {
                        self.first.store(n, Ordering::Relaxed);
                        return Ok(Endpoint {
                            host: host.parse::<std::net::IpAddr>().is_err().then_some(host),
                            addr,
                            more: Vec::new(),
                            ..endpoint.clone()
                        });
                    }
                    Err(why) => why,
                },
                Ok(Err(why)) => why,
                Err(_) => format!("no answer within {EACH:?}"),
            };
            whys.push(format!("{}: {why}", hosts[n].host()));
        }
        let why = format!("no Sentinel knows the primary '{}': ", self.name) + &whys.join("; ");
        Err(NoAnswer::NotServed(ErrorClass::Server, why))
    }

    #[cfg(test)]
    pub(super) fn first(&self) -> usize {
        self.first.load(Ordering::Relaxed)
    }

    async fn ask(&self, connector: &Connector, to: &Endpoint) -> Result<(String, u16), String> {
        let mut stream = connector.open_bare(to).await.map_err(|e| e.to_string())?;
        let mut said = Vec::new();
        let words: [&[u8]; 3] = [
            b"SENTINEL",
            b"get-master-addr-by-name",
            self.name.as_bytes(),
        ];
        command(&mut said, &words);
        let replies = super::ask(stream.as_mut(), &said, 1).await;
        named(&replies.map_err(|e| e.to_string())?)
    }
}

/// The host and the port in an answer.
fn named(replies: &[Reply]) -> Result<(String, u16), String> {
    match replies {
        [Reply::Array(None)] | [Reply::Bulk(None)] => Err("it knows no such primary".into()),
        [Reply::Error(text)] => Err(text.clone()),
        [Reply::Array(Some(parts))] => match &parts[..] {
            [Reply::Bulk(Some(host)), Reply::Bulk(Some(port))] => {
                let text = |b: &[u8]| String::from_utf8(b.to_vec()).ok();
                let port = text(port).and_then(|p| p.parse().ok());
                let host = text(host).filter(|h| (1..=253).contains(&h.len()));
                host.zip(port).ok_or("it names no host and port".into())
            }
            _ => Err("it names no host and port".into()),
        },
        other => Err(format!("it answers {other:?}")),
    }
}

async fn address(host: &str, port: u16) -> Result<SocketAddr, String> {
    let found = timeout(EACH, lookup_host((host, port))).await;
    let found = found.map_err(|_| format!("the name '{host}' was not resolved within {EACH:?}"))?;
    let mut found = found.map_err(|e| format!("the name '{host}' cannot be resolved: {e}"))?;
    found
        .next()
        .ok_or(format!("the name '{host}' has no address"))
}

/// Refuses a node whose `ROLE` is another one.
pub(super) fn is_primary(role: &[Reply]) -> Result<(), NoAnswer> {
    match role.first() {
        Some(Reply::Bulk(Some(name))) if name == b"master" => Ok(()),
        _ => Err(NoAnswer::NotServed(
            ErrorClass::Server,
            "the node that the Sentinels name is no primary".into(),
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bulk(text: &str) -> Reply {
        Reply::Bulk(Some(text.as_bytes().to_vec()))
    }

    #[test]
    fn a_sentinel_names_a_host_and_a_port_or_says_why_not() {
        let of = |parts: &[Reply]| named(&[Reply::Array(Some(parts.to_vec()))]);
        let good = [bulk("10.0.0.1"), bulk("6379")];
        assert_eq!(of(&good), Ok(("10.0.0.1".into(), 6379)));
        for parts in [
            &[][..],
            &[bulk("h")],
            &[bulk("h"), bulk("port")],
            &[bulk("h"), bulk("70000")],
            &[bulk(""), bulk("1")],
            &[Reply::Integer(1), bulk("1")],
        ] {
            assert!(
                of(parts).unwrap_err().contains("no host and port"),
                "{parts:?}"
            );
        }
        assert!(
            named(&[Reply::Array(None)])
                .unwrap_err()
                .contains("no such")
        );
        let e = named(&[Reply::Error("NOAUTH x".into())]).unwrap_err();
        assert_eq!(e, "NOAUTH x");
    }

    #[test]
    fn a_replica_is_not_written_to() {
        assert_eq!(is_primary(&[bulk("master"), Reply::Integer(0)]), Ok(()));
        for role in [&[bulk("slave")][..], &[bulk("sentinel")], &[]] {
            assert!(matches!(is_primary(role), Err(NoAnswer::NotServed(..))));
        }
    }
}
