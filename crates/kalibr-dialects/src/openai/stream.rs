//! Streams of chat completions.
//!
//! A chunk says what to add to which field of the message, and nothing of where a part ends: a text ends where something
//! else begins, and a call where its arguments are a complete object and something else begins. Calls whose arguments
//! come in turns stay open side by side.

mod arguments;
mod write;

pub use write::StreamWriter;

use self::arguments::Arguments;
use super::answer::{read_finish, read_usage};
use super::assistant::read_detail;
use super::error::read_error_json;
use crate::event::{Delta, Event, ReadStream};
use crate::form::{Content, Malformed, Part, Thought, ToolCall};
use crate::json::{Json, Object};
use crate::loss::Losses;

/// Most choices of a stream, and most calls of a choice: OpenAI gives 128 at the most.
const MOST: usize = 128;

/// Reads a stream of chat completions.
#[derive(Debug, Default)]
pub struct StreamReader {
    started: bool,
    over: bool,
    choices: Vec<Open>,
    losses: Losses,
}

/// What is open of a choice.
#[derive(Debug, Default)]
struct Open {
    choice: u64,
    /// The number of the next part.
    next: u64,
    text: Option<(u64, Kind)>,
    calls: Vec<Call>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Text,
    Refusal,
    /// A thought, and its number where the provider numbers them.
    Thought(Option<u64>),
}

#[derive(Debug)]
struct Call {
    key: u64,
    id: String,
    index: u64,
    arguments: Arguments,
    is_open: bool,
}

impl ReadStream for StreamReader {
    fn read(&mut self, data: &[u8]) -> Result<Vec<Event>, Malformed> {
        if self.over {
            return Ok(Vec::new());
        }
        if data.trim_ascii() == b"[DONE]" {
            return Ok(self.end());
        }
        let Ok(Json::Object(mut chunk)) = Json::parse(data) else {
            return Err(Malformed::new("", "the stream's data is not a JSON object"));
        };
        let mut events = Vec::new();
        if chunk.get("error").is_some_and(|error| *error != Json::Null) {
            let code = chunk.get("error").and_then(|error| error.as_object()?.get("code")?.as_u64());
            let status =
                code.and_then(|code| u16::try_from(code).ok()).filter(|code| (400..600).contains(code));
            events.push(Event::Error(read_error_json(status.unwrap_or(500), &Json::Object(chunk))));
            self.over = true;
            return Ok(events);
        }
        if !self.started {
            self.started = true;
            let (id, model) = (chunk.take_text("id"), chunk.take_text("model"));
            events.push(Event::Start { id, model, created: chunk.take_u64("created"), usage: None });
        }
        for choice in chunk.take_list("choices").unwrap_or_default() {
            if let Json::Object(choice) = choice {
                self.read_choice(choice, &mut events)?;
            }
        }
        events.extend(read_usage(&mut chunk).map(Event::Usage));
        Ok(events)
    }

    fn end(&mut self) -> Vec<Event> {
        if self.over || !self.started {
            return Vec::new();
        }
        self.over = true;
        let mut events = Vec::new();
        for open in &mut self.choices {
            open.close_all(&mut events);
        }
        events.push(Event::End);
        events
    }

    fn losses(&self) -> &Losses {
        &self.losses
    }
}

impl StreamReader {
    fn read_choice(&mut self, mut choice: Object, events: &mut Vec<Event>) -> Result<(), Malformed> {
        let index = choice.take_u64("index").unwrap_or_default();
        let at = match self.choices.iter().position(|open| open.choice == index) {
            Some(at) => at,
            None if self.choices.len() < MOST => {
                self.choices.push(Open { choice: index, ..Open::default() });
                self.choices.len() - 1
            }
            None => return Err(Malformed::new("choices", "the stream has more than 128 choices")),
        };
        let open = &mut self.choices[at];
        if let Some(mut delta) = choice.take_object("delta") {
            open.read_thoughts(&mut delta, events);
            for (key, kind) in [("content", Kind::Text), ("refusal", Kind::Refusal)] {
                if let Some(text) = delta.take_text(key) {
                    open.add(kind, text, events);
                }
            }
            for (at, call) in delta.take_list("tool_calls").unwrap_or_default().into_iter().enumerate() {
                if let Json::Object(call) = call {
                    open.read_call(call, at as u64, events)?;
                }
            }
            for key in ["audio", "function_call", "annotations", "images"] {
                if delta.get(key).is_some_and(|value| !value.is_nothing()) {
                    self.losses
                        .slight(format!("delta.{key}"), "it cannot be said in a stream of another dialect");
                }
            }
        }
        if let Some(logprobs) = choice.take_object("logprobs") {
            events.push(Event::Logprobs { choice: index, logprobs: Json::Object(logprobs) });
        }
        if let (Some(finish), stop_text) = read_finish(&choice) {
            open.close_all(events);
            events.push(Event::Finish { choice: index, finish, stop_text });
        }
        Ok(())
    }
}

impl Open {
    fn start(&mut self, part: Part, events: &mut Vec<Event>) -> u64 {
        let index = self.next;
        self.next += 1;
        events.push(Event::PartStart { choice: self.choice, index, part });
        index
    }

    fn end(&self, index: u64, events: &mut Vec<Event>) {
        events.push(Event::PartEnd { choice: self.choice, index });
    }

    /// Ends what cannot go on once something else begins.
    fn close(&mut self, events: &mut Vec<Event>) {
        if let Some((index, _)) = self.text.take() {
            self.end(index, events);
        }
        for call in &mut self.calls {
            if call.is_open && call.arguments.are_complete() {
                call.is_open = false;
                events.push(Event::PartEnd { choice: self.choice, index: call.index });
            }
        }
    }

    fn close_all(&mut self, events: &mut Vec<Event>) {
        self.close(events);
        for call in &mut self.calls {
            if std::mem::take(&mut call.is_open) {
                events.push(Event::PartEnd { choice: self.choice, index: call.index });
            }
        }
    }

    fn place(&mut self, kind: Kind, events: &mut Vec<Event>) -> u64 {
        match self.text {
            Some((index, open)) if open == kind => index,
            _ => {
                self.close(events);
                let index = self.start(Part::new(kind.empty()), events);
                self.text = Some((index, kind));
                index
            }
        }
    }

    fn add(&mut self, kind: Kind, text: String, events: &mut Vec<Event>) {
        // Empty ones stand in chunks that say something else.
        if text.is_empty() {
            return;
        }
        let index = self.place(kind, events);
        events.push(Event::Delta { choice: self.choice, index, delta: Delta::Text(text) });
    }

    fn read_thoughts(&mut self, delta: &mut Object, events: &mut Vec<Event>) {
        let details = delta.take_items("reasoning_details").unwrap_or_default();
        let mut is_detailed = false;
        for detail in details {
            let number = detail.as_object().and_then(|detail| detail.get("index")?.as_u64());
            let Some(Part { content: Content::Thought(thought), .. }) = read_detail(&detail) else {
                continue;
            };
            is_detailed = true;
            if thought.sealed.is_some() {
                self.close(events);
                let index = self.start(Part::new(Content::Thought(thought)), events);
                self.end(index, events);
                continue;
            }
            self.add(Kind::Thought(number), thought.text, events);
            if let Some(signature) = thought.signature.filter(|signature| !signature.is_empty()) {
                let index = self.place(Kind::Thought(number), events);
                events.push(Event::Delta { choice: self.choice, index, delta: Delta::Signature(signature) });
            }
        }
        // The same words once more.
        if is_detailed {
            return;
        }
        if let Some(text) = delta.take_text("reasoning_content").or_else(|| delta.take_text("reasoning")) {
            self.add(Kind::Thought(None), text, events);
        }
    }

    fn read_call(&mut self, mut call: Object, at: u64, events: &mut Vec<Event>) -> Result<(), Malformed> {
        let key = call.take_u64("index").unwrap_or(at);
        let id = call.take_text("id").unwrap_or_default();
        let mut function = call.take_object("function").unwrap_or_default();
        let name = function.take_text("name").unwrap_or_default();
        let arguments = function.take_text("arguments").unwrap_or_default();
        // Some providers give every call the number 0, and another id.
        let known = self.calls.iter().rposition(|call| call.key == key && (id.is_empty() || call.id == id));
        let at = match known {
            Some(at) => at,
            None if self.calls.len() >= MOST => {
                return Err(Malformed::new("tool_calls", "the stream has more than 128 calls in a choice"));
            }
            None => {
                self.close(events);
                let call = ToolCall { id: id.clone(), name, arguments: String::new() };
                let index = self.start(Part::new(Content::ToolCall(call)), events);
                self.calls.push(Call { key, id, index, arguments: Arguments::default(), is_open: true });
                self.calls.len() - 1
            }
        };
        let call = &mut self.calls[at];
        call.arguments.push(&arguments);
        if call.is_open && !arguments.is_empty() {
            events.push(Event::Delta {
                choice: self.choice,
                index: call.index,
                delta: Delta::Text(arguments),
            });
        }
        Ok(())
    }
}

impl Kind {
    fn empty(self) -> Content {
        match self {
            Self::Text => Content::Text(String::new()),
            Self::Refusal => Content::Refusal(String::new()),
            Self::Thought(_) => Content::Thought(Thought::default()),
        }
    }
}
