//! The prompts of a path, put into a caller's messages.

use std::borrow::Cow;
use std::sync::Arc;

use kalibr_core::path::{INPUT, PathSpec, SYSTEM};
use serde::Deserialize;
use serde_json::Value;
use serde_json::value::RawValue;

use super::{Fields, quote, raw};

/// What is read of a message to put a prompt into it.
#[derive(Deserialize)]
struct Message<'a> {
    #[serde(borrow)]
    role: Cow<'a, str>,
    #[serde(borrow)]
    content: Option<&'a RawValue>,
}

impl Message<'_> {
    fn is_system(&self) -> bool {
        matches!(&*self.role, "system" | "developer")
    }

    fn text(&self) -> String {
        match self.content.and_then(|content| serde_json::from_str(content.get()).ok()) {
            Some(Value::String(text)) => text,
            Some(Value::Array(parts)) => {
                let texts = parts.iter().filter_map(|part| part.get("text")?.as_str());
                texts.collect::<Vec<_>>().join("\n")
            }
            _ => String::new(),
        }
    }
}

/// The messages with the path's prompts; `None` where it has none, or where they are no messages: then the provider's own
/// complaint is better than a guess of ours.
pub(super) fn apply(path: &PathSpec, messages: &RawValue) -> Option<Arc<RawValue>> {
    if path.system.is_none() && path.template.is_none() {
        return None;
    }
    let all: Vec<&RawValue> = serde_json::from_str(messages.get()).ok()?;
    let read: Vec<Message<'_>> =
        all.iter().map(|message| serde_json::from_str(message.get())).collect::<Result<_, _>>().ok()?;
    let mut sent: Vec<Cow<'_, str>> = all.iter().map(|message| Cow::Borrowed(message.get())).collect();
    if let Some(template) = &path.template
        && let Some(last) = read.iter().rposition(|message| message.role == "user")
    {
        sent[last] = Cow::Owned(wrapped(all[last], &read[last], template)?);
    }
    if let Some(system) = &path.system {
        let own = read.iter().take_while(|message| message.is_system()).count();
        let role = read.first().filter(|_| own > 0).map_or("system", |first| &first.role);
        let texts: Vec<String> = read[..own].iter().map(Message::text).collect();
        let text = system.replace(SYSTEM, texts.join("\n\n").trim());
        // An empty prompt means none: providers refuse empty messages.
        let text = Some(text).filter(|text| !text.trim().is_empty());
        let prompt = text.map(|text| format!(r#"{{"role":{},"content":{}}}"#, quote(role), quote(&text)));
        sent.splice(..own, prompt.map(Cow::Owned));
    }
    Some(raw(format!("[{}]", sent.join(","))))
}

/// A user message with the template around its text; pictures and files stay where they are.
fn wrapped(message: &RawValue, read: &Message<'_>, template: &str) -> Option<String> {
    let (before, after) = template.split_once(INPUT)?;
    let content = match serde_json::from_str(read.content?.get()).ok()? {
        Value::String(text) => Value::String(format!("{before}{text}{after}")),
        Value::Array(mut parts) => {
            put_around(&mut parts, before, after);
            Value::Array(parts)
        }
        _ => return None,
    };
    let Fields(fields) = serde_json::from_str(message.get()).ok()?;
    let fields = fields?.into_iter().map(|(key, value)| {
        let value = if &*key == "content" { content.to_string() } else { value.get().to_owned() };
        format!("{}:{value}", quote(&key))
    });
    Some(format!("{{{}}}", fields.collect::<Vec<_>>().join(",")))
}

/// The template's beginning goes before the first text and its end behind the last; where there is none, both are a part
/// of their own.
fn put_around(parts: &mut Vec<Value>, before: &str, after: &str) {
    let mut texts = parts.iter_mut().filter_map(|part| match part.get_mut("text") {
        Some(Value::String(text)) => Some(text),
        _ => None,
    });
    let Some(first) = texts.next() else {
        parts.push(serde_json::json!({ "type": "text", "text": format!("{before}{after}") }));
        return;
    };
    first.insert_str(0, before);
    texts.last().unwrap_or(first).push_str(after);
}
