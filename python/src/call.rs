//! A call that runs while Python does something else, and says when it is done.

use std::future::Future;

use pyo3::prelude::*;
use tokio::runtime::Handle;
use tokio::task::AbortHandle;

use crate::errors;
use crate::process::OfProcess;

/// A call on its way.
#[pyclass(frozen, module = "kalibr._kalibr")]
#[derive(Debug)]
pub(crate) struct Call(OfProcess<AbortHandle>);

#[pymethods]
impl Call {
    /// Gives the call up. Its callback may still be called if it was done already.
    fn cancel(&self) -> PyResult<()> {
        self.0.get()?.abort();
        Ok(())
    }
}

/// Runs `work`, then calls `callback(result, None)` or `callback(None, error)` with what its outcome is in Python.
pub(crate) fn spawn<F, T>(handle: &Handle, callback: Py<PyAny>, work: F) -> Call
where
    F: Future<Output = T> + Send + 'static,
    T: FnOnce(Python<'_>) -> PyResult<Py<PyAny>> + Send + 'static,
{
    let callback = Callback(Some(callback));
    let task = handle.spawn(async move {
        let outcome = work.await;
        callback.answer(outcome);
    });
    Call(OfProcess::new(task.abort_handle()))
}

/// Calls back once. One that is dropped unanswered says so: the runtime stopped with the engine, and somebody still waits.
/// (Who cancelled the call has left, and does not hear it.)
struct Callback(Option<Py<PyAny>>);

impl Callback {
    fn answer(mut self, outcome: impl FnOnce(Python<'_>) -> PyResult<Py<PyAny>>) {
        if let Some(callback) = self.0.take() {
            tell(&callback, outcome);
        }
    }
}

impl Drop for Callback {
    fn drop(&mut self) {
        if let Some(callback) = self.0.take() {
            tell(&callback, |_| Err(errors::closed()));
        }
    }
}

fn tell(callback: &Py<PyAny>, outcome: impl FnOnce(Python<'_>) -> PyResult<Py<PyAny>>) {
    // No interpreter, nobody to tell.
    Python::try_attach(|py| {
        let told = match outcome(py) {
            Ok(result) => callback.call1(py, (result, py.None())),
            Err(error) => callback.call1(py, (py.None(), error.into_value(py))),
        };
        if let Err(error) = told {
            error.write_unraisable(py, Some(callback.bind(py)));
        }
    });
}
