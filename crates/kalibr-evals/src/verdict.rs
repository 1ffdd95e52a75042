//! What came of holding an answer against a contract.

use kalibr_core::outcome::FailureCategory;
use serde::{Deserialize, Serialize};

/// A check. Which of them are made, the contract says.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Check {
    /// There is an answer.
    NonEmpty,
    /// The model was not cut off.
    Complete,
    /// It does not refuse.
    NoRefusal,
    /// It is no error message.
    NoError,
    /// The tools that it calls were offered, with arguments that fit.
    Tools,
    /// It has the right number of characters.
    Chars,
    /// It has the right number of words.
    Words,
    /// It is JSON.
    Json,
    /// It is JSON of a schema.
    JsonSchema,
    /// It is JSON with enough rows, and those are filled.
    Rows,
    /// It has a smaller share of nulls than the input.
    FewerNulls,
    /// It is one of the labels.
    Labels,
    /// It is, or holds, a number in range.
    Number,
    /// It matches every regular expression.
    Regex,
    /// It matches none of these regular expressions.
    RegexAbsent,
    /// It has all sections.
    Sections,
    /// It is written in the right language.
    Language,
    /// It is no copy of the input.
    Copy,
    /// It is shorter than the input by as much as it should be.
    Compression,
    /// It has code, and that parses.
    Code,
    /// What code it has parses.
    Fences,
}

/// Why a check failed. A closed list: nothing of an answer is in it.
///
/// Numbers are kept in ledgers: never change or reuse one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[repr(u8)]
pub enum Reason {
    /// There is neither a text nor a tool call.
    Empty = 0,
    /// The model ran out of tokens.
    Truncated = 1,
    /// A filter cut the answer off.
    ContentFiltered = 2,
    /// The answer refuses.
    Refused = 3,
    /// The answer is an error message.
    ErrorText = 4,
    /// No tool is called, and one should be.
    NoToolCall = 5,
    /// A tool is called that was not offered.
    UnknownTool = 6,
    /// The arguments of a tool are no JSON object.
    ToolArgumentsNotJson = 7,
    /// The arguments of a tool do not fit its schema.
    ToolArgumentsMismatch = 8,
    /// Fewer characters or words than asked for.
    TooShort = 9,
    /// More characters or words than asked for.
    TooLong = 10,
    /// It is not JSON.
    NotJson = 11,
    /// It is JSON and does not fit the schema.
    SchemaMismatch = 12,
    /// Too few rows.
    TooFewRows = 13,
    /// Too many fields of the rows are empty.
    RowsNotFilled = 14,
    /// It is none of the labels.
    NotALabel = 15,
    /// There is no number.
    NoNumber = 16,
    /// The number is out of range, or no whole one where it should be.
    NumberOutOfRange = 17,
    /// A regular expression does not match.
    PatternMissing = 18,
    /// A regular expression matches that should not.
    PatternFound = 19,
    /// A section is missing.
    SectionMissing = 20,
    /// It is written in another language.
    WrongLanguage = 21,
    /// It is a copy of the input, or nearly one.
    CopiesInput = 22,
    /// It is too long for its input.
    NotCompressed = 23,
    /// It is too short for its input.
    OverCompressed = 24,
    /// There is no code.
    NoCode = 25,
    /// The code does not parse.
    CodeBroken = 26,
    /// As many values are null or empty as in the input, or more.
    NoFewerNulls = 27,
}

/// All reasons with their names and categories, gravest first: an answer that failed for several is filed under the first.
const REASONS: [(Reason, &str, FailureCategory); 28] = [
    (Reason::Empty, "empty", FailureCategory::EmptyResponse),
    (Reason::ContentFiltered, "content_filtered", FailureCategory::ValidationFailed),
    (Reason::Refused, "refused", FailureCategory::ValidationFailed),
    (Reason::Truncated, "truncated", FailureCategory::MalformedOutput),
    (Reason::ErrorText, "error_text", FailureCategory::ValidationFailed),
    (Reason::NoToolCall, "no_tool_call", FailureCategory::ValidationFailed),
    (Reason::UnknownTool, "unknown_tool", FailureCategory::ValidationFailed),
    (Reason::ToolArgumentsNotJson, "tool_arguments_not_json", FailureCategory::MalformedOutput),
    (Reason::ToolArgumentsMismatch, "tool_arguments_mismatch", FailureCategory::ValidationFailed),
    (Reason::NotJson, "not_json", FailureCategory::MalformedOutput),
    (Reason::CodeBroken, "code_broken", FailureCategory::MalformedOutput),
    (Reason::NoCode, "no_code", FailureCategory::ValidationFailed),
    (Reason::SchemaMismatch, "schema_mismatch", FailureCategory::ValidationFailed),
    (Reason::TooFewRows, "too_few_rows", FailureCategory::ValidationFailed),
    (Reason::RowsNotFilled, "rows_not_filled", FailureCategory::ValidationFailed),
    (Reason::NoFewerNulls, "no_fewer_nulls", FailureCategory::ValidationFailed),
    (Reason::NotALabel, "not_a_label", FailureCategory::ValidationFailed),
    (Reason::NoNumber, "no_number", FailureCategory::ValidationFailed),
    (Reason::NumberOutOfRange, "number_out_of_range", FailureCategory::ValidationFailed),
    (Reason::PatternMissing, "pattern_missing", FailureCategory::ValidationFailed),
    (Reason::PatternFound, "pattern_found", FailureCategory::ValidationFailed),
    (Reason::SectionMissing, "section_missing", FailureCategory::ValidationFailed),
    (Reason::WrongLanguage, "wrong_language", FailureCategory::ValidationFailed),
    (Reason::CopiesInput, "copies_input", FailureCategory::ValidationFailed),
    (Reason::NotCompressed, "not_compressed", FailureCategory::ValidationFailed),
    (Reason::OverCompressed, "over_compressed", FailureCategory::ValidationFailed),
    (Reason::TooShort, "too_short", FailureCategory::ValidationFailed),
    (Reason::TooLong, "too_long", FailureCategory::ValidationFailed),
];

impl Reason {
    /// All reasons, gravest first.
    pub fn all() -> impl Iterator<Item = Self> {
        REASONS.iter().map(|row| row.0)
    }

    fn row(self) -> Option<&'static (Self, &'static str, FailureCategory)> {
        REASONS.iter().find(|row| row.0 == self)
    }

    /// Its name.
    pub fn as_str(self) -> &'static str {
        self.row().map_or("", |row| row.1)
    }

    /// The protocol's category of the failure.
    pub fn category(self) -> FailureCategory {
        self.row().map_or(FailureCategory::ValidationFailed, |row| row.2)
    }
}

/// A set of reasons, as one number: bit `n` is the reason with the number `n`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct Reasons(u64);

impl Reasons {
    /// The set with these bits, as a ledger kept it; bits of no reason are left out.
    pub fn from_bits(bits: u64) -> Self {
        Reason::all().filter(|reason| bits >> (*reason as u8) & 1 == 1).collect()
    }

    /// The set as a number.
    pub const fn bits(self) -> u64 {
        self.0
    }

    /// Its reasons, gravest first.
    pub fn iter(self) -> impl Iterator<Item = Reason> {
        Reason::all().filter(move |reason| self.0 >> (*reason as u8) & 1 == 1)
    }
}

impl FromIterator<Reason> for Reasons {
    fn from_iter<T: IntoIterator<Item = Reason>>(reasons: T) -> Self {
        Self(reasons.into_iter().fold(0, |bits, reason| bits | 1 << (reason as u8)))
    }
}

/// Why a check could not be evaluated.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Skip {
    /// The model calls tools: what it says besides is not the answer.
    ToolCalls,
    /// There is nothing of the kind in the answer.
    Nothing,
    /// It is too short to tell.
    TooShort,
    /// It is larger or deeper than [`limits`](crate::limits) allow.
    TooLarge,
    /// What the check compares with is not known: the input, the tools, why the model stopped.
    NotKnown,
    /// A schema that came with the request cannot be used.
    BadSchema,
    /// The input itself has what the check looks for in the answer.
    InInput,
    /// This build was made without the check (the feature `code`).
    NotBuilt,
}

/// What came of one check.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Finding {
    /// It passed.
    Passed,
    /// It failed.
    Failed(Reason),
    /// It could not be evaluated: neither a pass nor a fail.
    NotApplicable(Skip),
}

impl Finding {
    pub(crate) const fn unless(failed: bool, reason: Reason) -> Self {
        if failed { Self::Failed(reason) } else { Self::Passed }
    }
}

/// What came of all checks of a contract.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Verdict {
    findings: Vec<(Check, Finding)>,
}

impl Verdict {
    pub(crate) const fn new(findings: Vec<(Check, Finding)>) -> Self {
        Self { findings }
    }

    /// Each check that the contract asks for, and what came of it.
    pub fn findings(&self) -> &[(Check, Finding)] {
        &self.findings
    }

    /// What came of this check; `None` where the contract does not ask for it.
    pub fn finding(&self, check: Check) -> Option<Finding> {
        self.findings.iter().find(|(one, _)| *one == check).map(|(_, finding)| *finding)
    }

    /// Whether no check failed.
    pub fn passed(&self) -> bool {
        self.reasons().next().is_none()
    }

    /// Whether anything could be evaluated. A verdict that is not conclusive is no evidence.
    pub fn is_conclusive(&self) -> bool {
        self.evaluated().0 > 0
    }

    /// Why checks failed, in their order.
    pub fn reasons(&self) -> impl Iterator<Item = Reason> {
        self.findings.iter().filter_map(|(_, finding)| match finding {
            Finding::Failed(reason) => Some(*reason),
            _ => None,
        })
    }

    /// The category under which the failure is filed: that of its gravest reason. `None` where nothing failed.
    pub fn category(&self) -> Option<FailureCategory> {
        self.reasons().collect::<Reasons>().iter().next().map(Reason::category)
    }

    /// How much of the contract the answer keeps, in 0..=1, to tell the better of two answers; `None` where nothing could
    /// be evaluated.
    ///
    /// The share of the evaluated checks that passed, and 0 where there is no answer to speak of (empty, refused, filtered
    /// or an error message) however many other checks passed. It is 1 only where none failed.
    pub fn score(&self) -> Option<f64> {
        let (evaluated, failed) = self.evaluated();
        let none = [Reason::Empty, Reason::Refused, Reason::ContentFiltered, Reason::ErrorText];
        match evaluated {
            0 => None,
            _ if self.reasons().any(|reason| none.contains(&reason)) => Some(0.0),
            _ => Some(1.0 - failed as f64 / evaluated as f64),
        }
    }

    /// How many checks were evaluated, and how many of those failed.
    fn evaluated(&self) -> (usize, usize) {
        let evaluated =
            self.findings.iter().filter(|(_, finding)| !matches!(finding, Finding::NotApplicable(_))).count();
        (evaluated, self.reasons().count())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_reason_has_a_row_a_name_and_a_number_of_its_own() {
        let numbers: std::collections::BTreeSet<u8> = Reason::all().map(|reason| reason as u8).collect();
        let names: std::collections::BTreeSet<&str> = Reason::all().map(Reason::as_str).collect();
        assert_eq!((numbers.len(), names.len()), (REASONS.len(), REASONS.len()));
        assert_eq!(
            numbers.last(),
            Some(&(REASONS.len() as u8 - 1)),
            "no number is left out, so no reason is"
        );
        for reason in Reason::all() {
            assert_eq!(serde_json::to_value(reason).unwrap(), reason.as_str());
        }
    }

    #[test]
    fn a_set_of_reasons_survives_a_ledger() {
        let set: Reasons = [Reason::NotJson, Reason::Empty].into_iter().collect();
        assert_eq!(Reasons::from_bits(set.bits()), set);
        assert_eq!(set.iter().collect::<Vec<_>>(), [Reason::Empty, Reason::NotJson]);
        assert_eq!(Reasons::from_bits(u64::MAX).iter().count(), REASONS.len());
    }

    #[test]
    fn what_could_not_be_evaluated_counts_for_nothing() {
        let skipped = (Check::Language, Finding::NotApplicable(Skip::TooShort));
        let verdict = Verdict::new(vec![skipped]);
        assert!(verdict.passed() && !verdict.is_conclusive());
        assert_eq!((verdict.score(), verdict.category()), (None, None));

        let failed = (Check::Chars, Finding::Failed(Reason::TooLong));
        let verdict = Verdict::new(vec![skipped, failed, (Check::NonEmpty, Finding::Passed)]);
        assert_eq!(verdict.score(), Some(0.5));
        assert_eq!(verdict.category(), Some(FailureCategory::ValidationFailed));

        let refused = (Check::NoRefusal, Finding::Failed(Reason::Refused));
        assert_eq!(Verdict::new(vec![(Check::NonEmpty, Finding::Passed), refused]).score(), Some(0.0));
    }
}
