//! A request for messages, written.

use std::borrow::Cow;
use std::collections::HashSet;

use serde_json::Number;

use super::thinking::{ANTHROPIC, default_max_tokens, is_on, is_signed, translate};
use super::{write_cache, write_thinking};
use crate::form::{
    Cache, Content, Effort, File, Format, Function, Image, Message, Part, Reasoning, Request, Role, Shape,
    Source, Thought, Tool, ToolChoice, ToolResult,
};
use crate::json::{Json, Object};
use crate::loss::Losses;

/// Top-level fields of Anthropic's own, which a path or a caller may set in a request of any dialect.
const OWN: [&str; 5] = ["container", "context_management", "inference_geo", "mcp_servers", "speed"];

const NO_PART: &str = "the provider's dialect has no such part here";

/// Writes a request, and lists what it could not say.
pub fn write_request(request: &Request) -> (Object, Losses) {
    let mut losses = Losses::default();
    let is_own = request.kept.is_of(ANTHROPIC);
    let reasoning =
        if is_own { request.reasoning } else { translate(request, request.max_tokens, &mut losses) };
    let mut body = Object::default().with("model", request.model.as_str());
    if let Some(max) = request.max_tokens {
        body.set("max_tokens", max);
    } else if !is_own {
        body.set("max_tokens", default_max_tokens(reasoning));
        losses.slight("max_tokens", "the provider needs a limit of the answer, and none was set");
    }
    write_system(request, &mut body, &mut losses);
    body.set("messages", write_messages(request, &mut losses));
    write_tools(request, &mut body, &mut losses);
    write_sampling(request, reasoning, &mut body, &mut losses);
    if !request.stop.is_empty() {
        // It refuses texts of nothing but white space.
        let stop: Vec<String> =
            request.stop.iter().filter(|text| is_own || !text.trim().is_empty()).cloned().collect();
        if stop.len() < request.stop.len() {
            losses.slight("stop", "a text of white space alone cannot end an answer there");
        }
        if !stop.is_empty() {
            body.set("stop_sequences", &stop[..]);
        }
    }
    body.set_some("thinking", reasoning.thinking.map(write_thinking));
    write_output(request, reasoning, &mut body, &mut losses);
    if let Some(user) = &request.user {
        body.set("metadata", Object::default().with("user_id", user.as_str()));
    }
    body.set_some("stream", request.stream);
    body.set_some("cache_control", request.cache.as_ref().map(write_cache));
    for (is_set, field) in [
        (request.logprobs.is_some_and(|asked| asked), "logprobs"),
        (request.top_logprobs.is_some_and(|n| n > 0), "top_logprobs"),
        (request.n.is_some_and(|n| n != 1), "n"),
    ] {
        if is_set {
            losses.grave(field, "the provider has no such thing");
        }
    }
    if request.metadata.is_some() {
        losses.slight("metadata", "the provider keeps no labels");
    }
    let mut kept = request.kept.clone();
    if !is_own {
        for key in OWN {
            body.set_some(key, kept.fields.take(key));
        }
    }
    kept.fill(&mut body, ANTHROPIC);
    losses.of_kept(&kept, ANTHROPIC, "");
    (body, losses)
}

fn write_system(request: &Request, body: &mut Object, losses: &mut Losses) {
    let [message] = &request.system[..] else {
        if request.system.is_empty() {
            return;
        }
        // Several at the beginning are one.
        let mut blocks = Vec::new();
        for (at, message) in request.system.iter().enumerate() {
            let place = format!("system[{at}]");
            losses.of_kept(&message.kept, ANTHROPIC, &place);
            blocks.extend(write_blocks(&message.parts, &place, losses));
        }
        body.set("system", blocks);
        return;
    };
    losses.of_kept(&message.kept, ANTHROPIC, "system[0]");
    if let Some(content) = write_content(message, &message.parts, "system[0]", losses) {
        body.set("system", content);
    }
}

fn write_messages(request: &Request, losses: &mut Losses) -> Vec<Json> {
    let mut out = Vec::with_capacity(request.messages.len());
    let mut at = 0;
    while at < request.messages.len() {
        let place = format!("messages[{at}]");
        let message = &request.messages[at];
        // The results of all calls of a turn belong into the one turn after it, before anything else that it says.
        let mut parts = Cow::Borrowed(&message.parts);
        losses.of_kept(&message.kept, ANTHROPIC, &place);
        at += 1;
        if message.role == Role::Tool {
            while let Some(next) = request.messages.get(at).filter(|next| next.role == Role::Tool) {
                losses.of_kept(&next.kept, ANTHROPIC, &format!("messages[{at}]"));
                parts.to_mut().extend(next.parts.iter().cloned());
                at += 1;
            }
            if let Some(next) = request.messages.get(at).filter(|next| next.role == Role::User) {
                losses.of_kept(&next.kept, ANTHROPIC, &format!("messages[{at}]"));
                parts.to_mut().extend(next.parts.iter().cloned());
                at += 1;
            }
        }
        let role = match message.role {
            Role::System | Role::Developer => "system",
            Role::Assistant => "assistant",
            Role::User | Role::Tool => "user",
        };
        let Some(content) = write_content(message, &parts, &place, losses) else {
            losses.slight(place, "a message without content cannot be sent there");
            continue;
        };
        let mut object = Object::default().with("role", role).with("content", content);
        message.kept.fill(&mut object, ANTHROPIC);
        out.push(Json::Object(object));
    }
    out
}

/// The content of a message; `None` where another dialect's message has none that can be said.
fn write_content(message: &Message, parts: &[Part], place: &str, losses: &mut Losses) -> Option<Json> {
    if let ([Part { content: Content::Text(text), cache: None, kept }], Shape::Short) = (parts, message.shape)
        && kept.fields.is_empty()
        && (message.kept.is_of(ANTHROPIC) || !text.is_empty())
    {
        return Some(text.as_str().into());
    }
    let blocks = write_blocks(parts, place, losses);
    (!blocks.is_empty() || message.kept.is_of(ANTHROPIC)).then_some(Json::List(blocks))
}

fn write_blocks(parts: &[Part], place: &str, losses: &mut Losses) -> Vec<Json> {
    let mut ids = HashSet::new();
    let blocks = parts.iter().enumerate().filter_map(|(at, part)| {
        // One result per call: an answer that was sent again counts once.
        if let Content::ToolResult(result) = &part.content
            && !part.kept.is_of(ANTHROPIC)
            && !ids.insert(result.id.as_str())
        {
            losses.slight(format!("{place}.content[{at}]"), "a second result of the same call");
            return None;
        }
        write_block(part, &format!("{place}.content[{at}]"), losses)
    });
    blocks.map(Json::Object).collect()
}

pub(super) fn write_block(part: &Part, place: &str, losses: &mut Losses) -> Option<Object> {
    let typed = |kind: &str| Object::default().with("type", kind);
    let is_own = part.kept.is_of(ANTHROPIC);
    let mut block = match &part.content {
        // Texts of nothing are refused, and say nothing.
        Content::Text(text) | Content::Refusal(text) if text.is_empty() && !is_own => return None,
        Content::Text(text) | Content::Refusal(text) => typed("text").with("text", text.as_str()),
        Content::Thought(thought) if is_own || is_signed(&part.content) => write_thought(thought),
        Content::Thought(_) => {
            losses
                .slight(place, "thoughts of another model have no signature, without which they are refused");
            return None;
        }
        Content::Image(Image { source, detail }) => {
            if detail.as_deref().is_some_and(|detail| detail != "auto") {
                losses.slight(format!("{place}.detail"), "how closely it looks is the model's own choice");
            }
            typed("image").with("source", write_source(source, place, losses)?)
        }
        Content::File(file) => write_document(file, place, losses)?,
        Content::ToolCall(call) => {
            let input = arguments(&call.arguments, place, losses);
            typed("tool_use")
                .with("id", tool_id(&call.id, is_own))
                .with("name", call.name.as_str())
                .with("input", input)
        }
        Content::ToolResult(result) => write_result(result, is_own, place, losses),
        Content::Other(ANTHROPIC, object) => return Some(object.clone()),
        Content::Audio(_) | Content::Other(..) => {
            losses.grave(place, NO_PART);
            return None;
        }
    };
    losses.of_kept(&part.kept, ANTHROPIC, place);
    block.set_some("cache_control", part.cache.as_ref().map(|cache| cache_mark(cache, is_own)));
    part.kept.fill(&mut block, ANTHROPIC);
    Some(block)
}

fn write_thought(thought: &Thought) -> Object {
    if let Some(sealed) = &thought.sealed {
        return Object::default().with("type", "redacted_thinking").with("data", sealed.as_str());
    }
    let mut block = Object::default().with("type", "thinking").with("thinking", thought.text.as_str());
    block.set_some("signature", thought.signature.as_deref());
    block
}

/// OpenAI's marks hold for times that are not known here; without one it is the shortest.
fn cache_mark(cache: &Cache, is_own: bool) -> Json {
    let is_known = is_own || matches!(cache.ttl.as_deref(), Some("5m" | "1h"));
    write_cache(if is_known { cache } else { &Cache { ttl: None } })
}

fn write_result(result: &ToolResult, is_own: bool, place: &str, losses: &mut Losses) -> Object {
    let mut block =
        Object::default().with("type", "tool_result").with("tool_use_id", tool_id(&result.id, is_own));
    match (&result.parts[..], result.shape) {
        ([], Shape::Absent | Shape::Short) => {}
        ([part], Shape::Short) if part.is_plain_text() => {
            if let Content::Text(text) = &part.content {
                block.set("content", text.as_str());
            }
        }
        (parts, _) => {
            let parts = write_blocks(parts, place, losses);
            if is_own || !parts.is_empty() {
                block.set("content", parts);
            }
        }
    }
    block.set_some("is_error", result.is_error);
    block
}

fn write_source(source: &Source, place: &str, losses: &mut Losses) -> Option<Object> {
    let typed = |kind: &str| Object::default().with("type", kind);
    Some(match source {
        Source::Url(url) => typed("url").with("url", url.as_str()),
        Source::Data { media_type, data } => {
            // jpg is what many write for jpeg.
            let media_type = if media_type == "image/jpg" { "image/jpeg" } else { media_type.as_str() };
            typed("base64").with("media_type", media_type).with("data", data.as_str())
        }
        Source::Id(ANTHROPIC, id) => typed("file").with("file_id", id.as_str()),
        Source::Text(text) => typed("text").with("media_type", "text/plain").with("data", text.as_str()),
        Source::Id(..) => {
            losses.grave(place, "what is stored at another provider cannot be named there");
            return None;
        }
    })
}

fn write_document(File { source, name }: &File, place: &str, losses: &mut Losses) -> Option<Object> {
    let is_pdf = |media_type: &str| media_type.is_empty() || media_type == "application/pdf";
    let source = match source {
        Source::Data { media_type, data } if is_pdf(media_type) => Object::default()
            .with("type", "base64")
            .with("media_type", "application/pdf")
            .with("data", data.as_str()),
        Source::Data { media_type, .. } if !media_type.starts_with("image/") => {
            losses.grave(place, "documents are PDFs or texts there");
            return None;
        }
        source => write_source(source, place, losses)?,
    };
    let mut block = Object::default().with("type", "document").with("source", source);
    block.set_some("title", name.as_deref());
    Some(block)
}

/// Ids are letters, digits, `_` and `-` there; others' become such, alike in a call and its result.
pub(super) fn tool_id(id: &str, is_own: bool) -> String {
    let fits = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '-');
    match id {
        id if is_own => id.to_owned(),
        "" => "call".to_owned(),
        id => id.chars().map(|c| if fits(c) { c } else { '_' }).collect(),
    }
}

/// A call's arguments as the object that is wanted there. What a model wrote that is none stands in it as a text.
pub(crate) fn arguments(arguments: &str, place: &str, losses: &mut Losses) -> Object {
    match Json::parse(arguments.as_bytes()) {
        Ok(Json::Object(object)) => object,
        _ if arguments.trim().is_empty() => Object::default(),
        _ => {
            losses
                .slight(format!("{place}.arguments"), "they are no JSON object, and stand in one as a text");
            Object::default().with("arguments", arguments)
        }
    }
}

fn write_tools(request: &Request, body: &mut Object, losses: &mut Losses) {
    let allowed = match &request.tool_choice {
        Some(ToolChoice::Allowed { names, .. }) => Some(names),
        _ => None,
    };
    let tools = request.tools.iter().enumerate().filter_map(|(at, tool)| match tool {
        Tool::Other(ANTHROPIC, object) => Some(object.clone()),
        Tool::Other(..) => {
            losses.grave(format!("tools[{at}]"), "a tool that another provider runs or that has no schema");
            None
        }
        Tool::Function(function) if allowed.is_some_and(|names| !names.contains(&function.name)) => None,
        Tool::Function(function) => Some(write_tool(function, at, losses)),
    });
    let tools: Vec<Json> = tools.map(Json::Object).collect();
    if !tools.is_empty() {
        body.set("tools", tools);
    }
    let kind = |kind: &str| Object::default().with("type", kind);
    let choice = match &request.tool_choice {
        Some(ToolChoice::Auto | ToolChoice::Allowed { required: false, .. }) => Some(kind("auto")),
        Some(ToolChoice::Required | ToolChoice::Allowed { required: true, .. }) => Some(kind("any")),
        Some(ToolChoice::None) => Some(kind("none")),
        Some(ToolChoice::Named(name)) => Some(kind("tool").with("name", name.as_str())),
        None if request.parallel_tools == Some(false) && !request.tools.is_empty() => Some(kind("auto")),
        None => None,
    };
    if let Some(mut choice) = choice {
        if request.tool_choice != Some(ToolChoice::None) || request.kept.is_of(ANTHROPIC) {
            choice.set_some("disable_parallel_tool_use", request.parallel_tools.map(|parallel| !parallel));
        }
        body.set("tool_choice", choice);
    }
}

fn write_tool(function: &Function, at: usize, losses: &mut Losses) -> Object {
    let Function { name, description, schema, strict, cache, kept } = function;
    let is_own = kept.is_of(ANTHROPIC);
    let mut tool = Object::default().with("name", name.as_str());
    tool.set_some("description", description.as_deref());
    // A schema is demanded; a function without one takes nothing.
    let none =
        || Json::Object(Object::default().with("type", "object").with("properties", Object::default()));
    tool.set_some("input_schema", schema.clone().or_else(|| (!is_own).then(none)));
    tool.set_some("strict", *strict);
    tool.set_some("cache_control", cache.as_ref().map(|cache| cache_mark(cache, is_own)));
    losses.of_kept(kept, ANTHROPIC, &format!("tools[{at}]"));
    kept.fill(&mut tool, ANTHROPIC);
    tool
}

fn write_sampling(request: &Request, reasoning: Reasoning, body: &mut Object, losses: &mut Losses) {
    let sampling = &request.sampling;
    let is_own = request.kept.is_of(ANTHROPIC);
    for (key, number) in
        [("temperature", &sampling.temperature), ("top_p", &sampling.top_p), ("top_k", &sampling.top_k)]
    {
        let Some(number) = number else { continue };
        if !is_own && is_on(reasoning) {
            losses.slight(key, "a model that thinks draws as it likes");
        } else if !is_own && key == "temperature" && number.as_f64().is_some_and(|t| t > 1.0) {
            losses.slight(key, "1 is the highest there");
            body.set(key, Number::from(1u8));
        } else {
            body.set(key, number.clone());
        }
    }
    for (key, number) in [
        ("frequency_penalty", &sampling.frequency_penalty),
        ("presence_penalty", &sampling.presence_penalty),
        ("seed", &sampling.seed),
    ] {
        if number.as_ref().is_some_and(|number| key == "seed" || number.as_f64() != Some(0.0)) {
            losses.slight(key, "the provider has no such thing");
        }
    }
}

fn write_output(request: &Request, reasoning: Reasoning, body: &mut Object, losses: &mut Losses) {
    let mut output = Object::default();
    // It has no words for less than low.
    let effort = reasoning.effort.filter(|effort| *effort >= Effort::Low);
    output.set_some("effort", effort.map(Effort::as_str));
    match &request.format {
        None | Some(Format::Text) => {}
        Some(Format::Json) => {
            losses.grave("response_format", "that an answer is JSON is not enforced without a schema");
        }
        Some(Format::Schema { schema, description, .. }) => {
            if description.is_some() {
                losses.slight("response_format.json_schema.description", "a schema has no description there");
            }
            if let Some(schema) = schema {
                output.set(
                    "format",
                    Object::default().with("type", "json_schema").with("schema", schema.clone()),
                );
            }
        }
    }
    if !output.is_empty() {
        body.set("output_config", output);
    }
}
