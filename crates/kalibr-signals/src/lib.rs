//! Understanding users: what they ask for, and what a follow-up message or an action says of the answer before it.
//!
//! Pure functions from text and numbers to evidence. Nothing here does I/O, reads a clock, or keeps a text that it was
//! given; errors never repeat one.
//!
//! * [`bucket`] classes a request: code, maths, extraction, tools, long context, talk by language.
//! * [`turn`] reads the user's next message: acceptance, rejection, or mere continuation.
//! * [`edit`] measures how much of an answer an edit changed.
//! * [`fingerprint`] is what is kept of a prompt or an answer, to compare a later text with.
//! * [`vocabulary`] names the signals that come in by name, and grades an edit.

pub mod bucket;
pub mod edit;
pub mod fingerprint;
pub mod tokens;
pub mod turn;
pub mod vocabulary;
