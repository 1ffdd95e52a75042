//! Models, as OpenAI's clients list them: the goals, and what their paths call.

use std::collections::BTreeMap;

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use kalibr_engine::Engine;
use serde::Serialize;
use serde_json::json;

use crate::app::App;
use crate::chat::GOAL_PREFIX;
use crate::error::ApiError;
use crate::path::Text;

#[derive(Serialize)]
struct Model {
    id: String,
    object: &'static str,
    /// Clients want a number of seconds. When a model was made is not known here.
    created: u64,
    owned_by: String,
}

impl Model {
    fn new(id: String, owned_by: String) -> Self {
        Self { id, object: "model", created: 0, owned_by }
    }
}

pub(crate) async fn list(State(app): State<App>) -> Response {
    Json(json!({ "object": "list", "data": models(&app.engine) })).into_response()
}

pub(crate) async fn one(State(app): State<App>, Text(id): Text) -> Result<Response, ApiError> {
    let found = models(&app.engine).into_iter().find(|model| model.id == id);
    found.map(|model| Json(model).into_response()).ok_or_else(|| {
        let message = "no goal and no goal's path has this model; GET /v1/models lists those that there are";
        ApiError::new(StatusCode::NOT_FOUND, "model_not_found", message)
    })
}

/// The goals first, by name, then the models of their paths.
fn models(engine: &Engine) -> Vec<Model> {
    let goals = engine.all_paths();
    let mut called = BTreeMap::new();
    for path in goals.iter().flat_map(|(_, paths)| paths) {
        let model = &path.spec.model;
        if !called.contains_key(model) {
            let provider = engine.upstream().resolve(model).map(|target| target.provider.name().to_owned());
            called.insert(model.clone(), provider.unwrap_or_else(|_| "unknown".to_owned()));
        }
    }
    let goals = goals.iter().map(|(name, _)| Model::new(format!("{GOAL_PREFIX}{name}"), "kalibr".to_owned()));
    goals.chain(called.into_iter().map(|(id, provider)| Model::new(id, provider))).collect()
}
