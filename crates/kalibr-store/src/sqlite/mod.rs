//! The embedded ledger: one SQLite file in WAL mode, which several processes may share.
//!
//! Three connections with one use each: one writes, one answers questions, one tails `changes`, so that a long question
//! never holds up the others. All are opened on first use and closed by [`Ledger::suspend`].

mod batch;
mod cap;
mod codec;
mod erase;
mod goals;
mod log;
mod outcomes;
mod personal;
mod prints;
mod read;
mod recount;
mod session;
mod write;

use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use kalibr_core::ids::{Goal, KeyedHash, PathId, Timestamp, TraceId};
use kalibr_core::path::PathSpec;
use rusqlite::{Connection, ErrorCode, TransactionBehavior};

use crate::error::StoreError;
use crate::facts::{About, Fact, GoalId, SessionTrail};
use crate::gate::Gate;
use crate::ledger::{
    CallRecord, Changes, Committed, DecisionRecord, GoalChange, GoalChanged, GoalRecord, Ledger,
    LoggedDecision, PastAttempt, PathUpdate, Piece, Recount, RunPrints,
};
use crate::personal::{Erased, HeldPiece, Leftovers, Whose};

/// Schema versions, oldest first: `user_version` counts how many of them a file has been through.
const MIGRATIONS: [&str; 8] = [
    include_str!("schema.sql"),
    include_str!("safety.sql"),
    include_str!("prints.sql"),
    include_str!("sessions.sql"),
    include_str!("privacy.sql"),
    include_str!("withdrawn.sql"),
    include_str!("checks.sql"),
    include_str!("people.sql"),
];

/// The version since which the counters mean the same: what an older version counted is counted again.
const COUNTS_AS_NOW: i64 = 2;

/// The version since which what is deleted is overwritten: a file of an older one may hold leftovers.
const OVERWRITES: i64 = 5;

/// How long one call waits for another process's transaction. The caller tries again after that.
const BUSY: Duration = Duration::from_secs(1);

/// A pause between two steps of maintenance, in which other processes get hold of the lock.
const BREATH: Duration = Duration::from_millis(4);

/// A signal that joined no decision is dropped after this many microseconds: 7 days.
const UNJOINED_MICROS: i64 = 7 * 24 * 3_600_000_000;

/// Changes that are kept for others to tail. Who falls further behind reads a snapshot, which is quicker by then.
const CHANGES_KEPT: i64 = 200_000;

/// A ledger in one SQLite file.
#[derive(Debug)]
pub struct SqliteLedger {
    path: PathBuf,
    tenant: String,
    gate: Gate,
    writer: Mutex<Option<Connection>>,
    reader: Mutex<Option<Connection>>,
    tail: Mutex<Option<Connection>>,
}

impl SqliteLedger {
    /// Opens the ledger in this file, creating it (mode 0600) or migrating it where needed.
    ///
    /// # Errors
    /// [`StoreError::Open`] when the file or its folder cannot be made, [`StoreError::Newer`] when a newer Kalibr wrote
    /// it, [`StoreError::Damaged`] when it is not a ledger.
    pub fn open(path: &Path) -> Result<Self, StoreError> {
        let ledger = Self {
            path: path.to_owned(),
            tenant: "default".to_owned(),
            gate: Gate::default(),
            writer: Mutex::default(),
            reader: Mutex::default(),
            tail: Mutex::default(),
        };
        create_private(path).map_err(|source| StoreError::Open { path: path.to_owned(), source })?;
        ledger.with(&ledger.writer, migrate)?;
        Ok(ledger)
    }

    /// Runs `work` on a connection, opening it if need be.
    fn with<T>(
        &self,
        slot: &Mutex<Option<Connection>>,
        work: impl FnOnce(&mut Connection) -> Result<T, Problem>,
    ) -> Result<T, StoreError> {
        let _inside = self.gate.enter();
        let mut slot: MutexGuard<'_, Option<Connection>> =
            slot.lock().unwrap_or_else(PoisonError::into_inner);
        let connection = match &mut *slot {
            Some(connection) => connection,
            empty => empty.insert(connect(&self.path).map_err(|e| self.explain(e.into()))?),
        };
        work(connection).map_err(|problem| self.explain(problem))
    }

    fn write<T>(
        &self,
        work: impl FnOnce(&rusqlite::Transaction<'_>) -> Result<T, Problem>,
    ) -> Result<T, StoreError> {
        self.with(&self.writer, |connection| {
            let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
            let result = work(&transaction)?;
            transaction.commit()?;
            Ok(result)
        })
    }

    fn explain(&self, problem: Problem) -> StoreError {
        let path = self.path.clone();
        match problem {
            Problem::Newer(found) => StoreError::Newer { path, found, known: MIGRATIONS.len() as i64 },
            Problem::Damaged(what) => StoreError::Damaged { path, what: what.to_owned() },
            Problem::Database(source) => match source.sqlite_error_code() {
                Some(ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase) => {
                    StoreError::Damaged { path, what: source.to_string() }
                }
                // What passes: a lock of another process, a full or broken disk, a lack of memory or of files. All
                // else is about what was to be written, and would fail for ever.
                Some(
                    ErrorCode::DatabaseBusy
                    | ErrorCode::DatabaseLocked
                    | ErrorCode::SystemIoFailure
                    | ErrorCode::DiskFull
                    | ErrorCode::ReadOnly
                    | ErrorCode::CannotOpen
                    | ErrorCode::OutOfMemory
                    | ErrorCode::PermissionDenied
                    | ErrorCode::FileLockingProtocolFailed
                    | ErrorCode::SchemaChanged
                    | ErrorCode::OperationInterrupted,
                ) => StoreError::Unavailable { path, source },
                _ => StoreError::Refused { path, source },
            },
        }
    }
}

/// What can go wrong inside, before it is told with the file's name.
#[derive(Debug)]
enum Problem {
    Database(rusqlite::Error),
    Newer(i64),
    Damaged(&'static str),
}

impl From<rusqlite::Error> for Problem {
    fn from(error: rusqlite::Error) -> Self {
        Self::Database(error)
    }
}

/// Makes the file before SQLite does, so that nobody else can read it even for a moment; its `-wal` and `-shm` files
/// get the same mode from SQLite.
fn create_private(path: &Path) -> std::io::Result<()> {
    let mut options = std::fs::OpenOptions::new();
    options.create(true).append(true);
    #[cfg(unix)]
    {
        use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
        options.mode(0o600);
        if let Some(folder) = path.parent().filter(|folder| !folder.as_os_str().is_empty()) {
            std::fs::DirBuilder::new().recursive(true).mode(0o700).create(folder)?;
        }
    }
    let file = options.open(path)?;
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt;
        // A ledger that was copied here may be open to others.
        let permissions = file.metadata()?.permissions();
        if permissions.mode() & 0o077 != 0 {
            file.set_permissions(std::fs::Permissions::from_mode(permissions.mode() & 0o700))?;
        }
    }
    drop(file);
    // The file's name must survive a power cut as well as its contents: SQLite syncs only folders of files it made.
    #[cfg(unix)]
    if let Some(folder) = path.parent().filter(|folder| !folder.as_os_str().is_empty()) {
        std::fs::File::open(folder)?.sync_all()?;
    }
    Ok(())
}

fn connect(path: &Path) -> Result<Connection, rusqlite::Error> {
    let mut connection = Connection::open(path)?;
    connection.busy_handler(Some(wait_for_others))?;
    connection.pragma_update(None, "journal_mode", "WAL")?;
    connection.pragma_update(None, "synchronous", "FULL")?;
    // Where an ordinary sync stops at the drive's cache (macOS), ask for the one that does not.
    connection.pragma_update(None, "fullfsync", true)?;
    // What is deleted is overwritten, in free pages too.
    connection.pragma_update(None, "secure_delete", true)?;
    connection.set_prepared_statement_cache_capacity(64);
    Ok(connection)
}

/// Tries again every 2 ms until [`BUSY`] is over. SQLite's own handler waits up to 100 ms between two tries, and so
/// hardly ever finds a lock free that a busy process gives up for a moment after each transaction.
fn wait_for_others(tries: i32) -> bool {
    const PAUSE: Duration = Duration::from_millis(2);
    std::thread::sleep(PAUSE);
    PAUSE * (tries.max(0) as u32) < BUSY
}

fn migrate(connection: &mut Connection) -> Result<(), Problem> {
    let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
    let version: i64 = transaction.query_row("PRAGMA user_version", [], |row| row.get(0))?;
    let newest = MIGRATIONS.len() as i64;
    if version > newest {
        return Err(Problem::Newer(version));
    }
    let tables: i64 =
        transaction
            .query_row("SELECT count(*) FROM sqlite_master WHERE type = 'table'", [], |row| row.get(0))?;
    if version == 0 && tables > 0 {
        return Err(Problem::Damaged("it holds tables of another program"));
    }
    for step in MIGRATIONS.iter().skip(version as usize) {
        transaction.execute_batch(step)?;
    }
    if (1..COUNTS_AS_NOW).contains(&version) {
        recount::repair(&transaction)?;
    }
    if (1..OVERWRITES).contains(&version) {
        erase::note_leftovers(&transaction, Timestamp(0))?;
    }
    if version < newest {
        transaction.pragma_update(None, "user_version", newest)?;
    }
    transaction.commit()?;
    Ok(())
}

impl Ledger for SqliteLedger {
    fn commit(&self, batch: &[Fact]) -> Result<Committed, StoreError> {
        if batch.is_empty() {
            // Nothing to write needs no lock that another process may hold.
            let seq = self.with(&self.tail, |connection| read::last_change(connection))?;
            return Ok(Committed { receipts: Vec::new(), seq });
        }
        self.write(|transaction| write::commit(transaction, batch))
    }

    fn put_goal(
        &self,
        name: &Goal,
        settings: Option<&str>,
        paths: &[PathSpec],
        update: PathUpdate,
        now: Timestamp,
    ) -> Result<(GoalRecord, i64), StoreError> {
        self.write(|transaction| goals::put(transaction, &self.tenant, name, settings, paths, update, now))
    }

    fn remove_goal(&self, name: &Goal, now: Timestamp) -> Result<Option<i64>, StoreError> {
        self.write(|transaction| goals::remove(transaction, &self.tenant, name, now))
    }

    fn change_goal(
        &self,
        name: &Goal,
        change: &GoalChange,
        now: Timestamp,
    ) -> Result<GoalChanged, StoreError> {
        self.write(|transaction| goals::change(transaction, &self.tenant, name, change, now))
    }

    fn goal(&self, id: GoalId) -> Result<Option<GoalRecord>, StoreError> {
        self.with(&self.tail, |connection| read::goal(connection, id))
    }

    fn snapshot(&self, take: &mut dyn FnMut(Piece)) -> Result<i64, StoreError> {
        self.with(&self.tail, |connection| {
            // One read transaction: goals, counters and the change number must be of one moment.
            let transaction = connection.transaction()?;
            read::snapshot(&transaction, &self.tenant, take)
        })
    }

    fn changes(&self, since: i64) -> Result<Changes, StoreError> {
        self.with(&self.tail, |connection| {
            let transaction = connection.transaction()?;
            read::changes(&transaction, since)
        })
    }

    fn calls(&self, decisions: u32, take: &mut dyn FnMut(CallRecord)) -> Result<(), StoreError> {
        self.with(&self.tail, |connection| read::calls(connection, &self.tenant, decisions, take))
    }

    fn decision(&self, trace: TraceId) -> Result<Option<DecisionRecord>, StoreError> {
        self.with(&self.reader, |connection| {
            let transaction = connection.transaction()?;
            read::decision(&transaction, trace)
        })
    }

    fn failed_checks(
        &self,
        goal: GoalId,
        decisions: u32,
        take: &mut dyn FnMut(PathId, Option<u64>),
    ) -> Result<(), StoreError> {
        self.with(&self.reader, |connection| outcomes::failed_checks(connection, goal, decisions, take))
    }

    fn attempts_since(&self, at: Timestamp, take: &mut dyn FnMut(PastAttempt)) -> Result<(), StoreError> {
        self.with(&self.reader, |connection| outcomes::since(connection, &self.tenant, at, take))
    }

    fn anchored(&self, alias: KeyedHash, session: KeyedHash) -> Result<Option<TraceId>, StoreError> {
        self.with(&self.reader, |connection| read::anchored(connection, alias, session))
    }

    fn prints(&self, about: About, at: Timestamp) -> Result<Option<RunPrints>, StoreError> {
        self.with(&self.reader, |connection| {
            let transaction = connection.transaction()?;
            prints::of_run(&transaction, about, at)
        })
    }

    fn ended_sessions(
        &self,
        idle_since: Option<Timestamp>,
        most: usize,
    ) -> Result<Vec<SessionTrail>, StoreError> {
        self.with(&self.reader, |connection| {
            let transaction = connection.transaction()?;
            session::ended(&transaction, idle_since, most)
        })
    }

    fn log(
        &self,
        goal: GoalId,
        since: Option<Timestamp>,
        most: usize,
        take: &mut dyn FnMut(LoggedDecision),
    ) -> Result<(), StoreError> {
        let own = Mutex::default;
        let traces = self.with(&own(), |connection| log::traces(connection, goal, since, most))?;
        for part in traces.chunks(log::AT_ONCE) {
            self.with(&own(), |connection| log::decisions(connection, part))?
                .into_iter()
                .for_each(&mut *take);
        }
        Ok(())
    }

    fn maintain(&self, now: Timestamp) -> Result<(), StoreError> {
        while self.write(|transaction| write::maintain(transaction, now))? {
            std::thread::sleep(BREATH);
        }
        Ok(())
    }

    fn erase(&self, whose: &Whose, due: Timestamp) -> Result<Erased, StoreError> {
        let erased = self.write(|transaction| erase::runs(transaction, whose, due))?;
        if erased.more {
            return Ok(erased);
        }
        // Looking takes longer than what others should wait for.
        let orphans = self.with(&Mutex::default(), |connection| {
            personal::orphans(connection, &self.tenant, whose, erase::AT_ONCE)
        })?;
        let mut rest =
            self.write(|transaction| erase::rest(transaction, &self.tenant, whose, &orphans, due))?;
        rest.held += erased.held;
        Ok(rest)
    }

    fn erase_texts(&self, now: Timestamp, due: Timestamp) -> Result<bool, StoreError> {
        // Looked for first: who merely looks should not take the lock.
        if !self.with(&self.tail, |connection| erase::has_texts(connection, now))? {
            return Ok(false);
        }
        let erased = self.write(|transaction| erase::texts(transaction, now, due))?;
        Ok(erased == erase::AT_ONCE)
    }

    fn leftovers(&self) -> Result<Option<Leftovers>, StoreError> {
        self.with(&self.tail, |connection| erase::leftovers(connection))
    }

    fn scrub(&self) -> Result<bool, StoreError> {
        self.with(&self.writer, |connection| erase::scrub(connection))
    }

    fn held(&self, whose: &Whose, take: &mut dyn FnMut(HeldPiece)) -> Result<(), StoreError> {
        let own = Mutex::default;
        let mut traces = self.with(&own(), |connection| personal::runs(connection, whose, usize::MAX))?;
        let orphans =
            self.with(&own(), |connection| personal::orphans(connection, &self.tenant, whose, usize::MAX))?;
        traces.extend(orphans);
        for part in traces.chunks(personal::AT_ONCE) {
            self.with(&own(), |connection| personal::held(connection, part))?
                .into_iter()
                .for_each(&mut *take);
        }
        let alone =
            self.with(&own(), |connection| personal::alone(connection, &self.tenant, whose, &traces))?;
        alone.into_iter().for_each(take);
        Ok(())
    }

    fn recount(&self, repair: bool) -> Result<Recount, StoreError> {
        // A connection of its own: it takes long, and nobody should wait for it.
        self.with(&Mutex::default(), |connection| recount::recount(connection, repair))
    }

    fn suspend(&self) {
        self.gate.shut();
        for slot in [&self.writer, &self.reader, &self.tail] {
            slot.lock().unwrap_or_else(PoisonError::into_inner).take();
        }
    }

    fn resume(&self) {
        self.gate.open();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_connection_syncs_each_commit() {
        // No test can pull the plug of this machine: what can be held is that SQLite is asked for what survives it.
        let folder = tempfile::tempdir().unwrap();
        let ledger = SqliteLedger::open(&folder.path().join("ledger.db")).unwrap();
        for slot in [&ledger.writer, &ledger.reader, &ledger.tail] {
            let asked: (i64, String) = ledger
                .with(slot, |connection| {
                    let synchronous = connection.query_row("PRAGMA synchronous", [], |row| row.get(0))?;
                    let mode = connection.query_row("PRAGMA journal_mode", [], |row| row.get(0))?;
                    Ok((synchronous, mode))
                })
                .unwrap();
            assert_eq!(asked, (2, "wal".to_owned()), "2 is FULL");
            let overwrites: i64 = ledger
                .with(slot, |connection| {
                    Ok(connection.query_row("PRAGMA secure_delete", [], |row| row.get(0))?)
                })
                .unwrap();
            assert_eq!(overwrites, 1);
        }
    }
}
