-- Hashes and hex ids are 16-byte blobs, times are microseconds since 1970 in UTC, strengths are in units of 2^-20.
CREATE TABLE goals (
    id INTEGER PRIMARY KEY,
    tenant TEXT NOT NULL,
    name TEXT NOT NULL,
    settings TEXT NOT NULL,
    active INTEGER NOT NULL,
    created_at INTEGER NOT NULL,
    updated_at INTEGER NOT NULL,
    UNIQUE (tenant, name)
) STRICT;

CREATE TABLE paths (
    goal INTEGER NOT NULL REFERENCES goals (id),
    id BLOB NOT NULL,
    position INTEGER NOT NULL,
    spec TEXT NOT NULL,
    enabled INTEGER NOT NULL,
    PRIMARY KEY (goal, id)
) STRICT, WITHOUT ROWID;

CREATE TABLE decisions (
    trace BLOB PRIMARY KEY,
    goal INTEGER NOT NULL REFERENCES goals (id),
    pipeline TEXT NOT NULL,
    bucket TEXT NOT NULL,
    epoch INTEGER NOT NULL,
    kind INTEGER NOT NULL,
    path BLOB NOT NULL,
    propensity REAL NOT NULL,
    table_version INTEGER NOT NULL,
    considered TEXT NOT NULL,
    -- The model of an observed run whose path the goal does not have.
    model TEXT,
    session BLOB,
    user BLOB,
    decided_at INTEGER NOT NULL
) STRICT;

CREATE TABLE attempts (
    trace BLOB NOT NULL,
    idx INTEGER NOT NULL,
    path BLOB NOT NULL,
    known INTEGER NOT NULL,
    reply INTEGER NOT NULL,
    category TEXT,
    status INTEGER,
    prompt_tokens INTEGER,
    completion_tokens INTEGER,
    latency_ms INTEGER,
    at INTEGER NOT NULL,
    PRIMARY KEY (trace, idx)
) STRICT, WITHOUT ROWID;

-- A signal that came for a session has `session`, and `trace` is the run it grades as far as known. It is pending
-- while that run is not known, or is no decision that the ledger holds.
CREATE TABLE signals (
    id TEXT PRIMARY KEY,
    trace BLOB,
    session BLOB,
    attempt INTEGER,
    source INTEGER NOT NULL,
    value INTEGER NOT NULL,
    strength INTEGER NOT NULL,
    confidence INTEGER NOT NULL,
    event_at INTEGER NOT NULL,
    received_at INTEGER NOT NULL,
    pending INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
CREATE INDEX signals_by_trace ON signals (trace);
CREATE INDEX signals_by_session ON signals (session, event_at) WHERE session IS NOT NULL;
CREATE INDEX signals_pending ON signals (received_at) WHERE pending = 1;

-- A withdrawal may arrive before its signal.
CREATE TABLE withdrawals (
    id TEXT PRIMARY KEY,
    at INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

-- The runs of a session. `at` is when the run was decided, or the earliest moment that it was reported at while the
-- ledger holds no such decision.
CREATE TABLE anchors (
    session BLOB NOT NULL,
    trace BLOB NOT NULL,
    at INTEGER NOT NULL,
    PRIMARY KEY (session, trace)
) STRICT, WITHOUT ROWID;
CREATE INDEX anchors_by_time ON anchors (session, at, trace);
CREATE INDEX anchors_by_trace ON anchors (trace);

-- Callers' own ids of runs.
CREATE TABLE aliases (
    alias BLOB PRIMARY KEY,
    trace BLOB NOT NULL
) STRICT, WITHOUT ROWID;

CREATE TABLE counters (
    goal INTEGER NOT NULL,
    pipeline TEXT NOT NULL,
    bucket TEXT NOT NULL,
    epoch INTEGER NOT NULL,
    path BLOB NOT NULL,
    pattern INTEGER NOT NULL,
    n INTEGER NOT NULL,
    score INTEGER NOT NULL,
    PRIMARY KEY (goal, pipeline, bucket, epoch, path, pattern)
) STRICT, WITHOUT ROWID;

-- What other processes on the same ledger tail. A row without a path says that the goal itself changed.
CREATE TABLE changes (
    seq INTEGER PRIMARY KEY AUTOINCREMENT,
    goal INTEGER NOT NULL,
    pipeline TEXT,
    bucket TEXT,
    epoch INTEGER,
    path BLOB,
    pattern INTEGER,
    n INTEGER,
    score INTEGER
) STRICT;
