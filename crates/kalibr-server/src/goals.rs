//! Goals: the paths that they route to, and what was learned of them.

use axum::Json;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use kalibr_engine::core::ids::Goal;
use kalibr_engine::core::path::PathSpec;
use kalibr_engine::evals::ContractSpec;
use kalibr_engine::{Engine, GoalConfig, GoalError, GoalInfo, PathUpdate, serde_problem};
use serde::de::DeserializeOwned;
use serde_json::json;

use crate::app::App;
use crate::error::{ApiError, no_goal};
use crate::fields::{Fields, required};
use crate::path::Id;

pub(crate) async fn list(State(app): State<App>) -> Response {
    Json(json!({ "object": "list", "data": app.engine.goals() })).into_response()
}

pub(crate) async fn one(State(app): State<App>, Id(name): Id<Goal>) -> Result<Json<GoalInfo>, ApiError> {
    let goal = app.engine.goal(&name).ok_or_else(|| unknown(&name))?;
    if goal.settings.contract.is_none() {
        return Ok(Json(goal));
    }
    let look = move || app.engine.with_checks(goal);
    let goal = tokio::task::spawn_blocking(look).await.map_err(|error| ApiError::internal(&error))??;
    Ok(Json(goal))
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

const OBJECTIVE: &str = r#"objective is one of {"mode": "cheapest_within", "delta": 0.02, "probability": 0.9}, {"mode": "utility", "price": 0.1} and {"mode": "budget", "dollars_per_request": 0.01}"#;
const LIMITS: &str = r#"limits is an object with any of max_cost_usd, max_latency_ms, min_quality, and slo such as {"latency_ms": 2000, "probability": 0.95}"#;
const RISK: &str = r#"risk is an object from a path's model or id to "low", "medium" or "high", such as {"lab/new": "high"}"#;
const GUARANTEE: &str = r#"guarantee is an object such as {"loss": 0.1, "error": 0.05, "stretch": 25}"#;
const CALLS: &str = "calls is an object with any of attempts, attempt_timeout_ms, timeout_ms, backoff_ms, longest_wait_ms and hedge_after_ms, all whole numbers";
const USER_CAP: &str =
    "user_cap is a number of decisions a day (0: no cap), or an object of decisions and window_seconds";

/// A field of a shape of its own. serde's complaint would repeat what was sent: `shape` says what it should be.
fn shaped<T: DeserializeOwned>(
    body: &mut Fields,
    field: &str,
    shape: &'static str,
) -> Result<Option<T>, ApiError> {
    let read = |value| serde_json::from_value(value).map_err(|_| ApiError::field(field, shape));
    body.take(field).map(read).transpose()
}

/// A contract has too many keys to list: of a slip serde's complaint is told, without what was sent.
fn contract(body: &mut Fields) -> Result<Option<ContractSpec>, ApiError> {
    let read = |value| {
        serde_json::from_value(value).map_err(|error| {
            let problem = serde_problem(&error.to_string());
            ApiError::field(
                "contract",
                format!("contract is an object such as {{\"json\": \"bare\"}}: {problem}"),
            )
        })
    };
    body.take("contract").map(read).transpose()
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
        objective: shaped(&mut body, "objective", OBJECTIVE)?,
        limits: shaped(&mut body, "limits", LIMITS)?,
        exploration_cap: body.number("exploration_cap")?,
        risk: shaped(&mut body, "risk", RISK)?,
        risk_delta: body.number("risk_delta")?,
        baseline: body.text("baseline")?,
        holdout: body.number("holdout")?,
        guarantee: shaped(&mut body, "guarantee", GUARANTEE)?,
        user_cap: shaped(&mut body, "user_cap", USER_CAP)?,
        rollback_error: body.number("rollback_error")?,
        calls: shaped(&mut body, "calls", CALLS)?,
        contract: contract(&mut body)?,
    };
    body.none_left_but(&[])?;
    Ok(goal)
}
