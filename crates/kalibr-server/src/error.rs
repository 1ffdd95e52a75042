//! Errors as OpenAI's clients read them: `{"error": {"message", "type", "code", "param"}}`.
//!
//! One sentence says what happened and what to do. None repeats what a user wrote.

use axum::Json;
use axum::body::Body;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use kalibr_dialects::{Dialect, ErrorKind, Malformed, anthropic};
use kalibr_engine::core::evidence::OutOfRange;
use kalibr_engine::core::ids::{InvalidId, SignalId, TraceId};
use kalibr_engine::signals::vocabulary::UnknownSignal;
use kalibr_engine::upstream::{BadRequest, ResolveError};
use kalibr_engine::{DecideError, ExportError, GoalError, SignalError, StoreError};
use serde::Serialize;
use serde_json::json;

use crate::chat::TRACE_ID;

/// Seconds after which a request that met a slow ledger may come again.
const SLOW_LEDGER: Option<u64> = Some(1);

/// An answer that is an error.
#[derive(Debug)]
pub(crate) struct ApiError(Box<Said>);

#[derive(Debug)]
struct Said {
    status: StatusCode,
    code: &'static str,
    message: String,
    param: Option<String>,
    retry_after: Option<u64>,
    trace: Option<TraceId>,
    signals: Vec<SignalId>,
}

impl ApiError {
    pub(crate) fn new(status: StatusCode, code: &'static str, message: impl Into<String>) -> Self {
        let message = message.into();
        let (param, retry_after, trace, signals) = (None, None, None, Vec::new());
        Self(Box::new(Said { status, code, message, param, retry_after, trace, signals }))
    }

    /// A request that is wrong in itself.
    pub(crate) fn bad(code: &'static str, message: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, code, message)
    }

    /// A field that is wrong.
    pub(crate) fn field(field: &str, message: impl Into<String>) -> Self {
        Self::bad("invalid_field", message).param(Some(field))
    }

    /// The engine or the ledger failed where the caller did nothing wrong.
    pub(crate) fn internal(cause: &dyn std::fmt::Display) -> Self {
        tracing::error!(%cause, "a request failed");
        let message = "the server failed; its log says why, and the request may be sent again";
        Self::new(StatusCode::INTERNAL_SERVER_ERROR, "internal_error", message)
    }

    fn param(mut self, param: Option<&str>) -> Self {
        self.0.param = param.map(str::to_owned);
        self
    }

    pub(crate) fn retry_after(mut self, seconds: Option<u64>) -> Self {
        self.0.retry_after = seconds;
        self
    }

    pub(crate) fn trace(mut self, trace: Option<TraceId>) -> Self {
        self.0.trace = trace;
        self
    }

    /// The ids under which signals that may or may not be committed can be sent again.
    pub(crate) fn signals(mut self, signals: Vec<SignalId>) -> Self {
        self.0.signals = signals;
        self
    }

    /// Says which of several was wrong.
    pub(crate) fn within(mut self, place: &str) -> Self {
        self.0.message = format!("{place}: {}", self.0.message);
        let param = self.0.param.take();
        self.0.param = Some(param.map_or_else(|| place.to_owned(), |param| format!("{place}.{param}")));
        self
    }
}

/// The error object by itself, as it also stands in a stream.
pub(crate) fn error_object(
    status: StatusCode,
    code: &str,
    message: &str,
    param: Option<&str>,
) -> serde_json::Value {
    let kind = match status.as_u16() {
        429 => "rate_limit_error",
        400..=499 => "invalid_request_error",
        502 | 504 => "upstream_error",
        _ => "server_error",
    };
    json!({ "message": message, "type": kind, "code": code, "param": param })
}

impl ApiError {
    /// The error as callers of this dialect read it.
    pub(crate) fn respond_in(self, dialect: Dialect) -> Response {
        if dialect != Dialect::Anthropic {
            return self.into_response();
        }
        let Said { status, code, message, param, .. } = &*self.0;
        let error = anthropic::write_error(&kalibr_dialects::ApiError {
            status: status.as_u16(),
            kind: ErrorKind::of_status(status.as_u16()),
            message: message.clone(),
            param: param.clone(),
            code: Some((*code).to_owned()),
        });
        let mut response = self.into_response();
        *response.body_mut() = Body::from(error.to_string());
        response.headers_mut().remove(header::CONTENT_LENGTH);
        response
    }
}

impl From<Malformed> for ApiError {
    fn from(malformed: Malformed) -> Self {
        let param = Some(malformed.place.as_str()).filter(|place| !place.is_empty());
        Self::bad("invalid_request", malformed.to_string()).param(param)
    }
}

#[derive(Serialize)]
struct ErrorBody {
    error: serde_json::Value,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    signal_ids: Vec<SignalId>,
}

impl IntoResponse for ApiError {
    fn into_response(self) -> Response {
        let Said { status, code, message, param, retry_after, trace, signals } = *self.0;
        let error = error_object(status, code, &message, param.as_deref());
        let mut response = (status, Json(ErrorBody { error, signal_ids: signals })).into_response();
        let headers = response.headers_mut();
        if let Some(seconds) = retry_after {
            headers.insert(header::RETRY_AFTER, HeaderValue::from(seconds));
        }
        if let Some(Ok(trace)) = trace.map(|trace| HeaderValue::try_from(trace.to_string())) {
            headers.insert(TRACE_ID, trace);
        }
        response
    }
}

impl From<InvalidId> for ApiError {
    fn from(error: InvalidId) -> Self {
        Self::bad("invalid_id", error.to_string())
    }
}

impl From<OutOfRange> for ApiError {
    fn from(error: OutOfRange) -> Self {
        Self::bad("out_of_range", error.to_string())
    }
}

impl From<UnknownSignal> for ApiError {
    fn from(error: UnknownSignal) -> Self {
        Self::bad("unknown_signal_type", error.to_string())
    }
}

impl From<BadRequest> for ApiError {
    fn from(error: BadRequest) -> Self {
        Self::bad("invalid_request", error.to_string()).param(error.param())
    }
}

impl From<ResolveError> for ApiError {
    fn from(error: ResolveError) -> Self {
        Self::new(StatusCode::NOT_FOUND, "model_not_found", error.to_string()).param(Some("model"))
    }
}

impl From<DecideError> for ApiError {
    fn from(error: DecideError) -> Self {
        let message = error.to_string();
        match error {
            DecideError::UnknownGoal(_) => no_goal(message),
            DecideError::Asked(_) => Self::bad("invalid_field", message),
            DecideError::NoEligiblePath(..) | DecideError::UnknownModel(_) => {
                Self::new(StatusCode::CONFLICT, "no_eligible_path", message)
            }
        }
    }
}

pub(crate) fn no_goal(message: impl Into<String>) -> ApiError {
    ApiError::new(StatusCode::NOT_FOUND, "goal_not_found", message)
}

impl From<GoalError> for ApiError {
    fn from(error: GoalError) -> Self {
        match error {
            GoalError::Store(error) => error.into(),
            GoalError::Unknown(_) => no_goal(error.to_string()),
            GoalError::Frozen(_) | GoalError::NotReset(_) | GoalError::NoEpochs(_) => {
                Self::new(StatusCode::CONFLICT, "goal_conflict", error.to_string())
            }
            GoalError::Slow => Self::new(StatusCode::SERVICE_UNAVAILABLE, "ledger_slow", error.to_string())
                .retry_after(SLOW_LEDGER),
            error => Self::bad("invalid_goal", error.to_string()),
        }
    }
}

impl From<StoreError> for ApiError {
    fn from(error: StoreError) -> Self {
        if !error.is_transient() {
            return Self::internal(&error);
        }
        tracing::warn!(%error, "a request met a ledger out of reach");
        let message = match error {
            StoreError::Behind => error.to_string(),
            _ => "the ledger is busy or out of reach; the server's log says why, and the request may be sent again"
                .to_owned(),
        };
        Self::new(StatusCode::SERVICE_UNAVAILABLE, "ledger_slow", message).retry_after(SLOW_LEDGER)
    }
}

impl From<ExportError> for ApiError {
    fn from(error: ExportError) -> Self {
        match error {
            ExportError::Store(error) => error.into(),
            error @ ExportError::Io(_) => Self::internal(&error),
        }
    }
}

impl From<SignalError> for ApiError {
    fn from(error: SignalError) -> Self {
        let message = error.to_string();
        match error {
            SignalError::Id(error) => error.into(),
            SignalError::Type(error) => error.into(),
            SignalError::Number(error) => error.into(),
            SignalError::UnknownGoal(_) => no_goal(message),
            SignalError::Nothing | SignalError::NothingRun => Self::bad("missing_field", message),
            SignalError::Model(_) => Self::field("model", message),
            SignalError::Diff(_) => Self::field("edit_diff", message),
            SignalError::Edits | SignalError::NoEdit => Self::field("edit_ratio", message),
            SignalError::NoAnswer => Self::new(StatusCode::UNPROCESSABLE_ENTITY, "unknown_answer", message),
            SignalError::Store(error) => error.into(),
            SignalError::Full => {
                Self::new(StatusCode::SERVICE_UNAVAILABLE, "ledger_full", message).retry_after(SLOW_LEDGER)
            }
            SignalError::Unconfirmed => {
                Self::new(StatusCode::SERVICE_UNAVAILABLE, "ledger_slow", message).retry_after(SLOW_LEDGER)
            }
        }
    }
}
