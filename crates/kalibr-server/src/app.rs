//! What every handler works with.

use kalibr_engine::Engine;

/// The engine, and the bounds of a request.
#[derive(Debug, Clone)]
pub(crate) struct App {
    pub(crate) engine: Engine,
    pub(crate) max_body_bytes: usize,
}
