//! What the classifier model answered: one JSON object of three fields, or nothing.

use kalibr_core::evidence::{Strength, Value};
use serde::Deserialize;

/// How sure the model must be, by its own word, for its verdict to become a signal.
///
/// Models say 0.8 and more of most of what they say, and less where they would rather not say it. It is a sieve and no
/// probability: what a verdict is worth is learned from what users do.
const SURE: f64 = 0.7;

/// What an answer is.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Read {
    /// It asserts this, with this confidence.
    Asserts(Value, Strength),
    /// It says that the message goes on, and says nothing of the answer.
    Continuation,
    /// It accepts or rejects, and is not sure.
    NotSure,
    /// It is not what was asked for.
    Malformed,
}

#[derive(Deserialize)]
struct Body {
    choices: Vec<Choice>,
}

#[derive(Deserialize)]
struct Choice {
    message: Message,
}

#[derive(Deserialize)]
struct Message {
    content: Option<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "snake_case")]
enum Label {
    Acceptance,
    Rejection,
    Continuation,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Said {
    label: Label,
    confidence: f64,
    key: String,
}

/// Reads an answer's body. Its text is looked at here and goes no further.
pub(super) fn read(body: &[u8], key: &str) -> Read {
    said(body, key).map_or(Read::Malformed, |said| {
        let confidence = Strength::new(said.confidence).unwrap_or(Strength::ZERO);
        let value = match said.label {
            Label::Acceptance => Value::AcceptanceByModel,
            Label::Rejection => Value::RejectionByModel,
            Label::Continuation => return Read::Continuation,
        };
        if said.confidence >= SURE { Read::Asserts(value, confidence) } else { Read::NotSure }
    })
}

fn said(body: &[u8], key: &str) -> Option<Said> {
    let body: Body = serde_json::from_slice(body).ok()?;
    let content = body.choices.into_iter().next()?.message.content?;
    let said: Said = serde_json::from_str(unfenced(content.trim())?).ok()?;
    ((0.0..=1.0).contains(&said.confidence) && said.key == key).then_some(said)
}

/// The inside of a text that is one fenced block; any other text as it is.
fn unfenced(text: &str) -> Option<&str> {
    let Some(rest) = text.strip_prefix("```") else { return Some(text) };
    let inside = rest.strip_suffix("```")?;
    // What stands behind the opening fence names the language.
    Some(inside.split_once('\n').map_or(inside, |(_, inside)| inside))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use serde_json::json;

    fn of(content: &str) -> Read {
        let body = json!({ "choices": [{ "message": { "role": "assistant", "content": content } }] });
        read(body.to_string().as_bytes(), "k")
    }

    const GOOD: &str = r#"{"label": "rejection", "confidence": 0.9, "key": "k"}"#;

    #[test]
    fn an_object_is_read_plain_and_fenced() {
        let rejects = Read::Asserts(Value::RejectionByModel, Strength::new(0.9).unwrap());
        for form in [
            GOOD.to_owned(),
            format!("\n {GOOD}\n"),
            format!("```json\n{GOOD}\n```"),
            format!("```\n{GOOD}```"),
        ] {
            assert_eq!(of(&form), rejects, "{form}");
        }
    }

    #[test]
    fn a_continuation_and_a_verdict_that_is_not_sure_of_itself_assert_nothing() {
        assert_eq!(of(r#"{"label": "continuation", "confidence": 1, "key": "k"}"#), Read::Continuation);
        assert_eq!(of(r#"{"label": "acceptance", "confidence": 0.5, "key": "k"}"#), Read::NotSure);
    }

    #[test]
    fn anything_else_is_no_verdict() {
        for other in [
            "",
            "rejection",
            "The user rejects the answer.",
            &format!("Sure! {GOOD}"),
            &format!("{GOOD} I hope this helps."),
            &format!("Here:\n```json\n{GOOD}\n```"),
            &format!("```json\n{GOOD}"),
            &format!("[{GOOD}]"),
            r#"{"label": "user_rejected", "confidence": 0.9, "key": "k"}"#,
            r#"{"label": "Rejection", "confidence": 0.9, "key": "k"}"#,
            r#"{"label": "rejection", "confidence": 1.9, "key": "k"}"#,
            r#"{"label": "rejection", "confidence": "high", "key": "k"}"#,
            r#"{"label": "rejection", "key": "k"}"#,
            r#"{"label": "rejection", "confidence": 0.9}"#,
            r#"{"label": "rejection", "confidence": 0.9, "key": "k", "because": "x"}"#,
            r#"{"label": ["rejection"], "confidence": 0.9, "key": "k"}"#,
        ] {
            assert_eq!(of(other), Read::Malformed, "{other}");
        }
        for body in
            ["", "<html>", "{}", r#"{"choices": []}"#, r#"{"choices": [{"message": {"content": null}}]}"#]
        {
            assert_eq!(read(body.as_bytes(), "k"), Read::Malformed, "{body}");
        }
    }

    #[test]
    fn an_answer_that_a_text_dictated_lacks_the_key_and_is_no_verdict() {
        assert_eq!(of(r#"{"label": "acceptance", "confidence": 1, "key": ""}"#), Read::Malformed);
        assert_eq!(of(r#"{"label": "acceptance", "confidence": 1, "key": "K"}"#), Read::Malformed);
    }

    proptest! {
        #[test]
        fn no_text_makes_it_panic(content in any::<String>(), body in prop::collection::vec(any::<u8>(), 0..200)) {
            let _ = (of(&content), read(&body, "k"));
        }
    }
}
