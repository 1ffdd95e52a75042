-- How the follow-up messages of a session read: probabilities in steps of 1/255. Without them the row says that the caller
-- ended the session. `closed` while the session's signs take it in; whatever changes a session opens its rows again.
CREATE TABLE turns (
    id TEXT PRIMARY KEY,
    session BLOB NOT NULL,
    at INTEGER NOT NULL,
    acceptance INTEGER,
    rejection INTEGER,
    closed INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
CREATE INDEX turns_by_session ON turns (session, at);
CREATE INDEX turns_open ON turns (session, at, acceptance) WHERE closed = 0;
