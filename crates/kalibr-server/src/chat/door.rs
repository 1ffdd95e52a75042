//! The dialect in which a caller asks and is answered.
//!
//! Inside, everything is chat completions: what a caller of another dialect says is translated on its way in, and what
//! it is answered on its way out. A provider of the caller's own dialect is spoken to in that, see
//! [`ChatRequest::translated`], and its whole answers go to the caller as they came.

use std::time::{SystemTime, UNIX_EPOCH};

use axum::body::Body;
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode};
use axum::response::Response;
use bytes::Bytes;
use kalibr_dialects::responses::Settings;
use kalibr_dialects::{
    ApiError as Said, Dialect, ErrorKind, Event, Losses, Malformed, ReadStream, WriteStream, anthropic,
    openai, responses,
};
use kalibr_engine::upstream::{Answer, ChatRequest, Failure, sse};

use super::failed::status;
use super::set_content_type;
use crate::error::ApiError;

/// What of the request or the answer could not be said in another dialect: the places, separated by commas.
const LOSSES: HeaderName = HeaderName::from_static("x-kalibr-losses");

/// What is said of a provider whose answer is none.
const NO_ANSWER: &str = "the provider's answer cannot be read as one, so it cannot be put into your dialect; ask by \
                         /v1/chat/completions to see it as it is";

/// A caller's dialect, with what an answer in it repeats of the request.
pub(super) enum Door {
    /// OpenAI's chat completions.
    Chat,
    /// Anthropic's messages.
    Messages,
    /// OpenAI's Responses.
    Responses(Settings),
}

impl Door {
    /// Reads a body.
    pub(super) fn read(dialect: Dialect, body: &[u8]) -> Result<(Self, ChatRequest), ApiError> {
        Ok(match dialect {
            Dialect::Anthropic => (Self::Messages, ChatRequest::translated(anthropic::read_request(body)?)?),
            Dialect::Responses => {
                let request = responses::read_request(body)?;
                (Self::Responses(Settings::of(&request)), ChatRequest::translated(request)?)
            }
            Dialect::OpenAi | Dialect::Gemini => (Self::Chat, ChatRequest::parse(body)?),
        })
    }

    fn dialect(&self) -> Dialect {
        match self {
            Self::Chat => Dialect::OpenAi,
            Self::Messages => Dialect::Anthropic,
            Self::Responses(_) => Dialect::Responses,
        }
    }

    /// A whole answer.
    pub(super) fn whole(&self, answer: Answer) -> Response {
        let own = answer.original.as_ref().filter(|(dialect, _)| *dialect == self.dialect());
        let (body, content_type, losses) = match own {
            Some((_, body)) => (body.clone(), answer.content_type, Losses::default()),
            None => match self.translated(&answer.body) {
                Ok(None) => (answer.body, answer.content_type, answer.losses),
                Ok(Some((body, more))) => {
                    let mut losses = answer.losses;
                    losses.join(more);
                    (body, None, losses)
                }
                Err(_) => {
                    let error = ApiError::new(StatusCode::BAD_GATEWAY, "malformed_output", NO_ANSWER);
                    return error.respond_in(self.dialect());
                }
            },
        };
        let mut response = Response::new(Body::from(body));
        *response.status_mut() = StatusCode::from_u16(answer.status).unwrap_or(StatusCode::OK);
        set_content_type(&mut response, content_type.as_deref(), "application/json");
        name_losses(response.headers_mut(), &losses);
        response
    }

    /// The answer in another dialect than chat completions; nothing where it is that.
    fn translated(&self, body: &[u8]) -> Result<Option<(Bytes, Losses)>, Malformed> {
        let (written, losses) = match self {
            Self::Chat => return Ok(None),
            Self::Messages => anthropic::write_answer(&openai::read_answer(body)?),
            Self::Responses(settings) => {
                responses::write_answer(&openai::read_answer(body)?, settings, now())
            }
        };
        Ok(Some((Bytes::from(written.to_string()), losses)))
    }

    /// What a stream of chat completions goes through on its way to the caller; nothing where it is one.
    pub(super) fn stream(&self) -> Option<Translation> {
        let writer: Box<dyn WriteStream + Send> = match self {
            Self::Chat => return None,
            Self::Messages => Box::<anthropic::StreamWriter>::default(),
            Self::Responses(settings) => Box::new(responses::StreamWriter::new(settings.clone(), now())),
        };
        Some(Translation { events: sse::Reader::default(), reader: openai::StreamReader::default(), writer })
    }
}

/// Says in a header what was lost, if anything was.
pub(super) fn name_losses(headers: &mut HeaderMap, losses: &Losses) {
    if !losses.is_empty()
        && let Ok(value) = HeaderValue::from_str(&losses.summary())
    {
        headers.insert(LOSSES, value);
    }
}

fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs()
}

/// A stream of chat completions on its way into another dialect.
pub(super) struct Translation {
    events: sse::Reader,
    reader: openai::StreamReader,
    writer: Box<dyn WriteStream + Send>,
}

impl Translation {
    /// What the caller reads of these bytes, and whether that is the last.
    pub(super) fn push(&mut self, bytes: &[u8]) -> (Bytes, bool) {
        self.events.push(bytes);
        let mut out = String::new();
        while let Some(event) = self.events.next() {
            let read = event.ok().and_then(|event| match event.data() {
                Some(data) => self.reader.read(&data).ok(),
                None => Some(Vec::new()),
            });
            let Some(read) = read else {
                self.say(ErrorKind::Server, NO_ANSWER.to_owned(), StatusCode::BAD_GATEWAY, &mut out);
                return (Bytes::from(out), true);
            };
            read.iter().for_each(|event| self.writer.write(event, &mut out));
        }
        (Bytes::from(out), false)
    }

    /// What is left to say at the stream's end.
    pub(super) fn end(&mut self) -> Bytes {
        let mut out = String::new();
        if let Some(data) = self.events.rest().data() {
            let read = self.reader.read(&data).unwrap_or_default();
            read.iter().for_each(|event| self.writer.write(event, &mut out));
        }
        self.reader.end().iter().for_each(|event| self.writer.write(event, &mut out));
        Bytes::from(out)
    }

    /// How the caller hears that the stream died. A provider's own last word was handed on already.
    pub(super) fn fail(&mut self, failure: &Failure) -> Bytes {
        let mut out = String::new();
        if failure.body.is_none() {
            let status = status(failure);
            let kind = ErrorKind::of_status(status.as_u16());
            self.say(kind, failure.message.clone(), status, &mut out);
        }
        Bytes::from(out)
    }

    fn say(&mut self, kind: ErrorKind, message: String, status: StatusCode, out: &mut String) {
        let (status, param, code) = (status.as_u16(), None, None);
        self.writer.write(&Event::Error(Said { status, kind, message, param, code }), out);
    }
}
