//! A chat-completions request, read.

use super::{assistant, cache, source_of_url};
use crate::anthropic;
use crate::form::{
    Content, Dialect, Effort, File, Format, Function, Image, Kept, Malformed, Message, Part, Request, Role,
    Sampling, Shape, Source, Tool, ToolChoice, ToolResult,
};
use crate::json::{Json, Object};

const OPENAI: Dialect = Dialect::OpenAi;

/// Reads a request.
///
/// # Errors
/// [`Malformed`] for what is no chat-completions request: no JSON, no model, a message without a role.
pub fn read_request(body: &[u8]) -> Result<Request, Malformed> {
    match Json::parse(body) {
        Ok(Json::Object(object)) => read_request_object(object),
        Ok(_) => Err(Malformed::new(
            "",
            "the body is JSON but not an object; send {\"model\": ..., \"messages\": [...]}",
        )),
        Err(_) => {
            Err(Malformed::new("", "the body is not valid JSON; send it as UTF-8, nested 128 levels at most"))
        }
    }
}

/// Reads a request that was parsed already.
///
/// # Errors
/// As [`read_request`].
pub fn read_request_object(mut body: Object) -> Result<Request, Malformed> {
    let model = body.take_text("model").ok_or(Malformed::new("model", "send the model's name as a text"))?;
    let listed = body.take_list("messages").ok_or(Malformed::new("messages", "send a list of messages"))?;
    let mut system = Vec::new();
    let mut messages = Vec::with_capacity(listed.len());
    for (at, message) in listed.into_iter().enumerate() {
        let message = read_message(message, &format!("messages[{at}]"))?;
        if messages.is_empty() && matches!(message.role, Role::System | Role::Developer) {
            system.push(message);
        } else {
            messages.push(message);
        }
    }
    let tools = body.take_items("tools").unwrap_or_default().into_iter().enumerate();
    let tools = tools.map(|(at, tool)| read_tool(tool, at)).collect::<Result<_, _>>()?;
    let sampling = Sampling {
        temperature: body.take_number("temperature"),
        top_p: body.take_number("top_p"),
        top_k: body.take_number("top_k"),
        frequency_penalty: body.take_number("frequency_penalty"),
        presence_penalty: body.take_number("presence_penalty"),
        seed: body.take_number("seed"),
    };
    // The older name of the two, and one beside the other, are kept beside it.
    let max_tokens = if body.get("max_tokens").is_none() {
        body.take_u64("max_completion_tokens")
    } else {
        let limit = |key| body.get(key).and_then(Json::as_u64);
        limit("max_completion_tokens").or_else(|| limit("max_tokens"))
    };
    let stop = match body.get("stop") {
        Some(Json::Text(text)) => vec![text.clone()],
        _ => body.take_texts("stop").unwrap_or_default(),
    };
    let effort =
        body.take_if("reasoning_effort", |value| value.as_text().and_then(Effort::parse).ok_or(value));
    Ok(Request {
        system,
        messages,
        tools,
        tool_choice: read_tool_choice(&mut body),
        parallel_tools: body.take_bool("parallel_tool_calls"),
        sampling,
        max_tokens,
        stop,
        format: read_format(&mut body),
        reasoning: crate::form::Reasoning { effort, thinking: anthropic::read_thinking(&mut body) },
        n: body.take_u64("n"),
        logprobs: body.take_bool("logprobs"),
        top_logprobs: body.take_u64("top_logprobs"),
        user: body.take_text("user"),
        metadata: body.take_object("metadata"),
        stream: body.take_bool("stream"),
        cache: cache(&body),
        model,
        kept: Kept::new(OPENAI, body),
    })
}

fn read_message(message: Json, place: &str) -> Result<Message, Malformed> {
    const ROLES: &str =
        "is one of \"developer\", \"system\", \"user\", \"assistant\", \"tool\" and \"function\"";
    let Json::Object(mut message) = message else {
        return Err(Malformed::new(place, "is not an object; send {\"role\": ..., \"content\": ...}"));
    };
    let wrong_role = || Malformed::new(format!("{place}.role"), ROLES);
    let role = match message.text("role").ok_or_else(wrong_role)? {
        "system" => Role::System,
        "developer" => Role::Developer,
        "user" => Role::User,
        "assistant" => Role::Assistant,
        "tool" => Role::Tool,
        // Of before there were tools; only this dialect has it.
        "function" => {
            let part = Part::new(Content::Other(OPENAI, message));
            return Ok(Message {
                role: Role::Tool,
                parts: vec![part],
                shape: Shape::List,
                kept: Kept::default(),
            });
        }
        _ => return Err(wrong_role()),
    };
    message.take("role");
    let (content, shape) = read_content(&mut message, place)?;
    if role == Role::Tool {
        let missing =
            Malformed::new(format!("{place}.tool_call_id"), "send the id of the call that this answers");
        let id = message.take_text("tool_call_id").ok_or(missing)?;
        let result = ToolResult { id, parts: content, shape, is_error: None };
        let part = Part { cache: cache(&message), ..Part::new(Content::ToolResult(result)) };
        return Ok(Message { role, parts: vec![part], shape: Shape::List, kept: Kept::new(OPENAI, message) });
    }
    let parts = if role == Role::Assistant { assistant::read(&mut message, content, shape) } else { content };
    Ok(Message { role, parts, shape, kept: Kept::new(OPENAI, message) })
}

/// The content of a message, taken out of it.
pub(super) fn read_content(message: &mut Object, place: &str) -> Result<(Vec<Part>, Shape), Malformed> {
    let place = || format!("{place}.content");
    match message.take("content") {
        None => Ok((Vec::new(), Shape::Absent)),
        Some(Json::Null) => Ok((Vec::new(), Shape::Short)),
        Some(Json::Text(text)) => Ok((vec![Part::text(text)], Shape::Short)),
        Some(Json::List(parts)) => {
            let parts = parts.into_iter().enumerate().map(|(at, part)| match part {
                Json::Object(part) => Ok(read_part(part)),
                _ => Err(Malformed::new(
                    format!("{}[{at}]", place()),
                    "is not an object; send {\"type\": ...}",
                )),
            });
            Ok((parts.collect::<Result<_, _>>()?, Shape::List))
        }
        Some(_) => Err(Malformed::new(place(), "is neither a text nor a list of parts")),
    }
}

fn read_part(mut part: Object) -> Part {
    let content = match part.text("type") {
        Some("text") => part.take_text("text").map(Content::Text),
        Some("refusal") => part.take_text("refusal").map(Content::Refusal),
        Some("image_url") => inner(&mut part, "image_url", |image| {
            let source = source_of_url(image.take_text("url")?);
            Some(Content::Image(Image { source, detail: image.take_text("detail") }))
        }),
        Some("input_audio") => inner(&mut part, "input_audio", |audio| {
            if audio.text("format")?.contains('/') || audio.text("data").is_none() {
                return None;
            }
            let media_type = format!("audio/{}", audio.take_text("format")?);
            Some(Content::Audio(Source::Data { media_type, data: audio.take_text("data")? }))
        }),
        Some("file") => inner(&mut part, "file", |file| {
            let source = match (file.text("file_data").is_some(), file.text("file_id").is_some()) {
                (true, false) => match source_of_url(file.take_text("file_data")?) {
                    Source::Url(data) => Source::Data { media_type: String::new(), data },
                    source => source,
                },
                (false, true) => Source::Id(OPENAI, file.take_text("file_id")?),
                _ => return None,
            };
            Some(Content::File(File { source, name: file.take_text("filename") }))
        }),
        _ => None,
    };
    let Some(content) = content else {
        return Part::new(Content::Other(OPENAI, part));
    };
    part.take("type");
    Part { content, cache: cache(&part), kept: Kept::new(OPENAI, part) }
}

/// Reads an inner object and leaves what was not understood of it.
fn inner<T>(outer: &mut Object, key: &str, read: impl FnOnce(&mut Object) -> Option<T>) -> Option<T> {
    let mut object = outer.take_object(key)?;
    let read = read(&mut object);
    if read.is_some() {
        outer.give_back(key, object);
    } else {
        // Untouched: `read` looks before it takes.
        outer.set(key, object);
    }
    read
}

fn read_tool(tool: Json, at: usize) -> Result<Tool, Malformed> {
    let Json::Object(mut tool) = tool else {
        return Err(Malformed::new(
            format!("tools[{at}]"),
            "is not an object; send {\"type\": \"function\", ...}",
        ));
    };
    let is_function = tool.text("type") == Some("function")
        && tool.get("function").and_then(|f| f.as_object()?.text("name")).is_some();
    let Some(mut function) = is_function.then(|| tool.take_object("function")).flatten() else {
        return Ok(Tool::Other(OPENAI, tool));
    };
    tool.take("type");
    let name = function.take_text("name").unwrap_or_default();
    let description = function.take_text("description");
    let schema = function.take_object("parameters").map(Json::Object);
    let strict = function.take_bool("strict");
    tool.give_back("function", function);
    Ok(Tool::Function(Function {
        name,
        description,
        schema,
        strict,
        cache: cache(&tool),
        kept: Kept::new(OPENAI, tool),
    }))
}

fn read_tool_choice(body: &mut Object) -> Option<ToolChoice> {
    body.take_if("tool_choice", |choice| {
        let read = match &choice {
            Json::Text(word) => match word.as_str() {
                "auto" => Some(ToolChoice::Auto),
                "none" => Some(ToolChoice::None),
                "required" => Some(ToolChoice::Required),
                _ => None,
            },
            Json::Object(object) if object.len() == 2 => named(object).or_else(|| allowed(object)),
            _ => None,
        };
        read.ok_or(choice)
    })
}

fn named(choice: &Object) -> Option<ToolChoice> {
    let function = choice.get("function")?.as_object()?;
    let is_it = choice.text("type")? == "function" && function.len() == 1;
    is_it.then(|| function.text("name")).flatten().map(|name| ToolChoice::Named(name.to_owned()))
}

fn allowed(choice: &Object) -> Option<ToolChoice> {
    let allowed = choice.get("allowed_tools")?.as_object()?;
    let required = match allowed.text("mode")? {
        "auto" => false,
        "required" => true,
        _ => return None,
    };
    if choice.text("type")? != "allowed_tools" || allowed.len() != 2 {
        return None;
    }
    let name = |tool: &Json| match named(tool.as_object()?)? {
        ToolChoice::Named(name) => Some(name),
        _ => None,
    };
    let names = allowed.get("tools")?.as_list()?.iter().map(name).collect::<Option<_>>()?;
    Some(ToolChoice::Allowed { names, required })
}

fn read_format(body: &mut Object) -> Option<Format> {
    let mut format = body.take_object("response_format")?;
    let read = match format.text("type") {
        Some("text") => Some(Format::Text),
        Some("json_object") => Some(Format::Json),
        Some("json_schema") => inner(&mut format, "json_schema", |schema| {
            Some(Format::Schema {
                name: schema.take_text("name"),
                description: schema.take_text("description"),
                schema: schema.take_object("schema").map(Json::Object),
                strict: schema.take_bool("strict"),
            })
        }),
        _ => None,
    };
    if read.is_some() {
        format.take("type");
        body.give_back("response_format", format);
    } else {
        body.set("response_format", format);
    }
    read
}
