//! OpenAI's chat completions, with the additions that other providers of the dialect agree on: `reasoning_content`
//! (DeepSeek, vLLM), `reasoning_details` with signatures (OpenRouter), `cache_control` on parts (OpenRouter, LiteLLM),
//! `top_k` and Anthropic's `thinking`, the text that ended an answer as `stop_reason` (vLLM), and a provider's own reason as
//! `native_finish_reason` (OpenRouter).
//!
//! Field names and types are those of the `openai` Python client, release 3.57.

mod answer;
mod assistant;
mod error;
mod read;
mod stream;
mod write;

pub use answer::{read_answer, write_answer};
pub use error::{read_error, write_error};
pub use read::{read_request, read_request_object};
pub use stream::{StreamReader, StreamWriter};
pub use write::write_request;

use crate::form::{Cache, Source};
use crate::json::{Json, Object};

/// Fields whose loss changes no answer.
pub(crate) const HINTS: [&str; 12] = [
    "annotations",
    "extra_content",
    "name",
    "prompt_cache_key",
    "prompt_cache_options",
    "prompt_cache_retention",
    "safety_identifier",
    "service_tier",
    "store",
    "stream_options",
    "system_fingerprint",
    "verbosity",
];

/// Second spellings of what the form holds as well: nothing is lost with them.
pub(crate) const ECHOES: [&str; 16] = [
    "cache_control",
    "prompt_cache_breakpoint",
    "reasoning",
    "reasoning_content",
    "stop",
    "max_tokens",
    "max_completion_tokens",
    "index",
    "type",
    "format",
    "object",
    "role",
    "total_tokens",
    "finish_reason",
    "native_finish_reason",
    "stop_reason",
];

/// A mark of the prompt cache, OpenAI's own or Anthropic's as others pass it on. It stays in the object: which of them
/// it was is only known there.
fn cache(object: &Object) -> Option<Cache> {
    let mark = object.get("prompt_cache_breakpoint").or_else(|| object.get("cache_control"))?.as_object()?;
    let known = mark.text("mode") == Some("explicit") || mark.text("type") == Some("ephemeral");
    known.then(|| Cache { ttl: mark.text("ttl").map(str::to_owned) })
}

/// `data:image/png;base64,...`; any other form of it is an address like any other.
pub(crate) fn source_of_url(url: String) -> Source {
    let read = |url: &str| {
        let (media_type, data) = url.strip_prefix("data:")?.split_once(";base64,")?;
        let plain = !media_type.is_empty() && !media_type.contains([';', ',']);
        plain.then(|| Source::Data { media_type: media_type.to_owned(), data: data.to_owned() })
    };
    read(&url).unwrap_or(Source::Url(url))
}

fn data_url(media_type: &str, data: &str) -> Json {
    Json::Text(format!("data:{media_type};base64,{data}"))
}
