-- Waiting, and what operators ask for. `changed_at` is when the status changed last; leases leave it alone.

ALTER TABLE awaitly_runs RENAME COLUMN updated_at TO changed_at;
ALTER TABLE awaitly_runs ADD COLUMN wake_at INTEGER;
ALTER TABLE awaitly_runs ADD COLUMN cancel_requested INTEGER NOT NULL DEFAULT 0;

-- Running runs, and lists by status with the newest first.
CREATE INDEX awaitly_runs_by_status ON awaitly_runs (status, id);
CREATE INDEX awaitly_runs_by_wake ON awaitly_runs (wake_at) WHERE wake_at IS NOT NULL;

-- Entries that wait for an answer; once it is there, it is a step and the entry is gone.
CREATE TABLE awaitly_waits (
    run        INTEGER NOT NULL,
    key        TEXT    NOT NULL,
    token      TEXT    NOT NULL,
    request    TEXT    NOT NULL,
    since      INTEGER NOT NULL,
    expires_at INTEGER,
    PRIMARY KEY (run, key)
) WITHOUT ROWID;

CREATE INDEX awaitly_waits_by_age ON awaitly_waits (since);
CREATE INDEX awaitly_waits_by_token ON awaitly_waits (token);

-- The least id that no run ever had, as far as runs were deleted: an id is part of a lease, and is never
-- given twice.
CREATE TABLE awaitly_next (run INTEGER NOT NULL);
INSERT INTO awaitly_next VALUES (1);
