//! Answers that arrive as a stream.
//!
//! Bytes go on as they came, event by event. What is read from them is only whether there is an answer yet (before
//! that, another path may still be tried), whether it became complete, and what it used.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use bytes::{Bytes, BytesMut};
use http::HeaderMap;
use http_body_util::BodyExt;
use hyper::body::Incoming;
use kalibr_core::outcome::FailureCategory;
use kalibr_dialects::Losses;

use crate::answer::{Envelope, Usage};
use crate::failure::{Blame, Failure};
use crate::native::{NotTheDialect, Translation};
use crate::providers::Provider;
use crate::request::ChatRequest;
use crate::sse::{Event, Reader};

/// How long the end of the body is waited for after `[DONE]`. It nearly always comes with it, and a connection whose
/// body was read to its end can be used again.
const AFTER_DONE: Duration = Duration::from_millis(100);

/// How a stream ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Ending {
    /// The answer is complete: a `finish_reason` or `[DONE]` was seen.
    Completed,
    /// It broke off; what was handed on until then is all there is.
    Died(Failure),
    /// Nobody read it to its end: the caller went away.
    Abandoned,
}

/// What is known of a stream once it is over.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StreamEnd {
    /// How it ended.
    pub ending: Ending,
    /// What it used, if the provider said so; also where only we asked for it.
    pub usage: Option<Usage>,
}

/// A stream that has begun: its first choice is here. Dropping it closes the connection, which tells the provider to
/// stop.
///
/// ```no_run
/// # async fn relay(mut stream: kalibr_upstream::AnswerStream, send: impl Fn(bytes::Bytes)) {
/// while let Some(bytes) = stream.next().await {
///     send(bytes);
/// }
/// let end = stream.finish();
/// # }
/// ```
pub struct AnswerStream {
    status: u16,
    content_type: Option<String>,
    source: Source,
    reader: Reader,
    /// Complete events that were not handed on yet.
    ready: BytesMut,
    received: usize,
    has_choices: bool,
    is_finished: bool,
    is_done: bool,
    usage: Option<Usage>,
    ending: Option<Ending>,
    /// What the events are judged by.
    request: ChatRequest,
    provider: Arc<Provider>,
    losses: Losses,
}

impl std::fmt::Debug for AnswerStream {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("AnswerStream")
            .field("status", &self.status)
            .field("received", &self.received)
            .field("ending", &self.ending)
            .finish_non_exhaustive()
    }
}

/// Where a stream's bytes come from.
pub(crate) enum Source {
    Http(Incoming),
    /// Of a provider with a dialect of its own.
    Translated(Incoming, Box<Translation>),
    Canned(VecDeque<Bytes>),
}

/// Why a source has no more bytes.
enum Broken {
    /// The connection was lost.
    Lost,
    /// What came is not in the provider's dialect.
    NotTheDialect,
}

impl From<NotTheDialect> for Broken {
    fn from(_: NotTheDialect) -> Self {
        Self::NotTheDialect
    }
}

impl Source {
    /// The next bytes; `None` at the end. May be dropped while it waits, and nothing is lost.
    async fn next(&mut self) -> Option<Result<Bytes, Broken>> {
        match self {
            Self::Canned(chunks) => chunks.pop_front().map(Ok),
            Self::Http(body) => data(body).await,
            Self::Translated(body, translation) => match data(body).await {
                Some(Ok(bytes)) => Some(translation.push(&bytes).map_err(Broken::from)),
                None => {
                    let rest = translation.end().map_err(Broken::from);
                    rest.map(|rest| (!rest.is_empty()).then_some(rest)).transpose()
                }
                lost => lost,
            },
        }
    }
}

async fn data(body: &mut Incoming) -> Option<Result<Bytes, Broken>> {
    loop {
        match body.frame().await? {
            Ok(frame) => {
                if let Ok(data) = frame.into_data() {
                    return Some(Ok(data));
                }
            }
            Err(_) => return Some(Err(Broken::Lost)),
        }
    }
}

impl AnswerStream {
    /// The provider's HTTP status, 200 to 299.
    pub fn status(&self) -> u16 {
        self.status
    }

    /// The content type as the provider named it.
    pub fn content_type(&self) -> Option<&str> {
        self.content_type.as_deref()
    }

    /// The next bytes to hand on, whole events; `None` at the end, which [`AnswerStream::finish`] tells of.
    ///
    /// They are the provider's own, untouched, but for the chunk with the usage if the caller did not
    /// ask for it. May be cancelled while it waits: nothing is lost.
    pub async fn next(&mut self) -> Option<Bytes> {
        while self.ready.is_empty() && self.ending.is_none() {
            let idle = if self.is_done { AFTER_DONE } else { self.provider.limits.idle };
            if tokio::time::timeout(idle, self.advance()).await.is_err() {
                let said =
                    format!("was silent for {} ms within a stream; raise idle_timeout_ms", idle.as_millis());
                self.over(FailureCategory::Timeout, &said);
            }
        }
        (!self.ready.is_empty()).then(|| self.ready.split().freeze())
    }

    /// Whether the answer is complete by what was handed on: readers go away at `[DONE]`, before the stream's end.
    pub fn is_finished(&self) -> bool {
        self.is_finished
    }

    /// What it used, as far as the provider has said so by now.
    pub fn usage(&self) -> Option<Usage> {
        self.usage
    }

    /// What of the request a provider with a dialect of its own could not be told.
    pub fn losses(&self) -> &Losses {
        &self.losses
    }

    pub(crate) fn with_losses(self, losses: Losses) -> Self {
        Self { losses, ..self }
    }

    /// How it ended, and what it used.
    pub fn finish(self) -> StreamEnd {
        StreamEnd { ending: self.ending.unwrap_or(Ending::Abandoned), usage: self.usage }
    }

    /// Waits until there is a choice in the stream, so that it is an answer and no failure.
    pub(crate) async fn open(
        source: Source,
        status: u16,
        headers: &HeaderMap,
        request: ChatRequest,
        provider: Arc<Provider>,
    ) -> Result<Self, Failure> {
        let content_type = headers.get(http::header::CONTENT_TYPE);
        let mut stream = Self {
            status,
            content_type: content_type.and_then(|value| value.to_str().ok()).map(str::to_owned),
            source,
            reader: Reader::default(),
            ready: BytesMut::new(),
            received: 0,
            has_choices: false,
            is_finished: false,
            is_done: false,
            usage: None,
            ending: None,
            request,
            provider,
            losses: Losses::default(),
        };
        while !stream.has_choices {
            // Without a choice nothing ends well.
            if let Some(Ending::Died(failure)) = stream.ending {
                return Err(failure);
            }
            stream.advance().await;
        }
        Ok(stream)
    }

    /// Reads on once.
    async fn advance(&mut self) {
        match self.source.next().await {
            Some(Ok(bytes)) => {
                self.received += bytes.len();
                self.reader.push(&bytes);
                self.read_events();
                if self.received > self.provider.limits.max_answer_bytes && self.ending.is_none() {
                    self.die(FailureCategory::MalformedOutput, "sent more than max_answer_bytes in a stream");
                }
            }
            Some(Err(Broken::NotTheDialect)) => {
                let said = "sent a stream that is not in its dialect; check its kind and base_url";
                self.die(FailureCategory::MalformedOutput, said);
            }
            Some(Err(Broken::Lost)) => {
                let said = "lost the connection before the answer was complete; try again";
                self.over(FailureCategory::ProviderError, said);
            }
            None => {
                let rest = self.reader.rest();
                if !rest.raw.is_empty() {
                    self.see(&rest);
                }
                if self.received == 0 {
                    self.die(FailureCategory::EmptyResponse, "answered with an empty body; try again");
                } else if self.ending.is_none() && !self.has_choices {
                    let said = "answered with something that is no stream of an answer; check its base_url";
                    self.die(FailureCategory::MalformedOutput, said);
                } else if self.ending.is_none() {
                    let said = "ended its stream before the answer was complete; try again";
                    self.over(FailureCategory::ProviderError, said);
                }
            }
        }
    }

    fn read_events(&mut self) {
        while self.ending.is_none() {
            match self.reader.next() {
                None => return,
                Some(Ok(event)) => self.see(&event),
                Some(Err(_)) => {
                    let said = "sent an event of more than 8 MiB; it is broken or does not stream events";
                    self.die(FailureCategory::MalformedOutput, said);
                }
            }
        }
    }

    fn see(&mut self, event: &Event) {
        if self.learn_from(event) {
            self.ready.extend_from_slice(&event.raw);
        }
    }

    /// Reads what the event says; whether it is for the caller too.
    fn learn_from(&mut self, event: &Event) -> bool {
        let Some(data) = event.data() else { return true };
        if self.is_done {
            return true;
        }
        if data.trim_ascii() == b"[DONE]" {
            self.is_done = true;
            self.is_finished = true;
            if !self.has_choices {
                self.die(FailureCategory::EmptyResponse, "ended its stream without an answer; try again");
            }
            return true;
        }
        let Some(chunk) = Envelope::parse(&data) else {
            // Once there is an answer, an odd event in it is the caller's to judge.
            if !self.has_choices {
                self.die(FailureCategory::MalformedOutput, "sent a stream whose data is not a JSON object");
            }
            return true;
        };
        let usage = chunk.usage();
        self.usage = usage.or(self.usage);
        if chunk.has_choices() {
            self.has_choices = true;
            self.is_finished |= chunk.is_finished();
        } else if let Some(status) = chunk.error_status() {
            let headers = HeaderMap::new();
            let body = Some(Bytes::copy_from_slice(&data));
            let name = self.provider.name();
            let now = SystemTime::now();
            let mut failure = Failure::from_answer(name, status, &headers, body, &self.request, now);
            failure.content_type = Some("application/json".to_owned());
            self.ending = Some(Ending::Died(failure));
        } else if usage.is_some() && self.request.hides_usage() {
            return false;
        }
        true
    }

    /// Nothing more comes. That is a failure unless the answer was complete already.
    fn over(&mut self, category: FailureCategory, said: &str) {
        if self.is_finished {
            self.ending = Some(Ending::Completed);
        } else {
            self.die(category, said);
        }
    }

    fn die(&mut self, category: FailureCategory, said: &str) {
        self.ending = Some(Ending::Died(self.failure(category, said)));
    }

    fn failure(&self, category: FailureCategory, said: &str) -> Failure {
        let failure =
            Failure::new(category, Blame::Path, format!("provider {} {said}", self.provider.name()));
        Failure { status: Some(self.status), ..failure }
    }
}
