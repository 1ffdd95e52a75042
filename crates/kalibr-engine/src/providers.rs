//! How providers are doing, for people and dashboards.

use kalibr_core::availability::Standing;
use serde::Serialize;

use crate::engine::Engine;

/// A provider that was called in the last hours.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct ProviderInfo {
    /// Its name: the prefix of its models.
    pub name: String,
    /// The provider as a whole.
    #[serde(flatten)]
    pub standing: StandingInfo,
    /// Its models that were called.
    pub models: Vec<ModelInfo>,
}

/// A model that was called in the last hours.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct ModelInfo {
    /// Its name at its provider.
    pub name: String,
    /// Apart from how the whole provider is doing.
    #[serde(flatten)]
    pub standing: StandingInfo,
}

/// How a provider or a model is doing.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct StandingInfo {
    /// `up`; `down`: it kept failing and is left alone; `probing`: one request at a time tries whether it is back;
    /// `resting`: it asked to be left alone.
    pub state: &'static str,
    /// The expected share of calls that it answers, in 0..=1; 1 while none has failed lately.
    pub availability: f64,
    /// Seconds until it is called again; `null` when it may be by now.
    pub next_try_s: Option<f64>,
}

impl From<&Standing> for StandingInfo {
    fn from(standing: &Standing) -> Self {
        Self {
            state: standing.state.as_str(),
            availability: standing.availability,
            next_try_s: standing.next_try.map(|micros| micros as f64 / 1e6),
        }
    }
}

impl Engine {
    /// How the providers are doing that this process called, or that the ledger knew of when it started, by name. The
    /// breakers of other processes are their own.
    pub fn providers(&self) -> Vec<ProviderInfo> {
        let of = |(name, standing): &(std::sync::Arc<str>, Standing)| ModelInfo {
            name: name.to_string(),
            standing: standing.into(),
        };
        self.outages()
            .standings()
            .iter()
            .map(|provider| ProviderInfo {
                name: provider.name.to_string(),
                standing: (&provider.standing).into(),
                models: provider.models.iter().map(of).collect(),
            })
            .collect()
    }
}
