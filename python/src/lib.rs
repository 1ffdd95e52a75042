//! The extension module behind the Python package `kalibr`: the engine's calls, without the interpreter's lock held
//! wherever something may wait. What a Python user sees is the layer above it, in `python/kalibr`.

mod call;
mod classify;
mod engine;
mod errors;
mod process;
mod signal;
mod stream;

use pyo3::prelude::*;

/// The native half of `kalibr`.
#[pymodule]
mod _kalibr {
    use super::{Bound, PyModule, PyModuleMethods, PyResult};
    #[pymodule_export]
    use crate::call::Call;
    #[pymodule_export]
    use crate::classify::classify;
    #[pymodule_export]
    use crate::engine::Engine;
    #[pymodule_export]
    use crate::process::after_fork_in_child;
    #[pymodule_export]
    use crate::signal::{Signal, check_failure_category};
    #[pymodule_export]
    use crate::stream::Stream;

    #[pymodule_init]
    fn init(module: &Bound<'_, PyModule>) -> PyResult<()> {
        module.add("__version__", env!("CARGO_PKG_VERSION"))
    }
}
