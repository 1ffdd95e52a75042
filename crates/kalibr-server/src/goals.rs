//! Goals: the paths that they route to, and what was learned of them.

use axum::Json;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use kalibr_engine::core::ids::Goal;
use kalibr_engine::core::path::PathSpec;
use kalibr_engine::core::safety::UserCap;
use kalibr_engine::{Engine, GoalConfig, GoalError, GoalInfo, PathUpdate};
use serde_json::{Value, json};

use crate::app::App;
use crate::error::{ApiError, no_goal};
use crate::fields::{Fields, required};
use crate::path::Id;

pub(crate) async fn list(State(app): State<App>) -> Response {
    Json(json!({ "object": "list", "data": app.engine.goals() })).into_response()
}

pub(crate) async fn one(State(app): State<App>, Id(name): Id<Goal>) -> Result<Json<GoalInfo>, ApiError> {
    app.engine.goal(&name).map(Json).ok_or_else(|| unknown(&name))
}

pub(crate) async fn put(
    State(app): State<App>,
    Id(name): Id<Goal>,
    body: Fields,
) -> Result<Json<GoalInfo>, ApiError> {
    let goal = read(body)?;
    let (engine, changed) = (app.engine.clone(), name.clone());
    let settings = goal.settings();
    let put = move || engine.put_goal(&changed, &settings, &goal.paths, PathUpdate::Replace);
    tokio::task::spawn_blocking(put).await.map_err(|error| ApiError::internal(&error))??;
    app.engine.goal(&name).map(Json).ok_or_else(|| unknown(&name))
}

pub(crate) async fn remove(State(app): State<App>, Id(name): Id<Goal>) -> Result<Response, ApiError> {
    let (engine, gone) = (app.engine.clone(), name.clone());
    let remove = move || engine.remove_goal(&gone);
    let removed = tokio::task::spawn_blocking(remove).await.map_err(|error| ApiError::internal(&error))??;
    if removed { Ok(Json(json!({ "deleted": true })).into_response()) } else { Err(unknown(&name)) }
}

/// Something that is done to a goal as a whole.
async fn change(
    app: App,
    name: Goal,
    change: fn(&Engine, &Goal) -> Result<(), GoalError>,
) -> Result<Json<GoalInfo>, ApiError> {
    let (engine, changed) = (app.engine.clone(), name.clone());
    let work = move || change(&engine, &changed);
    tokio::task::spawn_blocking(work).await.map_err(|error| ApiError::internal(&error))??;
    app.engine.goal(&name).map(Json).ok_or_else(|| unknown(&name))
}

pub(crate) async fn freeze(State(app): State<App>, Id(name): Id<Goal>) -> Result<Json<GoalInfo>, ApiError> {
    change(app, name, Engine::freeze_goal).await
}

pub(crate) async fn thaw(State(app): State<App>, Id(name): Id<Goal>) -> Result<Json<GoalInfo>, ApiError> {
    change(app, name, Engine::thaw_goal).await
}

pub(crate) async fn reset(State(app): State<App>, Id(name): Id<Goal>) -> Result<Json<GoalInfo>, ApiError> {
    change(app, name, Engine::reset_goal).await
}

pub(crate) async fn undo_reset(
    State(app): State<App>,
    Id(name): Id<Goal>,
) -> Result<Json<GoalInfo>, ApiError> {
    change(app, name, Engine::undo_reset).await
}

pub(crate) async fn resume(State(app): State<App>, Id(name): Id<Goal>) -> Result<Json<GoalInfo>, ApiError> {
    change(app, name, Engine::resume_goal).await
}

fn unknown(name: &Goal) -> ApiError {
    no_goal(format!("there is no goal named {name}: create it with PUT /v1/goals/{name}"))
}

fn user_cap(value: Value) -> Result<UserCap, ApiError> {
    let message =
        "user_cap is a number of decisions a day (0: no cap), or an object of decisions and window_seconds";
    serde_json::from_value(value).map_err(|_| ApiError::field("user_cap", message))
}

fn read(mut body: Fields) -> Result<GoalConfig, ApiError> {
    let paths = required("paths", body.list("paths")?)?;
    let paths = paths.into_iter().enumerate().map(|(index, path)| {
        let place = format!("paths[{index}]");
        serde_json::from_value::<PathSpec>(path)
            .map_err(|error| ApiError::field(&place, format!("{place}: {error}")))
    });
    let goal = GoalConfig {
        paths: paths.collect::<Result<_, _>>()?,
        half_life: body.number("half_life")?,
        floor: body.number("floor")?,
        buckets: body
            .text("buckets")?
            .map(|name| name.parse().map_err(|problem: &str| ApiError::field("buckets", problem)))
            .transpose()?,
        user_cap: body.take("user_cap").map(user_cap).transpose()?,
        rollback_error: body.number("rollback_error")?,
    };
    body.none_left_but(&[])?;
    Ok(goal)
}
