//! JSON in a text.

use serde_json::Value;

use crate::limits;
use crate::spec::JsonForm;
use crate::verdict::{Finding, Reason, Skip};

/// What was found where JSON was looked for.
pub(crate) enum Found {
    Json(Value),
    /// Something else.
    NotJson,
    /// More than is looked at.
    TooLarge,
}

impl Found {
    pub(crate) const fn finding(&self) -> Finding {
        match self {
            Self::Json(_) => Finding::Passed,
            Self::NotJson => Finding::Failed(Reason::NotJson),
            Self::TooLarge => Finding::NotApplicable(Skip::TooLarge),
        }
    }
}

/// The JSON that the text is, or has in a fence.
pub(crate) fn find(text: &str, form: JsonForm) -> Found {
    let whole = parse(text);
    if form == JsonForm::Bare || !matches!(whole, Found::NotJson) {
        return whole;
    }
    let mut blocks = fences(text).filter(|block| matches!(block.language, "" | "json" | "jsonc" | "json5"));
    blocks
        .find_map(|block| Some(parse(block.body)).filter(|found| !matches!(found, Found::NotJson)))
        .unwrap_or(whole)
}

pub(crate) fn parse(text: &str) -> Found {
    let text = text.trim_start_matches('\u{feff}').trim();
    if text.len() > limits::JSON {
        return Found::TooLarge;
    }
    match serde_json::from_str(text) {
        Ok(json) => Found::Json(json),
        // The one error that speaks of our limit and not of the text.
        Err(error) if error.to_string().starts_with("recursion limit") => Found::TooLarge,
        Err(_) => Found::NotJson,
    }
}

/// A fenced block of a text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Fence<'a> {
    /// The first word after the fence, as it was written: `python`.
    pub(crate) language: &'a str,
    /// What stands within.
    pub(crate) body: &'a str,
    /// Whether the fence was closed.
    pub(crate) closed: bool,
}

/// The fenced blocks of a text, by `CommonMark`'s rules as far as models use them: three or more back-ticks or tildes on a
/// line of their own, closed by at least as many, or by the end.
pub(crate) fn fences(text: &str) -> impl Iterator<Item = Fence<'_>> {
    let mut at = 0;
    std::iter::from_fn(move || {
        let (mark, length, info) = loop {
            let (line, next) = line_from(text, at)?;
            at = next;
            if let Some(opening) = opening(line) {
                break opening;
            }
        };
        let start = at;
        let language = info
            .split(|c: char| c.is_whitespace() || matches!(c, '{' | ',' | ':'))
            .next()
            .unwrap_or_default();
        loop {
            let Some((line, next)) = line_from(text, at) else {
                return Some(Fence { language, body: &text[start..], closed: false });
            };
            let end = at;
            at = next;
            let line = line.trim();
            if line.len() >= length && line.bytes().all(|b| b == mark) {
                return Some(Fence { language, body: &text[start..end], closed: true });
            }
        }
    })
}

/// The line that begins at a byte, without its end, and where the next one begins.
fn line_from(text: &str, at: usize) -> Option<(&str, usize)> {
    let rest = text.get(at..).filter(|rest| !rest.is_empty())?;
    let end = rest.find('\n');
    Some((&rest[..end.unwrap_or(rest.len())], at + end.map_or(rest.len(), |end| end + 1)))
}

/// The mark, its length, and what stands behind it.
fn opening(line: &str) -> Option<(u8, usize, &str)> {
    let line = line.trim_start();
    let mark = *line.as_bytes().first().filter(|mark| matches!(mark, b'`' | b'~'))?;
    let length = line.bytes().take_while(|b| *b == mark).count();
    let info = line[length..].trim();
    // "```code``` in a line" is code in a line.
    (length >= 3 && !info.contains('`')).then_some((mark, length, info))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn is_json(text: &str, form: JsonForm) -> bool {
        matches!(find(text, form), Found::Json(_))
    }

    #[test]
    fn bare_json_has_nothing_beside_it() {
        for (text, bare, fenced) in [
            ("{\"a\": 1}", true, true),
            (" \n[1, 2]\n", true, true),
            ("\u{feff}{}", true, true),
            ("3", true, true),
            ("\"text\"", true, true),
            ("```json\n{\"a\": 1}\n```", false, true),
            ("Here you are:\n```\n{\"a\": 1}\n```\nAnything else?", false, true),
            ("~~~json\n[]\n~~~", false, true),
            ("```python\nprint()\n```\n```json\n{}\n```", false, true),
            ("```json\n{\"a\": 1}", false, true),
            ("  ```json\n  {\"a\": 1}\n  ```", false, true),
            ("```json\n{\"a\": 1,}\n```", false, false),
            ("{\"a\": 1} as you asked", false, false),
            ("{'a': 1}", false, false),
            ("Paris", false, false),
            ("", false, false),
            ("NaN", false, false),
        ] {
            assert_eq!(
                (is_json(text, JsonForm::Bare), is_json(text, JsonForm::Fenced)),
                (bare, fenced),
                "{text}"
            );
        }
    }

    #[test]
    fn what_is_too_deep_or_too_long_is_not_judged() {
        let deep = format!("{}{}", "[".repeat(1_000), "]".repeat(1_000));
        assert!(matches!(find(&deep, JsonForm::Bare), Found::TooLarge));
        let long = format!("[{}1]", "1,".repeat(limits::JSON));
        assert!(matches!(find(&long, JsonForm::Fenced), Found::TooLarge));
    }

    #[test]
    fn fences_are_found_with_their_languages() {
        let text = "a ```not one``` b\n```Python title=x\nx = 1\n```\n\n````md\n```\ninner\n```\n````\n```{r}\ny\n~~~\n";
        let found: Vec<Fence<'_>> = fences(text).collect();
        assert_eq!(found[0], Fence { language: "Python", body: "x = 1\n", closed: true });
        assert_eq!(found[1], Fence { language: "md", body: "```\ninner\n```\n", closed: true });
        assert_eq!(found[2], Fence { language: "", body: "y\n~~~\n", closed: false });
        assert_eq!(found.len(), 3);
    }
}
