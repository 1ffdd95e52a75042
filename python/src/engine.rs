//! The engine of one process, with the runtime on which its calls run.

use std::collections::HashMap;
use std::future::Future;
use std::path::PathBuf;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use kalibr_engine::core::ids::{Bucket, Goal, PathId, Pipeline, SessionId, SignalId, Timestamp};
use kalibr_engine::core::path::PathSpec;
use kalibr_engine::core::rules::Asked;
use kalibr_engine::signals::turn::{Thresholds, Verdict};
use kalibr_engine::upstream::ChatRequest;
use kalibr_engine::{
    CompleteRequest, Completion, Config, DecideRequest, Decision, EngineConfig, Home, Run, SignalMeta,
    TextKind, TurnText, Whose,
};
use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyDict};
use tokio::runtime::{Handle, Runtime};

use crate::call::{self, Call};
use crate::errors;
use crate::process::OfProcess;
use crate::signal::Signal;
use crate::stream::Stream;

/// Threads of the runtime. They only wait for providers and hand answers over.
const WORKERS: usize = 2;
/// How often a blocking call looks whether the interpreter wants it to end (Ctrl-C).
const LOOK: Duration = Duration::from_millis(100);
/// How long calls that still run may take to notice that the engine closes.
const LAST_WORDS: Duration = Duration::from_millis(500);

/// Routes, records and learns; see `kalibr._engine`, which keeps one for each process.
#[pyclass(frozen, module = "kalibr._kalibr")]
#[derive(Debug)]
pub(crate) struct Engine(OfProcess<Parts>);

#[derive(Debug)]
struct Parts {
    engine: kalibr_engine::Engine,
    runtime: Mutex<Option<Runtime>>,
    handle: Handle,
}

/// What a decision is asked for, as Python passes it.
#[derive(FromPyObject)]
#[pyo3(from_item_all)]
struct Scope {
    goal: String,
    candidates: Option<Vec<String>>,
    pipeline_id: Option<String>,
    bucket: Option<String>,
    session_id: Option<String>,
    user: Option<String>,
    force_model: Option<String>,
    risk: Option<String>,
    max_cost_usd: Option<f64>,
    max_latency_ms: Option<u64>,
}

impl Scope {
    fn request(self, engine: &kalibr_engine::Engine) -> PyResult<DecideRequest> {
        let risk = self.risk.as_deref().map(str::parse).transpose().map_err(errors::asked)?;
        let asked = Asked {
            risk: risk.unwrap_or_default(),
            max_cost_usd: self.max_cost_usd,
            max_latency_ms: self.max_latency_ms,
        };
        let parse = |ids: Vec<String>| ids.iter().map(|id| id.parse()).collect::<Result<Vec<PathId>, _>>();
        let request = || {
            let session = self.session_id.as_deref().map(SessionId::new).transpose()?;
            Ok(DecideRequest {
                goal: Goal::new(&self.goal)?,
                pipeline: self.pipeline_id.as_deref().map(Pipeline::new).transpose()?,
                bucket: self.bucket.as_deref().map(Bucket::new).transpose()?,
                session: session.map(|session| engine.session_hash(&session)),
                user: self.user.as_deref().map(|user| engine.user_hash(user)),
                candidates: self.candidates.map(parse).transpose()?,
                force_model: self.force_model,
                asked,
            })
        };
        request().map_err(errors::request_id)
    }
}

fn paths(json: &str) -> PyResult<Vec<PathSpec>> {
    // Position and type names of a JSON reader mean nothing to who wrote a Python list: one path at a time.
    let items: Vec<serde_json::Value> = serde_json::from_str(json).map_err(errors::path)?;
    items.into_iter().map(|item| serde_json::from_value(item).map_err(errors::path)).collect()
}

fn json(value: &impl serde::Serialize) -> PyResult<String> {
    serde_json::to_string(value).map_err(errors::path)
}

/// A decision as a dict of `Router.decide`.
pub(crate) fn decision<'py>(py: Python<'py>, decision: &Decision) -> PyResult<Bound<'py, PyDict>> {
    let dict = PyDict::new(py);
    dict.set_item("trace_id", decision.trace.to_string())?;
    dict.set_item("goal", decision.goal.as_str())?;
    dict.set_item("bucket", decision.bucket.as_str())?;
    dict.set_item("path_id", decision.path_id.to_string())?;
    dict.set_item("path", json(&decision.path)?)?;
    dict.set_item("propensity", decision.propensity)?;
    dict.set_item("reason", decision.reason.as_str())?;
    Ok(dict)
}

/// Which path answered: a decision's dict, with the path of the attempt that was served.
pub(crate) fn served<'py>(
    py: Python<'py>,
    made: &Decision,
    attempt: u16,
    path_id: PathId,
    path: &PathSpec,
) -> PyResult<Bound<'py, PyDict>> {
    let dict = decision(py, made)?;
    dict.set_item("attempt", attempt)?;
    dict.set_item("path_id", path_id.to_string())?;
    dict.set_item("path", json(path)?)?;
    Ok(dict)
}

/// A completion as Python gets it: what was chosen, and the provider's body.
pub(crate) fn completed<'py>(
    py: Python<'py>,
    done: &Completion,
) -> PyResult<(Bound<'py, PyDict>, Bound<'py, PyBytes>)> {
    let chosen = served(py, &done.decision, done.attempt, done.path_id, &done.path)?;
    Ok((chosen, PyBytes::new(py, &done.answer.body)))
}

/// Runs a future on this thread without the interpreter's lock, and gives it up when the interpreter asks for that.
pub(crate) fn wait<T: Send>(
    py: Python<'_>,
    handle: &Handle,
    future: impl Future<Output = T> + Send,
) -> PyResult<T> {
    let mut future = Box::pin(future);
    loop {
        let step = || handle.block_on(async { tokio::time::timeout(LOOK, &mut future).await });
        match py.detach(step) {
            Ok(done) => return Ok(done),
            Err(_) => py.check_signals()?,
        }
    }
}

impl Engine {
    fn parts(&self) -> PyResult<&Parts> {
        self.0.get()
    }

    /// How a follow-up message reads after what this engine remembers of the run before it.
    pub(crate) fn verdict(
        &self,
        run: &dyn Fn(&kalibr_engine::Engine) -> Run,
        text: TurnText<'_>,
        at: Timestamp,
    ) -> Option<Verdict> {
        let engine = &self.parts().ok()?.engine;
        Some(engine.verdict(run(engine), text, Some(at)))
    }

    /// How sure a message must be to become a signal, as this engine was configured.
    pub(crate) fn thresholds(&self) -> Option<Thresholds> {
        self.parts().ok().map(|parts| *parts.engine.thresholds())
    }

    fn complete_request(&self, body: &[u8], scope: Scope, timeout: Option<f64>) -> PyResult<CompleteRequest> {
        let decide = scope.request(&self.parts()?.engine)?;
        let body = ChatRequest::parse(body).map_err(errors::bad_request)?;
        Ok(CompleteRequest { decide, body, timeout: timeout.map(patience) })
    }
}

#[pymethods]
impl Engine {
    /// Opens the data folder, or the one that `env` tells.
    #[staticmethod]
    #[pyo3(signature = (env, home=None))]
    fn open(py: Python<'_>, env: HashMap<String, String>, home: Option<PathBuf>) -> PyResult<Self> {
        py.detach(|| {
            let look = |name: &str| env.get(name).cloned();
            let home = home
                .map_or_else(|| Home::from_env(&look), |home| Ok(Home::at(home)))
                .map_err(errors::engine)?;
            let named = look("KALIBR_CONFIG").filter(|file| !file.is_empty()).map(PathBuf::from);
            let file = named.clone().unwrap_or_else(|| home.config());
            let config = Config::load(&file, named.is_some()).map_err(errors::engine)?;
            let settings = EngineConfig::new(home, &config, &look).map_err(errors::engine)?;
            let runtime = tokio::runtime::Builder::new_multi_thread()
                .worker_threads(WORKERS)
                .thread_name("kalibr-runtime")
                .enable_all()
                .build()
                .map_err(errors::runtime)?;
            let handle = runtime.handle().clone();
            let entered = handle.enter();
            let engine = kalibr_engine::Engine::open(settings).map_err(errors::engine)?;
            drop(entered);
            for (name, goal) in &config.goals {
                let name = Goal::new(name).map_err(errors::goal_name)?;
                engine
                    .put_goal(&name, &goal.settings(), &goal.paths, kalibr_engine::PathUpdate::Replace)
                    .map_err(errors::goal)?;
            }
            let parts = Parts { engine, runtime: Mutex::new(Some(runtime)), handle };
            Ok(Self(OfProcess::new(parts)))
        })
    }

    /// Adds paths (a JSON list) to a goal, creating it where needed. Returns `(path_id, path as JSON)` of each.
    fn register(&self, py: Python<'_>, goal: &str, paths_json: &str) -> PyResult<Vec<(String, String)>> {
        let engine = &self.parts()?.engine;
        let name = Goal::new(goal).map_err(errors::goal_name)?;
        let paths = paths(paths_json)?;
        // Most routers are made for goals that are as they want them: those need not wait for the ledger.
        let known = engine.paths(&name).is_some_and(|known| {
            !paths.is_empty() && paths.iter().all(|path| known.iter().any(|known| known.path_id == path.id()))
        });
        if !known {
            py.detach(|| engine.register(&name, &paths)).map_err(errors::goal)?;
        }
        paths.iter().map(|path| Ok((path.id().to_string(), json(path)?))).collect()
    }

    /// The paths of a goal, as `register` returns them; `None` when there is no such goal.
    fn paths(&self, goal: &str) -> PyResult<Option<Vec<(String, String)>>> {
        let name = Goal::new(goal).map_err(errors::goal_name)?;
        let Some(paths) = self.parts()?.engine.paths(&name) else {
            return Ok(None);
        };
        paths
            .iter()
            .map(|path| Ok((path.path_id.to_string(), json(&path.spec)?)))
            .collect::<PyResult<_>>()
            .map(Some)
    }

    /// Chooses a path.
    fn decide<'py>(&self, py: Python<'py>, scope: Scope) -> PyResult<Bound<'py, PyDict>> {
        let engine = &self.parts()?.engine;
        let request = scope.request(engine)?;
        let made = py.detach(|| engine.decide(&request)).map_err(errors::decide)?;
        decision(py, &made)
    }

    /// Chooses a path and calls it; waits for the answer.
    fn complete<'py>(
        &self,
        py: Python<'py>,
        body: &[u8],
        scope: Scope,
        timeout: Option<f64>,
    ) -> PyResult<(Bound<'py, PyDict>, Bound<'py, PyBytes>)> {
        let request = self.complete_request(body, scope, timeout)?;
        let parts = self.parts()?;
        let done = wait(py, &parts.handle, parts.engine.complete(request))?.map_err(errors::complete)?;
        completed(py, &done)
    }

    /// As `complete`, but calls `callback(result, error)` from another thread.
    fn complete_async(
        &self,
        body: &[u8],
        scope: Scope,
        timeout: Option<f64>,
        callback: Py<PyAny>,
    ) -> PyResult<Call> {
        let request = self.complete_request(body, scope, timeout)?;
        let parts = self.parts()?;
        let engine = parts.engine.clone();
        Ok(call::spawn(&parts.handle, callback, async move {
            let done = engine.complete(request).await;
            move |py: Python<'_>| {
                let done = done.map_err(errors::complete)?;
                Ok(completed(py, &done)?.into_pyobject(py)?.into_any().unbind())
            }
        }))
    }

    /// Chooses a path and starts a streamed call; waits for its beginning.
    fn stream(&self, py: Python<'_>, body: &[u8], scope: Scope, timeout: Option<f64>) -> PyResult<Stream> {
        let request = self.complete_request(body, scope, timeout)?;
        let parts = self.parts()?;
        let stream = wait(py, &parts.handle, parts.engine.stream(request))?.map_err(errors::complete)?;
        Ok(Stream::new(stream, parts.handle.clone()))
    }

    /// As `stream`, but calls `callback(stream, error)` from another thread.
    fn stream_async(
        &self,
        body: &[u8],
        scope: Scope,
        timeout: Option<f64>,
        callback: Py<PyAny>,
    ) -> PyResult<Call> {
        let request = self.complete_request(body, scope, timeout)?;
        let parts = self.parts()?;
        let (engine, handle) = (parts.engine.clone(), parts.handle.clone());
        Ok(call::spawn(&parts.handle, callback, async move {
            let started = engine.stream(request).await;
            move |py: Python<'_>| {
                let stream = Stream::new(started.map_err(errors::complete)?, handle);
                Ok(Bound::new(py, stream)?.into_any().unbind())
            }
        }))
    }

    /// Queues a signal. Returns whether it can teach: a run of a model that is on no path of its goal cannot.
    fn send(&self, py: Python<'_>, signal: &Signal) -> PyResult<bool> {
        let parts = self.parts()?;
        let engine = &parts.engine;
        let sent = py.detach(|| {
            let (facts, teaches) = if signal.waits() {
                let edited = parts.handle.block_on(signal.edited(engine)).transpose()?;
                (edited.into_iter().collect(), true)
            } else {
                signal.facts(engine)?
            };
            engine.send(facts).map(|()| teaches)
        });
        sent.map_err(errors::signal)
    }

    /// Whether the operator keeps texts.
    fn keeps_text(&self) -> PyResult<bool> {
        Ok(self.parts()?.engine.keeps_text())
    }

    /// Queues a text, where the operator keeps texts.
    #[pyo3(signature = (kind, text, *, signal_id=None, at=None, trace_id=None, session_id=None))]
    fn keep_text(
        &self,
        kind: &str,
        text: &str,
        signal_id: Option<&str>,
        at: Option<i64>,
        trace_id: Option<&str>,
        session_id: Option<&str>,
    ) -> PyResult<()> {
        let engine = &self.parts()?.engine;
        let kind = match kind {
            "prompt" => TextKind::Prompt,
            "answer" => TextKind::Answer,
            "user_message" => TextKind::UserMessage,
            "edit" => TextKind::Edit,
            _ => TextKind::Reason,
        };
        let run = match (trace_id, session_id) {
            (Some(trace), _) => Run::Trace(trace.parse().map_err(errors::id)?),
            (None, Some(session)) => {
                Run::Session(engine.session_hash(&SessionId::new(session).map_err(errors::id)?))
            }
            (None, None) => return Ok(()),
        };
        let id = signal_id.map(SignalId::new).transpose().map_err(errors::id)?;
        engine.keep_text(run, kind, text, SignalMeta { id, at: at.map(Timestamp) });
        Ok(())
    }

    /// Erases what is somebody's, or only counts it: how much of what, as JSON, and whether no file holds a copy any more.
    #[pyo3(signature = (*, session_id=None, user=None, before=None, dry_run=false))]
    fn erase(
        &self,
        py: Python<'_>,
        session_id: Option<&str>,
        user: Option<&str>,
        before: Option<i64>,
        dry_run: bool,
    ) -> PyResult<(String, bool)> {
        let engine = &self.parts()?.engine;
        let whose = whose(engine, session_id, user, before)?;
        let (held, scrubbed) = py
            .detach(|| {
                if dry_run {
                    return engine.held(&whose).map(|held| (held, false));
                }
                engine.erase(&whose).map(|erased| (erased.held, erased.scrubbed))
            })
            .map_err(errors::store)?;
        Ok((json(&held)?, scrubbed))
    }

    /// All that is held of somebody, as lines of JSON.
    #[pyo3(signature = (*, session_id=None, user=None))]
    fn export(&self, py: Python<'_>, session_id: Option<&str>, user: Option<&str>) -> PyResult<String> {
        let engine = &self.parts()?.engine;
        let whose = whose(engine, session_id, user, None)?;
        py.detach(|| {
            let mut lines = String::new();
            let mut take = |line: &str| {
                lines.push_str(line);
                Ok(())
            };
            engine.export(&whose, &mut take).map(|()| lines)
        })
        .map_err(errors::export)
    }

    /// Waits until everything sent so far is committed and in the policy tables.
    fn flush(&self, py: Python<'_>, seconds: f64) -> PyResult<bool> {
        let engine = &self.parts()?.engine;
        Ok(py.detach(|| engine.flush(patience(seconds))))
    }

    /// Everything known of a decision, as JSON.
    fn explain(&self, py: Python<'_>, id: &str) -> PyResult<Option<String>> {
        let engine = &self.parts()?.engine;
        let found = py.detach(|| engine.explain(id)).map_err(errors::store)?;
        found.map(|explanation| json(&explanation)).transpose()
    }

    /// All goals, as JSON.
    fn goals(&self, py: Python<'_>) -> PyResult<String> {
        let engine = &self.parts()?.engine;
        py.detach(|| json(&engine.goals()))
    }

    /// Whether a classifier model is configured.
    fn has_classifier(&self) -> PyResult<bool> {
        Ok(self.parts()?.engine.has_classifier())
    }

    /// How the classifier model stands, as JSON; `None` where none is configured.
    fn classifier(&self) -> PyResult<Option<String>> {
        self.parts()?.engine.classifier().map(|info| json(&info)).transpose()
    }

    /// Facts that wait for the ledger, and rows of the log that were lost because too many did.
    fn health(&self) -> PyResult<(usize, u64)> {
        let health = self.parts()?.engine.health();
        Ok((health.waiting, health.dropped))
    }

    /// Writes what is queued and stops all threads. Returns whether everything was written in time.
    fn close(&self, py: Python<'_>, seconds: f64) -> PyResult<bool> {
        let parts = self.parts()?;
        Ok(py.detach(|| {
            // Calls first: what they still say of themselves must find the writer.
            let runtime = parts.runtime.lock().unwrap_or_else(PoisonError::into_inner).take();
            if let Some(runtime) = runtime {
                runtime.shutdown_timeout(LAST_WORDS);
            }
            parts.engine.close(patience(seconds))
        }))
    }

    /// Keeps everyone out of the ledger, for the moment of a fork.
    fn suspend(&self, py: Python<'_>) -> PyResult<()> {
        let engine = &self.parts()?.engine;
        py.detach(|| engine.suspend());
        Ok(())
    }

    /// Goes on after `suspend`.
    fn resume(&self) -> PyResult<()> {
        self.parts()?.engine.resume();
        Ok(())
    }
}

/// Python's layer has seen to it that one of them is given.
fn whose(
    engine: &kalibr_engine::Engine,
    session: Option<&str>,
    user: Option<&str>,
    before: Option<i64>,
) -> PyResult<Whose> {
    match (session, user, before) {
        (Some(id), None, None) => {
            SessionId::new(id).map(|id| Whose::Session(engine.session_hash(&id))).map_err(errors::id)
        }
        (None, Some(user), None) => Ok(Whose::User(engine.user_hash(user))),
        (None, None, Some(moment)) => Ok(Whose::Before(Timestamp(moment))),
        _ => Err(errors::invalid_signal("say whose: a session, a user, or a moment; one of them")),
    }
}

/// A time to wait: what is no number, or too long for a clock, is a day.
fn patience(seconds: f64) -> Duration {
    const DAY: Duration = Duration::from_hours(24);
    Duration::try_from_secs_f64(seconds.max(0.0)).map_or(DAY, |wait| wait.min(DAY))
}
