//! Finding what is somebody's.

use std::collections::HashSet;

use kalibr_core::ids::{KeyedHash, Timestamp, TraceId};
use rusqlite::{Connection, OptionalExtension, Params, params};

use super::{Problem, codec, prints, read, session};
use crate::facts::StepFact;
use crate::ledger::SignalRecord;
use crate::personal::{HeldPiece, HeldRun, TextRecord, Whose};

/// Runs that are read in one go: some tens of milliseconds.
pub(super) const AT_ONCE: usize = 1_000;

/// Some of the runs, of a tenant or before a moment those with a decision alone.
pub(super) fn runs(connection: &Connection, whose: &Whose, most: usize) -> Result<Vec<TraceId>, Problem> {
    let limit = i64::try_from(most).unwrap_or(i64::MAX);
    match whose {
        Whose::Session(session) => traces(
            connection,
            "SELECT trace FROM anchors WHERE session = ?1 LIMIT ?2",
            params![session.as_bytes(), limit],
        ),
        Whose::User(user) => of_user(connection, *user, most),
        Whose::Tenant(name) => traces(
            connection,
            "SELECT trace FROM decisions WHERE goal IN (SELECT id FROM goals WHERE tenant = ?1) LIMIT ?2",
            params![name, limit],
        ),
        Whose::Before(moment) => traces(
            connection,
            "SELECT trace FROM decisions WHERE decided_at < ?1 LIMIT ?2",
            params![moment.0, limit],
        ),
    }
}

fn traces(connection: &Connection, sql: &str, values: impl Params) -> Result<Vec<TraceId>, Problem> {
    let mut statement = connection.prepare_cached(sql)?;
    let rows = statement.query_map(values, |row| row.get(0).map(codec::trace))?;
    Ok(rows.collect::<Result<_, _>>()?)
}

/// The index that has users has scopes first: each scope is asked in turn.
fn of_user(connection: &Connection, user: KeyedHash, most: usize) -> Result<Vec<TraceId>, Problem> {
    let limit = i64::try_from(most).unwrap_or(i64::MAX);
    let mut found = traces(
        connection,
        "SELECT trace FROM decisions WHERE user = ?1 AND frozen = 1 LIMIT ?2",
        params![user.as_bytes(), limit],
    )?;
    let mut next = connection.prepare_cached(
        "SELECT goal, pipeline, bucket FROM decisions INDEXED BY decisions_by_user
         WHERE user IS NOT NULL AND frozen = 0 AND (goal, pipeline, bucket) > (?1, ?2, ?3)
         ORDER BY goal, pipeline, bucket LIMIT 1",
    )?;
    let mut scope: (i64, String, String) = (i64::MIN, String::new(), String::new());
    while found.len() < most {
        let after = next
            .query_row(params![scope.0, scope.1, scope.2], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)))
            .optional()?;
        let Some(after) = after else { break };
        scope = after;
        let left = limit - found.len() as i64;
        found.extend(traces(
            connection,
            "SELECT trace FROM decisions INDEXED BY decisions_by_user WHERE goal = ?1 AND pipeline = ?2 AND bucket = ?3
             AND user = ?4 AND frozen = 0 LIMIT ?5",
            params![scope.0, scope.1, scope.2, user.as_bytes(), left],
        )?);
    }
    Ok(found)
}

/// Some of the runs of which something is held, but no decision. Looks at every attempt there is.
pub(super) fn orphans(
    connection: &Connection,
    tenant: &str,
    whose: &Whose,
    most: usize,
) -> Result<Vec<TraceId>, Problem> {
    let before = match whose {
        Whose::Session(_) | Whose::User(_) => return Ok(Vec::new()),
        Whose::Tenant(name) if name != tenant => return Ok(Vec::new()),
        Whose::Tenant(_) => i64::MAX,
        Whose::Before(moment) => moment.0,
    };
    let none = "NOT EXISTS (SELECT 1 FROM decisions AS d WHERE d.trace = o.trace)";
    let sql = format!(
        "SELECT trace FROM attempts AS o WHERE at < ?1 AND {none}
         UNION SELECT trace FROM anchors AS o WHERE at < ?1 AND {none}
         UNION SELECT trace FROM signals AS o WHERE pending = 1 AND received_at < ?1 AND trace NOT NULL AND {none}
         UNION SELECT trace FROM texts AS o WHERE at < ?1 AND trace NOT NULL AND {none}
         UNION SELECT trace FROM prints AS o WHERE at < ?1 AND {none} LIMIT ?2"
    );
    traces(connection, &sql, params![before, i64::try_from(most).unwrap_or(i64::MAX)])
}

pub(super) fn is_decided(connection: &Connection, trace: TraceId) -> Result<bool, Problem> {
    let mut statement = connection.prepare_cached("SELECT 1 FROM decisions WHERE trace = ?1")?;
    Ok(statement.exists([trace.as_bytes()])?)
}

/// What is held of these runs, in one moment. Those that are gone meanwhile are left out.
pub(super) fn held(connection: &mut Connection, traces: &[TraceId]) -> Result<Vec<HeldPiece>, Problem> {
    let transaction = connection.transaction()?;
    let mut held = Vec::with_capacity(traces.len());
    for trace in traces {
        let run = HeldRun {
            trace: *trace,
            decision: read::decided(&transaction, *trace)?,
            attempts: read::attempts(&transaction, *trace)?,
            failed_checks: read::failed_checks(&transaction, *trace)?,
            signals: read::signals(&transaction, *trace)?,
            texts: texts(&transaction, "trace = ?1", [trace.as_bytes()])?,
            fingerprints: prints::all_of(&transaction, *trace)?,
            steps: session::steps_of_run(&transaction, *trace)?,
        };
        let nothing = run.decision.is_none()
            && run.attempts.is_empty()
            && run.signals.is_empty()
            && run.texts.is_empty()
            && run.fingerprints.is_empty()
            && run.steps.is_empty();
        if !nothing {
            held.push(HeldPiece::Run(Box::new(run)));
        }
    }
    Ok(held)
}

/// What is held of no run.
pub(super) fn alone(
    connection: &mut Connection,
    tenant: &str,
    whose: &Whose,
    runs: &[TraceId],
) -> Result<Vec<HeldPiece>, Problem> {
    let transaction = connection.transaction()?;
    let mut found = Vec::new();
    let mut take = |signals: Vec<SignalRecord>, texts: Vec<TextRecord>, steps: Vec<StepFact>| {
        found.extend(signals.into_iter().map(HeldPiece::Signal));
        found.extend(texts.into_iter().map(HeldPiece::Text));
        found.extend(steps.into_iter().map(HeldPiece::Step));
    };
    let mut of_session = |session: KeyedHash| -> Result<(), Problem> {
        take(
            session_signals(&transaction, session)?,
            session_texts(&transaction, session)?,
            session::steps(
                &transaction,
                &format!("session = ?1 AND {}", session::OF_NO_RUN),
                [session.as_bytes()],
            )?,
        );
        Ok(())
    };
    let before = match whose {
        Whose::Session(session) => {
            of_session(*session)?;
            None
        }
        Whose::User(_) => {
            for session in sessions_alone(&transaction, runs)? {
                of_session(session)?;
            }
            None
        }
        Whose::Tenant(name) => (name == tenant).then_some(Timestamp(i64::MAX)),
        Whose::Before(moment) => Some(*moment),
    };
    if let Some(Timestamp(before)) = before {
        take(
            read::signals_where(
                &transaction,
                "pending = 1 AND trace IS NULL AND received_at < ?1",
                [before],
            )?,
            texts(&transaction, "trace IS NULL AND at < ?1", [before])?,
            session::steps(&transaction, &format!("at < ?1 AND {}", session::OF_NO_RUN), [before])?,
        );
    }
    Ok(found)
}

/// The sessions of these runs that have no other run.
fn sessions_alone(connection: &Connection, runs: &[TraceId]) -> Result<Vec<KeyedHash>, Problem> {
    let runs: HashSet<TraceId> = runs.iter().copied().collect();
    let mut sessions: HashSet<[u8; 16]> = HashSet::new();
    let mut of_run = connection.prepare_cached("SELECT session FROM anchors WHERE trace = ?1")?;
    for run in &runs {
        for session in of_run.query_map([run.as_bytes()], |row| row.get(0))? {
            sessions.insert(session?);
        }
    }
    let mut alone = Vec::new();
    for session in sessions {
        let all = traces(connection, "SELECT trace FROM anchors WHERE session = ?1", [session])?;
        if all.iter().all(|trace| runs.contains(trace)) {
            alone.push(KeyedHash::from_bytes(session));
        }
    }
    alone.sort_unstable();
    Ok(alone)
}

fn session_signals(connection: &Connection, session: KeyedHash) -> Result<Vec<SignalRecord>, Problem> {
    read::signals_where(connection, "trace IS NULL AND session = ?1", [session.as_bytes()])
}

fn session_texts(connection: &Connection, session: KeyedHash) -> Result<Vec<TextRecord>, Problem> {
    texts(connection, "trace IS NULL AND session = ?1", [session.as_bytes()])
}

pub(super) fn texts(
    connection: &Connection,
    which: &str,
    values: impl Params,
) -> Result<Vec<TextRecord>, Problem> {
    let sql = format!("SELECT kind, text, at FROM texts WHERE {which} ORDER BY at, rowid");
    let mut statement = connection.prepare_cached(&sql)?;
    let mut rows = statement.query(values)?;
    let mut texts = Vec::new();
    while let Some(row) = rows.next()? {
        texts.push(TextRecord {
            kind: codec::text_kind(row.get(0)?)?,
            text: row.get(1)?,
            at: Timestamp(row.get(2)?),
        });
    }
    Ok(texts)
}
