//! A chat-completions request, written.

use std::borrow::Cow;

use super::{assistant, data_url};
use crate::form::{
    Cache, Content, Dialect, Effort, File, Format, Function, Image, Message, Part, Request, Role, Shape,
    Source, Thinking, Tool, ToolChoice, ToolResult,
};
use crate::json::{Json, Object};
use crate::loss::Losses;

const OPENAI: Dialect = Dialect::OpenAi;
const NO_PART: &str = "the provider's dialect has no such part here";

/// Writes a request, and lists what it could not say.
pub fn write_request(request: &Request) -> (Object, Losses) {
    let mut losses = Losses::default();
    let is_own = request.kept.is_of(OPENAI);
    let mut body = Object::default().with("model", request.model.as_str());
    let mut messages = Vec::with_capacity(request.system.len() + request.messages.len());
    for (list, name) in [(&request.system, "system"), (&request.messages, "messages")] {
        for (at, message) in list.iter().enumerate() {
            write_message(message, &format!("{name}[{at}]"), &mut messages, &mut losses);
        }
    }
    body.set("messages", messages);
    if !request.tools.is_empty() {
        let tools =
            request.tools.iter().enumerate().filter_map(|(at, tool)| write_tool(tool, at, &mut losses));
        let tools: Vec<Json> = tools.collect();
        if !tools.is_empty() {
            body.set("tools", tools);
        }
    }
    body.set_some("tool_choice", request.tool_choice.as_ref().map(write_tool_choice));
    body.set_some("parallel_tool_calls", request.parallel_tools);
    write_sampling(request, &mut body);
    if is_own {
        body.set_some("top_k", request.sampling.top_k.clone());
    } else if request.sampling.top_k.is_some() {
        losses.slight("top_k", "most providers of the dialect refuse it");
    }
    write_reasoning(request, &mut body, &mut losses);
    body.set_some(
        "response_format",
        request.format.as_ref().map(|format| write_format(format, is_own, &mut losses)),
    );
    body.set_some("n", request.n);
    body.set_some("logprobs", request.logprobs);
    body.set_some("top_logprobs", request.top_logprobs);
    body.set_some("user", request.user.as_deref());
    body.set_some("metadata", request.metadata.clone());
    body.set_some("stream", request.stream);
    if request.cache.is_some() && !is_own {
        losses.slight("cache_control", "the provider caches without marks");
    }
    request.kept.fill(&mut body, OPENAI);
    losses.of_kept(&request.kept, OPENAI, "");
    (body, losses)
}

fn write_sampling(request: &Request, body: &mut Object) {
    let sampling = &request.sampling;
    for (key, number) in [
        ("temperature", &sampling.temperature),
        ("top_p", &sampling.top_p),
        ("frequency_penalty", &sampling.frequency_penalty),
        ("presence_penalty", &sampling.presence_penalty),
        ("seed", &sampling.seed),
    ] {
        body.set_some(key, number.clone());
    }
    if let Some(max) = request.max_tokens {
        let said = |key| request.kept.get(OPENAI, key).and_then(Json::as_u64) == Some(max);
        if !said("max_tokens") && !said("max_completion_tokens") {
            body.set("max_completion_tokens", max);
        }
    }
    let single = request.kept.get(OPENAI, "stop").and_then(Json::as_text);
    if !request.stop.is_empty() && single != request.stop.first().map(String::as_str) {
        body.set("stop", &request.stop[..]);
    }
}

fn write_reasoning(request: &Request, body: &mut Object, losses: &mut Losses) {
    let Some(effort) = request.reasoning.effort.or_else(|| effort_of(request.reasoning.thinking?)) else {
        if request.reasoning.thinking == Some(Thinking::Off) && !request.kept.is_of(OPENAI) {
            losses.slight("thinking", "whether the model thinks is its own choice there");
        }
        if request.kept.is_of(OPENAI) {
            body.set_some("thinking", request.reasoning.thinking.map(crate::anthropic::write_thinking));
        }
        return;
    };
    if request.reasoning.effort.is_some() {
        body.set("reasoning_effort", effort.as_str());
        if request.kept.is_of(OPENAI) {
            body.set_some("thinking", request.reasoning.thinking.map(crate::anthropic::write_thinking));
        }
    } else if request.kept.is_of(OPENAI) {
        body.set_some("thinking", request.reasoning.thinking.map(crate::anthropic::write_thinking));
    } else {
        body.set("reasoning_effort", effort.as_str());
        losses.slight("thinking", "a budget of tokens became an effort in words");
    }
}

/// A budget in words, by the budgets that Anthropic's own layer for OpenAI's clients and LiteLLM use for the words.
fn effort_of(thinking: Thinking) -> Option<Effort> {
    match thinking {
        Thinking::Off | Thinking::Adaptive => None,
        Thinking::Budget(0..=2048) => Some(Effort::Low),
        Thinking::Budget(2049..=8192) => Some(Effort::Medium),
        Thinking::Budget(_) => Some(Effort::High),
    }
}

fn lose_cache(cache: Option<&Cache>, part: &Part, place: &str, losses: &mut Losses) {
    if cache.is_some() && !part.kept.is_of(OPENAI) {
        losses.slight(format!("{place}.cache_control"), "the provider caches without marks");
    }
}

fn write_message(message: &Message, place: &str, out: &mut Vec<Json>, losses: &mut Losses) {
    if let (Role::Tool, [Part { content: Content::Other(OPENAI, whole), .. }]) =
        (message.role, &message.parts[..])
    {
        out.push(Json::Object(whole.clone()));
        return;
    }
    let role = match message.role {
        Role::System => "system",
        Role::Developer => "developer",
        Role::Assistant => "assistant",
        Role::User | Role::Tool => "user",
    };
    losses.of_kept(&message.kept, OPENAI, place);
    // Results are messages of their own, and come first: the calls that they answer stand right before.
    let (mut rest, mut moved) = (Vec::new(), Vec::new());
    for (at, part) in message.parts.iter().enumerate() {
        match &part.content {
            Content::ToolResult(result) if role == "user" => {
                let here = format!("{place}.content[{at}]");
                out.push(Json::Object(write_result(result, part, message, &here, &mut moved, losses)));
            }
            _ => rest.push((at, part)),
        }
    }
    let moved: Vec<(usize, &Part)> = moved.into_iter().map(|part| (0, part)).collect();
    let had_results = rest.len() < message.parts.len();
    if had_results && rest.is_empty() && moved.is_empty() {
        return;
    }
    let mut object = Object::default().with("role", role);
    if message.role == Role::Assistant {
        let sent = without_thoughts(message, place, losses);
        assistant::write(&sent, message.shape, &mut object, losses, place);
    } else {
        let parts: Vec<_> = moved.into_iter().chain(rest).collect();
        let shape = match &parts[..] {
            [(_, part)] if had_results && part.is_plain_text() => Shape::Short,
            _ => message.shape,
        };
        write_content(&parts, shape, &mut object, losses, place);
    }
    if message.role != Role::Tool {
        message.kept.fill(&mut object, OPENAI);
    }
    let is_empty =
        ["content", "refusal", "tool_calls"].iter().all(|key| object.get(key).is_none_or(Json::is_nothing));
    if is_empty && !message.kept.is_of(OPENAI) {
        losses.slight(place, "a message without content cannot be sent there");
        return;
    }
    out.push(Json::Object(object));
}

/// The parts without the thoughts of another dialect: they are signed for its provider, and most others refuse a message
/// with fields that they do not know.
fn without_thoughts<'a>(message: &'a Message, place: &str, losses: &mut Losses) -> Cow<'a, [Part]> {
    let is_thought = |part: &Part| matches!(part.content, Content::Thought(_));
    if message.kept.is_of(OPENAI) || !message.parts.iter().any(is_thought) {
        return Cow::Borrowed(&message.parts);
    }
    losses.slight(format!("{place}.thinking"), "thoughts are for the provider that had them");
    Cow::Owned(message.parts.iter().filter(|part| !is_thought(part)).cloned().collect())
}

fn write_result<'a>(
    result: &'a ToolResult,
    part: &Part,
    message: &Message,
    place: &str,
    moved: &mut Vec<&'a Part>,
    losses: &mut Losses,
) -> Object {
    let mut object = Object::default().with("role", "tool");
    let mut said = Vec::new();
    for (at, inner) in result.parts.iter().enumerate() {
        if matches!(inner.content, Content::Image(_) | Content::File(_))
            && !part.kept.is_of(OPENAI)
            && !message.kept.is_of(OPENAI)
        {
            let why = "a tool's message has texts only there, so it stands in a message of the user after it";
            losses.slight(format!("{place}.content[{at}]"), why);
            moved.push(inner);
        } else {
            said.push((at, inner));
        }
    }
    let shape = match &said[..] {
        [] if !message.kept.is_of(OPENAI) => {
            object.set("content", "");
            Shape::Absent
        }
        [(_, part)] if part.is_plain_text() && !message.kept.is_of(OPENAI) => Shape::Short,
        _ => result.shape,
    };
    write_content(&said, shape, &mut object, losses, place);
    object.set("tool_call_id", result.id.as_str());
    if result.is_error == Some(true) {
        losses.slight(format!("{place}.is_error"), "that a tool failed is said by its text alone there");
    }
    lose_cache(part.cache.as_ref(), part, place, losses);
    losses.of_kept(&part.kept, OPENAI, place);
    if message.role == Role::Tool {
        message.kept.fill(&mut object, OPENAI);
    }
    object
}

/// Writes what is said, with each part's place among its neighbours.
pub(super) fn write_content(
    parts: &[(usize, &Part)],
    shape: Shape,
    message: &mut Object,
    losses: &mut Losses,
    place: &str,
) {
    match (parts, shape) {
        ([], Shape::Absent) => {}
        ([], Shape::Short) => message.set("content", Json::Null),
        ([(at, part)], Shape::Short) if matches!(part.content, Content::Text(_)) => {
            if let Content::Text(text) = &part.content {
                message.set("content", text.as_str());
            }
            lose_cache(part.cache.as_ref(), part, &format!("{place}.content[{at}]"), losses);
        }
        _ => {
            let parts = parts
                .iter()
                .filter_map(|(at, part)| write_part(part, &format!("{place}.content[{at}]"), losses));
            let parts: Vec<Json> = parts.map(Json::Object).collect();
            let is_empty_reply = parts.is_empty() && message.text("role") == Some("assistant");
            message.set(
                "content",
                if is_empty_reply && shape != Shape::List { Json::Null } else { parts.into() },
            );
        }
    }
}

fn write_part(part: &Part, place: &str, losses: &mut Losses) -> Option<Object> {
    let typed = |kind: &str, key: &str, value: Json| Object::default().with("type", kind).with(key, value);
    let mut object = match &part.content {
        Content::Text(text) => typed("text", "text", text.as_str().into()),
        Content::Refusal(text) => typed("refusal", "refusal", text.as_str().into()),
        Content::Image(Image { source, detail }) => {
            let mut image = Object::default();
            match source {
                Source::Url(url) => image.set("url", url.as_str()),
                Source::Data { media_type, data } => image.set("url", data_url(media_type, data)),
                Source::Id(..) | Source::Text(_) => {
                    losses.grave(place, "an image that is stored at another provider cannot be named there");
                    return None;
                }
            }
            image.set_some("detail", detail.as_deref());
            typed("image_url", "image_url", image.into())
        }
        Content::Audio(Source::Data { media_type, data }) => {
            let format = media_type.strip_prefix("audio/").unwrap_or(media_type);
            let audio = Object::default().with("data", data.as_str()).with("format", format);
            typed("input_audio", "input_audio", audio.into())
        }
        Content::File(file) => write_file(file, part, place, losses)?,
        Content::Other(OPENAI, object) => object.clone(),
        _ => {
            losses.grave(place, NO_PART);
            return None;
        }
    };
    lose_cache(part.cache.as_ref(), part, place, losses);
    losses.of_kept(&part.kept, OPENAI, place);
    part.kept.fill(&mut object, OPENAI);
    Some(object)
}

fn write_file(File { source, name }: &File, part: &Part, place: &str, losses: &mut Losses) -> Option<Object> {
    let mut file = Object::default();
    match source {
        Source::Data { media_type, data } => {
            let name = name.as_deref().or_else(|| (!part.kept.is_of(OPENAI)).then_some("document.pdf"));
            file.set_some("filename", name);
            let is_bare = media_type.is_empty();
            file.set("file_data", if is_bare { data.as_str().into() } else { data_url(media_type, data) });
        }
        Source::Id(OPENAI | Dialect::Responses, id) => {
            file.set_some("filename", name.as_deref());
            file.set("file_id", id.as_str());
        }
        Source::Text(text) => {
            losses.slight(place, "a document that is a text stands there as a plain text");
            let text = name.as_ref().map_or_else(|| text.clone(), |name| format!("{name}\n\n{text}"));
            return Some(Object::default().with("type", "text").with("text", text));
        }
        Source::Url(_) => {
            losses.grave(place, "a document cannot be named by its address there");
            return None;
        }
        Source::Id(..) => {
            losses.grave(place, "a document that is stored at another provider cannot be named there");
            return None;
        }
    }
    Some(Object::default().with("type", "file").with("file", file))
}

fn write_tool(tool: &Tool, at: usize, losses: &mut Losses) -> Option<Json> {
    let place = format!("tools[{at}]");
    match tool {
        Tool::Other(OPENAI, object) => Some(Json::Object(object.clone())),
        Tool::Other(..) => {
            losses.grave(place, "a tool that another provider runs or that has no schema");
            None
        }
        Tool::Function(Function { name, description, schema, strict, cache, kept }) => {
            let mut function = Object::default().with("name", name.as_str());
            function.set_some("description", description.as_deref());
            function.set_some("parameters", schema.clone());
            function.set_some("strict", *strict);
            let mut object = Object::default().with("type", "function").with("function", function);
            if cache.is_some() && !kept.is_of(OPENAI) {
                losses.slight(format!("{place}.cache_control"), "the provider caches without marks");
            }
            losses.of_kept(kept, OPENAI, &place);
            kept.fill(&mut object, OPENAI);
            Some(Json::Object(object))
        }
    }
}

fn write_tool_choice(choice: &ToolChoice) -> Json {
    let named = |name: &str| {
        let function = Object::default().with("name", name);
        Json::Object(Object::default().with("type", "function").with("function", function))
    };
    match choice {
        ToolChoice::Auto => "auto".into(),
        ToolChoice::None => "none".into(),
        ToolChoice::Required => "required".into(),
        ToolChoice::Named(name) => named(name),
        ToolChoice::Allowed { names, required } => {
            let tools: Vec<Json> = names.iter().map(|name| named(name)).collect();
            let mode = if *required { "required" } else { "auto" };
            let allowed = Object::default().with("mode", mode).with("tools", tools);
            Json::Object(Object::default().with("type", "allowed_tools").with("allowed_tools", allowed))
        }
    }
}

fn write_format(format: &Format, is_own: bool, losses: &mut Losses) -> Json {
    let kind = |kind: &str| Object::default().with("type", kind);
    Json::Object(match format {
        Format::Text => kind("text"),
        Format::Json => kind("json_object"),
        Format::Schema { name, description, schema, strict } => {
            // A name is demanded; a dialect without one gives none.
            let mut inner = Object::default().with("name", name.as_deref().unwrap_or("answer"));
            inner.set_some("description", description.as_deref());
            inner.set_some("schema", schema.clone());
            // Elsewhere a schema is always enforced. Here that has to be asked for, and needs a schema of a certain kind.
            let strict =
                strict.or_else(|| (!is_own && schema.as_ref().is_some_and(is_strict)).then_some(true));
            if strict.is_none() && !is_own {
                losses.slight("output_config.format", "a schema with optional fields is not enforced there");
            }
            inner.set_some("strict", strict);
            kind("json_schema").with("json_schema", inner)
        }
    })
}

/// Whether OpenAI can enforce a schema: its objects have no other fields than their own, and all of those.
fn is_strict(schema: &Json) -> bool {
    match schema {
        Json::List(list) => list.iter().all(is_strict),
        Json::Object(object) => {
            let own = object.get("properties").and_then(Json::as_object);
            let required = object.get("required").and_then(Json::as_list).unwrap_or_default();
            let is_closed = object.get("additionalProperties") == Some(&Json::Bool(false))
                && own.is_none_or(|own| {
                    own.iter().all(|(key, _)| required.iter().any(|r| r.as_text() == Some(key)))
                });
            let is_object = own.is_some() || object.text("type") == Some("object");
            (is_closed || !is_object) && object.iter().all(|(_, inner)| is_strict(inner))
        }
        _ => true,
    }
}
