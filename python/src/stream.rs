//! An answer that arrives in parts.

use std::sync::Arc;

use futures_util::StreamExt;
use kalibr_engine::core::ids::{PathId, TraceId};
use kalibr_engine::core::path::PathSpec;
use kalibr_engine::upstream::Failure;
use kalibr_engine::upstream::sse::{EventTooLong, Reader};
use kalibr_engine::{CompletionStream, Decision};
use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyDict};
use tokio::runtime::Handle;
use tokio::sync::Mutex;

use crate::call::{self, Call};
use crate::engine::{self, wait};
use crate::errors;
use crate::process::OfProcess;

/// The events of a streamed answer. One reader at a time; others wait for it.
#[pyclass(frozen, module = "kalibr._kalibr")]
pub(crate) struct Stream {
    decision: Decision,
    attempt: u16,
    path_id: PathId,
    path: Arc<PathSpec>,
    parts: Arc<OfProcess<Parts>>,
}

struct Parts {
    /// `None` once it has ended or was closed.
    reading: Mutex<Option<Reading>>,
    handle: Handle,
}

struct Reading {
    stream: CompletionStream,
    events: Reader,
    trace: TraceId,
}

/// Why there is no next event. It becomes an exception only where the interpreter is at hand.
enum Broken {
    Process,
    Event(EventTooLong),
    Failed(TraceId, Box<Failure>),
}

impl From<Broken> for PyErr {
    fn from(broken: Broken) -> Self {
        match broken {
            Broken::Process => errors::other_process(),
            Broken::Event(problem) => errors::broken_stream(problem),
            Broken::Failed(trace, failure) => errors::provider(Some(trace), &failure, None),
        }
    }
}

impl Reading {
    /// The data of the next event, or `None` at the end.
    async fn next(&mut self) -> Result<Option<Vec<u8>>, Broken> {
        loop {
            while let Some(event) = self.events.next() {
                match event.map_err(Broken::Event)?.data() {
                    Some(data) if &*data != b"[DONE]" && !data.is_empty() => {
                        return Ok(Some(data.into_owned()));
                    }
                    // The end is the provider's to make: what follows the last event may still be read.
                    _ => {}
                }
            }
            match self.stream.next().await {
                Some(Ok(bytes)) => self.events.push(&bytes),
                Some(Err(failure)) => return Err(Broken::Failed(self.trace, Box::new(failure))),
                None => return Ok(None),
            }
        }
    }
}

impl Drop for Parts {
    fn drop(&mut self) {
        // What a stream does when it is given up may need the runtime.
        let _entered = self.handle.enter();
        self.reading.get_mut().take();
    }
}

async fn next(parts: &OfProcess<Parts>) -> Result<Option<Vec<u8>>, Broken> {
    let mut slot = parts.get().map_err(|_| Broken::Process)?.reading.lock().await;
    let Some(reading) = &mut *slot else {
        return Ok(None);
    };
    let read = reading.next().await;
    if !matches!(read, Ok(Some(_))) {
        slot.take();
    }
    read
}

impl Stream {
    pub(crate) fn new(stream: CompletionStream, handle: Handle) -> Self {
        let (decision, attempt) = (stream.decision.clone(), stream.attempt);
        let (path_id, path) = (stream.path_id, stream.path.clone());
        let reading = Reading { stream, events: Reader::default(), trace: decision.trace };
        let parts = Parts { reading: Mutex::new(Some(reading)), handle };
        Self { decision, attempt, path_id, path, parts: Arc::new(OfProcess::new(parts)) }
    }
}

#[pymethods]
impl Stream {
    /// Which path answers.
    fn chosen<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyDict>> {
        engine::served(py, &self.decision, self.attempt, self.path_id, &self.path)
    }

    /// The JSON of the next chunk, or `None` at the end. Waits for it.
    fn next<'py>(&self, py: Python<'py>) -> PyResult<Option<Bound<'py, PyBytes>>> {
        let handle = self.parts.get()?.handle.clone();
        let chunk = wait(py, &handle, next(&self.parts))??;
        Ok(chunk.map(|chunk| PyBytes::new(py, &chunk)))
    }

    /// As `next`, but calls `callback(chunk, error)` from another thread.
    fn next_async(&self, callback: Py<PyAny>) -> PyResult<Call> {
        let parts = Arc::clone(&self.parts);
        let handle = parts.get()?.handle.clone();
        Ok(call::spawn(&handle, callback, async move {
            let chunk = next(&parts).await;
            move |py: Python<'_>| Ok(chunk?.map(|chunk| PyBytes::new(py, &chunk)).into_pyobject(py)?.unbind())
        }))
    }

    /// Gives the rest of the answer up.
    fn close(&self, py: Python<'_>) -> PyResult<()> {
        let parts = self.parts.get()?;
        py.detach(|| {
            let _entered = parts.handle.enter();
            // Who is reading right now lets go of the stream when its call is cancelled.
            if let Ok(mut slot) = parts.reading.try_lock() {
                slot.take();
            }
        });
        Ok(())
    }
}
