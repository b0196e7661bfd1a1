-- Children, mail, published values, schedules, tags and deduplication.

ALTER TABLE {schema}.runs
    -- The step that waits for the end of this run. Until it has the answer, `due_at` of an ended child is set.
    ADD COLUMN parent_run text   COLLATE "C",
    ADD COLUMN parent_key text   COLLATE "C",
    ADD COLUMN tags       text[] COLLATE "C",
    -- The deduplication key of a queued run.
    ADD COLUMN unique_key text   COLLATE "C";

-- Neither a claim nor a completion changes these columns, unless the run has a deduplication key.
CREATE INDEX runs_by_tag ON {schema}.runs USING gin (tags) WHERE tags IS NOT NULL;
CREATE UNIQUE INDEX runs_by_unique_key ON {schema}.runs (queue, unique_key) WHERE unique_key IS NOT NULL;

CREATE TABLE {schema}.mail (
    run     bigint NOT NULL,
    seq     bigint GENERATED ALWAYS AS IDENTITY,
    mailbox text   COLLATE "C" NOT NULL,
    payload text   NOT NULL,
    PRIMARY KEY (run, mailbox, seq)
);

-- The ids of all messages that a run got.
CREATE TABLE {schema}.mail_ids (
    run bigint NOT NULL,
    id  text   COLLATE "C" NOT NULL,
    PRIMARY KEY (run, id)
);

-- Values have the index -1, and items of streams the indexes from 0 on.
CREATE TABLE {schema}.published (
    run     bigint NOT NULL,
    name    text   COLLATE "C" NOT NULL,
    index   bigint NOT NULL,
    payload text   NOT NULL,
    PRIMARY KEY (run, name, index)
);

CREATE TABLE {schema}.schedules (
    name    text   COLLATE "C" PRIMARY KEY,
    version bigint NOT NULL,
    due_at  bigint,
    rule    text   NOT NULL
);

CREATE INDEX schedules_by_due ON {schema}.schedules (due_at) WHERE due_at IS NOT NULL;
