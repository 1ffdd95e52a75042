//! Whether an answer has code, and that parses.
//!
//! Code stands in fences. A fence names its language, mostly; one that names none is tried in those asked for. What names
//! a language that is not known here is code that cannot be judged. A whole answer without fences is code where it parses
//! in a language asked for and does something: names and commas parse in most languages, so a word is no code, and a
//! shell takes almost any sentence for a command, so shell code stands in a fence.

#[cfg(feature = "code")]
mod grammar;
#[cfg(feature = "code")]
mod sql;

use crate::contract::ContractError;
use crate::json::{Fence, fences};
use crate::limits;
use crate::verdict::{Finding, Reason, Skip};

/// A language that can be parsed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Language {
    Python,
    JavaScript,
    TypeScript,
    Tsx,
    Rust,
    Go,
    Java,
    C,
    Sql,
    Json,
    Shell,
}

impl Language {
    const ALL: [Self; 11] = [
        Self::Python,
        Self::JavaScript,
        Self::TypeScript,
        Self::Tsx,
        Self::Rust,
        Self::Go,
        Self::Java,
        Self::C,
        Self::Sql,
        Self::Json,
        Self::Shell,
    ];

    /// The languages that a fence of this name may be in; empty for a language that cannot be parsed.
    fn named(name: &str) -> &'static [Self] {
        match name.to_ascii_lowercase().as_str() {
            "python" | "py" | "python3" => &[Self::Python],
            "javascript" | "js" | "jsx" | "mjs" | "cjs" | "node" => &[Self::JavaScript],
            "typescript" | "ts" | "mts" | "cts" => &[Self::TypeScript],
            "tsx" => &[Self::Tsx],
            "rust" | "rs" => &[Self::Rust],
            "go" | "golang" => &[Self::Go],
            "java" => &[Self::Java],
            "c" | "h" => &[Self::C],
            "sql" | "postgresql" | "postgres" | "mysql" | "sqlite" | "psql" | "plpgsql" | "tsql" => {
                &[Self::Sql]
            }
            "json" | "jsonl" | "ndjson" => &[Self::Json],
            "shell" | "sh" | "bash" | "zsh" => &[Self::Shell],
            _ => &[],
        }
    }
}

/// Fences of these names hold no code.
const NO_CODE: [&str; 14] = [
    "text",
    "txt",
    "plaintext",
    "plain",
    "output",
    "console",
    "log",
    "markdown",
    "md",
    "mermaid",
    "diff",
    "tree",
    "math",
    "latex",
];

/// The code that an answer must have.
#[derive(Debug)]
pub(crate) struct Wanted {
    /// Any code will do.
    any: bool,
    languages: Vec<Language>,
}

impl Wanted {
    pub(crate) fn new(names: &[String]) -> Result<Self, ContractError> {
        let problem = |problem: String| Err(ContractError::key("code", problem));
        if names.is_empty() || names.len() > limits::LISTED {
            return problem("name at least one language, or \"any\"".to_owned());
        }
        let mut wanted = Self { any: false, languages: Vec::new() };
        for name in names {
            let languages = Language::named(name);
            if name == "any" {
                wanted.any = true;
                wanted.languages.extend(Language::ALL);
            } else if languages.is_empty() {
                return problem(format!(
                    "{name:?} cannot be parsed; there are python, javascript, typescript, tsx, rust, go, java, c, sql, json, shell and any"
                ));
            } else {
                wanted.languages.extend(languages);
            }
        }
        Ok(wanted)
    }

    fn wants(&self, language: Language) -> bool {
        self.languages.contains(&language)
            // What is typed is JavaScript with types.
            || language == Language::Tsx && self.languages.contains(&Language::TypeScript)
    }
}

/// What came of parsing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Parsed {
    /// It parses; `acts`: it has more than names and values.
    Fine {
        acts: bool,
    },
    Broken,
    /// It was not parsed to its end.
    Skipped(Skip),
}

/// Parses code, and keeps count of the work that it takes.
struct Parser {
    bytes: usize,
    blocks: usize,
    #[cfg_attr(not(feature = "code"), expect(dead_code, reason = "only grammars take steps"))]
    steps: u32,
}

impl Parser {
    const fn new() -> Self {
        Self { bytes: limits::CODE, blocks: limits::CODE_BLOCKS, steps: limits::PARSER_STEPS }
    }

    fn parse(&mut self, code: &str, language: Language) -> Parsed {
        let too_large = Parsed::Skipped(Skip::TooLarge);
        let (Some(bytes), Some(blocks)) = (self.bytes.checked_sub(code.len()), self.blocks.checked_sub(1))
        else {
            return too_large;
        };
        (self.bytes, self.blocks) = (bytes, blocks);
        match language {
            Language::Json => json(code),
            #[cfg(feature = "code")]
            Language::Sql => sql::parse(code),
            #[cfg(feature = "code")]
            language => grammar::parse(code, language, &mut self.steps),
            #[cfg(not(feature = "code"))]
            _ => Parsed::Skipped(Skip::NotBuilt),
        }
    }

    /// As the first of the languages in which it parses.
    fn parse_as(&mut self, code: &str, languages: &[Language]) -> Parsed {
        let mut result = Parsed::Broken;
        for language in languages {
            match self.parse(code, *language) {
                fine @ Parsed::Fine { .. } => return fine,
                skipped @ Parsed::Skipped(_) => result = skipped,
                Parsed::Broken => {}
            }
        }
        result
    }
}

/// JSON, or lines of it.
fn json(code: &str) -> Parsed {
    let mut values = serde_json::Deserializer::from_str(code).into_iter::<serde_json::Value>().peekable();
    let acts = matches!(values.peek(), Some(Ok(value)) if value.is_object() || value.is_array());
    match values.find_map(Result::err) {
        Some(error) if error.to_string().starts_with("recursion limit") => Parsed::Skipped(Skip::TooLarge),
        Some(_) => Parsed::Broken,
        None => Parsed::Fine { acts },
    }
}

/// Whether the answer has code as wanted, all of which parses.
pub(crate) fn check(text: &str, wanted: &Wanted) -> Finding {
    let mut parser = Parser::new();
    let blocks: Vec<Fence<'_>> = fences(text).take(limits::CODE_BLOCKS + 1).collect();
    if blocks.is_empty() {
        return check_bare(text, wanted, &mut parser);
    }
    let (mut found, mut nameless, mut skipped) = (false, None, None);
    for block in blocks.iter().filter(|block| !block.body.trim().is_empty()) {
        let languages = Language::named(block.language);
        let parsed = if block.language.is_empty() {
            match parser.parse_as(block.body, &wanted.languages) {
                // It may be what the code prints, or in a language of which nobody asked.
                Parsed::Broken => {
                    nameless = Some(Reason::CodeBroken);
                    continue;
                }
                parsed => parsed,
            }
        } else if languages.is_empty() {
            found |= wanted.any && !NO_CODE.iter().any(|name| block.language.eq_ignore_ascii_case(name));
            continue;
        } else if languages.iter().any(|language| wanted.wants(*language)) && !is_session(block.body) {
            parser.parse_as(block.body, languages)
        } else {
            continue;
        };
        match parsed {
            Parsed::Fine { .. } => found = true,
            Parsed::Broken => return Finding::Failed(Reason::CodeBroken),
            Parsed::Skipped(skip) => skipped = Some(skip),
        }
    }
    match (skipped, nameless) {
        (Some(skip), _) => Finding::NotApplicable(skip),
        (None, _) if found => Finding::Passed,
        // Where any language will do, it may be in one that cannot be parsed.
        (None, Some(_)) if wanted.any => Finding::NotApplicable(Skip::NotKnown),
        (None, broken) => Finding::Failed(broken.unwrap_or(Reason::NoCode)),
    }
}

/// An answer without fences.
fn check_bare(text: &str, wanted: &Wanted, parser: &mut Parser) -> Finding {
    // What is prose in all of these needs no parser to be told from code.
    if !text.contains(['(', '{', '[', '=', ';', ':']) && !text.contains("SELECT") && !text.contains("select")
    {
        return Finding::Failed(Reason::NoCode);
    }
    let mut skipped = None;
    for language in wanted.languages.iter().filter(|language| **language != Language::Shell) {
        match parser.parse(text, *language) {
            Parsed::Fine { acts: true } => return Finding::Passed,
            Parsed::Skipped(skip) => skipped = Some(skip),
            Parsed::Fine { acts: false } | Parsed::Broken => {}
        }
    }
    skipped.map_or(Finding::Failed(Reason::NoCode), Finding::NotApplicable)
}

/// Whether the code in fences that name a language parses.
pub(crate) fn check_fences(text: &str) -> Finding {
    let mut parser = Parser::new();
    let mut result = Finding::NotApplicable(Skip::Nothing);
    for block in fences(text).take(limits::CODE_BLOCKS + 1) {
        let languages = Language::named(block.language);
        if languages.is_empty() || is_session(block.body) {
            continue;
        }
        match parser.parse_as(block.body, languages) {
            Parsed::Broken => return Finding::Failed(Reason::CodeBroken),
            Parsed::Skipped(skip) => result = Finding::NotApplicable(skip),
            Parsed::Fine { .. } if result == Finding::NotApplicable(Skip::Nothing) => {
                result = Finding::Passed;
            }
            Parsed::Fine { .. } => {}
        }
    }
    result
}

/// What was typed and printed at a prompt is no program.
fn is_session(code: &str) -> bool {
    let code = code.trim_start();
    [">>> ", "In [", "$ ", "% ", "\\", "sqlite> ", "postgres=#", "mysql> "]
        .iter()
        .any(|prompt| code.starts_with(prompt))
}

#[cfg(test)]
mod tests;
