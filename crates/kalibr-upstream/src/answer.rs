//! Whole answers, and the little that is read from an answer's JSON.

use bytes::Bytes;
use http::StatusCode;
use kalibr_dialects::{Dialect, Losses};
use serde::Deserialize;
use serde::de::IgnoredAny;
use serde_json::value::RawValue;

/// A whole answer of a provider.
#[derive(Clone, PartialEq, Eq)]
pub struct Answer {
    /// The provider's HTTP status, 200 to 299.
    pub status: u16,
    /// The content type as the provider named it.
    pub content_type: Option<String>,
    /// The body: a JSON object with at least one choice. Untouched, unless the provider has a dialect of its own.
    pub body: Bytes,
    /// What was used, if the provider said so.
    pub usage: Option<Usage>,
    /// What of the request and the answer a provider with a dialect of its own could not say.
    pub losses: Losses,
    /// The body as the provider sent it, where it has a dialect of its own: a caller of the same dialect reads it as it
    /// is.
    pub original: Option<(Dialect, Bytes)>,
}

/// The answer is the user's, so its text is not for logs.
impl std::fmt::Debug for Answer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Answer")
            .field("status", &self.status)
            .field("body_bytes", &self.body.len())
            .field("usage", &self.usage)
            .finish_non_exhaustive()
    }
}

/// Tokens as the provider counted them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
pub struct Usage {
    /// Tokens of the request.
    #[serde(default)]
    pub prompt_tokens: u64,
    /// Tokens of the answer, reasoning included where the provider includes it.
    #[serde(default)]
    pub completion_tokens: u64,
}

/// The fields of an answer, or of a chunk of a stream, that say what it is.
#[derive(Deserialize)]
pub(crate) struct Envelope<'a> {
    #[serde(borrow)]
    choices: Option<&'a RawValue>,
    #[serde(borrow)]
    usage: Option<&'a RawValue>,
    #[serde(borrow)]
    error: Option<&'a RawValue>,
}

/// A choice, for the one thing that a stream's end is told by.
#[derive(Deserialize)]
struct Choice {
    finish_reason: Option<IgnoredAny>,
}

impl<'a> Envelope<'a> {
    /// Reads a JSON object; `None` for anything else.
    pub(crate) fn parse(json: &'a [u8]) -> Option<Self> {
        // Derived structs are read from lists too.
        if json.trim_ascii_start().first() != Some(&b'{') {
            return None;
        }
        serde_json::from_slice(json).ok()
    }

    pub(crate) fn has_choices(&self) -> bool {
        let list = self.choices.and_then(|choices| choices.get().strip_prefix('['));
        list.is_some_and(|rest| !rest.trim_start().starts_with(']'))
    }

    /// Whether one of the choices is complete.
    pub(crate) fn is_finished(&self) -> bool {
        self.choices
            .and_then(|choices| serde_json::from_str::<Vec<Choice>>(choices.get()).ok())
            .is_some_and(|choices| choices.iter().any(|choice| choice.finish_reason.is_some()))
    }

    pub(crate) fn usage(&self) -> Option<Usage> {
        serde_json::from_str(self.usage?.get()).ok()
    }

    /// The status of an error that came in an answer with another status: its numeric code, or 500.
    pub(crate) fn error_status(&self) -> Option<StatusCode> {
        #[derive(Deserialize)]
        struct Code {
            code: Option<serde_json::Value>,
        }

        let code =
            serde_json::from_str::<Code>(self.error?.get()).ok().and_then(|error| error.code?.as_u64());
        let status = code
            .filter(|code| (400..600).contains(code))
            .and_then(|code| StatusCode::from_u16(code as u16).ok());
        Some(status.unwrap_or(StatusCode::INTERNAL_SERVER_ERROR))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_is_an_object_with_a_choice() {
        for (json, has_choices) in [
            (r#"{"choices":[{}]}"#, Some(true)),
            (r#"  {"choices": [ 1 ], "usage": "odd"}"#, Some(true)),
            (r#"{"choices":[ ]}"#, Some(false)),
            (r#"{"choices":null}"#, Some(false)),
            (r#"{"choices":{}}"#, Some(false)),
            ("{}", Some(false)),
            ("[[1],null,null]", None),
            ("<html>", None),
            (r#"{"choices":[{}"#, None),
            ("", None),
        ] {
            assert_eq!(Envelope::parse(json.as_bytes()).map(|e| e.has_choices()), has_choices, "{json}");
        }
    }

    #[test]
    fn usage_is_read_if_it_is_there_and_no_more_is_asked_of_it() {
        let usage = |json: &str| Envelope::parse(json.as_bytes()).unwrap().usage();
        let read = Usage { prompt_tokens: 3, completion_tokens: 4 };
        assert_eq!(usage(r#"{"usage":{"prompt_tokens":3,"completion_tokens":4,"x":{}}}"#), Some(read));
        assert_eq!(usage(r#"{"usage":{"prompt_tokens":3}}"#), Some(Usage { completion_tokens: 0, ..read }));
        assert_eq!(usage(r#"{"usage":null}"#), None);
        assert_eq!(usage(r#"{"usage":{"prompt_tokens":-3}}"#), None);
    }

    #[test]
    fn an_error_in_an_answer_has_the_status_that_its_code_names() {
        let status =
            |json: &str| Envelope::parse(json.as_bytes()).unwrap().error_status().map(|s| s.as_u16());
        assert_eq!(status(r#"{"error":{"code":429}}"#), Some(429));
        assert_eq!(status(r#"{"error":{"code":"x"}}"#), Some(500));
        assert_eq!(status(r#"{"error":"text"}"#), Some(500));
        assert_eq!(status(r#"{"error":null,"choices":[]}"#), None);
    }
}
