//! Which address leads where.

use axum::Router;
use axum::http::{StatusCode, Uri};
use axum::middleware::from_fn;
use axum::routing::{delete, get, post};

use crate::app::App;
use crate::error::ApiError;
use crate::{chat, classify, decisions, goals, guard, health, models, people, replay, sessions, signals};

pub(crate) fn router(app: App) -> Router {
    Router::new()
        .route("/healthz", get(health::health))
        .route("/v1/chat/completions", post(chat::complete))
        .route("/v1/messages", post(chat::messages))
        .route("/v1/responses", post(chat::responses))
        .route("/v1/models", get(models::list))
        // Models have slashes in their names.
        .route("/v1/models/{*id}", get(models::one))
        .route("/v1/goals", get(goals::list))
        .route("/v1/goals/{name}", get(goals::one).put(goals::put).delete(goals::remove))
        .route("/v1/goals/{name}/replay", get(replay::one))
        .route("/v1/goals/{name}/freeze", post(goals::freeze))
        .route("/v1/goals/{name}/thaw", post(goals::thaw))
        .route("/v1/goals/{name}/reset", post(goals::reset).delete(goals::undo_reset))
        .route("/v1/goals/{name}/resume", post(goals::resume))
        .route("/v1/classify", post(classify::one))
        .route("/v1/signals", post(signals::create))
        .route("/v1/signals/{id}", delete(signals::withdraw))
        .route("/v1/sessions/{id}", delete(people::erase_session))
        .route("/v1/sessions/{id}/export", get(people::export_session))
        .route("/v1/users/{id}", delete(people::erase_user))
        .route("/v1/users/{id}/export", get(people::export_user))
        .route("/v1/sessions/{id}/runs", post(sessions::run))
        .route("/v1/sessions/{id}/turns", post(sessions::turn))
        .route("/v1/sessions/{id}/actions", post(sessions::action))
        .route("/v1/sessions/{id}/end", post(sessions::end))
        .route("/v1/decisions/{id}", get(decisions::one))
        .fallback(nowhere)
        .method_not_allowed_fallback(wrong_method)
        .layer(from_fn(guard::local_only))
        .with_state(app)
}

async fn nowhere(uri: Uri) -> ApiError {
    let message = if uri.path().starts_with("/v1/sessions/") {
        "there is nothing at this address: below a session are runs, turns, actions, end and export, and a session id cannot \
         hold a '/'; choose ids without one"
    } else {
        "there is nothing at this address: see the documentation for the list of routes, and check the base URL, which \
         ends in /v1 for OpenAI clients"
    };
    ApiError::new(StatusCode::NOT_FOUND, "not_found", message)
}

async fn wrong_method() -> ApiError {
    let message = "this address does not know the method; the Allow header lists those that it does";
    ApiError::new(StatusCode::METHOD_NOT_ALLOWED, "method_not_allowed", message)
}
