//! What another policy would have earned: `GET /v1/goals/{name}/replay?policy=always:MODEL&since=7d`.

use std::time::Duration;

use axum::Json;
use axum::extract::{Query, State};
use axum::http::StatusCode;
use kalibr_engine::core::ids::Goal;
use kalibr_engine::core::replay::Policy;
use kalibr_engine::{Clock, ReplayError, ReplayOptions, ReplayReport, moment};
use serde::Deserialize;

use crate::app::App;
use crate::error::{ApiError, no_goal};
use crate::path::Id;

/// Decisions and outcomes are logged behind the answer: so long is waited for them.
const CATCH_UP: Duration = Duration::from_secs(1);

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Asked {
    policy: Option<String>,
    since: Option<String>,
}

pub(crate) async fn one(
    State(app): State<App>,
    Id(name): Id<Goal>,
    asked: Result<Query<Asked>, axum::extract::rejection::QueryRejection>,
) -> Result<Json<ReplayReport>, ApiError> {
    let Query(asked) = asked.map_err(|_| {
        ApiError::bad("invalid_query", "a replay takes policy, and since if need be; leave the rest out")
    })?;
    let policy: Policy = asked.policy.as_deref().unwrap_or_default().parse().map_err(
        |problem: kalibr_engine::core::replay::UnknownPolicy| ApiError::field("policy", problem.to_string()),
    )?;
    let since = asked.since.as_deref().map(|text| moment(text, Clock::system().now()));
    let since = since.transpose().map_err(|problem| ApiError::field("since", problem))?;
    let options = ReplayOptions { since, ..ReplayOptions::default() };
    let replay = move || {
        app.engine.flush(CATCH_UP);
        app.engine.replay(&name, &policy, &options)
    };
    let report = tokio::task::spawn_blocking(replay).await.map_err(|error| ApiError::internal(&error))?;
    report.map(Json).map_err(|error| match error {
        ReplayError::UnknownGoal(_) => no_goal(error.to_string()),
        ReplayError::Path(_) => ApiError::new(StatusCode::NOT_FOUND, "path_not_found", error.to_string()),
        ReplayError::Store(error) => error.into(),
        error => ApiError::internal(&error),
    })
}
