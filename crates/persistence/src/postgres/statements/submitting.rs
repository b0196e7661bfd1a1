//! The statements of submissions.

use super::statements;

/// Adds queued runs. `$where` excludes some of them, and `$rank` is the rank of the others. Their order is that of the
/// request, so that runs with one rank start in the order in which they were submitted.
macro_rules! add {
    ($where:literal, $rank:literal) => {
        concat!(
            "WITH at AS MATERIALIZED (SELECT {now} AS now, pg_notify($1, '')), \
            o AS MATERIALIZED (SELECT o.*, greatest(least(at.now + o.delay, 9007199254740991), o.moment) AS start FROM at, \
                unnest($2::text[], $3::text[], $4::text[], $5::bigint[], $6::text[], $7::text[], $8::integer[], \
                    $9::bigint[], $10::bigint[], $11::bigint[], $12::bigint[], $13::bigint[]) WITH ORDINALITY \
                AS o(run_id, workflow, input, fingerprint, queue, key, priority, delay, moment, start_by, token, rank, \
                    ord)", $where, "), \
            added AS (INSERT INTO {schema}.runs (run_id, workflow, version, status, input, input_fingerprint, token, \
                lease_until, created_at, changed_at, wake_at, queue, queue_key, priority, rank, start_by, due_at) \
                SELECT o.run_id, o.workflow, 0, 'queued', o.input, o.fingerprint, o.token, 0, at.now, at.now, o.start, \
                    o.queue, o.key, o.priority, ", $rank, ", o.start_by, CASE WHEN o.start > at.now THEN o.start END \
                FROM o, at ORDER BY o.ord ON CONFLICT (run_id) DO NOTHING RETURNING id, rank, workflow, queue, due_at), \
            listed AS (INSERT INTO {schema}.ready (run, rank, version, workflow, queue) \
                SELECT a.id, a.rank, 0, a.workflow, a.queue FROM added a WHERE a.due_at IS NULL) \
            SELECT count(*) FROM added"
        )
    };
}

statements! {
    Submitting {}

    /// Adds queued runs, except those of fair queues, and returns their number. The rank is that of `Place::new`.
    add: add!(
        " WHERE o.queue <> ALL (ARRAY(SELECT name FROM {schema}.queues WHERE fair))",
        "o.start - o.priority::bigint * 1000"
    );

    /// Adds queued runs with the given ranks, and returns their number.
    add_ranked: add!("", "o.rank");

    /// Returns the runs among the given ones that exist.
    existing: "SELECT run_id, token, workflow, input_fingerprint, status FROM {schema}.runs WHERE run_id = ANY($1)";

    /// Locks the keys of fair queues, in one order for all processes, and returns the rank of the next run of each.
    lock_keys: "INSERT INTO {schema}.queue_keys AS k (queue, key, next) \
        SELECT q.name, o.key, q.virtual_time FROM unnest($1::text[], $2::text[]) AS o(queue, key) \
        JOIN {schema}.queues q ON q.name = o.queue WHERE q.fair ORDER BY 1, 2 \
        ON CONFLICT (queue, key) DO UPDATE SET next = greatest(k.next, excluded.next) RETURNING queue, key, next, {now}";

    set_keys: "UPDATE {schema}.queue_keys k SET next = o.next \
        FROM unnest($1::text[], $2::text[], $3::bigint[]) AS o(queue, key, next) \
        WHERE k.queue = o.queue AND k.key = o.key";
}
