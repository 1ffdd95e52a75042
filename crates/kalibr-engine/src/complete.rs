//! Calling the chosen path, and the next one when it fails.
//!
//! Each call is an attempt of its own, with its own outcome in the ledger. A caller who goes away in the middle leaves
//! an attempt of which nothing is known: that speaks neither for nor against the path.

use std::collections::VecDeque;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use futures_util::Stream;
use futures_util::stream::{BoxStream, StreamExt, unfold};
use kalibr_core::availability::{Outcome, Probe, Times};
use kalibr_core::ids::{Goal, PathId, Timestamp, TraceId};
use kalibr_core::outcome::{FailureCategory, Reply};
use kalibr_core::path::PathSpec;
use kalibr_store::{AttemptFact, CallRecord, Fact, PrintOf, Scope};
use kalibr_upstream::{Answer, AnswerStream, Blame, ChatRequest, Ending, Failure, StreamEnd, Target, Usage};

use crate::decide::{DecideRequest, Decision};
use crate::engine::Engine;
use crate::error::CompleteError;
use crate::outages::FAIR_WAIT;
use crate::prints::{Streamed, Text};

/// Most calls made for one request: a caller waits for all of them, and an outage must not multiply the traffic of a
/// goal with many paths.
const MAX_ATTEMPTS: usize = 4;

/// A request of a goal.
#[derive(Debug, Clone)]
pub struct CompleteRequest {
    /// What to decide.
    pub decide: DecideRequest,
    /// What to send; its model is replaced by the path's.
    pub body: ChatRequest,
    /// How long all attempts together may take until the answer (of a stream: its beginning) is there. A path that has
    /// not answered by then has failed. `None`: as long as its provider's own limits allow.
    pub timeout: Option<Duration>,
}

/// An answer of a goal.
#[derive(Debug)]
pub struct Completion {
    /// The decision.
    pub decision: Decision,
    /// Which attempt answered: 0 for the path that was drawn.
    pub attempt: u16,
    /// The path that answered.
    pub path_id: PathId,
    /// What was called.
    pub path: Arc<PathSpec>,
    /// The provider's answer, untouched.
    pub answer: Answer,
}

/// A streamed answer of a goal: a [`Stream`] of the provider's bytes, whole server-sent events at a time.
///
/// A stream that dies in the middle ends with a [`Failure`]. Dropping it early closes the connection to the provider.
pub struct CompletionStream {
    /// The decision.
    pub decision: Decision,
    /// Which attempt answers: 0 for the path that was drawn.
    pub attempt: u16,
    /// The path that answers.
    pub path_id: PathId,
    /// What was called.
    pub path: Arc<PathSpec>,
    /// The provider's status, 200 to 299.
    pub status: u16,
    /// The content type as the provider named it.
    pub content_type: Option<String>,
    bytes: BoxStream<'static, Result<Bytes, Failure>>,
}

impl std::fmt::Debug for CompletionStream {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("CompletionStream")
            .field("decision", &self.decision)
            .field("attempt", &self.attempt)
            .finish_non_exhaustive()
    }
}

impl Stream for CompletionStream {
    type Item = Result<Bytes, Failure>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        self.bytes.poll_next_unpin(context)
    }
}

impl Engine {
    /// Routes a request, calls the path, and falls back to the next one when it fails.
    ///
    /// # Errors
    /// [`CompleteError::Decide`] when no path can be chosen; [`CompleteError::Failed`] with the last provider's own
    /// error when no attempt brought an answer.
    pub async fn complete(&self, request: CompleteRequest) -> Result<Completion, CompleteError> {
        let mut walk = self.walk(&request)?;
        loop {
            let step = walk.step(self, &request.body)?;
            let result = match &step.call {
                Ok((target, body)) => walk.in_time(self.upstream().chat(target, body)).await,
                Err(failure) => Err(failure.clone()),
            };
            let Step { attempt, index, path_id, path, .. } = step;
            match result {
                Err(failure) => {
                    attempt.failed(&failure, walk.is_over());
                    walk.next_or(failure)?;
                }
                Ok(answer) => {
                    let text = Text::Answer(answer.body.clone());
                    attempt.answered(answer.status, answer.usage, Some(text));
                    return Ok(Completion { decision: walk.decision, attempt: index, path_id, path, answer });
                }
            }
        }
    }

    /// As [`Engine::complete`], streamed. It falls back as long as nothing was streamed.
    ///
    /// # Errors
    /// As [`Engine::complete`].
    pub async fn stream(&self, request: CompleteRequest) -> Result<CompletionStream, CompleteError> {
        let mut walk = self.walk(&request)?;
        loop {
            let step = walk.step(self, &request.body)?;
            let result = match &step.call {
                Ok((target, body)) => walk.in_time(self.upstream().chat_stream(target, body)).await,
                Err(failure) => Err(failure.clone()),
            };
            let Step { attempt, index, path_id, path, .. } = step;
            match result {
                Err(failure) => {
                    attempt.failed(&failure, walk.is_over());
                    walk.next_or(failure)?;
                }
                Ok(stream) => {
                    let attempt = attempt.began();
                    return Ok(CompletionStream {
                        decision: walk.decision,
                        attempt: index,
                        path_id,
                        path,
                        status: stream.status(),
                        content_type: stream.content_type().map(str::to_owned),
                        bytes: watched(stream, attempt),
                    });
                }
            }
        }
    }

    /// Calls a model by its own name, without a goal: nothing is decided, recorded or learned.
    ///
    /// # Errors
    /// [`CompleteError::Resolve`] when nobody serves the model, [`CompleteError::Failed`] when the call failed.
    pub async fn pass(&self, body: &ChatRequest) -> Result<Answer, CompleteError> {
        let (target, body) = self.passed(body)?;
        self.upstream().chat(&target, &body).await.map_err(not_routed)
    }

    /// As [`Engine::pass`], streamed.
    ///
    /// # Errors
    /// As [`Engine::pass`].
    pub async fn pass_stream(&self, body: &ChatRequest) -> Result<AnswerStream, CompleteError> {
        let (target, body) = self.passed(body)?;
        self.upstream().chat_stream(&target, &body).await.map_err(not_routed)
    }

    fn passed(&self, body: &ChatRequest) -> Result<(Target, ChatRequest), CompleteError> {
        let target = self.upstream().resolve(body.model())?;
        let path =
            PathSpec { model: body.model().to_owned(), tools: Vec::new(), params: serde_json::Map::new() };
        let body = body.apply(&path, &target.model);
        Ok((target, body))
    }

    fn walk(&self, request: &CompleteRequest) -> Result<Walk, CompleteError> {
        let decision = self.decide_classed(&request.decide, || crate::bucket::bucket_of(&request.body))?;
        self.note_run(decision.trace, self.clock().now(), request.decide.session);
        let prompt = Text::Request(Box::new(request.body.clone()));
        self.hand_over(decision.trace, PrintOf::Prompt, prompt);
        let chosen = (decision.path_id, Arc::clone(&decision.path));
        let others = decision.fallbacks.iter().chain(&decision.last_resort).cloned();
        let paths = std::iter::once(chosen).chain(others).collect();
        let deadline = request.timeout.map(|timeout| (timeout, tokio::time::Instant::now() + timeout));
        let scope = Scope {
            goal: decision.goal_id,
            pipeline: request.decide.pipeline.clone(),
            bucket: decision.bucket.clone(),
        };
        Ok(Walk { decision, scope, paths, attempts: 0, deadline })
    }
}

/// The way from the chosen path over its fallbacks.
struct Walk {
    decision: Decision,
    scope: Scope,
    paths: VecDeque<(PathId, Arc<PathSpec>)>,
    attempts: u16,
    deadline: Option<(Duration, tokio::time::Instant)>,
}

/// One attempt, ready to be made.
struct Step {
    attempt: Attempting,
    index: u16,
    path_id: PathId,
    path: Arc<PathSpec>,
    /// Whom to call with what; a path whose model nobody serves fails like a provider that is down.
    call: Result<(Target, ChatRequest), Failure>,
}

impl Walk {
    fn step(&mut self, engine: &Engine, body: &ChatRequest) -> Result<Step, CompleteError> {
        let index = self.attempts;
        let (path_id, path) = self
            .next_path(engine)
            .ok_or_else(|| crate::DecideError::NoEligiblePath(self.decision.goal.clone(), String::new()))?;
        self.attempts += 1;
        let call = match engine.upstream().resolve(&path.model) {
            Ok(target) => {
                let body = body.apply(&path, &target.model);
                Ok((target, body))
            }
            Err(error) => Err(Failure::new(FailureCategory::ProviderError, Blame::Path, error.to_string())),
        };
        let probes = std::mem::take(&mut self.decision.probes);
        let attempt = Attempting::start(engine, &self.decision, &self.scope, index, (path_id, &path), probes);
        Ok(Step { attempt, index, path_id, path, call })
    }

    /// The path that was drawn, and after it the best of those that are not known to be down by now. Others may have found
    /// that out since the decision was made.
    fn next_path(&mut self, engine: &Engine) -> Option<(PathId, Arc<PathSpec>)> {
        if self.attempts == 0 {
            return self.paths.pop_front();
        }
        let is_free = |(id, path): &(PathId, Arc<PathSpec>)| {
            engine.outages().is_free(&self.decision.goal, *id, &path.model)
        };
        let next = self.paths.iter().position(is_free).unwrap_or(0);
        self.paths.remove(next)
    }

    // `complete` and `stream` each spell the loop over attempts out: one loop over an async closure would make futures
    // that the compiler cannot show to be `Send`.
    async fn in_time<T>(&self, call: impl Future<Output = Result<T, Failure>>) -> Result<T, Failure> {
        let Some((timeout, deadline)) = self.deadline else { return call.await };
        tokio::time::timeout_at(deadline, call).await.unwrap_or_else(|_| {
            let said = format!("there was no answer within the request's {} ms", timeout.as_millis());
            Err(Failure::new(FailureCategory::Timeout, Blame::Path, said))
        })
    }

    fn is_over(&self) -> bool {
        self.deadline.is_some_and(|(_, deadline)| tokio::time::Instant::now() >= deadline)
    }

    /// An error when this was the last that could be tried.
    fn next_or(&self, failure: Failure) -> Result<(), CompleteError> {
        let may_go_on =
            !self.paths.is_empty() && usize::from(self.attempts) < MAX_ATTEMPTS && !self.is_over();
        if failure.falls_back() && may_go_on {
            return Ok(());
        }
        let trace = Some(self.decision.trace);
        Err(CompleteError::Failed { trace, failure: Box::new(failure), attempts: self.attempts })
    }
}

fn not_routed(failure: Failure) -> CompleteError {
    CompleteError::Failed { trace: None, failure: Box::new(failure), attempts: 1 }
}

/// A stream on its way to its reader, and the attempt that it is.
struct Watched {
    stream: AnswerStream,
    attempt: Attempting,
    answer: Streamed,
}

impl Watched {
    fn ended(self) -> Option<Failure> {
        let status = self.stream.status();
        let StreamEnd { ending, usage } = self.stream.finish();
        match ending {
            Ending::Completed => self.attempt.answered(status, usage, self.answer.text().map(Text::Plain)),
            Ending::Abandoned => {}
            Ending::Died(failure) => {
                self.attempt.failed(&failure, false);
                return Some(failure);
            }
        }
        None
    }
}

/// Held by a stream of bytes; dropped with it when its reader goes away.
struct Guard(Option<Watched>);

impl Drop for Guard {
    /// A reader who leaves once the answer is complete has had it whole: most do, at `[DONE]`.
    fn drop(&mut self) {
        if let Some(Watched { stream, attempt, answer }) = self.0.take()
            && stream.is_finished()
        {
            attempt.answered(stream.status(), stream.usage(), answer.text().map(Text::Plain));
        }
    }
}

/// Hands a stream's bytes on, and records how it ended.
fn watched(stream: AnswerStream, attempt: Attempting) -> BoxStream<'static, Result<Bytes, Failure>> {
    let guard = Guard(Some(Watched { stream, attempt, answer: Streamed::default() }));
    unfold(guard, |mut guard| async move {
        let watched = guard.0.as_mut()?;
        let bytes = watched.stream.next().await;
        if let Some(bytes) = bytes {
            watched.answer.see(&bytes);
            return Some((Ok(bytes), guard));
        }
        let failure = guard.0.take()?.ended()?;
        Some((Err(failure), guard))
    })
    .boxed()
}

/// An attempt under way. Dropped without an outcome, it is recorded as one of which nothing is known.
struct Attempting {
    engine: Engine,
    trace: TraceId,
    goal: Goal,
    scope: Scope,
    index: u16,
    path: PathId,
    spec: Arc<PathSpec>,
    started: Timestamp,
    /// It tries whether these are back.
    probes: Vec<Probe>,
    /// Whether its answer has begun: that it is available is known by then.
    began: bool,
    recorded: bool,
}

impl Attempting {
    fn start(
        engine: &Engine,
        decision: &Decision,
        scope: &Scope,
        index: u16,
        (path, spec): (PathId, &Arc<PathSpec>),
        probes: Vec<Probe>,
    ) -> Self {
        Self {
            engine: engine.clone(),
            trace: decision.trace,
            goal: decision.goal.clone(),
            scope: scope.clone(),
            index,
            path,
            spec: Arc::clone(spec),
            started: engine.clock().now(),
            probes,
            began: false,
            recorded: false,
        }
    }

    /// The answer has begun to come. It may take minutes, and others need not wait for its end to know.
    fn began(mut self) -> Self {
        self.heard(Outcome::Answered, self.engine.clock().now(), None);
        self.began = true;
        self
    }

    fn answered(mut self, status: u16, usage: Option<Usage>, text: Option<Text>) {
        if let Some(text) = text {
            self.engine.hand_over(self.trace, PrintOf::Answer(self.index), text);
        }
        self.record(Reply::Answered, Said { status: Some(status), usage, ..Said::default() });
    }

    /// `is_over`: the caller's own time for the request was up by then.
    fn failed(mut self, failure: &Failure, is_over: bool) {
        let reply = match failure.blame {
            Blame::Path => Reply::Failed,
            Blame::Request | Blame::Fit => Reply::Refused,
        };
        let said = Said {
            category: Some(failure.category),
            status: failure.status,
            usage: None,
            retry_after: failure.retry_after,
            is_over,
        };
        self.record(reply, said);
    }

    fn record(&mut self, reply: Reply, said: Said) {
        self.recorded = true;
        let now = self.engine.clock().now();
        let took = now.since(self.started).max(0);
        let outcome = Outcome::of(reply, said.category, said.status, said.is_over && took < FAIR_WAIT);
        if !(self.began && outcome == Outcome::Answered) {
            self.heard(outcome, now, said.retry_after);
        }
        let tokens = |count: u64| u32::try_from(count).unwrap_or(u32::MAX);
        let tokens = said.usage.map(|usage| (tokens(usage.prompt_tokens), tokens(usage.completion_tokens)));
        let latency_ms = u32::try_from(took / 1_000).unwrap_or(u32::MAX);
        // A path that fails at once is not fast.
        let took_time = reply == Reply::Answered || said.category == Some(FailureCategory::Timeout);
        if tokens.is_some() || took_time {
            self.engine.learned().completed(CallRecord {
                scope: self.scope.clone(),
                path: self.path,
                tokens,
                latency_ms: took_time.then_some(latency_ms),
            });
        }
        self.engine.log(Fact::Attempt(AttemptFact {
            trace: self.trace,
            index: self.index,
            path: self.path,
            reply,
            category: said.category,
            status: said.status,
            prompt_tokens: tokens.map(|(input, _)| input),
            completion_tokens: tokens.map(|(_, output)| output),
            latency_ms: Some(latency_ms),
            at: now,
        }));
    }

    /// Tells all goals how the provider is doing.
    fn heard(&mut self, outcome: Outcome, now: Timestamp, retry_after: Option<Duration>) {
        let outages = self.engine.outages();
        let place = (&self.goal, self.path, self.spec.model.as_str());
        let retry_after = retry_after.map(|wait| i64::try_from(wait.as_micros()).unwrap_or(i64::MAX));
        outages.record(place, outcome, Times { started: self.started, ended: now }, retry_after);
        outages.settle(place, &std::mem::take(&mut self.probes));
    }
}

/// What is known of an attempt's end besides whether it was answered.
#[derive(Default, Clone, Copy)]
struct Said {
    category: Option<FailureCategory>,
    status: Option<u16>,
    usage: Option<Usage>,
    retry_after: Option<Duration>,
    is_over: bool,
}

impl Drop for Attempting {
    fn drop(&mut self) {
        if !self.recorded {
            self.record(Reply::Unknown, Said::default());
        }
    }
}
