//! A caller's chat-completions request, kept as it was written.
//!
//! The body is split into its top-level fields and no further: each value stays the text that the caller wrote, so that
//! fields that nobody here has heard of, the order of keys, the spelling of numbers and the escapes in texts reach the
//! provider untouched. [`ChatRequest::apply`] gives a new request and shares the unchanged values, so one request can
//! be tried on one path after another.

mod prompt;
mod tools;

use std::borrow::Cow;
use std::fmt;
use std::sync::Arc;

use bytes::Bytes;
use kalibr_core::path::PathSpec;
use serde::de::{Deserialize, Deserializer, MapAccess, Visitor};
use serde_json::value::RawValue;

/// Most top-level fields of a request. The dialect has about 40; the bound keeps a hostile body cheap.
const MAX_FIELDS: usize = 256;

/// Parameters that providers accept only one of: what a path sets replaces the caller's other spelling too.
const SYNONYMS: [(&str, &str); 2] =
    [("max_tokens", "max_completion_tokens"), ("max_completion_tokens", "max_tokens")];

/// Why a body is not a chat-completions request. The message says what to do and repeats nothing of the body.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum BadRequest {
    /// Bytes that are no text.
    #[error("the body is not valid UTF-8 from byte {0} on; send the JSON as UTF-8")]
    NotUtf8(usize),
    /// Text that is not JSON.
    #[error("the body is not valid JSON: it breaks off or goes wrong at line {line}, column {column}")]
    NotJson {
        /// Line of the mistake, from 1.
        line: usize,
        /// Column of the mistake in bytes, from 1.
        column: usize,
    },
    /// JSON of another kind.
    #[error("the body is JSON but not an object; send {{\"model\": ..., \"messages\": [...]}}")]
    NotAnObject,
    /// An object with far too many keys.
    #[error("the body has more than {MAX_FIELDS} top-level fields; a chat-completions request has about 40")]
    TooManyFields,
    /// No model, or none that is a text.
    #[error("the body needs a \"model\" that is a text, such as \"goal:my_goal\" or \"gpt-4o-mini\"")]
    NoModel,
    /// No messages, or not a list of them.
    #[error("the body needs \"messages\" that are a list with at least one message")]
    NoMessages,
    /// A stream flag that is not a flag.
    #[error("\"stream\" must be true or false")]
    BadStream,
}

impl BadRequest {
    /// The field at fault, as an OpenAI-shaped error names it in `param`.
    pub fn param(&self) -> Option<&'static str> {
        match self {
            Self::NoModel => Some("model"),
            Self::NoMessages => Some("messages"),
            Self::BadStream => Some("stream"),
            _ => None,
        }
    }
}

/// A chat-completions request: its top-level fields in the caller's order, each value as it was written.
///
/// ```
/// use kalibr_core::path::PathSpec;
/// use kalibr_upstream::ChatRequest;
///
/// let body = br#"{"model": "goal:sum", "messages": [{"role": "user", "content": "2+2"}], "seed": 1.50}"#;
/// let request = ChatRequest::parse(body).unwrap();
/// let path: PathSpec = serde_json::from_str(r#"{"model": "openai/gpt-4o", "params": {"temperature": 0}}"#).unwrap();
/// let sent = request.apply(&path, "gpt-4o").to_bytes();
/// assert_eq!(
///     sent,
///     br#"{"model":"gpt-4o","messages":[{"role": "user", "content": "2+2"}],"seed":1.50,"temperature":0}"#.as_slice()
/// );
/// ```
#[derive(Clone)]
pub struct ChatRequest {
    fields: Vec<(Arc<str>, Arc<RawValue>)>,
    model: String,
    /// Fields that the path decided: an error that names one of them is not the caller's.
    from_path: Vec<Arc<str>>,
    usage_is_ours: bool,
}

/// The body's content is the user's, so it is not for logs.
impl fmt::Debug for ChatRequest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ChatRequest").field("fields", &self.fields.len()).finish_non_exhaustive()
    }
}

impl ChatRequest {
    /// Parses a body. Of a key that occurs twice the last value counts, in the place of the first.
    ///
    /// # Errors
    /// [`BadRequest`] says what is missing or wrong, and never repeats what the body says.
    pub fn parse(body: &[u8]) -> Result<Self, BadRequest> {
        let text = std::str::from_utf8(body).map_err(|e| BadRequest::NotUtf8(e.valid_up_to()))?;
        let Fields(fields) = serde_json::from_str(text).map_err(|e| match e.classify() {
            // The only data error that the visitor below can meet.
            serde_json::error::Category::Data => BadRequest::NotAnObject,
            _ => BadRequest::NotJson { line: e.line(), column: e.column() },
        })?;
        let fields = fields.ok_or(BadRequest::TooManyFields)?;
        let mut request = Self { fields, model: String::new(), from_path: Vec::new(), usage_is_ours: false };
        request.model = request
            .get("model")
            .and_then(|model| serde_json::from_str::<String>(model.get()).ok())
            .filter(|model| !model.trim().is_empty())
            .ok_or(BadRequest::NoModel)?;
        if !request.get("messages").is_some_and(is_nonempty_list) {
            return Err(BadRequest::NoMessages);
        }
        match request.get("stream").map(RawValue::get) {
            None | Some("true" | "false" | "null") => Ok(request),
            Some(_) => Err(BadRequest::BadStream),
        }
    }

    /// The model that is asked for: the caller's word before [`ChatRequest::apply`], the provider's after.
    pub fn model(&self) -> &str {
        &self.model
    }

    /// Whether the answer is asked for as a stream.
    pub fn is_stream(&self) -> bool {
        self.get("stream").is_some_and(|stream| stream.get() == "true")
    }

    /// A top-level field as it was written.
    pub fn get(&self, key: &str) -> Option<&RawValue> {
        self.fields.iter().find(|(name, _)| **name == *key).map(|(_, value)| &**value)
    }

    /// Takes a top-level field out, so that no provider sees it: for fields that only Kalibr understands.
    pub fn remove(&mut self, key: &str) -> Option<Arc<RawValue>> {
        let at = self.fields.iter().position(|(name, _)| **name == *key)?;
        Some(self.fields.remove(at).1)
    }

    /// The request as this path sends it to a provider that knows its model as `provider_model`.
    ///
    /// - The path's params replace the caller's (of `max_tokens` and `max_completion_tokens` the caller's other
    ///   spelling goes too: providers refuse both at once).
    /// - The path's tools: names select from the tools that the caller offers, objects are offered in addition. A name
    ///   that the caller does not offer is only a label; if all names are labels, the caller's tools stay. A tool that
    ///   `tool_choice` demands stays too.
    /// - The path's `system` takes the place of the system messages that the caller begins with, and its `template` is put
    ///   around the text of the last user message.
    /// - A stream is asked to report its usage, unless caller or path set `stream_options`.
    ///
    /// The request itself is unchanged: apply it to the next path when this one fails.
    #[must_use]
    pub fn apply(&self, path: &PathSpec, provider_model: &str) -> Self {
        let mut sent = self.clone();
        for (key, value) in &path.params {
            // Only a stream may have them, and whether it is one is the caller's choice.
            if key == "stream_options" && !self.is_stream() {
                continue;
            }
            for (set, other) in SYNONYMS {
                if key == set {
                    sent.remove(other);
                }
            }
            sent.set(key, raw(value.to_string()));
            sent.from_path.push(Arc::from(key.as_str()));
        }
        if let Some(tools) = tools::select(&path.tools, self.get("tools"), self.get("tool_choice")) {
            sent.set("tools", tools);
            // A selection only leaves out: what is wrong with the rest is the caller's.
            if path.tools.iter().any(serde_json::Value::is_object) {
                sent.from_path.push(Arc::from("tools"));
            }
        }
        if let Some(messages) = self.get("messages").and_then(|messages| prompt::apply(path, messages)) {
            sent.set("messages", messages);
        }
        if sent.is_stream() && sent.get("stream_options").is_none_or(|options| options.get() == "null") {
            sent.set("stream_options", raw(r#"{"include_usage":true}"#.to_owned()));
            sent.usage_is_ours = true;
        }
        provider_model.clone_into(&mut sent.model);
        sent.set("model", raw(serde_json::Value::from(provider_model).to_string()));
        sent
    }

    /// The body to send.
    pub fn to_bytes(&self) -> Bytes {
        let size: usize = self.fields.iter().map(|(key, value)| key.len() + value.get().len() + 4).sum();
        let mut body = String::with_capacity(size + 2);
        for (key, value) in &self.fields {
            body.push(if body.is_empty() { '{' } else { ',' });
            body += &quote(key);
            body.push(':');
            body += value.get();
        }
        body.push('}');
        Bytes::from(body)
    }

    /// Whether the stream reports its usage only because we asked: then the caller must not see the chunk with it.
    pub(crate) fn usage_is_ours(&self) -> bool {
        self.usage_is_ours
    }

    /// The request for a provider that refuses `stream_options`.
    pub(crate) fn without_our_usage(&self) -> Self {
        let mut plain = self.clone();
        if plain.usage_is_ours {
            plain.remove("stream_options");
            plain.usage_is_ours = false;
        }
        plain
    }

    /// Whether the field that a provider complains about (`tools[0].function`, `temperature`) was set by the path.
    pub(crate) fn is_from_path(&self, param: &str) -> bool {
        let field = param.split(['.', '[']).next().unwrap_or(param);
        self.from_path.iter().any(|key| **key == *field)
    }

    fn set(&mut self, key: &str, value: Arc<RawValue>) {
        match self.fields.iter_mut().find(|(name, _)| **name == *key) {
            Some((_, old)) => *old = value,
            None => self.fields.push((Arc::from(key), value)),
        }
    }
}

/// `None` when there are too many fields.
struct Fields(Option<Vec<(Arc<str>, Arc<RawValue>)>>);

impl<'de> Deserialize<'de> for Fields {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct FieldsVisitor;

        impl<'de> Visitor<'de> for FieldsVisitor {
            type Value = Fields;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Fields, A::Error> {
                let mut fields: Vec<(Arc<str>, Arc<RawValue>)> = Vec::with_capacity(16);
                let mut too_many = false;
                while let Some((key, value)) = map.next_entry::<Cow<'de, str>, &'de RawValue>()? {
                    // Reading on finds out whether the rest is JSON at all, which is the better complaint.
                    if too_many {
                        continue;
                    }
                    let value = Arc::from(value.to_owned());
                    match fields.iter_mut().find(|(name, _)| **name == *key) {
                        Some((_, old)) => *old = value,
                        None => fields.push((Arc::from(key), value)),
                    }
                    too_many = fields.len() > MAX_FIELDS;
                }
                Ok(Fields((!too_many).then_some(fields)))
            }
        }

        deserializer.deserialize_map(FieldsVisitor)
    }
}

/// The value is valid JSON already, so its first characters say all.
fn is_nonempty_list(value: &RawValue) -> bool {
    value.get().strip_prefix('[').is_some_and(|rest| !rest.trim_start().starts_with(']'))
}

fn quote(text: &str) -> String {
    serde_json::Value::from(text).to_string()
}

/// Wraps JSON that was just serialised.
fn raw(json: String) -> Arc<RawValue> {
    RawValue::from_string(json).map_or_else(|_| Arc::from(RawValue::NULL.to_owned()), Arc::from)
}

#[cfg(test)]
mod tests;
