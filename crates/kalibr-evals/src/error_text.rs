//! Whether an answer is only an error message: of a tool that failed, or of the program that the model was to be.

use std::sync::LazyLock;

use regex::Regex;

use crate::verdict::{Finding, Reason};

/// Longer answers, in bytes, tell of an error besides other things.
const LONGEST: usize = 2_000;

// An answer that discusses an error begins otherwise: the message itself begins with its kind.
#[expect(clippy::expect_used, reason = "a fixed pattern, compiled by every test below")]
static MESSAGE: LazyLock<Regex> = LazyLock::new(|| {
    Regex::new(
        r"(?ix)^[\W_]*(?:
            (?:fatal\s+|internal\s+|unexpected\s+|server\s+|runtime\s+|http\s+|api\s+)*(?:error|exception|fehler|erreur)(?:\s+(?:code\s+)?\d{1,5})?\s*[:\]!-]
            | traceback\ \(most\ recent\ call\ last\)
            | (?:\w+\.)*\w*(?:Error|Exception):\s
            | (?:http/[\d.]+\s+)?[45]\d\d\s+(?:bad\ request|unauthorized|forbidden|not\ found|method\ not\ allowed|request\ timeout|too\ many\ requests|internal\ server\ error|bad\ gateway|service\ unavailable|gateway\ time-?out)
            | (?:internal\ server\ error|service\ unavailable|bad\ gateway|gateway\ time-?out|access\ denied|permission\ denied|connection\ (?:refused|reset|timed\ out))\W*$
            | (?:i\ )?(?:could\ not|couldn't|failed\ to|unable\ to)\ (?:fetch|retrieve|load|connect|access|download|reach|scrape|open)\b
            | (?:undefined|null|none|nan|n/a|\[object\ object\]|<nil>)\W*$
        )",
    )
    .expect("a fixed pattern")
});

pub(crate) fn check(text: &str) -> Finding {
    let text = text.trim();
    Finding::unless(text.len() <= LONGEST && MESSAGE.is_match(text), Reason::ErrorText)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_error_message_is_told_from_an_answer_about_errors() {
        for text in [
            "error: could not fetch",
            "Error: timeout",
            "[ERROR] - no such page",
            "ERROR 503: try later",
            "Traceback (most recent call last):\n  File \"x.py\"",
            "ValueError: invalid literal",
            "java.lang.NullPointerException: x",
            "404 Not Found",
            "HTTP/1.1 502 Bad Gateway",
            "Internal Server Error",
            "Could not fetch the page.",
            "Failed to retrieve data",
            "undefined",
            "[object Object]",
            "null",
        ] {
            assert_eq!(check(text), Finding::Failed(Reason::ErrorText), "{text}");
        }
        let report = format!("Error: a word with a long history. {}", "It came from Latin. ".repeat(120));
        for text in [
            "Paris",
            "",
            "The error was caused by a missing comma.",
            "Errors are common.",
            "A 404 Not Found page means that the address is wrong.",
            "Nullable columns are the reason.",
            "None of the three lines has a fault.",
            "404",
            "The margin of error: 3 %.",
            report.as_str(),
        ] {
            assert_eq!(check(text), Finding::Passed, "{text}");
        }
    }
}
