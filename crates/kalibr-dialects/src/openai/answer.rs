//! A whole answer of chat completions.

use super::assistant;
use crate::answer::{Answer, Choice, Finish, Usage};
use crate::form::{Content, Dialect, Kept, Malformed, Part, Shape};
use crate::json::{Json, Object};
use crate::loss::Losses;

const OPENAI: Dialect = Dialect::OpenAi;

/// Reads a whole answer.
///
/// # Errors
/// [`Malformed`] for what is no answer: no JSON, no choices, a choice without a message.
pub fn read_answer(body: &[u8]) -> Result<Answer, Malformed> {
    let Ok(Json::Object(mut body)) = Json::parse(body) else {
        return Err(Malformed::new("", "the answer is not a JSON object"));
    };
    let choices = body.take_items("choices").ok_or(Malformed::new("choices", "the answer has no choices"))?;
    let choices = choices.into_iter().enumerate().map(|(at, choice)| read_choice(choice, at));
    Ok(Answer {
        choices: choices.collect::<Result<_, _>>()?,
        id: body.take_text("id"),
        model: body.take_text("model"),
        created: body.take_u64("created"),
        usage: read_usage(&mut body),
        kept: Kept::new(OPENAI, body),
    })
}

fn read_choice(choice: Json, at: usize) -> Result<Choice, Malformed> {
    let place = format!("choices[{at}]");
    let Json::Object(mut choice) = choice else {
        return Err(Malformed::new(place, "is not an object"));
    };
    let place = format!("{place}.message");
    let mut message =
        choice.take_object("message").ok_or_else(|| Malformed::new(&*place, "is not an object"))?;
    let (parts, shape) = assistant::read_all(&mut message, &place)?;
    choice.give_back("message", message);
    let (finish, stop_text) = read_finish(&choice);
    Ok(Choice {
        index: choice.take_u64("index").unwrap_or(at as u64),
        parts,
        shape,
        finish,
        stop_text,
        logprobs: choice.take_object("logprobs").map(Json::Object),
        kept: Kept::new(OPENAI, choice),
    })
}

/// Why a choice ended, and the text that ended it. Beside OpenAI's word there may be the text (`stop_reason`, as vLLM has
/// it) and the provider's own word (`native_finish_reason`, as OpenRouter has it). All stay where they stood: another
/// dialect's words may be coarser.
pub(super) fn read_finish(choice: &Object) -> (Option<Finish>, Option<String>) {
    let finish = match choice.text("finish_reason") {
        None => return (None, None),
        Some("stop") => Finish::Stop,
        Some("length") => Finish::Length,
        Some("tool_calls") => Finish::Tools,
        Some("content_filter") => Finish::Filter,
        Some(_) => Finish::Other,
    };
    match (choice.text("native_finish_reason"), choice.text("stop_reason")) {
        (Some(PAUSED), _) => (Some(Finish::Paused), None),
        (Some(FULL), _) => (Some(Finish::Full), None),
        (_, Some(text)) if finish == Finish::Stop => (Some(Finish::StopText), Some(text.to_owned())),
        _ => (Some(finish), None),
    }
}

/// Says why a choice ended.
pub(super) fn say_finish(
    choice: &mut Object,
    finish: Option<Finish>,
    stop_text: Option<&str>,
    has_calls: bool,
) {
    choice.set("finish_reason", write_finish(finish, has_calls));
    match finish {
        Some(Finish::Paused) => choice.set("native_finish_reason", PAUSED),
        Some(Finish::Full) => choice.set("native_finish_reason", FULL),
        _ => choice.set_some("stop_reason", stop_text),
    }
}

const PAUSED: &str = "pause_turn";
const FULL: &str = "model_context_window_exceeded";

fn write_finish(finish: Option<Finish>, has_calls: bool) -> &'static str {
    match finish {
        Some(Finish::Length | Finish::Full) => "length",
        Some(Finish::Filter) => "content_filter",
        Some(Finish::Tools) => "tool_calls",
        _ if has_calls => "tool_calls",
        _ => "stop",
    }
}

pub(super) fn read_usage(body: &mut Object) -> Option<Usage> {
    let mut usage = body.take_if("usage", |usage| match usage {
        Json::Object(object) if object.get("prompt_tokens").is_some_and(|n| n.as_u64().is_some()) => {
            Ok(object)
        }
        other => Err(other),
    })?;
    let input = usage.take_u64("prompt_tokens").unwrap_or_default();
    let output = usage.take_u64("completion_tokens");
    let mut prompt = usage.take_object("prompt_tokens_details");
    let mut completion = usage.take_object("completion_tokens_details");
    let cached = prompt.as_mut().and_then(|details| details.take_u64("cached_tokens"));
    let cache_written = prompt.as_mut().and_then(|details| details.take_u64("cache_write_tokens"));
    let reasoning = completion.as_mut().and_then(|details| details.take_u64("reasoning_tokens"));
    // Empty or not: that they were there is kept as well.
    for (key, rest) in [("prompt_tokens_details", prompt), ("completion_tokens_details", completion)] {
        usage.set_some(key, rest);
    }
    Some(Usage {
        input,
        cached,
        cache_written,
        output: output.unwrap_or_default(),
        reasoning,
        kept: Kept::new(OPENAI, usage),
    })
}

pub(super) fn write_usage(usage: &Usage, losses: &mut Losses) -> Object {
    let mut object =
        Object::default().with("prompt_tokens", usage.input).with("completion_tokens", usage.output);
    if !usage.kept.is_of(OPENAI) {
        object.set("total_tokens", usage.input.saturating_add(usage.output));
    }
    let mut prompt = Object::default();
    prompt.set_some("cached_tokens", usage.cached);
    prompt.set_some("cache_write_tokens", usage.cache_written);
    let mut completion = Object::default();
    completion.set_some("reasoning_tokens", usage.reasoning);
    for (key, details) in [("prompt_tokens_details", prompt), ("completion_tokens_details", completion)] {
        if !details.is_empty() {
            object.set(key, details);
        }
    }
    usage.kept.fill(&mut object, OPENAI);
    losses.of_kept(&usage.kept, OPENAI, "usage");
    object
}

/// Writes a whole answer, and lists what it could not say. `created` is the time in seconds of Unix time, for answers
/// that do not say it.
pub fn write_answer(answer: &Answer, created: u64) -> (Object, Losses) {
    let mut losses = Losses::default();
    let is_own = answer.kept.is_of(OPENAI);
    let mut body = Object::default();
    body.set_some("id", answer.id.as_deref().or((!is_own).then_some("chatcmpl-unknown")));
    if !is_own {
        body.set("object", "chat.completion");
    }
    body.set_some("created", answer.created.or((!is_own).then_some(created)));
    body.set_some("model", answer.model.as_deref().or((!is_own).then_some("unknown")));
    let choices = answer.choices.iter().map(|choice| Json::Object(write_choice(choice, &mut losses)));
    body.set("choices", choices.collect::<Vec<_>>());
    body.set_some("usage", answer.usage.as_ref().map(|usage| write_usage(usage, &mut losses)));
    answer.kept.fill(&mut body, OPENAI);
    losses.of_kept(&answer.kept, OPENAI, "");
    (body, losses)
}

fn write_choice(choice: &Choice, losses: &mut Losses) -> Object {
    let place = format!("choices[{}]", choice.index);
    let is_own = choice.kept.is_of(OPENAI);
    let mut message = Object::default();
    if is_own {
        assistant::write(&choice.parts, choice.shape, &mut message, losses, &place);
    } else {
        message.set("role", "assistant");
        assistant::write(&joined(&choice.parts), Shape::Short, &mut message, losses, &place);
    }
    let mut object = Object::default().with("index", choice.index).with("message", message);
    if is_own {
        object.set_some("logprobs", choice.logprobs.clone());
    } else {
        object.set("logprobs", choice.logprobs.clone().unwrap_or_default());
        let has_calls = choice.parts.iter().any(|part| matches!(part.content, Content::ToolCall(_)));
        if choice.finish == Some(Finish::Other) {
            losses.slight(format!("{place}.finish_reason"), "the provider's reason has no word there");
        }
        say_finish(&mut object, choice.finish, choice.stop_text.as_deref(), has_calls);
    }
    choice.kept.fill(&mut object, OPENAI);
    losses.of_kept(&choice.kept, OPENAI, &place);
    object
}

/// The parts with all texts in one, as an answer has them here.
fn joined(parts: &[Part]) -> Vec<Part> {
    let text = |part: &Part| matches!(part.content, Content::Text(_));
    if parts.iter().filter(|part| text(part)).count() < 2 {
        return parts.to_vec();
    }
    let mut out: Vec<Part> = Vec::with_capacity(parts.len());
    for part in parts {
        match (&part.content, out.iter_mut().find(|part| text(part))) {
            (Content::Text(more), Some(Part { content: Content::Text(first), .. })) => first.push_str(more),
            _ => out.push(part.clone()),
        }
    }
    out
}
