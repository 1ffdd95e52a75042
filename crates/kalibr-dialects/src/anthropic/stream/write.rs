//! A stream of messages, written.

use super::super::answer::{write_finish, write_usage};
use super::super::error::write_error;
use super::super::write::tool_id;
use crate::answer::{Finish, Usage};
use crate::event::{Delta, Event, WriteStream};
use crate::form::{Content, Part, Thought};
use crate::json::{Json, Object};
use crate::loss::Losses;

/// Writes a stream of messages. Blocks that are open side by side keep their numbers, as the dialect has it.
#[derive(Default)]
pub struct StreamWriter {
    /// The parts that are open: their number, their block's number and what they are.
    open: Vec<(u64, u64, Kind)>,
    blocks: u64,
    usage: Option<Usage>,
    finish: Option<Finish>,
    stop_text: Option<String>,
    seen: Seen,
    started: bool,
    over: bool,
    losses: Losses,
}

/// What of an answer decides why it ended, where the provider's reason does not.
#[derive(Default)]
struct Seen {
    calls: bool,
    refusal: bool,
}

#[derive(Clone, Copy)]
enum Kind {
    Text,
    Thought,
    Call,
}

impl std::fmt::Debug for StreamWriter {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("StreamWriter").field("blocks", &self.blocks).finish_non_exhaustive()
    }
}

fn say(name: &str, event: &Object, out: &mut String) {
    let mut whole = Object::default().with("type", name);
    whole.fill(event);
    out.push_str(&format!("event: {name}\ndata: {whole}\n\n"));
}

impl StreamWriter {
    fn start(&mut self, id: Option<&str>, model: Option<&str>, out: &mut String) {
        self.started = true;
        let usage = self.usage.clone().unwrap_or_default();
        let message = Object::default()
            .with("id", id.unwrap_or("msg_unknown"))
            .with("type", "message")
            .with("role", "assistant")
            .with("model", model.unwrap_or("unknown"))
            .with("content", Vec::new())
            .with("stop_reason", Json::Null)
            .with("stop_sequence", Json::Null)
            .with("usage", write_usage(&usage, &mut self.losses));
        say("message_start", &Object::default().with("message", message), out);
    }

    fn start_part(&mut self, index: u64, part: &Part, out: &mut String) {
        let typed = |kind: &str| Object::default().with("type", kind);
        let (block, kind, text) = match &part.content {
            Content::Text(text) => (typed("text").with("text", ""), Kind::Text, text.as_str()),
            Content::Refusal(text) => {
                self.seen.refusal = true;
                (typed("text").with("text", ""), Kind::Text, text.as_str())
            }
            Content::Thought(Thought { sealed: Some(sealed), .. }) => {
                (typed("redacted_thinking").with("data", sealed.as_str()), Kind::Thought, "")
            }
            Content::Thought(thought) => {
                let block = typed("thinking").with("thinking", "").with("signature", "");
                (block, Kind::Thought, thought.text.as_str())
            }
            Content::ToolCall(call) => {
                self.seen.calls = true;
                let block =
                    typed("tool_use").with("id", tool_id(&call.id, false)).with("name", call.name.as_str());
                (block.with("input", Object::default()), Kind::Call, call.arguments.as_str())
            }
            _ => {
                self.losses.grave(format!("content[{index}]"), "the dialect has no such part");
                return;
            }
        };
        let at = self.blocks;
        self.blocks += 1;
        self.open.push((index, at, kind));
        say("content_block_start", &Object::default().with("index", at).with("content_block", block), out);
        if !text.is_empty() {
            self.go_on(index, &Delta::Text(text.to_owned()), out);
        }
    }

    fn go_on(&mut self, index: u64, delta: &Delta, out: &mut String) {
        let Some((_, block, kind)) = self.open.iter().find(|(open, ..)| *open == index) else {
            return;
        };
        let typed = |kind: &str, key: &str, text: &str| Object::default().with("type", kind).with(key, text);
        let delta = match (kind, delta) {
            (Kind::Text, Delta::Text(text)) => typed("text_delta", "text", text),
            (Kind::Thought, Delta::Text(text)) => typed("thinking_delta", "thinking", text),
            (Kind::Thought, Delta::Signature(text)) => typed("signature_delta", "signature", text),
            (Kind::Call, Delta::Text(text)) => typed("input_json_delta", "partial_json", text),
            (Kind::Text | Kind::Call, Delta::Signature(_)) => return,
        };
        say("content_block_delta", &Object::default().with("index", *block).with("delta", delta), out);
    }

    fn end_part(&mut self, index: u64, out: &mut String) {
        if let Some(place) = self.open.iter().position(|(open, ..)| *open == index) {
            let (_, block, _) = self.open.remove(place);
            say("content_block_stop", &Object::default().with("index", block), out);
        }
    }

    fn end(&mut self, out: &mut String) {
        self.over = true;
        if !self.started {
            return;
        }
        while let Some((index, ..)) = self.open.first() {
            let index = *index;
            self.end_part(index, out);
        }
        let reason = write_finish(self.finish, self.seen.calls, self.seen.refusal);
        let text = self.stop_text.take().map_or(Json::Null, Json::from);
        let delta = Object::default().with("stop_reason", reason).with("stop_sequence", text);
        let usage = self.usage.take().unwrap_or_else(|| {
            self.losses.slight("usage", "the provider did not say what was used; 0 stands for it");
            Usage::default()
        });
        let usage = write_usage(&usage, &mut self.losses);
        say("message_delta", &Object::default().with("delta", delta).with("usage", usage), out);
        say("message_stop", &Object::default(), out);
    }
}

impl WriteStream for StreamWriter {
    fn write(&mut self, event: &Event, out: &mut String) {
        if self.over {
            return;
        }
        match event {
            Event::Start { id, model, usage, .. } => {
                self.usage.clone_from(usage);
                self.start(id.as_deref(), model.as_deref(), out);
            }
            Event::PartStart { choice: 0, index, part } => self.start_part(*index, part, out),
            Event::Delta { choice: 0, index, delta } => self.go_on(*index, delta, out),
            Event::PartEnd { choice: 0, index } => self.end_part(*index, out),
            Event::Logprobs { .. } => self.losses.grave("logprobs", "the dialect has no such thing"),
            Event::Finish { choice: 0, finish, stop_text } => {
                self.finish = Some(*finish);
                self.stop_text.clone_from(stop_text);
            }
            Event::PartStart { .. } => self.losses.grave("choices", "an answer is one there"),
            Event::Delta { .. } | Event::PartEnd { .. } | Event::Finish { .. } => {}
            Event::Usage(usage) => self.usage = Some(usage.clone()),
            Event::Error(error) => {
                self.over = true;
                say("error", &write_error(error), out);
            }
            Event::End => self.end(out),
        }
    }

    fn losses(&self) -> &Losses {
        &self.losses
    }
}
