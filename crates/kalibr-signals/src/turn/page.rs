//! What of a message is the user's own prose, and what was pasted: code, errors, stack traces.
//!
//! In follow-ups to an answer with code, a pasted error is the commonest complaint of all, often without a word beside
//! it. Pasted code on the other hand is full of words ("fix", "error", "wrong") that say nothing of the answer.

use std::sync::LazyLock;

use aho_corasick::AhoCorasick;

/// A message, sorted by lines.
#[derive(Debug, Default)]
pub(super) struct Page {
    /// The lines that people wrote.
    pub(super) prose: String,
    /// Lines that are not blank.
    pub(super) lines: usize,
    /// Lines of code.
    pub(super) code: usize,
    /// Lines with an error message of a compiler, an interpreter or a tool.
    pub(super) errors: usize,
    /// Frames and heads of stack traces.
    pub(super) traces: usize,
    /// The first line that is not blank has an error message.
    pub(super) opens_with_error: bool,
    /// The last one has.
    pub(super) ends_with_error: bool,
    /// Code between backticks.
    pub(super) fenced: bool,
}

/// Parts of messages that machines write about what failed, in lower case. People write "error" too; these they do not.
const ERRORS: [&str; 44] = [
    "traceback (most recent",
    "error:",
    "error :",
    "error in ",
    "errors:",
    "exception:",
    "exception in ",
    "unhandled exception",
    "fatal:",
    "err!",
    "errno",
    "warning:",
    "uncaught ",
    "is not defined",
    "is not a function",
    "is undefined",
    "undefined reference",
    "undefined is not",
    "has no attribute",
    "no module named",
    "no such file",
    "not found:",
    "could not find function",
    "cannot find symbol",
    "cannot find module",
    "cannot read propert",
    "cannot import name",
    "does not exist",
    "command not found",
    "permission denied",
    "access denied",
    "segmentation fault",
    "core dumped",
    "stack overflow",
    "unexpected token",
    "invalid syntax",
    "syntax error",
    "failed with",
    "exit code",
    "status code",
    "failed to ",
    "npm err",
    "panicked at",
    "nullpointer",
];

/// Finds any of them in one pass. They are few and short, so it can always be built.
static SEARCH: LazyLock<Option<AhoCorasick>> = LazyLock::new(|| AhoCorasick::new(ERRORS).ok());

/// Starts of lines of code. Those that are English words too count only with a mark of code in the line.
const CODE_STARTS: [&str; 46] = [
    "def ",
    "class ",
    "import ",
    "from ",
    "return ",
    "if (",
    "if(",
    "for (",
    "for(",
    "while (",
    "while(",
    "public ",
    "private ",
    "protected ",
    "static ",
    "void ",
    "int ",
    "var ",
    "let ",
    "const ",
    "#include",
    "function ",
    "func ",
    "fn ",
    "select ",
    "insert ",
    "update ",
    "create table",
    "//",
    "/*",
    "*/",
    "<!--",
    "<?",
    "</",
    "<div",
    "<html",
    "@",
    "$",
    ">>>",
    "using ",
    "namespace ",
    "package ",
    "else",
    "try",
    "catch",
    "print(",
];

/// More characters of one line than this do not change what it is.
const LOOK: usize = 400;

impl Page {
    /// Sorts the lines of a message.
    pub(super) fn of(message: &str) -> Self {
        let mut page = Self { prose: String::with_capacity(message.len().min(4096)), ..Self::default() };
        let mut low = String::with_capacity(LOOK);
        let mut in_fence = false;
        for line in message.lines() {
            let trimmed = line.trim();
            if trimmed.is_empty() {
                page.prose.push('\n');
                continue;
            }
            page.lines += 1;
            if let Some(rest) = trimmed.strip_prefix("```") {
                page.fenced = true;
                // A fence that opens and closes on its own line is left to the reader of words.
                if rest.contains("```") {
                    page.write(trimmed);
                } else {
                    in_fence = !in_fence;
                }
                continue;
            }
            low.clear();
            low.extend(trimmed.chars().take(LOOK).map(|c| c.to_ascii_lowercase()));
            let failed = is_error(&low, trimmed);
            let trace = is_trace(&low);
            page.errors += usize::from(failed);
            page.traces += usize::from(trace);
            page.opens_with_error |= page.lines == 1 && failed;
            page.ends_with_error = failed || trace;
            if in_fence || (is_code(&low, line) && !failed) {
                page.code += 1;
                page.prose.push('\n');
            } else if !trace {
                page.write(trimmed);
            }
        }
        page.fenced |= page.prose.contains('`');
        page
    }

    fn write(&mut self, line: &str) {
        self.prose.push_str(line);
        self.prose.push('\n');
    }
}

fn is_error(low: &str, line: &str) -> bool {
    SEARCH.as_ref().is_some_and(|search| search.is_match(low)) || names_exception(line)
}

/// `TypeError`, `NullPointerException`: a capitalised name that ends in what failures are called.
fn names_exception(line: &str) -> bool {
    ["Error", "Exception", "Warning"].iter().any(|ending| {
        line.match_indices(ending).any(|(at, _)| {
            let bytes = line.as_bytes();
            let inside = at > 0 && bytes[at - 1].is_ascii_alphabetic();
            let ends = bytes.get(at + ending.len()).is_none_or(|b| !b.is_ascii_alphanumeric());
            inside && ends
        })
    })
}

fn is_trace(low: &str) -> bool {
    let frame = |start: &str, has: &str| low.starts_with(start) && low.contains(has);
    frame("file \"", "line ")
        || frame("file ", ", line ")
        || (low.starts_with("at ") && low.ends_with(')') && low.contains('('))
        || frame("at ", ":line ")
        || low.starts_with("traceback (most recent")
        || low.starts_with("caused by:")
}

fn is_code(low: &str, line: &str) -> bool {
    let letters = low.bytes().filter(u8::is_ascii_alphabetic).count();
    let marks = low
        .bytes()
        .filter(|b| {
            matches!(
                b,
                b'{' | b'}'
                    | b'('
                    | b')'
                    | b'['
                    | b']'
                    | b';'
                    | b'='
                    | b'<'
                    | b'>'
                    | b'_'
                    | b'|'
                    | b'+'
                    | b'*'
                    | b'\\'
                    | b'#'
                    | b'$'
                    | b'&'
            )
        })
        .count();
    if low.len() >= 2 && marks > 0 && letters == 0 {
        return true;
    }
    let ends = low.ends_with([';', '{', '}', ')', ':', ',', '\\', '>', ']']);
    let dense = marks * 8 >= low.len().max(1) && marks >= 3;
    let starts = CODE_STARTS.iter().any(|start| low.starts_with(start));
    dense
        || low.ends_with([';', '{', '}'])
        || (starts && marks >= 1 && (ends || marks >= 2 || line.starts_with([' ', '\t'])))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pasted_code_is_no_prose_and_the_words_around_it_are() {
        let page = Page::of("can you fix this\ndef fix(wrong):\n    return wrong + 1\nthanks");
        assert_eq!(
            page.prose.split_whitespace().collect::<Vec<_>>(),
            ["can", "you", "fix", "this", "thanks"]
        );
        assert_eq!((page.lines, page.code, page.errors), (4, 2, 0));
        let fenced = Page::of("look\n```\nthis is wrong\n```\nhere");
        assert_eq!(fenced.prose.split_whitespace().collect::<Vec<_>>(), ["look", "here"]);
        assert!(fenced.fenced);
    }

    #[test]
    fn an_error_is_seen_wherever_it_stands() {
        for line in [
            "it says NameError: name 'x' is not defined",
            "Error in f(x) : could not find function",
            "java.lang.NullPointerException",
            "Traceback (most recent call last):",
            "main.c:3:1: error: expected ';'",
            "npm ERR! code 1",
        ] {
            let page = Page::of(line);
            assert_eq!((page.errors, page.opens_with_error, page.ends_with_error), (1, true, true), "{line}");
        }
        for line in
            ["add error handling", "an exceptional case", "Warnings are fine", "terror", "What is an Error?"]
        {
            assert_eq!(Page::of(line).errors, 0, "{line}");
        }
        assert_eq!(Page::of("it broke\nFile \"a.py\", line 3, in <module>").traces, 1);
    }

    #[test]
    fn plain_talk_is_never_code() {
        for line in [
            "no, that's wrong (again)",
            "from what I can see, it works",
            "try again",
            "use x = 3 instead",
            "你好（世界）",
        ] {
            assert_eq!(Page::of(line).code, 0, "{line}");
        }
    }
}
