//! A contract, ready to be held against answers.

use regex::{Regex, RegexBuilder};

use crate::code::Wanted;
use crate::language::Languages;
use crate::limits;
use crate::schema::Schema;
use crate::spec::{ContractSpec, JsonForm, NumberSpec, RowsSpec, ShareSpan, Span, Texts, ToolUse};
use crate::text::normal;

/// Why a contract cannot be used. It names the key and says what to do.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ContractError {
    /// It is neither TOML nor JSON, or has a key that there is not, or a value of the wrong type.
    #[error("the contract cannot be read: {0}")]
    Unreadable(String),
    /// A key has a value that cannot be.
    #[error("{key}: {problem}")]
    Key {
        /// The key.
        key: &'static str,
        /// What is wrong with it, and what to do.
        problem: String,
    },
}

impl ContractError {
    pub(crate) fn key(key: &'static str, problem: impl Into<String>) -> Self {
        Self::Key { key, problem: problem.into() }
    }
}

/// What answers are held against: see [`ContractSpec`] for what it can ask, and [`Contract::check`].
#[derive(Debug)]
#[expect(clippy::struct_excessive_bools, reason = "each is a key of its own")]
pub struct Contract {
    pub(crate) non_empty: bool,
    pub(crate) complete: bool,
    pub(crate) tools: ToolUse,
    pub(crate) no_refusal: bool,
    pub(crate) no_error: bool,
    pub(crate) chars: Option<Span>,
    pub(crate) words: Option<Span>,
    /// Whether it must be JSON, and the form in which JSON is read.
    pub(crate) json: bool,
    pub(crate) form: JsonForm,
    pub(crate) schema: Option<Schema>,
    pub(crate) rows: Option<RowsSpec>,
    pub(crate) fewer_nulls: bool,
    /// As [`normal`] spells them.
    pub(crate) labels: Option<Vec<String>>,
    pub(crate) number: Option<NumberSpec>,
    pub(crate) regex: Vec<Regex>,
    pub(crate) regex_absent: Vec<Regex>,
    /// As [`normal`] spells them.
    pub(crate) sections: Vec<String>,
    pub(crate) language: Option<Languages>,
    pub(crate) max_copy: Option<f64>,
    pub(crate) compression: Option<ShareSpan>,
    pub(crate) code: Option<Wanted>,
    pub(crate) fences_parse: bool,
}

impl Contract {
    /// Reads a contract from TOML, or from JSON where the text begins with a brace.
    ///
    /// # Errors
    /// [`ContractError`] for what cannot be read, or cannot be.
    pub fn parse(text: &str) -> Result<Self, ContractError> {
        let unreadable = |error: String| ContractError::Unreadable(error);
        let spec = if text.trim_start().starts_with('{') {
            serde_json::from_str(text).map_err(|error| unreadable(error.to_string()))
        } else {
            toml::from_str(text).map_err(|error| unreadable(error.message().to_owned()))
        };
        Self::new(spec?)
    }

    /// A contract as it was written, checked and made ready.
    ///
    /// # Errors
    /// [`ContractError::Key`] for a value that cannot be.
    pub fn new(spec: ContractSpec) -> Result<Self, ContractError> {
        let spec = match spec.preset {
            Some(preset) => spec.or(preset.spec()),
            None => spec,
        };
        spanned("chars", spec.chars.map(|span| (span.min, span.max)))?;
        spanned("words", spec.words.map(|span| (span.min, span.max)))?;
        shares(&spec)?;
        if let Some(NumberSpec { min, max, .. }) = spec.number {
            if min.or(max).is_some_and(f64::is_nan) {
                return Err(ContractError::key("number", "min and max are numbers"));
            }
            spanned("number", Some((min, max)))?;
        }
        let schema = spec.json_schema.as_ref().map(Schema::new).transpose();
        Ok(Self {
            non_empty: spec.non_empty.unwrap_or(true),
            complete: spec.complete.unwrap_or(true),
            tools: spec.tools.unwrap_or(ToolUse::Valid),
            no_refusal: spec.no_refusal.unwrap_or(false),
            no_error: spec.no_error.unwrap_or(false),
            chars: spec.chars,
            words: spec.words,
            json: spec.json.is_some(),
            // Rows are looked for, not asked for: there a fence does no harm.
            form: spec.json.unwrap_or(JsonForm::Bare),
            schema: schema.map_err(|problem| ContractError::key("json_schema", problem.to_string()))?,
            rows: spec.rows,
            fewer_nulls: spec.fewer_nulls.unwrap_or(false),
            labels: spec.labels.map(|labels| names("labels", &labels)).transpose()?,
            number: spec.number,
            regex: regexes("regex", spec.regex)?,
            regex_absent: regexes("regex_absent", spec.regex_absent)?,
            sections: spec.sections.map(|names_| names("sections", &names_)).transpose()?.unwrap_or_default(),
            language: spec.language.map(|codes| Languages::new(&codes.0)).transpose()?,
            max_copy: spec.max_copy,
            compression: spec.compression,
            code: spec.code.map(|names| Wanted::new(&names.0)).transpose()?,
            fences_parse: spec.fences_parse.unwrap_or(false),
        })
    }
}

fn spanned<T: PartialOrd>(
    key: &'static str,
    span: Option<(Option<T>, Option<T>)>,
) -> Result<(), ContractError> {
    match span {
        Some((Some(min), Some(max))) if min > max => {
            Err(ContractError::key(key, "min is greater than max, so no answer could pass"))
        }
        _ => Ok(()),
    }
}

fn shares(spec: &ContractSpec) -> Result<(), ContractError> {
    let share = |key, share: Option<f64>| {
        if share.is_none_or(|share| (0.0..=1.0).contains(&share)) {
            return Ok(());
        }
        Err(ContractError::key(key, "a share is a number from 0 to 1"))
    };
    share("max_copy", spec.max_copy)?;
    share("rows", spec.rows.map(|rows| rows.filled))?;
    if let Some(ShareSpan { min, max }) = spec.compression {
        // An answer may well be longer than its input.
        if [min, max].into_iter().flatten().any(|bound| !(0.0..=1e6).contains(&bound)) {
            return Err(ContractError::key("compression", "min and max are shares of the input, 0 or more"));
        }
        spanned("compression", Some((min, max)))?;
    }
    Ok(())
}

/// Texts that are compared as [`normal`] spells them.
fn names(key: &'static str, names: &[String]) -> Result<Vec<String>, ContractError> {
    let normal: Vec<String> = names.iter().map(|name| normal(name)).collect();
    if normal.is_empty() || normal.len() > limits::LISTED {
        let problem = format!("list at least one name, and at most {}", limits::LISTED);
        return Err(ContractError::key(key, problem));
    }
    if normal.iter().any(String::is_empty) {
        return Err(ContractError::key(
            key,
            "a name needs at least one letter, digit or sign besides quotes",
        ));
    }
    Ok(normal)
}

fn regexes(key: &'static str, patterns: Option<Texts>) -> Result<Vec<Regex>, ContractError> {
    let Some(Texts(patterns)) = patterns else { return Ok(Vec::new()) };
    if patterns.is_empty() || patterns.len() > limits::LISTED {
        let problem = format!("give at least one regular expression, and at most {}", limits::LISTED);
        return Err(ContractError::key(key, problem));
    }
    let compile = |(index, pattern): (usize, &String)| {
        RegexBuilder::new(pattern).size_limit(limits::REGEX).build().map_err(|error| {
            let why = match error {
                regex::Error::CompiledTooBig(_) => "it is too large once compiled; repeat less".to_owned(),
                error => error.to_string().lines().last().unwrap_or_default().to_owned(),
            };
            ContractError::key(key, format!("regular expression {} is not valid: {why}", index + 1))
        })
    };
    patterns.iter().enumerate().map(compile).collect()
}
