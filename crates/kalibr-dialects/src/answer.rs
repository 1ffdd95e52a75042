//! Answers, what they used, and errors.

use std::fmt;

use crate::form::{Kept, Part, Shape, silent};
use crate::json::Json;

/// A whole answer.
#[derive(Clone, PartialEq, Default)]
pub struct Answer {
    /// The provider's id of it.
    pub id: Option<String>,
    /// The model that answered, as the provider names it.
    pub model: Option<String>,
    /// When, in seconds of Unix time.
    pub created: Option<u64>,
    /// The answers: one, unless more were asked for.
    pub choices: Vec<Choice>,
    /// What it used.
    pub usage: Option<Usage>,
    /// What only one dialect knows.
    pub kept: Kept,
}

/// One of the answers to a request.
#[derive(Clone, PartialEq, Default)]
pub struct Choice {
    /// Its number, from 0.
    pub index: u64,
    /// What it says.
    pub parts: Vec<Part>,
    /// How the content was written.
    pub shape: Shape,
    /// Why it ended.
    pub finish: Option<Finish>,
    /// The text that ended it, if one did.
    pub stop_text: Option<String>,
    /// Probabilities of its tokens, in OpenAI's form.
    pub logprobs: Option<Json>,
    /// What only one dialect knows.
    pub kept: Kept,
}

/// Why an answer ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Finish {
    /// It was complete.
    Stop,
    /// One of the texts that end an answer came.
    StopText,
    /// It reached the most tokens.
    Length,
    /// It called tools.
    Tools,
    /// The provider or the model declined.
    Filter,
    /// It paused within a tool of the provider, and goes on when it is sent back.
    Paused,
    /// The conversation reached the most that the model reads.
    Full,
    /// In words that only one dialect knows.
    Other,
}

/// What an answer used, in tokens.
#[derive(Clone, PartialEq, Default)]
pub struct Usage {
    /// Of the request, read from the cache or not.
    pub input: u64,
    /// Of those, read from the cache.
    pub cached: Option<u64>,
    /// Of those, written to the cache.
    pub cache_written: Option<u64>,
    /// Of the answer, reasoning included.
    pub output: u64,
    /// Of those, reasoning.
    pub reasoning: Option<u64>,
    /// What only one dialect knows.
    pub kept: Kept,
}

/// An error that a provider or the gateway answers with.
#[derive(Clone, PartialEq, Eq)]
pub struct ApiError {
    /// The HTTP status.
    pub status: u16,
    /// What kind of error it is.
    pub kind: ErrorKind,
    /// A sentence for people. A provider's often repeats what the user wrote, so it is for the caller alone.
    pub message: String,
    /// The field at fault.
    pub param: Option<String>,
    /// The provider's name of the error.
    pub code: Option<String>,
}

/// Kinds of errors, by what a caller does about them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ErrorKind {
    /// The request is wrong.
    Invalid,
    /// The key is wrong.
    Authentication,
    /// The account has no credit.
    Billing,
    /// The key may not do this.
    Permission,
    /// There is no such model or address.
    NotFound,
    /// The request has too many bytes.
    TooLarge,
    /// Too many requests or tokens in too short a time.
    RateLimit,
    /// No answer in time.
    Timeout,
    /// The provider has more to do than it can.
    Overloaded,
    /// The provider failed.
    Server,
}

impl ErrorKind {
    /// What a status means by itself.
    pub fn of_status(status: u16) -> Self {
        match status {
            401 => Self::Authentication,
            402 => Self::Billing,
            403 => Self::Permission,
            404 => Self::NotFound,
            408 | 504 => Self::Timeout,
            413 => Self::TooLarge,
            429 => Self::RateLimit,
            503 | 529 => Self::Overloaded,
            400..=499 => Self::Invalid,
            _ => Self::Server,
        }
    }

    /// The status that says it best.
    pub fn status(self) -> u16 {
        match self {
            Self::Invalid => 400,
            Self::Authentication => 401,
            Self::Billing => 402,
            Self::Permission => 403,
            Self::NotFound => 404,
            Self::TooLarge => 413,
            Self::RateLimit => 429,
            Self::Timeout => 504,
            Self::Overloaded => 529,
            Self::Server => 500,
        }
    }
}

silent!(Answer, Choice, Usage);

/// Leaves the message out: a provider's often repeats what the user wrote.
impl fmt::Debug for ApiError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ApiError")
            .field("status", &self.status)
            .field("kind", &self.kind)
            .finish_non_exhaustive()
    }
}
