//! Streams: what happens in an answer while it is written.
//!
//! A reader makes events of what a provider sends, a writer makes what a caller reads of them. Neither holds text: what
//! they remember is bounded by the parts that are open at the same time.
//!
//! ```
//! use kalibr_dialects::{ReadStream, WriteStream, anthropic, openai};
//!
//! let mut reader = openai::StreamReader::default();
//! let mut writer = anthropic::StreamWriter::default();
//! let mut sent = String::new();
//! for data in [
//!     r#"{"id":"chatcmpl-1","model":"m","choices":[{"index":0,"delta":{"content":"Hi"},"finish_reason":"stop"}]}"#,
//!     r#"{"choices":[],"usage":{"prompt_tokens":3,"completion_tokens":1}}"#,
//!     "[DONE]",
//! ] {
//!     for event in reader.read(data.as_bytes()).unwrap() {
//!         writer.write(&event, &mut sent);
//!     }
//! }
//! let names: Vec<&str> = sent.lines().filter_map(|line| line.strip_prefix("event: ")).collect();
//! assert_eq!(
//!     names,
//!     ["message_start", "content_block_start", "content_block_delta", "content_block_stop", "message_delta", "message_stop"]
//! );
//! ```

use crate::answer::{Answer, ApiError, Choice, Finish, Usage};
use crate::form::{Content, Malformed, Part, Shape, silent};
use crate::json::Json;
use crate::loss::Losses;

/// Something that happened in an answer. Parts are numbered within their choice, in the order in which they begin.
#[derive(Clone, PartialEq)]
pub enum Event {
    /// The answer begins.
    Start {
        /// The provider's id of it.
        id: Option<String>,
        /// The model that answers.
        model: Option<String>,
        /// When it began, in seconds of Unix time.
        created: Option<u64>,
        /// What is used already, where that is said at the beginning.
        usage: Option<Usage>,
    },
    /// A part begins, with nothing in it yet; what comes as a whole is whole here.
    PartStart {
        /// The choice.
        choice: u64,
        /// The part's number.
        index: u64,
        /// What it is.
        part: Part,
    },
    /// A part goes on.
    Delta {
        /// The choice.
        choice: u64,
        /// The part's number.
        index: u64,
        /// How.
        delta: Delta,
    },
    /// A part is complete.
    PartEnd {
        /// The choice.
        choice: u64,
        /// The part's number.
        index: u64,
    },
    /// Probabilities of the tokens that came last, in OpenAI's form.
    Logprobs {
        /// The choice.
        choice: u64,
        /// `{"content": [...], "refusal": [...]}`.
        logprobs: Json,
    },
    /// A choice is complete.
    Finish {
        /// The choice.
        choice: u64,
        /// Why.
        finish: Finish,
        /// The text that ended it, if one did.
        stop_text: Option<String>,
    },
    /// What was used by now. The last one counts.
    Usage(Usage),
    /// The provider failed; nothing more comes.
    Error(ApiError),
    /// The answer is complete.
    End,
}

/// How a part goes on.
#[derive(Clone, PartialEq, Eq)]
pub enum Delta {
    /// More of its text: of a thought its words, of a tool's call its arguments.
    Text(String),
    /// A thought's signature, whole.
    Signature(String),
}

silent!(Event, Delta);

/// Reads a stream of one dialect. Bounded in memory.
pub trait ReadStream {
    /// What happened, by the data of one server-sent event.
    ///
    /// # Errors
    /// [`Malformed`] for data that is no event of the dialect; the stream cannot be trusted from there on.
    fn read(&mut self, data: &[u8]) -> Result<Vec<Event>, Malformed>;

    /// What is still to be said when nothing more comes: the end of what is open, unless it was said.
    fn end(&mut self) -> Vec<Event>;

    /// What of the stream has no event.
    fn losses(&self) -> &Losses;
}

/// Writes a stream of one dialect, as server-sent events. Bounded in memory.
pub trait WriteStream {
    /// Appends what the caller reads of an event, nothing or several whole server-sent events.
    fn write(&mut self, event: &Event, out: &mut String);

    /// What of the events the dialect cannot say.
    fn losses(&self) -> &Losses;
}

/// Makes the whole answer of a stream's events. Holds all of it.
#[derive(Default)]
pub struct Collector {
    answer: Answer,
    error: Option<ApiError>,
}

silent!(Collector);

impl Collector {
    /// Takes the next event.
    pub fn push(&mut self, event: Event) {
        match event {
            Event::Start { id, model, created, usage } => {
                (self.answer.id, self.answer.model, self.answer.created) = (id, model, created);
                self.answer.usage = usage;
            }
            Event::PartStart { choice, index, part } => {
                // Parts begin in the order of their numbers.
                let parts = &mut self.choice(choice).parts;
                if parts.len() as u64 == index {
                    parts.push(part);
                }
            }
            Event::Delta { choice, index, delta } => {
                let at = usize::try_from(index).unwrap_or(usize::MAX);
                if let Some(part) = self.choice(choice).parts.get_mut(at) {
                    extend(part, delta);
                }
            }
            Event::Logprobs { choice, logprobs } => add_logprobs(&mut self.choice(choice).logprobs, logprobs),
            Event::Finish { choice, finish, stop_text } => {
                let choice = self.choice(choice);
                (choice.finish, choice.stop_text) = (Some(finish), stop_text);
            }
            Event::Usage(usage) => self.answer.usage = Some(usage),
            Event::Error(error) => self.error = Some(error),
            Event::PartEnd { .. } | Event::End => {}
        }
    }

    /// The whole answer.
    ///
    /// # Errors
    /// The stream's own error.
    pub fn finish(self) -> Result<Answer, ApiError> {
        self.error.map_or(Ok(self.answer), Err)
    }

    fn choice(&mut self, index: u64) -> &mut Choice {
        let choices = &mut self.answer.choices;
        let at = choices.iter().position(|choice| choice.index == index).unwrap_or_else(|| {
            choices.push(Choice { index, shape: Shape::Short, ..Choice::default() });
            choices.len() - 1
        });
        &mut choices[at]
    }
}

fn extend(part: &mut Part, delta: Delta) {
    match (&mut part.content, delta) {
        (Content::Text(text) | Content::Refusal(text), Delta::Text(more)) => text.push_str(&more),
        (Content::Thought(thought), Delta::Text(more)) => thought.text.push_str(&more),
        (Content::ToolCall(call), Delta::Text(more)) => call.arguments.push_str(&more),
        (Content::Thought(thought), Delta::Signature(signature)) => thought.signature = Some(signature),
        _ => {}
    }
}

fn add_logprobs(all: &mut Option<Json>, more: Json) {
    let (Some(Json::Object(all)), Json::Object(more)) = (all.as_mut(), &more) else {
        *all = Some(more);
        return;
    };
    for (key, value) in more.iter() {
        let joined = match (all.get(key), value) {
            (Some(Json::List(before)), Json::List(now)) => {
                Json::List(before.iter().chain(now).cloned().collect())
            }
            (Some(before @ Json::List(_)), _) => before.clone(),
            _ => value.clone(),
        };
        all.set(key, joined);
    }
}
