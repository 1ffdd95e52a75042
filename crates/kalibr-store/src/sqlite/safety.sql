-- How a goal stood when a decision was made; `side` is 1 for the router's, 2 for the holdout's.
ALTER TABLE decisions ADD COLUMN frozen INTEGER NOT NULL DEFAULT 0;
ALTER TABLE decisions ADD COLUMN rolled_back INTEGER NOT NULL DEFAULT 0;
ALTER TABLE decisions ADD COLUMN side INTEGER NOT NULL DEFAULT 0;
-- The first decisions of a user in a scope, of those that may count.
CREATE INDEX decisions_by_user ON decisions (goal, pipeline, bucket, user, decided_at, trace)
WHERE user IS NOT NULL AND frozen = 0;

ALTER TABLE goals ADD COLUMN frozen_at INTEGER;
-- What was known of the goal's paths when it was frozen.
ALTER TABLE goals ADD COLUMN frozen_known TEXT;
ALTER TABLE goals ADD COLUMN rolled_back_at INTEGER;
ALTER TABLE goals ADD COLUMN rolled_back_for REAL;
ALTER TABLE goals ADD COLUMN watched_from INTEGER NOT NULL DEFAULT 0;

-- Each opens an epoch; of the last one's goal nothing from before it is learned from.
CREATE TABLE resets (
    goal INTEGER NOT NULL REFERENCES goals (id),
    epoch INTEGER NOT NULL,
    at INTEGER NOT NULL,
    PRIMARY KEY (goal, epoch)
) STRICT, WITHOUT ROWID;
