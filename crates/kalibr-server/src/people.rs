//! Whose data is here: to be seen, and to be gone.

use std::convert::Infallible;

use axum::Json;
use axum::body::{Body, Bytes};
use axum::extract::State;
use axum::http::{HeaderValue, header};
use axum::response::{IntoResponse, Response};
use futures_util::stream;
use kalibr_engine::core::ids::SessionId;
use kalibr_engine::{Engine, Whose};
use serde_json::json;

use crate::app::App;
use crate::chat::LONGEST_USER;
use crate::error::ApiError;
use crate::path::{Id, Text};

pub(crate) async fn erase_session(
    State(app): State<App>,
    Id(session): Id<SessionId>,
) -> Result<Response, ApiError> {
    let whose = Whose::Session(app.engine.session_hash(&session));
    erase(app.engine, whose).await
}

pub(crate) async fn erase_user(State(app): State<App>, Text(user): Text) -> Result<Response, ApiError> {
    let whose = of_user(&app.engine, &user)?;
    erase(app.engine, whose).await
}

pub(crate) async fn export_session(
    State(app): State<App>,
    Id(session): Id<SessionId>,
) -> Result<Response, ApiError> {
    let whose = Whose::Session(app.engine.session_hash(&session));
    export(app.engine, whose).await
}

pub(crate) async fn export_user(State(app): State<App>, Text(user): Text) -> Result<Response, ApiError> {
    let whose = of_user(&app.engine, &user)?;
    export(app.engine, whose).await
}

fn of_user(engine: &Engine, user: &str) -> Result<Whose, ApiError> {
    if user.is_empty() || user.len() > LONGEST_USER {
        let message =
            format!("a user's id has 1 to {LONGEST_USER} bytes; send the one that x-kalibr-user had");
        return Err(ApiError::bad("invalid_id", message));
    }
    Ok(Whose::User(engine.user_hash(user)))
}

/// Goes on to its end though the caller may leave: half an erasure helps nobody.
async fn erase(engine: Engine, whose: Whose) -> Result<Response, ApiError> {
    let erase = move || engine.erase(&whose);
    let erased = tokio::task::spawn_blocking(erase).await.map_err(|error| ApiError::internal(&error))??;
    let found = !erased.held.is_nothing();
    Ok(Json(json!({ "found": found, "erased": erased.held, "scrubbed": erased.scrubbed })).into_response())
}

async fn export(engine: Engine, whose: Whose) -> Result<Response, ApiError> {
    // Gathered whole, so that a ledger that fails in the middle gives an error and not half of what is held.
    let gather = move || {
        let mut parts: Vec<Bytes> = Vec::new();
        let mut take = |line: &str| {
            parts.push(Bytes::copy_from_slice(line.as_bytes()));
            Ok(())
        };
        engine.export(&whose, &mut take).map(|()| parts)
    };
    let parts = tokio::task::spawn_blocking(gather).await.map_err(|error| ApiError::internal(&error))??;
    let mut response =
        Response::new(Body::from_stream(stream::iter(parts.into_iter().map(Ok::<_, Infallible>))));
    let lines = HeaderValue::from_static("application/x-ndjson");
    response.headers_mut().insert(header::CONTENT_TYPE, lines);
    Ok(response)
}
