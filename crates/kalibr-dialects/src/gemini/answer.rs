//! A whole answer of Gemini.

use crate::answer::{Answer, Choice, Finish, Usage};
use crate::form::{Content, Dialect, File, Image, Kept, Malformed, Part, Shape, Source, Thought, ToolCall};
use crate::json::{Json, Object};

const GEMINI: Dialect = Dialect::Gemini;

/// Reads a whole answer. A prompt that was blocked is an answer that says nothing and ended by a filter.
///
/// # Errors
/// [`Malformed`] for what is no answer: no JSON, neither a candidate nor a reason why there is none.
pub fn read_answer(body: &[u8]) -> Result<Answer, Malformed> {
    let Ok(Json::Object(mut body)) = Json::parse(body) else {
        return Err(Malformed::new("", "the answer is not a JSON object"));
    };
    let id = body.take_text("responseId");
    let mut choices = Vec::new();
    for (at, candidate) in body.take_items("candidates").unwrap_or_default().into_iter().enumerate() {
        let Json::Object(candidate) = candidate else {
            return Err(Malformed::new(format!("candidates[{at}]"), "is not an object"));
        };
        choices.push(read_candidate(candidate, at, id.as_deref()));
    }
    if choices.is_empty() {
        let finish = blocked(&body).ok_or(Malformed::new("candidates", "the answer has no candidates"))?;
        let parts = refusal(&body).into_iter().collect();
        choices.push(Choice { parts, finish: Some(finish), ..Choice::default() });
    }
    Ok(Answer {
        id,
        model: body.take_text("modelVersion"),
        created: None,
        choices,
        usage: read_usage(&mut body),
        kept: Kept::new(GEMINI, body),
    })
}

/// Whether the prompt was blocked.
pub(super) fn blocked(body: &Object) -> Option<Finish> {
    body.get("promptFeedback")?.as_object()?.get("blockReason").map(|_| Finish::Filter)
}

/// What the provider says of it.
pub(super) fn refusal(body: &Object) -> Option<Part> {
    let message = body.get("promptFeedback")?.as_object()?.text("blockReasonMessage")?;
    Some(Part::new(Content::Refusal(message.to_owned())))
}

fn read_candidate(mut candidate: Object, at: usize, id: Option<&str>) -> Choice {
    let mut content = candidate.take_object("content").unwrap_or_default();
    let mut calls = 0;
    let parts = content.take_list("parts").unwrap_or_default().into_iter().filter_map(|part| match part {
        Json::Object(part) => Some(read_part(part, id, &mut calls)),
        _ => None,
    });
    let parts: Vec<Part> = parts.collect();
    let finish = candidate.text("finishReason").map(|reason| read_finish(reason, calls > 0));
    Choice {
        index: candidate.take_u64("index").unwrap_or(at as u64),
        parts,
        shape: Shape::List,
        finish,
        stop_text: None,
        logprobs: candidate.take_object("logprobsResult").map(|result| logprobs(&result)),
        kept: Kept::new(GEMINI, candidate),
    }
}

/// Reads a part. Where a call has no id it is made of the answer's id and its own number, so that it differs from those
/// of other turns.
pub(super) fn read_part(mut part: Object, id: Option<&str>, calls: &mut u64) -> Part {
    let is_thought = part.take_bool("thought") == Some(true);
    let content = if let Some(text) = part.take_text("text") {
        if is_thought {
            Content::Thought(Thought { text, ..Thought::default() })
        } else {
            Content::Text(text)
        }
    } else if let Some(mut call) = part.take_object("functionCall") {
        let number = *calls;
        *calls += 1;
        let made = || format!("call_{}_{number}", id.unwrap_or("0"));
        let arguments = call.take_object("args").unwrap_or_default().to_string();
        Content::ToolCall(ToolCall {
            id: call.take_text("id").filter(|id| !id.is_empty()).unwrap_or_else(made),
            name: call.take_text("name").unwrap_or_default(),
            arguments,
        })
    } else if let Some(mut data) = part.take_object("inlineData") {
        let media_type = data.take_text("mimeType").unwrap_or_default();
        let is_image = media_type.starts_with("image/");
        let source = Source::Data { media_type, data: data.take_text("data").unwrap_or_default() };
        if is_image {
            Content::Image(Image { source, detail: None })
        } else {
            Content::File(File { source, name: data.take_text("displayName") })
        }
    } else {
        return Part::new(Content::Other(GEMINI, part));
    };
    Part { content, cache: None, kept: Kept::new(GEMINI, part) }
}

pub(super) fn read_finish(reason: &str, has_calls: bool) -> Finish {
    match reason {
        "STOP" if has_calls => Finish::Tools,
        "STOP" => Finish::Stop,
        "MAX_TOKENS" => Finish::Length,
        "SAFETY"
        | "RECITATION"
        | "BLOCKLIST"
        | "PROHIBITED_CONTENT"
        | "SPII"
        | "IMAGE_SAFETY"
        | "IMAGE_PROHIBITED_CONTENT"
        | "IMAGE_RECITATION"
        | "MODEL_ARMOR" => Finish::Filter,
        _ => Finish::Other,
    }
}

pub(super) fn read_usage(body: &mut Object) -> Option<Usage> {
    let mut usage = body.take_object("usageMetadata")?;
    let mut count = |key| usage.take_u64(key);
    let input = count("promptTokenCount").unwrap_or_default();
    let of_tools = count("toolUsePromptTokenCount").unwrap_or_default();
    let cached = count("cachedContentTokenCount");
    let said = count("candidatesTokenCount").unwrap_or_default();
    let reasoning = count("thoughtsTokenCount");
    Some(Usage {
        input: input.saturating_add(of_tools),
        cached,
        cache_written: None,
        output: said.saturating_add(reasoning.unwrap_or_default()),
        reasoning,
        kept: Kept::new(GEMINI, usage),
    })
}

/// The probabilities in OpenAI's form.
pub(super) fn logprobs(result: &Object) -> Json {
    let token = |candidate: &Json| {
        let candidate = candidate.as_object()?;
        let token = candidate.text("token")?;
        let bytes = token.bytes().map(|byte| Json::from(u64::from(byte))).collect::<Vec<_>>();
        let logprob = candidate.get("logProbability").cloned().unwrap_or_default();
        Some(Object::default().with("token", token).with("logprob", logprob).with("bytes", bytes))
    };
    let list = |key| result.get(key).and_then(Json::as_list).unwrap_or_default();
    let tops = list("topCandidates");
    let content = list("chosenCandidates").iter().enumerate().filter_map(|(at, chosen)| {
        let top =
            tops.get(at).and_then(|top| top.as_object()?.get("candidates")?.as_list()).unwrap_or_default();
        let top: Vec<Json> = top.iter().filter_map(token).map(Json::Object).collect();
        Some(Json::Object(token(chosen)?.with("top_logprobs", top)))
    });
    let content: Vec<Json> = content.collect();
    Json::Object(Object::default().with("content", content).with("refusal", Json::Null))
}
