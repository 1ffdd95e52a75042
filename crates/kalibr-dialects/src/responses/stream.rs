//! A stream of a response, written.
//!
//! The one writer that holds the answer's text: the dialect says each part again at its end, and all of them with the
//! last event.

use super::answer::{Settings, complete, content_part, item, item_id, response, response_id, write_usage};
use crate::answer::{ApiError, ErrorKind, Finish, Usage};
use crate::event::{Delta, Event, WriteStream};
use crate::form::{Content, Part};
use crate::json::{Json, Object};
use crate::loss::Losses;

/// Writes a stream of a response. Holds what was said until the end, as the dialect demands.
pub struct StreamWriter {
    settings: Settings,
    created: u64,
    /// The response as far as it is known; `None` before the beginning.
    response: Option<Object>,
    id: String,
    /// The items of the output in their order; those that are not complete yet are null.
    output: Vec<Json>,
    open: Vec<Open>,
    finish: Option<Finish>,
    sequence: u64,
    over: bool,
    losses: Losses,
}

/// A part that is not complete yet.
struct Open {
    index: u64,
    at: usize,
    id: String,
    part: Part,
}

impl Open {
    /// Where an event of it belongs.
    fn place(&self) -> Object {
        Object::default().with("item_id", self.id.as_str()).with("output_index", self.at as u64)
    }
}

impl std::fmt::Debug for StreamWriter {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("StreamWriter").field("items", &self.output.len()).finish_non_exhaustive()
    }
}

/// The words of a part, and how it stands within its item.
fn words(part: &Part) -> Option<(&str, &'static str)> {
    match &part.content {
        Content::Text(text) => Some((text, "output_text")),
        Content::Refusal(text) => Some((text, "refusal")),
        Content::Thought(thought) if thought.sealed.is_none() => {
            Some((&thought.text, "reasoning_summary_text"))
        }
        Content::ToolCall(call) => Some((&call.arguments, "function_call_arguments")),
        _ => None,
    }
}

impl StreamWriter {
    /// A writer of a response to this request, whose time is `created`, in seconds of Unix time, unless the stream says
    /// otherwise.
    pub fn new(settings: Settings, created: u64) -> Self {
        Self {
            settings,
            created,
            response: None,
            id: String::new(),
            output: Vec::new(),
            open: Vec::new(),
            finish: None,
            sequence: 0,
            over: false,
            losses: Losses::default(),
        }
    }

    fn say(&mut self, name: &str, event: &Object, out: &mut String) {
        let mut whole = Object::default().with("type", name).with("sequence_number", self.sequence);
        self.sequence += 1;
        whole.fill(event);
        out.push_str(&format!("event: {name}\ndata: {whole}\n\n"));
    }

    fn start(&mut self, id: Option<&str>, model: Option<&str>, created: Option<u64>, out: &mut String) {
        self.id = response_id(id);
        let created = created.unwrap_or(self.created);
        let begun = response(&self.id, created, model.unwrap_or("unknown"), &self.settings);
        for name in ["response.created", "response.in_progress"] {
            self.say(name, &Object::default().with("response", begun.clone()), out);
        }
        self.response = Some(begun);
    }

    fn start_part(&mut self, index: u64, part: &Part, out: &mut String) {
        let at = self.output.len();
        let Some(id) = item_id(&part.content, &self.id, at as u64) else {
            self.losses.grave(format!("output[{index}]"), "the dialect has no such part");
            return;
        };
        let open = Open { index, at, id, part: empty(part) };
        self.output.push(Json::Null);
        let begun = emptied(item(&open.part, &self.id, at as u64, None).unwrap_or_default());
        let added = Object::default().with("output_index", at as u64).with("item", begun);
        self.say("response.output_item.added", &added, out);
        match &open.part.content {
            content @ (Content::Text(_) | Content::Refusal(_)) => {
                let added = open.place().with("content_index", 0).with("part", content_part(content, None));
                self.say("response.content_part.added", &added, out);
            }
            Content::Thought(thought) if thought.sealed.is_none() => {
                let part = Object::default().with("type", "summary_text").with("text", "");
                let added = open.place().with("summary_index", 0).with("part", part);
                self.say("response.reasoning_summary_part.added", &added, out);
            }
            _ => {}
        }
        self.open.push(open);
        if let Some((text, _)) = words(part).filter(|(text, _)| !text.is_empty()) {
            self.go_on(index, &Delta::Text(text.to_owned()), out);
        }
    }

    fn go_on(&mut self, index: u64, delta: &Delta, out: &mut String) {
        let Some(open) = self.open.iter_mut().find(|open| open.index == index) else {
            return;
        };
        let text = match (&mut open.part.content, delta) {
            (Content::Thought(thought), Delta::Signature(signature)) => {
                thought.signature = Some(signature.clone());
                return;
            }
            (Content::Text(text) | Content::Refusal(text), Delta::Text(more)) => {
                text.push_str(more);
                more
            }
            (Content::Thought(thought), Delta::Text(more)) => {
                thought.text.push_str(more);
                more
            }
            (Content::ToolCall(call), Delta::Text(more)) => {
                call.arguments.push_str(more);
                more
            }
            _ => return,
        };
        if let Some((_, name)) = words(&open.part) {
            let delta = counted(open.place(), name).with("delta", text.as_str());
            self.say(&format!("response.{name}.delta"), &delta, out);
        }
    }

    fn end_part(&mut self, index: u64, out: &mut String) {
        let Some(place) = self.open.iter().position(|open| open.index == index) else {
            return;
        };
        let open = self.open.remove(place);
        if let Some((text, name)) = words(&open.part) {
            let (key, text) = match name {
                "refusal" => ("refusal", text),
                "function_call_arguments" if text.is_empty() => ("arguments", "{}"),
                "function_call_arguments" => ("arguments", text),
                _ => ("text", text),
            };
            let done = counted(open.place(), name).with(key, text);
            self.say(&format!("response.{name}.done"), &done, out);
        }
        match &open.part.content {
            content @ (Content::Text(_) | Content::Refusal(_)) => {
                let done = open.place().with("content_index", 0).with("part", content_part(content, None));
                self.say("response.content_part.done", &done, out);
            }
            Content::Thought(thought) if thought.sealed.is_none() => {
                let part = Object::default().with("type", "summary_text").with("text", thought.text.as_str());
                let done = open.place().with("summary_index", 0).with("part", part);
                self.say("response.reasoning_summary_part.done", &done, out);
            }
            _ => {}
        }
        let whole = item(&open.part, &self.id, open.at as u64, None).map_or(Json::Null, Json::Object);
        let done = Object::default().with("output_index", open.at as u64).with("item", whole.clone());
        self.say("response.output_item.done", &done, out);
        self.output[open.at] = whole;
    }

    fn end(&mut self, out: &mut String) {
        while let Some(open) = self.open.first() {
            let index = open.index;
            self.end_part(index, out);
        }
        let Some(mut whole) = self.response.take() else {
            return;
        };
        complete(&mut whole, self.finish, std::mem::take(&mut self.output));
        let name = if whole.text("status") == Some("incomplete") {
            "response.incomplete"
        } else {
            "response.completed"
        };
        self.say(name, &Object::default().with("response", whole), out);
    }

    fn fail(&mut self, error: &ApiError, out: &mut String) {
        let code = match error.kind {
            ErrorKind::RateLimit => "rate_limit_exceeded",
            ErrorKind::Invalid | ErrorKind::TooLarge => "invalid_prompt",
            _ => "server_error",
        };
        let said = Object::default()
            .with("code", code)
            .with("message", error.message.as_str())
            .with("param", error.param.as_deref().map_or(Json::Null, Json::from));
        self.say("error", &said, out);
        if let Some(mut failed) = self.response.take() {
            let error = Object::default().with("code", code).with("message", error.message.as_str());
            failed.set("status", "failed");
            failed.set("error", error);
            self.say("response.failed", &Object::default().with("response", failed), out);
        }
    }

    fn use_up(&mut self, usage: &Usage) {
        if let Some(response) = &mut self.response {
            response.set("usage", write_usage(usage));
        }
    }
}

/// A part with nothing in it yet.
fn empty(part: &Part) -> Part {
    let mut part = part.clone();
    match &mut part.content {
        Content::Text(text) | Content::Refusal(text) => text.clear(),
        Content::Thought(thought) => thought.text.clear(),
        Content::ToolCall(call) => call.arguments.clear(),
        _ => {}
    }
    part
}

/// An item as it begins.
fn emptied(mut item: Object) -> Object {
    for (key, value) in
        [("content", Json::List(Vec::new())), ("summary", Json::List(Vec::new())), ("arguments", "".into())]
    {
        if item.get(key).is_some() {
            item.set(key, value);
        }
    }
    if item.get("status").is_some() {
        item.set("status", "in_progress");
    }
    item
}

/// Which of its item's texts an event speaks of: there is one.
fn counted(place: Object, name: &str) -> Object {
    match name {
        "function_call_arguments" => place,
        "reasoning_summary_text" => place.with("summary_index", 0),
        "output_text" => place.with("content_index", 0).with("logprobs", Vec::new()),
        _ => place.with("content_index", 0),
    }
}

impl WriteStream for StreamWriter {
    fn write(&mut self, event: &Event, out: &mut String) {
        if self.over {
            return;
        }
        match event {
            Event::Start { id, model, created, usage } => {
                self.start(id.as_deref(), model.as_deref(), *created, out);
                if let Some(usage) = usage {
                    self.use_up(usage);
                }
            }
            Event::PartStart { choice: 0, index, part } => self.start_part(*index, part, out),
            Event::Delta { choice: 0, index, delta } => self.go_on(*index, delta, out),
            Event::PartEnd { choice: 0, index } => self.end_part(*index, out),
            Event::Logprobs { .. } => self.losses.grave("logprobs", "they are not said in a stream"),
            Event::Finish { choice: 0, finish, .. } => self.finish = Some(*finish),
            Event::PartStart { .. } => self.losses.grave("choices", "an answer is one there"),
            Event::Delta { .. } | Event::PartEnd { .. } | Event::Finish { .. } => {}
            Event::Usage(usage) => self.use_up(usage),
            Event::Error(error) => {
                self.over = true;
                self.fail(error, out);
            }
            Event::End => {
                self.over = true;
                self.end(out);
            }
        }
    }

    fn losses(&self) -> &Losses {
        &self.losses
    }
}
