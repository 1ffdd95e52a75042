//! Calling the chosen path, and the next one when it fails.
//!
//! Each call is an attempt of its own, with its own outcome in the ledger. A caller who goes away in the middle leaves
//! an attempt of which nothing is known: that speaks neither for nor against the path.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use futures_util::stream::{BoxStream, StreamExt, unfold};
use futures_util::{FutureExt, Stream};
use kalibr_core::availability::{Outcome, Probe, Times};
use kalibr_core::ids::{Goal, PathId, Timestamp, TraceId};
use kalibr_core::outcome::{FailureCategory, Reply};
use kalibr_core::path::PathSpec;
use kalibr_store::{AttemptFact, CallRecord, Fact, PrintOf, Scope, TextKind};
use kalibr_upstream::{
    Answer, AnswerStream, Blame, ChatRequest, Ending, Failure, StreamEnd, Target, Upstream, Usage,
};

use crate::checks::Awaited;
use crate::decide::{DecideRequest, Decision};
use crate::engine::Engine;
use crate::error::CompleteError;
use crate::outages::FAIR_WAIT;
use crate::prints::{Streamed, Text};
use crate::report::{Run, SignalMeta};
use crate::texts::Gathered;
use crate::walk::{Call, Served};

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
    /// Routes a request, calls the path, and the next ones when it fails: see [`CallRules`](crate::CallRules).
    ///
    /// # Errors
    /// [`CompleteError::Decide`] when no path can be chosen; [`CompleteError::Failed`] with the last provider's own
    /// error when no attempt brought an answer.
    pub async fn complete(&self, request: CompleteRequest) -> Result<Completion, CompleteError> {
        let served = self.walk(&request)?.run(self, &request.body, whole).await?;
        let Served { decision, attempt, index, path_id, path, answer } = served;
        let text = Text::Answer(answer.body.clone());
        attempt.answered(answer.status, answer.usage, Some(text));
        self.keep_answer(decision.trace, &answer.body);
        Ok(Completion { decision, attempt: index, path_id, path, answer })
    }

    /// As [`Engine::complete`], streamed. It falls back as long as nothing was streamed.
    ///
    /// # Errors
    /// As [`Engine::complete`].
    pub async fn stream(&self, request: CompleteRequest) -> Result<CompletionStream, CompleteError> {
        let served = self.walk(&request)?.run(self, &request.body, streamed).await?;
        let Served { decision, attempt, index, path_id, path, answer: stream } = served;
        let attempt = attempt.began();
        let gathered = self.keeps_text().then(|| Gathering::new(self, decision.trace));
        Ok(CompletionStream {
            decision,
            attempt: index,
            path_id,
            path,
            status: stream.status(),
            content_type: stream.content_type().map(str::to_owned),
            bytes: watched(stream, attempt, gathered),
        })
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
        let path = PathSpec {
            model: body.model().to_owned(),
            tools: Vec::new(),
            params: serde_json::Map::new(),
            system: None,
            template: None,
        };
        let body = body.apply(&path, &target.model);
        Ok((target, body))
    }
}

fn whole(upstream: Upstream, target: Target, body: ChatRequest) -> Call<Answer> {
    async move { upstream.chat(&target, &body).await }.boxed()
}

fn streamed(upstream: Upstream, target: Target, body: ChatRequest) -> Call<AnswerStream> {
    async move { upstream.chat_stream(&target, &body).await }.boxed()
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

/// The text of a streamed answer, which is kept once the stream is over or its reader gone.
struct Gathering {
    engine: Engine,
    trace: TraceId,
    gathered: Gathered,
}

impl Gathering {
    fn new(engine: &Engine, trace: TraceId) -> Self {
        Self { engine: engine.clone(), trace, gathered: Gathered::default() }
    }
}

impl Drop for Gathering {
    fn drop(&mut self) {
        let said = SignalMeta::default();
        self.engine.keep_text(Run::Trace(self.trace), TextKind::Answer, self.gathered.text(), said);
    }
}

/// Hands a stream's bytes on, and records how it ended.
fn watched(
    stream: AnswerStream,
    attempt: Attempting,
    gathering: Option<Gathering>,
) -> BoxStream<'static, Result<Bytes, Failure>> {
    let guard = Guard(Some(Watched { stream, attempt, answer: Streamed::default() }));
    unfold((guard, gathering), |(mut guard, mut gathering)| async move {
        let watched = guard.0.as_mut()?;
        let bytes = watched.stream.next().await;
        if let Some(bytes) = bytes {
            watched.answer.see(&bytes);
            if let Some(awaited) = &mut watched.attempt.awaited {
                awaited.see(&bytes);
            }
            if let Some(gathering) = &mut gathering {
                gathering.gathered.take(&bytes);
            }
            return Some((Ok(bytes), (guard, gathering)));
        }
        let failure = guard.0.take()?.ended()?;
        Some((Err(failure), (guard, gathering)))
    })
    .boxed()
}

/// An attempt under way. Dropped without an outcome, it is recorded as one of which nothing is known.
pub(crate) struct Attempting {
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
    /// Of a goal with a contract: what its answer is held against.
    awaited: Option<Box<Awaited>>,
}

impl Attempting {
    pub(crate) fn start(
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
            awaited: None,
        }
    }

    /// Its answer is to be held against the goal's contract.
    pub(crate) fn asks(&mut self, body: &ChatRequest) {
        let goal = self.engine.learned().goal(self.goal.as_str());
        self.awaited = goal.map(|goal| Awaited::new(goal, body.clone()));
    }

    /// The answer has begun to come. It may take minutes, and others need not wait for its end to know.
    fn began(mut self) -> Self {
        self.heard(Outcome::Answered, self.engine.clock().now(), None);
        self.began = true;
        self
    }

    fn answered(mut self, status: u16, usage: Option<Usage>, text: Option<Text>) {
        let whole = match &text {
            Some(Text::Answer(body)) => Some(body.clone()),
            _ => None,
        };
        if let Some(text) = text {
            self.engine.hand_over(self.trace, PrintOf::Answer(self.index), text);
        }
        self.record(Reply::Answered, Said { status: Some(status), usage, ..Said::default() });
        if let Some(awaited) = self.awaited.take() {
            self.engine.hand_to_check(self.trace, self.index, awaited, whole);
        }
    }

    /// Another attempt answered first, and nobody saw what came of this one. It took at least as long as it has until now,
    /// which is learned: that it is slow is why another was asked.
    pub(crate) fn overtaken(mut self) {
        self.record(Reply::Refused, Said { is_overtaken: true, ..Said::default() });
    }

    /// `is_over`: it was ended by the time that the caller or the goal gave it.
    pub(crate) fn failed(mut self, failure: &Failure, is_over: bool) {
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
            is_overtaken: false,
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
        let took_time =
            reply == Reply::Answered || said.category == Some(FailureCategory::Timeout) || said.is_overtaken;
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
    is_overtaken: bool,
}

impl Drop for Attempting {
    fn drop(&mut self) {
        if !self.recorded {
            self.record(Reply::Unknown, Said::default());
        }
    }
}
