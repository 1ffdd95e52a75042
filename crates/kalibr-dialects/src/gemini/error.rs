//! Errors of Gemini: `{"error": {"code": 429, "message": ..., "status": "RESOURCE_EXHAUSTED"}}`, in a list where the
//! caller did not ask for events.

use crate::answer::{ApiError, ErrorKind};
use crate::json::Json;

/// Reads an error answer. Whatever the body is, something can be said: the status says what kind it is.
pub fn read_error(status: u16, body: &[u8]) -> ApiError {
    read_error_json(Some(status), &Json::parse(body).unwrap_or_default())
}

pub(super) fn read_error_json(status: Option<u16>, body: &Json) -> ApiError {
    let body = body.as_list().and_then(<[Json]>::first).unwrap_or(body);
    let error = body.as_object().and_then(|body| body.get("error")?.as_object());
    let code = error.and_then(|error| error.get("code")?.as_u64()).and_then(|code| u16::try_from(code).ok());
    let status = status.or(code.filter(|code| (400..600).contains(code))).unwrap_or(500);
    let name = error.and_then(|error| error.text("status"));
    let named = match name {
        Some("INVALID_ARGUMENT" | "FAILED_PRECONDITION" | "OUT_OF_RANGE") => Some(ErrorKind::Invalid),
        Some("UNAUTHENTICATED") => Some(ErrorKind::Authentication),
        Some("PERMISSION_DENIED") => Some(ErrorKind::Permission),
        Some("NOT_FOUND") => Some(ErrorKind::NotFound),
        Some("RESOURCE_EXHAUSTED") => Some(ErrorKind::RateLimit),
        Some("DEADLINE_EXCEEDED") => Some(ErrorKind::Timeout),
        Some("UNAVAILABLE") => Some(ErrorKind::Overloaded),
        _ => None,
    };
    let message = error.and_then(|error| error.text("message")).map(str::to_owned);
    ApiError {
        status,
        kind: named.unwrap_or(ErrorKind::of_status(status)),
        message: message.unwrap_or_else(|| format!("the provider answered HTTP {status} and gave no reason")),
        param: None,
        code: name.map(str::to_owned),
    }
}
