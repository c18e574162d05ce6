//! Errors as they go over the wire.

use crate::api::json::Json;
use crate::api::value::Item;
use crate::backend::BackendError;
use serde::Serialize;

/// The kinds of error that clients tell apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ErrorKind {
    /// The request makes no sense.
    Validation,
    /// The body is not what the protocol asks for.
    Serialization,
    /// No such operation.
    UnknownOperation,
    /// No Authorization header.
    MissingAuthenticationToken,
    /// An Authorization header without what it must have.
    IncompleteSignature,
    /// More than 16 MiB of body.
    TooLarge,
    /// No such table.
    ResourceNotFound,
    /// The table exists, or is being created or deleted.
    ResourceInUse,
    /// There are too many tables or partitions already.
    LimitExceeded,
    /// The condition does not hold.
    ConditionalCheckFailed,
    /// The outcome is not known.
    InternalServerError,
    /// Certainly without effect, and worth another try.
    ServiceUnavailable,
}

impl ErrorKind {
    /// HTTP status, namespace, name.
    fn wire(self) -> (u16, &'static str, &'static str) {
        const MODEL: &str = "com.amazonaws.dynamodb.v20120810";
        const SERVICE: &str = "com.amazon.coral.service";
        match self {
            Self::Validation => (400, "com.amazon.coral.validate", "ValidationException"),
            Self::Serialization => (400, SERVICE, "SerializationException"),
            Self::UnknownOperation => (400, SERVICE, "UnknownOperationException"),
            Self::MissingAuthenticationToken => {
                (400, SERVICE, "MissingAuthenticationTokenException")
            }
            Self::IncompleteSignature => (400, SERVICE, "IncompleteSignatureException"),
            Self::TooLarge => (413, SERVICE, "RequestEntityTooLargeException"),
            Self::ResourceNotFound => (400, MODEL, "ResourceNotFoundException"),
            Self::ResourceInUse => (400, MODEL, "ResourceInUseException"),
            Self::LimitExceeded => (400, MODEL, "LimitExceededException"),
            Self::ConditionalCheckFailed => (400, MODEL, "ConditionalCheckFailedException"),
            Self::InternalServerError => (500, MODEL, "InternalServerError"),
            Self::ServiceUnavailable => (503, MODEL, "ServiceUnavailable"),
        }
    }
}

/// An error answer.
#[derive(Clone, Debug, PartialEq)]
pub struct ApiError {
    /// What kind.
    pub kind: ErrorKind,
    /// For people; empty: no message field.
    pub message: String,
    /// The item as it is, for a failed condition that asked for it.
    pub item: Option<Item>,
}

impl ApiError {
    /// An error of some kind.
    pub fn new(kind: ErrorKind, message: impl Into<String>) -> Self {
        Self {
            kind,
            message: message.into(),
            item: None,
        }
    }

    /// A ValidationException.
    pub fn validation(message: impl Into<String>) -> Self {
        Self::new(ErrorKind::Validation, message)
    }

    /// HTTP status.
    pub fn status(&self) -> u16 {
        self.kind.wire().0
    }

    /// JSON body.
    pub fn body(&self) -> Vec<u8> {
        #[derive(Serialize)]
        struct Wire<'a> {
            __type: String,
            #[serde(skip_serializing_if = "str::is_empty")]
            message: &'a str,
            #[serde(rename = "Item", skip_serializing_if = "Option::is_none")]
            item: Option<Json<'a, Item>>,
        }
        let (_, namespace, name) = self.kind.wire();
        serde_json::to_vec(&Wire {
            __type: format!("{namespace}#{name}"),
            message: &self.message,
            item: self.item.as_ref().map(Json),
        })
        .expect("strings and maps with string keys always serialize")
    }
}

/// For operations on items; tables word their absence differently.
impl From<BackendError> for ApiError {
    fn from(error: BackendError) -> Self {
        match error {
            BackendError::NoSuchTable(_) => {
                Self::new(ErrorKind::ResourceNotFound, "Requested resource not found")
            }
            BackendError::InUse(name) => Self::new(
                ErrorKind::ResourceInUse,
                format!("Attempt to change a resource which is still in use: Table: {name}"),
            ),
            BackendError::LimitExceeded(why) => Self::new(
                ErrorKind::LimitExceeded,
                format!("Subscriber limit exceeded: {why}"),
            ),
            BackendError::OutsideSegment => {
                Self::validation("The provided starting key is outside of the segment")
            }
            BackendError::TooLarge(limit) => Self::validation(format!(
                "The write with its condition and its values takes more than {limit} bytes, which is more than one entry of the replicated log can have; use smaller values"
            )),
            BackendError::Unavailable(why) => Self::new(
                ErrorKind::ServiceUnavailable,
                format!("The request had no effect and can be repeated: {why}"),
            ),
            BackendError::Unknown(why) => Self::new(
                ErrorKind::InternalServerError,
                format!("The request may or may not have had effect: {why}"),
            ),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_unknown_outcome_is_never_a_client_error() {
        let status = |error: BackendError| ApiError::from(error).status();
        assert_eq!(status(BackendError::Unknown("x".into())), 500);
        assert_eq!(status(BackendError::Unavailable("x".into())), 503);
        assert_eq!(status(BackendError::NoSuchTable("x".into())), 400);
        assert_eq!(status(BackendError::InUse("x".into())), 400);
        assert_eq!(status(BackendError::TooLarge(1)), 400);
        assert_eq!(status(BackendError::LimitExceeded("x".into())), 400);
    }

    #[test]
    fn bodies_name_the_kind_after_a_hash() {
        let mut error = ApiError::new(
            ErrorKind::ConditionalCheckFailed,
            "The conditional request failed",
        );
        error.item = Some(Item::default());
        assert_eq!(
            String::from_utf8(error.body()).unwrap(),
            r#"{"__type":"com.amazonaws.dynamodb.v20120810#ConditionalCheckFailedException","message":"The conditional request failed","Item":{}}"#
        );
    }
}
