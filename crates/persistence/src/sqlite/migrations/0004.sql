-- Queues. A run has a place in a queue, and two columns for claims. `due_at` is the time at which the run is due, or
-- NULL if only a change makes it due. `ready` is the list of the run: 2 if a claim has noticed that the run is due, 3
-- if it is due but behind the limit of its key, 1 if an owner holds it and only a change makes it due, and 0 for all
-- others.
--
-- A process with an older version of this library may have the file open, and does not know queues. So its leases end
-- here. It cannot take new ones, because a column gets a new name. A row with a wrong checksum loses its checksum, so
-- that no process trusts it.

UPDATE awaitly_runs SET checksum = NULL WHERE checksum IS NOT awaitly_checksum(id, run_id, workflow, version, format,
    status, failed_on, token, owner, owner_file, lease_until, error, created_at, changed_at, wake_at, cancel_requested,
    body_checksum);
UPDATE awaitly_runs SET token = token + 1, owner = NULL, owner_file = NULL, lease_until = 0 WHERE owner IS NOT NULL;

ALTER TABLE awaitly_runs RENAME COLUMN owner_file TO lock_file;
ALTER TABLE awaitly_runs ADD COLUMN queue TEXT NOT NULL DEFAULT '';
ALTER TABLE awaitly_runs ADD COLUMN queue_key TEXT;
ALTER TABLE awaitly_runs ADD COLUMN priority INTEGER NOT NULL DEFAULT 0;
ALTER TABLE awaitly_runs ADD COLUMN rank INTEGER NOT NULL DEFAULT 0; -- the order of the runs of a queue
ALTER TABLE awaitly_runs ADD COLUMN start_by INTEGER;
ALTER TABLE awaitly_runs ADD COLUMN paused INTEGER NOT NULL DEFAULT 0;
ALTER TABLE awaitly_runs ADD COLUMN crashes INTEGER NOT NULL DEFAULT 0;
ALTER TABLE awaitly_runs ADD COLUMN due_at INTEGER;
ALTER TABLE awaitly_runs ADD COLUMN parent_run TEXT; -- the run that waits for the end of this one
ALTER TABLE awaitly_runs ADD COLUMN parent_key TEXT;
ALTER TABLE awaitly_runs ADD COLUMN tags TEXT;       -- JSON; NULL: it has none
ALTER TABLE awaitly_runs ADD COLUMN unique_key TEXT; -- at most one queued run of a queue has it
ALTER TABLE awaitly_runs ADD COLUMN has_mail INTEGER NOT NULL DEFAULT 0; -- it may have missed a message
ALTER TABLE awaitly_runs ADD COLUMN restarts INTEGER NOT NULL DEFAULT 0;
ALTER TABLE awaitly_runs ADD COLUMN ready INTEGER NOT NULL DEFAULT 0;

UPDATE awaitly_runs SET due_at = CASE status WHEN 'running' THEN changed_at WHEN 'waiting' THEN wake_at END;
UPDATE awaitly_runs SET checksum = awaitly_checksum(id, run_id, workflow, version, format, status, failed_on, token,
    owner, lock_file, lease_until, error, created_at, changed_at, wake_at, cancel_requested, body_checksum, queue,
    queue_key, priority, rank, start_by, paused, crashes, due_at, parent_run, parent_key, tags, unique_key, has_mail, restarts) WHERE checksum IS NOT NULL;

DROP INDEX awaitly_runs_by_wake;
DROP INDEX awaitly_runs_by_status;

-- Lists by status, the newest first: an index ends with the id.
CREATE INDEX awaitly_runs_by_status ON awaitly_runs (status);
-- Runs that are due, in the order in which they start. The version of a queued run is 0.
CREATE INDEX awaitly_runs_ready ON awaitly_runs (workflow, queue, version, rank) WHERE ready = 2;
-- Runs behind a limit of their key.
CREATE INDEX awaitly_runs_behind ON awaitly_runs (queue, queue_key, rank) WHERE ready = 3;
-- When a run that is not ready becomes due, and since when the others are.
CREATE INDEX awaitly_runs_due ON awaitly_runs (ready, due_at, workflow) WHERE due_at IS NOT NULL;
-- Runs with an owner, by the process that holds them.
CREATE INDEX awaitly_runs_held ON awaitly_runs (lock_file, queue, queue_key, ready)
    WHERE owner IS NOT NULL AND ready < 2;

-- Queued runs with a deduplication key.
CREATE INDEX awaitly_runs_unique ON awaitly_runs (queue, unique_key) WHERE unique_key IS NOT NULL AND status = 'queued';

CREATE TABLE awaitly_queues (
    name         TEXT    PRIMARY KEY,
    settings     TEXT,             -- JSON; NULL: it has none
    declared     TEXT,             -- JSON: the settings that a worker declared last
    paused       INTEGER NOT NULL,
    pace         INTEGER NOT NULL, -- microseconds since 1970: when the rate permits the next start
    virtual_time INTEGER NOT NULL, -- the rank of the run that started last
    checksum     INTEGER NOT NULL
) WITHOUT ROWID;

-- The rank of the next run of a key in a fair queue, while it is beyond the virtual time.
CREATE TABLE awaitly_queue_keys (
    queue    TEXT    NOT NULL,
    key      TEXT    NOT NULL,
    next     INTEGER NOT NULL,
    checksum INTEGER NOT NULL,
    PRIMARY KEY (queue, key)
) WITHOUT ROWID;

-- The runs with a tag.
CREATE TABLE awaitly_tags (
    tag      TEXT    NOT NULL,
    run      INTEGER NOT NULL,
    checksum INTEGER NOT NULL,
    PRIMARY KEY (tag, run)
) WITHOUT ROWID;

-- Messages that runs have not received yet.
CREATE TABLE awaitly_mail (
    run      INTEGER NOT NULL,
    mailbox  TEXT    NOT NULL,
    seq      INTEGER NOT NULL, -- the order of the messages of a mailbox
    payload  TEXT    NOT NULL,
    checksum INTEGER NOT NULL,
    PRIMARY KEY (run, mailbox, seq)
) WITHOUT ROWID;

-- The ids of all messages that a run ever got.
CREATE TABLE awaitly_mail_ids (
    run      INTEGER NOT NULL,
    id       TEXT    NOT NULL,
    checksum INTEGER NOT NULL,
    PRIMARY KEY (run, id)
) WITHOUT ROWID;

-- Published values, at the position -1, and the items of streams.
CREATE TABLE awaitly_published (
    run      INTEGER NOT NULL,
    name     TEXT    NOT NULL,
    position INTEGER NOT NULL,
    payload  TEXT    NOT NULL,
    checksum INTEGER NOT NULL,
    PRIMARY KEY (run, name, position)
) WITHOUT ROWID;

CREATE TABLE awaitly_schedules (
    name     TEXT    PRIMARY KEY,
    version  INTEGER NOT NULL, -- the number of changes so far
    due_at   INTEGER,
    rule     TEXT    NOT NULL,
    checksum INTEGER NOT NULL
) WITHOUT ROWID;

CREATE INDEX awaitly_schedules_due ON awaitly_schedules (due_at) WHERE due_at IS NOT NULL;
