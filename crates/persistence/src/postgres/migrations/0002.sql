-- Runs that wait in queues until a worker claims them. No index contains or tests a column that a claim or the completion
-- of a run changes, so that both are heap-only updates; hence `due_at` and `listed` beside `status`, `wake_at` and
-- `lease_until`.

ALTER TABLE {schema}.runs
    ADD COLUMN queue     text     COLLATE "C" NOT NULL DEFAULT '',
    ADD COLUMN queue_key text     COLLATE "C",
    ADD COLUMN priority  integer  NOT NULL DEFAULT 0,
    ADD COLUMN rank      bigint   NOT NULL DEFAULT 0,
    ADD COLUMN start_by  bigint,
    ADD COLUMN paused    boolean  NOT NULL DEFAULT false,
    ADD COLUMN crashes   integer  NOT NULL DEFAULT 0,
    -- When a claim must look at the run. NULL: another table leads to it, it is paused, waits only for an answer, or ended.
    ADD COLUMN due_at    bigint,
    -- 1: waiting, 2: failed, 3: cancelled, 4: paused. NULL: another list leads to the run, or it is completed.
    ADD COLUMN listed    smallint;

-- The rest of each page is the room for heap-only updates: most runs are claimed and completed before the server can
-- remove old versions of their rows.
ALTER TABLE {schema}.runs SET (fillfactor = 40);

UPDATE {schema}.runs SET
    due_at = CASE
        WHEN status = 'running' THEN CASE WHEN owner IS NULL THEN changed_at ELSE lease_until END
        WHEN owner IS NULL THEN wake_at
        WHEN wake_at IS NOT NULL THEN greatest(wake_at, lease_until) END,
    listed = CASE status WHEN 'waiting' THEN 1 WHEN 'failed' THEN 2 WHEN 'cancelled' THEN 3 END
WHERE status <> 'completed';

DROP INDEX {schema}.runs_by_status;
DROP INDEX {schema}.runs_by_wake;
CREATE INDEX runs_by_due ON {schema}.runs (due_at) WHERE due_at IS NOT NULL;
CREATE INDEX runs_by_listed ON {schema}.runs (listed, id) WHERE listed IS NOT NULL;

-- The due runs in the order in which they start. A row is a hint: the run itself shows whether it is due. `version` is
-- that of a run that has begun, and 0 for others.
CREATE TABLE {schema}.ready (
    run      bigint NOT NULL,
    rank     bigint NOT NULL,
    version  bigint NOT NULL,
    workflow text   COLLATE "C" NOT NULL,
    queue    text   COLLATE "C" NOT NULL
);

CREATE INDEX ready_in_order ON {schema}.ready (workflow, queue, rank, run);

-- The runs that each claim took; part 0 holds those of queues without limits. At `due_at`, a claim looks whether their
-- owners have died.
CREATE TABLE {schema}.claims (
    owner  text     COLLATE "C" NOT NULL,
    part   smallint NOT NULL,
    due_at bigint   NOT NULL,
    runs   bigint[] NOT NULL,
    PRIMARY KEY (owner, part)
);

CREATE INDEX claims_by_due ON {schema}.claims (due_at);

-- The queues that have settings or are paused. `settings` and `declared` are JSON. `special` queues have limits, are
-- fair, or have rows in `behind`: a claim locks the row of such a queue.
CREATE TABLE {schema}.queues (
    name         text    COLLATE "C" PRIMARY KEY,
    settings     text,
    declared     text,
    paused       boolean NOT NULL DEFAULT false,
    special      boolean NOT NULL DEFAULT false,
    fair         boolean NOT NULL DEFAULT false,
    arrival      bigint  NOT NULL DEFAULT 0, -- of the rate, in microseconds since 1970
    virtual_time bigint  NOT NULL DEFAULT 0
);

-- The rank of the next run of each key of a fair queue.
CREATE TABLE {schema}.queue_keys (
    queue text   COLLATE "C" NOT NULL,
    key   text   COLLATE "C" NOT NULL,
    next  bigint NOT NULL,
    PRIMARY KEY (queue, key)
);

-- The leases of runs of special queues. Those that have ended are removed by the next claim.
CREATE TABLE {schema}.running (
    queue text   COLLATE "C" NOT NULL,
    run   bigint NOT NULL,
    token bigint NOT NULL
);

CREATE INDEX running_by_queue ON {schema}.running (queue);

-- Due runs whose key has as many running runs as the queue permits.
CREATE TABLE {schema}.behind (
    run      bigint NOT NULL,
    rank     bigint NOT NULL,
    version  bigint NOT NULL,
    workflow text   COLLATE "C" NOT NULL,
    queue    text   COLLATE "C" NOT NULL,
    key      text   COLLATE "C" NOT NULL
);

CREATE INDEX behind_in_order ON {schema}.behind (queue, key, rank, run);

-- Rows of these tables live shortly; a claim slows down if it has to pass over many dead ones.
ALTER TABLE {schema}.ready SET (autovacuum_vacuum_threshold = 5000, autovacuum_vacuum_scale_factor = 0,
    autovacuum_vacuum_cost_delay = 0, autovacuum_vacuum_insert_threshold = -1);
ALTER TABLE {schema}.claims SET (autovacuum_vacuum_threshold = 500, autovacuum_vacuum_scale_factor = 0,
    autovacuum_vacuum_cost_delay = 0, autovacuum_vacuum_insert_threshold = -1);
ALTER TABLE {schema}.running SET (autovacuum_vacuum_threshold = 5000, autovacuum_vacuum_scale_factor = 0,
    autovacuum_vacuum_cost_delay = 0, autovacuum_vacuum_insert_threshold = -1);
ALTER TABLE {schema}.queues SET (fillfactor = 50, autovacuum_vacuum_threshold = 500,
    autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_cost_delay = 0);
