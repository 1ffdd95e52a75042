//! Google's Gemini, as a provider: requests are written, answers, streams and errors read.
//!
//! The model and whether a stream is wanted are in the address (`models/{model}:generateContent`,
//! `models/{model}:streamGenerateContent?alt=sse`), not in the body. Field names and types are those of the
//! `google-genai` Python client, release 3.6.

mod answer;
mod error;
mod stream;
mod write;

pub use answer::read_answer;
pub use error::read_error;
pub use stream::StreamReader;
pub use write::write_request;

use crate::form::{Dialect, Part};
use crate::json::{Json, Object};

/// Fields whose loss changes no answer.
pub(crate) const HINTS: [&str; 10] = [
    "avgLogprobs",
    "citationMetadata",
    "createTime",
    "finishMessage",
    "groundingMetadata",
    "modelStatus",
    "promptFeedback",
    "safetyRatings",
    "tokenCount",
    "urlContextMetadata",
];

/// Second spellings of what the form holds as well: nothing is lost with them.
pub(crate) const ECHOES: [&str; 3] = ["thoughtSignature", "finishReason", "totalTokenCount"];

/// The signature that Gemini wants back with a call, as it is carried in the dialect that the call was read from.
pub(crate) fn signature(part: &Part) -> Option<&str> {
    let extra = || {
        let extra = part.kept.get(Dialect::OpenAi, "extra_content")?.as_object()?;
        extra.get("google")?.as_object()?.text("thought_signature")
    };
    part.kept.get(Dialect::Gemini, "thoughtSignature").and_then(Json::as_text).or_else(extra)
}

/// The signature as Google's own layer for OpenAI's clients hands it out and wants it back.
pub(crate) fn extra_content(part: &Part) -> Option<Object> {
    let signature = part.kept.get(Dialect::Gemini, "thoughtSignature")?.as_text()?;
    let google = Object::default().with("thought_signature", signature);
    Some(Object::default().with("google", google))
}
