//! Failures as the exceptions of `kalibr.errors`.

use kalibr_engine::core::ids::{InvalidId, TraceId};
use kalibr_engine::core::outcome::FailureCategory;
use kalibr_engine::core::path::InvalidPath;
use kalibr_engine::upstream::sse::EventTooLong;
use kalibr_engine::upstream::{BadRequest, Failure};
use kalibr_engine::{
    CompleteError, DecideError, EngineError, ExportError, GoalError, SignalError, StoreError,
};
use pyo3::exceptions::PyRuntimeError;
use pyo3::prelude::*;
use pyo3::types::{IntoPyDict, PyBytes, PyDict};

/// The exception `kalibr.errors.<name>(message, **more)`.
fn error(
    name: &str,
    message: &str,
    more: impl FnOnce(Python<'_>) -> PyResult<Option<Bound<'_, PyDict>>>,
) -> PyErr {
    Python::attach(|py| {
        let made = more(py)
            .and_then(|more| py.import("kalibr.errors")?.getattr(name)?.call((message,), more.as_ref()));
        made.map_or_else(|problem| problem, PyErr::from_value)
    })
}

fn plain(name: &str, message: impl ToString) -> PyErr {
    error(name, &message.to_string(), |_| Ok(None))
}

pub(crate) fn id(problem: InvalidId) -> PyErr {
    plain("InvalidSignalError", problem)
}

pub(crate) fn request_id(problem: InvalidId) -> PyErr {
    plain("InvalidRequestError", problem)
}

/// What is asked of one request cannot be.
pub(crate) fn asked(problem: &str) -> PyErr {
    plain("InvalidRequestError", problem)
}

pub(crate) fn goal_name(problem: InvalidId) -> PyErr {
    plain("GoalError", problem)
}

pub(crate) fn path(problem: impl ToString) -> PyErr {
    plain("GoalError", problem)
}

pub(crate) fn bad_request(problem: BadRequest) -> PyErr {
    plain("InvalidRequestError", problem)
}

pub(crate) fn invalid_signal(problem: impl ToString) -> PyErr {
    plain("InvalidSignalError", problem)
}

pub(crate) fn bad_model(problem: InvalidPath) -> PyErr {
    plain("InvalidSignalError", problem)
}

pub(crate) fn engine(problem: EngineError) -> PyErr {
    match problem {
        EngineError::Config { .. } => plain("ConfigError", problem),
        EngineError::NoHome | EngineError::Secret { .. } | EngineError::Store(_) => {
            plain("StoreError", problem)
        }
        EngineError::Thread(_) => PyRuntimeError::new_err(problem.to_string()),
    }
}

pub(crate) fn runtime(problem: std::io::Error) -> PyErr {
    engine(EngineError::Thread(problem))
}

pub(crate) fn store(problem: StoreError) -> PyErr {
    plain("StoreError", problem)
}

pub(crate) fn export(problem: ExportError) -> PyErr {
    plain("StoreError", problem)
}

pub(crate) fn goal(problem: GoalError) -> PyErr {
    match problem {
        GoalError::Store(_) | GoalError::Slow => plain("StoreError", problem),
        _ => plain("GoalError", problem),
    }
}

pub(crate) fn decide(problem: DecideError) -> PyErr {
    match problem {
        DecideError::UnknownGoal(_) => plain("UnknownGoalError", problem),
        DecideError::Asked(_) => plain("InvalidRequestError", problem),
        DecideError::NoEligiblePath(..) | DecideError::UnknownModel(_) => plain("NoPathError", problem),
    }
}

pub(crate) fn signal(problem: SignalError) -> PyErr {
    match problem {
        SignalError::UnknownGoal(_) => plain("UnknownGoalError", problem),
        SignalError::Nothing | SignalError::NothingRun => plain("NoRunError", problem),
        SignalError::Full | SignalError::Unconfirmed => plain("QueueFullError", problem),
        _ => plain("InvalidSignalError", problem),
    }
}

pub(crate) fn complete(problem: CompleteError) -> PyErr {
    match problem {
        CompleteError::Decide(problem) => decide(problem),
        CompleteError::Request(problem) => bad_request(problem),
        CompleteError::Resolve(problem) => plain("ConfigError", problem),
        CompleteError::Failed { trace, failure, attempts } => provider(trace, &failure, Some(attempts)),
    }
}

/// `ProviderError`, with the provider's own words beside the message and not in it.
pub(crate) fn provider(trace: Option<TraceId>, failure: &Failure, attempts: Option<u16>) -> PyErr {
    error("ProviderError", &failure.message, |py| {
        let more = [("category", failure.category.as_str())].into_py_dict(py)?;
        more.set_item("status", failure.status)?;
        more.set_item("trace_id", trace.map(|trace| trace.to_string()))?;
        more.set_item("body", failure.body.as_ref().map(|body| PyBytes::new(py, body)))?;
        more.set_item("attempts", attempts)?;
        more.set_item("retry_after", failure.retry_after.map(|wait| wait.as_secs_f64()))?;
        Ok(Some(more))
    })
}

pub(crate) fn closed() -> PyErr {
    plain(
        "KalibrError",
        "the engine was closed while the call was on its way; make it again to open one anew",
    )
}

pub(crate) fn other_process() -> PyErr {
    plain(
        "KalibrError",
        "this object was made before a fork, in another process; make a new one in this process",
    )
}

pub(crate) fn broken_stream(problem: EventTooLong) -> PyErr {
    error("ProviderError", &problem.to_string(), |py| {
        Ok(Some([("category", FailureCategory::MalformedOutput.as_str())].into_py_dict(py)?))
    })
}

pub(crate) fn random(problem: impl ToString) -> PyErr {
    PyRuntimeError::new_err(problem.to_string())
}
