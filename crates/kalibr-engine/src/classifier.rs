//! The second layer of the turn classifier: a model that is asked about the messages which the first, local one cannot
//! tell. Off until the configuration names one:
//!
//! ```toml
//! [classifier]
//! model = "gpt-4o-mini"        # of any provider, named as paths name it
//! budget_usd_per_day = 1.0     # of this process; in UTC
//! unpriced_calls_per_day = 500 # most calls a day whose cost nobody knows
//! ```
//!
//! Asking never delays anybody. Who reports a message puts it, cut, into a bounded queue and goes on; a thread with a
//! runtime of its own redacts it and makes the calls; a verdict becomes a signal of the source `turn`, under the id and the moment
//! of its message, as one of the first layer would. Texts are held in memory, for ten minutes at the most, and go nowhere
//! but to that model. A message that finds the queue full is dropped and counted, the newest first: those before it are
//! closer to an answer. The budget belongs to one process, and begins anew when it starts.
//!
//! What a verdict is worth is learned apart from the first layer's ([`Voice::TurnModel`](kalibr_core::evidence::Voice)). Once it is known to agree with
//! what users did too little to be paid for ([`Trust::is_worth_asking`]), the model is switched off: of the messages that
//! it would have been asked about, one in twenty still is. By these a model that has been replaced by a better one is
//! believed again. [`Engine::classifier`] says how it stands.

mod answer;
mod budget;
mod prompt;
mod worker;

use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use kalibr_core::ids::{SignalId, Timestamp};
use kalibr_core::objective::Price;
use kalibr_core::reliability::Trust;
use kalibr_store::{About, Writer};
use kalibr_upstream::{ProvidersConfig, Target, Upstream};
use serde::{Deserialize, Serialize};
use tokio::sync::{mpsc, watch};

pub use prompt::{TurnText, Unsure};

use crate::clock::Clock;
use crate::config::Config;
use crate::engine::Engine;
use crate::error::EngineError;
use budget::Budget;
use worker::Job;

/// Of the messages that a model which is switched off would have been asked about, one in so many is asked about still.
const RECHECK: u64 = 20;
/// The largest answer that is read. A verdict has a hundred bytes, and what surrounds it some thousand.
const MOST_ANSWER: usize = 256 << 10;
/// How long calls that are under way may take when the engine closes.
const LAST_WORDS: Duration = Duration::from_secs(2);

/// The `[classifier]` table of the configuration.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ClassifierConfig {
    /// The model, as paths name one.
    pub model: String,
    /// What the local classifier must be less sure of than this that a message only goes on, 0..=1, for the model to be
    /// asked about it. Default 0.9; 1 asks about every message that asserts nothing.
    #[serde(default = "ask_below")]
    pub ask_below: f64,
    /// Dollars that this process may spend on it in a day (UTC). Default 1.
    #[serde(default = "budget_usd")]
    pub budget_usd_per_day: f64,
    /// Calls that this process may make in a day whose cost is not known, because the model's price is not. Default 500;
    /// name the price under `[prices]` to have them counted in dollars.
    #[serde(default = "unpriced_calls")]
    pub unpriced_calls_per_day: u64,
    /// Milliseconds that one call may take. Default 20,000.
    #[serde(default = "timeout_ms")]
    pub timeout_ms: u64,
    /// Calls that are made at once, at most. Default 4.
    #[serde(default = "concurrency")]
    pub concurrency: usize,
    /// Messages that wait, at most. Default 256: each holds up to some ten thousand bytes.
    #[serde(default = "queue")]
    pub queue: usize,
}

fn ask_below() -> f64 {
    0.9
}

fn budget_usd() -> f64 {
    1.0
}

fn unpriced_calls() -> u64 {
    500
}

fn timeout_ms() -> u64 {
    20_000
}

fn concurrency() -> usize {
    4
}

fn queue() -> usize {
    256
}

impl ClassifierConfig {
    /// What is wrong with it, if anything.
    pub(crate) fn problem(&self) -> Option<&'static str> {
        match () {
            () if self.model.trim().is_empty() => {
                Some("model is the name of a model, such as \"gpt-4o-mini\"")
            }
            () if !(0.0..=1.0).contains(&self.ask_below) => Some("ask_below is a probability from 0 to 1"),
            () if !(0.0..=1e6).contains(&self.budget_usd_per_day) => {
                Some("budget_usd_per_day is a number of dollars from 0 to 1e6")
            }
            () if !(1..=600_000).contains(&self.timeout_ms) => Some("timeout_ms is from 1 to 600000"),
            () if !(1..=64).contains(&self.concurrency) => Some("concurrency is from 1 to 64"),
            () if !(1..=65_536).contains(&self.queue) => Some("queue is from 1 to 65536"),
            () => None,
        }
    }
}

/// A classifier model that is ready to be asked.
#[derive(Debug, Clone)]
pub struct ClassifierSetup {
    config: ClassifierConfig,
    /// Connections belong to the runtime that made them, so it has an upstream of its own.
    upstream: Upstream,
    target: Target,
}

impl ClassifierSetup {
    /// The classifier of this configuration, if it names one.
    ///
    /// # Errors
    /// [`EngineError::Config`] when nobody serves its model.
    pub(crate) fn of(
        config: &Config,
        env: &dyn Fn(&str) -> Option<String>,
    ) -> Result<Option<Self>, EngineError> {
        let Some(classifier) = &config.classifier else { return Ok(None) };
        let problem = |problem: String| EngineError::Config {
            path: "kalibr.toml".into(),
            problem: format!("[classifier] {problem}"),
        };
        if let Some(wrong) = classifier.problem() {
            return Err(problem(wrong.to_owned()));
        }
        let resolve = |upstream: &Upstream| {
            upstream.resolve(&classifier.model).map_err(|error| problem(format!("model: {error}")))
        };
        let known = resolve(&config.upstream(env)?)?;
        let mut providers = ProvidersConfig {
            default_provider: config.default_provider.clone(),
            providers: config.providers.clone(),
        };
        let own = providers.providers.entry(known.provider.name().to_owned()).or_default();
        own.max_answer_bytes = own.max_answer_bytes.min(MOST_ANSWER);
        let upstream = Config {
            default_provider: providers.default_provider,
            providers: providers.providers,
            ..Config::default()
        }
        .upstream(env)?;
        let target = resolve(&upstream)?;
        Ok(Some(Self { config: classifier.clone(), upstream, target }))
    }

    pub(crate) fn model(&self) -> &str {
        &self.config.model
    }
}

/// What became of the messages that the classifier model was to be asked about, since the process started.
#[derive(Debug, Default)]
struct Counts {
    queued: AtomicU64,
    acceptances: AtomicU64,
    rejections: AtomicU64,
    continuations: AtomicU64,
    not_sure: AtomicU64,
    malformed: AtomicU64,
    failed: AtomicU64,
    over_budget: AtomicU64,
    dropped: AtomicU64,
    switched_off: AtomicU64,
}

/// Counts one more, and tells whether this is one of those that are worth a line in the log: the 1st, 2nd, 4th ...
fn count(counter: &AtomicU64) -> Option<u64> {
    let number = counter.fetch_add(1, Ordering::Relaxed) + 1;
    number.is_power_of_two().then_some(number)
}

/// What both ends of the queue know.
#[derive(Debug)]
struct Shared {
    counts: Counts,
    /// Messages that wait for a call.
    waiting: AtomicUsize,
    budget: Mutex<Budget>,
    /// When somebody was last erased: what was queued before that may be theirs.
    forgotten: Mutex<Option<Instant>>,
}

impl Shared {
    fn is_forgotten(&self, queued: Instant) -> bool {
        self.forgotten.lock().unwrap_or_else(PoisonError::into_inner).is_some_and(|last| queued <= last)
    }
}

/// The way to the classifier model.
#[derive(Debug)]
pub(crate) struct Classifier {
    config: ClassifierConfig,
    queue: mpsc::Sender<Job>,
    stop: watch::Sender<Option<Instant>>,
    shared: Arc<Shared>,
    /// Whether it was switched off when last looked at.
    off: AtomicBool,
    thread: Mutex<Option<JoinHandle<()>>>,
}

impl Classifier {
    /// Starts the thread.
    pub(crate) fn start(
        setup: ClassifierSetup,
        price: Option<Price>,
        writer: Arc<Writer>,
        clock: Clock,
    ) -> Result<Self, EngineError> {
        let ClassifierSetup { config, upstream, target } = setup;
        let (queue, jobs) = mpsc::channel(config.queue);
        let (stop, stopped) = watch::channel(None);
        let budget = Budget::new(config.budget_usd_per_day, config.unpriced_calls_per_day);
        let (counts, waiting) = (Counts::default(), AtomicUsize::new(0));
        let shared =
            Arc::new(Shared { counts, waiting, budget: Mutex::new(budget), forgotten: Mutex::default() });
        let work = worker::Worker {
            upstream,
            target,
            price,
            timeout: Duration::from_millis(config.timeout_ms),
            shared: Arc::clone(&shared),
            writer,
            clock,
        };
        let at_once = config.concurrency;
        let thread = std::thread::Builder::new()
            .name("kalibr-classifier".into())
            .spawn(move || work.run(jobs, stopped, at_once))
            .map_err(EngineError::Thread)?;
        let (off, thread) = (AtomicBool::new(false), Mutex::new(Some(thread)));
        Ok(Self { config, queue, stop, shared, off, thread })
    }

    /// Whether it is to be asked about a message of which the local classifier thinks with this probability that it only
    /// goes on.
    pub(crate) fn wants(&self, continuation: f64) -> bool {
        continuation < self.config.ask_below || self.config.ask_below >= 1.0
    }

    /// Queues a message. Never waits. Returns whether it is going to be asked about.
    pub(crate) fn ask(&self, text: Unsure, about: About, id: SignalId, at: Timestamp, trust: &Trust) -> bool {
        let counts = &self.shared.counts;
        let off = !trust.is_worth_asking();
        if off != self.off.swap(off, Ordering::Relaxed) {
            self.tell(off);
        }
        if off && !counts.switched_off.fetch_add(1, Ordering::Relaxed).is_multiple_of(RECHECK) {
            return false;
        }
        let waiting = &self.shared.waiting;
        let taken = waiting.fetch_add(1, Ordering::Relaxed) < self.config.queue
            && self.queue.try_send(Job { text, about, id, at, queued: Instant::now() }).is_ok();
        if taken {
            counts.queued.fetch_add(1, Ordering::Relaxed);
            return true;
        }
        waiting.fetch_sub(1, Ordering::Relaxed);
        if let Some(dropped) = count(&counts.dropped) {
            tracing::warn!(
                dropped,
                "follow-up messages are not put to the classifier model: it is too slow for them"
            );
        }
        false
    }

    fn tell(&self, off: bool) {
        let model = self.config.model.as_str();
        if off {
            tracing::warn!(
                model,
                "the classifier model is switched off: what it reads into messages does not agree with what users do; \
                 one message in {RECHECK} is still put to it. Configure a better one under [classifier]"
            );
        } else {
            tracing::info!(model, "the classifier model is switched on again: it agrees with what users do");
        }
    }

    /// Somebody is erased: what was reported before now is asked about no more, and verdicts on it are not sent.
    pub(crate) fn forget(&self) {
        *self.shared.forgotten.lock().unwrap_or_else(PoisonError::into_inner) = Some(Instant::now());
    }

    /// Ends the thread: what is queued is asked about while there is time, two seconds at the most, and then dropped.
    pub(crate) fn close(&self, patience: Duration) {
        let Some(thread) = self.thread.lock().unwrap_or_else(PoisonError::into_inner).take() else { return };
        self.stop.send_replace(Some(Instant::now() + patience.min(LAST_WORDS)));
        let _ = thread.join();
    }

    fn info(&self, trust: &Trust, now: Timestamp) -> ClassifierInfo {
        let read = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        let counts = &self.shared.counts;
        let (spent_usd, unpriced_calls) =
            self.shared.budget.lock().unwrap_or_else(PoisonError::into_inner).today(now);
        ClassifierInfo {
            model: self.config.model.clone(),
            state: if trust.is_worth_asking() { "on" } else { "off" },
            praises_good: trust.praises_good.mean,
            praises_bad: trust.praises_bad.mean,
            graded: trust.praises_good.n + trust.praises_bad.n,
            spent_usd,
            unpriced_calls,
            queued: read(&counts.queued),
            acceptances: read(&counts.acceptances),
            rejections: read(&counts.rejections),
            continuations: read(&counts.continuations),
            not_sure: read(&counts.not_sure),
            malformed: read(&counts.malformed),
            failed: read(&counts.failed),
            over_budget: read(&counts.over_budget),
            dropped: read(&counts.dropped),
            while_off: read(&counts.switched_off),
        }
    }
}

/// How the classifier model stands: counts are of this process since it started, a message each.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct ClassifierInfo {
    /// The model.
    pub model: String,
    /// `on`, or `off`: what it says agrees too little with what users do, and one message in twenty is put to it.
    pub state: &'static str,
    /// The share of good answers whose message it takes for an acceptance, of those that it takes for a verdict, in 0..=1.
    pub praises_good: f64,
    /// The same of bad answers.
    pub praises_bad: f64,
    /// Verdicts of it that users have graded by what they did or said.
    pub graded: f64,
    /// Dollars spent today (UTC), those that a call under way may cost included.
    pub spent_usd: f64,
    /// Calls made today whose cost is not known.
    pub unpriced_calls: u64,
    /// Messages that were queued for it.
    pub queued: u64,
    /// It took them for acceptances.
    pub acceptances: u64,
    /// It took them for rejections.
    pub rejections: u64,
    /// It took them for neither.
    pub continuations: u64,
    /// It was not sure of what it said.
    pub not_sure: u64,
    /// It did not answer as it was asked to.
    pub malformed: u64,
    /// The calls failed.
    pub failed: u64,
    /// They would have cost more than the day's budget allows.
    pub over_budget: u64,
    /// The queue was full, they had waited for ten minutes, or the process ended.
    pub dropped: u64,
    /// It would have been asked about them, was it not switched off; one in twenty of them was.
    pub while_off: u64,
}

impl Engine {
    /// How the classifier model stands; `None` where none is configured.
    pub fn classifier(&self) -> Option<ClassifierInfo> {
        let trust = self.learned().turn_model();
        self.second().map(|classifier| classifier.info(&trust, self.clock().now()))
    }

    /// Whether a classifier model is configured, so that texts of messages that assert nothing have a use.
    pub fn has_classifier(&self) -> bool {
        self.second().is_some()
    }
}
