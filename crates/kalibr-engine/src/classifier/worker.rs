//! The thread that asks the classifier model.

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::rc::Rc;
use std::sync::atomic::Ordering::Relaxed;
use std::sync::{Arc, PoisonError};
use std::time::{Duration, Instant};

use kalibr_core::evidence::{Signal, Source, Strength, Value};
use kalibr_core::ids::{SignalId, Timestamp};
use kalibr_core::objective::Price;
use kalibr_core::outcome::FailureCategory;
use kalibr_store::{About, Fact, SignalFact, Writer};
use kalibr_upstream::{Answer, Failure, Target, Upstream};
use tokio::sync::{mpsc, watch};
use tokio::task::{JoinSet, LocalSet};

use super::answer::{self, Read};
use super::prompt::{Manner, Question, Unsure};
use super::{Shared, count};
use crate::clock::Clock;

/// A text is held no longer than this.
const LONGEST: Duration = Duration::from_mins(10);
/// Calls made for one message, at most; those that only find out how to ask are not among them.
const TRIES: u32 = 3;
/// The wait after a failure is drawn from 0 to this, doubled with each: see "Exponential Backoff And Jitter" (AWS
/// Architecture Blog, 2015), "full jitter".
const BACK_OFF: Duration = Duration::from_millis(500);
/// The longest wait that a provider may ask for: who is told more gives up.
const LONGEST_REST: Duration = Duration::from_mins(5);

/// A message that waits for a verdict; redacted as soon as the thread gets hold of it.
#[derive(Debug)]
pub(super) struct Job<T = Unsure> {
    pub(super) text: T,
    pub(super) about: About,
    pub(super) id: SignalId,
    pub(super) at: Timestamp,
    pub(super) queued: Instant,
}

impl Job {
    fn redacted(self) -> Job<Question> {
        let Self { text, about, id, at, queued } = self;
        Job { text: text.redacted(), about, id, at, queued }
    }
}

/// What the thread needs.
pub(super) struct Worker {
    pub(super) upstream: Upstream,
    pub(super) target: Target,
    pub(super) price: Option<Price>,
    pub(super) timeout: Duration,
    pub(super) shared: Arc<Shared>,
    pub(super) writer: Arc<Writer>,
    pub(super) clock: Clock,
}

/// Why there is no verdict.
enum NoVerdict {
    Malformed,
    Failed(FailureCategory),
    OverBudget,
}

/// What the calls tell each other.
struct Asking {
    worker: Worker,
    manner: Cell<Manner>,
    /// The provider asked to be left alone until then.
    rest_until: Cell<Option<tokio::time::Instant>>,
    /// Keys are guessed by nobody.
    keys: RefCell<rand::rngs::ThreadRng>,
}

impl Worker {
    pub(super) fn run(
        self,
        jobs: mpsc::Receiver<Job>,
        stopped: watch::Receiver<Option<Instant>>,
        at_once: usize,
    ) {
        let runtime = match tokio::runtime::Builder::new_current_thread().enable_all().build() {
            Ok(runtime) => runtime,
            Err(error) => {
                tracing::error!(%error, "the classifier model cannot be asked: no runtime could be made");
                return;
            }
        };
        let asking = Rc::new(Asking {
            worker: self,
            manner: Cell::default(),
            rest_until: Cell::default(),
            keys: RefCell::new(rand::rng()),
        });
        LocalSet::new().block_on(&runtime, serve(asking, jobs, stopped, at_once));
    }
}

async fn serve(
    asking: Rc<Asking>,
    mut jobs: mpsc::Receiver<Job>,
    mut stopped: watch::Receiver<Option<Instant>>,
    at_once: usize,
) {
    let waiting = &asking.worker.shared.waiting;
    let mut running = JoinSet::new();
    let mut queue: VecDeque<Job<Question>> = VecDeque::new();
    let mut end: Option<tokio::time::Instant> = None;
    let mut is_open = true;
    while is_open || !queue.is_empty() || !running.is_empty() {
        while running.len() < at_once
            && let Some(job) = queue.pop_front()
        {
            waiting.fetch_sub(1, Relaxed);
            running.spawn_local(Rc::clone(&asking).settle(job));
        }
        let over = async {
            match end {
                Some(end) => tokio::time::sleep_until(end).await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            biased;
            () = over => break,
            changed = stopped.wait_for(Option::is_some), if end.is_none() => {
                // Where nobody holds the engine any more, it ends as if it had been closed.
                let deadline = changed.ok().and_then(|deadline| *deadline);
                end = Some(deadline.unwrap_or_else(|| Instant::now() + super::LAST_WORDS).into());
                jobs.close();
            }
            Some(_) = running.join_next(), if !running.is_empty() => {}
            job = jobs.recv(), if is_open => match job {
                Some(job) => queue.push_back(job.redacted()),
                None => is_open = false,
            },
        }
    }
    let mut left = running.len() + queue.len();
    running.shutdown().await;
    jobs.close();
    while jobs.try_recv().is_ok() {
        left += 1;
    }
    if left > 0 {
        asking.worker.shared.counts.dropped.fetch_add(left as u64, Relaxed);
        tracing::warn!(left, "the process ends before the classifier model was asked about these messages");
    }
}

impl Asking {
    /// Asks about one message, and sends what comes of it.
    async fn settle(self: Rc<Self>, job: Job<Question>) {
        let counts = &self.worker.shared.counts;
        if self.worker.shared.is_forgotten(job.queued) {
            count(&counts.dropped);
            return;
        }
        let deadline = tokio::time::Instant::from_std(job.queued + LONGEST);
        let Ok(asked) = tokio::time::timeout_at(deadline, self.ask(&job.text, deadline)).await else {
            if let Some(dropped) = count(&counts.dropped) {
                tracing::warn!(
                    dropped,
                    "messages waited too long for the classifier model, and were dropped"
                );
            }
            return;
        };
        if self.worker.shared.is_forgotten(job.queued) {
            count(&counts.dropped);
            return;
        }
        match asked {
            Ok(Read::Asserts(value, confidence)) => {
                count(if value.praises() { &counts.acceptances } else { &counts.rejections });
                self.send(&job, value, confidence);
            }
            Ok(Read::Continuation) => _ = count(&counts.continuations),
            Ok(Read::NotSure) => _ = count(&counts.not_sure),
            Ok(Read::Malformed) | Err(NoVerdict::Malformed) => {
                if let Some(malformed) = count(&counts.malformed) {
                    tracing::warn!(malformed, "the classifier model did not answer as it was asked to");
                }
            }
            Err(NoVerdict::Failed(category)) => {
                if let Some(failed) = count(&counts.failed) {
                    let category = category.as_str();
                    tracing::warn!(failed, category, "the classifier model could not be asked");
                }
            }
            Err(NoVerdict::OverBudget) => {
                if let Some(skipped) = count(&counts.over_budget) {
                    tracing::warn!(skipped, "the day's budget of the classifier model is used up");
                }
            }
        }
    }

    fn send(&self, job: &Job<Question>, value: Value, confidence: Strength) {
        let signal = Signal {
            id: job.id.clone(),
            source: Source::Turn,
            value,
            strength: value.default_strength(),
            confidence,
            at: job.at,
            attempt: None,
        };
        let fact = SignalFact { signal, about: job.about, received_at: self.worker.clock.now() };
        if self.worker.writer.append(Fact::Signal(fact), None).is_err()
            && let Some(dropped) = count(&self.worker.shared.counts.dropped)
        {
            tracing::warn!(
                dropped,
                "a verdict of the classifier model was dropped: too much waits for the ledger"
            );
        }
    }

    /// Calls until there is an answer, or no hope of one by `deadline`.
    async fn ask(&self, text: &Question, deadline: tokio::time::Instant) -> Result<Read, NoVerdict> {
        let key = format!("{:08x}", rand::Rng::next_u32(&mut *self.keys.borrow_mut()));
        let mut tries = 0;
        let mut manner = self.manner.get();
        loop {
            self.rest().await;
            let (result, billed) = self.call(text, manner, &key).await?;
            let failure = match result {
                Ok(answer) => {
                    self.manner.set(manner);
                    return Ok(answer::read(&answer.body, &key));
                }
                Err(failure) => failure,
            };
            if let Some(plainer) = manner.after(&failure).filter(|_| !billed) {
                manner = plainer;
                continue;
            }
            if matches!(failure.category, FailureCategory::MalformedOutput | FailureCategory::EmptyResponse) {
                return Err(NoVerdict::Malformed);
            }
            tries += 1;
            let wait = self.wait_after(&failure, tries);
            let again = passes(&failure) && tries < TRIES && tokio::time::Instant::now() + wait < deadline;
            if !again {
                return Err(NoVerdict::Failed(failure.category));
            }
            tokio::time::sleep(wait).await;
        }
    }

    /// One call, paid for. The second part is whether it may have cost something though it failed.
    async fn call(
        &self,
        text: &Question,
        manner: Manner,
        key: &str,
    ) -> Result<(Result<Answer, Failure>, bool), NoVerdict> {
        let Worker { upstream, target, price, shared, .. } = &self.worker;
        let request = text.request(&target.model, manner, key).map_err(|_| NoVerdict::Malformed)?;
        // A token has a byte at least.
        let bytes = i64::try_from(request.to_bytes().len()).unwrap_or(i64::MAX);
        let most = price.map(|price| price.nano_dollars(bytes, manner.most_tokens().into()));
        let budget = || shared.budget.lock().unwrap_or_else(PoisonError::into_inner);
        let taken = budget().take(self.worker.clock.now(), most).ok_or(NoVerdict::OverBudget)?;
        let result = tokio::time::timeout(self.worker.timeout, upstream.chat(target, &request)).await;
        let result = result.unwrap_or_else(|_| {
            let blame = kalibr_upstream::Blame::Path;
            Err(Failure::new(FailureCategory::Timeout, blame, "the classifier model had no answer in time"))
        });
        let usage = result.as_ref().ok().and_then(|answer| answer.usage);
        let cost = usage.zip(*price).map(|(usage, price)| {
            let tokens = |count: u64| i64::try_from(count).unwrap_or(i64::MAX);
            price.nano_dollars(tokens(usage.prompt_tokens), tokens(usage.completion_tokens))
        });
        // Who answers with an error asks for no money; who was not heard to the end may.
        let billed = match &result {
            Ok(_) => true,
            Err(failure) => failure.status.is_none_or(|status| status < 400),
        };
        if billed {
            budget().cost(taken, cost);
        } else {
            budget().give_back(taken);
        }
        Ok((result, billed))
    }

    /// Waits while the provider is to be left alone.
    async fn rest(&self) {
        while let Some(until) = self.rest_until.get().filter(|until| *until > tokio::time::Instant::now()) {
            tokio::time::sleep_until(until).await;
        }
    }

    /// How long to wait before this message is tried again; all others wait as long as the provider asks for.
    fn wait_after(&self, failure: &Failure, tries: u32) -> Duration {
        if let Some(asked) = failure.retry_after {
            let until = tokio::time::Instant::now() + asked.min(LONGEST_REST);
            self.rest_until.set(self.rest_until.get().max(Some(until)));
            return asked;
        }
        let most = BACK_OFF * 2u32.pow(tries - 1);
        most.mul_f64(f64::from(rand::Rng::next_u32(&mut *self.keys.borrow_mut())) / f64::from(u32::MAX))
    }
}

/// Whether the failure may pass.
fn passes(failure: &Failure) -> bool {
    match failure.category {
        FailureCategory::RateLimited | FailureCategory::Timeout => true,
        FailureCategory::ProviderError => failure.status.is_none_or(|status| status >= 500),
        _ => false,
    }
}
