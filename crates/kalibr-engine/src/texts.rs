//! The texts of a call, for operators who keep them: read off the JSON that passes through, and only then.

use bytes::Bytes;
use kalibr_core::ids::TraceId;
use kalibr_store::TextKind;
use kalibr_upstream::ChatRequest;
use serde_json::Value;

use crate::engine::Engine;
use crate::report::{Run, SignalMeta};

/// Of a streamed answer no more is gathered.
const LONGEST_STREAM: usize = 256 << 10;

impl Engine {
    /// Keeps what the model was asked, where texts are kept.
    pub(crate) fn keep_prompt(&self, trace: TraceId, body: &ChatRequest) {
        if !self.keeps_text() {
            return;
        }
        let messages = body.get("messages").and_then(|messages| serde_json::from_str(messages.get()).ok());
        let asked = said(messages.as_ref().unwrap_or(&Value::Null));
        self.keep_text(Run::Trace(trace), TextKind::Prompt, &asked, SignalMeta::default());
    }

    /// Keeps what it answered, where texts are kept.
    pub(crate) fn keep_answer(&self, trace: TraceId, body: &[u8]) {
        if !self.keeps_text() {
            return;
        }
        let answer: Value = serde_json::from_slice(body).unwrap_or_default();
        let choices = answer["choices"].as_array().into_iter().flatten();
        let messages = Value::Array(choices.map(|choice| choice["message"].clone()).collect());
        self.keep_text(Run::Trace(trace), TextKind::Answer, &said(&messages), SignalMeta::default());
    }
}

/// All that a list of messages says: who speaks, and every text in it that is no name of a field, a line each.
fn said(messages: &Value) -> String {
    fn gather(value: &Value, lines: &mut Vec<String>) {
        match value {
            Value::String(text) => lines.push(text.clone()),
            Value::Array(items) => items.iter().for_each(|item| gather(item, lines)),
            Value::Object(fields) => {
                lines.extend(fields.get("role").and_then(Value::as_str).map(|role| format!("{role}:")));
                for (name, value) in fields {
                    match value.as_str() {
                        _ if matches!(name.as_str(), "role" | "type" | "id" | "tool_call_id") => {}
                        // A picture in base64 is no text.
                        Some(text) if text.starts_with("data:") => lines.push("(data)".to_owned()),
                        _ => gather(value, lines),
                    }
                }
            }
            Value::Null | Value::Bool(_) | Value::Number(_) => {}
        }
    }
    let mut lines = Vec::new();
    gather(messages, &mut lines);
    lines.join("\n")
}

/// Gathers the text of a streamed answer.
#[derive(Default)]
pub(crate) struct Gathered {
    text: String,
}

impl Gathered {
    /// Takes in whole events.
    pub(crate) fn take(&mut self, events: &Bytes) {
        for line in events.split(|byte| *byte == b'\n') {
            if self.text.len() >= LONGEST_STREAM {
                return;
            }
            let Some(json) = line.strip_prefix(b"data:") else { continue };
            let Ok(event) = serde_json::from_slice::<Value>(json) else { continue };
            for choice in event["choices"].as_array().into_iter().flatten() {
                let delta = &choice["delta"];
                let calls = delta["tool_calls"].as_array().into_iter().flatten();
                let arguments = calls.filter_map(|call| call["function"]["arguments"].as_str());
                delta["content"]
                    .as_str()
                    .into_iter()
                    .chain(arguments)
                    .for_each(|text| self.text.push_str(text));
            }
        }
    }

    pub(crate) fn text(&self) -> &str {
        &self.text
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn what_messages_say_is_their_texts_and_no_pictures() {
        let messages = json!([
            { "role": "user", "content": [
                { "type": "text", "text": "What is this?" },
                { "type": "image_url", "image_url": { "url": "data:image/png;base64,AAAA" } },
            ]},
            { "role": "assistant", "content": null, "tool_calls": [
                { "id": "c1", "type": "function", "function": { "name": "look", "arguments": "{\"at\": 1}" } },
            ]},
        ]);
        let said = said(&messages);
        assert!(said.starts_with("user:"), "{said}");
        for part in ["assistant:", "What is this?", "(data)", "look", "{\"at\": 1}"] {
            assert!(said.contains(part), "{said}");
        }
        assert!(!said.contains("AAAA") && !said.contains("c1"), "{said}");
    }

    #[test]
    fn a_stream_is_gathered_delta_by_delta() {
        let mut gathered = Gathered::default();
        for events in [
            "data: {\"choices\":[{\"delta\":{\"content\":\"Hel\"}}]}\n\n",
            "data: {\"choices\":[{\"delta\":{\"content\":\"lo\"}}]}\n\ndata: [DONE]\n\n",
        ] {
            gathered.take(&Bytes::from_static(events.as_bytes()));
        }
        assert_eq!(gathered.text(), "Hello");
    }
}
