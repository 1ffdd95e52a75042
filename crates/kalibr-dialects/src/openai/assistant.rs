//! What an assistant says, in a request's history as in an answer: content, refusal, reasoning and tool calls are
//! fields beside each other, and their order among each other is not said.

use super::read::read_content;
use crate::form::{Content, Dialect, Kept, Malformed, Part, Shape, Thought, ToolCall};
use crate::gemini;
use crate::json::{Json, Object};
use crate::loss::Losses;

const OPENAI: Dialect = Dialect::OpenAi;

/// Reads the fields of an assistant's message around its content, in the order in which models produce them.
pub(super) fn read(message: &mut Object, content: Vec<Part>, shape: Shape) -> Vec<Part> {
    let mut parts = read_thoughts(message);
    parts.extend(content);
    // In a list of parts it is one of them, and a second one beside it stays as it is.
    if shape != Shape::List
        && let Some(refusal) = message.take_text("refusal")
    {
        parts.push(Part::new(Content::Refusal(refusal)));
    }
    parts.extend(read_calls(message));
    parts
}

/// As [`read`], the content included.
pub(super) fn read_all(message: &mut Object, place: &str) -> Result<(Vec<Part>, Shape), Malformed> {
    let (content, shape) = read_content(message, place)?;
    Ok((read(message, content, shape), shape))
}

fn read_thoughts(message: &mut Object) -> Vec<Part> {
    let details = message.take_if("reasoning_details", |details| match details {
        Json::List(list) if !list.is_empty() => {
            let thoughts: Option<Vec<Part>> = list.iter().map(read_detail).collect();
            thoughts.ok_or(Json::List(list))
        }
        other => Err(other),
    });
    if let Some(details) = details {
        return details;
    }
    let mut take = |key: &str| {
        let text = message.take_if(key, |value| match value {
            Json::Text(text) if !text.is_empty() => Ok(text),
            other => Err(other),
        });
        text.map(|text| Part::new(Content::Thought(Thought { text, ..Thought::default() })))
    };
    if let Some(part) = take("reasoning_content") {
        return vec![part];
    }
    // Which of the two it was is kept with it.
    let kept = || Kept::new(OPENAI, Object::default().with("reasoning", true));
    take("reasoning").map(|part| Part { kept: kept(), ..part }).into_iter().collect()
}

/// One of OpenRouter's `reasoning_details`. Its type stays with it: a plain text could be `reasoning_content` as well.
pub(super) fn read_detail(detail: &Json) -> Option<Part> {
    let mut rest = detail.as_object()?.clone();
    let thought = match rest.text("type")? {
        "reasoning.text" => Thought {
            text: rest.take_text("text").unwrap_or_default(),
            signature: rest.take_text("signature"),
            sealed: None,
        },
        "reasoning.encrypted" => Thought { sealed: Some(rest.take_text("data")?), ..Thought::default() },
        "reasoning.summary" => Thought { text: rest.take_text("summary")?, ..Thought::default() },
        _ => return None,
    };
    Some(Part { content: Content::Thought(thought), cache: None, kept: Kept::new(OPENAI, rest) })
}

/// All or none: a call that is not understood among others would be lost from between them.
fn read_calls(message: &mut Object) -> Vec<Part> {
    let calls = message.take_if("tool_calls", |calls| match calls {
        Json::List(list) if !list.is_empty() => {
            let read: Option<Vec<Part>> = list.iter().map(read_call).collect();
            read.ok_or(Json::List(list))
        }
        other => Err(other),
    });
    calls.unwrap_or_default()
}

fn read_call(call: &Json) -> Option<Part> {
    let mut rest = call.as_object()?.clone();
    if !matches!(rest.text("type"), None | Some("function")) {
        return None;
    }
    let mut function = rest.take_object("function")?;
    let name = function.take_text("name")?;
    let arguments = function.take_text("arguments")?;
    let id = rest.take_text("id").unwrap_or_default();
    rest.take("type");
    rest.give_back("function", function);
    let call = ToolCall { id, name, arguments };
    Some(Part { content: Content::ToolCall(call), cache: None, kept: Kept::new(OPENAI, rest) })
}

/// Writes an assistant's parts into its message.
pub(super) fn write(parts: &[Part], shape: Shape, message: &mut Object, losses: &mut Losses, place: &str) {
    let (mut said, mut thoughts, mut calls) = (Vec::new(), Vec::new(), Vec::new());
    let mut refusal: Option<String> = None;
    for (at, part) in parts.iter().enumerate() {
        let here = || format!("{place}.content[{at}]");
        match &part.content {
            Content::Text(_) => {
                if !calls.is_empty() {
                    losses.slight(
                        here(),
                        "a text after a tool call stands before it, as the provider's dialect has no order",
                    );
                }
                said.push((at, part));
            }
            Content::Refusal(text) if shape != Shape::List => refusal.get_or_insert_default().push_str(text),
            Content::Refusal(_) | Content::Other(OPENAI, _) => said.push((at, part)),
            Content::Thought(thought) => thoughts.push((thought, part)),
            Content::ToolCall(call) => calls.push(Json::Object(write_call(call, part, calls.len()))),
            Content::Image(_) | Content::Audio(_) | Content::File(_) if part.kept.is_of(OPENAI) => {
                said.push((at, part));
            }
            Content::Image(_)
            | Content::Audio(_)
            | Content::File(_)
            | Content::ToolResult(_)
            | Content::Other(..) => {
                losses.grave(here(), "the provider's dialect has no such part in an assistant's message");
            }
        }
    }
    super::write::write_content(&said, shape, message, losses, place);
    if let Some(refusal) = refusal {
        message.set("refusal", refusal);
    }
    write_thoughts(&thoughts, message);
    if !calls.is_empty() {
        message.set("tool_calls", calls);
    }
}

pub(super) fn write_call(call: &ToolCall, part: &Part, at: usize) -> Object {
    // A provider without ids tells its calls apart by their place.
    let id =
        if call.id.is_empty() && !part.kept.is_of(OPENAI) { format!("call_{at}") } else { call.id.clone() };
    let function = Object::default().with("name", call.name.as_str()).with(
        "arguments",
        if call.arguments.is_empty() && !part.kept.is_of(OPENAI) { "{}" } else { &call.arguments },
    );
    let mut object = Object::default().with("id", id).with("type", "function").with("function", function);
    object.set_some("extra_content", gemini::extra_content(part));
    part.kept.fill(&mut object, OPENAI);
    object
}

fn write_thoughts(thoughts: &[(&Thought, &Part)], message: &mut Object) {
    if thoughts.is_empty() {
        return;
    }
    let text: String = thoughts.iter().map(|(thought, _)| thought.text.as_str()).collect();
    let is_detailed = |(thought, part): &(&Thought, &Part)| {
        thought.signature.is_some() || thought.sealed.is_some() || part.kept.get(OPENAI, "type").is_some()
    };
    let detailed = thoughts.iter().any(is_detailed) || thoughts.len() > 1;
    let came_detailed = thoughts.iter().any(|(_, part)| part.kept.get(OPENAI, "type").is_some());
    // Those who know details read them, all others the text; so both are said.
    if !text.is_empty() && !came_detailed {
        let is_short = thoughts.iter().any(|(_, part)| part.kept.get(OPENAI, "reasoning").is_some());
        message.set(if is_short { "reasoning" } else { "reasoning_content" }, text);
    }
    if detailed {
        let details =
            thoughts.iter().enumerate().map(|(at, (thought, part))| Json::Object(detail(thought, part, at)));
        message.set("reasoning_details", details.collect::<Vec<_>>());
    }
}

/// One of OpenRouter's `reasoning_details`.
pub(super) fn detail(thought: &Thought, part: &Part, at: usize) -> Object {
    let mut object = Object::default();
    match (&thought.sealed, part.kept.get(OPENAI, "type").and_then(Json::as_text)) {
        (Some(sealed), _) => {
            object.set("type", "reasoning.encrypted");
            object.set("data", sealed.as_str());
        }
        (None, Some("reasoning.summary")) => object.set("summary", thought.text.as_str()),
        (None, origin) => {
            object.set("type", "reasoning.text");
            // A text that is null stays so.
            if origin.is_none() || part.kept.get(OPENAI, "text").is_none() {
                object.set("text", thought.text.as_str());
            }
            object.set_some("signature", thought.signature.as_deref());
        }
    }
    if part.kept.is_of(OPENAI) {
        part.kept.fill(&mut object, OPENAI);
    } else {
        object.set("index", at as u64);
    }
    object
}
