//! Technical results of an attempt, and the categories of failure.

use serde::{Deserialize, Serialize};

/// What came of a call, as far as it speaks of the path.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[repr(u8)]
pub enum Reply {
    /// Not known: it is under way, the caller made the call, or the caller went away in the middle.
    #[default]
    Unknown = 0,
    /// The provider answered.
    Answered = 1,
    /// The provider failed.
    Failed = 2,
    /// Nobody saw an answer, and the path is not to blame: the request itself was refused, or did not fit the model, or
    /// another path that was asked as well answered first.
    Refused = 3,
}

impl Reply {
    /// The reply with this number, as a ledger kept it.
    pub fn from_code(code: u8) -> Option<Self> {
        [Self::Unknown, Self::Answered, Self::Failed, Self::Refused]
            .into_iter()
            .find(|reply| *reply as u8 == code)
    }

    /// Whether the user may have seen an answer.
    pub const fn may_be_served(self) -> bool {
        matches!(self, Self::Unknown | Self::Answered)
    }
}

/// Why an attempt failed, in the words of the published Kalibr protocol.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum FailureCategory {
    /// No answer in time.
    Timeout,
    /// The request was longer than the model can read.
    ContextExceeded,
    /// A tool that the model called failed.
    ToolError,
    /// The provider refused for now (HTTP 429).
    RateLimited,
    /// The request or the answer did not pass a check.
    ValidationFailed,
    /// The answer asserted what is not so.
    HallucinationDetected,
    /// The user said no.
    UserUnsatisfied,
    /// There was nothing in the answer.
    EmptyResponse,
    /// The answer could not be read.
    MalformedOutput,
    /// The provider did not accept the credentials.
    AuthError,
    /// The provider failed (HTTP 5xx, connection lost, unknown model).
    ProviderError,
    /// A failure that a later attempt repaired.
    Healed,
    /// None of the others.
    Unknown,
}

impl FailureCategory {
    /// All categories, in the protocol's order.
    pub const ALL: [Self; 13] = [
        Self::Timeout,
        Self::ContextExceeded,
        Self::ToolError,
        Self::RateLimited,
        Self::ValidationFailed,
        Self::HallucinationDetected,
        Self::UserUnsatisfied,
        Self::EmptyResponse,
        Self::MalformedOutput,
        Self::AuthError,
        Self::ProviderError,
        Self::Healed,
        Self::Unknown,
    ];

    /// The protocol's name of the category.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Timeout => "timeout",
            Self::ContextExceeded => "context_exceeded",
            Self::ToolError => "tool_error",
            Self::RateLimited => "rate_limited",
            Self::ValidationFailed => "validation_failed",
            Self::HallucinationDetected => "hallucination_detected",
            Self::UserUnsatisfied => "user_unsatisfied",
            Self::EmptyResponse => "empty_response",
            Self::MalformedOutput => "malformed_output",
            Self::AuthError => "auth_error",
            Self::ProviderError => "provider_error",
            Self::Healed => "healed",
            Self::Unknown => "unknown",
        }
    }

    /// The category of this name, if it is one.
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|category| category.as_str() == name)
    }
}

impl std::fmt::Display for FailureCategory {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.as_str())
    }
}
