//! What a user did, checked and stamped, on its way to the ledger.
//!
//! Making one needs no engine and so never waits, not even for a data folder that is opened for the first time: a wrong
//! word is answered at once, text is classified at once and goes no further, and the rest may queue.

use std::str::FromStr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use kalibr_engine::core::evidence::Strength;
use kalibr_engine::core::ids::{Goal, SessionId, SignalId, Timestamp, TraceId};
use kalibr_engine::core::outcome::FailureCategory;
use kalibr_engine::core::path::PathSpec;
use kalibr_engine::signals::turn::{Prior, Verdict, classify};
use kalibr_engine::signals::vocabulary::{self, SignalType};
use kalibr_engine::{
    Edit, Engine, Fact, PrivateText, Run, RunReport, SignalError, SignalMeta, TurnText, Unsure,
    fresh_signal_id,
};
use pyo3::prelude::*;

use crate::errors;

#[derive(Debug, Clone)]
enum About {
    Trace(TraceId),
    Session(SessionId),
}

#[derive(Debug, Clone)]
enum What {
    Typed {
        about: About,
        kind: &'static SignalType,
        strength: Option<f64>,
        confidence: Option<f64>,
    },
    Action {
        about: About,
        action: String,
        edit: Option<Edit>,
    },
    Turn {
        about: About,
        read: Verdict,
        text: Option<Arc<Held>>,
    },
    Metric {
        about: About,
        success: bool,
        score: Option<f64>,
    },
    SessionEnd {
        session: SessionId,
        satisfied: Option<bool>,
    },
    Withdrawal,
    Run {
        session: Option<SessionId>,
        trace: Option<TraceId>,
        goal: Option<Goal>,
        model: Option<String>,
        prompt: Option<PrivateText>,
        output: Option<PrivateText>,
    },
}

/// Messages that may wait, here, for an engine that asks a classifier model about them: more are classified by what the
/// local classifier makes of them alone.
const MOST_HELD: usize = 1_024;
static HELD: AtomicUsize = AtomicUsize::new(0);

/// A message that waits for the engine, in memory.
#[derive(Debug)]
struct Held(Unsure);

impl Held {
    fn of(text: TurnText<'_>) -> Option<Arc<Self>> {
        if HELD.fetch_add(1, Ordering::Relaxed) >= MOST_HELD {
            HELD.fetch_sub(1, Ordering::Relaxed);
            return None;
        }
        Some(Arc::new(Self(Unsure::of(text))))
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        HELD.fetch_sub(1, Ordering::Relaxed);
    }
}

/// A signal that is well formed, and waits to be sent.
#[pyclass(frozen, module = "kalibr._kalibr")]
#[derive(Debug, Clone)]
pub(crate) struct Signal {
    what: What,
    id: SignalId,
    at: Timestamp,
}

fn parse<T: FromStr<Err = kalibr_engine::core::ids::InvalidId>>(text: Option<&str>) -> PyResult<Option<T>> {
    text.map(str::parse).transpose().map_err(errors::id)
}

/// A trace says exactly which run; a session only which conversation.
fn about(trace: Option<&str>, session: Option<&str>) -> PyResult<About> {
    match (parse(trace)?, parse(session)?) {
        (Some(trace), _) => Ok(About::Trace(trace)),
        (None, Some(session)) => Ok(About::Session(session)),
        (None, None) => Err(errors::signal(SignalError::Nothing)),
    }
}

fn run(engine: &Engine, about: &About) -> Run {
    match about {
        About::Trace(trace) => Run::Trace(*trace),
        About::Session(session) => Run::Session(engine.session_hash(session)),
    }
}

fn in_range(number: Option<f64>) -> PyResult<()> {
    number.map(Strength::new).transpose().map(drop).map_err(errors::invalid_signal)
}

fn signal(what: What, id: Option<&str>, at: i64) -> PyResult<Signal> {
    Ok(Signal { what, id: parse(id)?.unwrap_or_else(fresh_signal_id), at: Timestamp(at) })
}

#[pymethods]
impl Signal {
    /// A signal of a type by its name.
    #[staticmethod]
    #[pyo3(signature = (name, at, *, trace_id=None, session_id=None, strength=None, confidence=None, signal_id=None))]
    fn typed(
        name: &str,
        at: i64,
        trace_id: Option<&str>,
        session_id: Option<&str>,
        strength: Option<f64>,
        confidence: Option<f64>,
        signal_id: Option<&str>,
    ) -> PyResult<Self> {
        let kind = vocabulary::lookup(name).map_err(errors::invalid_signal)?;
        in_range(strength)?;
        in_range(confidence)?;
        signal(What::Typed { about: about(trace_id, session_id)?, kind, strength, confidence }, signal_id, at)
    }

    /// What the user did with an answer.
    #[staticmethod]
    #[pyo3(signature = (
        action, at, *, trace_id=None, session_id=None, edit_ratio=None, edit_diff=None, edited_output=None,
        signal_id=None
    ))]
    #[expect(clippy::too_many_arguments, reason = "keywords in Python")]
    fn action(
        py: Python<'_>,
        action: &str,
        at: i64,
        trace_id: Option<&str>,
        session_id: Option<&str>,
        edit_ratio: Option<f64>,
        edit_diff: Option<&str>,
        edited_output: Option<&str>,
        signal_id: Option<&str>,
    ) -> PyResult<Self> {
        let kind = vocabulary::action(action).map_err(errors::invalid_signal)?;
        let edit = py.detach(|| Edit::of(edit_ratio, edit_diff, edited_output)).map_err(errors::signal)?;
        if edit.is_some() {
            Edit::belongs(kind).map_err(errors::signal)?;
        }
        let action = action.to_owned();
        signal(What::Action { about: about(trace_id, session_id)?, action, edit }, signal_id, at)
    }

    /// A follow-up message, classified after what came before it as given, or as the engine, if it is open, remembers it:
    /// the label, its probability, and what is to be sent of it, if anything. With `keep`, its text is held for a
    /// classifier model where it asserts nothing.
    #[staticmethod]
    #[pyo3(signature = (
        message, at, *, prompt=None, output=None, keep=false, trace_id=None, session_id=None, signal_id=None, engine=None
    ))]
    #[expect(clippy::too_many_arguments, reason = "they are keywords in Python")]
    fn turn(
        py: Python<'_>,
        message: &str,
        at: i64,
        prompt: Option<&str>,
        output: Option<&str>,
        keep: bool,
        trace_id: Option<&str>,
        session_id: Option<&str>,
        signal_id: Option<&str>,
        engine: Option<&crate::engine::Engine>,
    ) -> PyResult<(&'static str, f64, Option<Self>)> {
        let about = about(trace_id, session_id)?;
        let given = TurnText { message, prompt, answer: output };
        let read = py.detach(|| {
            let after =
                engine.and_then(|engine| engine.verdict(&|engine| run(engine, &about), given, Timestamp(at)));
            after.unwrap_or_else(|| classify(message, &Prior::of(prompt, output).before()))
        });
        let (label, confidence) = (read.label.as_str(), read.confidence());
        let unclear = keep && read.asserted.is_none();
        let text = unclear.then(|| Held::of(given)).flatten();
        let says_something = read.asserted.is_some() || text.is_some() || matches!(about, About::Session(_));
        let turn =
            says_something.then(|| signal(What::Turn { about, read, text }, signal_id, at)).transpose()?;
        Ok((label, confidence, turn))
    }

    /// The caller's own verdict on an answer.
    #[staticmethod]
    #[pyo3(signature = (success, at, *, score=None, trace_id=None, session_id=None, signal_id=None))]
    fn metric(
        success: bool,
        at: i64,
        score: Option<f64>,
        trace_id: Option<&str>,
        session_id: Option<&str>,
        signal_id: Option<&str>,
    ) -> PyResult<Self> {
        in_range(score)?;
        signal(What::Metric { about: about(trace_id, session_id)?, success, score }, signal_id, at)
    }

    /// How a session ended, where that is known.
    #[staticmethod]
    #[pyo3(signature = (session_id, satisfied, at, *, signal_id=None))]
    fn session_end(
        session_id: &str,
        satisfied: Option<bool>,
        at: i64,
        signal_id: Option<&str>,
    ) -> PyResult<Self> {
        let session = session_id.parse().map_err(errors::id)?;
        signal(What::SessionEnd { session, satisfied }, signal_id, at)
    }

    /// A signal is taken back.
    #[staticmethod]
    fn withdrawal(signal_id: &str, at: i64) -> PyResult<Self> {
        signal(What::Withdrawal, Some(signal_id), at)
    }

    /// A run of a session: a decision of the router's, or a call that it did not make.
    #[staticmethod]
    #[pyo3(signature = (
        at, *, session_id=None, trace_id=None, goal=None, model=None, prompt=None, output=None
    ))]
    fn run(
        at: i64,
        session_id: Option<&str>,
        trace_id: Option<&str>,
        goal: Option<&str>,
        model: Option<&str>,
        prompt: Option<&str>,
        output: Option<&str>,
    ) -> PyResult<Self> {
        let what = What::Run {
            session: parse(session_id)?,
            trace: parse(trace_id)?,
            goal: parse(goal)?,
            model: model
                .map(|model| PathSpec::model(model).map(|path| path.model))
                .transpose()
                .map_err(errors::bad_model)?,
            prompt: prompt.map(PrivateText::from),
            output: output.map(PrivateText::from),
        };
        signal(what, None, at)
    }

    /// Whether sending it may wait for the ledger: an edit is compared with what is known of the answer.
    pub(crate) fn waits(&self) -> bool {
        matches!(&self.what, What::Action { edit: Some(edit), .. } if edit.waits())
    }
}

impl Signal {
    /// What the user did with the answer, where the edit waits to be graded.
    pub(crate) async fn edited(&self, engine: &Engine) -> Option<Result<Fact, SignalError>> {
        let What::Action { about, action, edit: Some(edit) } = &self.what else { return None };
        let (run, meta) = (run(engine, about), self.meta());
        if edit.waits() { Some(engine.edited(run, action, edit.clone(), meta).await) } else { None }
    }

    fn meta(&self) -> SignalMeta {
        SignalMeta { id: Some(self.id.clone()), at: Some(self.at) }
    }

    /// The facts that it stands for, under the names that this engine's ledger keeps, and whether it can teach: a run of
    /// a model that is on no path of its goal cannot. Of an edit that waits to be
    /// graded: [`Signal::edited`].
    pub(crate) fn facts(&self, engine: &Engine) -> Result<(Vec<Fact>, bool), SignalError> {
        let run = |about: &About| run(engine, about);
        let meta = self.meta();
        let fact = match &self.what {
            What::Typed { about, kind, strength, confidence } => {
                engine.signal(run(about), kind, *strength, *confidence, meta)?
            }
            What::Action { about, action, edit } => {
                let ratio = if let Some(Edit::Ratio(ratio)) = edit { Some(*ratio) } else { None };
                engine.action(run(about), action, ratio, meta)?
            }
            What::Turn { about, read, text } => {
                let text = text.as_ref().map(|held| held.0.clone());
                return Ok((engine.turned(run(about), read.clone(), text, meta).facts, true));
            }
            What::Metric { about, success, score } => engine.metric(run(about), *success, *score, meta)?,
            What::SessionEnd { session, satisfied } => {
                let session = engine.session_hash(session);
                match satisfied {
                    Some(satisfied) => engine.session_end(session, *satisfied, meta),
                    None => engine.session_over(session, meta),
                }
            }
            What::Withdrawal => engine.withdrawal(self.id.clone()),
            What::Run { session, trace, goal, model, prompt, output } => {
                let report = RunReport {
                    trace: *trace,
                    alias: None,
                    goal: goal.clone(),
                    model: model.clone(),
                    at: Some(self.at),
                    prompt: prompt.clone(),
                    output: output.clone(),
                };
                let session = session.as_ref().map(|session| engine.session_hash(session));
                return engine.run(session, &report).map(|run| (run.facts, run.known_path));
            }
        };
        Ok((vec![fact], true))
    }
}

/// Raises `InvalidSignalError` for what is no failure category.
#[pyfunction]
pub(crate) fn check_failure_category(name: &str) -> PyResult<()> {
    if FailureCategory::from_name(name).is_some() {
        return Ok(());
    }
    let known: Vec<_> = FailureCategory::ALL.iter().map(|category| category.as_str()).collect();
    Err(errors::invalid_signal(format!(
        "the failure category is not a known one; use one of {}",
        known.join(", ")
    )))
}
