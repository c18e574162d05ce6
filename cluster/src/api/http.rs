//! The public endpoint: DynamoDB's protocol over HTTP/1.1.

use crate::api::body::{self, BodyError};
use crate::api::error::{ApiError, ErrorKind};
use crate::api::json::footprint;
use crate::api::memory::{Memory, Share};
use crate::api::ops::{Context, Operation};
use crate::backend::Backend;
use bytes::Bytes;
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::header::{
    AUTHORIZATION, CONNECTION, CONTENT_LENGTH, CONTENT_TYPE, DATE, HOST, HeaderMap, HeaderName,
    HeaderValue,
};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::{TokioIo, TokioTimer};
use rand::RngExt;
use std::convert::Infallible;
use std::future::Future;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Semaphore, watch};
use tokio::task::JoinSet;

const JSON: HeaderValue = HeaderValue::from_static("application/x-amz-json-1.0");
const REQUEST_ID: HeaderName = HeaderName::from_static("x-amzn-requestid");
const CRC32: HeaderName = HeaderName::from_static("x-amz-crc32");
const DEFAULT_REGION: &str = "us-east-1";

/// Bounds of the endpoint.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Largest request body in bytes, also unpacked.
    pub body: usize,
    /// Most memory in bytes, estimated, that one request may take when it is decoded.
    pub decoded: usize,
    /// Most memory in bytes, estimated, of all requests in work together, bodies and what they
    /// are decoded to; the first 16 KiB of each do not count. Past it requests are answered 503.
    pub in_work: usize,
    /// Connections at a time; more wait to be accepted.
    pub connections: usize,
    /// For a request's head to arrive, counted from the answer before it, so
    /// also how long a connection may idle.
    pub header_time: Duration,
    /// For a request's body to arrive.
    pub body_time: Duration,
    /// For the backend's answer; past it the outcome is unknown (500).
    pub request_time: Duration,
    /// For requests in flight to end at shutdown.
    pub shutdown_time: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            body: 16 << 20,
            decoded: 64 << 20,
            in_work: 128 << 20,
            connections: 4096,
            header_time: Duration::from_secs(60),
            body_time: Duration::from_secs(20),
            request_time: Duration::from_secs(30),
            shutdown_time: Duration::from_secs(5),
        }
    }
}

/// Serves the API with the default [`Limits`] until `shutdown` completes and
/// the requests in flight have ended or their time is over.
pub async fn serve(
    listener: TcpListener,
    backend: Arc<dyn Backend>,
    shutdown: impl Future<Output = ()>,
) {
    serve_with(listener, backend, Limits::default(), shutdown).await;
}

/// As [`serve`], with limits of one's own.
pub async fn serve_with(
    listener: TcpListener,
    backend: Arc<dyn Backend>,
    limits: Limits,
    shutdown: impl Future<Output = ()>,
) {
    let places = Arc::new(Semaphore::new(limits.connections));
    let memory = Memory::of(limits.in_work);
    let (stop, stopped) = watch::channel(());
    let mut connections = JoinSet::new();
    let mut shutdown = pin!(shutdown);
    loop {
        let accepted = async {
            // Never closed, so it is always a permit.
            let place = places.clone().acquire_owned().await.ok();
            (place, listener.accept().await)
        };
        tokio::select! {
            () = &mut shutdown => break,
            Some(_) = connections.join_next() => {}
            (place, accepted) = accepted => match accepted {
                Ok((stream, _)) => {
                    let (backend, mut stopped) = (backend.clone(), stopped.clone());
                    let memory = memory.clone();
                    connections.spawn(async move {
                        let stop = async move {
                            // An error means that the sender is gone: stop as well.
                            let _ = stopped.changed().await;
                        };
                        connection(stream, backend, limits, memory, stop).await;
                        drop(place);
                    });
                }
                Err(error) => {
                    // Out of file descriptors, most likely: let some end.
                    tracing::warn!(%error, "accept failed");
                    tokio::time::sleep(Duration::from_millis(20)).await;
                }
            },
        }
    }
    drop(listener);
    // Receivers may all be gone already.
    let _ = stop.send(());
    let all_ended = async { while connections.join_next().await.is_some() {} };
    if tokio::time::timeout(limits.shutdown_time, all_ended)
        .await
        .is_err()
    {
        tracing::warn!("requests were still in flight at the end of the shutdown time");
    }
}

async fn connection(
    stream: TcpStream,
    backend: Arc<dyn Backend>,
    limits: Limits,
    memory: Memory,
    stop: impl Future<Output = ()>,
) {
    // Small answers must not wait for more to come.
    let _ = stream.set_nodelay(true);
    let service = service_fn(move |request| {
        let backend = backend.clone();
        let share = memory.share();
        async move { Ok::<_, Infallible>(respond(request, &*backend, limits, share).await) }
    });
    let mut connection = pin!(
        http1::Builder::new()
            .timer(TokioTimer::new())
            .header_read_timeout(limits.header_time)
            .max_buf_size(64 << 10)
            .serve_connection(TokioIo::new(stream), service)
    );
    let mut stop = pin!(stop);
    let mut stopping = false;
    loop {
        tokio::select! {
            // Broken and idle connections end here as well: nothing to report.
            _ = connection.as_mut() => return,
            () = &mut stop, if !stopping => {
                stopping = true;
                connection.as_mut().graceful_shutdown();
            }
        }
    }
}

/// An answer before it is a response.
struct Answer {
    status: u16,
    body: Vec<u8>,
    content_type: HeaderValue,
    /// The rest of the request was not read, so the connection cannot go on.
    close: bool,
}

impl From<ApiError> for Answer {
    fn from(error: ApiError) -> Self {
        Self {
            status: error.status(),
            body: error.body(),
            content_type: JSON,
            close: false,
        }
    }
}

async fn respond(
    request: Request<Incoming>,
    backend: &dyn Backend,
    limits: Limits,
    share: Share,
) -> Response<Full<Bytes>> {
    let answer = answer(request, backend, limits, share).await;
    let checksum = crc32fast::hash(&answer.body);
    let mut response = Response::new(Full::new(Bytes::from(answer.body)));
    *response.status_mut() =
        StatusCode::from_u16(answer.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, answer.content_type);
    headers.insert(CRC32, HeaderValue::from(checksum));
    if let Ok(id) = HeaderValue::from_bytes(&request_id()) {
        headers.insert(REQUEST_ID, id);
    }
    if answer.close {
        headers.insert(CONNECTION, HeaderValue::from_static("close"));
    }
    response
}

/// 52 characters of A–Z and 0–9.
fn request_id() -> [u8; 52] {
    let mut id = [0u8; 52];
    rand::rng().fill(&mut id[..]);
    for byte in &mut id {
        *byte = b"ABCDEFGHIJKLMNOPQRSTUVWXYZ012345"[usize::from(*byte & 31)];
    }
    id
}

/// The answer to a body that is not there; `whole`: all of what was sent is read.
fn no_body(error: BodyError, limits: Limits, whole: bool) -> Answer {
    let refused = |kind, message: String| Answer::from(ApiError::new(kind, message));
    let mut answer = match error {
        BodyError::TooLarge => refused(
            ErrorKind::TooLarge,
            format!("Request size exceeded {} bytes", limits.body),
        ),
        BodyError::Full => refused(
            ErrorKind::ServiceUnavailable,
            "The request had no effect and can be repeated: the requests in work take all of the memory that there is for them".to_owned(),
        ),
        BodyError::Malformed => refused(
            ErrorKind::Serialization,
            "The request's body is not encoded as its headers say".to_owned(),
        ),
        BodyError::Encoding(name) => {
            let mut answer = refused(
                ErrorKind::Serialization,
                format!("Content-Encoding {name} is not supported, use gzip or none"),
            );
            answer.status = 415;
            answer
        }
    };
    answer.close = !whole;
    answer
}

async fn answer(
    request: Request<Incoming>,
    backend: &dyn Backend,
    limits: Limits,
    mut share: Share,
) -> Answer {
    let (head, body) = request.into_parts();
    let announced = head
        .headers
        .get(CONTENT_LENGTH)
        .and_then(|v| v.to_str().ok()?.parse::<u64>().ok());
    if announced.is_some_and(|length| length > limits.body as u64) {
        return no_body(BodyError::TooLarge, limits, false);
    }
    let read = body::read(body, limits.body, &mut share);
    let body = match tokio::time::timeout(limits.body_time, read).await {
        Ok(Ok(body)) => body,
        Ok(Err(error)) => return no_body(error, limits, false),
        Err(_) => {
            let mut answer = Answer::from(ApiError::new(
                ErrorKind::Serialization,
                "The request's body did not arrive",
            ));
            answer.status = 408;
            answer.close = true;
            return answer;
        }
    };
    if head.method == Method::GET && matches!(head.uri.path(), "/" | "/healthcheck") {
        return Answer {
            status: 200,
            body: b"healthy: dynamodb.us-east-1.amazonaws.com ".to_vec(),
            content_type: HeaderValue::from_static("text/plain"),
            close: false,
        };
    }
    if head.method != Method::POST || head.uri.path() != "/" || !is_json(&head.headers) {
        return Answer {
            status: 404,
            body: b"<UnknownOperationException/>\n".to_vec(),
            content_type: HeaderValue::from_static("text/xml"),
            close: false,
        };
    }
    let body = match body::unpack(&head.headers, body, limits.body, &mut share) {
        Ok(body) => body,
        Err(error) => return no_body(error, limits, true),
    };
    let memory = footprint(&body);
    if memory > limits.decoded {
        return Answer::from(ApiError::validation(format!(
            "The request has too many values: decoded they would take more than {} bytes",
            limits.decoded
        )));
    }
    if share.grow(memory).is_err() {
        return no_body(BodyError::Full, limits, true);
    }
    match operate(&head.headers, &body, backend, limits.request_time).await {
        Ok(body) => Answer {
            status: 200,
            body,
            content_type: JSON,
            close: false,
        },
        Err(error) => error.into(),
    }
}

fn is_json(headers: &HeaderMap) -> bool {
    let content_type = headers.get(CONTENT_TYPE).and_then(|v| v.to_str().ok());
    content_type.is_some_and(|text| {
        let kind = text.split(';').next().unwrap_or("").trim();
        kind == "application/x-amz-json-1.0" || kind == "application/json"
    })
}

/// The order of checks is DynamoDB's: JSON, operation, identity, meaning.
async fn operate(
    headers: &HeaderMap,
    body: &[u8],
    backend: &dyn Backend,
    deadline: Duration,
) -> Result<Vec<u8>, ApiError> {
    let params = match Operation::decode(body) {
        Err(error) if error.kind == ErrorKind::Serialization => return Err(error),
        other => other,
    };
    let operation = headers
        .get("x-amz-target")
        .and_then(|v| Operation::from_target(v.to_str().ok()?))
        .ok_or_else(|| ApiError::new(ErrorKind::UnknownOperation, ""))?;
    let context = Context {
        region: identity(headers)?,
        host: headers
            .get(HOST)
            .and_then(|v| v.to_str().ok())
            .unwrap_or(""),
    };
    let work = operation.run(backend, params?, context);
    match tokio::time::timeout(deadline, work).await {
        Ok(result) => result,
        Err(_) => Err(ApiError::new(
            ErrorKind::InternalServerError,
            "The request may or may not have had effect: it did not end in time",
        )),
    }
}

/// Checks the shape of the signature (never the signature itself), and
/// returns the region it is for.
fn identity(headers: &HeaderMap) -> Result<&str, ApiError> {
    let Some(value) = headers.get(AUTHORIZATION) else {
        return Err(ApiError::new(
            ErrorKind::MissingAuthenticationToken,
            "Request is missing Authentication Token",
        ));
    };
    let text = value.to_str().unwrap_or("");
    let mut missing = String::new();
    let parameters = text.strip_prefix("AWS4-").unwrap_or("");
    let parameter = |name: &str| {
        parameters
            .split([',', ' '])
            .find_map(|part| part.strip_prefix(name)?.strip_prefix('='))
            .filter(|value| !value.is_empty())
    };
    for name in ["Credential", "Signature", "SignedHeaders"] {
        if parameter(name).is_none() {
            missing += &format!("Authorization header requires '{name}' parameter. ");
        }
    }
    if !headers.contains_key("x-amz-date") && !headers.contains_key(DATE) {
        missing +=
            "Authorization header requires existence of either a 'X-Amz-Date' or a 'Date' header. ";
    }
    if !missing.is_empty() {
        return Err(ApiError::new(
            ErrorKind::IncompleteSignature,
            format!("{missing}Authorization={text}"),
        ));
    }
    let region = parameter("Credential").and_then(|c| c.split('/').nth(2));
    Ok(region
        .filter(|r| {
            (1..=32).contains(&r.len()) && r.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-')
        })
        .unwrap_or(DEFAULT_REGION))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(pairs: &[(&'static str, &'static str)]) -> HeaderMap {
        let pairs = pairs
            .iter()
            .map(|(k, v)| (HeaderName::from_static(k), HeaderValue::from_static(v)));
        pairs.collect()
    }

    const GOOD: &str = "AWS4-HMAC-SHA256 Credential=me/20260101/eu-west-1/dynamodb/aws4_request, SignedHeaders=host, Signature=00";

    #[test]
    fn the_shape_of_a_signature_is_checked() {
        let date = ("x-amz-date", "20260101T000000Z");
        assert_eq!(
            identity(&headers(&[("authorization", GOOD), date])).unwrap(),
            "eu-west-1"
        );
        let kind = |pairs: &[_]| identity(&headers(pairs)).unwrap_err().kind;
        assert_eq!(kind(&[date]), ErrorKind::MissingAuthenticationToken);
        assert_eq!(
            kind(&[("authorization", GOOD)]),
            ErrorKind::IncompleteSignature
        );
        assert_eq!(
            kind(&[("authorization", "Basic x"), date]),
            ErrorKind::IncompleteSignature
        );
        let unsigned = "AWS4-HMAC-SHA256 Credential=me/x/y, SignedHeaders=host";
        let error = identity(&headers(&[("authorization", unsigned), date])).unwrap_err();
        assert!(error.message.contains("'Signature'"), "{}", error.message);
        assert!(!error.message.contains("'Credential'"));
    }

    #[test]
    fn a_strange_region_is_not_repeated() {
        let odd = "AWS4-X Credential=me/x/<b>/z, SignedHeaders=host, Signature=00";
        let pairs = [("authorization", odd), ("date", "x")];
        assert_eq!(identity(&headers(&pairs)).unwrap(), DEFAULT_REGION);
    }

    #[test]
    fn request_ids_have_their_form() {
        let id = request_id();
        assert!(
            id.iter()
                .all(|b| b.is_ascii_uppercase() || b.is_ascii_digit())
        );
        assert_ne!(id, request_id());
    }

    #[test]
    fn content_types() {
        for (text, good) in [
            ("application/x-amz-json-1.0", true),
            ("application/json; charset=utf-8", true),
            ("text/plain", false),
        ] {
            assert_eq!(is_json(&headers(&[("content-type", text)])), good, "{text}");
        }
        assert!(!is_json(&headers(&[])));
    }
}
