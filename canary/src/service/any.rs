//! The URL of any service, told apart by its scheme.

use super::http::HttpSpec;
use super::postgres::PostgresSpec;
use super::redis::RedisSpec;
use super::url::ServiceUrl;
use super::{ServiceSpec, etcd};
use crate::names::EndpointUrl;

/// Schemes of those that speak HTTP, and what stands for it there.
const OVER_HTTP: [(&str, &str); 4] = [
    ("dynamodb://", "http://"),
    ("dynamodb+https://", "https://"),
    ("etcd://", "http://"),
    ("etcd+https://", "https://"),
];

impl ServiceUrl {
    /// Reads one: `redis://`, `rediss://`, `redis+sentinel://`, `postgres://`, `etcd://`,
    /// `etcd+https://`, `dynamodb://`, `dynamodb+https://`, `http://` or `https://`.
    ///
    /// # Errors
    /// What is wrong with it; never the URL itself, which may hold a password.
    pub fn parse(text: &str) -> Result<Self, String> {
        let (before, scheme) = match text.split_once("://") {
            Some((before, _)) => (before, before.rsplit('=').next().unwrap_or(before)),
            None => return Err("not a URL with a scheme://".into()),
        };
        let scheme = scheme.to_ascii_lowercase();
        let rest = &text[before.len() + 3..];
        let as_http = || {
            let known = OVER_HTTP
                .iter()
                .find(|(own, _)| *own == format!("{scheme}://"));
            let az = &before[..before.len() - scheme.len()];
            known.map(|(_, http)| format!("{az}{http}{rest}"))
        };
        match scheme.as_str() {
            "redis" | "rediss" | "redis+sentinel" | "rediss+sentinel" => RedisSpec::parse(text),
            "postgres" | "postgresql" => PostgresSpec::parse(text),
            "http" | "https" => HttpSpec::parse(text),
            _ => match as_http() {
                Some(url) if scheme.starts_with("etcd") => etcd::parse(&url),
                Some(url) => {
                    let url = EndpointUrl::parse(&url)?;
                    Ok(ServiceUrl {
                        az: url.az.clone(),
                        hosts: vec![url],
                        service: ServiceSpec::default(),
                    })
                }
                None => Err(format!(
                    "a canary does not speak {scheme}://; it speaks redis, rediss, redis+sentinel, \
                     postgres, etcd, dynamodb, http and https"
                )),
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_scheme_says_what_is_spoken() {
        for (text, name, port) in [
            ("redis://cache:7000", "Redis", 7000),
            ("redis+sentinel://one,two/main", "Redis", 26_379),
            ("postgres://me@db/shop", "PostgreSQL", 5432),
            ("etcd://e1", "etcd", 2379),
            ("etcd+https://e1:1", "etcd", 1),
            ("dynamodb://router:8000", "DynamoDB", 8000),
            ("http://web:8080/x", "HTTP", 8080),
        ] {
            let url = ServiceUrl::parse(text).unwrap_or_else(|e| panic!("{text}: {e}"));
            assert_eq!(
                (url.service.name(), url.hosts[0].port),
                (name, port),
                "{text}"
            );
        }
        assert_eq!(
            ServiceUrl::parse("a=etcd://e1").unwrap().az.as_deref(),
            Some("a")
        );
        for wrong in ["cache:6379", "ftp://x", "mysql://x", "://"] {
            assert!(ServiceUrl::parse(wrong).is_err(), "{wrong}");
        }
    }
}
