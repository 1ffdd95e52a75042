//! Anthropic's messages.
//!
//! Field names and types are those of the `anthropic` Python client, release 2.13; the sampling parameters, which that
//! release does not offer any more, are spoken to the models that take them.

mod answer;
mod error;
mod read;
mod stream;
mod thinking;
mod write;

pub use answer::{read_answer, write_answer};
pub use error::{read_error, write_error};
pub use read::{read_request, read_request_object};
pub use stream::{StreamReader, StreamWriter};
pub use write::write_request;

pub(crate) use thinking::{read_thinking, write_thinking};
pub(crate) use write::arguments;

use crate::form::Cache;
use crate::json::{Json, Object};

/// Fields whose loss changes no answer.
pub(crate) const HINTS: [&str; 18] = [
    "allowed_callers",
    "cache_control",
    "caller",
    "citations",
    "defer_loading",
    "diagnostics",
    "display",
    "eager_input_streaming",
    "inference_geo",
    "input_examples",
    "metadata",
    "service_tier",
    "speed",
    "stop_details",
    "title",
    "toolset_name",
    "user_profile_id",
    "workspace_id",
];

/// Second spellings of what the form holds as well: nothing is lost with them.
pub(crate) const ECHOES: [&str; 4] = ["type", "role", "stop_reason", "cache_creation"];

fn take_cache(object: &mut Object) -> Option<Cache> {
    object.take_if("cache_control", |mark| {
        let read =
            mark.as_object().filter(|mark| mark.text("type") == Some("ephemeral")).and_then(|object| {
                let ttl = object.text("ttl").map(str::to_owned);
                (object.len() == 1 + usize::from(ttl.is_some())).then_some(Cache { ttl })
            });
        read.ok_or(mark)
    })
}

fn write_cache(cache: &Cache) -> Json {
    let mut mark = Object::default().with("type", "ephemeral");
    mark.set_some("ttl", cache.ttl.as_deref());
    Json::Object(mark)
}
