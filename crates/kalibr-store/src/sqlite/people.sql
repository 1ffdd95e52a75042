-- A text that came with a signal or message goes when that is withdrawn, and is of the run that it was said of: the one at
-- `event_at`, whenever the text came in.
ALTER TABLE texts ADD COLUMN signal TEXT;
ALTER TABLE texts ADD COLUMN event_at INTEGER NOT NULL DEFAULT 0;
UPDATE texts SET event_at = at;
CREATE INDEX texts_by_signal ON texts (signal) WHERE signal IS NOT NULL;

-- Prints without a decision are `waiting` for it, and dropped when it never comes.
ALTER TABLE prints ADD COLUMN waiting INTEGER NOT NULL DEFAULT 0;
UPDATE prints SET waiting = 1 WHERE NOT EXISTS (SELECT 1 FROM decisions AS d WHERE d.trace = prints.trace);
CREATE INDEX prints_waiting ON prints (at) WHERE waiting = 1;

-- What is forgotten by its age.
CREATE INDEX turns_by_time ON turns (at);
CREATE INDEX withdrawn_steps_by_time ON withdrawn_steps (at);
