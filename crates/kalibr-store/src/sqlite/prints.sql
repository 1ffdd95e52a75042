-- Keyed fingerprints of texts: `attempt` is -1 for the prompt of the decision, or the attempt whose answer it was.
CREATE TABLE prints (
    trace BLOB NOT NULL,
    attempt INTEGER NOT NULL,
    print BLOB NOT NULL,
    at INTEGER NOT NULL,
    PRIMARY KEY (trace, attempt)
) STRICT, WITHOUT ROWID;

-- Whoever deletes a decision, deletes what is kept of its texts.
CREATE TRIGGER prints_go_with_their_decision AFTER DELETE ON decisions
BEGIN
    DELETE FROM prints WHERE trace = OLD.trace;
END;
