//! How a follow-up message would be read. Nothing is looked up, kept or recorded.

use kalibr_engine::signals::turn::{Prior, Told, classify_with};
use pyo3::exceptions::PyRuntimeError;
use pyo3::prelude::*;

use crate::engine::Engine;

/// A verdict as JSON; an engine's configuration says how sure one must be to be asserted.
#[pyfunction]
#[pyo3(signature = (message, prior_output=None, prior_user_prompt=None, engine=None))]
pub(crate) fn classify(
    py: Python<'_>,
    message: &str,
    prior_output: Option<&str>,
    prior_user_prompt: Option<&str>,
    engine: Option<&Engine>,
) -> PyResult<String> {
    let thresholds = engine.and_then(Engine::thresholds).unwrap_or_default();
    let told = py.detach(|| {
        let prior = Prior::of(prior_user_prompt, prior_output);
        serde_json::to_string(&Told::from(classify_with(message, &prior.before(), &thresholds)))
    });
    told.map_err(|error| PyRuntimeError::new_err(error.to_string()))
}
