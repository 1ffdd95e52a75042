//! A whole answer of messages.

use super::read::read_content;
use super::thinking::ANTHROPIC;
use super::write::write_block;
use crate::answer::{Answer, Choice, Finish, Usage};
use crate::form::{Content, Kept, Malformed, Part, Shape};
use crate::json::{Json, Object};
use crate::loss::Losses;

/// Reads a whole answer.
///
/// # Errors
/// [`Malformed`] for what is no answer: no JSON, no list of blocks.
pub fn read_answer(body: &[u8]) -> Result<Answer, Malformed> {
    let Ok(Json::Object(mut body)) = Json::parse(body) else {
        return Err(Malformed::new("", "the answer is not a JSON object"));
    };
    let content =
        body.take_list("content").ok_or(Malformed::new("content", "the answer has no list of blocks"))?;
    let (mut parts, _) = read_content(Json::List(content), "content")?;
    let finish = body.text("stop_reason").map(read_finish);
    parts.extend(explanation(&body));
    let choice = Choice {
        index: 0,
        parts,
        shape: Shape::List,
        finish,
        stop_text: body.take_text("stop_sequence"),
        logprobs: None,
        kept: Kept::new(ANTHROPIC, Object::default()),
    };
    Ok(Answer {
        id: body.take_text("id"),
        model: body.take_text("model"),
        created: None,
        choices: vec![choice],
        usage: body.take_object("usage").map(read_usage),
        kept: Kept::new(ANTHROPIC, body),
    })
}

/// Why the provider declined, which it says beside the content. It stays there too.
fn explanation(body: &Object) -> Option<Part> {
    let details = body.get("stop_details")?.as_object()?;
    let text = details.text("explanation")?.to_owned();
    let kept = Kept::new(ANTHROPIC, Object::default().with("type", "refusal"));
    Some(Part { content: Content::Refusal(text), cache: None, kept })
}

/// The reason stays where it stood: another dialect's word may be coarser.
pub(super) fn read_finish(reason: &str) -> Finish {
    match reason {
        "end_turn" => Finish::Stop,
        "max_tokens" => Finish::Length,
        "stop_sequence" => Finish::StopText,
        "tool_use" => Finish::Tools,
        "refusal" => Finish::Filter,
        "pause_turn" => Finish::Paused,
        "model_context_window_exceeded" => Finish::Full,
        _ => Finish::Other,
    }
}

pub(super) fn write_finish(finish: Option<Finish>, has_calls: bool, has_refusal: bool) -> &'static str {
    match finish {
        Some(Finish::Length) => "max_tokens",
        Some(Finish::Full) => "model_context_window_exceeded",
        Some(Finish::Paused) => "pause_turn",
        Some(Finish::Filter) => "refusal",
        Some(Finish::Tools) => "tool_use",
        // Some providers of OpenAI's dialect say "stop" whatever they did.
        _ if has_calls => "tool_use",
        _ if has_refusal => "refusal",
        Some(Finish::StopText) => "stop_sequence",
        _ => "end_turn",
    }
}

pub(super) fn read_usage(mut usage: Object) -> Usage {
    let fresh = usage.take_u64("input_tokens").unwrap_or_default();
    let cached = usage.take_u64("cache_read_input_tokens");
    let cache_written = usage.take_u64("cache_creation_input_tokens");
    let output = usage.take_u64("output_tokens").unwrap_or_default();
    let mut details = usage.take_object("output_tokens_details");
    let reasoning = details.as_mut().and_then(|details| details.take_u64("thinking_tokens"));
    usage.set_some("output_tokens_details", details);
    let input =
        fresh.saturating_add(cached.unwrap_or_default()).saturating_add(cache_written.unwrap_or_default());
    Usage { input, cached, cache_written, output, reasoning, kept: Kept::new(ANTHROPIC, usage) }
}

pub(super) fn write_usage(usage: &Usage, losses: &mut Losses) -> Object {
    let apart = usage.cached.unwrap_or_default().saturating_add(usage.cache_written.unwrap_or_default());
    let mut object = Object::default().with("input_tokens", usage.input.saturating_sub(apart));
    object.set_some("cache_creation_input_tokens", usage.cache_written);
    object.set_some("cache_read_input_tokens", usage.cached);
    object.set("output_tokens", usage.output);
    if let Some(reasoning) = usage.reasoning {
        object.set("output_tokens_details", Object::default().with("thinking_tokens", reasoning));
    }
    usage.kept.fill(&mut object, ANTHROPIC);
    losses.of_kept(&usage.kept, ANTHROPIC, "usage");
    object
}

/// Writes a whole answer, and lists what it could not say.
pub fn write_answer(answer: &Answer) -> (Object, Losses) {
    let mut losses = Losses::default();
    let is_own = answer.kept.is_of(ANTHROPIC);
    let mut body = Object::default();
    body.set_some("id", answer.id.as_deref().or((!is_own).then_some("msg_unknown")));
    if !is_own {
        body.set("type", "message");
        body.set("role", "assistant");
    }
    body.set_some("model", answer.model.as_deref().or((!is_own).then_some("unknown")));
    for choice in answer.choices.iter().skip(1) {
        losses.grave(format!("choices[{}]", choice.index), "an answer is one there");
    }
    let none = Choice::default();
    let choice = answer.choices.first().unwrap_or(&none);
    if choice.logprobs.is_some() {
        losses.grave("choices[0].logprobs", "the dialect has no such thing");
    }
    let blocks = choice.parts.iter().enumerate().filter_map(|(at, part)| {
        let block = write_answer_block(part, &format!("content[{at}]"), &mut losses)?;
        Some(Json::Object(block))
    });
    body.set("content", blocks.collect::<Vec<_>>());
    if is_own {
        body.set_some("stop_sequence", choice.stop_text.as_deref());
    } else {
        let has = |is_it: fn(&Content) -> bool| choice.parts.iter().any(|part| is_it(&part.content));
        let has_calls = has(|content| matches!(content, Content::ToolCall(_)));
        let has_refusal = has(|content| matches!(content, Content::Refusal(_)));
        body.set("stop_reason", write_finish(choice.finish, has_calls, has_refusal));
        body.set("stop_sequence", choice.stop_text.as_deref().map_or(Json::Null, Json::from));
        losses.of_kept(&choice.kept, ANTHROPIC, "choices[0]");
    }
    match &answer.usage {
        Some(usage) => body.set("usage", write_usage(usage, &mut losses)),
        None if !is_own => {
            losses.slight("usage", "the provider did not say what was used; 0 stands for it");
            body.set("usage", Object::default().with("input_tokens", 0).with("output_tokens", 0));
        }
        None => {}
    }
    answer.kept.fill(&mut body, ANTHROPIC);
    losses.of_kept(&answer.kept, ANTHROPIC, "");
    (body, losses)
}

fn write_answer_block(part: &Part, place: &str, losses: &mut Losses) -> Option<Object> {
    match &part.content {
        // It stands in stop_details.
        Content::Refusal(_) if part.kept.is_of(ANTHROPIC) => None,
        Content::Thought(thought) if !part.kept.is_of(ANTHROPIC) && thought.sealed.is_none() => {
            losses.of_kept(&part.kept, ANTHROPIC, place);
            let block = Object::default().with("type", "thinking").with("thinking", thought.text.as_str());
            // Clients demand one.
            Some(block.with("signature", thought.signature.as_deref().unwrap_or_default()))
        }
        _ => write_block(part, place, losses),
    }
}
