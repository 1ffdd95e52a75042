//! The texts of a request and its answer, read off their JSON. What has an unexpected shape has no text.

use std::borrow::Cow;
use std::fmt;

use kalibr_upstream::ChatRequest;
use memchr::memmem;
use serde::de::{IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer};

/// Longest text that is looked at, in bytes. Of a longer one nothing is kept: half a text would grade edits wrongly.
pub(super) const LONGEST: usize = 4 << 20;

#[derive(Deserialize)]
struct Message<'a> {
    #[serde(borrow, default)]
    role: Cow<'a, str>,
    #[serde(default)]
    content: Content,
}

/// A text, or a list of parts of which some are texts.
#[derive(Default)]
enum Content {
    Text(String),
    Parts(Vec<Part>),
    #[default]
    None,
}

impl<'de> Deserialize<'de> for Content {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(ContentVisitor)
    }
}

/// By hand, for an untagged enum would take every event of a stream apart twice. What is no text is none, whatever it is.
struct ContentVisitor;

impl<'de> Visitor<'de> for ContentVisitor {
    type Value = Content;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a content")
    }

    fn visit_str<E>(self, text: &str) -> Result<Content, E> {
        Ok(Content::Text(text.to_owned()))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Content, A::Error> {
        let mut parts = Vec::new();
        while let Some(part) = list.next_element()? {
            parts.push(part);
        }
        Ok(Content::Parts(parts))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Content, A::Error> {
        while map.next_entry::<IgnoredAny, IgnoredAny>()?.is_some() {}
        Ok(Content::None)
    }

    fn visit_unit<E>(self) -> Result<Content, E> {
        Ok(Content::None)
    }

    fn visit_bool<E>(self, _: bool) -> Result<Content, E> {
        Ok(Content::None)
    }

    fn visit_i64<E>(self, _: i64) -> Result<Content, E> {
        Ok(Content::None)
    }

    fn visit_u64<E>(self, _: u64) -> Result<Content, E> {
        Ok(Content::None)
    }

    fn visit_f64<E>(self, _: f64) -> Result<Content, E> {
        Ok(Content::None)
    }
}

#[derive(Deserialize)]
struct Part {
    text: Option<String>,
}

impl Content {
    fn text(self) -> Option<String> {
        match self {
            Self::Text(text) => Some(text),
            Self::Parts(parts) => {
                let texts: Vec<String> = parts.into_iter().filter_map(|part| part.text).collect();
                (!texts.is_empty()).then(|| texts.join("\n"))
            }
            Self::None => None,
        }
    }
}

/// The last message of the user's.
pub(crate) fn prompt(body: &ChatRequest) -> Option<String> {
    let messages: Vec<Message<'_>> = serde_json::from_str(body.get("messages")?.get()).ok()?;
    messages.into_iter().rfind(|message| message.role == "user")?.content.text()
}

#[derive(Deserialize)]
struct Answer<'a> {
    #[serde(borrow)]
    choices: Vec<Choice<'a>>,
}

#[derive(Deserialize)]
struct Choice<'a> {
    #[serde(default)]
    index: u32,
    #[serde(borrow)]
    message: Option<Message<'a>>,
    #[serde(borrow)]
    delta: Option<Message<'a>>,
}

/// The first choice of a whole answer.
pub(super) fn answer(body: &[u8]) -> Option<String> {
    let answer: Answer<'_> = serde_json::from_slice(body).ok()?;
    answer.choices.into_iter().next()?.message?.content.text()
}

/// The first choice of a streamed answer, put together as it passes by.
#[derive(Default)]
pub(crate) struct Streamed {
    text: String,
    too_long: bool,
}

impl Streamed {
    /// Whole server-sent events, as they are handed on.
    pub(crate) fn see(&mut self, events: &[u8]) {
        if self.too_long {
            return;
        }
        for line in events.split(|&byte| byte == b'\n') {
            let Some(data) = line.strip_prefix(b"data:") else { continue };
            // The end, and chunks without a text (roles, usage), are not worth a parse.
            if memmem::find(data, b"\"content\"").is_none() {
                continue;
            }
            let Ok(chunk) = serde_json::from_slice::<Answer<'_>>(data.trim_ascii()) else { continue };
            let deltas = chunk.choices.into_iter().filter(|choice| choice.index == 0);
            for text in deltas.filter_map(|choice| choice.delta?.content.text()) {
                self.text.push_str(&text);
            }
        }
        if self.text.len() > LONGEST {
            (self.text, self.too_long) = (String::new(), true);
        }
    }

    /// The answer, if there was a text and not too long a one.
    pub(crate) fn text(self) -> Option<String> {
        (!self.text.is_empty()).then_some(self.text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn request(messages: &str) -> ChatRequest {
        ChatRequest::parse(format!(r#"{{"model":"m","messages":{messages}}}"#).as_bytes()).unwrap()
    }

    #[test]
    fn the_prompt_is_the_users_last_message() {
        for (messages, text) in [
            (r#"[{"role":"user","content":"a"}]"#, Some("a")),
            (
                r#"[{"role":"user","content":"a"},{"role":"user","content":"\u00e9\n"},{"role":"tool","content":"x"}]"#,
                Some("é\n"),
            ),
            (
                r#"[{"role":"user","content":[{"type":"text","text":"a"},{"type":"image_url","image_url":{}},{"type":"text","text":"b"}]}]"#,
                Some("a\nb"),
            ),
            (r#"[{"role":"system","content":"a"}]"#, None),
            (r#"[{"role":"user","content":null}]"#, None),
            (r#"[{"role":"user","content":7}]"#, None),
            (r#"[{"role":"user"}]"#, None),
            (r"[1]", None),
        ] {
            assert_eq!(prompt(&request(messages)).as_deref(), text, "{messages}");
        }
    }

    #[test]
    fn the_answer_is_the_first_choice() {
        for (body, text) in [
            (
                r#"{"choices":[{"index":0,"message":{"role":"assistant","content":"a"}},{"message":{"content":"b"}}]}"#,
                Some("a"),
            ),
            (r#"{"choices":[{"message":{"content":null,"tool_calls":[]}}]}"#, None),
            (r#"{"choices":[]}"#, None),
            ("<html>", None),
        ] {
            assert_eq!(answer(body.as_bytes()).as_deref(), text, "{body}");
        }
    }

    #[test]
    fn a_stream_is_put_together_and_other_choices_are_left_out() {
        let mut streamed = Streamed::default();
        streamed.see(
            b"data: {\"choices\":[{\"index\":0,\"delta\":{\"role\":\"assistant\",\"content\":\"\"}}]}\n\n",
        );
        streamed.see(b"data: {\"choices\":[{\"index\":0,\"delta\":{\"content\":\"Hel\"}}]}\r\n\r\ndata:{\"choices\":[{\"index\":1,\"delta\":{\"content\":\"no\"}}]}\n\n");
        streamed.see(b": comment\n\ndata: {\"choices\":[{\"index\":0,\"delta\":{\"content\":\"lo\"}}]}\n\ndata: [DONE]\n\n");
        assert_eq!(streamed.text().as_deref(), Some("Hello"));
        assert_eq!(Streamed::default().text(), None);
    }

    #[test]
    fn of_a_text_that_is_too_long_nothing_is_kept() {
        let mut streamed = Streamed::default();
        let chunk =
            format!("data: {{\"choices\":[{{\"delta\":{{\"content\":\"{}\"}}}}]}}\n\n", "a ".repeat(1 << 19));
        (0..6).for_each(|_| streamed.see(chunk.as_bytes()));
        assert_eq!(streamed.text(), None);
    }
}
