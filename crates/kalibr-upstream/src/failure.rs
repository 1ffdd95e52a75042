//! What a failed call means: to the ledger (a category), to the learner (whom it speaks against), to the caller (the
//! provider's own error).
//!
//! Providers agree on the meaning of few statuses. What they disagree on is told apart by the code, type and words of
//! the error body: a 400 is the caller's mistake, unless it says that the conversation is longer than this model reads
//! (another path may read it), that the model does not exist, or that it dislikes a parameter that our path set.

use std::fmt;
use std::time::{Duration, SystemTime};

use bytes::Bytes;
use http::{HeaderMap, StatusCode, header};
use kalibr_core::outcome::FailureCategory;
use serde_json::Value;

use crate::request::ChatRequest;

/// Longest wait that a provider may ask for; beyond a day it is a mistake, and the wait is cut to this.
const MAX_RETRY_AFTER: Duration = Duration::from_hours(24);

/// Whom a failure speaks against, and so whether another path should be tried.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Blame {
    /// The path: its provider, its model or its own parameters. Try the next path; this one earned a failure.
    Path,
    /// The caller's request, which would fail anywhere. Do not fall back; no path earned anything.
    Request,
    /// Neither: the request is fine and does not fit into this path's model. Try the next path.
    Fit,
}

/// Why a call gave no answer.
///
/// `Display` and `Debug` are safe to log: they show neither what the user nor what the provider wrote.
#[derive(Clone, PartialEq, Eq)]
pub struct Failure {
    /// The protocol's name for what happened.
    pub category: FailureCategory,
    /// The provider's HTTP status, if it answered at all.
    pub status: Option<u16>,
    /// The provider's own error body as it came, only to be handed to the caller: never log or store it.
    pub body: Option<Bytes>,
    /// The content type of [`Failure::body`] as the provider named it.
    pub content_type: Option<String>,
    /// How long the provider asks to be left alone, at most a day.
    pub retry_after: Option<Duration>,
    /// A sentence of ours: what happened, at which provider, what to do.
    pub message: String,
    /// Whom it speaks against.
    pub blame: Blame,
}

impl Failure {
    /// A failure without an answer of the provider.
    pub fn new(category: FailureCategory, blame: Blame, message: impl Into<String>) -> Self {
        Self {
            category,
            status: None,
            body: None,
            content_type: None,
            retry_after: None,
            message: message.into(),
            blame,
        }
    }

    /// Whether another path may succeed where this one failed.
    pub fn falls_back(&self) -> bool {
        self.blame != Blame::Request
    }

    /// What an error answer of a provider means.
    ///
    /// `status` may be another than the answer's own: some providers send 200 and put the true one into the body.
    pub(crate) fn from_answer(
        provider: &str,
        status: StatusCode,
        headers: &HeaderMap,
        body: Option<Bytes>,
        request: &ChatRequest,
        now: SystemTime,
    ) -> Self {
        let error = body.as_deref().map_or_else(ErrorBody::default, ErrorBody::parse);
        let (category, blame, said) = meaning(status.as_u16(), &error, request);
        Self {
            category,
            status: Some(status.as_u16()),
            body,
            content_type: headers
                .get(header::CONTENT_TYPE)
                .and_then(|value| value.to_str().ok())
                .map(str::to_owned),
            retry_after: retry_after(headers, now),
            message: format!("provider {provider} answered HTTP {}: {said}", status.as_u16()),
            blame,
        }
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

/// Leaves the provider's text out: it often repeats the user's.
impl fmt::Debug for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Failure")
            .field("category", &self.category)
            .field("status", &self.status)
            .field("body_bytes", &self.body.as_ref().map(Bytes::len))
            .field("retry_after", &self.retry_after)
            .field("message", &self.message)
            .field("blame", &self.blame)
            .finish_non_exhaustive()
    }
}

impl std::error::Error for Failure {}

/// The parts of a provider's error that tell failures apart, in lower case.
#[derive(Default)]
struct ErrorBody {
    code: String,
    kind: String,
    text: String,
    param: String,
}

impl ErrorBody {
    /// Reads OpenAI's `{"error": {...}}`, the flat form of vLLM and Mistral, and Ollama's `{"error": "text"}`.
    fn parse(body: &[u8]) -> Self {
        let Ok(body) = serde_json::from_slice::<Value>(body) else {
            return Self::default();
        };
        let error = body.get("error").filter(|error| !error.is_null()).unwrap_or(&body);
        let field = |key: &str| error.get(key).and_then(Value::as_str).unwrap_or_default().to_lowercase();
        Self {
            code: field("code"),
            kind: field("type"),
            text: error.as_str().map_or_else(|| field("message"), str::to_lowercase),
            param: field("param"),
        }
    }

    fn is_context_exceeded(&self) -> bool {
        const CODES: [&str; 3] =
            ["context_length_exceeded", "exceed_context_size_error", "string_above_max_length"];
        // As OpenAI, vLLM, DeepSeek, llama.cpp, Mistral, Together, Groq, xAI, Anthropic and Gemini put it.
        const WORDS: [&str; 10] = [
            "context_length_exceeded",
            "maximum context length",
            "context window",
            "context size",
            "maximum prompt length",
            "too large for model with",
            "prompt is too long",
            "input is too long",
            "reduce the length of the messages",
            "exceeds the maximum number of tokens",
        ];
        CODES.iter().any(|code| self.code == *code || self.kind == *code)
            || WORDS.iter().any(|words| self.text.contains(words))
    }

    fn is_unknown_model(&self) -> bool {
        self.code == "model_not_found"
            || self.text.contains("model not exist")
            || self.text.contains("not a valid model")
            || self.text.contains("invalid model")
            || (self.text.contains("model") && self.text.contains("does not exist"))
    }

    fn is_bad_key(&self) -> bool {
        self.code == "invalid_api_key" || self.text.contains("api key not valid")
    }

    fn is_out_of_credit(&self) -> bool {
        self.text.contains("credit balance is too low")
    }

    fn is_rate_limit(&self) -> bool {
        self.code == "rate_limit_exceeded" || self.kind == "rate_limit_exceeded"
    }
}

fn meaning(status: u16, error: &ErrorBody, request: &ChatRequest) -> (FailureCategory, Blame, &'static str) {
    use Blame::{Fit, Path, Request};
    use FailureCategory::{
        AuthError, ContextExceeded, ProviderError, RateLimited, Timeout, ValidationFailed,
    };

    // llama.cpp and some proxies say with a 500 that the prompt does not fit.
    if matches!(status, 400 | 413 | 422 | 500) && error.is_context_exceeded() {
        return (
            ContextExceeded,
            Fit,
            "the request is longer than the model can read; shorten it or use another model",
        );
    }
    match status {
        401 | 403 | 407 => {
            (AuthError, Path, "the key was not accepted; check the provider's API key and its rights")
        }
        402 => (AuthError, Path, "the account has no credit left; top it up"),
        404 | 405 | 410 => (ProviderError, Path, "it does not know the model or the address; check both"),
        408 | 504 | 524 => (Timeout, Path, "it had no answer in time; try again later"),
        429 => {
            (RateLimited, Path, "it limits the rate or the quota is used up; slow down or raise the limit")
        }
        400 | 413 | 422 if error.is_bad_key() => {
            (AuthError, Path, "the key was not accepted; check the provider's API key")
        }
        400 if error.is_out_of_credit() => (AuthError, Path, "the account has no credit left; top it up"),
        413 if error.is_rate_limit() => (
            RateLimited,
            Path,
            "the request exceeds the account's rate of tokens; slow down or raise the limit",
        ),
        400 | 422 if error.is_unknown_model() => {
            (ProviderError, Path, "it does not know the model; check its name")
        }
        400 | 422 if !error.param.is_empty() && request.is_from_path(&error.param) => {
            (ValidationFailed, Path, "it does not accept a parameter that the path sets; correct the path")
        }
        413 => (ValidationFailed, Request, "the request has too many bytes; send a smaller one"),
        400..=499 => {
            (ValidationFailed, Request, "it does not accept the request; see its own error for the reason")
        }
        500..=599 => (ProviderError, Path, "it failed; try again later"),
        300..=399 => {
            (ProviderError, Path, "it redirects, which is not followed; correct the provider's base_url")
        }
        _ => (ProviderError, Path, "that is no status of an answer; check the provider's base_url"),
    }
}

/// The wait that a provider asks for: `retry-after-ms` (OpenAI), or `Retry-After` in seconds or as a date.
fn retry_after(headers: &HeaderMap, now: SystemTime) -> Option<Duration> {
    let text = |name: &str| headers.get(name).and_then(|value| value.to_str().ok()).map(str::trim);
    let wait = |text: &str, unit: f64| {
        let count: f64 = text.parse().ok()?;
        Duration::try_from_secs_f64(count * unit).ok()
    };
    text("retry-after-ms")
        .and_then(|ms| wait(ms, 0.001))
        .or_else(|| {
            let value = text("retry-after")?;
            wait(value, 1.0).or_else(|| {
                let until = httpdate::parse_http_date(value).ok()?;
                Some(until.duration_since(now).unwrap_or_default())
            })
        })
        .map(|wait| wait.min(MAX_RETRY_AFTER))
}

#[cfg(test)]
mod tests;
