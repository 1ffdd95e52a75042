//! Whether providers answer, apart from how good their answers are.
//!
//! An outage is a matter of minutes and of everybody: what one goal finds out spares all the others. So availability is
//! kept per *place*, over all goals, on the wall clock; quality is kept per goal, on the clock of its evidence. A path
//! can be called while its three places work:
//!
//! - its *provider*;
//! - its *model* there, which may be unknown, overloaded or limited in rate while its siblings answer;
//! - the path *here*, in one goal: parameters that the model does not take, a deadline that it cannot keep.
//!
//! A failure is counted once, in the narrowest place that explains it ([`Fault`]). An HTTP 500 may be of the model or of
//! the whole provider: it counts against the model, until models of one provider fail so much without an answer in between
//! that it must be the provider. No model speaks for more than three of those failures, so one that is broken does not
//! take its siblings down. A path is as available as the product of its places, which is exact where each failure is in
//! one of them.
//!
//! Each place has two things, both from integers:
//!
//! - the *estimate*, `Beta(1 + answers, failures)` by the minute with a half-life of 30 minutes. It is what the
//!   posterior multiplies quality with ([`crate::posterior::Subject::available`]). Refusals for now (HTTP 429) are left
//!   out: a limit of the rate says nothing about the next half hour;
//! - the *breaker*, which opens when P(availability < ½) > 0.95 on what was seen since answers and failures were last even
//!   (Page's CUSUM has the same restart): five failures in a row, whatever an hour of good answers says. An estimate with
//!   a long memory would need thousands. At 5 % of failures, five more failures than answers come up once in 2.7 million
//!   calls. A provider that says when to come back (`Retry-After`) is left alone until then, at most an hour.
//!
//! An open breaker waits, 1 s at first and twice as long after each failed probe, up to 2 minutes; then it lets one request
//! through at a time, over all goals ([`Blocked::look`]). An answer closes it. What was held against the place stays in
//! part, so one that only answers now and then is left alone again sooner, and for as long as before.
//!
//! **Propensities stay exact.** A decision takes the permit to probe *before* it draws. The permit decides which paths are
//! eligible, like any other mask, by what other requests did and by no means by this draw; among the eligible paths the
//! probabilities are those that are logged. If the draw falls elsewhere, the permit is given back at once.
//!
//! Calls that are still under way count nothing: of a provider that hangs, only the first time-outs tell.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::ids::{Goal, PathId, Timestamp};
use crate::outcome::{FailureCategory, Reply};
use crate::posterior::{Beta, product};

mod blocked;
mod breaker;
mod tally;

pub use blocked::{Blocked, Look, Unavailable};
pub use breaker::{Permit, Probe, Times};

use blocked::Gate;
use breaker::{Breaker, is_down};
pub(crate) use tally::Tally;

/// Failures of one model that speak of its whole provider.
const A_MODELS_WORD: u32 = 3;

/// Places that are kept of a kind before those that nothing is known of any more are dropped.
const MANY: usize = 10_000;

/// Whom a call goes to.
#[derive(Debug, Clone, Copy)]
pub struct Call<'a> {
    /// The provider's name.
    pub provider: &'a str,
    /// The model, as the provider names it.
    pub model: &'a str,
    /// The goal that it is made for.
    pub goal: &'a Goal,
    /// The path.
    pub path: PathId,
}

/// Which place a failure speaks of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// The model or its whole provider: that turns out by what other models do.
    Shared,
    /// The model: the provider knows none of that name.
    Model,
    /// The path in this goal: its parameters, or a deadline of the caller's.
    Here,
}

/// What came of a call, as far as it speaks of availability.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// There was an answer.
    Answered,
    /// There was none.
    Failed(Fault),
    /// The model refused for now (HTTP 429). It is not to be called for a while, and no worse for it.
    Limited,
    /// It says nothing: the request was refused, or the caller went away.
    Silent,
}

impl Outcome {
    /// What an attempt says. `cut_short`: the caller's own deadline ended it before a provider in good health must have
    /// answered.
    pub fn of(reply: Reply, category: Option<FailureCategory>, status: Option<u16>, cut_short: bool) -> Self {
        match reply {
            Reply::Answered => Self::Answered,
            Reply::Unknown | Reply::Refused => Self::Silent,
            Reply::Failed => match (category, status) {
                (Some(FailureCategory::RateLimited), _) => Self::Limited,
                (Some(FailureCategory::ValidationFailed), _) => Self::Failed(Fault::Here),
                (Some(FailureCategory::Timeout), None) if cut_short => Self::Failed(Fault::Here),
                (Some(FailureCategory::ProviderError), Some(400..=499)) => Self::Failed(Fault::Model),
                _ => Self::Failed(Fault::Shared),
            },
        }
    }
}

/// An outcome with its circumstances.
#[derive(Debug, Clone, Copy)]
pub struct Heard {
    /// What came of the call.
    pub outcome: Outcome,
    /// When it was made and when it ended.
    pub times: Times,
    /// How long the provider asks to be left alone, in microseconds.
    pub retry_after: Option<i64>,
    /// Spreads the waits of several processes, in 0..=1.
    pub jitter: f64,
}

/// One place.
#[derive(Debug, Clone, Default)]
struct Level {
    tally: Tally,
    breaker: Breaker,
}

impl Level {
    fn answered(&mut self, heard: &Heard) -> bool {
        self.tally.add(heard.times.ended, 1, 0);
        self.breaker.answered(heard.times)
    }

    fn failed(&mut self, heard: &Heard) -> bool {
        if heard.outcome != Outcome::Limited {
            self.tally.add(heard.times.ended, 0, 1);
        }
        self.breaker.failed(heard.times, heard.retry_after, heard.jitter)
    }

    /// What was held against it was its provider's doing. Returns how many failures it was.
    fn forgive(&mut self, failures: u32) -> u32 {
        self.breaker.forgive();
        self.tally.take_back(failures)
    }

    fn is_forgotten(&self, now: Timestamp) -> bool {
        self.tally.is_empty(now) && self.breaker.is_clean(now)
    }
}

#[derive(Debug, Clone, Default)]
struct Provider {
    level: Level,
    models: BTreeMap<Arc<str>, Level>,
    /// How often each model has failed since the provider last answered, for reasons that it may share with others.
    accusers: BTreeMap<Arc<str>, u32>,
}

impl Provider {
    fn model(&mut self, name: &str, now: Timestamp) -> &mut Level {
        if self.models.len() >= MANY && !self.models.contains_key(name) {
            self.models.retain(|_, level| !level.is_forgotten(now));
        }
        self.models.entry(Arc::from(name)).or_default()
    }

    fn failed(&mut self, model: &str, heard: &Heard) -> bool {
        if self.level.breaker.open.is_some() {
            return self.level.failed(heard);
        }
        let changed = self.model(model, heard.times.ended).failed(heard);
        *self.accusers.entry(Arc::from(model)).or_default() += 1;
        let word = self.accusers.values().map(|n| (*n).min(A_MODELS_WORD)).sum();
        if self.accusers.len() < 2 || !is_down(0, word) {
            return changed;
        }
        let mut failures = 0;
        for (name, n) in std::mem::take(&mut self.accusers) {
            failures += self.models.get_mut(&name).map_or(0, |level| level.forgive(n));
        }
        self.level.tally.add(heard.times.ended, 0, failures);
        self.level.breaker.accused(failures, heard.times.ended, heard.retry_after, heard.jitter)
    }
}

/// How available everything is that was called: see the module's head.
///
/// ```
/// use kalibr_core::availability::{Availability, Call, Fault, Heard, Outcome, Times};
/// use kalibr_core::ids::{Goal, PathId, Timestamp};
///
/// let goal = Goal::new("g").unwrap();
/// let call = Call { provider: "openai", model: "gpt-4o", goal: &goal, path: PathId::from_bytes([1; 16]) };
/// let mut availability = Availability::default();
/// let heard = |second: i64| {
///     let at = Timestamp(second * 1_000_000);
///     let times = Times { started: at, ended: at };
///     Heard { outcome: Outcome::Failed(Fault::Shared), times, retry_after: None, jitter: 0.5 }
/// };
/// for second in 0..5 {
///     assert!(availability.blocked().is_empty());
///     availability.record(&call, &heard(second));
/// }
/// let blocked = availability.blocked();
/// let mut look = blocked.look(Timestamp(4_000_000));
/// assert_eq!(look.may(&call).unwrap_err().to_string(), "its model is down, next try in 1 s");
/// ```
#[derive(Debug, Clone, Default)]
pub struct Availability {
    providers: BTreeMap<Arc<str>, Provider>,
    here: BTreeMap<(Goal, PathId), Level>,
}

impl Availability {
    /// How far back anything counts, in microseconds: what is older need not be told again after a restart.
    pub const MEMORY: i64 = Tally::MEMORY;

    /// Takes in what came of a call. Returns whether that changed what [`Availability::blocked`] says.
    pub fn record(&mut self, call: &Call<'_>, heard: &Heard) -> bool {
        let now = heard.times.ended;
        match heard.outcome {
            Outcome::Silent => false,
            Outcome::Answered => {
                let provider = self.provider(call);
                provider.accusers.clear();
                // Each hears of it, whatever the others make of it.
                let changed =
                    [provider.level.answered(heard), provider.model(call.model, now).answered(heard)];
                let here = self.here.get_mut(&(call.goal.clone(), call.path));
                let here = here.is_some_and(|level| level.answered(heard));
                here || changed.contains(&true)
            }
            Outcome::Failed(Fault::Shared) => self.provider(call).failed(call.model, heard),
            Outcome::Failed(Fault::Model) | Outcome::Limited => {
                self.provider(call).model(call.model, now).failed(heard)
            }
            Outcome::Failed(Fault::Here) => self.here(call, now).is_some_and(|level| level.failed(heard)),
        }
    }

    fn provider(&mut self, call: &Call<'_>) -> &mut Provider {
        self.providers.entry(Arc::from(call.provider)).or_default()
    }

    /// `None` where there are too many already: what is not remembered of one path in one goal costs that goal a few
    /// more failures.
    fn here(&mut self, call: &Call<'_>, now: Timestamp) -> Option<&mut Level> {
        let place = (call.goal.clone(), call.path);
        if self.here.len() >= MANY && !self.here.contains_key(&place) {
            self.here.retain(|_, level| !level.is_forgotten(now));
            if self.here.len() >= MANY {
                return None;
            }
        }
        Some(self.here.entry(place).or_default())
    }

    /// P(a call is answered); `None` where nothing has failed lately.
    pub fn of(&self, call: &Call<'_>, now: Timestamp) -> Option<Beta> {
        let provider = self.providers.get(call.provider);
        let model = provider.and_then(|provider| provider.models.get(call.model));
        let here = if self.here.is_empty() { None } else { self.here.get(&(call.goal.clone(), call.path)) };
        [provider.map(|provider| &provider.level), model, here]
            .into_iter()
            .filter_map(|level| level?.tally.available(now))
            .reduce(product)
    }

    /// What is not to be called, or by one request at a time: what a decision looks at.
    pub fn blocked(&self) -> Blocked {
        let gate = |level: &Level| Gate::of(&level.breaker);
        let mut blocked = Blocked::default();
        for (name, provider) in &self.providers {
            let models =
                provider.models.iter().filter_map(|(name, level)| Some((Arc::clone(name), gate(level)?)));
            blocked.add_provider(Arc::clone(name), gate(&provider.level), models.collect());
        }
        for ((goal, path), level) in &self.here {
            if let Some(gate) = gate(level) {
                blocked.add_here((goal.clone(), *path), gate);
            }
        }
        blocked
    }

    /// How each provider and its models are doing, by name.
    pub fn standings(&self, now: Timestamp) -> Vec<ProviderStanding> {
        let standing = |level: &Level| {
            let gate = Gate::of(&level.breaker);
            Standing {
                state: gate.as_ref().map_or(State::Up, |gate| gate.state(now)),
                availability: level.tally.available(now).map_or(1.0, Beta::mean),
                next_try: gate.map(|gate| gate.left(now)).filter(|left| *left > 0),
            }
        };
        let models = |provider: &Provider| {
            provider.models.iter().map(|(name, level)| (Arc::clone(name), standing(level))).collect()
        };
        self.providers
            .iter()
            .map(|(name, provider)| ProviderStanding {
                name: Arc::clone(name),
                standing: standing(&provider.level),
                models: models(provider),
            })
            .collect()
    }
}

/// Whether a place may be called.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum State {
    /// By everybody.
    Up,
    /// By nobody: it kept failing.
    Down,
    /// By one request at a time, to see whether it is back.
    Probing,
    /// By nobody: it asked to be left alone.
    Resting,
}

impl State {
    /// The state's name.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Up => "up",
            Self::Down => "down",
            Self::Probing => "probing",
            Self::Resting => "resting",
        }
    }
}

/// How a place is doing.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Standing {
    /// Whether it may be called.
    pub state: State,
    /// The expected share of calls that it answers, in 0..=1; 1 while none has failed lately.
    pub availability: f64,
    /// Microseconds until it is called again; `None` when it may be by now.
    pub next_try: Option<i64>,
}

/// How a provider is doing.
#[derive(Debug, Clone, PartialEq)]
pub struct ProviderStanding {
    /// Its name.
    pub name: Arc<str>,
    /// The provider as a whole.
    pub standing: Standing,
    /// Its models that were called, by name.
    pub models: Vec<(Arc<str>, Standing)>,
}

#[cfg(test)]
mod tests;
