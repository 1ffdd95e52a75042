//! Structural evals: whether an answer keeps the contract of its goal.
//!
//! A [`Contract`] says what an answer must look like: JSON of a schema, one of a few labels, code that parses, no refusal.
//! [`Contract::check`] holds an [`Answer`] against it and gives a [`Verdict`]: of each check that it passed, failed (with a
//! [`Reason`] from a closed list, never a word of the answer), or could not be evaluated. What could not be evaluated
//! counts neither for nor against the answer: a tool call is no label, and of three words nobody can tell the language.
//!
//! Everything here is pure, and takes a bounded amount of work: see [`limits`].
//!
//! ```
//! use kalibr_evals::{Answer, Contract, Finish, Reason};
//!
//! let contract = Contract::parse(
//!     r#"
//!     json_schema = { type = "object", required = ["city"], properties = { city = { type = "string" } } }
//!     json = "fenced"   # prose around a fenced block is fine
//!     chars = { max = 2000 }
//!     "#,
//! )?;
//! let good = Answer { text: Some("```json\n{\"city\": \"Paris\"}\n```"), finish: Finish::Stop, ..Answer::default() };
//! assert!(contract.check(&good).passed());
//!
//! let prose = Answer { text: Some("The city is Paris."), finish: Finish::Stop, ..Answer::default() };
//! let verdict = contract.check(&prose);
//! assert!(!verdict.passed());
//! assert_eq!(verdict.reasons().collect::<Vec<_>>(), [Reason::NotJson]);
//! # Ok::<(), kalibr_evals::ContractError>(())
//! ```
#![cfg_attr(not(test), warn(clippy::unwrap_used))]

mod answer;
mod check;
mod code;
mod contract;
mod copy;
mod error_text;
mod json;
mod language;
mod number;
mod preset;
mod refusal;
mod rows;
mod schema;
mod sections;
mod spec;
mod text;
mod tools;
mod verdict;

pub mod limits;

pub use answer::{Answer, Finish, Tool, ToolCall};
pub use contract::{Contract, ContractError};
pub use preset::Preset;
pub use spec::{ContractSpec, JsonForm, NumberSpec, RowsSpec, ShareSpan, Span, Texts, ToolUse};
pub use verdict::{Check, Finding, Reason, Reasons, Skip, Verdict};
