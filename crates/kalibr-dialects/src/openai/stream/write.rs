//! A stream of chat completions, written.

use super::super::answer::{say_finish, write_usage};
use super::super::error::write_error;
use crate::answer::{Finish, Usage};
use crate::event::{Delta, Event, WriteStream};
use crate::form::{Content, Part, Thought};
use crate::gemini;
use crate::json::{Json, Object};
use crate::loss::Losses;

/// Writes a stream of chat completions, its usage and `[DONE]` at the end.
pub struct StreamWriter {
    head: Object,
    usage: Option<Usage>,
    choices: Vec<Choice>,
    over: bool,
    losses: Losses,
}

/// What has to be known of a choice.
struct Choice {
    index: u64,
    calls: u64,
    thoughts: u64,
    /// The parts that are open, and what they are.
    open: Vec<(u64, Kind)>,
    is_finished: bool,
}

#[derive(Clone, Copy)]
enum Kind {
    Text,
    Refusal,
    /// Its number if it is signed, and so written in detail.
    Thought(Option<u64>),
    Call {
        number: u64,
        is_empty: bool,
    },
}

impl std::fmt::Debug for StreamWriter {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("StreamWriter").field("choices", &self.choices.len()).finish_non_exhaustive()
    }
}

impl StreamWriter {
    /// A writer whose chunks were made at `created`, in seconds of Unix time, unless the stream says otherwise.
    pub fn new(created: u64) -> Self {
        let head = Object::default()
            .with("id", "chatcmpl-unknown")
            .with("object", "chat.completion.chunk")
            .with("created", created)
            .with("model", "unknown");
        Self { head, usage: None, choices: Vec::new(), over: false, losses: Losses::default() }
    }

    fn chunk(&self, choice: u64, delta: Object, logprobs: Json, out: &mut String) {
        let choice = Object::default()
            .with("index", choice)
            .with("delta", delta)
            .with("logprobs", logprobs)
            .with("finish_reason", Json::Null);
        self.say(choice, out);
    }

    fn say(&self, choice: Object, out: &mut String) {
        let chunk = self.head.clone().with("choices", vec![Json::Object(choice)]);
        out.push_str(&format!("data: {chunk}\n\n"));
    }

    fn delta(&self, choice: u64, key: &str, value: impl Into<Json>, out: &mut String) {
        self.chunk(choice, Object::default().with(key, value), Json::Null, out);
    }

    /// The choice's place, which begins with the role.
    fn choice(&mut self, index: u64, out: &mut String) -> usize {
        if let Some(at) = self.choices.iter().position(|choice| choice.index == index) {
            return at;
        }
        self.choices.push(Choice { index, calls: 0, thoughts: 0, open: Vec::new(), is_finished: false });
        let role = Object::default().with("role", "assistant").with("content", "");
        self.chunk(index, role, Json::Null, out);
        self.choices.len() - 1
    }

    fn start_part(&mut self, choice: u64, index: u64, part: &Part, out: &mut String) {
        let at = self.choice(choice, out);
        let state = &mut self.choices[at];
        let kind = match &part.content {
            Content::Text(_) => Kind::Text,
            Content::Refusal(_) => Kind::Refusal,
            Content::Thought(thought) => {
                let number = state.thoughts;
                state.thoughts += 1;
                if let Some(sealed) = &thought.sealed {
                    let detail =
                        Object::default().with("type", "reasoning.encrypted").with("data", sealed.as_str());
                    let details = vec![Json::Object(detail.with("index", number))];
                    self.delta(choice, "reasoning_details", details, out);
                    return;
                }
                Kind::Thought(thought.signature.is_some().then_some(number))
            }
            Content::ToolCall(call) => {
                let number = state.calls;
                state.calls += 1;
                let id = if call.id.is_empty() { format!("call_{number}") } else { call.id.clone() };
                let function = Object::default().with("name", call.name.as_str()).with("arguments", "");
                let mut call =
                    Object::default().with("index", number).with("id", id).with("type", "function");
                call.set_some("extra_content", gemini::extra_content(part));
                self.delta(choice, "tool_calls", vec![Json::Object(call.with("function", function))], out);
                Kind::Call { number, is_empty: true }
            }
            _ => {
                self.losses
                    .grave(format!("choices[{choice}].content[{index}]"), "the dialect has no such part");
                return;
            }
        };
        self.choices[at].open.push((index, kind));
        let text = match &part.content {
            Content::Text(text) | Content::Refusal(text) | Content::Thought(Thought { text, .. }) => text,
            Content::ToolCall(call) => &call.arguments,
            _ => return,
        };
        if !text.is_empty() {
            self.go_on(choice, index, &Delta::Text(text.clone()), out);
        }
    }

    fn go_on(&mut self, choice: u64, index: u64, delta: &Delta, out: &mut String) {
        let at = self.choice(choice, out);
        let Some((_, kind)) = self.choices[at].open.iter_mut().find(|(open, _)| *open == index) else {
            return;
        };
        if let (Kind::Call { is_empty, .. }, Delta::Text(text)) = (&mut *kind, delta) {
            *is_empty &= text.is_empty();
        }
        let detail = |number: u64, key: &str, value: &str| {
            let detail =
                Object::default().with("type", "reasoning.text").with(key, value).with("index", number);
            vec![Json::Object(detail)]
        };
        match (*kind, delta) {
            (Kind::Text, Delta::Text(text)) => self.delta(choice, "content", text.as_str(), out),
            (Kind::Refusal, Delta::Text(text)) => self.delta(choice, "refusal", text.as_str(), out),
            (Kind::Thought(number), Delta::Text(text)) => {
                let mut delta = Object::default().with("reasoning_content", text.as_str());
                delta.set_some("reasoning_details", number.map(|number| detail(number, "text", text)));
                self.chunk(choice, delta, Json::Null, out);
            }
            (Kind::Thought(Some(number)), Delta::Signature(signature)) => {
                self.delta(choice, "reasoning_details", detail(number, "signature", signature), out);
            }
            (Kind::Call { number, .. }, Delta::Text(text)) => self.arguments(choice, number, text, out),
            (_, Delta::Signature(_)) => {}
        }
    }

    fn arguments(&self, choice: u64, number: u64, text: &str, out: &mut String) {
        let function = Object::default().with("arguments", text);
        let call = Object::default().with("index", number).with("function", function);
        self.delta(choice, "tool_calls", vec![Json::Object(call)], out);
    }

    fn end_part(&mut self, choice: u64, index: u64, out: &mut String) {
        let at = self.choice(choice, out);
        let open = &mut self.choices[at].open;
        let Some(place) = open.iter().position(|(open, _)| *open == index) else {
            return;
        };
        // Arguments are JSON, and so never nothing.
        if let (_, Kind::Call { number, is_empty: true }) = open.swap_remove(place) {
            self.arguments(choice, number, "{}", out);
        }
    }

    fn finish(&mut self, choice: u64, finish: Finish, stop_text: Option<&str>, out: &mut String) {
        let at = self.choice(choice, out);
        if std::mem::replace(&mut self.choices[at].is_finished, true) {
            return;
        }
        let mut last = Object::default()
            .with("index", choice)
            .with("delta", Object::default())
            .with("logprobs", Json::Null);
        say_finish(&mut last, Some(finish), stop_text, self.choices[at].calls > 0);
        self.say(last, out);
    }
}

impl WriteStream for StreamWriter {
    fn write(&mut self, event: &Event, out: &mut String) {
        if self.over {
            return;
        }
        match event {
            Event::Start { id, model, created, usage } => {
                self.head.set_some("id", id.as_deref());
                self.head.set_some("created", *created);
                self.head.set_some("model", model.as_deref());
                // The role comes with the first thing that is said: until then a gateway may still try another path.
                self.usage.clone_from(usage);
            }
            Event::PartStart { choice, index, part } => self.start_part(*choice, *index, part, out),
            Event::Delta { choice, index, delta } => self.go_on(*choice, *index, delta, out),
            Event::PartEnd { choice, index } => self.end_part(*choice, *index, out),
            Event::Logprobs { choice, logprobs } => {
                self.choice(*choice, out);
                self.chunk(*choice, Object::default(), logprobs.clone(), out);
            }
            Event::Finish { choice, finish, stop_text } => {
                self.finish(*choice, *finish, stop_text.as_deref(), out);
            }
            Event::Usage(usage) => self.usage = Some(usage.clone()),
            Event::Error(error) => {
                self.over = true;
                out.push_str(&format!("data: {}\n\n", write_error(error)));
            }
            Event::End => {
                self.over = true;
                if let Some(usage) = self.usage.take() {
                    let usage = write_usage(&usage, &mut self.losses);
                    let chunk = self.head.clone().with("choices", Vec::new()).with("usage", usage);
                    out.push_str(&format!("data: {chunk}\n\n"));
                }
                out.push_str("data: [DONE]\n\n");
            }
        }
    }

    fn losses(&self) -> &Losses {
        &self.losses
    }
}
