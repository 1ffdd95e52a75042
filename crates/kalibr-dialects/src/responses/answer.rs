//! A whole response, written.

use super::OUR_THOUGHT;
use crate::answer::{Answer, Choice, Finish, Usage};
use crate::form::{Content, Effort, Format, Message, Part, Request, Thought, Tool, ToolChoice};
use crate::json::{Json, Object};
use crate::loss::Losses;

/// What a response repeats of its request.
#[derive(Debug, Clone, Default)]
pub struct Settings(Object);

impl Settings {
    /// The settings of this request.
    pub fn of(request: &Request) -> Self {
        let or_null = |value: Option<Json>| value.unwrap_or_default();
        let text = |message: &Message| match &message.parts[..] {
            [Part { content: Content::Text(text), .. }] => Some(Json::from(text.as_str())),
            _ => None,
        };
        let tools: Vec<Json> = request.tools.iter().map(write_tool).collect();
        let mut reasoning = Object::default();
        reasoning
            .set("effort", or_null(request.reasoning.effort.map(|effort| Effort::as_str(effort).into())));
        reasoning.set("summary", Json::Null);
        let format = Object::default().with("format", write_format(request.format.as_ref()));
        let number = |number: &Option<serde_json::Number>| or_null(number.clone().map(Json::Number));
        Self(
            Object::default()
                .with("instructions", or_null(request.system.first().and_then(text)))
                .with("max_output_tokens", or_null(request.max_tokens.map(Json::from)))
                .with("metadata", request.metadata.clone().unwrap_or_default())
                .with("parallel_tool_calls", request.parallel_tools.unwrap_or(true))
                .with("previous_response_id", Json::Null)
                .with("reasoning", reasoning)
                .with("store", false)
                .with("temperature", number(&request.sampling.temperature))
                .with("text", format)
                .with("tool_choice", write_tool_choice(request.tool_choice.as_ref()))
                .with("tools", tools)
                .with("top_p", number(&request.sampling.top_p))
                .with("truncation", "disabled")
                .with("user", or_null(request.user.as_deref().map(Json::from))),
        )
    }
}

fn write_tool(tool: &Tool) -> Json {
    match tool {
        Tool::Other(_, object) => Json::Object(object.clone()),
        Tool::Function(function) => Json::Object(
            Object::default()
                .with("type", "function")
                .with("name", function.name.as_str())
                .with("description", function.description.as_deref().map_or(Json::Null, Json::from))
                .with("parameters", function.schema.clone().unwrap_or_default())
                .with("strict", function.strict.map_or(Json::Null, Json::from)),
        ),
    }
}

fn write_tool_choice(choice: Option<&ToolChoice>) -> Json {
    let named = |name: &str| Json::Object(Object::default().with("type", "function").with("name", name));
    match choice {
        None | Some(ToolChoice::Auto) => "auto".into(),
        Some(ToolChoice::None) => "none".into(),
        Some(ToolChoice::Required) => "required".into(),
        Some(ToolChoice::Named(name)) => named(name),
        Some(ToolChoice::Allowed { names, required }) => {
            let tools: Vec<Json> = names.iter().map(|name| named(name)).collect();
            let mode = if *required { "required" } else { "auto" };
            Json::Object(
                Object::default().with("type", "allowed_tools").with("mode", mode).with("tools", tools),
            )
        }
    }
}

fn write_format(format: Option<&Format>) -> Object {
    let kind = |kind: &str| Object::default().with("type", kind);
    match format {
        None | Some(Format::Text) => kind("text"),
        Some(Format::Json) => kind("json_object"),
        Some(Format::Schema { name, description, schema, strict }) => {
            let mut object = kind("json_schema").with("name", name.as_deref().unwrap_or("answer"));
            object.set_some("description", description.as_deref());
            object.set("schema", schema.clone().unwrap_or_default());
            object.set_some("strict", *strict);
            object
        }
    }
}

/// Writes a whole response, and lists what it could not say. `created` is the time in seconds of Unix time, for answers
/// that do not say it.
pub fn write_answer(answer: &Answer, settings: &Settings, created: u64) -> (Object, Losses) {
    let mut losses = Losses::default();
    for choice in answer.choices.iter().skip(1) {
        losses.grave(format!("choices[{}]", choice.index), "an answer is one there");
    }
    let none = Choice::default();
    let choice = answer.choices.first().unwrap_or(&none);
    let id = response_id(answer.id.as_deref());
    let mut output = Vec::new();
    for (at, part) in choice.parts.iter().enumerate() {
        let logprobs = choice.logprobs.as_ref();
        // A text of nothing says nothing.
        if matches!(&part.content, Content::Text(text) if text.is_empty()) {
            continue;
        }
        match item(part, &id, output.len() as u64, logprobs) {
            Some(item) => output.push(Json::Object(item)),
            None => losses.grave(format!("output[{at}]"), "the dialect has no such part"),
        }
    }
    let model = answer.model.as_deref().unwrap_or("unknown");
    let mut response = response(&id, answer.created.unwrap_or(created), model, settings);
    complete(&mut response, choice.finish, output);
    if let Some(usage) = &answer.usage {
        response.set("usage", write_usage(usage));
    }
    losses.of_kept(&choice.kept, crate::Dialect::Responses, "choices[0]");
    losses.of_kept(&answer.kept, crate::Dialect::Responses, "");
    (response, losses)
}

pub(super) fn response_id(id: Option<&str>) -> String {
    match id {
        Some(id) if id.starts_with("resp_") => id.to_owned(),
        id => format!("resp_{}", id.unwrap_or("unknown")),
    }
}

/// A response of which nothing is said yet.
pub(super) fn response(id: &str, created: u64, model: &str, settings: &Settings) -> Object {
    let mut response = Object::default()
        .with("id", id)
        .with("object", "response")
        .with("created_at", created)
        .with("status", "in_progress")
        .with("error", Json::Null)
        .with("incomplete_details", Json::Null)
        .with("model", model)
        .with("output", Vec::new())
        .with("usage", Json::Null);
    response.fill(&settings.0);
    response
}

/// Says what a response says and why it ended.
pub(super) fn complete(response: &mut Object, finish: Option<Finish>, output: Vec<Json>) {
    let reason = match finish {
        Some(Finish::Length | Finish::Full) => Some("max_output_tokens"),
        Some(Finish::Filter) => Some("content_filter"),
        _ => None,
    };
    response.set("status", if reason.is_some() { "incomplete" } else { "completed" });
    if let Some(reason) = reason {
        response.set("incomplete_details", Object::default().with("reason", reason));
    }
    response.set("output", output);
}

/// The id of an item; `None` for a part that cannot be said.
pub(super) fn item_id(content: &Content, id: &str, at: u64) -> Option<String> {
    let prefix = match content {
        Content::Text(_) | Content::Refusal(_) => "msg_",
        Content::Thought(_) => OUR_THOUGHT,
        Content::ToolCall(_) => "fc_",
        _ => return None,
    };
    Some(format!("{prefix}{}_{at}", id.strip_prefix("resp_").unwrap_or(id)))
}

/// A part as an item of the output: each is one of its own, so that a stream can say where it belongs. `None` for what
/// cannot be said.
pub(super) fn item(part: &Part, id: &str, at: u64, logprobs: Option<&Json>) -> Option<Object> {
    let id = item_id(&part.content, id, at)?;
    let typed = |kind: &str| Object::default().with("id", id).with("type", kind);
    Some(match &part.content {
        Content::Text(_) | Content::Refusal(_) => typed("message")
            .with("status", "completed")
            .with("role", "assistant")
            .with("content", vec![Json::Object(content_part(&part.content, logprobs))]),
        Content::Thought(thought) => typed("reasoning").with("summary", summary(thought)).with(
            "encrypted_content",
            thought.signature.as_deref().or(thought.sealed.as_deref()).map_or(Json::Null, Json::from),
        ),
        Content::ToolCall(call) => {
            let call_id = if call.id.is_empty() { format!("call_{at}") } else { call.id.clone() };
            let arguments = if call.arguments.is_empty() { "{}" } else { call.arguments.as_str() };
            typed("function_call")
                .with("status", "completed")
                .with("call_id", call_id)
                .with("name", call.name.as_str())
                .with("arguments", arguments)
        }
        _ => return None,
    })
}

fn summary(thought: &Thought) -> Vec<Json> {
    let text =
        || Json::Object(Object::default().with("type", "summary_text").with("text", thought.text.as_str()));
    if thought.text.is_empty() { Vec::new() } else { vec![text()] }
}

pub(super) fn content_part(content: &Content, logprobs: Option<&Json>) -> Object {
    match content {
        Content::Refusal(text) => Object::default().with("type", "refusal").with("refusal", text.as_str()),
        Content::Text(text) => {
            let tokens = logprobs.and_then(|logprobs| logprobs.as_object()?.get("content")).cloned();
            let tokens = tokens.filter(|tokens| tokens.as_list().is_some()).unwrap_or(Json::List(Vec::new()));
            Object::default()
                .with("type", "output_text")
                .with("text", text.as_str())
                .with("annotations", Vec::new())
                .with("logprobs", tokens)
        }
        _ => Object::default(),
    }
}

pub(super) fn write_usage(usage: &Usage) -> Object {
    let input = Object::default()
        .with("cached_tokens", usage.cached.unwrap_or_default())
        .with("cache_write_tokens", usage.cache_written.unwrap_or_default());
    let output = Object::default().with("reasoning_tokens", usage.reasoning.unwrap_or_default());
    Object::default()
        .with("input_tokens", usage.input)
        .with("input_tokens_details", input)
        .with("output_tokens", usage.output)
        .with("output_tokens_details", output)
        .with("total_tokens", usage.input.saturating_add(usage.output))
}
