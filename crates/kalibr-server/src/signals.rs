//! Signals of all three levels, singly and in batches.

use std::time::Duration;

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use kalibr_engine::core::ids::{SessionId, SignalId, TraceId};
use kalibr_engine::signals::vocabulary;
use kalibr_engine::{Edit, Engine, Fact, Receipt, Run, SignalError, SignalMeta};
use serde::Serialize;
use serde_json::json;

use crate::app::App;
use crate::error::ApiError;
use crate::fields::{Fields, required};
use crate::path::Id;
use crate::texts::{SIGNAL_TEXTS, Texts, came_with, texts};

/// How long a request waits for its signals to be committed and synced. Clients give up after 5 to 10 seconds, and
/// should learn before that that sending again is safe.
pub(crate) const PATIENCE: Duration = Duration::from_secs(5);

/// Most signals of one batch: it stays below a second of the ledger's time.
const MOST: usize = 1000;

/// What became of a signal.
#[derive(Debug, Serialize)]
pub(crate) struct SignalBody {
    pub(crate) id: SignalId,
    pub(crate) joined: bool,
    duplicate: bool,
    /// In a batch: another signal has this id, and this one was not taken.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    conflict: bool,
    trace_id: Option<TraceId>,
}

impl SignalBody {
    fn new(id: SignalId, receipt: Receipt) -> Self {
        Self {
            id,
            joined: receipt.joined,
            duplicate: receipt.duplicate,
            conflict: receipt.conflict,
            trace_id: receipt.trace,
        }
    }

    /// 202 says that the signal is kept, and counts once what it speaks of is known.
    pub(crate) fn status(&self) -> StatusCode {
        if self.joined { StatusCode::OK } else { StatusCode::ACCEPTED }
    }
}

impl IntoResponse for SignalBody {
    fn into_response(self) -> Response {
        (self.status(), Json(self)).into_response()
    }
}

pub(crate) async fn create(State(app): State<App>, mut body: Fields) -> Result<Response, ApiError> {
    let Some(items) = body.list("signals")? else {
        let (fact, run, texts) = read(&app.engine, body).await?;
        let said = came_with(Some(&fact));
        let recorded = record_one(&app.engine, fact).await?;
        texts.keep(&app.engine, run, &said);
        return Ok(recorded.into_response());
    };
    body.none_left_but(&[])?;
    if items.len() > MOST {
        let message = format!("a batch has at most {MOST} signals; send several");
        return Err(ApiError::field("signals", message));
    }
    let mut facts = Vec::with_capacity(items.len());
    let mut said = Vec::with_capacity(items.len());
    for (index, item) in items.into_iter().enumerate() {
        let place = format!("signals[{index}]");
        let fields =
            Fields::of(item).ok_or_else(|| ApiError::field(&place, format!("{place} is not an object")))?;
        let (fact, run, texts) = read(&app.engine, fields).await.map_err(|error| error.within(&place))?;
        said.push((run, texts, came_with(Some(&fact))));
        facts.push(fact);
    }
    let results = record_all(&app.engine, facts).await?;
    for ((run, texts, said), recorded) in said.into_iter().zip(&results) {
        // Of one that was not taken, because another has its id, nothing is kept.
        if !recorded.conflict {
            texts.keep(&app.engine, run, &said);
        }
    }
    Ok(Json(json!({ "results": results })).into_response())
}

pub(crate) async fn withdraw(State(app): State<App>, Id(id): Id<SignalId>) -> Result<Response, ApiError> {
    let fact = app.engine.withdrawal(id.clone());
    let receipts = app.engine.commit(vec![fact], PATIENCE).await?;
    let receipt = receipts.into_iter().next().unwrap_or_default();
    Ok(Json(
        json!({ "id": id, "withdrawn": true, "duplicate": receipt.duplicate, "trace_id": receipt.trace }),
    )
    .into_response())
}

/// Commits one signal.
pub(crate) async fn record_one(engine: &Engine, fact: Fact) -> Result<SignalBody, ApiError> {
    let recorded = record(engine, vec![fact]).await?;
    recorded.into_iter().next().ok_or_else(|| ApiError::internal(&"a signal was committed without a receipt"))
}

/// Commits facts, of which those that are signals come first and are answered for.
pub(crate) async fn record(engine: &Engine, facts: Vec<Fact>) -> Result<Vec<SignalBody>, ApiError> {
    let recorded = record_all(engine, facts).await?;
    if recorded.iter().any(|recorded| recorded.conflict) {
        return Err(taken());
    }
    Ok(recorded)
}

/// What to say of a signal or message whose id another has.
pub(crate) fn taken() -> ApiError {
    let message = "another signal has this id and says something else: it was not changed, and this one was not \
                   taken; choose an id that no other signal has, or withdraw the other one";
    ApiError::new(StatusCode::CONFLICT, "signal_id_taken", message)
}

async fn record_all(engine: &Engine, facts: Vec<Fact>) -> Result<Vec<SignalBody>, ApiError> {
    let ids: Vec<SignalId> = facts.iter().filter_map(id_of).collect();
    let receipts = engine.commit(facts, PATIENCE).await.map_err(|error| {
        // The caller may not have chosen the ids itself, and needs them to send the same signals again.
        let again = matches!(error, SignalError::Full | SignalError::Unconfirmed);
        ApiError::from(error).signals(if again { ids.clone() } else { Vec::new() })
    })?;
    // A message that asserted nothing is a step of its session and no signal.
    if ids.is_empty() && receipts.iter().any(|receipt| receipt.conflict) {
        return Err(taken());
    }
    Ok(ids.into_iter().zip(receipts).map(|(id, receipt)| SignalBody::new(id, receipt)).collect())
}

fn id_of(fact: &Fact) -> Option<SignalId> {
    match fact {
        Fact::Signal(signal) => Some(signal.signal.id.clone()),
        _ => None,
    }
}

/// What every signal may carry.
pub(crate) fn meta(fields: &mut Fields) -> Result<SignalMeta, ApiError> {
    Ok(SignalMeta { id: fields.id("id")?, at: fields.time("at")? })
}

/// A signal, what it speaks of, and what was said with it.
async fn read(engine: &Engine, mut fields: Fields) -> Result<(Fact, Run, Texts), ApiError> {
    let kind = match fields.text("type")? {
        Some(kind) => Some(kind),
        None => fields.text("signal_type")?,
    };
    let kind = required("type", kind)?;
    let run = run(engine, &mut fields)?;
    let meta = meta(&mut fields)?;
    let texts = texts(engine, &mut fields, &SIGNAL_TEXTS);
    if kind == "metric" {
        let success = required("success", fields.flag("success")?)?;
        let score = fields.number("score")?;
        fields.none_left()?;
        return Ok((engine.metric(run, success, score, meta)?, run, texts));
    }
    let kind = vocabulary::lookup(&kind)?;
    let (strength, confidence) = (fields.number("strength")?, fields.number("confidence")?);
    let edit = edit(&mut fields).await?;
    fields.none_left()?;
    if edit.is_some() {
        Edit::belongs(kind)?;
    }
    // The sender's own strength counts more than what an edit gives.
    let strength = match edit {
        Some(edit) if strength.is_none() => Some(engine.edit_strength(run, edit, &meta).await?.get()),
        _ => strength,
    };
    Ok((engine.signal(run, kind, strength, confidence, meta)?, run, texts))
}

/// How much of an answer was changed, where a signal says so.
pub(crate) async fn edit(fields: &mut Fields) -> Result<Option<Edit>, ApiError> {
    let ratio = fields.number("edit_ratio")?;
    let (diff, output) = (fields.text("edit_diff")?, fields.text("edited_output")?);
    if diff.is_none() {
        return Ok(Edit::of(ratio, None, output.as_deref())?);
    }
    // A long diff is a second of work, which other requests of this thread need not wait for.
    let read = move || Edit::of(ratio, diff.as_deref(), output.as_deref());
    Ok(tokio::task::spawn_blocking(read).await.map_err(|error| ApiError::internal(&error))??)
}

/// What a signal speaks of. Clients that send both ids mean the trace, and the session only beside it.
fn run(engine: &Engine, fields: &mut Fields) -> Result<Run, ApiError> {
    let trace = fields.trace("trace_id")?;
    let session: Option<SessionId> = fields.id("session_id")?;
    match (trace, session) {
        (Some(trace), _) => Ok(Run::Trace(trace)),
        (None, Some(session)) => Ok(Run::Session(engine.session_hash(&session))),
        (None, None) => Err(SignalError::Nothing.into()),
    }
}
