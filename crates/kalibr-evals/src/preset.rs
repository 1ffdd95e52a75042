//! Contracts to start from, for the goal types that the published Kalibr documents.
//!
//! They keep what its documentation means and leave out what would fail good answers: no preset asks for a length where
//! a word is an answer, for sentences where a list is one, or for prose where a tool is called. Each says what it asks for
//! beyond a complete answer and valid tool calls. A share of fields or a number of rows is only asked of answers that
//! have rows; what cannot be seen in an answer (whether subtasks were completed) is not asked for at all.

use serde::{Deserialize, Serialize};

use crate::spec::{ContractSpec, NumberSpec, RowsSpec, ShareSpan, Span, Texts};

/// A type of goal.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Preset {
    /// Anything: "Paris" is an answer, and so is a polite refusal.
    General,
    /// Code, in a fence or alone, and all of it that can be parsed does. Prose is none, nor is a refusal.
    CodeGeneration,
    /// No refusal, no near-copy of the input, and at most 60 % as long as an input of 200 words or more. A list will do.
    Summarization,
    /// A message of 50 to 4,000 characters, and no refusal.
    OutreachGeneration,
    /// No refusal, and at most 60 words: a label, with a reason if need be. Name the `labels` to be strict.
    Classification,
    /// No refusal and no error message; of JSON, at least one row, with four of five fields filled.
    WebScraping,
    /// A number from 0 to 100, which may stand among words.
    LeadScoring,
    /// No refusal, no error message, at least 20 words.
    Research,
    /// No refusal and no error message; fewer nulls than in the input, where both have rows.
    DataEnrichment,
    /// No refusal and no error message; of JSON, at least one row.
    DataPipeline,
    /// No refusal and no error message. "Looks good to me." is a review.
    CodeReview,
    /// No refusal, no error message, at least 20 words.
    SystemDesign,
    /// No error message.
    AgentOrchestration,
}

impl Preset {
    /// All presets.
    pub const ALL: [Self; 13] = [
        Self::General,
        Self::CodeGeneration,
        Self::Summarization,
        Self::OutreachGeneration,
        Self::Classification,
        Self::WebScraping,
        Self::LeadScoring,
        Self::Research,
        Self::DataEnrichment,
        Self::DataPipeline,
        Self::CodeReview,
        Self::SystemDesign,
        Self::AgentOrchestration,
    ];

    /// What it asks for.
    pub fn spec(self) -> ContractSpec {
        let yes = Some(true);
        let at_least = |min| Some(Span { min: Some(min), max: None });
        let helpful = ContractSpec { no_refusal: yes, no_error: yes, ..ContractSpec::default() };
        match self {
            Self::General => ContractSpec::default(),
            Self::CodeGeneration => ContractSpec { code: Some(Texts(vec!["any".into()])), ..helpful },
            Self::Summarization => ContractSpec {
                max_copy: Some(0.8),
                compression: Some(ShareSpan { min: None, max: Some(0.6) }),
                ..helpful
            },
            Self::OutreachGeneration => {
                ContractSpec { chars: Some(Span { min: Some(50), max: Some(4_000) }), ..helpful }
            }
            Self::Classification => {
                ContractSpec { words: Some(Span { min: None, max: Some(60) }), ..helpful }
            }
            Self::WebScraping => ContractSpec { rows: Some(RowsSpec { min: 1, filled: 0.8 }), ..helpful },
            Self::LeadScoring => ContractSpec {
                number: Some(NumberSpec {
                    min: Some(0.0),
                    max: Some(100.0),
                    anywhere: true,
                    ..NumberSpec::default()
                }),
                ..helpful
            },
            Self::Research | Self::SystemDesign => ContractSpec { words: at_least(20), ..helpful },
            Self::DataEnrichment => ContractSpec { fewer_nulls: yes, ..helpful },
            Self::DataPipeline => ContractSpec { rows: Some(RowsSpec::default()), ..helpful },
            Self::CodeReview => helpful,
            Self::AgentOrchestration => ContractSpec { no_error: yes, ..ContractSpec::default() },
        }
    }
}
