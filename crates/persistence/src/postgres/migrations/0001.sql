-- Moments are milliseconds since 1970, fingerprints are 64 bits taken as a signed number, `kind` and `status` are
-- those of the journal. Text is compared byte by byte, so that keys that differ anywhere are different keys.

CREATE TABLE {schema}.runs (
    id                bigint   GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    run_id            text     COLLATE "C" NOT NULL UNIQUE,
    workflow          text     COLLATE "C" NOT NULL,
    version           bigint   NOT NULL,
    format            integer  NOT NULL DEFAULT 1,
    status            text     COLLATE "C" NOT NULL,
    input             text,
    input_fingerprint bigint,
    outcome_kind      smallint,
    outcome           text,
    error             text     COLLATE "C",
    failed_on         text     NOT NULL DEFAULT '[]', -- JSON: the keys that a retry drops
    token             bigint   NOT NULL,              -- of the newest lease
    owner             text,                           -- NULL: the lease was given back
    lease_until       bigint   NOT NULL,
    created_at        bigint   NOT NULL,
    changed_at        bigint   NOT NULL,              -- when the status changed last
    wake_at           bigint,
    cancel_requested  boolean  NOT NULL DEFAULT false
);

-- Running runs, and lists by status with the newest first.
CREATE INDEX runs_by_status ON {schema}.runs (status, id);
CREATE INDEX runs_by_wake ON {schema}.runs (wake_at) WHERE wake_at IS NOT NULL;

-- `seq` grows with each record, so that those of a run come back in their order. `token` is that of the lease
-- under which the record was written; 0 for an answer from outside.
CREATE TABLE {schema}.steps (
    run               bigint   NOT NULL,
    seq               bigint   GENERATED ALWAYS AS IDENTITY,
    token             bigint   NOT NULL,
    recorded_at       bigint   NOT NULL,
    input_fingerprint bigint,
    kind              smallint NOT NULL,
    key               text     COLLATE "C" NOT NULL,
    payload           text     NOT NULL,
    PRIMARY KEY (run, key)
);

-- Entries that wait for an answer; once it is there, it is a step and the entry is gone.
CREATE TABLE {schema}.waits (
    run        bigint NOT NULL,
    key        text   COLLATE "C" NOT NULL,
    token      text   COLLATE "C" NOT NULL,
    request    text   NOT NULL,
    since      bigint NOT NULL,
    expires_at bigint,
    PRIMARY KEY (run, key)
);

CREATE INDEX waits_by_age ON {schema}.waits (since);
CREATE INDEX waits_by_token ON {schema}.waits (token);
