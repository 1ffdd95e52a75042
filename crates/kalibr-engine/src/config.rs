//! The configuration file, `kalibr.toml`. Everything in it is optional.
//!
//! ```toml
//! [providers.local]
//! base_url = "http://127.0.0.1:8080/v1"
//!
//! [goals.research_summary]
//! paths = ["gpt-4o-mini", { model = "local/llama", params = { temperature = 0 } }]
//! half_life = 800
//! buckets = "auto"
//! objective = { mode = "cheapest_within", delta = 0.05 }
//! limits = { max_cost_usd = 0.02, slo = { latency_ms = 3000 } }
//! calls = { attempts = 3, timeout_ms = 60000, hedge_after_ms = 4000 }
//! contract = { preset = "research", language = "en", sections = ["Summary", "Sources"] }
//!
//! # Nine of ten verdicts on follow-up messages that become signals are to be right; fewer become some at 0.95.
//! [turns]
//! precision = 0.9
//!
//! [prices."local/llama"]
//! input = 0.1
//! output = 0.4
//!
//! # A model that is asked about follow-up messages which the local classifier cannot tell. Off unless named.
//! [classifier]
//! model = "gpt-4o-mini"
//! budget_usd_per_day = 1.0
//!
//! # When a session that nobody ended has ended; 0: never. Silence alone says nothing.
//! [sessions]
//! idle_seconds = 1800
//!
//! [privacy]
//! keep_text = "redacted"
//! ```

use std::collections::BTreeMap;
use std::path::Path;

use kalibr_core::ids::Goal;
use kalibr_core::objective::{Limits, Objective, Price};
use kalibr_core::path::PathSpec;
use kalibr_core::safety::{Guarantee, Risk, UserCap};
use kalibr_evals::ContractSpec;
use kalibr_signals::turn::DEFAULT_PRECISION;
use kalibr_upstream::{ProviderConfig, Providers, ProvidersConfig, Upstream};
use serde::Deserialize;

use crate::call_rules::CallRules;
use crate::classifier::ClassifierConfig;
use crate::error::EngineError;
use crate::goal::{Buckets, GoalSettings};
use crate::privacy::Privacy;
use crate::sessions::SessionsConfig;

/// A parsed configuration file.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// The provider of models whose name tells none; `openai` unless set.
    pub default_provider: Option<String>,
    /// What models cost in dollars per million tokens, by model as paths name it; list prices for the others.
    pub prices: BTreeMap<String, Price>,
    /// Where models live, besides the well-known providers that the environment configures.
    pub providers: BTreeMap<String, ProviderConfig>,
    /// Goals that exist from the start; the file's word on their paths and settings is final at every start.
    pub goals: BTreeMap<String, GoalConfig>,
    /// How follow-up messages are read.
    pub turns: TurnsConfig,
    /// The model that is asked about follow-up messages which the local classifier cannot tell; none unless set.
    pub classifier: Option<ClassifierConfig>,
    /// When sessions have ended.
    pub sessions: SessionsConfig,
    /// What is kept of people, and for how long.
    pub privacy: Privacy,
    /// What the server reads.
    pub server: toml::Table,
}

/// How follow-up messages are read.
#[derive(Debug, Clone, Copy, PartialEq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct TurnsConfig {
    /// The share of verdicts that become signals that is to be right, from 0 to 1: see [`kalibr_signals::turn::Thresholds::for_precision`].
    /// Above 0.99 none becomes one.
    pub precision: f64,
}

impl Default for TurnsConfig {
    fn default() -> Self {
        Self { precision: DEFAULT_PRECISION }
    }
}

/// A goal as configuration files and requests spell it.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct GoalConfig {
    /// Its paths.
    pub paths: Vec<PathSpec>,
    /// See [`GoalSettings::half_life`].
    pub half_life: Option<f64>,
    /// See [`GoalSettings::floor`].
    pub floor: Option<f64>,
    /// See [`GoalSettings::buckets`].
    pub buckets: Option<Buckets>,
    /// See [`GoalSettings::objective`].
    pub objective: Option<Objective>,
    /// See [`GoalSettings::limits`].
    pub limits: Option<Limits>,
    /// See [`GoalSettings::exploration_cap`].
    pub exploration_cap: Option<f64>,
    /// See [`GoalSettings::risk`].
    pub risk: Option<BTreeMap<String, Risk>>,
    /// See [`GoalSettings::risk_delta`].
    pub risk_delta: Option<f64>,
    /// See [`GoalSettings::baseline`].
    pub baseline: Option<String>,
    /// See [`GoalSettings::holdout`].
    pub holdout: Option<f64>,
    /// See [`GoalSettings::guarantee`].
    pub guarantee: Option<Guarantee>,
    /// See [`GoalSettings::user_cap`].
    pub user_cap: Option<UserCap>,
    /// See [`GoalSettings::rollback_error`].
    pub rollback_error: Option<f64>,
    /// See [`GoalSettings::calls`].
    pub calls: Option<CallRules>,
    /// See [`GoalSettings::contract`].
    pub contract: Option<ContractSpec>,
}

impl GoalConfig {
    /// How the goal learns: what is said here, and the defaults.
    pub fn settings(&self) -> GoalSettings {
        let default = GoalSettings::default();
        GoalSettings {
            half_life: self.half_life.unwrap_or(default.half_life),
            floor: self.floor.unwrap_or(default.floor),
            buckets: self.buckets.unwrap_or(default.buckets),
            objective: self.objective.unwrap_or(default.objective),
            limits: self.limits.unwrap_or(default.limits),
            exploration_cap: self.exploration_cap.unwrap_or(default.exploration_cap),
            risk: self.risk.clone().unwrap_or(default.risk),
            risk_delta: self.risk_delta.unwrap_or(default.risk_delta),
            baseline: self.baseline.clone(),
            holdout: self.holdout.unwrap_or(default.holdout),
            guarantee: self.guarantee,
            user_cap: self.user_cap.unwrap_or(default.user_cap),
            rollback_error: self.rollback_error.unwrap_or(default.rollback_error),
            calls: self.calls.unwrap_or(default.calls),
            contract: self.contract.clone(),
        }
    }
}

impl Config {
    /// Reads the file; one that does not exist is empty unless it is `required`.
    ///
    /// # Errors
    /// [`EngineError::Config`] when it cannot be read or understood.
    pub fn load(path: &Path, required: bool) -> Result<Self, EngineError> {
        let problem = |problem: String| EngineError::Config { path: path.to_owned(), problem };
        let text = match std::fs::read_to_string(path) {
            Ok(text) => text,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound && !required => {
                return Ok(Self::default());
            }
            Err(error) => return Err(problem(format!("cannot be read: {error}"))),
        };
        let config: Self = toml::from_str(&text).map_err(|error| {
            let before = error.span().and_then(|span| text.get(..span.start)).unwrap_or_default();
            problem(format!("line {}: {}", before.matches('\n').count() + 1, toml_problem(&error)))
        })?;
        for (model, price) in &config.prices {
            if let Some(error) = price.problem() {
                return Err(problem(format!("the price of {model:?}: {error}")));
            }
        }
        if let Some(error) = config.classifier.as_ref().and_then(ClassifierConfig::problem) {
            return Err(problem(format!("[classifier]: {error}")));
        }
        if let Some(error) = config.privacy.problem() {
            return Err(problem(error.to_owned()));
        }
        for (name, goal) in &config.goals {
            if let Err(error) = Goal::new(name) {
                return Err(problem(error.to_string()));
            }
            if goal.paths.is_empty() {
                return Err(problem(format!(
                    "goal {name:?} needs at least one path, for example paths = [\"gpt-4o-mini\"]"
                )));
            }
            if let Some(error) = goal.settings().problem(&goal.paths) {
                return Err(problem(format!("goal {name:?}: {error}")));
            }
        }
        if !(0.0..=1.0).contains(&config.turns.precision) {
            return Err(problem("[turns] precision is a share from 0 to 1, for example 0.9".to_owned()));
        }
        Ok(config)
    }

    /// The providers of this configuration and the environment.
    ///
    /// # Errors
    /// [`EngineError::Config`] when a provider cannot be as configured.
    pub fn upstream(&self, env: &dyn Fn(&str) -> Option<String>) -> Result<Upstream, EngineError> {
        let config = ProvidersConfig {
            default_provider: self.default_provider.clone(),
            providers: self.providers.clone(),
        };
        let providers = Providers::new(&config, env).map_err(|error| EngineError::Config {
            path: "kalibr.toml".into(),
            problem: error.to_string(),
        })?;
        Ok(Upstream::new(providers))
    }
}

/// What a TOML error says, without what the file holds: a line, a value, or a key that stands where a name should may
/// be a secret.
pub fn toml_problem(error: &toml::de::Error) -> String {
    serde_problem(error.message())
}

/// As [`toml_problem`], of serde's own message.
pub fn serde_problem(said: &str) -> String {
    let expected = |said: &str| said.rsplit_once(", expected ").map(|(_, rest)| rest.to_owned());
    for (kind, ours) in
        [("invalid type", "a value of the wrong type"), ("invalid value", "a value that cannot be")]
    {
        if said.starts_with(kind) {
            return format!("{ours}; expected {}", expected(said).unwrap_or_else(|| "another".to_owned()));
        }
    }
    if let Some((kind, rest)) =
        ["unknown field", "unknown variant"].iter().find_map(|kind| Some((kind, said.strip_prefix(kind)?)))
    {
        let name = rest.split('`').nth(1).unwrap_or_default();
        let is_a_slip = name.len() <= 40 && name.bytes().all(|b| b.is_ascii_lowercase() || b == b'_');
        let name = if is_a_slip { format!(" {name:?}") } else { String::new() };
        return format!("{kind}{name}; expected {}", expected(said).unwrap_or_else(|| "another".to_owned()));
    }
    said.to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mistake_is_told_by_its_line_and_never_shows_a_key() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("kalibr.toml");
        for mistake in [
            "api_key = sk-very-secret",
            "headers = \"Bearer sk-very-secret\"",
            "timeout_ms = \"sk-very-secret\"",
            "kind = \"sk-very-secret\"",
            "sk-very-secret = 3",
            "api_key = [\"sk-very-secret\"]",
        ] {
            std::fs::write(&file, format!("[providers.lab]\n{mistake}\n")).unwrap();
            let error = Config::load(&file, false).unwrap_err();
            let shown = format!("{error} {error:?}");
            assert!(shown.contains("kalibr.toml") && !shown.contains("secret"), "{shown}");
            assert!(shown.contains("line 2") || shown.contains("line 1"), "{shown}");
        }
        std::fs::write(&file, "[providers]\nlab = \"sk-very-secret\"\n").unwrap();
        assert!(!Config::load(&file, false).unwrap_err().to_string().contains("secret"));
        std::fs::write(&file, "[goals.g]\npaths = [\"m\"]\nhalflife = 3\n").unwrap();
        let slip = Config::load(&file, false).unwrap_err().to_string();
        assert!(slip.contains("\"halflife\"") && slip.contains("half_life"), "{slip}");
    }

    #[test]
    fn a_goal_says_whether_requests_are_classed() {
        let goal = |line: &str| toml::from_str::<GoalConfig>(&format!("paths = [\"m\"]\n{line}"));
        assert_eq!(goal("buckets = \"auto\"").unwrap().settings().buckets, Buckets::Auto);
        assert_eq!(goal("buckets = \"off\"").unwrap().settings().buckets, Buckets::Off);
        assert_eq!(goal("").unwrap().settings().buckets, Buckets::default());
        let problem = toml_problem(&goal("buckets = \"on\"").unwrap_err());
        assert!(problem.contains("auto") && problem.contains("off"), "{problem}");
    }

    #[test]
    fn a_file_that_is_not_there_is_empty_unless_it_was_named() {
        let missing = Path::new("/nonexistent/kalibr.toml");
        assert!(Config::load(missing, false).unwrap().goals.is_empty());
        assert!(Config::load(missing, true).is_err());
    }
}
