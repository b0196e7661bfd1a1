//! The statements of submissions.

use super::statements;

/// Adds queued runs. `$where` excludes some of them, and `$rank` is the rank of the others. The statement adds them in
/// the order of the request, so that runs of one rank start in the order of their submission.
macro_rules! add {
    ($where:literal, $rank:literal) => {
        concat!(
            "WITH at AS MATERIALIZED (SELECT {now} AS now, CASE WHEN $1::text IS NOT NULL THEN pg_notify($1, '') END), \
            o AS MATERIALIZED (SELECT o.*, greatest(least(at.now + o.delay, 9007199254740991), o.moment) AS start FROM at, \
                unnest($2::text[], $3::text[], $4::text[], $5::bigint[], $6::text[], $7::text[], $8::integer[], \
                    $9::bigint[], $10::bigint[], $11::bigint[], $12::bigint[], $13::bigint[], $14::text[], $15::text[], $16::text[], \
                    $17::text[]) WITH ORDINALITY \
                AS o(run_id, workflow, input, fingerprint, queue, key, priority, delay, moment, start_by, token, rank, \
                    parent_run, parent_key, tags, unique_key, ord)", $where, "), \
            added AS (INSERT INTO {schema}.runs (run_id, workflow, version, status, input, input_fingerprint, token, \
                lease_until, created_at, changed_at, wake_at, queue, queue_key, priority, rank, start_by, due_at, \
                parent_run, parent_key, tags, unique_key) \
                SELECT o.run_id, o.workflow, 0, 'queued', o.input, o.fingerprint, o.token, 0, at.now, at.now, o.start, \
                    o.queue, o.key, o.priority, ", $rank, ", o.start_by, CASE WHEN o.start > at.now THEN o.start END, \
                    o.parent_run, o.parent_key, \
                    CASE WHEN o.tags IS NOT NULL THEN ARRAY(SELECT json_array_elements_text(o.tags::json)) END, o.unique_key \
                FROM o, at ORDER BY o.ord ON CONFLICT DO NOTHING RETURNING id, rank, workflow, queue, due_at), \
            listed AS (INSERT INTO {schema}.ready (run, rank, version, workflow, queue) \
                SELECT a.id, a.rank, 0, a.workflow, a.queue FROM added a WHERE a.due_at IS NULL) \
            SELECT count(*) FROM added"
        )
    };
}

statements! {
    Submitting {}

    /// Adds queued runs, except the runs of fair queues, and returns their number. `Place::new` in core has an equal
    /// rank.
    add: add!(
        " WHERE o.queue <> ALL (ARRAY(SELECT name FROM {schema}.queues WHERE fair))",
        "o.start - o.priority::bigint * 1000"
    );

    /// Adds queued runs that start now, of one workflow and queue and without options, and returns their number. Their
    /// order is that of the request. Adds none if the queue is fair.
    add_plain: "WITH at AS MATERIALIZED (SELECT {now} AS now, CASE WHEN $1::text IS NOT NULL THEN pg_notify($1, '') END \
            WHERE NOT EXISTS (SELECT 1 FROM {schema}.queues WHERE name = $7 AND fair)), \
        added AS (INSERT INTO {schema}.runs (run_id, workflow, version, status, input, input_fingerprint, token, \
            lease_until, created_at, changed_at, wake_at, queue, rank) \
            SELECT o.run_id, $6, 0, 'queued', o.input, o.fingerprint, o.token, 0, at.now, at.now, at.now, $7, at.now \
            FROM at, unnest($2::text[], $3::text[], $4::bigint[], $5::bigint[]) AS o(run_id, input, fingerprint, token) \
            WHERE (SELECT r.id FROM {schema}.runs r WHERE r.run_id = o.run_id) IS NULL RETURNING id, rank), \
        listed AS (INSERT INTO {schema}.ready (run, rank, version, workflow, queue) \
            SELECT a.id, a.rank, 0, $6, $7 FROM added a) \
        SELECT count(*) FROM added";

    /// Adds one run as `add_plain` does, in less time, because its plan has fewer parts. The statement affects no row if the
    /// run exists or the queue is fair.
    add_one: "WITH added AS (INSERT INTO {schema}.runs (run_id, workflow, version, status, input, input_fingerprint, \
            token, lease_until, created_at, changed_at, wake_at, queue, rank) \
            SELECT $2, $6, 0, 'queued', $3, $4, $5, 0, at.now, at.now, at.now, $7, at.now \
            FROM (SELECT {now} AS now, CASE WHEN $1::text IS NOT NULL THEN pg_notify($1, '') END) at \
            WHERE (SELECT id FROM {schema}.runs WHERE run_id = $2) IS NULL \
                AND NOT EXISTS (SELECT 1 FROM {schema}.queues WHERE name = $7 AND fair) RETURNING id, rank) \
        INSERT INTO {schema}.ready (run, rank, version, workflow, queue) \
        SELECT id, rank, 0, $6, $7 FROM added";

    /// Adds queued runs with the given ranks, and returns their number.
    add_ranked: add!("", "o.rank");

    /// Returns the given runs that exist.
    existing: "SELECT run_id, token, workflow, input_fingerprint, status FROM {schema}.runs WHERE run_id = ANY($1)";

    /// Returns the queued runs that have one of the given deduplication keys.
    duplicates: "SELECT r.queue, r.unique_key, r.run_id, r.id FROM unnest($1::text[], $2::text[]) AS o(queue, key) \
        JOIN {schema}.runs r ON r.queue = o.queue AND r.unique_key = o.key";

    /// Gives a queued run with a free lease a new input, start and deadline, as `Submit::replace` does, and takes it out of
    /// the lists: it becomes due again through `due_at`. Returns whether the run still has the deduplication key.
    debounce: "WITH at AS MATERIALIZED (SELECT a.now, greatest(least(a.now + $5, 9007199254740991), $6) AS start \
            FROM (SELECT {now} AS now) a), \
        keyed AS MATERIALIZED (SELECT r.* FROM {schema}.runs r WHERE r.id = $1 AND r.unique_key = $8 FOR NO KEY UPDATE), \
        free AS MATERIALIZED (SELECT k.* FROM keyed k, at \
            WHERE k.workflow = $2 AND k.status = 'queued' AND (k.owner IS NULL OR k.lease_until <= at.now)), \
        unready AS (DELETE FROM {schema}.ready q USING free f \
            WHERE q.workflow = f.workflow AND q.queue = f.queue AND q.rank = f.rank AND q.run = f.id), \
        unbehind AS (DELETE FROM {schema}.behind b USING free f \
            WHERE b.queue = f.queue AND b.key = f.queue_key AND b.rank = f.rank AND b.run = f.id), \
        replaced AS (UPDATE {schema}.runs r SET input = $3, input_fingerprint = $4, wake_at = at.start, start_by = $7, \
            rank = CASE WHEN EXISTS (SELECT 1 FROM {schema}.queues q WHERE q.name = r.queue AND q.fair) THEN r.rank \
                ELSE at.start - r.priority::bigint * 1000 END, \
            due_at = CASE WHEN NOT r.paused THEN at.start END FROM at, free f WHERE r.id = f.id) \
        SELECT EXISTS (SELECT 1 FROM keyed)";

    /// Locks the keys of fair queues, in one order for all processes, and returns the rank of the next run of each.
    lock_keys: "INSERT INTO {schema}.queue_keys AS k (queue, key, next) \
        SELECT q.name, o.key, q.virtual_time FROM unnest($1::text[], $2::text[]) AS o(queue, key) \
        JOIN {schema}.queues q ON q.name = o.queue WHERE q.fair ORDER BY 1, 2 \
        ON CONFLICT (queue, key) DO UPDATE SET next = greatest(k.next, excluded.next) RETURNING queue, key, next, {now}";

    set_keys: "UPDATE {schema}.queue_keys k SET next = o.next \
        FROM unnest($1::text[], $2::text[], $3::bigint[]) AS o(queue, key, next) \
        WHERE k.queue = o.queue AND k.key = o.key";
}
