//! Streams of Gemini: each event is an answer with the parts that came since the last one, and there is no event that
//! says that it was the last.

use super::answer::{blocked, logprobs, read_finish, read_part, read_usage, refusal};
use super::error::read_error_json;
use crate::event::{Delta, Event, ReadStream};
use crate::form::{Content, Malformed, Part, Thought};
use crate::json::{Json, Object};
use crate::loss::Losses;

/// Most candidates of a stream; Gemini gives 8 at the most.
const MOST: usize = 128;

/// Reads a stream of Gemini.
#[derive(Debug, Default)]
pub struct StreamReader {
    id: Option<String>,
    started: bool,
    over: bool,
    candidates: Vec<Open>,
    losses: Losses,
}

/// What is open of a candidate.
#[derive(Debug, Default)]
struct Open {
    choice: u64,
    next: u64,
    calls: u64,
    /// The text that is open, and whether it is a thought.
    text: Option<(u64, bool)>,
}

impl ReadStream for StreamReader {
    fn read(&mut self, data: &[u8]) -> Result<Vec<Event>, Malformed> {
        if self.over {
            return Ok(Vec::new());
        }
        let json = Json::parse(data).map_err(|_| Malformed::new("", "the stream's data is not JSON"))?;
        if json.as_list().is_some() || json.as_object().is_some_and(|object| object.get("error").is_some()) {
            self.over = true;
            return Ok(vec![Event::Error(read_error_json(None, &json))]);
        }
        let Json::Object(mut chunk) = json else {
            return Err(Malformed::new("", "the stream's data is not a JSON object"));
        };
        let mut events = Vec::new();
        if !self.started {
            self.started = true;
            self.id = chunk.take_text("responseId");
            let model = chunk.take_text("modelVersion");
            events.push(Event::Start { id: self.id.clone(), model, created: None, usage: None });
        }
        for (at, candidate) in chunk.take_list("candidates").unwrap_or_default().into_iter().enumerate() {
            if let Json::Object(candidate) = candidate {
                self.read_candidate(candidate, at as u64, &mut events)?;
            }
        }
        if let (true, Some(finish)) = (self.candidates.is_empty(), blocked(&chunk)) {
            self.candidates.push(Open::default());
            if let Some(part) = refusal(&chunk) {
                events.push(Event::PartStart { choice: 0, index: 0, part });
                events.push(Event::PartEnd { choice: 0, index: 0 });
            }
            events.push(Event::Finish { choice: 0, finish, stop_text: None });
        }
        events.extend(read_usage(&mut chunk).map(Event::Usage));
        Ok(events)
    }

    fn end(&mut self) -> Vec<Event> {
        if std::mem::replace(&mut self.over, true) || !self.started {
            return Vec::new();
        }
        let mut events = Vec::new();
        for open in &mut self.candidates {
            open.close(&mut events);
        }
        events.push(Event::End);
        events
    }

    fn losses(&self) -> &Losses {
        &self.losses
    }
}

impl StreamReader {
    fn read_candidate(
        &mut self,
        mut candidate: Object,
        at: u64,
        events: &mut Vec<Event>,
    ) -> Result<(), Malformed> {
        let choice = candidate.take_u64("index").unwrap_or(at);
        let at = match self.candidates.iter().position(|open| open.choice == choice) {
            Some(at) => at,
            None if self.candidates.len() < MOST => {
                self.candidates.push(Open { choice, ..Open::default() });
                self.candidates.len() - 1
            }
            None => return Err(Malformed::new("candidates", "the stream has more than 128 candidates")),
        };
        let open = &mut self.candidates[at];
        let mut content = candidate.take_object("content").unwrap_or_default();
        for part in content.take_list("parts").unwrap_or_default() {
            if let Json::Object(part) = part {
                let part = read_part(part, self.id.as_deref(), &mut open.calls);
                open.add(part, events);
            }
        }
        for key in ["citationMetadata", "groundingMetadata"] {
            if candidate.get(key).is_some() {
                self.losses.slight(key, "it cannot be said in a stream of another dialect");
            }
        }
        if let Some(result) = candidate.take_object("logprobsResult") {
            events.push(Event::Logprobs { choice, logprobs: logprobs(&result) });
        }
        if let Some(reason) = candidate.text("finishReason") {
            open.close(events);
            let finish = read_finish(reason, open.calls > 0);
            events.push(Event::Finish { choice, finish, stop_text: None });
        }
        Ok(())
    }
}

impl Open {
    fn close(&mut self, events: &mut Vec<Event>) {
        if let Some((index, _)) = self.text.take() {
            events.push(Event::PartEnd { choice: self.choice, index });
        }
    }

    fn add(&mut self, mut part: Part, events: &mut Vec<Event>) {
        let choice = self.choice;
        let text = match &mut part.content {
            Content::Text(text) => (std::mem::take(text), false),
            Content::Thought(Thought { text, .. }) => (std::mem::take(text), true),
            _ => {
                self.close(events);
                let index = self.next;
                self.next += 1;
                events.push(Event::PartStart { choice, index, part });
                events.push(Event::PartEnd { choice, index });
                return;
            }
        };
        let (text, is_thought) = text;
        if text.is_empty() {
            return;
        }
        let index = match self.text {
            Some((index, open)) if open == is_thought => index,
            _ => {
                self.close(events);
                let index = self.next;
                self.next += 1;
                self.text = Some((index, is_thought));
                events.push(Event::PartStart { choice, index, part });
                index
            }
        };
        events.push(Event::Delta { choice, index, delta: Delta::Text(text) });
    }
}
