//! The grammars (tree-sitter).

use std::ops::ControlFlow;

use tree_sitter::{Language as Grammar, ParseOptions, ParseState, Parser, Tree};

use super::{Language, Parsed};
use crate::verdict::Skip;

fn grammar(language: Language) -> Option<Grammar> {
    let grammar = match language {
        Language::Python => tree_sitter_python::LANGUAGE,
        Language::JavaScript => tree_sitter_javascript::LANGUAGE,
        Language::TypeScript => tree_sitter_typescript::LANGUAGE_TYPESCRIPT,
        Language::Tsx => tree_sitter_typescript::LANGUAGE_TSX,
        Language::Rust => tree_sitter_rust::LANGUAGE,
        Language::Go => tree_sitter_go::LANGUAGE,
        Language::Java => tree_sitter_java::LANGUAGE,
        Language::C => tree_sitter_c::LANGUAGE,
        Language::Shell => tree_sitter_bash::LANGUAGE,
        Language::Sql | Language::Json => return None,
    };
    Some(grammar.into())
}

/// Parses, and takes what it took off `steps`.
pub(super) fn parse(code: &str, language: Language, steps: &mut u32) -> Parsed {
    let mut parser = Parser::new();
    let is_set = grammar(language).is_some_and(|grammar| parser.set_language(&grammar).is_ok());
    if !is_set {
        return Parsed::Skipped(Skip::NotBuilt);
    }
    let mut step = |_: &ParseState| match steps.checked_sub(1) {
        Some(left) => {
            *steps = left;
            ControlFlow::Continue(())
        }
        None => ControlFlow::Break(()),
    };
    let options = ParseOptions::new().progress_callback(&mut step);
    let bytes = code.as_bytes();
    let tree =
        parser.parse_with_options(&mut |at, _| bytes.get(at..).unwrap_or_default(), None, Some(options));
    match tree {
        None => Parsed::Skipped(Skip::TooLarge),
        // What a preprocessor makes of it is not known: half of the C in use does not parse before.
        Some(tree) if tree.root_node().has_error() && language == Language::C && has_macros(code) => {
            Parsed::Skipped(Skip::NotKnown)
        }
        Some(tree) if tree.root_node().has_error() => Parsed::Broken,
        Some(tree) => Parsed::Fine { acts: acts(&tree) },
    }
}

/// Whether C defines or seems to use macros, or speaks to one compiler.
fn has_macros(code: &str) -> bool {
    let directive = |line: &str| {
        let rest = line.trim_start().strip_prefix('#').map(str::trim_start);
        rest.is_some_and(|rest| ["define", "if", "elif", "else"].iter().any(|word| rest.starts_with(word)))
    };
    let shouts = |word: &str| {
        word.len() > 3 && word.bytes().all(|b| b.is_ascii_uppercase() || b.is_ascii_digit() || b == b'_')
    };
    let mut words = code.split(|c: char| !(c.is_ascii_alphanumeric() || c == '_'));
    code.lines().any(directive) || words.any(|word| word.starts_with("__") || shouts(word))
}

/// Parts of the names of nodes, in any of the grammars, that stand for something done or declared.
const ACTS: [&str; 15] = [
    "call",
    "assignment",
    "definition",
    "declarat",
    "import",
    "include",
    "function",
    "method",
    "_item",
    "if_",
    "for_",
    "while_",
    "return_",
    "lambda",
    "macro",
];

/// How many nodes are looked at: whatever acts does so early.
const LOOKED_AT: usize = 2_000;

/// Whether it has more than names, values and what joins them.
fn acts(tree: &Tree) -> bool {
    let mut cursor = tree.walk();
    for _ in 0..LOOKED_AT {
        let node = cursor.node();
        if node.is_named() && ACTS.iter().any(|part| node.kind().contains(part)) {
            return true;
        }
        if cursor.goto_first_child() {
            continue;
        }
        while !cursor.goto_next_sibling() {
            if !cursor.goto_parent() {
                return false;
            }
        }
    }
    true
}
