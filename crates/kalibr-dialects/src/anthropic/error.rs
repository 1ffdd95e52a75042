//! Errors of messages.

use crate::answer::{ApiError, ErrorKind};
use crate::json::{Json, Object};

const KINDS: [(ErrorKind, &str); 10] = [
    (ErrorKind::Invalid, "invalid_request_error"),
    (ErrorKind::Authentication, "authentication_error"),
    (ErrorKind::Billing, "billing_error"),
    (ErrorKind::Permission, "permission_error"),
    (ErrorKind::NotFound, "not_found_error"),
    (ErrorKind::TooLarge, "request_too_large"),
    (ErrorKind::RateLimit, "rate_limit_error"),
    (ErrorKind::Timeout, "timeout_error"),
    (ErrorKind::Overloaded, "overloaded_error"),
    (ErrorKind::Server, "api_error"),
];

/// Reads an error answer. Whatever the body is, something can be said: the status says what kind it is.
pub fn read_error(status: u16, body: &[u8]) -> ApiError {
    read_error_json(Some(status), &Json::parse(body).unwrap_or_default())
}

/// Reads an error; the last event of a stream has no status but its kind.
pub(crate) fn read_error_json(status: Option<u16>, body: &Json) -> ApiError {
    let error = body.as_object().and_then(|body| body.get("error")?.as_object());
    let name = error.and_then(|error| error.text("type"));
    let named = KINDS.into_iter().find(|(_, known)| Some(*known) == name).map(|(kind, _)| kind);
    let kind = named.or(status.map(ErrorKind::of_status)).unwrap_or(ErrorKind::Server);
    let status = status.unwrap_or(kind.status());
    let message = error.and_then(|error| error.text("message")).map(str::to_owned);
    let param = message.as_deref().filter(|_| kind == ErrorKind::Invalid).and_then(field).map(str::to_owned);
    ApiError {
        status,
        kind,
        message: message.unwrap_or_else(|| format!("the provider answered HTTP {status} and gave no reason")),
        param,
        code: name.map(str::to_owned),
    }
}

/// The field at fault, which messages about fields begin with: `messages.0.content: Field required`.
fn field(message: &str) -> Option<&str> {
    let fits = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || matches!(c, '_' | '.');
    let (field, _) = message.split_once(": ")?;
    (!field.is_empty() && field.len() <= 64 && field.chars().all(fits)).then_some(field)
}

/// Writes an error, as it stands in an answer and, named `error`, in a stream's last event.
pub fn write_error(error: &ApiError) -> Object {
    let name = KINDS.into_iter().find(|(kind, _)| *kind == error.kind).map_or("api_error", |(_, name)| name);
    let inner = Object::default().with("type", name).with("message", error.message.as_str());
    Object::default().with("type", "error").with("error", inner)
}
