//! What OpenAI, Anthropic and Gemini call the same thing: requests, answers, streams and errors, translated.
//!
//! One pair of functions per dialect, over one small form:
//!
//! ```text
//!              read_request            write_request
//! a caller's body ──────► Request ──────► a provider's body
//! a caller's answer ◄──── Answer ◄─────── a provider's answer
//!              write_answer            read_answer
//! ```
//!
//! Why not a table of all pairs, or one of the crates with types for all providers: those lose fields (a second choice,
//! log-probabilities, a signature of a thought, a mark of the cache) and do not say so. Here
//!
//! - what the form has no word for stays beside it ([`Kept`]), and back in its own dialect it is there again;
//! - what the other dialect cannot say is listed ([`Losses`]): the place and the reason, never what stood there. The
//!   caller of this crate can refuse, or say so in a header;
//! - the order of keys stays, also within schemas and arguments ([`Json`]).
//!
//! A server's door for a dialect is `read_request` (with [`Request::is_stream`]), the request on its way in chat
//! completions (`openai::write_request`, or `kalibr_upstream::ChatRequest::translated`, which keeps the caller's words),
//! `openai::read_answer` with the dialect's `write_answer`, for streams `openai::StreamReader` with the dialect's
//! `StreamWriter`, and for errors an [`ApiError`] (of the gateway's own making, or by `openai::read_error`) with the
//! dialect's `write_error`; Responses has the errors of chat completions.
//!
//! Pure: no I/O, no clock, no randomness. No input makes it panic.
//!
//! An Anthropic client in front of an OpenAI provider:
//!
//! ```
//! use kalibr_dialects::{anthropic, openai};
//!
//! let body = br#"{"model": "gpt-4o", "max_tokens": 100, "top_k": 5, "system": "Be brief.",
//!     "messages": [{"role": "user", "content": "2+2"}], "container": "c1"}"#;
//! let request = anthropic::read_request(body).unwrap();
//! assert!(!request.is_stream());
//! let (sent, losses) = openai::write_request(&request);
//! assert_eq!(
//!     sent.to_string(),
//!     r#"{"model":"gpt-4o","messages":[{"role":"system","content":"Be brief."},{"role":"user","content":"2+2"}],"max_completion_tokens":100}"#
//! );
//! assert_eq!(losses.summary(), "top_k, container");
//!
//! let answer = br#"{"id": "chatcmpl-1", "model": "gpt-4o", "choices": [{"index": 0, "finish_reason": "stop",
//!     "message": {"role": "assistant", "content": "4"}}], "usage": {"prompt_tokens": 9, "completion_tokens": 1}}"#;
//! let (said, _) = anthropic::write_answer(&openai::read_answer(answer).unwrap());
//! assert_eq!(
//!     said.to_string(),
//!     r#"{"id":"chatcmpl-1","type":"message","role":"assistant","model":"gpt-4o","content":[{"type":"text","text":"4"}],"stop_reason":"end_turn","stop_sequence":null,"usage":{"input_tokens":9,"output_tokens":1}}"#
//! );
//! ```

mod answer;
pub mod anthropic;
mod event;
mod form;
pub mod gemini;
mod json;
mod loss;
pub mod openai;
pub mod responses;

pub use answer::{Answer, ApiError, Choice, ErrorKind, Finish, Usage};
pub use event::{Collector, Delta, Event, ReadStream, WriteStream};
pub use form::{
    Cache, Content, Dialect, Effort, File, Format, Function, Image, Kept, Malformed, Message, Part,
    Reasoning, Request, Role, Sampling, Shape, Source, Thinking, Thought, Tool, ToolCall, ToolChoice,
    ToolResult,
};
pub use json::{Json, Object};
pub use loss::{Loss, Losses};
