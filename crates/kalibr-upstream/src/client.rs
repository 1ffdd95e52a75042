//! Calls to providers.

use std::borrow::Cow;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use bytes::Bytes;
use http::header::{ACCEPT, CONTENT_TYPE, USER_AGENT};
use http::{HeaderMap, HeaderValue, Request, Response, StatusCode};
use http_body_util::{BodyExt, Full, LengthLimitError, Limited};
use hyper::body::Incoming;
use kalibr_core::outcome::FailureCategory;
use kalibr_dialects::{Dialect, Losses};

use crate::answer::{Answer, Envelope};
use crate::failure::{Blame, Failure};
use crate::http_client;
use crate::native::{self, Translation};
use crate::providers::{Backend, Endpoint, Key, Provider, Providers, ResolveError, Target};
use crate::request::ChatRequest;
use crate::stream::{AnswerStream, Source};

/// The most that is kept of an error's body: 1 MiB. Errors have some hundred bytes.
const MAX_ERROR_BYTES: usize = 1 << 20;

/// How long an error's body is waited for. Its status says enough to try the next path.
const ERROR_BODY_TIME: Duration = Duration::from_secs(5);

const AGENT: HeaderValue = HeaderValue::from_static(concat!("kalibr/", env!("CARGO_PKG_VERSION")));
const JSON: HeaderValue = HeaderValue::from_static("application/json");
const EVENTS: HeaderValue = HeaderValue::from_static("text/event-stream");

/// All providers, ready to be called. Cheap to clone; clones share their connections.
///
/// Calls are cancelled by dropping them, which closes their connection. They need a tokio runtime, and a provider's
/// connections live in the runtime that made them.
#[derive(Debug, Clone)]
pub struct Upstream {
    providers: Providers,
}

impl Upstream {
    /// An upstream of these providers. Nothing is connected until the first call.
    pub fn new(providers: Providers) -> Self {
        Self { providers }
    }

    /// The registry of providers.
    pub fn providers(&self) -> &Providers {
        &self.providers
    }

    /// Where a model lives: see [`Providers::resolve`].
    ///
    /// # Errors
    /// [`ResolveError`] when nobody can serve it.
    pub fn resolve(&self, model: &str) -> Result<Target, ResolveError> {
        self.providers.resolve(model)
    }

    /// Makes a call and waits for the whole answer. The request is sent as it is: apply a path to it first (see
    /// [`ChatRequest::apply`]), and call [`Upstream::chat_stream`] for one that asks for a stream.
    ///
    /// # Errors
    /// [`Failure`] when there was no answer in time, an error, or something that is no answer.
    pub async fn chat(&self, target: &Target, request: &ChatRequest) -> Result<Answer, Failure> {
        let provider = &target.provider;
        let call = async {
            let endpoint = match &provider.backend {
                Backend::Simulated(simulator) => {
                    let (status, headers, body) = simulator.answer(provider.name(), request).await?;
                    return read(provider, status, &headers, body, request);
                }
                Backend::Http(endpoint) => endpoint,
            };
            let (answer, mut losses) = send(provider, endpoint, request, false).await?;
            let (parts, body) = answer.into_parts();
            let body = whole(provider, body).await?;
            let answer = read_in(endpoint.dialect, provider, &parts, body, request)?;
            losses.join(answer.losses);
            Ok(Answer { losses, ..answer })
        };
        in_time(provider, call).await
    }

    /// Makes a call and waits for the first choice of its stream: until then it can fail, and another path be tried.
    /// Chunks before the first choice, such as a content filter's remarks, are held and come first.
    ///
    /// # Errors
    /// [`Failure`] when there was no choice in time, an error, or something that is no stream of an answer.
    pub async fn chat_stream(&self, target: &Target, request: &ChatRequest) -> Result<AnswerStream, Failure> {
        let provider = &target.provider;
        let call = async {
            let (source, request, status, headers, losses) = match &provider.backend {
                Backend::Simulated(simulator) => {
                    let (status, headers, chunks) = simulator.stream(provider.name(), request).await?;
                    (Source::Canned(chunks), request.clone(), status, headers, Losses::default())
                }
                Backend::Http(endpoint) => {
                    let request = match endpoint.dialect {
                        Dialect::OpenAi | Dialect::Responses if endpoint.stream_options => request.clone(),
                        Dialect::OpenAi | Dialect::Responses => request.without_our_usage(),
                        Dialect::Anthropic | Dialect::Gemini => request.with_usage_in_any_case(),
                    };
                    let (answer, losses) = send(provider, endpoint, &request, true).await?;
                    let (parts, body) = answer.into_parts();
                    if is_json(&parts.headers) {
                        return Err(not_streamed(endpoint.dialect, provider, &parts, body, &request).await);
                    }
                    let source = match Translation::of(endpoint.dialect) {
                        None => Source::Http(body),
                        Some(translation) => Source::Translated(body, Box::new(translation)),
                    };
                    (source, request, parts.status, parts.headers, losses)
                }
            };
            let stream =
                AnswerStream::open(source, status.as_u16(), &headers, request, Arc::clone(provider)).await?;
            Ok(stream.with_losses(losses))
        };
        in_time(provider, call).await
    }
}

async fn in_time<T>(
    provider: &Provider,
    call: impl Future<Output = Result<T, Failure>>,
) -> Result<T, Failure> {
    let limit = provider.limits.total;
    tokio::time::timeout(limit, call).await.unwrap_or_else(|_| {
        let said =
            format!("had no answer within {} ms; raise timeout_ms if it needs longer", limit.as_millis());
        Err(failure(provider, FailureCategory::Timeout, &said))
    })
}

/// Sends a request in the provider's dialect; an error status is a failure.
async fn send(
    provider: &Provider,
    endpoint: &Endpoint,
    request: &ChatRequest,
    is_stream: bool,
) -> Result<(Response<Incoming>, Losses), Failure> {
    let dialect = endpoint.dialect;
    let request = if endpoint.new_limit { Cow::Borrowed(request) } else { request.with_old_limit() };
    let request = request.as_ref();
    let (body, losses) =
        native::request(dialect, request).map_err(|error| native::malformed(provider.name(), &error))?;
    let mut call = Request::new(Full::new(body));
    *call.method_mut() = http::Method::POST;
    *call.uri_mut() =
        native::address(dialect, &endpoint.chat, request.model(), is_stream).ok_or_else(|| {
            let said = "cannot be asked for a model of this name; check the path's model";
            failure(provider, FailureCategory::ProviderError, said)
        })?;
    let headers = call.headers_mut();
    headers.insert(CONTENT_TYPE, JSON);
    headers.insert(ACCEPT, if is_stream { EVENTS } else { JSON });
    headers.insert(USER_AGENT, AGENT);
    native::set_headers(dialect, headers);
    match &endpoint.key {
        Key::Set(value) => _ = headers.insert(endpoint.key_header.clone(), value.clone()),
        Key::None => {}
        Key::Missing(variable) => {
            let said = format!(
                "has no API key: set the environment variable {variable}, or api_key_env in [providers.{}]",
                provider.name()
            );
            return Err(failure(provider, FailureCategory::AuthError, &said));
        }
    }
    for (name, value) in &endpoint.headers {
        headers.insert(name, value.clone());
    }
    let client = endpoint.client.get_or_init(|| {
        http_client::client(endpoint.connect_timeout, endpoint.chat.scheme_str() == Some("https"))
    });
    let answer = client.request(call).await.map_err(|e| http_client::call_failed(provider.name(), &e))?;
    if answer.status().is_success() {
        return Ok((answer, losses));
    }
    let (mut parts, body) = answer.into_parts();
    let reading = Limited::new(body, MAX_ERROR_BYTES).collect();
    let body = match tokio::time::timeout(ERROR_BODY_TIME, reading).await {
        Ok(Ok(body)) => {
            let body = body.to_bytes();
            native::say_when_to_retry(dialect, &body, &mut parts.headers);
            Some(native::error(dialect, parts.status.as_u16(), body))
        }
        _ => None,
    };
    Err(Failure::from_answer(provider.name(), parts.status, &parts.headers, body, request, SystemTime::now()))
}

async fn whole(provider: &Provider, body: Incoming) -> Result<Bytes, Failure> {
    match Limited::new(body, provider.limits.max_answer_bytes).collect().await {
        Ok(body) => Ok(body.to_bytes()),
        Err(error) if error.is::<LengthLimitError>() => Err(failure(
            provider,
            FailureCategory::MalformedOutput,
            "answered with more than max_answer_bytes",
        )),
        Err(_) => {
            let said = "lost the connection before the answer was complete; try again";
            Err(failure(provider, FailureCategory::ProviderError, said))
        }
    }
}

/// Makes an answer of a body in the provider's dialect, or says what the body is instead.
fn read_in(
    dialect: Dialect,
    provider: &Provider,
    parts: &http::response::Parts,
    body: Bytes,
    request: &ChatRequest,
) -> Result<Answer, Failure> {
    let original = body.clone();
    let (body, translated) = match native::answer(dialect, &body) {
        Some((body, losses)) => (body, Some(losses)),
        None => (native::error(dialect, parts.status.as_u16(), body), None),
    };
    let answer = read(provider, parts.status, &parts.headers, body, request)?;
    Ok(match translated {
        Some(losses) => Answer { losses, original: Some((dialect, original)), ..answer },
        None => answer,
    })
}

/// Makes an answer of a body, or says what the body is instead.
fn read(
    provider: &Provider,
    status: StatusCode,
    headers: &HeaderMap,
    body: Bytes,
    request: &ChatRequest,
) -> Result<Answer, Failure> {
    let content_type = headers.get(CONTENT_TYPE).and_then(|value| value.to_str().ok()).map(str::to_owned);
    let envelope = Envelope::parse(&body);
    match envelope {
        Some(envelope) if envelope.has_choices() => {
            let usage = envelope.usage();
            let losses = Losses::default();
            Ok(Answer { status: status.as_u16(), content_type, usage, body, losses, original: None })
        }
        // OpenRouter among others sends its 200 before it knows that the call will fail.
        Some(envelope) if envelope.error_status().is_some() => {
            let status = envelope.error_status().unwrap_or(status);
            let body = Some(body.clone());
            Err(Failure::from_answer(provider.name(), status, headers, body, request, SystemTime::now()))
        }
        _ => {
            let (category, said) = if body.trim_ascii().is_empty() {
                (FailureCategory::EmptyResponse, "answered with an empty body; try again")
            } else {
                (
                    FailureCategory::MalformedOutput,
                    "answered without choices; check that its base_url is an API",
                )
            };
            let failure = failure(provider, category, said);
            Err(Failure { status: Some(status.as_u16()), body: Some(body.clone()), content_type, ..failure })
        }
    }
}

fn is_json(headers: &HeaderMap) -> bool {
    let text = headers.get(CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    text.trim_start().to_ascii_lowercase().starts_with("application/json")
}

/// A stream was asked for and JSON came: an error in it says why, an answer in it is not what the caller can read.
async fn not_streamed(
    dialect: Dialect,
    provider: &Provider,
    parts: &http::response::Parts,
    body: Incoming,
    request: &ChatRequest,
) -> Failure {
    let read = match whole(provider, body).await {
        Ok(body) => read_in(dialect, provider, parts, body, request),
        Err(failure) => Err(failure),
    };
    read.err().unwrap_or_else(|| {
        failure(provider, FailureCategory::MalformedOutput, "was asked for a stream and sent a whole answer")
    })
}

fn failure(provider: &Provider, category: FailureCategory, said: &str) -> Failure {
    Failure::new(category, Blame::Path, format!("provider {} {said}", provider.name()))
}
