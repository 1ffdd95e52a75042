//! A request for messages, read.

use super::take_cache;
use super::thinking::{ANTHROPIC, read_thinking};
use crate::form::{
    Content, Effort, File, Format, Function, Image, Kept, Malformed, Message, Part, Reasoning, Request, Role,
    Sampling, Shape, Source, Thought, Tool, ToolCall, ToolChoice, ToolResult,
};
use crate::json::{Json, Object};

/// Reads a request. Whether a stream is asked for is [`Request::is_stream`].
///
/// # Errors
/// [`Malformed`] for what is no such request: no JSON, no model, a message without a role.
pub fn read_request(body: &[u8]) -> Result<Request, Malformed> {
    match Json::parse(body) {
        Ok(Json::Object(object)) => read_request_object(object),
        Ok(_) => {
            let what = "the body is JSON but not an object; send {\"model\": ..., \"max_tokens\": ..., \"messages\": [...]}";
            Err(Malformed::new("", what))
        }
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
    let messages = listed.into_iter().enumerate().map(|(at, message)| read_message(message, at));
    let messages = messages.collect::<Result<Vec<_>, _>>()?;
    let mut system = Vec::new();
    if let Some(said) = body.take("system") {
        let (parts, shape) = read_content(said, "system")?;
        system.push(Message {
            role: Role::System,
            parts,
            shape,
            kept: Kept::new(ANTHROPIC, Object::default()),
        });
    }
    let tools = body.take_items("tools").unwrap_or_default().into_iter().enumerate();
    let tools = tools.map(|(at, tool)| read_tool(tool, at)).collect::<Result<_, _>>()?;
    let (tool_choice, parallel_tools) = read_tool_choice(&mut body);
    let (effort, format) = read_output(&mut body);
    Ok(Request {
        system,
        messages,
        tools,
        tool_choice,
        parallel_tools,
        sampling: Sampling {
            temperature: body.take_number("temperature"),
            top_p: body.take_number("top_p"),
            top_k: body.take_number("top_k"),
            ..Sampling::default()
        },
        max_tokens: body.take_u64("max_tokens"),
        stop: body.take_texts("stop_sequences").unwrap_or_default(),
        format,
        reasoning: Reasoning { effort, thinking: read_thinking(&mut body) },
        user: read_user(&mut body),
        stream: body.take_bool("stream"),
        cache: take_cache(&mut body),
        model,
        kept: Kept::new(ANTHROPIC, body),
        ..Request::default()
    })
}

fn read_user(body: &mut Object) -> Option<String> {
    let mut metadata = body.take_object("metadata")?;
    let user = metadata.take_text("user_id");
    if user.is_some() {
        body.give_back("metadata", metadata);
    } else {
        body.set("metadata", metadata);
    }
    user
}

fn read_output(body: &mut Object) -> (Option<Effort>, Option<Format>) {
    let Some(mut output) = body.take_object("output_config") else {
        return (None, None);
    };
    // It has no effort "none" and "minimal".
    let effort = output.take_if("effort", |word| {
        word.as_text().and_then(Effort::parse).filter(|effort| *effort >= Effort::Low).ok_or(word)
    });
    let format = output.take_if("format", |format| {
        let schema = format.as_object().filter(|f| f.len() == 2 && f.text("type") == Some("json_schema"));
        match schema.and_then(|f| f.get("schema")) {
            Some(schema @ Json::Object(_)) => {
                let schema = Some(schema.clone());
                Ok(Format::Schema { name: None, description: None, schema, strict: None })
            }
            _ => Err(format),
        }
    });
    if effort.is_some() || format.is_some() {
        body.give_back("output_config", output);
    } else {
        body.set("output_config", output);
    }
    (effort, format)
}

fn read_message(message: Json, at: usize) -> Result<Message, Malformed> {
    let place = format!("messages[{at}]");
    let Json::Object(mut message) = message else {
        return Err(Malformed::new(place, "is not an object; send {\"role\": ..., \"content\": ...}"));
    };
    let role = match message.text("role") {
        Some("user") => Role::User,
        Some("assistant") => Role::Assistant,
        Some("system") => Role::System,
        _ => {
            return Err(Malformed::new(
                format!("{place}.role"),
                "is one of \"user\", \"assistant\" and \"system\"",
            ));
        }
    };
    message.take("role");
    let place = format!("{place}.content");
    let content =
        message.take("content").ok_or(Malformed::new(&*place, "send a text or a list of blocks"))?;
    let (parts, shape) = read_content(content, &place)?;
    Ok(Message { role, parts, shape, kept: Kept::new(ANTHROPIC, message) })
}

pub(super) fn read_content(content: Json, place: &str) -> Result<(Vec<Part>, Shape), Malformed> {
    match content {
        Json::Text(text) => Ok((vec![Part::text(text)], Shape::Short)),
        Json::List(blocks) => {
            let blocks = blocks.into_iter().enumerate().map(|(at, block)| match block {
                Json::Object(block) => read_block(block, &format!("{place}[{at}]")),
                _ => Err(Malformed::new(format!("{place}[{at}]"), "is not an object; send {\"type\": ...}")),
            });
            Ok((blocks.collect::<Result<_, _>>()?, Shape::List))
        }
        _ => Err(Malformed::new(place, "is neither a text nor a list of blocks")),
    }
}

pub(super) fn read_block(mut block: Object, place: &str) -> Result<Part, Malformed> {
    let content = match block.text("type") {
        Some("text") => block.take_text("text").map(Content::Text),
        Some("image") => take_source(&mut block).map(|source| Content::Image(Image { source, detail: None })),
        Some("document") => {
            let source = take_source(&mut block);
            source.map(|source| Content::File(File { source, name: block.take_text("title") }))
        }
        Some("thinking") if block.text("thinking").is_some() => Some(Content::Thought(Thought {
            text: block.take_text("thinking").unwrap_or_default(),
            signature: block.take_text("signature"),
            sealed: None,
        })),
        Some("redacted_thinking") => {
            let sealed = block.take_text("data");
            sealed.map(|sealed| Content::Thought(Thought { sealed: Some(sealed), ..Thought::default() }))
        }
        Some("tool_use") => {
            if block.text("id").is_none() || block.text("name").is_none() {
                return Err(Malformed::new(place, "send the id and the name of the tool's call"));
            }
            let input = block.take_object("input");
            let input = input.ok_or_else(|| Malformed::new(format!("{place}.input"), "is not an object"))?;
            Some(Content::ToolCall(ToolCall {
                id: block.take_text("id").unwrap_or_default(),
                name: block.take_text("name").unwrap_or_default(),
                arguments: input.to_string(),
            }))
        }
        Some("tool_result") => {
            let missing = || {
                Malformed::new(format!("{place}.tool_use_id"), "send the id of the call that this answers")
            };
            let id = block.take_text("tool_use_id").ok_or_else(missing)?;
            let (parts, shape) = match block.take("content") {
                None => (Vec::new(), Shape::Absent),
                Some(content) => read_content(content, &format!("{place}.content"))?,
            };
            Some(Content::ToolResult(ToolResult { id, parts, shape, is_error: block.take_bool("is_error") }))
        }
        _ => None,
    };
    let Some(content) = content else {
        return Ok(Part::new(Content::Other(ANTHROPIC, block)));
    };
    block.take("type");
    Ok(Part { content, cache: take_cache(&mut block), kept: Kept::new(ANTHROPIC, block) })
}

fn take_source(block: &mut Object) -> Option<Source> {
    block.take_if("source", |value| {
        let read = value.as_object().and_then(|source| {
            let text = |key| source.text(key).map(str::to_owned);
            let (read, fields) = match source.text("type")? {
                "base64" => (Source::Data { media_type: text("media_type")?, data: text("data")? }, 3),
                "url" => (Source::Url(text("url")?), 2),
                "file" => (Source::Id(ANTHROPIC, text("file_id")?), 2),
                "text" if source.text("media_type")? == "text/plain" => (Source::Text(text("data")?), 3),
                _ => return None,
            };
            (source.len() == fields).then_some(read)
        });
        read.ok_or(value)
    })
}

fn read_tool(tool: Json, at: usize) -> Result<Tool, Malformed> {
    let Json::Object(mut tool) = tool else {
        return Err(Malformed::new(
            format!("tools[{at}]"),
            "is not an object; send {\"name\": ..., \"input_schema\": ...}",
        ));
    };
    // One with another type is run by the provider, or is the provider's own.
    let is_function =
        matches!(tool.get("type"), None | Some(Json::Null)) || tool.text("type") == Some("custom");
    if !is_function || tool.text("name").is_none() {
        return Ok(Tool::Other(ANTHROPIC, tool));
    }
    Ok(Tool::Function(Function {
        name: tool.take_text("name").unwrap_or_default(),
        description: tool.take_text("description"),
        schema: tool.take_object("input_schema").map(Json::Object),
        strict: tool.take_bool("strict"),
        cache: take_cache(&mut tool),
        kept: Kept::new(ANTHROPIC, tool),
    }))
}

fn read_tool_choice(body: &mut Object) -> (Option<ToolChoice>, Option<bool>) {
    let Some(mut choice) = body.take_object("tool_choice") else {
        return (None, None);
    };
    let read = match choice.text("type") {
        Some("auto") => Some(ToolChoice::Auto),
        Some("any") => Some(ToolChoice::Required),
        Some("none") => Some(ToolChoice::None),
        Some("tool") => choice.take_text("name").map(ToolChoice::Named),
        _ => None,
    };
    if read.is_none() {
        body.set("tool_choice", choice);
        return (None, None);
    }
    choice.take("type");
    let parallel = choice.take_bool("disable_parallel_tool_use").map(|disabled| !disabled);
    body.give_back("tool_choice", choice);
    (read, parallel)
}
