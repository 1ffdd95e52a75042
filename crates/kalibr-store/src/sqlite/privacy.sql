-- What is found by when it was decided, to be forgotten in time.
CREATE INDEX decisions_by_time ON decisions (decided_at);
-- The decisions of a user that `decisions_by_user` leaves out.
CREATE INDEX decisions_frozen_by_user ON decisions (user) WHERE user IS NOT NULL AND frozen = 1;
CREATE INDEX aliases_by_trace ON aliases (trace);

-- Texts, where the operator keeps them. One that came for a session has `session`, and `trace` is its run as far as known.
CREATE TABLE texts (
    trace BLOB,
    session BLOB,
    kind INTEGER NOT NULL,
    text TEXT NOT NULL,
    at INTEGER NOT NULL,
    -- When it is to be forgotten; settled when it came in.
    until INTEGER NOT NULL
) STRICT;
CREATE INDEX texts_by_trace ON texts (trace);
CREATE INDEX texts_by_session ON texts (session) WHERE session IS NOT NULL;
CREATE INDEX texts_by_end ON texts (until);

-- Whether pages may hold copies of what was erased: SQLite overwrites what is deleted, but not what it left behind when it
-- moved it to another page. `due` is when the file is to be copied anew, which leaves all that behind.
CREATE TABLE leftovers (
    one INTEGER PRIMARY KEY CHECK (one = 1),
    due INTEGER NOT NULL
) STRICT;
