//! Providers that speak a dialect of their own: a chat-completions request goes out in their words, and what they say
//! comes back as a chat-completions answer, stream or error.
//!
//! The translation itself is `kalibr_dialects`; here is where it meets bytes, addresses and headers.

use std::time::{SystemTime, UNIX_EPOCH};

use bytes::Bytes;
use http::uri::{PathAndQuery, Uri};
use http::{HeaderMap, HeaderName, HeaderValue, header};
use kalibr_core::outcome::FailureCategory;
use kalibr_dialects::{
    ApiError, Dialect, ErrorKind, Event, Losses, Malformed, ReadStream, WriteStream, anthropic, gemini,
    openai,
};

use crate::answer::Envelope;
use crate::failure::{Blame, Failure};
use crate::request::ChatRequest;
use crate::sse::{EventTooLong, Reader};

/// The version of Anthropic's API that is spoken.
const ANTHROPIC_VERSION: (HeaderName, HeaderValue) =
    (HeaderName::from_static("anthropic-version"), HeaderValue::from_static("2023-06-01"));

/// Where the calls of a dialect go, beneath a base address.
pub(crate) fn chat_path(dialect: Dialect, base: &str) -> Option<String> {
    match dialect {
        // Anthropic's own clients take the address without the version.
        Dialect::Anthropic if base.ends_with("/messages") => None,
        Dialect::Anthropic if base.ends_with("/v1") => Some(format!("{base}/messages")),
        Dialect::Anthropic => Some(format!("{base}/v1/messages")),
        Dialect::Gemini if base.contains("/models") => None,
        Dialect::Gemini if base.is_empty() => Some("/v1beta".to_owned()),
        Dialect::Gemini => Some(base.to_owned()),
        Dialect::OpenAi | Dialect::Responses if base.ends_with("/chat/completions") => None,
        Dialect::OpenAi | Dialect::Responses => Some(format!("{base}/chat/completions")),
    }
}

/// The address of a call: Gemini's names the model.
pub(crate) fn address(dialect: Dialect, chat: &Uri, model: &str, is_stream: bool) -> Option<Uri> {
    if dialect != Dialect::Gemini {
        return Some(chat.clone());
    }
    let folder = if model.contains('/') { "" } else { "models/" };
    let verb = if is_stream { "streamGenerateContent?alt=sse" } else { "generateContent" };
    let path = format!("{}/{folder}{}:{verb}", chat.path(), escaped(model));
    let mut parts = chat.clone().into_parts();
    parts.path_and_query = Some(PathAndQuery::try_from(path).ok()?);
    Uri::from_parts(parts).ok()
}

/// A model's name within a path.
fn escaped(model: &str) -> String {
    let mut text = String::with_capacity(model.len());
    for byte in model.bytes() {
        if byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.' | b'~' | b'/') {
            text.push(char::from(byte));
        } else {
            text.push_str(&format!("%{byte:02X}"));
        }
    }
    text
}

/// The header that carries a key, and how the key stands in it.
pub(crate) fn key_header(dialect: Dialect) -> (HeaderName, &'static str) {
    match dialect {
        Dialect::Anthropic => (HeaderName::from_static("x-api-key"), ""),
        Dialect::Gemini => (HeaderName::from_static("x-goog-api-key"), ""),
        Dialect::OpenAi | Dialect::Responses => (header::AUTHORIZATION, "Bearer "),
    }
}

/// Headers without which a dialect is not answered.
pub(crate) fn set_headers(dialect: Dialect, headers: &mut HeaderMap) {
    if dialect == Dialect::Anthropic {
        let (name, value) = ANTHROPIC_VERSION;
        headers.insert(name, value);
    }
}

/// A request in the provider's words, and what was lost.
pub(crate) fn request(dialect: Dialect, request: &ChatRequest) -> Result<(Bytes, Losses), Malformed> {
    let (written, losses) = match dialect {
        Dialect::OpenAi | Dialect::Responses => return Ok((request.to_bytes(), request.losses())),
        Dialect::Anthropic => anthropic::write_request(&request.form()?),
        Dialect::Gemini => gemini::write_request(&request.form()?),
    };
    Ok((Bytes::from(written.to_string()), losses))
}

/// The failure of a request that cannot be put into another dialect, with an error that says why.
pub(crate) fn malformed(provider: &str, malformed: &Malformed) -> Failure {
    let message = format!("the request cannot be put into the words of provider {provider}: {malformed}");
    let param = (!malformed.place.is_empty()).then(|| malformed.place.clone());
    let kind = ErrorKind::Invalid;
    let error =
        ApiError { status: kind.status(), kind, message, param, code: Some("invalid_request".to_owned()) };
    Failure {
        status: Some(error.status),
        body: Some(Bytes::from(openai::write_error(&error).to_string())),
        content_type: Some("application/json".to_owned()),
        ..Failure::new(FailureCategory::ValidationFailed, Blame::Request, error.message)
    }
}

/// A whole answer as chat completions. `None` for what is none.
pub(crate) fn answer(dialect: Dialect, body: &[u8]) -> Option<(Bytes, Losses)> {
    let answer = match dialect {
        Dialect::OpenAi | Dialect::Responses => return None,
        Dialect::Anthropic => anthropic::read_answer(body),
        Dialect::Gemini => gemini::read_answer(body),
    };
    let (written, losses) = openai::write_answer(&answer.ok()?, now());
    Some((Bytes::from(written.to_string()), losses))
}

/// An error's body as chat completions have it. A page of a proxy on the way stays what it is.
pub(crate) fn error(dialect: Dialect, status: u16, body: Bytes) -> Bytes {
    // Gemini lists what it says where it does not say it in events.
    let is_listed = status >= 400 && body.trim_ascii_start().first() == Some(&b'[');
    let is_error = is_listed || Envelope::parse(&body).is_some_and(|body| body.error_status().is_some());
    let error = match dialect {
        Dialect::Anthropic if is_error => anthropic::read_error(status, &body),
        Dialect::Gemini if is_error => gemini::read_error(status, &body),
        _ => return body,
    };
    Bytes::from(openai::write_error(&error).to_string())
}

/// Gemini says in the body how long it wants to be left alone: `{"error": {"details": [{"retryDelay": "34s"}]}}`.
pub(crate) fn say_when_to_retry(dialect: Dialect, body: &[u8], headers: &mut HeaderMap) {
    if dialect != Dialect::Gemini || headers.contains_key(header::RETRY_AFTER) {
        return;
    }
    let delay = || {
        let body: serde_json::Value = serde_json::from_slice(body).ok()?;
        let error = body.get(0).unwrap_or(&body).get("error")?;
        let details = error.get("details")?.as_array()?;
        let delay = details.iter().find_map(|detail| detail.get("retryDelay")?.as_str())?;
        HeaderValue::from_str(delay.strip_suffix('s')?).ok()
    };
    if let Some(delay) = delay() {
        headers.insert(header::RETRY_AFTER, delay);
    }
}

fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs()
}

/// A provider's stream on its way to being chat completions.
pub(crate) struct Translation {
    events: Reader,
    reader: Box<dyn ReadStream + Send + Sync>,
    writer: openai::StreamWriter,
    is_finished: bool,
}

/// A stream that is not in its dialect.
#[derive(Debug)]
pub(crate) struct NotTheDialect;

impl From<EventTooLong> for NotTheDialect {
    fn from(_: EventTooLong) -> Self {
        Self
    }
}

impl From<Malformed> for NotTheDialect {
    fn from(_: Malformed) -> Self {
        Self
    }
}

impl Translation {
    /// `None` for a dialect that needs none.
    pub(crate) fn of(dialect: Dialect) -> Option<Self> {
        let reader: Box<dyn ReadStream + Send + Sync> = match dialect {
            Dialect::OpenAi | Dialect::Responses => return None,
            Dialect::Anthropic => Box::<anthropic::StreamReader>::default(),
            Dialect::Gemini => Box::<gemini::StreamReader>::default(),
        };
        let writer = openai::StreamWriter::new(now());
        Some(Self { events: Reader::default(), reader, writer, is_finished: false })
    }

    /// What the caller reads of these bytes; nothing as long as no event is complete.
    pub(crate) fn push(&mut self, bytes: &[u8]) -> Result<Bytes, NotTheDialect> {
        self.events.push(bytes);
        let mut out = String::new();
        while let Some(event) = self.events.next() {
            if let Some(data) = event?.data() {
                let events = self.reader.read(&data)?;
                self.write(&events, &mut out);
            }
        }
        Ok(Bytes::from(out))
    }

    /// What is left to say when the provider has ended its stream. One that broke off is not ended properly.
    pub(crate) fn end(&mut self) -> Result<Bytes, NotTheDialect> {
        let mut out = String::new();
        if let Some(data) = self.events.rest().data() {
            let events = self.reader.read(&data)?;
            self.write(&events, &mut out);
        }
        if self.is_finished {
            let events = self.reader.end();
            self.write(&events, &mut out);
        }
        Ok(Bytes::from(out))
    }

    fn write(&mut self, events: &[Event], out: &mut String) {
        for event in events {
            self.is_finished |= matches!(event, Event::Finish { .. });
            self.writer.write(event, out);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_dialect_has_its_own_address() {
        for (dialect, base, expected) in [
            (Dialect::Anthropic, "", Some("/v1/messages")),
            (Dialect::Anthropic, "/v1", Some("/v1/messages")),
            (Dialect::Anthropic, "/proxy", Some("/proxy/v1/messages")),
            (Dialect::Anthropic, "/v1/messages", None),
            (Dialect::Gemini, "", Some("/v1beta")),
            (Dialect::Gemini, "/v1beta/models", None),
            (Dialect::OpenAi, "/v1", Some("/v1/chat/completions")),
            (Dialect::OpenAi, "/v1/chat/completions", None),
        ] {
            assert_eq!(chat_path(dialect, base).as_deref(), expected, "{dialect:?} {base}");
        }
        let base = Uri::from_static("https://host/v1beta");
        let gemini = |model, stream| address(Dialect::Gemini, &base, model, stream).unwrap().to_string();
        assert_eq!(
            gemini("gemini-2.5-pro", false),
            "https://host/v1beta/models/gemini-2.5-pro:generateContent"
        );
        assert_eq!(
            gemini("tunedModels/a b?", true),
            "https://host/v1beta/tunedModels/a%20b%3F:streamGenerateContent?alt=sse"
        );
    }
}
