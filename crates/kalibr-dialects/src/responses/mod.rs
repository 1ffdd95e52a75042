//! OpenAI's Responses, as a caller's dialect: requests are read, answers and streams written. Its errors are those of
//! chat completions.
//!
//! Conversations that a provider keeps (`previous_response_id`, `conversation`, `prompt`, `item_reference`) are refused:
//! without their words the model would answer something else. So is `background`, which promises an answer later.
//!
//! A thought that was signed, or that only its provider can read, goes to the caller as a reasoning item with
//! `encrypted_content`, and is known again by its id when the caller sends it back. Those of OpenAI's own models are
//! for OpenAI alone.
//!
//! Field names and types are those of the `openai` Python client, release 3.57.

mod answer;
mod read;
mod stream;

pub use answer::{Settings, write_answer};
pub use read::{read_request, read_request_object};
pub use stream::StreamWriter;

/// What the ids of our reasoning items begin with.
const OUR_THOUGHT: &str = "rs_kalibr_";

/// Fields whose loss changes no answer.
pub(crate) const HINTS: [&str; 16] = [
    "annotations",
    "detail",
    "include",
    "max_tool_calls",
    "name",
    "namespace",
    "phase",
    "prompt_cache_key",
    "prompt_cache_options",
    "prompt_cache_retention",
    "safety_identifier",
    "service_tier",
    "store",
    "stream_options",
    "summary",
    "verbosity",
];

/// Second spellings of what the form holds as well: nothing is lost with them.
pub(crate) const ECHOES: [&str; 6] =
    ["background", "id", "logprobs", "prompt_cache_breakpoint", "status", "truncation"];
