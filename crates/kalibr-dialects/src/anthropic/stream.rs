//! Streams of messages.

mod write;

pub use write::StreamWriter;

use super::answer::{read_finish, read_usage};
use super::error::read_error_json;
use super::read::read_block;
use super::thinking::ANTHROPIC;
use crate::answer::Usage;
use crate::event::{Delta, Event, ReadStream};
use crate::form::{Content, Kept, Malformed, Part, Thought};
use crate::json::{Json, Object};
use crate::loss::Losses;

/// Reads a stream of messages.
#[derive(Debug, Default)]
pub struct StreamReader {
    /// The usage of the beginning, which the end adds to.
    usage: Object,
    /// The number of the next block.
    next: u64,
    started: bool,
    over: bool,
    losses: Losses,
}

impl ReadStream for StreamReader {
    fn read(&mut self, data: &[u8]) -> Result<Vec<Event>, Malformed> {
        if self.over {
            return Ok(Vec::new());
        }
        let Ok(Json::Object(mut event)) = Json::parse(data) else {
            return Err(Malformed::new("", "the stream's data is not a JSON object"));
        };
        let index = event.get("index").and_then(Json::as_u64).unwrap_or_default();
        let kind = event.take_text("type").ok_or(Malformed::new("type", "the stream's event has no type"))?;
        Ok(match kind.as_str() {
            "message_start" => {
                let mut message = event.take_object("message").unwrap_or_default();
                self.started = true;
                self.usage = message.take_object("usage").unwrap_or_default();
                let (id, model) = (message.take_text("id"), message.take_text("model"));
                vec![Event::Start { id, model, created: None, usage: Some(self.usage_of_now()) }]
            }
            "content_block_start" => {
                let block = event.take_object("content_block").unwrap_or_default();
                self.next = self.next.max(index.saturating_add(1));
                start(index, block)?
            }
            "content_block_delta" => {
                let mut delta = event.take_object("delta").unwrap_or_default();
                let delta = match delta.text("type") {
                    Some("text_delta") => delta.take_text("text").map(Delta::Text),
                    Some("thinking_delta") => delta.take_text("thinking").map(Delta::Text),
                    Some("input_json_delta") => delta.take_text("partial_json").map(Delta::Text),
                    Some("signature_delta") => delta.take_text("signature").map(Delta::Signature),
                    _ => {
                        self.losses.slight(
                            "content.citations",
                            "they cannot be said in a stream of another dialect",
                        );
                        None
                    }
                };
                let is_empty = |delta: &Delta| *delta == Delta::Text(String::new());
                let delta = delta.filter(|delta| !is_empty(delta));
                delta.map(|delta| Event::Delta { choice: 0, index, delta }).into_iter().collect()
            }
            "content_block_stop" => vec![Event::PartEnd { choice: 0, index }],
            "message_delta" => self.read_end(event),
            "message_stop" => self.end(),
            "error" => {
                self.over = true;
                vec![Event::Error(read_error_json(None, &Json::Object(event)))]
            }
            // Pings, and what comes to be.
            _ => Vec::new(),
        })
    }

    fn end(&mut self) -> Vec<Event> {
        if std::mem::replace(&mut self.over, true) || !self.started { Vec::new() } else { vec![Event::End] }
    }

    fn losses(&self) -> &Losses {
        &self.losses
    }
}

impl StreamReader {
    fn usage_of_now(&self) -> Usage {
        read_usage(self.usage.clone())
    }

    fn read_end(&mut self, mut event: Object) -> Vec<Event> {
        let mut events = Vec::new();
        let mut delta = event.take_object("delta").unwrap_or_default();
        if let Some(text) =
            delta.get("stop_details").and_then(|details| details.as_object()?.text("explanation"))
        {
            let index = self.next;
            self.next += 1;
            let kept = Kept::new(ANTHROPIC, Object::default());
            let part = Part { content: Content::Refusal(String::new()), cache: None, kept };
            events.push(Event::PartStart { choice: 0, index, part });
            events.push(Event::Delta { choice: 0, index, delta: Delta::Text(text.to_owned()) });
            events.push(Event::PartEnd { choice: 0, index });
        }
        if let Some(usage) = event.take_object("usage") {
            // Its counts are cumulative.
            for (key, value) in usage.iter().filter(|(_, value)| **value != Json::Null) {
                self.usage.set(key, value.clone());
            }
            events.push(Event::Usage(self.usage_of_now()));
        }
        if let Some(reason) = delta.text("stop_reason").map(read_finish) {
            let stop_text = delta.take_text("stop_sequence");
            events.push(Event::Finish { choice: 0, finish: reason, stop_text });
        }
        events
    }
}

/// A block's beginning, and as a step of its own what is in it already.
fn start(index: u64, block: Object) -> Result<Vec<Event>, Malformed> {
    let mut part = read_block(block, "content_block")?;
    let text = match &mut part.content {
        Content::Text(text) | Content::Refusal(text) | Content::Thought(Thought { text, .. }) => {
            std::mem::take(text)
        }
        // The arguments follow; the object here is there for its type.
        Content::ToolCall(call) => match std::mem::take(&mut call.arguments) {
            arguments if arguments == "{}" => String::new(),
            arguments => arguments,
        },
        _ => String::new(),
    };
    let mut events = vec![Event::PartStart { choice: 0, index, part }];
    if !text.is_empty() {
        events.push(Event::Delta { choice: 0, index, delta: Delta::Text(text) });
    }
    Ok(events)
}
