//! `POST /v1/chat/completions`: the gateway.
//!
//! A model named `goal:NAME` is routed, any other is passed through to its provider. What the provider answers reaches
//! the caller byte by byte as it came; what Kalibr adds is in headers.

mod failed;
mod relay;

use std::str::FromStr;
use std::time::Duration;

use axum::body::Body;
use axum::extract::State;
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use kalibr_engine::core::ids::{Bucket, Goal, InvalidId, PathId, Pipeline, SessionId};
use kalibr_engine::core::path::PathSpec;
use kalibr_engine::core::rules::Asked;
use kalibr_engine::upstream::{Answer, ChatRequest};
use kalibr_engine::{CompleteError, CompleteRequest, DecideRequest, Decision, Engine};

use crate::app::App;
use crate::body::JsonBytes;
use crate::error::ApiError;

/// What a model's name begins with to be a goal's.
pub(crate) const GOAL_PREFIX: &str = "goal:";

/// Names the decision of an answer: what later signals about it say.
pub(crate) const TRACE_ID: HeaderName = HeaderName::from_static("x-kalibr-trace-id");
const PATH: HeaderName = HeaderName::from_static("x-kalibr-path");
const MODEL: HeaderName = HeaderName::from_static("x-kalibr-model");
/// Names the class of a request, where the caller sets it; tells it, in an answer.
const BUCKET: HeaderName = HeaderName::from_static("x-kalibr-bucket");
const PROPENSITY: HeaderName = HeaderName::from_static("x-kalibr-propensity");
const ATTEMPT: HeaderName = HeaderName::from_static("x-kalibr-attempt");

/// What the caller asks of this request beyond its goal's settings.
const RISK: &str = "x-kalibr-risk";
const MAX_COST: &str = "x-kalibr-max-cost-usd";
const MAX_LATENCY: &str = "x-kalibr-max-latency-ms";
const TIMEOUT: &str = "x-kalibr-timeout-ms";

/// Longest user id; it is only hashed, and the bound keeps a text from being one.
pub(crate) const LONGEST_USER: usize = 200;

pub(crate) async fn complete(
    State(app): State<App>,
    headers: HeaderMap,
    JsonBytes(body): JsonBytes,
) -> Result<Response, ApiError> {
    if body.is_empty() {
        return Err(ApiError::bad(
            "missing_body",
            "the body is empty; send {\"model\": ..., \"messages\": [...]}",
        ));
    }
    let request = ChatRequest::parse(&body)?;
    let answered = match request.model().strip_prefix(GOAL_PREFIX) {
        Some(goal) => {
            let goal = Goal::new(goal).map_err(|error| ApiError::field("model", error.to_string()))?;
            let decide = asked(&app.engine, goal, &headers)?;
            let timeout = timeout(&headers)?;
            routed(&app.engine, CompleteRequest { decide, body: request, timeout }).await
        }
        None => passed(&app.engine, &request).await,
    };
    Ok(answered.unwrap_or_else(|error| failed::respond(error).into_response()))
}

async fn routed(engine: &Engine, request: CompleteRequest) -> Result<Response, CompleteError> {
    if request.body.is_stream() {
        let stream = engine.stream(request).await?;
        let served = Served { attempt: stream.attempt, path_id: stream.path_id, path: &stream.path };
        let mut response = event_stream(stream.content_type.as_deref());
        served.name_in(response.headers_mut(), &stream.decision);
        *response.body_mut() = relay::body(stream);
        Ok(response)
    } else {
        let done = engine.complete(request).await?;
        let mut response = whole(done.answer);
        let served = Served { attempt: done.attempt, path_id: done.path_id, path: &done.path };
        served.name_in(response.headers_mut(), &done.decision);
        Ok(response)
    }
}

async fn passed(engine: &Engine, request: &ChatRequest) -> Result<Response, CompleteError> {
    if request.is_stream() {
        let stream = engine.pass_stream(request).await?;
        let mut response = event_stream(stream.content_type());
        *response.body_mut() = relay::body(relay::events(stream));
        Ok(response)
    } else {
        Ok(whole(engine.pass(request).await?))
    }
}

/// What the caller says of a request in headers. OpenAI's `user` field goes to the provider alone: whoever sets it has
/// not asked us to know the user.
fn asked(engine: &Engine, goal: Goal, headers: &HeaderMap) -> Result<DecideRequest, ApiError> {
    let session = text(headers, "x-kalibr-session")?.map(|id| named("x-kalibr-session", SessionId::new(id)));
    let user = text(headers, "x-kalibr-user")?;
    if user.is_some_and(|user| user.len() > LONGEST_USER) {
        let message = format!("x-kalibr-user has at most {LONGEST_USER} bytes; send a shorter id");
        return Err(ApiError::field("x-kalibr-user", message));
    }
    let pipeline =
        text(headers, "x-kalibr-pipeline")?.map(|id| named("x-kalibr-pipeline", Pipeline::new(id)));
    let bucket = text(headers, "x-kalibr-bucket")?.map(|name| named("x-kalibr-bucket", Bucket::new(name)));
    let asked = Asked {
        risk: parsed(headers, RISK, "low, medium or high")?.unwrap_or_default(),
        max_cost_usd: parsed(headers, MAX_COST, "a number of dollars such as 0.01")?,
        max_latency_ms: parsed(headers, MAX_LATENCY, "a whole number of milliseconds such as 2000")?,
    };
    if let Some(problem) = asked.problem() {
        return Err(ApiError::bad("invalid_field", problem));
    }
    Ok(DecideRequest {
        asked,
        pipeline: pipeline.transpose()?,
        bucket: bucket.transpose()?,
        session: session.transpose()?.map(|session| engine.session_hash(&session)),
        user: user.map(|user| engine.user_hash(user)),
        ..DecideRequest::of(goal)
    })
}

/// How long the caller waits for an answer, or for the beginning of a stream.
fn timeout(headers: &HeaderMap) -> Result<Option<Duration>, ApiError> {
    let form = "a whole number of milliseconds above 0, such as 30000";
    match parsed(headers, TIMEOUT, form)? {
        Some(0) => Err(ApiError::field(TIMEOUT, format!("{TIMEOUT} is {form}; send one or none"))),
        ms => Ok(ms.map(Duration::from_millis)),
    }
}

/// A header's text; an empty one is as good as none.
fn text<'a>(headers: &'a HeaderMap, name: &'static str) -> Result<Option<&'a str>, ApiError> {
    let Some(value) = headers.get(name) else {
        return Ok(None);
    };
    let text = std::str::from_utf8(value.as_bytes())
        .map_err(|_| ApiError::field(name, format!("{name} is not UTF-8; send it as UTF-8 or ASCII")))?;
    Ok(Some(text).filter(|text| !text.is_empty()))
}

fn parsed<T: FromStr>(headers: &HeaderMap, name: &'static str, form: &str) -> Result<Option<T>, ApiError> {
    let read = |text: &str| {
        text.trim().parse().map_err(|_| ApiError::field(name, format!("{name} is {form}; send one or none")))
    };
    text(headers, name)?.map(read).transpose()
}

fn named<T>(header: &str, parsed: Result<T, InvalidId>) -> Result<T, ApiError> {
    parsed.map_err(|error| ApiError::field(header, error.to_string()))
}

/// The attempt whose answer the caller gets.
struct Served<'a> {
    attempt: u16,
    path_id: PathId,
    path: &'a PathSpec,
}

impl Served<'_> {
    fn name_in(&self, headers: &mut HeaderMap, decision: &Decision) {
        let mut insert = |name: HeaderName, value: String| {
            // A model's name has no control characters, and everything else is digits.
            if let Ok(value) = HeaderValue::from_maybe_shared(bytes::Bytes::from(value)) {
                headers.insert(name, value);
            }
        };
        insert(TRACE_ID, decision.trace.to_string());
        insert(PATH, self.path_id.to_string());
        insert(MODEL, self.path.model.clone());
        // Its own name may hold any letters, which headers take as bytes.
        insert(BUCKET, decision.bucket.to_string());
        insert(ATTEMPT, self.attempt.to_string());
        // A fallback was not drawn: the draw's probability beside its path would be a lie.
        if self.attempt == 0 {
            insert(PROPENSITY, decision.propensity.to_string());
        }
    }
}

fn whole(answer: Answer) -> Response {
    let mut response = Response::new(Body::from(answer.body));
    *response.status_mut() = StatusCode::from_u16(answer.status).unwrap_or(StatusCode::OK);
    set_content_type(&mut response, answer.content_type.as_deref(), "application/json");
    response
}

fn event_stream(content_type: Option<&str>) -> Response {
    let mut response = Response::new(Body::empty());
    set_content_type(&mut response, content_type, "text/event-stream");
    response.headers_mut().insert(header::CACHE_CONTROL, HeaderValue::from_static("no-cache"));
    response
}

fn set_content_type(response: &mut Response, content_type: Option<&str>, default: &'static str) {
    let value = content_type.and_then(|value| HeaderValue::from_str(value).ok());
    let value = value.unwrap_or(HeaderValue::from_static(default));
    response.headers_mut().insert(header::CONTENT_TYPE, value);
}
