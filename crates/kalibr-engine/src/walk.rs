//! The way of one request over the paths of its goal: the one that was drawn, those to fall back on, and once all were
//! tried, those that may be back by now.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::BoxFuture;
use futures_util::stream::{FuturesUnordered, StreamExt};
use kalibr_core::ids::PathId;
use kalibr_core::outcome::FailureCategory;
use kalibr_core::path::PathSpec;
use kalibr_core::policy::uniform;
use kalibr_store::{PrintOf, Scope};
use kalibr_upstream::{Blame, ChatRequest, Failure, Target, Upstream};
use tokio::time::Instant;

use crate::call_rules::CallRules;
use crate::complete::{Attempting, CompleteRequest};
use crate::decide::Decision;
use crate::engine::Engine;
use crate::error::CompleteError;
use crate::prints::Text;

/// A call under way. Dropping it breaks it off.
pub(crate) type Call<T> = BoxFuture<'static, Result<T, Failure>>;

/// The way from the chosen path over its fallbacks.
pub(crate) struct Walk {
    decision: Decision,
    scope: Scope,
    rules: CallRules,
    /// Not called yet, the best first.
    fresh: VecDeque<(PathId, Arc<PathSpec>)>,
    /// Failed for reasons that may pass.
    again: Vec<Again>,
    attempts: u16,
    deadline: Option<(Duration, Instant)>,
}

/// A path that may be called once more.
struct Again {
    path_id: PathId,
    path: Arc<PathSpec>,
    failures: u16,
    at: Instant,
}

/// The attempt that brought an answer.
pub(crate) struct Served<T> {
    pub(crate) decision: Decision,
    pub(crate) attempt: Attempting,
    pub(crate) index: u16,
    pub(crate) path_id: PathId,
    pub(crate) path: Arc<PathSpec>,
    pub(crate) answer: T,
}

/// An attempt under way.
struct Begun {
    attempt: Attempting,
    index: u16,
    path_id: PathId,
    path: Arc<PathSpec>,
    failures: u16,
}

/// What came of a call, and whether it was the goal's or the caller's time that ended it.
type Ended<T> = (u16, Result<T, Failure>, bool);

impl Engine {
    pub(crate) fn walk(&self, request: &CompleteRequest) -> Result<Walk, CompleteError> {
        let decision = self.decide_classed(&request.decide, || crate::bucket::bucket_of(&request.body))?;
        self.note_run(decision.trace, self.clock().now(), request.decide.session);
        let prompt = Text::Request(Box::new(request.body.clone()));
        self.hand_over(decision.trace, PrintOf::Prompt, prompt);
        self.keep_prompt(decision.trace, &request.body);
        let chosen = (decision.path_id, Arc::clone(&decision.path));
        let others = decision.fallbacks.iter().chain(&decision.last_resort).cloned();
        let fresh = std::iter::once(chosen).chain(others).collect();
        let rules = decision.calls;
        let timeout = [request.timeout, rules.timeout()].into_iter().flatten().min();
        let deadline = timeout.map(|timeout| (timeout, Instant::now() + timeout));
        let scope = Scope {
            goal: decision.goal_id,
            pipeline: request.decide.pipeline.clone(),
            bucket: decision.bucket.clone(),
        };
        Ok(Walk { decision, scope, rules, fresh, again: Vec::new(), attempts: 0, deadline })
    }
}

impl Walk {
    /// Calls one path after the other until one answers. Where the goal hedges, two calls may be under way at a time.
    pub(crate) async fn run<T>(
        mut self,
        engine: &Engine,
        body: &ChatRequest,
        call: fn(Upstream, Target, ChatRequest) -> Call<T>,
    ) -> Result<Served<T>, CompleteError>
    where
        T: Send + 'static,
    {
        let mut running = FuturesUnordered::new();
        let mut begun: Vec<Begun> = Vec::with_capacity(1);
        let next = self.next_fresh(engine).ok_or_else(|| self.nowhere())?;
        running.push(self.begin(engine, body, call, next, &mut begun));
        let mut hedge = self.rules.hedge_after().map(|after| Box::pin(tokio::time::sleep(after)));
        loop {
            let ended = match &mut hedge {
                Some(timer) => tokio::select! {
                    biased;
                    ended = running.next() => ended,
                    () = timer => {
                        hedge = None;
                        if self.may_go_on() && let Some(next) = self.next_free(engine) {
                            running.push(self.begin(engine, body, call, next, &mut begun));
                        }
                        continue;
                    }
                },
                None => running.next().await,
            };
            // A call ends once, and there is always one under way here.
            let (index, result, cut) = ended.ok_or_else(|| self.nowhere())?;
            let at = begun.iter().position(|begun| begun.index == index).ok_or_else(|| self.nowhere())?;
            let Begun { attempt, path_id, path, failures, .. } = begun.swap_remove(at);
            match result {
                Ok(answer) => {
                    // Broken off before anything is recorded: what they would say now comes too late.
                    drop(running);
                    begun.into_iter().for_each(|slower| slower.attempt.overtaken());
                    return Ok(Served { decision: self.decision, attempt, index, path_id, path, answer });
                }
                Err(failure) => {
                    attempt.failed(&failure, cut);
                    self.keep(engine, &failure, path_id, path, failures + 1);
                    if !failure.falls_back() {
                        drop(running);
                        begun.into_iter().for_each(|other| other.attempt.overtaken());
                        return Err(self.failed(failure));
                    }
                    if !running.is_empty() {
                        continue;
                    }
                    let next = match self.next_fresh(engine).filter(|_| self.may_go_on()) {
                        Some(next) => next,
                        None => match self.next_again(engine).filter(|_| self.may_go_on()) {
                            Some(again) => {
                                tokio::time::sleep_until(again.at).await;
                                (again.path_id, again.path, again.failures)
                            }
                            None => return Err(self.failed(failure)),
                        },
                    };
                    running.push(self.begin(engine, body, call, next, &mut begun));
                }
            }
        }
    }

    fn begin<T>(
        &mut self,
        engine: &Engine,
        body: &ChatRequest,
        call: fn(Upstream, Target, ChatRequest) -> Call<T>,
        (path_id, path, failures): (PathId, Arc<PathSpec>, u16),
        begun: &mut Vec<Begun>,
    ) -> impl Future<Output = Ended<T>> + Send + 'static + use<T>
    where
        T: 'static,
    {
        let index = self.attempts;
        self.attempts += 1;
        let probes = std::mem::take(&mut self.decision.probes);
        let mut attempt =
            Attempting::start(engine, &self.decision, &self.scope, index, (path_id, &path), probes);
        // A path whose model nobody serves fails like a provider that is down.
        let call = engine
            .upstream()
            .resolve(&path.model)
            .map(|target| {
                let body = body.apply(&path, &target.model);
                if self.decision.has_contract {
                    attempt.asks(&body);
                }
                call(engine.upstream().clone(), target, body)
            })
            .map_err(|error| Failure::new(FailureCategory::ProviderError, Blame::Path, error.to_string()));
        let (deadline, limit) = (self.deadline, self.rules.attempt_timeout());
        begun.push(Begun { attempt, index, path_id, path, failures });
        async move {
            let (result, cut) = match call {
                Ok(call) => in_time(call, deadline, limit).await,
                Err(failure) => (Err(failure), false),
            };
            (index, result, cut)
        }
    }

    /// The path that was drawn, and after it the best of those that are not known to be down by now. Others may have found
    /// that out since the decision was made.
    fn next_fresh(&mut self, engine: &Engine) -> Option<(PathId, Arc<PathSpec>, u16)> {
        let first = if self.attempts == 0 { Some(0) } else { self.first_free(engine) };
        let (path_id, path) = self.fresh.remove(first.unwrap_or(0))?;
        Some((path_id, path, 0))
    }

    /// As `next_fresh`; nothing where all that is left is down.
    fn next_free(&mut self, engine: &Engine) -> Option<(PathId, Arc<PathSpec>, u16)> {
        let (path_id, path) = self.first_free(engine).and_then(|at| self.fresh.remove(at))?;
        Some((path_id, path, 0))
    }

    fn first_free(&self, engine: &Engine) -> Option<usize> {
        self.fresh.iter().position(|(id, path)| self.is_free(engine, *id, path))
    }

    fn is_free(&self, engine: &Engine, id: PathId, path: &PathSpec) -> bool {
        engine.outages().is_free(&self.decision.goal, id, &path.model)
    }

    /// The path that is soonest to be called again, unless it is known to be down or the time is up by then.
    fn next_again(&mut self, engine: &Engine) -> Option<Again> {
        let longest = Duration::from_millis(self.rules.longest_wait_ms);
        let goal = &self.decision.goal;
        self.again.retain_mut(|again| {
            let rest = engine.outages().rest(goal, again.path_id, &again.path.model);
            let rest = rest.filter(|rest| *rest <= longest);
            again.at = again.at.max(Instant::now() + rest.unwrap_or_default());
            rest.is_some()
        });
        let soonest = (0..self.again.len()).min_by_key(|at| self.again[*at].at)?;
        let again = self.again.remove(soonest);
        Some(again).filter(|again| self.deadline.is_none_or(|(_, deadline)| again.at < deadline))
    }

    /// Remembers a path whose failure may pass.
    fn keep(
        &mut self,
        engine: &Engine,
        failure: &Failure,
        path_id: PathId,
        path: Arc<PathSpec>,
        failures: u16,
    ) {
        // Of a model that nobody serves nothing can be hoped for.
        if !may_pass(failure) || engine.upstream().resolve(&path.model).is_err() {
            return;
        }
        // Of a number of its own, so that a retry moves no other draw of the run.
        let [.., a, b, c, d] = *self.decision.trace.as_bytes();
        let jitter =
            uniform(engine.seed() ^ u64::from(self.attempts), u32::from_be_bytes([a, b, c, d]).into());
        if let Some(wait) = self.rules.wait(failures, failure.retry_after, jitter) {
            self.again.push(Again { path_id, path, failures, at: Instant::now() + wait });
        }
    }

    fn may_go_on(&self) -> bool {
        let is_over = self.deadline.is_some_and(|(_, deadline)| Instant::now() >= deadline);
        self.attempts < self.rules.attempts && !is_over
    }

    fn failed(&self, failure: Failure) -> CompleteError {
        let trace = Some(self.decision.trace);
        CompleteError::Failed { trace, failure: Box::new(failure), attempts: self.attempts }
    }

    fn nowhere(&self) -> CompleteError {
        crate::DecideError::NoEligiblePath(self.decision.goal.clone(), String::new()).into()
    }
}

/// Waits for a call as long as the request and the goal allow; tells whether one of them ended it.
async fn in_time<T>(
    call: Call<T>,
    deadline: Option<(Duration, Instant)>,
    limit: Option<Duration>,
) -> (Result<T, Failure>, bool) {
    let own = limit.map(|limit| (limit, Instant::now() + limit, "an attempt's"));
    let all = deadline.map(|(timeout, deadline)| (timeout, deadline, "the request's"));
    let Some((timeout, until, whose)) = [own, all].into_iter().flatten().min_by_key(|(_, until, _)| *until)
    else {
        return (call.await, false);
    };
    tokio::time::timeout_at(until, call).await.map_or_else(
        |_| {
            let said = format!("there was no answer within {whose} {} ms", timeout.as_millis());
            (Err(Failure::new(FailureCategory::Timeout, Blame::Path, said)), true)
        },
        |result| (result, false),
    )
}

/// Whether the same call may well succeed a moment later.
fn may_pass(failure: &Failure) -> bool {
    match failure.category {
        FailureCategory::RateLimited | FailureCategory::EmptyResponse => true,
        FailureCategory::ProviderError => failure.status.is_none_or(|status| status >= 500),
        _ => false,
    }
}
