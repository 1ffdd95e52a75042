//! A provider that needs no key and no network: for trying Kalibr out, and for tests of what is built on it.
//!
//! A simulated model answers well with a chance of its own, and a simulated user can tell ([`is_good`]). Its quality
//! can be changed while it runs ([`SimulatedHandle`]), as a real model's does when its provider changes it.
//!
//! ```toml
//! [providers.lab]
//! kind = "simulated"
//! seed = 7
//! models.steady = { quality = 0.9, latency_ms = 20 }
//! models.flaky = { quality = 0.6, failure_rate = 0.1 }
//! ```
//!
//! Chances are drawn from the seed, per model and two for each call, so equal calls in equal order get equal answers,
//! whatever happens to the other models and however the qualities are changed in between.

use std::collections::{BTreeMap, VecDeque};
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime};

use bytes::Bytes;
use http::{HeaderMap, HeaderValue, StatusCode, header::CONTENT_TYPE};
use serde::Deserialize;
use serde_json::{Value, json};

use crate::failure::Failure;
use crate::request::ChatRequest;

/// What good answers begin with.
pub const GOOD: &str = "good: ";

/// What poor answers begin with.
pub const POOR: &str = "poor: ";

/// Whether a simulated model's answer is one that a simulated user likes.
///
/// ```
/// use kalibr_upstream::simulated::is_good;
/// assert!(is_good("good: this answers what was asked"));
/// assert!(!is_good("poor: this does not"));
/// ```
pub fn is_good(content: &str) -> bool {
    content.starts_with(GOOD)
}

/// A simulated model.
#[derive(Debug, Clone, Copy, PartialEq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct SimulatedModel {
    /// The share of its answers that are good, 0 to 1: 1 unless set.
    pub quality: f64,
    /// The share of its calls that fail with HTTP 500, 0 to 1: 0 unless set.
    pub failure_rate: f64,
    /// How long it takes to answer, or to begin its stream, in milliseconds: 0 unless set.
    pub latency_ms: u64,
    /// The tokens that it says each request had: 20 unless set.
    pub prompt_tokens: u64,
    /// The tokens that it says each answer had: 40 unless set.
    pub completion_tokens: u64,
}

impl Default for SimulatedModel {
    fn default() -> Self {
        Self { quality: 1.0, failure_rate: 0.0, latency_ms: 0, prompt_tokens: 20, completion_tokens: 40 }
    }
}

impl SimulatedModel {
    pub(crate) fn is_valid(&self) -> bool {
        (0.0..=1.0).contains(&self.quality) && (0.0..=1.0).contains(&self.failure_rate)
    }
}

/// Why a simulated model cannot be changed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BadChange {
    /// Not a model of this provider.
    #[error("the simulated provider has no model {0:?}: add it to the provider's models")]
    NoSuchModel(String),
    /// A chance outside 0 to 1.
    #[error("quality and failure_rate of a simulated model are numbers from 0 to 1")]
    BadChance,
}

/// Changes the models of a simulated provider while it runs. Clones change the same provider.
#[derive(Clone)]
pub struct SimulatedHandle {
    models: Arc<Models>,
}

impl fmt::Debug for SimulatedHandle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SimulatedHandle")
    }
}

impl SimulatedHandle {
    /// A model as it is now.
    pub fn model(&self, name: &str) -> Option<SimulatedModel> {
        self.models.lock().get(name).map(|state| state.settings)
    }

    /// Changes a model: calls that begin from now on see the change.
    ///
    /// # Errors
    /// [`BadChange`] when there is no such model, or a chance is not one; nothing is changed then.
    pub fn update(&self, name: &str, change: impl FnOnce(&mut SimulatedModel)) -> Result<(), BadChange> {
        let mut models = self.models.lock();
        let state = models.get_mut(name).ok_or_else(|| BadChange::NoSuchModel(name.to_owned()))?;
        let mut settings = state.settings;
        change(&mut settings);
        if !settings.is_valid() {
            return Err(BadChange::BadChance);
        }
        state.settings = settings;
        Ok(())
    }

    /// Sets the share of a model's answers that are good.
    ///
    /// # Errors
    /// As [`SimulatedHandle::update`].
    pub fn set_quality(&self, name: &str, quality: f64) -> Result<(), BadChange> {
        self.update(name, |model| model.quality = quality)
    }

    /// Sets the share of a model's calls that fail.
    ///
    /// # Errors
    /// As [`SimulatedHandle::update`].
    pub fn set_failure_rate(&self, name: &str, failure_rate: f64) -> Result<(), BadChange> {
        self.update(name, |model| model.failure_rate = failure_rate)
    }
}

struct Models(Mutex<BTreeMap<String, State>>);

impl Models {
    fn lock(&self) -> MutexGuard<'_, BTreeMap<String, State>> {
        // A panic in someone's change leaves the old settings, which are as good as ever.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

struct State {
    settings: SimulatedModel,
    chance: Chance,
    calls: u64,
}

/// SplitMix64 (Steele, Lea and Flood, OOPSLA 2014): tiny, and its stream never changes with a dependency.
struct Chance(u64);

impl Chance {
    /// Models of one provider have streams of their own: FNV-1a of the name, mixed with the seed.
    fn new(seed: u64, model: &str) -> Self {
        let hash = model.bytes().fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
            (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
        });
        Self(hash ^ seed.wrapping_mul(0x9e37_79b9_7f4a_7c15))
    }

    /// A number from 0 to 1, 1 excluded.
    fn next(&mut self) -> f64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        ((z ^ (z >> 31)) >> 11) as f64 / (1_u64 << 53) as f64
    }
}

/// The simulated provider behind the same entry points as the real ones.
pub(crate) struct Simulator {
    models: Arc<Models>,
}

/// What one call was drawn to be.
struct Drawn {
    settings: SimulatedModel,
    fails: bool,
    content: String,
    id: String,
}

impl Simulator {
    pub(crate) fn new(models: &BTreeMap<String, SimulatedModel>, seed: u64) -> Self {
        let state = |(name, settings): (&String, &SimulatedModel)| {
            (name.clone(), State { settings: *settings, chance: Chance::new(seed, name), calls: 0 })
        };
        Self { models: Arc::new(Models(Mutex::new(models.iter().map(state).collect()))) }
    }

    pub(crate) fn handle(&self) -> SimulatedHandle {
        SimulatedHandle { models: Arc::clone(&self.models) }
    }

    /// A whole answer, as an HTTP provider would give it.
    pub(crate) async fn answer(
        &self,
        provider: &str,
        request: &ChatRequest,
    ) -> Result<(StatusCode, HeaderMap, Bytes), Failure> {
        let drawn = self.call(provider, request).await?;
        let body = json!({
            "id": drawn.id,
            "object": "chat.completion",
            "created": CREATED,
            "model": request.model(),
            "choices": [{
                "index": 0,
                "message": {"role": "assistant", "content": drawn.content, "refusal": null},
                "logprobs": null,
                "finish_reason": "stop",
            }],
            "usage": usage(&drawn.settings),
        });
        Ok((StatusCode::OK, headers("application/json"), Bytes::from(body.to_string())))
    }

    /// The chunks of a stream, as an HTTP provider would send them: the role, word by word, the end, the usage.
    pub(crate) async fn stream(
        &self,
        provider: &str,
        request: &ChatRequest,
    ) -> Result<(StatusCode, HeaderMap, VecDeque<Bytes>), Failure> {
        let drawn = self.call(provider, request).await?;
        let chunk = |choices: Value| {
            json!({
                "id": drawn.id,
                "object": "chat.completion.chunk",
                "created": CREATED,
                "model": request.model(),
                "choices": choices,
            })
        };
        let delta = |delta: Value, finish: Value| {
            chunk(json!([{"index": 0, "delta": delta, "logprobs": null, "finish_reason": finish}]))
        };
        let mut chunks = vec![delta(json!({"role": "assistant", "content": ""}), Value::Null)];
        let words = drawn.content.split_inclusive(' ');
        chunks.extend(words.map(|word| delta(json!({"content": word}), Value::Null)));
        chunks.push(delta(json!({}), json!("stop")));
        if asks_usage(request) {
            let mut last = chunk(json!([]));
            last["usage"] = usage(&drawn.settings);
            chunks.push(last);
        }
        let events = chunks.into_iter().map(|chunk| Bytes::from(format!("data: {chunk}\n\n")));
        let done = Bytes::from_static(b"data: [DONE]\n\n");
        let events = events.chain([done]).collect();
        Ok((StatusCode::OK, headers("text/event-stream"), events))
    }

    async fn call(&self, provider: &str, request: &ChatRequest) -> Result<Drawn, Failure> {
        let Some(drawn) = self.draw(request.model()) else {
            let error = ("The model does not exist.", "invalid_request_error", "model_not_found");
            return Err(refusal(provider, StatusCode::NOT_FOUND, error, request));
        };
        if drawn.settings.latency_ms > 0 {
            tokio::time::sleep(Duration::from_millis(drawn.settings.latency_ms)).await;
        }
        if drawn.fails {
            let error = ("The simulated model failed.", "server_error", "simulated_failure");
            return Err(refusal(provider, StatusCode::INTERNAL_SERVER_ERROR, error, request));
        }
        Ok(drawn)
    }

    fn draw(&self, model: &str) -> Option<Drawn> {
        let mut models = self.models.lock();
        let state = models.get_mut(model)?;
        let settings = state.settings;
        let fails = state.chance.next() < settings.failure_rate;
        let is_good = state.chance.next() < settings.quality;
        state.calls += 1;
        let content = if is_good {
            format!("{GOOD}this answers what was asked, in full and to the point.")
        } else {
            format!("{POOR}this misses what was asked.")
        };
        Some(Drawn { settings, fails, content, id: format!("chatcmpl-simulated-{model}-{}", state.calls) })
    }
}

/// No clock, so that a run can be repeated to the last byte.
const CREATED: u64 = 1_700_000_000;

fn usage(model: &SimulatedModel) -> Value {
    json!({
        "prompt_tokens": model.prompt_tokens,
        "completion_tokens": model.completion_tokens,
        "total_tokens": model.prompt_tokens.saturating_add(model.completion_tokens),
    })
}

fn asks_usage(request: &ChatRequest) -> bool {
    request
        .get("stream_options")
        .and_then(|options| serde_json::from_str::<Value>(options.get()).ok())
        .is_some_and(|options| options["include_usage"] == true)
}

fn headers(content_type: &'static str) -> HeaderMap {
    HeaderMap::from_iter([(CONTENT_TYPE, HeaderValue::from_static(content_type))])
}

fn refusal(
    provider: &str,
    status: StatusCode,
    (message, kind, code): (&str, &str, &str),
    request: &ChatRequest,
) -> Failure {
    let body = json!({"error": {"message": message, "type": kind, "param": null, "code": code}}).to_string();
    let headers = headers("application/json");
    Failure::from_answer(provider, status, &headers, Some(Bytes::from(body)), request, SystemTime::now())
}

#[cfg(test)]
mod tests;
