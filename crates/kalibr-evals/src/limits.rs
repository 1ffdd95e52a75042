//! How much work a check may take. What is larger is not looked at, and the check is not applicable: half an answer would
//! be judged wrongly.
//!
//! All limits are on sizes and steps, never on time: this crate has no clock, and the same answer gets the same verdict on
//! every machine. `tests/bounds.rs` holds an answer of 1 MB against them.

/// Longest answer, in bytes, whose text is looked at.
pub const TEXT: usize = 4 << 20;

/// Longest JSON text, in bytes, that is parsed. Deeper than 128 levels is too deep.
pub const JSON: usize = 2 << 20;

/// Longest JSON Schema, in bytes.
pub const SCHEMA: usize = 256 << 10;

/// Most schemas in a JSON Schema, with every reference to one counted as one more of it.
pub const SCHEMAS: usize = 20_000;

/// Most levels in a JSON Schema, references included.
pub const SCHEMA_DEPTH: usize = 96;

/// Most steps for holding JSON against a schema: values, times the schemas that may apply to one value, times what a
/// recursive schema that branches multiplies them by. An upper estimate, made beforehand.
pub const SCHEMA_STEPS: u64 = 20_000_000;

/// Size of a compiled regular expression, in bytes. Matching takes time linear in the text.
pub const REGEX: usize = 1 << 20;

/// Most regular expressions, labels, sections or languages that a contract may list.
pub const LISTED: usize = 1_000;

/// Longest code, in bytes, all blocks of an answer together, that is parsed.
pub const CODE: usize = 256 << 10;

/// Most blocks of code that are parsed.
pub const CODE_BLOCKS: usize = 64;

/// Most steps of a parser for all blocks of an answer, in its own unit (about a hundred operations).
pub const PARSER_STEPS: u32 = 40_000;

/// How much of an answer, in characters, is read to tell its language.
pub const LANGUAGE: usize = 4_000;

/// Most tokens of a text that are compared to find a copy.
pub const TOKENS: usize = 200_000;

/// Most tool calls of one answer, and most tools offered, that are looked at.
pub const TOOLS: usize = 256;
