//! Execution paths: model + tools + params, the *arms* of a goal.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::ids::PathId;

/// Most paths a goal may have. More would leave each of them too little traffic to be judged by.
pub const MAX_PATHS: usize = 200;

/// A model with the tools, parameters and prompts it is called with.
///
/// In JSON and Python a path is either a model's name or an object:
///
/// ```
/// use kalibr_core::path::PathSpec;
///
/// let short: PathSpec = serde_json::from_str(r#""gpt-4o-mini""#).unwrap();
/// let long: PathSpec = serde_json::from_str(r#"{"model": "gpt-4o-mini", "params": {}}"#).unwrap();
/// assert_eq!(short.id(), long.id());
/// ```
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(try_from = "RawPath")]
pub struct PathSpec {
    /// The model as callers name it: `gpt-4o`, `deepseek/deepseek-chat`, `ollama/llama3.2`.
    pub model: String,
    /// Tools that this path offers the model: names pick from the request's own tools, objects are sent as they are.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub tools: Vec<Value>,
    /// Request parameters that this path sets, above what the caller sent: `{"temperature": 0}`.
    #[serde(skip_serializing_if = "Map::is_empty")]
    pub params: Map<String, Value>,
    /// The system prompt of this path, in place of the caller's; where it says [`SYSTEM`], the caller's own stands. At most
    /// 64 KiB.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub system: Option<String>,
    /// What the text of the last user message is put into: it says [`INPUT`] once, where that text stands. At most 64 KiB.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub template: Option<String>,
}

/// Stands for the caller's own system prompt, in a path's.
pub const SYSTEM: &str = "{{system}}";

/// Stands for the text of the last user message, in a path's template.
pub const INPUT: &str = "{{input}}";

/// The longest prompt of a path, in bytes. It is kept with the goal and sent with every request.
const LONGEST_PROMPT: usize = 64 << 10;

/// Why something is not a path.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum InvalidPath {
    /// No model was named.
    #[error("a path needs a model: write \"gpt-4o\" or {{\"model\": \"gpt-4o\"}}")]
    NoModel,
    /// The model's name cannot be one.
    #[error(
        "a path's model has more than 200 bytes or a control character; name the model as its provider does"
    )]
    BadModel,
    /// A key that a path does not have.
    #[error("a path has the keys model, tools, params, system and template; {0:?} is none of them")]
    UnknownKey(String),
    /// Tools of a wrong shape.
    #[error("a path's tools are a list of names or of tool objects")]
    BadTools,
    /// Params of a wrong shape.
    #[error("a path's params are an object such as {{\"temperature\": 0}}")]
    BadParams,
    /// A prompt of a wrong shape.
    #[error("a path's system and template are texts of at most 64 KiB, and a template says {INPUT} once")]
    BadPrompt,
    /// A parameter that the gateway itself decides.
    #[error("a path's params cannot set {0:?}: the request and the path's own model and tools decide it")]
    ReservedParam(String),
}

#[derive(Deserialize)]
#[serde(untagged)]
enum RawPath {
    Name(String),
    Object(Map<String, Value>),
    Other(serde::de::IgnoredAny),
}

impl TryFrom<RawPath> for PathSpec {
    type Error = InvalidPath;

    fn try_from(raw: RawPath) -> Result<Self, InvalidPath> {
        let mut fields = match raw {
            RawPath::Name(model) => return Self::model(&model),
            RawPath::Other(_) => return Err(InvalidPath::NoModel),
            RawPath::Object(fields) => fields,
        };
        // The published Kalibr SDK says `model_id` and `tool_id`; people paste its configurations.
        let model = fields.remove("model").or_else(|| fields.remove("model_id"));
        let tools = fields.remove("tools").or_else(|| fields.remove("tool_id"));
        let params = fields.remove("params");
        let (system, template) = (fields.remove("system"), fields.remove("template"));
        if let Some((key, _)) = fields.into_iter().next() {
            return Err(InvalidPath::UnknownKey(key));
        }
        let Some(Value::String(model)) = model else {
            return Err(InvalidPath::NoModel);
        };
        let mut path = Self::model(&model)?;
        path.tools = match tools {
            None | Some(Value::Null) => Vec::new(),
            Some(Value::String(name)) => vec![Value::String(name)],
            Some(Value::Array(tools)) if tools.iter().all(|t| t.is_string() || t.is_object()) => tools,
            Some(_) => return Err(InvalidPath::BadTools),
        };
        path.params = match params {
            None | Some(Value::Null) => Map::new(),
            Some(Value::Object(params)) => params,
            Some(_) => return Err(InvalidPath::BadParams),
        };
        path.system = prompt(system)?;
        path.template = prompt(template)?;
        if path.template.as_ref().is_some_and(|template| template.matches(INPUT).count() != 1) {
            return Err(InvalidPath::BadPrompt);
        }
        for reserved in ["model", "messages", "stream", "tools"] {
            if path.params.contains_key(reserved) {
                return Err(InvalidPath::ReservedParam(reserved.to_owned()));
            }
        }
        Ok(path)
    }
}

impl PathSpec {
    /// The path of a model alone.
    ///
    /// # Errors
    /// [`InvalidPath`] when the name is empty, too long, or has a control character.
    pub fn model(model: &str) -> Result<Self, InvalidPath> {
        let model = model.trim();
        if model.is_empty() {
            return Err(InvalidPath::NoModel);
        }
        if model.len() > 200 || model.chars().any(char::is_control) {
            return Err(InvalidPath::BadModel);
        }
        Ok(Self {
            model: model.to_owned(),
            tools: Vec::new(),
            params: Map::new(),
            system: None,
            template: None,
        })
    }

    /// Whether it is its model and nothing else.
    pub fn is_plain(&self) -> bool {
        self.tools.is_empty() && self.params.is_empty() && self.system.is_none() && self.template.is_none()
    }

    /// The path's identity: BLAKE3 of its canonical JSON, cut to 128 bits.
    ///
    /// Keys are sorted at every depth, and numbers that are equal are written alike, so `{"temperature": 0}` and
    /// `{"temperature": 0.0}` are one path. The order of tools counts: models see it.
    pub fn id(&self) -> PathId {
        let mut text = String::new();
        write_canonical(&Value::String(self.model.clone()), &mut text);
        write_canonical(&Value::Array(self.tools.clone()), &mut text);
        write_canonical(&Value::Object(self.params.clone()), &mut text);
        // Nothing is written where there is none: a path without prompts keeps the identity that it has in ledgers.
        for (tag, prompt) in [('s', &self.system), ('t', &self.template)] {
            if let Some(prompt) = prompt {
                text.push(tag);
                write_canonical(&Value::String(prompt.clone()), &mut text);
            }
        }
        let mut bytes = [0; 16];
        bytes.copy_from_slice(&blake3::hash(text.as_bytes()).as_bytes()[..16]);
        PathId::from_bytes(bytes)
    }

    /// A short name for people: the model, and what sets this path apart from others of the same model.
    pub fn label(&self) -> String {
        let mut label = self.model.clone();
        if !self.tools.is_empty() {
            let names: Vec<&str> = self.tools.iter().map(tool_name).collect();
            label += &format!(" +{}", names.join(","));
        }
        for (key, value) in &self.params {
            label += &format!(" {key}={value}");
        }
        for (name, prompt) in [("system", &self.system), ("template", &self.template)] {
            if let Some(prompt) = prompt {
                // Prompts are long: their hash tells them apart.
                label += &format!(" {name}={}", &blake3::hash(prompt.as_bytes()).to_hex()[..6]);
            }
        }
        label
    }
}

fn prompt(value: Option<Value>) -> Result<Option<String>, InvalidPath> {
    match value {
        None | Some(Value::Null) => Ok(None),
        Some(Value::String(text)) if text.len() <= LONGEST_PROMPT => Ok(Some(text)),
        Some(_) => Err(InvalidPath::BadPrompt),
    }
}

/// The name by which a tool is known, in a path or in a request's own list.
pub fn tool_name(tool: &Value) -> &str {
    tool.as_str()
        .or_else(|| tool.pointer("/function/name").and_then(Value::as_str))
        .or_else(|| tool.get("name").and_then(Value::as_str))
        .unwrap_or("tool")
}

fn write_canonical(value: &Value, out: &mut String) {
    match value {
        Value::Object(map) => {
            let mut keys: Vec<_> = map.iter().collect();
            keys.sort_by_key(|(key, _)| *key);
            out.push('{');
            for (key, value) in keys {
                *out += &Value::String(key.clone()).to_string();
                out.push(':');
                write_canonical(value, out);
                out.push(',');
            }
            out.push('}');
        }
        Value::Array(items) => {
            out.push('[');
            for item in items {
                write_canonical(item, out);
                out.push(',');
            }
            out.push(']');
        }
        Value::Number(number) => match (number.as_i64(), number.as_f64()) {
            (None, Some(float)) if float.fract() == 0.0 && float.abs() < 9e15 => {
                *out += &format!("{}", float as i64);
            }
            _ => *out += &number.to_string(),
        },
        other => *out += &other.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn path(json: &str) -> Result<PathSpec, String> {
        serde_json::from_str(json).map_err(|e| e.to_string())
    }

    #[test]
    fn identity_ignores_key_order_and_the_spelling_of_numbers() {
        let a = path(r#"{"model":"m","params":{"temperature":0,"top_p":0.5}}"#).unwrap();
        let b = path(r#"{"params":{"top_p":0.50,"temperature":0.0},"model":"m"}"#).unwrap();
        assert_eq!(a.id(), b.id());
    }

    #[test]
    fn identity_tells_model_tools_and_params_apart() {
        let ids: std::collections::HashSet<_> = [
            r#""m""#,
            r#""n""#,
            r#"{"model":"m","tools":["search"]}"#,
            r#"{"model":"m","tools":["browser","search"]}"#,
            r#"{"model":"m","tools":["search","browser"]}"#,
            r#"{"model":"m","params":{"temperature":0}}"#,
            r#"{"model":"m","params":{"temperature":"0"}}"#,
            r#"{"model":"m","system":"Be brief. {{input}}"}"#,
            r#"{"model":"m","template":"Be brief. {{input}}"}"#,
            r#"{"model":"m","system":""}"#,
        ]
        .iter()
        .map(|json| path(json).unwrap().id())
        .collect();
        assert_eq!(ids.len(), 10);
    }

    #[test]
    fn what_is_not_a_path_says_what_a_path_is() {
        for (json, word) in [
            ("{}", "model"),
            ("3", "model"),
            (r#""  ""#, "model"),
            (r#"{"model":"m","temperature":0}"#, "temperature"),
            (r#"{"model":"m","tools":[3]}"#, "tools"),
            (r#"{"model":"m","params":[]}"#, "params"),
            (r#"{"model":"m","params":{"stream":true}}"#, "stream"),
            (r#"{"model":"m","system":["Be brief."]}"#, "system"),
            (r#"{"model":"m","template":"Be brief."}"#, "template"),
            (r#"{"model":"m","template":"{{input}} {{input}}"}"#, "template"),
        ] {
            let error = path(json).unwrap_err();
            assert!(error.contains(word), "{json}: {error}");
        }
    }

    #[test]
    fn a_path_without_prompts_has_the_identity_that_it_always_had() {
        let id = path(r#"{"model":"m","tools":["s"],"params":{"temperature":0.5}}"#).unwrap().id();
        assert_eq!(id.to_string(), "6b7666222413f1f0c1248b7920099935");
    }

    #[test]
    fn a_prompt_is_named_by_its_hash_and_not_by_its_text() {
        let label = path(r#"{"model":"m","system":"Answer as a pirate."}"#).unwrap().label();
        assert!(label.starts_with("m system=") && !label.contains("pirate"), "{label}");
    }

    #[test]
    fn a_path_survives_json() {
        let a = path(
            r#"{"model":"m","tools":["s"],"params":{"temperature":0.5},"system":"s","template":"t {{input}}"}"#,
        );
        let a = a.unwrap();
        assert_eq!(path(&serde_json::to_string(&a).unwrap()).unwrap(), a);
    }
}
