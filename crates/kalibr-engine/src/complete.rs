//! Calling the chosen path, and the next one when it fails.
//!
//! Each call is an attempt of its own, with its own outcome in the ledger. A caller who goes away in the middle leaves
//! an attempt of which nothing is known: that speaks neither for nor against the path.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use futures_util::Stream;
use futures_util::stream::{BoxStream, StreamExt, unfold};
use kalibr_core::ids::{PathId, Timestamp, TraceId};
use kalibr_core::outcome::{FailureCategory, Reply};
use kalibr_core::path::PathSpec;
use kalibr_store::{AttemptFact, CallRecord, Fact, Scope};
use kalibr_upstream::{Answer, AnswerStream, Blame, ChatRequest, Ending, Failure, StreamEnd, Target, Usage};

use crate::decide::{DecideRequest, Decision};
use crate::engine::Engine;
use crate::error::CompleteError;

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
                    attempt.failed(&failure);
                    walk.next_or(failure)?;
                }
                Ok(answer) => {
                    attempt.answered(answer.status, answer.usage);
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
                    attempt.failed(&failure);
                    walk.next_or(failure)?;
                }
                Ok(stream) => {
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
        let chosen = (decision.path_id, Arc::clone(&decision.path));
        let fallbacks = decision.fallbacks.iter().cloned();
        let paths: Vec<_> = std::iter::once(chosen).chain(fallbacks).take(MAX_ATTEMPTS).collect();
        let deadline = request.timeout.map(|timeout| (timeout, tokio::time::Instant::now() + timeout));
        let scope = Scope {
            goal: decision.goal_id,
            pipeline: request.decide.pipeline.clone(),
            bucket: decision.bucket.clone(),
        };
        Ok(Walk { decision, scope, paths: paths.into_iter(), attempts: 0, deadline })
    }
}

/// The way from the chosen path over its fallbacks.
struct Walk {
    decision: Decision,
    scope: Scope,
    paths: std::vec::IntoIter<(PathId, Arc<PathSpec>)>,
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
        let none = || crate::DecideError::NoEligiblePath(self.decision.goal.clone(), String::new());
        let (path_id, path) = self.paths.next().ok_or_else(none)?;
        let index = self.attempts;
        self.attempts += 1;
        let call = match engine.upstream().resolve(&path.model) {
            Ok(target) => {
                let body = body.apply(&path, &target.model);
                Ok((target, body))
            }
            Err(error) => Err(Failure::new(FailureCategory::ProviderError, Blame::Path, error.to_string())),
        };
        let attempt = Attempting::start(engine, self.decision.trace, &self.scope, index, path_id);
        Ok(Step { attempt, index, path_id, path, call })
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
        if failure.falls_back() && self.paths.len() > 0 && !self.is_over() {
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
}

impl Watched {
    fn ended(self) -> Option<Failure> {
        let status = self.stream.status();
        let StreamEnd { ending, usage } = self.stream.finish();
        match ending {
            Ending::Completed => self.attempt.answered(status, usage),
            Ending::Abandoned => {}
            Ending::Died(failure) => {
                self.attempt.failed(&failure);
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
        if let Some(Watched { stream, attempt }) = self.0.take()
            && stream.is_finished()
        {
            attempt.answered(stream.status(), stream.usage());
        }
    }
}

/// Hands a stream's bytes on, and records how it ended.
fn watched(stream: AnswerStream, attempt: Attempting) -> BoxStream<'static, Result<Bytes, Failure>> {
    let guard = Guard(Some(Watched { stream, attempt }));
    unfold(guard, |mut guard| async move {
        let bytes = guard.0.as_mut()?.stream.next().await;
        if let Some(bytes) = bytes {
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
    scope: Scope,
    index: u16,
    path: PathId,
    started: Timestamp,
    recorded: bool,
}

impl Attempting {
    fn start(engine: &Engine, trace: TraceId, scope: &Scope, index: u16, path: PathId) -> Self {
        let scope = scope.clone();
        Self {
            engine: engine.clone(),
            trace,
            scope,
            index,
            path,
            started: engine.clock().now(),
            recorded: false,
        }
    }

    fn answered(mut self, status: u16, usage: Option<Usage>) {
        self.record(Reply::Answered, None, Some(status), usage);
    }

    fn failed(mut self, failure: &Failure) {
        let reply = match failure.blame {
            Blame::Path => Reply::Failed,
            Blame::Request | Blame::Fit => Reply::Refused,
        };
        self.record(reply, Some(failure.category), failure.status, None);
    }

    fn record(
        &mut self,
        reply: Reply,
        category: Option<FailureCategory>,
        status: Option<u16>,
        usage: Option<Usage>,
    ) {
        self.recorded = true;
        let now = self.engine.clock().now();
        let tokens = |count: u64| u32::try_from(count).unwrap_or(u32::MAX);
        let tokens = usage.map(|usage| (tokens(usage.prompt_tokens), tokens(usage.completion_tokens)));
        let latency_ms = u32::try_from(now.since(self.started).max(0) / 1_000).unwrap_or(u32::MAX);
        // A path that fails at once is not fast.
        let took_time = reply == Reply::Answered || category == Some(FailureCategory::Timeout);
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
            category,
            status,
            prompt_tokens: tokens.map(|(input, _)| input),
            completion_tokens: tokens.map(|(_, output)| output),
            latency_ms: Some(latency_ms),
            at: now,
        }));
    }
}

impl Drop for Attempting {
    fn drop(&mut self) {
        if !self.recorded {
            self.record(Reply::Unknown, None, None, None);
        }
    }
}
