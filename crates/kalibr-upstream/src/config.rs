//! Providers as an operator writes them down.

use std::collections::BTreeMap;

use serde::Deserialize;

use crate::secret::Secret;
use crate::simulated::SimulatedModel;

/// Providers as configured: the part of `kalibr.toml` that this crate reads.
///
/// ```
/// let config: kalibr_upstream::ProvidersConfig = toml::from_str(
///     r#"
///     default_provider = "gpu"
///
///     [providers.gpu]
///     base_url = "http://gpu.internal:8000/v1"
///     api_key_env = "GPU_KEY"
///     timeout_ms = 300000
///     "#,
/// )
/// .unwrap();
/// assert_eq!(config.providers["gpu"].timeout_ms, 300_000);
/// ```
#[derive(Debug, Clone, PartialEq, Default, Deserialize)]
#[serde(default)]
pub struct ProvidersConfig {
    /// The provider of models whose name tells none; `openai` unless set.
    pub default_provider: Option<String>,
    /// Providers by name, which is the prefix of their models. A well-known name is adjusted, any other is added.
    pub providers: BTreeMap<String, ProviderConfig>,
}

/// What kind of thing a provider is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ProviderKind {
    /// An OpenAI-compatible HTTP endpoint.
    OpenAi,
    /// Anthropic's `/v1/messages`, or an endpoint that speaks like it.
    Anthropic,
    /// Google's `models/{model}:generateContent`, or an endpoint that speaks like it.
    Gemini,
    /// Made-up answers without a network: see [`crate::simulated`].
    Simulated,
}

/// One provider: a table `[providers.NAME]`.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ProviderConfig {
    /// `"openai"` (any compatible endpoint), `"anthropic"`, `"gemini"` or `"simulated"`. Unless set it is what a
    /// well-known provider speaks, and `"openai"` for any other.
    pub kind: Option<ProviderKind>,
    /// Where its `/chat/completions` is: `https://api.openai.com/v1`; what stands before `/v1/messages` or `/models`
    /// where it speaks Anthropic's or Google's dialect. A well-known provider has its own.
    pub base_url: Option<String>,
    /// Its key. Better name the environment variable that holds it.
    pub api_key: Option<Secret>,
    /// The environment variable that holds its key.
    pub api_key_env: Option<String>,
    /// More headers to send, such as `OpenAI-Organization`. Their values are treated as secrets.
    pub headers: BTreeMap<String, Secret>,
    /// Longest time to connect, TLS included, in milliseconds: 5,000 unless set.
    pub connect_timeout_ms: u64,
    /// Longest time to the whole answer, or to the first event of a stream, in milliseconds: 120,000 unless set.
    pub timeout_ms: u64,
    /// Longest silence within a stream, in milliseconds: 60,000 unless set.
    pub idle_timeout_ms: u64,
    /// The largest answer that is accepted, streams included, in bytes: 64 MiB unless set.
    pub max_answer_bytes: usize,
    /// Whether it accepts `stream_options`, by which a stream's usage is asked for: yes unless known otherwise.
    pub stream_options: Option<bool>,
    /// Of a simulated provider: its models.
    pub models: BTreeMap<String, SimulatedModel>,
    /// Of a simulated provider: what its chances are drawn from. Equal seeds give equal answers.
    pub seed: u64,
}

impl Default for ProviderConfig {
    fn default() -> Self {
        Self {
            kind: None,
            base_url: None,
            api_key: None,
            api_key_env: None,
            headers: BTreeMap::new(),
            // A provider that is up accepts within one retransmission of a lost packet (3 s at the most).
            connect_timeout_ms: 5_000,
            // Long answers of reasoning models take minutes when they are not streamed.
            timeout_ms: 120_000,
            idle_timeout_ms: 60_000,
            max_answer_bytes: 64 << 20,
            stream_options: None,
            models: BTreeMap::new(),
            seed: 0,
        }
    }
}

/// A provider's configuration cannot be used. Messages name the provider and the key, never a value: it may hold a
/// secret.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ConfigError {
    /// A name that cannot be a model's prefix.
    #[error("the provider name {0:?} cannot be a model's prefix: use letters, digits, '-', '_' and '.'")]
    BadName(String),
    /// Nobody knows where this provider is.
    #[error("provider {0} is not well known: set base_url in [providers.{0}], such as \"https://host/v1\"")]
    NoBaseUrl(String),
    /// An address that cannot be one.
    #[error(
        "the base URL of provider {provider}, from {origin}, cannot be used: it looks like \"https://host/v1\", \
         without user, query or what comes after it in a call, such as \"/chat/completions\""
    )]
    BadBaseUrl {
        /// The provider's name.
        provider: String,
        /// Where the address came from: an environment variable or `base_url`.
        origin: String,
    },
    /// A key that cannot be sent.
    #[error(
        "the API key of provider {0} has characters that no header may have: check where it was copied from"
    )]
    BadKey(String),
    /// A header that cannot be sent.
    #[error(
        "the header {header:?} of provider {provider} cannot be set: its name or value is not valid, or the call itself decides it"
    )]
    BadHeader {
        /// The provider's name.
        provider: String,
        /// The header's name as configured.
        header: String,
    },
    /// A limit of zero would fail every call.
    #[error(
        "{key} of provider {provider} is 0, which would fail every call: leave it out or give it a value"
    )]
    ZeroLimit {
        /// The provider's name.
        provider: String,
        /// The key in its table.
        key: &'static str,
    },
    /// A key that another kind of provider has.
    #[error("provider {provider} is of kind {kind}, which has no {key}: remove it or change the kind")]
    WrongKind {
        /// The provider's name.
        provider: String,
        /// Its kind.
        kind: &'static str,
        /// The key in its table.
        key: &'static str,
    },
    /// A chance outside 0 to 1.
    #[error("model {model:?} of provider {provider}: quality and failure_rate are numbers from 0 to 1")]
    BadChance {
        /// The provider's name.
        provider: String,
        /// The simulated model's name.
        model: String,
    },
    /// The default is nowhere.
    #[error(
        "default_provider names {0:?}, which is neither well known nor configured: add [providers.NAME] or correct it"
    )]
    NoDefault(String),
}
