//! The statements about queues, and about the place of runs in them.

use super::rules::{due, due_unless_paused, listed, may_be_taken};
use super::{run_columns, statements};

statements! {
    Queues {}

    all: "SELECT name, settings, paused FROM {schema}.queues WHERE paused OR settings IS NOT NULL ORDER BY name LIMIT 1000";

    /// Creates the row of a queue, or locks it.
    lock: "INSERT INTO {schema}.queues AS q (name) VALUES ($1) \
        ON CONFLICT (name) DO UPDATE SET name = q.name RETURNING special, declared";

    configure: "UPDATE {schema}.queues q SET settings = $2, declared = coalesce($3, declared), fair = $4, \
        special = $5 OR EXISTS (SELECT 1 FROM {schema}.behind b WHERE b.queue = q.name) WHERE name = $1";

    forget_running: "DELETE FROM {schema}.running WHERE queue = $1";

    /// Counts the held runs of a queue. Finds each of them by its claim, or by the time at which a claim must check it.
    adopt_running: "INSERT INTO {schema}.running (queue, run, token) SELECT r.queue, r.id, r.token FROM {schema}.runs r \
        WHERE r.id = ANY(ARRAY(SELECT unnest(c.runs) FROM {schema}.claims c \
            UNION SELECT id FROM {schema}.runs WHERE due_at IS NOT NULL)) \
        AND r.queue = $1 AND r.owner IS NOT NULL AND r.lease_until > {now}";

    pause: "INSERT INTO {schema}.queues (name, paused) SELECT name, $2 FROM unnest($1::text[]) AS o(name) ORDER BY name \
        ON CONFLICT (name) DO UPDATE SET paused = excluded.paused";

    /// Returns the owner of a run, or the number of runs ahead of it if it is due, up to `$2`. The index is skipped
    /// through, one step per workflow, and at most `$2` hints are followed.
    standing: concat!(
        "WITH RECURSIVE at AS MATERIALIZED (SELECT {now} AS now), \
        found AS MATERIALIZED (SELECT r.id, r.queue, r.queue_key, r.rank, \
                CASE WHEN r.lease_until > at.now THEN r.owner END AS owner, ", due!(), " <= at.now AS due \
            FROM {schema}.runs r, at WHERE r.run_id = $1), \
        lanes AS (SELECT (SELECT q.workflow FROM {schema}.ready q ORDER BY q.workflow LIMIT 1) AS workflow \
            UNION ALL SELECT (SELECT q.workflow FROM {schema}.ready q WHERE q.workflow > l.workflow \
                ORDER BY q.workflow LIMIT 1) FROM lanes l WHERE l.workflow IS NOT NULL) \
        SELECT f.owner, CASE WHEN f.owner IS NULL AND f.due THEN (SELECT count(*) FROM ( \
            SELECT r.id FROM (SELECT o.* FROM lanes l, LATERAL (SELECT q.* FROM {schema}.ready q \
                    WHERE q.workflow = l.workflow AND q.queue = f.queue AND (q.rank, q.run) < (f.rank, f.id) \
                    ORDER BY q.rank, q.run LIMIT $2) o LIMIT $2) q JOIN {schema}.runs r ON r.id = q.run \
                WHERE ", may_be_taken!("(SELECT now FROM at)"), " \
            UNION (SELECT b.run FROM {schema}.behind b WHERE b.queue = f.queue AND b.key = f.queue_key \
                AND (b.rank, b.run) < (f.rank, f.id) ORDER BY b.rank, b.run LIMIT $2) LIMIT $2) c) END, \
            EXISTS (SELECT 1 FROM {schema}.queues s WHERE s.name = f.queue AND s.paused) \
        FROM found f"
    );

    /// Locks the given runs that have not ended and are not in the wanted state.
    to_pause: "SELECT id, run_id FROM {schema}.runs WHERE run_id = ANY($1) AND paused <> $2 \
        AND status IN ('queued', 'running', 'waiting') ORDER BY id FOR NO KEY UPDATE";

    pause_runs: "UPDATE {schema}.runs SET paused = true, due_at = NULL, listed = 4 WHERE id = ANY($1)";

    resume_runs: concat!(
        "UPDATE {schema}.runs r SET paused = false, due_at = ", due_unless_paused!(), ", \
            listed = CASE r.status WHEN 'waiting' THEN 1 END WHERE id = ANY($1)"
    );

    /// Locks and returns the queued runs among the given ones whose lease is free.
    to_reschedule: concat!(
        "SELECT ", run_columns!(), ", {now}, run_id FROM {schema}.runs \
        WHERE run_id = ANY($1) AND status = 'queued' AND (owner IS NULL OR lease_until <= {now}) \
        ORDER BY id FOR NO KEY UPDATE"
    );

    reschedule: concat!(
        "UPDATE {schema}.runs r SET queue = o.queue, unique_key = CASE WHEN o.queue = r.queue THEN r.unique_key END, \
            priority = o.priority, rank = o.rank, wake_at = o.wake, \
            due_at = CASE WHEN NOT r.paused THEN o.wake END, listed = ", listed!("'queued'"), " \
        FROM unnest($1::bigint[], $2::text[], $3::integer[], $4::bigint[], $5::bigint[]) \
            AS o(id, queue, priority, rank, wake) WHERE r.id = o.id"
    );
}
