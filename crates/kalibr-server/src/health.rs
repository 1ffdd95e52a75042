//! Whether the server is well, for probes.

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use kalibr_engine::{ClassifierInfo, ProviderInfo};
use serde::Serialize;

use crate::app::App;

/// How the server is doing. Decisions go on in any case; 503 says that signals are not taken in, or not learned from.
#[derive(Serialize)]
pub(crate) struct HealthBody {
    status: &'static str,
    /// Facts that wait for the ledger.
    waiting: usize,
    /// Decisions and attempts that were not recorded, because the queue was full.
    dropped: u64,
    /// Facts that were taken and could not be written.
    lost: u64,
    /// Milliseconds for which the ledger has been out of reach; 0 when it is not.
    stalled_ms: u128,
    /// Milliseconds since the policy tables were last looked after.
    refreshed_ms: u128,
    /// How the providers are doing that were called in the last hours. One that is down is no reason for 503: requests go
    /// elsewhere.
    providers: Vec<ProviderInfo>,
    /// How the model stands that is asked about messages which the local classifier cannot tell; `null` without one.
    classifier: Option<ClassifierInfo>,
}

pub(crate) async fn health(State(app): State<App>) -> (StatusCode, Json<HealthBody>) {
    let health = app.engine.health();
    let (code, status) =
        if health.is_well() { (StatusCode::OK, "ok") } else { (StatusCode::SERVICE_UNAVAILABLE, "degraded") };
    let body = HealthBody {
        status,
        waiting: health.waiting,
        dropped: health.dropped,
        lost: health.lost,
        stalled_ms: health.stalled.map_or(0, |stalled| stalled.as_millis()),
        refreshed_ms: health.refreshed.as_millis(),
        providers: app.engine.providers(),
        classifier: app.engine.classifier(),
    };
    (code, Json(body))
}
