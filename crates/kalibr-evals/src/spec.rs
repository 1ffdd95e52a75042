//! A contract as configuration files and requests spell it.

use serde::de::{self, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize};
use serde_json::Value;

use crate::preset::Preset;

/// A contract as it is written: every key may be left out. What a key left out means is said with it; with a preset, the
/// preset's word counts first.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ContractSpec {
    /// What to start from: the keys below replace what it says.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub preset: Option<Preset>,
    /// Whether there must be a text or a tool call. `true` unless set.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub non_empty: Option<bool>,
    /// Whether an answer that was cut off (out of tokens, or by a filter) fails. `true` unless set.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub complete: Option<bool>,
    /// What is asked of tool calls. [`ToolUse::Valid`] unless set.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tools: Option<ToolUse>,
    /// Whether a refusal fails, in English and thirteen other languages. `false` unless set.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub no_refusal: Option<bool>,
    /// Whether an answer that is only an error message fails. `false` unless set.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub no_error: Option<bool>,
    /// How many characters (Unicode scalar values, white space at both ends left out) it has.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub chars: Option<Span>,
    /// How many words it has: runs of letters and digits, and single characters of scripts without spaces.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub words: Option<Span>,
    /// It is JSON, in this form. Not asked unless set; [`JsonForm::Bare`] where another key asks for JSON.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub json: Option<JsonForm>,
    /// It is JSON of this schema (draft 2020-12 unless its `$schema` says otherwise; `format` is checked). References stay
    /// within the schema (`#/$defs/name`), and patterns have no look-around.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub json_schema: Option<Value>,
    /// Its JSON is a list of rows. Not applicable to what is not JSON.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rows: Option<RowsSpec>,
    /// Whether its rows must have a smaller share of nulls than the rows in the input. Not applicable unless both have some.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub fewer_nulls: Option<bool>,
    /// It is one of these. Letter case, white space, `-` and `_`, quotes, emphasis and a closing full stop make no
    /// difference: `"**Not spam.**"` is the label `not_spam`. Nothing else may stand beside it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub labels: Option<Vec<String>>,
    /// It is, or holds, a number.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub number: Option<NumberSpec>,
    /// Every one of these regular expressions matches somewhere in it. Syntax of the crate `regex`: no look-around, no
    /// back-references; `(?s)` lets the dot match line ends, `(?m)` makes `^` and `$` those of lines.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub regex: Option<Texts>,
    /// None of these regular expressions matches anywhere in it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub regex_absent: Option<Texts>,
    /// It has a heading for each of these: a Markdown or HTML heading, a line in bold, or a line that ends in a colon.
    /// Numbers before and colons after a heading, and what labels ignore, make no difference.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub sections: Option<Vec<String>>,
    /// It is written in one of these languages, by ISO 639-1 or 639-3 code. Fails only where enough text is clearly in
    /// another language; code is left out of account.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub language: Option<Texts>,
    /// How like the input it may be, from 0 to 1: twice the runs of four words that both have, divided by the runs that
    /// there are in both (Dice). A copy has 1; 0.8 is a good bound.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_copy: Option<f64>,
    /// How long it may be, in words, as a share of the input. Not applicable to inputs of less than 200 words.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub compression: Option<ShareSpan>,
    /// It has code in one of these languages, and all its code in them parses: `python`, `javascript`, `typescript`,
    /// `rust`, `go`, `java`, `c`, `sql`, `json`, `shell`; or `any` for a block of code in any language, of which those
    /// that can be parsed must. Code is what stands in fences, or a whole answer that parses and is more than a word.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub code: Option<Texts>,
    /// Whether code in fences, where there is any, must parse.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub fences_parse: Option<bool>,
}

/// From how many to how many.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Span {
    /// At least so many.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub min: Option<u64>,
    /// At most so many.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max: Option<u64>,
}

/// From which to which share.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ShareSpan {
    /// At least this share.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub min: Option<f64>,
    /// At most this share.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max: Option<f64>,
}

/// In what form JSON is accepted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum JsonForm {
    /// The answer is JSON and nothing else.
    Bare,
    /// The answer is JSON, or has it in its first fenced block that is JSON, with any prose around it.
    Fenced,
}

/// What is asked of tool calls.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ToolUse {
    /// Nothing.
    Any,
    /// Those that are made are of offered tools, with arguments that fit their schemas.
    Valid,
    /// As `valid`, and there is at least one.
    Required,
}

/// What is asked of a number.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct NumberSpec {
    /// At least this.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub min: Option<f64>,
    /// At most this.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max: Option<f64>,
    /// Whether it is a whole number.
    pub integer: bool,
    /// Whether the number may stand among words. Then any number in range will do, but what follows `/`, `of` or `out
    /// of` (the scale, as in `87/100`) is none. Otherwise the answer is the number alone.
    pub anywhere: bool,
}

/// What is asked of rows: a list of objects, alone or as the only list in an object; lines of JSON objects; or an object
/// with a number in `rows_out`.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct RowsSpec {
    /// At least so many rows; 1 unless set.
    pub min: u64,
    /// The share of fields that are neither null nor an empty text, from 0 to 1, over all fields that any row has. 0
    /// unless set.
    pub filled: f64,
}

impl Default for RowsSpec {
    fn default() -> Self {
        Self { min: 1, filled: 0.0 }
    }
}

/// One text, or a list of them.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
#[serde(transparent)]
pub struct Texts(pub Vec<String>);

impl<'de> Deserialize<'de> for Texts {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct TextsVisitor;

        impl<'de> Visitor<'de> for TextsVisitor {
            type Value = Texts;

            fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str("a text or a list of texts")
            }

            fn visit_str<E: de::Error>(self, text: &str) -> Result<Texts, E> {
                Ok(Texts(vec![text.to_owned()]))
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Texts, A::Error> {
                let mut texts = Vec::new();
                while let Some(text) = list.next_element()? {
                    texts.push(text);
                }
                Ok(Texts(texts))
            }
        }

        deserializer.deserialize_any(TextsVisitor)
    }
}

impl ContractSpec {
    /// What is said here, and else what `other` says.
    #[must_use]
    pub(crate) fn or(self, other: Self) -> Self {
        Self {
            preset: self.preset.or(other.preset),
            non_empty: self.non_empty.or(other.non_empty),
            complete: self.complete.or(other.complete),
            tools: self.tools.or(other.tools),
            no_refusal: self.no_refusal.or(other.no_refusal),
            no_error: self.no_error.or(other.no_error),
            chars: self.chars.or(other.chars),
            words: self.words.or(other.words),
            json: self.json.or(other.json),
            json_schema: self.json_schema.or(other.json_schema),
            rows: self.rows.or(other.rows),
            fewer_nulls: self.fewer_nulls.or(other.fewer_nulls),
            labels: self.labels.or(other.labels),
            number: self.number.or(other.number),
            regex: self.regex.or(other.regex),
            regex_absent: self.regex_absent.or(other.regex_absent),
            sections: self.sections.or(other.sections),
            language: self.language.or(other.language),
            max_copy: self.max_copy.or(other.max_copy),
            compression: self.compression.or(other.compression),
            code: self.code.or(other.code),
            fences_parse: self.fences_parse.or(other.fences_parse),
        }
    }
}
