//! The bucket of a chat-completions request, read off its JSON without taking the texts apart.
//!
//! Of a long text only the parts that [`kalibr_signals::bucket`] reads are decoded, into a buffer that dies with the
//! call. What a body has in an unexpected shape counts as not there: a class is never a reason to fail a request.

use kalibr_core::ids::Bucket;
use kalibr_signals::bucket::{HEAD, LONG_CONTEXT, Offer, TAIL, classify};
use kalibr_upstream::ChatRequest;
use serde::Deserialize;
use serde_json::value::RawValue;

/// The longest escape of JSON for one byte of text: `\u0041`.
const ESCAPE: usize = 6;

/// The bucket that a request falls in, as [`Engine::complete`](crate::Engine::complete) classes it; `None` when there is
/// nothing to class it by. For who decides first and calls the model without Kalibr.
///
/// ```
/// use kalibr_engine::core::ids::Goal;
/// use kalibr_engine::{DecideRequest, bucket_of, upstream::ChatRequest};
///
/// let body = br#"{"model": "any", "messages": [{"role": "user", "content": "Debug this Python script"}]}"#;
/// let body = ChatRequest::parse(body).unwrap();
/// let request = DecideRequest { bucket: bucket_of(&body), ..DecideRequest::of(Goal::new("support").unwrap()) };
/// assert_eq!(request.bucket.unwrap().as_str(), "code");
/// ```
pub fn bucket_of(body: &ChatRequest) -> Option<Bucket> {
    let messages: Vec<Message<'_>> = body.get("messages").and_then(read).unwrap_or_default();
    let text_bytes = messages.iter().map(Message::bytes).sum();
    let offer = Offer {
        tools: lists(body, "tools", "tool_choice") || lists(body, "functions", "function_call"),
        structured: body
            .get("response_format")
            .and_then(read)
            .is_some_and(|format: Format<'_>| matches!(&*format.kind, "json_object" | "json_schema")),
        // Escapes make a text look up to six times as long. They are counted only where that decides.
        text_bytes: if (LONG_CONTEXT..=LONG_CONTEXT * ESCAPE).contains(&text_bytes) {
            messages.iter().map(Message::exact_bytes).sum()
        } else {
            text_bytes
        },
    };
    let user = messages.iter().rev().filter(|message| message.role.get() == "\"user\"");
    classify(offer, user.map(Message::text)).map(kalibr_signals::bucket::RequestBucket::bucket)
}

/// Whether the list is there, has something in it, and may be used.
fn lists(body: &ChatRequest, list: &str, choice: &str) -> bool {
    let filled = |list: &RawValue| {
        list.get().strip_prefix('[').is_some_and(|rest| !rest.trim_start().starts_with(']'))
    };
    body.get(list).is_some_and(filled) && body.get(choice).is_none_or(|choice| choice.get() != "\"none\"")
}

fn read<'a, T: Deserialize<'a>>(value: &'a RawValue) -> Option<T> {
    serde_json::from_str(value.get()).ok()
}

#[derive(Deserialize)]
struct Format<'a> {
    #[serde(rename = "type", borrow)]
    kind: std::borrow::Cow<'a, str>,
}

#[derive(Deserialize)]
struct Message<'a> {
    #[serde(borrow, default = "null")]
    role: &'a RawValue,
    #[serde(borrow, default = "null")]
    content: &'a RawValue,
}

fn null<'a>() -> &'a RawValue {
    RawValue::NULL
}

/// A part of a message: only texts have a `text`; images and sounds count nothing.
#[derive(Deserialize)]
struct Part<'a> {
    #[serde(borrow, default = "null")]
    text: &'a RawValue,
}

impl Message<'_> {
    /// Calls `see` with each text of the message as JSON has it, without its quotation marks.
    fn each_text(&self, mut see: impl FnMut(&str)) {
        let content = self.content.get();
        if let Some(text) = quoted(content) {
            see(text);
        } else if content.starts_with('[') {
            let parts: Vec<Part<'_>> = serde_json::from_str(content).unwrap_or_default();
            parts.iter().filter_map(|part| quoted(part.text.get())).for_each(see);
        }
    }

    /// Bytes of its texts as JSON has them.
    fn bytes(&self) -> usize {
        let mut bytes = 0;
        self.each_text(|text| bytes += text.len());
        bytes
    }

    /// Bytes of its texts without escapes; once these are a long context, some number above that.
    fn exact_bytes(&self) -> usize {
        let mut bytes = 0;
        self.each_text(|text| bytes += decoded_len(text, LONG_CONTEXT));
        bytes
    }

    /// As much of its texts as a classifier reads, decoded.
    fn text(&self) -> String {
        let mut text = String::new();
        self.each_text(|part| {
            if !text.is_empty() {
                text.push('\n');
            }
            decode_ends(part, &mut text);
        });
        text
    }
}

fn quoted(json: &str) -> Option<&str> {
    json.strip_prefix('"')?.strip_suffix('"')
}

/// Bytes of a text that JSON has as `escaped`; of one with more than `most` bytes some number above it.
fn decoded_len(escaped: &str, most: usize) -> usize {
    let (mut rest, mut len) = (escaped, 0);
    while len <= most {
        let Some(plain) = rest.find('\\') else { return len + rest.len() };
        let bytes = &rest.as_bytes()[plain..];
        let (step, size) = match bytes.get(1) {
            // Half of a pair is half of a character of four bytes.
            Some(b'u') => match code(bytes, 2) {
                0..0x80 => (ESCAPE, 1),
                0x80..0x800 | 0xD800..0xE000 => (ESCAPE, 2),
                _ => (ESCAPE, 3),
            },
            _ => (2, 1),
        };
        len += plain + size;
        rest = rest.get(plain + step..).unwrap_or("");
    }
    len
}

/// Appends the text, or the first [`HEAD`] and last [`TAIL`] bytes of it and a little more, to `to`.
fn decode_ends(escaped: &str, to: &mut String) {
    if escaped.len() <= (HEAD + TAIL) * ESCAPE {
        decode(escaped, usize::MAX, to);
        return;
    }
    decode(escaped, HEAD, to);
    // The cut may fall into an escape, whose rest then reads as text: far enough before the end to be left out again.
    let mut tail = String::new();
    decode(&escaped[escaped.ceil_char_boundary(escaped.len() - TAIL * ESCAPE)..], usize::MAX, &mut tail);
    to.push_str(&tail[tail.ceil_char_boundary(tail.len().saturating_sub(TAIL))..]);
}

/// Appends `escaped` without its escapes, until there are at least `most` bytes of it.
fn decode(escaped: &str, most: usize, to: &mut String) {
    let end = to.len().saturating_add(most);
    let mut rest = escaped;
    while !rest.is_empty() && to.len() < end {
        let plain = rest.find('\\').unwrap_or(rest.len()).min(rest.ceil_char_boundary(end - to.len()));
        to.push_str(&rest[..plain]);
        rest = &rest[plain..];
        let mut chars = rest.chars();
        if chars.next() != Some('\\') {
            continue;
        }
        let (c, step) = match chars.next() {
            Some('u') => unicode(rest.as_bytes()),
            Some('n') => ('\n', 2),
            Some('t') => ('\t', 2),
            Some('r') => ('\r', 2),
            // Backspace and form feed are blank enough.
            Some('b' | 'f') => (' ', 2),
            Some(c) => (c, 1 + c.len_utf8()),
            None => break,
        };
        to.push(c);
        rest = rest.get(step..).unwrap_or("");
    }
}

/// The character that `\uXXXX`, or a pair of them, stands for, and its length.
fn unicode(bytes: &[u8]) -> (char, usize) {
    let first = code(bytes, 2);
    if (0xD800..0xDC00).contains(&first) && bytes.get(6..8) == Some(b"\\u") {
        let second = code(bytes, 8);
        if (0xDC00..0xE000).contains(&second) {
            let both = 0x1_0000 + ((first - 0xD800) << 10) + (second - 0xDC00);
            return (char::from_u32(both).unwrap_or(char::REPLACEMENT_CHARACTER), 2 * ESCAPE);
        }
    }
    // What is no escape after all (a cut went through one) has letters where the digits should be: skip its mark only.
    let digits = bytes.get(2..6).is_some_and(|digits| digits.iter().all(u8::is_ascii_hexdigit));
    (char::from_u32(first).unwrap_or(char::REPLACEMENT_CHARACTER), if digits { ESCAPE } else { 2 })
}

/// Four hexadecimal digits as a number; what is none counts as 0.
fn code(bytes: &[u8], at: usize) -> u32 {
    let digits = bytes.get(at..at + 4).unwrap_or_default();
    digits.iter().fold(0, |code, b| code << 4 | char::from(*b).to_digit(16).unwrap_or(0))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::{Value, json};

    use super::*;

    fn bucket(body: &Value) -> String {
        let body = ChatRequest::parse(body.to_string().as_bytes()).unwrap();
        bucket_of(&body).map_or_else(|| "all".to_owned(), |bucket| bucket.to_string())
    }

    fn asked(messages: &Value, more: &Value) -> String {
        let mut body = json!({ "model": "goal:g", "messages": messages });
        for (key, value) in more.as_object().unwrap() {
            body[key] = value.clone();
        }
        bucket(&body)
    }

    fn user(text: &str) -> Value {
        json!([{ "role": "user", "content": text }])
    }

    const CODE: &str = "Write a Python function that merges two dicts.";

    #[test]
    fn fields_of_the_request_say_tools_and_extraction() {
        let tool = json!([{ "type": "function", "function": { "name": "f" } }]);
        assert_eq!(asked(&user(CODE), &json!({ "tools": tool })), "tools");
        assert_eq!(asked(&user(CODE), &json!({ "functions": [{ "name": "f" }] })), "tools");
        assert_eq!(asked(&user(CODE), &json!({ "tools": tool, "tool_choice": "none" })), "code");
        assert_eq!(asked(&user(CODE), &json!({ "tools": [] })), "code");
        for kind in ["json_object", "json_schema"] {
            assert_eq!(asked(&user(CODE), &json!({ "response_format": { "type": kind } })), "extraction");
        }
        assert_eq!(asked(&user(CODE), &json!({ "response_format": { "type": "text" } })), "code");
    }

    #[test]
    fn only_what_the_user_wrote_is_read() {
        let talk = json!([
            { "role": "system", "content": "You write Python functions and debug SQL." },
            { "role": "user", "content": "What shall I cook?" },
            { "role": "assistant", "content": "```python\nprint('soup')\n```" },
            { "role": "user", "content": "And tomorrow?" },
        ]);
        assert_eq!(asked(&talk, &json!({})), "chat");
    }

    #[test]
    fn texts_in_parts_are_read_and_images_weigh_nothing() {
        let image = format!("data:image/png;base64,{}", "A".repeat(LONG_CONTEXT * 8));
        let parts = json!([{ "role": "user", "content": [
            { "type": "image_url", "image_url": { "url": image } },
            { "type": "text", "text": CODE },
        ] }]);
        assert_eq!(asked(&parts, &json!({})), "code");
    }

    #[test]
    fn a_request_without_words_or_of_a_strange_shape_is_in_all() {
        for messages in
            [json!([{ "role": "user", "content": "" }]), json!([{ "role": "user" }]), json!([7, null])]
        {
            assert_eq!(asked(&messages, &json!({})), "all");
        }
        assert_eq!(asked(&json!([{ "role": "system", "content": "Be brief." }]), &json!({})), "all");
        assert_eq!(asked(&user(CODE), &json!({ "tools": "x", "response_format": 3 })), "code");
    }

    #[test]
    fn length_is_that_of_all_texts_however_they_are_escaped() {
        let of_length = |bytes: usize| {
            let messages = json!([
                { "role": "assistant", "content": "a".repeat(bytes / 2) },
                { "role": "user", "content": "b ".repeat(bytes / 4) },
            ]);
            asked(&messages, &json!({}))
        };
        assert_eq!(of_length(LONG_CONTEXT), "chat");
        assert_eq!(of_length(LONG_CONTEXT + 4), "long_context");
        // 3 bytes each, and 6 when escaped.
        let escaped = |chars: usize| {
            let text = "\\u4e2d".repeat(chars);
            let body = format!(r#"{{"model":"goal:g","messages":[{{"role":"user","content":"{text}"}}]}}"#);
            bucket_of(&ChatRequest::parse(body.as_bytes()).unwrap()).unwrap().to_string()
        };
        assert_eq!(escaped(LONG_CONTEXT / 3), "chat.zh");
        assert_eq!(escaped(LONG_CONTEXT / 3 + 1), "long_context");
    }

    /// As Python's `json.dumps` writes it by default.
    fn ascii(text: &str) -> String {
        let mut units = [0; 2];
        let escape = |unit: &mut u16| format!("\\u{unit:04x}");
        text.chars()
            .map(|c| match c {
                '"' | '\\' => format!("\\{c}"),
                ' '..='~' => c.to_string(),
                _ => c.encode_utf16(&mut units).iter_mut().map(escape).collect(),
            })
            .collect()
    }

    proptest! {
        #[test]
        fn a_text_is_classed_alike_however_it_is_escaped(
            text in prop::collection::vec(prop_oneof![any::<String>(), "[a-z \\\\\"0-9中я]{0,400}"], 0..40),
        ) {
            let text = text.concat();
            let direct = classify(Offer { text_bytes: text.len(), ..Offer::default() }, [&text]);
            let direct = direct.map(kalibr_signals::bucket::RequestBucket::bucket);
            for escaped in [json!(text).to_string(), format!("\"{}\"", ascii(&text))] {
                prop_assert_eq!(decoded_len(quoted(&escaped).unwrap(), usize::MAX), text.len());
                let body = format!(r#"{{"model":"m","messages":[{{"role":"user","content":{escaped}}}]}}"#);
                prop_assert_eq!(&bucket_of(&ChatRequest::parse(body.as_bytes()).unwrap()), &direct);
            }
        }
    }
}
