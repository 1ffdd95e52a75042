//! A request for a response, read.

use super::OUR_THOUGHT;
use crate::form::{
    Content, Dialect, Effort, File, Format, Function, Image, Kept, Malformed, Message, Part, Reasoning,
    Request, Role, Sampling, Shape, Source, Thought, Tool, ToolCall, ToolChoice, ToolResult,
};
use crate::json::{Json, Object};
use crate::openai::source_of_url;

const RESPONSES: Dialect = Dialect::Responses;

/// Reads a request. Whether a stream is asked for is [`Request::is_stream`].
///
/// # Errors
/// [`Malformed`] for what is no such request, and for one that speaks of a conversation that the provider keeps.
pub fn read_request(body: &[u8]) -> Result<Request, Malformed> {
    match Json::parse(body) {
        Ok(Json::Object(object)) => read_request_object(object),
        Ok(_) => Err(Malformed::new(
            "",
            "the body is JSON but not an object; send {\"model\": ..., \"input\": ...}",
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
    for key in ["previous_response_id", "conversation", "prompt"] {
        if body.get(key).is_some_and(|value| *value != Json::Null) {
            return Err(Malformed::new(key, "conversations are not kept here; send all of it in \"input\""));
        }
    }
    if body.get("background") == Some(&Json::Bool(true)) {
        return Err(Malformed::new("background", "answers are given at once here; leave it out"));
    }
    let model = body.take_text("model").ok_or(Malformed::new("model", "send the model's name as a text"))?;
    let mut system = Vec::new();
    if let Some(said) = body.take_text("instructions") {
        system.push(Message::new(Role::System, vec![Part::text(said)]));
    }
    let mut messages = Vec::new();
    match body.take("input") {
        Some(Json::Text(text)) => messages.push(Message::new(Role::User, vec![Part::text(text)])),
        Some(Json::List(items)) => {
            for (at, item) in items.into_iter().enumerate() {
                read_item(item, &format!("input[{at}]"), &mut system, &mut messages)?;
            }
        }
        _ => return Err(Malformed::new("input", "send a text or a list of items")),
    }
    let tools = body.take_items("tools").unwrap_or_default().into_iter().enumerate();
    let tools = tools.map(|(at, tool)| read_tool(tool, at)).collect::<Result<_, _>>()?;
    let mut reasoning = body.take_object("reasoning").unwrap_or_default();
    let effort = reasoning.take_if("effort", |word| word.as_text().and_then(Effort::parse).ok_or(word));
    body.give_back("reasoning", reasoning);
    let mut text = body.take_object("text").unwrap_or_default();
    let format = read_format(&mut text);
    body.give_back("text", text);
    let include = body.get("include").and_then(Json::as_list).unwrap_or_default();
    let logprobs = include.iter().any(|what| what.as_text() == Some("message.output_text.logprobs"));
    Ok(Request {
        system,
        messages,
        tools,
        tool_choice: read_tool_choice(&mut body),
        parallel_tools: body.take_bool("parallel_tool_calls"),
        sampling: Sampling {
            temperature: body.take_number("temperature"),
            top_p: body.take_number("top_p"),
            ..Sampling::default()
        },
        max_tokens: body.take_u64("max_output_tokens"),
        format,
        reasoning: Reasoning { effort, thinking: None },
        logprobs: logprobs.then_some(true),
        top_logprobs: body.take_u64("top_logprobs").filter(|_| logprobs),
        user: body.take_text("user"),
        metadata: body.take_object("metadata"),
        stream: body.take_bool("stream"),
        model,
        kept: Kept::new(RESPONSES, body),
        ..Request::default()
    })
}

fn read_item(
    item: Json,
    place: &str,
    system: &mut Vec<Message>,
    messages: &mut Vec<Message>,
) -> Result<(), Malformed> {
    let Json::Object(mut item) = item else {
        return Err(Malformed::new(place, "is not an object; send {\"role\": ..., \"content\": ...}"));
    };
    let part = match item.text("type").map(str::to_owned).as_deref() {
        None | Some("message") => {
            let message = read_message(item, place)?;
            match messages.last_mut() {
                None if matches!(message.role, Role::System | Role::Developer) => system.push(message),
                // An assistant's thoughts, words and calls are items beside each other.
                Some(last) if last.role == Role::Assistant && message.role == Role::Assistant => {
                    last.parts.extend(message.parts);
                    last.shape = Shape::List;
                }
                _ => messages.push(message),
            }
            return Ok(());
        }
        Some("item_reference") => {
            return Err(Malformed::new(place, "items are not kept here; send the item itself"));
        }
        Some("function_call_output") => {
            let missing =
                || Malformed::new(format!("{place}.call_id"), "send the id of the call that this answers");
            let id = item.take_text("call_id").ok_or_else(missing)?;
            item.take("type");
            let (parts, shape) = match item.take("output") {
                Some(output) => read_content(output, &format!("{place}.output"))?,
                None => (Vec::new(), Shape::Absent),
            };
            let result = ToolResult { id, parts, shape, is_error: None };
            let part =
                Part { content: Content::ToolResult(result), cache: None, kept: Kept::new(RESPONSES, item) };
            messages.push(Message { shape: Shape::List, ..Message::new(Role::Tool, vec![part]) });
            return Ok(());
        }
        Some("function_call") => read_call(item, place)?,
        Some("reasoning") => read_thought(item),
        Some(_) => Part::new(Content::Other(RESPONSES, item)),
    };
    match messages.last_mut() {
        Some(last) if last.role == Role::Assistant => {
            last.parts.push(part);
            last.shape = Shape::List;
        }
        _ => messages.push(Message::new(Role::Assistant, vec![part])),
    }
    Ok(())
}

fn read_message(mut item: Object, place: &str) -> Result<Message, Malformed> {
    let role = match item.text("role") {
        Some("system") => Role::System,
        Some("developer") => Role::Developer,
        Some("user") => Role::User,
        Some("assistant") => Role::Assistant,
        _ => {
            let what = "is one of \"user\", \"assistant\", \"system\" and \"developer\"";
            return Err(Malformed::new(format!("{place}.role"), what));
        }
    };
    item.take("role");
    item.take("type");
    let place = format!("{place}.content");
    let content =
        item.take("content").ok_or_else(|| Malformed::new(&*place, "send a text or a list of parts"))?;
    let (parts, shape) = read_content(content, &place)?;
    Ok(Message { role, parts, shape, kept: Kept::new(RESPONSES, item) })
}

fn read_content(content: Json, place: &str) -> Result<(Vec<Part>, Shape), Malformed> {
    match content {
        Json::Text(text) => Ok((vec![Part::text(text)], Shape::Short)),
        Json::List(parts) => {
            let parts = parts.into_iter().enumerate().map(|(at, part)| match part {
                Json::Object(part) => Ok(read_part(part)),
                _ => Err(Malformed::new(format!("{place}[{at}]"), "is not an object; send {\"type\": ...}")),
            });
            Ok((parts.collect::<Result<_, _>>()?, Shape::List))
        }
        _ => Err(Malformed::new(place, "is neither a text nor a list of parts")),
    }
}

fn read_part(mut part: Object) -> Part {
    let content = match part.text("type") {
        Some("input_text" | "output_text" | "text") => part.take_text("text").map(Content::Text),
        Some("refusal") => part.take_text("refusal").map(Content::Refusal),
        Some("input_image") => read_source(&mut part, "image_url", None).map(|source| {
            let detail = part.take_text("detail");
            Content::Image(Image { source, detail })
        }),
        Some("input_file") => read_source(&mut part, "file_url", Some("file_data")).map(|source| {
            let name = part.take_text("filename");
            Content::File(File { source, name })
        }),
        _ => None,
    };
    let Some(content) = content else {
        return Part::new(Content::Other(RESPONSES, part));
    };
    part.take("type");
    Part { content, cache: None, kept: Kept::new(RESPONSES, part) }
}

fn read_source(part: &mut Object, url: &str, data: Option<&str>) -> Option<Source> {
    if let Some(data) = data.and_then(|key| part.take_text(key)) {
        return Some(match source_of_url(data) {
            Source::Url(data) => Source::Data { media_type: String::new(), data },
            source => source,
        });
    }
    let by_url = part.take_text(url).map(source_of_url);
    by_url.or_else(|| part.take_text("file_id").map(|id| Source::Id(Dialect::OpenAi, id)))
}

fn read_call(mut item: Object, place: &str) -> Result<Part, Malformed> {
    let mut text = |key: &'static str| {
        let missing = || Malformed::new(format!("{place}.{key}"), "send it as a text");
        item.take_text(key).ok_or_else(missing)
    };
    let call = ToolCall { id: text("call_id")?, name: text("name")?, arguments: text("arguments")? };
    item.take("type");
    Ok(Part { content: Content::ToolCall(call), cache: None, kept: Kept::new(RESPONSES, item) })
}

fn read_thought(mut item: Object) -> Part {
    let texts = |list: Option<Vec<Json>>| -> String {
        let list = list.unwrap_or_default();
        list.iter().filter_map(|text| text.as_object()?.text("text")).collect()
    };
    let summary = texts(item.take_list("summary"));
    let full = texts(item.take_list("content"));
    let text = if full.is_empty() { summary } else { full };
    // Only what we handed out ourselves is another provider's signature.
    let is_ours = item.text("id").is_some_and(|id| id.starts_with(OUR_THOUGHT));
    let secret = item.take_text("encrypted_content").filter(|_| is_ours);
    let thought = match secret {
        Some(sealed) if text.is_empty() => Thought { sealed: Some(sealed), ..Thought::default() },
        signature => Thought { text, signature, sealed: None },
    };
    item.take("type");
    Part { content: Content::Thought(thought), cache: None, kept: Kept::new(RESPONSES, item) }
}

fn read_tool(tool: Json, at: usize) -> Result<Tool, Malformed> {
    let Json::Object(mut tool) = tool else {
        return Err(Malformed::new(
            format!("tools[{at}]"),
            "is not an object; send {\"type\": \"function\", ...}",
        ));
    };
    if tool.text("type") != Some("function") || tool.text("name").is_none() {
        return Ok(Tool::Other(RESPONSES, tool));
    }
    tool.take("type");
    Ok(Tool::Function(Function {
        name: tool.take_text("name").unwrap_or_default(),
        description: tool.take_text("description"),
        schema: tool.take_object("parameters").map(Json::Object),
        strict: tool.take_bool("strict"),
        cache: None,
        kept: Kept::new(RESPONSES, tool),
    }))
}

fn read_tool_choice(body: &mut Object) -> Option<ToolChoice> {
    let name = |tool: &Object| {
        (tool.text("type") == Some("function")).then(|| tool.text("name").map(str::to_owned)).flatten()
    };
    body.take_if("tool_choice", |choice| {
        let read = match &choice {
            Json::Text(word) => match word.as_str() {
                "auto" => Some(ToolChoice::Auto),
                "none" => Some(ToolChoice::None),
                "required" => Some(ToolChoice::Required),
                _ => None,
            },
            Json::Object(object) if object.text("type") == Some("allowed_tools") => {
                let tools = object.get("tools").and_then(Json::as_list).unwrap_or_default();
                let names: Option<Vec<String>> = tools.iter().map(|tool| name(tool.as_object()?)).collect();
                let required = object.text("mode") == Some("required");
                names.map(|names| ToolChoice::Allowed { names, required })
            }
            Json::Object(object) => name(object).map(ToolChoice::Named),
            _ => None,
        };
        read.ok_or(choice)
    })
}

fn read_format(text: &mut Object) -> Option<Format> {
    let mut format = text.take_object("format")?;
    let read = match format.text("type") {
        Some("text") => Some(Format::Text),
        Some("json_object") => Some(Format::Json),
        Some("json_schema") => Some(Format::Schema {
            name: format.take_text("name"),
            description: format.take_text("description"),
            schema: format.take_object("schema").map(Json::Object),
            strict: format.take_bool("strict"),
        }),
        _ => None,
    };
    if read.is_some() {
        format.take("type");
        text.give_back("format", format);
    } else {
        text.set("format", format);
    }
    read
}
