//! Decisions: what was known, what was chosen, and what came of it.

use std::time::Duration;

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use kalibr_engine::Explanation;

use crate::app::App;
use crate::error::ApiError;
use crate::path::Text;

/// Decisions and outcomes are logged behind the answer. Whoever asks right after it waits so long for the log, and gets
/// what is there if it takes longer.
const CATCH_UP: Duration = Duration::from_secs(1);

pub(crate) async fn one(State(app): State<App>, Text(id): Text) -> Result<Json<Explanation>, ApiError> {
    let explain = move || {
        app.engine.flush(CATCH_UP);
        app.engine.explain(&id)
    };
    let explained =
        tokio::task::spawn_blocking(explain).await.map_err(|error| ApiError::internal(&error))??;
    explained.map(Json).ok_or_else(|| {
        let message = "no decision is known by this id: give the x-kalibr-trace-id of an answer, the trace_id or run_id \
                       of a session's run, or a session's id";
        ApiError::new(StatusCode::NOT_FOUND, "decision_not_found", message)
    })
}
