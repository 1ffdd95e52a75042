//! What belongs to one process. After `fork`, a child holds copies of its parent's threads' work but not the threads,
//! and shares the parent's sockets and its poller: running a destructor there would wait for threads that do not exist,
//! or take the parent's connections off the poller. So the child forgets what it inherited.

use std::mem::ManuallyDrop;

use pyo3::prelude::*;

use crate::errors;

/// A value that is used and dropped in the process that made it, and nowhere else.
#[derive(Debug)]
pub(crate) struct OfProcess<T> {
    pid: u32,
    value: ManuallyDrop<T>,
}

impl<T> OfProcess<T> {
    pub(crate) fn new(value: T) -> Self {
        Self { pid: std::process::id(), value: ManuallyDrop::new(value) }
    }

    /// The value, or an error in a process that inherited it.
    pub(crate) fn get(&self) -> PyResult<&T> {
        if self.pid == std::process::id() { Ok(&self.value) } else { Err(errors::other_process()) }
    }
}

impl<T> Drop for OfProcess<T> {
    fn drop(&mut self) {
        if self.pid == std::process::id() {
            // SAFETY: dropped once, here, and not used afterwards.
            unsafe { ManuallyDrop::drop(&mut self.value) }
        }
    }
}

/// To be called in the child after a `fork`, on the one thread that it has.
///
/// The thread's random generator was copied with everything else: left alone, siblings forked from one parent would
/// name their decisions and signals alike.
#[pyfunction]
pub(crate) fn after_fork_in_child() -> PyResult<()> {
    rand::rng().reseed().map_err(errors::random)
}
