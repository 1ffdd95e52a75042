//! Calls that brought no answer, as the caller reads them.

use axum::body::Body;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::Response;
use kalibr_dialects::{Dialect, anthropic, openai};
use kalibr_engine::CompleteError;
use kalibr_engine::core::ids::TraceId;
use kalibr_engine::core::outcome::FailureCategory;
use kalibr_engine::upstream::Failure;

use super::{TRACE_ID, set_content_type};
use crate::error::ApiError;

/// The provider's own error where it gave one, so that what clients know of it (codes, retries) goes on working; ours
/// otherwise.
pub(super) fn respond(error: CompleteError, dialect: Dialect) -> Response {
    match error {
        CompleteError::Decide(error) => ApiError::from(error).respond_in(dialect),
        CompleteError::Request(error) => ApiError::from(error).respond_in(dialect),
        CompleteError::Resolve(error) => ApiError::from(error).respond_in(dialect),
        CompleteError::Failed { trace, failure, .. } => provider_failed(trace, *failure, dialect),
    }
}

fn provider_failed(trace: Option<TraceId>, failure: Failure, dialect: Dialect) -> Response {
    let status = status(&failure);
    let retry_after = failure.retry_after.map(|wait| wait.as_secs() + u64::from(wait.subsec_nanos() > 0));
    let Some(body) = failure.body.filter(|body| !body.is_empty()) else {
        let error = ApiError::new(status, failure.category.as_str(), failure.message);
        return error.trace(trace).retry_after(retry_after).respond_in(dialect);
    };
    // A page of a proxy on the way is no error of any dialect, and stays what it is where it may be seen.
    let (body, content_type) = if dialect == Dialect::Anthropic {
        let error = anthropic::write_error(&openai::read_error(status.as_u16(), &body));
        (error.to_string().into(), None)
    } else {
        (body, failure.content_type)
    };
    let mut response = Response::new(Body::from(body));
    *response.status_mut() = status;
    set_content_type(&mut response, content_type.as_deref(), "application/json");
    let headers = response.headers_mut();
    // An error page of a proxy on the way is not to be run as a page of this server.
    headers.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    headers.insert(header::CONTENT_SECURITY_POLICY, HeaderValue::from_static("sandbox"));
    if let Some(seconds) = retry_after {
        headers.insert(header::RETRY_AFTER, HeaderValue::from(seconds));
    }
    if let Some(Ok(trace)) = trace.map(|trace| HeaderValue::try_from(trace.to_string())) {
        headers.insert(TRACE_ID, trace);
    }
    response
}

/// The provider's own status if it is one of an error, else the gateway's word for what happened.
pub(super) fn status(failure: &Failure) -> StatusCode {
    let own = failure.status.and_then(|status| StatusCode::from_u16(status).ok());
    own.filter(|status| status.is_client_error() || status.is_server_error()).unwrap_or(
        match failure.category {
            FailureCategory::Timeout => StatusCode::GATEWAY_TIMEOUT,
            FailureCategory::RateLimited => StatusCode::TOO_MANY_REQUESTS,
            FailureCategory::ContextExceeded => StatusCode::BAD_REQUEST,
            _ => StatusCode::BAD_GATEWAY,
        },
    )
}
