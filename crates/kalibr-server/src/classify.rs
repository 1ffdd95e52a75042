//! How a follow-up message would be read: `POST /v1/classify`. Nothing is looked up, kept or recorded.

use axum::Json;
use axum::extract::State;
use kalibr_engine::signals::turn::{Prior, Told};

use crate::app::App;
use crate::error::ApiError;
use crate::fields::{Fields, required};

pub(crate) async fn one(State(app): State<App>, mut body: Fields) -> Result<Json<Told>, ApiError> {
    let message = required("user_message", body.text("user_message")?)?;
    let answer = body.text("prior_output")?;
    let prompt = body.text("prior_user_prompt")?;
    body.none_left_but(&[])?;
    let read = move || {
        let prior = Prior::of(prompt.as_deref(), answer.as_deref());
        Told::from(app.engine.read(&message, &prior.before()))
    };
    // Fingerprinting a megabyte is 20 ms of work.
    let told = tokio::task::spawn_blocking(read).await.map_err(|error| ApiError::internal(&error))?;
    Ok(Json(told))
}
