-- Of which session a message was that was withdrawn: by that its id goes when the session or its run is erased.
CREATE TABLE IF NOT EXISTS withdrawn_steps (
    id TEXT PRIMARY KEY,
    session BLOB NOT NULL,
    at INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS withdrawn_steps_by_session ON withdrawn_steps (session, at);
