//! Sessions: their runs, and what their users did next.
//!
//! A session's id is hashed here and goes no further; nor does a message, which is classified here, unless the operator
//! keeps texts.

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use kalibr_engine::core::ids::{SessionId, SignalId};
use kalibr_engine::signals::turn::{Probabilities, TurnLabel, Verdict};
use kalibr_engine::{PrivateText, Run, RunReport, SignalMeta, TextKind, TurnText};
use serde::Serialize;
use serde_json::json;

use crate::app::App;
use crate::error::ApiError;
use crate::fields::{Fields, required};
use crate::path::Id;
use crate::signals::{self, PATIENCE, SignalBody};
use crate::texts::{SIGNAL_TEXTS, came_with, texts};

/// A run's own id is only hashed; the bound keeps a text from being one.
const LONGEST_RUN_ID: usize = 200;

/// What the Kalibr clients tell of a run beside what is learned from.
const RUN_DROPPED: [&str; 2] = ["meta_prompt_id", "step_name"];

pub(crate) async fn run(
    State(app): State<App>,
    Id(session): Id<SessionId>,
    mut body: Fields,
) -> Result<Response, ApiError> {
    let alias = body.text("run_id")?;
    if alias.as_ref().is_some_and(|alias| alias.is_empty() || alias.len() > LONGEST_RUN_ID) {
        let message =
            format!("run_id has 1 to {LONGEST_RUN_ID} bytes; choose a shorter one, or leave it out");
        return Err(ApiError::field("run_id", message));
    }
    let report = RunReport {
        trace: body.trace("trace_id")?,
        alias: alias.map(|alias| app.engine.alias_hash(&alias)),
        goal: body.id("goal")?,
        model: body.text("model")?,
        at: body.time("at")?,
        prompt: text(&mut body, "prompt"),
        output: text(&mut body, "output"),
    };
    let texts = texts(&app.engine, &mut body, &[("prompt", TextKind::Prompt), ("output", TextKind::Answer)]);
    body.none_left_but(&RUN_DROPPED)?;
    let run = app.engine.run(Some(app.engine.session_hash(&session)), &report)?;
    let receipts = app.engine.commit(run.facts, PATIENCE).await?;
    texts.keep(&app.engine, Run::Trace(run.trace), &SignalMeta::default());
    // The anchor is the last of them.
    let joined = receipts.last().is_some_and(|receipt| receipt.joined);
    Ok(Json(json!({ "trace_id": run.trace, "joined": joined, "known_path": run.known_path })).into_response())
}

/// A text, of which a fingerprint is kept; prompts may also be lists of messages, of which nothing is.
fn text(body: &mut Fields, key: &str) -> Option<PrivateText> {
    body.take(key).as_ref().and_then(serde_json::Value::as_str).map(PrivateText::from)
}

/// How a message was read, and what became of it.
#[derive(Serialize)]
struct TurnBody {
    label: TurnLabel,
    probabilities: Probabilities,
    asserted: bool,
    /// Whether the classifier model is asked about it: it may assert something later, under this id.
    pending: bool,
    signal_id: Option<SignalId>,
    joined: bool,
}

impl TurnBody {
    fn new(verdict: &Verdict, pending: bool) -> Self {
        Self {
            label: verdict.label,
            probabilities: Probabilities::from(verdict),
            asserted: verdict.asserted.is_some(),
            pending,
            signal_id: None,
            joined: false,
        }
    }
}

pub(crate) async fn turn(
    State(app): State<App>,
    Id(session): Id<SessionId>,
    mut body: Fields,
) -> Result<Response, ApiError> {
    let message = required("user_message", body.text("user_message")?)?;
    let (prompt, answer) = (body.text("prior_user_prompt")?, body.text("prior_output")?);
    let meta = signals::meta(&mut body)?;
    body.none_left()?;
    let run = Run::Session(app.engine.session_hash(&session));
    let text = TurnText { message: &message, prompt: prompt.as_deref(), answer: answer.as_deref() };
    let turn = app.engine.turn_after(run, text, meta).await;
    let mut answer = TurnBody::new(&turn.verdict, turn.asked);
    answer.signal_id = (answer.asserted || turn.asked).then_some(turn.id);
    let said = came_with(turn.facts.first());
    let recorded = signals::record(&app.engine, turn.facts).await?;
    app.engine.keep_text(run, TextKind::UserMessage, &message, said);
    // Where nothing was asserted, nothing waits for what it speaks of.
    let status = recorded.first().map_or(StatusCode::OK, SignalBody::status);
    answer.joined = recorded.first().is_some_and(|recorded| recorded.joined);
    Ok((status, Json(answer)).into_response())
}

pub(crate) async fn action(
    State(app): State<App>,
    Id(session): Id<SessionId>,
    mut body: Fields,
) -> Result<Response, ApiError> {
    let kind = required("action_type", body.text("action_type")?)?;
    let edit = signals::edit(&mut body).await?;
    let meta = signals::meta(&mut body)?;
    let texts = texts(&app.engine, &mut body, &SIGNAL_TEXTS);
    body.none_left()?;
    let run = Run::Session(app.engine.session_hash(&session));
    let fact = match edit {
        Some(edit) => app.engine.edited(run, &kind, edit, meta).await?,
        None => app.engine.action(run, &kind, None, meta)?,
    };
    let said = came_with(Some(&fact));
    let recorded = signals::record_one(&app.engine, fact).await?;
    texts.keep(&app.engine, run, &said);
    Ok(recorded.into_response())
}

pub(crate) async fn end(
    State(app): State<App>,
    Id(session): Id<SessionId>,
    mut body: Fields,
) -> Result<Response, ApiError> {
    let satisfied = body.flag("satisfied")?;
    let meta = signals::meta(&mut body)?;
    body.none_left()?;
    let session = app.engine.session_hash(&session);
    if let Some(satisfied) = satisfied {
        let fact = app.engine.session_end(session, satisfied, meta);
        return Ok(signals::record_one(&app.engine, fact).await?.into_response());
    }
    // How it ended nobody knows; what its messages leaned to is taken in.
    let receipts = app.engine.commit(vec![app.engine.session_over(session, meta)], PATIENCE).await?;
    let receipt = receipts.into_iter().next().unwrap_or_default();
    if receipt.conflict {
        return Err(signals::taken());
    }
    let body = json!({ "ended": true, "joined": receipt.joined, "duplicate": receipt.duplicate });
    Ok(Json(body).into_response())
}
