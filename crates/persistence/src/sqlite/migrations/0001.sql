-- Numbers mean the same in every version: `status` and `outcome_kind`/`kind` are those of the journal,
-- times are milliseconds since 1970, fingerprints are 64 bits taken as a signed number.

CREATE TABLE awaitly_runs (
    id                INTEGER PRIMARY KEY,
    run_id            TEXT    NOT NULL UNIQUE,
    workflow          TEXT    NOT NULL,
    version           INTEGER NOT NULL,
    format            INTEGER NOT NULL DEFAULT 1,
    status            TEXT    NOT NULL,
    input             TEXT,
    input_fingerprint INTEGER,
    outcome_kind      INTEGER,
    outcome           TEXT,
    error             TEXT,
    failed_on         TEXT    NOT NULL DEFAULT '[]', -- JSON: the keys that a retry drops
    token             INTEGER NOT NULL,              -- of the newest lease
    owner             TEXT,                          -- NULL: the lease was given back
    owner_lock        TEXT,                          -- the lock file of the owner's store; NULL: it has none
    lease_until       INTEGER NOT NULL,
    created_at        INTEGER NOT NULL,
    updated_at        INTEGER NOT NULL
);

-- Clustered by key, so that a key cannot be recorded twice and a record is one row in one tree.
CREATE TABLE awaitly_steps (
    run               INTEGER NOT NULL,
    key               TEXT    NOT NULL,
    seq               INTEGER NOT NULL, -- grows with each record of the run
    kind              INTEGER NOT NULL,
    payload           TEXT    NOT NULL,
    input_fingerprint INTEGER,
    recorded_at       INTEGER NOT NULL,
    PRIMARY KEY (run, key)
) WITHOUT ROWID;
