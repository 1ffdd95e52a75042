//! A gate that everything which touches the database passes, so that it can be shut.
//!
//! A database connection must not live across `fork`: SQLite's locks belong to the process that took them, and a child
//! that inherits them can corrupt the file. Before a fork the gate is shut (waiting for whoever is inside), connections
//! are closed, and afterwards the parent opens it again.

use std::sync::{Condvar, Mutex, PoisonError};

#[derive(Debug, Default)]
pub(crate) struct Gate {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Debug, Default)]
struct State {
    shut: bool,
    inside: usize,
}

/// Someone is inside; dropping it leaves.
pub(crate) struct Inside<'a>(&'a Gate);

impl Gate {
    /// Waits until the gate is open, and goes in.
    pub(crate) fn enter(&self) -> Inside<'_> {
        let state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let mut state =
            self.changed.wait_while(state, |state| state.shut).unwrap_or_else(PoisonError::into_inner);
        state.inside += 1;
        Inside(self)
    }

    /// Shuts the gate and waits until nobody is inside.
    pub(crate) fn shut(&self) {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        state.shut = true;
        let _state =
            self.changed.wait_while(state, |state| state.inside > 0).unwrap_or_else(PoisonError::into_inner);
    }

    /// Opens the gate.
    pub(crate) fn open(&self) {
        self.state.lock().unwrap_or_else(PoisonError::into_inner).shut = false;
        self.changed.notify_all();
    }
}

impl Drop for Inside<'_> {
    fn drop(&mut self) {
        self.0.state.lock().unwrap_or_else(PoisonError::into_inner).inside -= 1;
        self.0.changed.notify_all();
    }
}
