//! What a translation cannot carry over, said aloud.

use std::fmt;

use crate::form::{Dialect, Kept};
use crate::json::{Json, Object};
use crate::{anthropic, gemini, openai, responses};

/// Longest name of a field in a list of losses.
const LONGEST_NAME: usize = 64;

/// The most losses that are listed one by one: a request may have thousands of parts with the same oddity.
const MOST: usize = 64;

/// One thing that the other dialect has no word for. Names the place and the reason and never what stood there, so that
/// it can go into a header or a log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Loss {
    /// Where it stood, as in `messages[2].content[0].citations`.
    pub field: String,
    /// Why it is not there any more, or what stands there instead.
    pub why: &'static str,
    /// Whether the answer may be another for it: an image that is left out is; a hint about caching is not.
    pub is_grave: bool,
}

impl fmt::Display for Loss {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.field, self.why)
    }
}

/// The losses of one translation.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Losses {
    listed: Vec<Loss>,
    more: usize,
    has_grave: bool,
}

impl Losses {
    /// Whether nothing was lost.
    pub fn is_empty(&self) -> bool {
        self.listed.is_empty()
    }

    /// Whether something was lost that the answer may depend on.
    pub fn has_grave(&self) -> bool {
        self.has_grave
    }

    /// The first 64 of them.
    pub fn listed(&self) -> &[Loss] {
        &self.listed
    }

    /// How many there are beyond those listed.
    pub fn more(&self) -> usize {
        self.more
    }

    /// Adds the losses of another translation, as of the answer to those of its request.
    pub fn join(&mut self, other: Self) {
        self.more += other.more;
        other.listed.into_iter().for_each(|loss| self.push(loss));
        self.has_grave |= other.has_grave;
    }

    /// The places alone, separated by commas: plain ASCII, short enough for a header.
    pub fn summary(&self) -> String {
        const LONGEST: usize = 1024;
        let mut text = String::new();
        let mut left = self.more;
        for loss in &self.listed {
            if text.len() + loss.field.len() > LONGEST {
                left += 1;
                continue;
            }
            if !text.is_empty() {
                text.push_str(", ");
            }
            text.push_str(&loss.field);
        }
        if left > 0 {
            text.push_str(&format!(" and {left} more"));
        }
        text
    }

    pub(crate) fn grave(&mut self, field: impl Into<String>, why: &'static str) {
        self.push(Loss { field: field.into(), why, is_grave: true });
    }

    pub(crate) fn slight(&mut self, field: impl Into<String>, why: &'static str) {
        self.push(Loss { field: field.into(), why, is_grave: false });
    }

    fn push(&mut self, loss: Loss) {
        self.has_grave |= loss.is_grave;
        if self.listed.len() < MOST {
            self.listed.push(loss);
        } else {
            self.more += 1;
        }
    }

    /// Lists what `kept` holds for a dialect other than the one that is written.
    pub(crate) fn of_kept(&mut self, kept: &Kept, written: Dialect, place: &str) {
        let Some(origin) = kept.dialect.filter(|origin| *origin != written) else {
            return;
        };
        self.of_fields(&kept.fields, origin, place);
    }

    fn of_fields(&mut self, fields: &Object, origin: Dialect, place: &str) {
        let (hints, echoes) = known(origin);
        for (key, value) in fields.iter() {
            if value.is_nothing() || echoes.contains(&key) {
                continue;
            }
            // Nothing counted is nothing lost.
            if place.starts_with("usage") && value.as_u64() == Some(0) {
                continue;
            }
            let name = name(key);
            let field = if place.is_empty() { name.to_owned() } else { format!("{place}.{name}") };
            match value {
                // Only what was not understood of it is still here.
                Json::Object(rest) if OPENED.contains(&key) => self.of_fields(rest, origin, &field),
                _ => {
                    let is_grave = !hints.contains(&key) && !field.starts_with("usage.");
                    self.push(Loss { field, why: "the provider's dialect has no such field", is_grave });
                }
            }
        }
    }
}

/// Inner objects of which the form takes the fields one by one.
const OPENED: [&str; 16] = [
    "completion_tokens_details",
    "file",
    "function",
    "image_url",
    "input_audio",
    "json_schema",
    "message",
    "metadata",
    "output_config",
    "output_tokens_details",
    "prompt_tokens_details",
    "reasoning",
    "response_format",
    "text",
    "thinking",
    "tool_choice",
];

/// Of a dialect's own fields: those whose loss changes no answer, and second spellings of what the form holds as well,
/// with which nothing is lost.
fn known(origin: Dialect) -> (&'static [&'static str], &'static [&'static str]) {
    match origin {
        Dialect::OpenAi => (&openai::HINTS, &openai::ECHOES),
        Dialect::Anthropic => (&anthropic::HINTS, &anthropic::ECHOES),
        Dialect::Gemini => (&gemini::HINTS, &gemini::ECHOES),
        Dialect::Responses => (&responses::HINTS, &responses::ECHOES),
    }
}

/// A key as it may stand in a header: callers choose the names of fields that nobody knows.
fn name(key: &str) -> &str {
    let fits = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | '.' | '$');
    if !key.is_empty() && key.len() <= LONGEST_NAME && key.chars().all(fits) {
        key
    } else {
        "(a field with an odd name)"
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_summary_is_short_ascii_and_counts_what_it_leaves_out() {
        let mut losses = Losses::default();
        for n in 0..100 {
            losses.slight(format!("messages[{n}].content[0].citations"), "none");
        }
        assert!(!losses.has_grave());
        losses.grave("x", "y");
        assert!(losses.has_grave());
        assert_eq!(losses.listed().len() + losses.more(), 101);
        let summary = losses.summary();
        assert!(summary.len() < 1100 && summary.is_ascii(), "{summary}");
        assert!(summary.ends_with(" more"), "{summary}");
    }

    #[test]
    fn a_name_that_a_caller_made_up_is_not_repeated() {
        assert_eq!(name("top_k"), "top_k");
        assert_eq!(name("a\r\nb"), "(a field with an odd name)");
        assert_eq!(name(&"x".repeat(65)), "(a field with an odd name)");
    }
}
