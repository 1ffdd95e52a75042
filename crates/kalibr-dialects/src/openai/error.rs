//! Errors of chat completions, and of those who put them otherwise: vLLM's and Mistral's without the outer object,
//! Ollama's as a text.

use crate::answer::{ApiError, ErrorKind};
use crate::json::{Json, Object};

/// Reads an error answer. Whatever the body is, something can be said: the status says what kind it is.
pub fn read_error(status: u16, body: &[u8]) -> ApiError {
    let body = Json::parse(body).unwrap_or_default();
    read_error_json(status, &body)
}

pub(crate) fn read_error_json(status: u16, body: &Json) -> ApiError {
    let outer = body.as_object();
    let error =
        outer.and_then(|outer| outer.get("error")).filter(|error| **error != Json::Null).unwrap_or(body);
    let field = |key: &str| error.as_object().and_then(|error| error.text(key)).map(str::to_owned);
    let message = error.as_text().map(str::to_owned).or_else(|| field("message"));
    let by_name = match field("type").as_deref() {
        Some("authentication_error") => Some(ErrorKind::Authentication),
        Some("permission_error") => Some(ErrorKind::Permission),
        Some("rate_limit_error" | "tokens" | "requests" | "insufficient_quota") => Some(ErrorKind::RateLimit),
        Some("overloaded_error") => Some(ErrorKind::Overloaded),
        _ => None,
    };
    let by_code = match field("code").as_deref() {
        Some("invalid_api_key") => Some(ErrorKind::Authentication),
        Some("rate_limit_exceeded" | "insufficient_quota") => Some(ErrorKind::RateLimit),
        Some("model_not_found") => Some(ErrorKind::NotFound),
        Some("overloaded_error") => Some(ErrorKind::Overloaded),
        _ => None,
    };
    ApiError {
        status,
        kind: by_code.or(by_name).unwrap_or(ErrorKind::of_status(status)),
        message: message.unwrap_or_else(|| format!("the provider answered HTTP {status} and gave no reason")),
        param: field("param"),
        code: field("code").or_else(|| field("type")),
    }
}

/// Writes an error: `{"error": {...}}`, as it stands in an answer and in a stream's last event.
pub fn write_error(error: &ApiError) -> Object {
    let kind = match error.kind {
        ErrorKind::RateLimit => "rate_limit_error",
        ErrorKind::Authentication => "authentication_error",
        ErrorKind::Permission => "permission_error",
        ErrorKind::Billing => "insufficient_quota",
        ErrorKind::Invalid | ErrorKind::NotFound | ErrorKind::TooLarge => "invalid_request_error",
        ErrorKind::Timeout | ErrorKind::Overloaded | ErrorKind::Server => "server_error",
    };
    let or_null = |text: &Option<String>| text.as_deref().map_or(Json::Null, Json::from);
    let inner = Object::default()
        .with("message", error.message.as_str())
        .with("type", kind)
        .with("param", or_null(&error.param))
        .with("code", or_null(&error.code));
    Object::default().with("error", inner)
}
