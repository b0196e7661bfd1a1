//! The statements of claims for queues that have limits or are fair. They run in a transaction that has locked the row
//! of the queue.

use super::claiming::{at, taken};
use super::rules::{due, may_be_taken, too_late};
use super::{run_columns, statements};

statements! {
    Special {}

    /// Locks the row of a queue, unless another claim has locked it.
    lock: "SELECT {now}, settings, arrival, virtual_time FROM {schema}.queues \
        WHERE name = $1 AND special AND NOT paused FOR UPDATE SKIP LOCKED";

    /// Counts the live leases by key, and removes the rows of ended leases.
    count: "WITH found AS MATERIALIZED (SELECT g.ctid AS place, r.id IS NOT NULL AS held, r.lease_until > {now} AS lives, \
                coalesce(r.queue_key, '') AS key FROM {schema}.running g LEFT JOIN {schema}.runs r \
                ON r.id = g.run AND r.token = g.token AND r.owner IS NOT NULL WHERE g.queue = $1), \
            gone AS (DELETE FROM {schema}.running WHERE ctid = ANY(ARRAY(SELECT f.place FROM found f WHERE NOT f.held))) \
        SELECT f.key, count(*) FROM found f WHERE f.lives GROUP BY f.key";

    /// Returns the keys with runs behind the limit. The statement reads one index entry per key.
    keys_behind: "WITH RECURSIVE keys AS ( \
            (SELECT b.key FROM {schema}.behind b WHERE b.queue = $1 ORDER BY b.key LIMIT 1) \
            UNION ALL SELECT (SELECT b.key FROM {schema}.behind b WHERE b.queue = $1 AND b.key > k.key \
                ORDER BY b.key LIMIT 1) FROM keys k WHERE k.key IS NOT NULL) \
        SELECT key FROM keys WHERE key IS NOT NULL";

    /// Adds the first runs of keys with room to `ready`.
    catch_up: "WITH moved AS (DELETE FROM {schema}.behind WHERE ctid = ANY(ARRAY(SELECT b.place \
                FROM unnest($2::text[], $3::bigint[]) AS k(key, room), LATERAL (SELECT b.ctid AS place \
                    FROM {schema}.behind b WHERE b.queue = $1 AND b.key = k.key ORDER BY b.rank, b.run LIMIT k.room) b)) \
                RETURNING run, rank, version, workflow, queue) \
        INSERT INTO {schema}.ready (run, rank, version, workflow, queue) \
        SELECT run, rank, version, workflow, queue FROM moved";

    /// Locks and returns the first runs of each lane of a queue.
    candidates: concat!(
        "WITH at AS MATERIALIZED (SELECT {now} AS now) \
        SELECT h.slot, h.rank, h.priority, h.key, h.fits, l.version \
        FROM unnest($1::text[], $2::bigint[]) AS l(workflow, version), LATERAL ( \
            SELECT r.id AS slot, q.rank, r.priority, r.queue_key AS key, ", may_be_taken!("(SELECT now FROM at)"), " AS fits \
            FROM {schema}.ready q JOIN {schema}.runs r ON r.id = q.run \
            WHERE q.workflow = l.workflow AND q.queue = $3 AND q.version <= l.version \
            AND r.version <= l.version AND r.format <= 1 \
            ORDER BY q.rank, q.run LIMIT $4 FOR NO KEY UPDATE OF r SKIP LOCKED) h"
    );

    /// Takes the given locked runs, and returns them with their old tokens.
    take: concat!(
        "WITH ", at!(),
        "chosen AS MATERIALIZED (SELECT r.id AS slot, r.token AS old_token, r.owner AS old_owner, o.version AS served, \
                true AS fits, r.workflow, r.queue, r.rank \
            FROM unnest($1::bigint[], $2::bigint[]) AS o(id, version) JOIN {schema}.runs r ON r.id = o.id), ",
        taken!("chosen", "$3", "$4", "$5"),
        ", used AS (DELETE FROM {schema}.ready q USING chosen c WHERE q.workflow = c.workflow AND q.queue = c.queue \
            AND q.rank = c.rank AND q.run = c.slot), \
        counted AS (INSERT INTO {schema}.running (queue, run, token) SELECT t.queue, t.id, t.token FROM taken t) \
        SELECT ", run_columns!(), ", at.now, t.run_id, t.old_token FROM at, taken t"
    );

    /// Moves runs behind the limit of their key.
    put_behind: "WITH found AS MATERIALIZED (SELECT r.id, r.workflow, r.queue, r.rank, r.version, \
                coalesce(r.queue_key, '') AS key FROM {schema}.runs r WHERE r.id = ANY($1)), \
            unlisted AS (DELETE FROM {schema}.ready q USING found f WHERE q.workflow = f.workflow AND q.queue = f.queue \
                AND q.rank = f.rank AND q.run = f.id) \
        INSERT INTO {schema}.behind (run, rank, version, workflow, queue, key) \
        SELECT f.id, f.rank, f.version, f.workflow, f.queue, f.key FROM found f";

    /// Ends queued runs that are too late to start, and corrects the hints of runs that are not due. Checks only the
    /// first hints of each lane.
    relist: concat!(
        "WITH ", at!(),
        "hints AS MATERIALIZED (SELECT h.* FROM unnest($1::text[], $2::bigint[]) AS l(workflow, version), LATERAL ( \
            SELECT q.ctid AS place, r.id AS slot, ", may_be_taken!("(SELECT now FROM at)"), " AS fits, ",
            too_late!("(SELECT now FROM at)"), " AS late, ", due!(), " AS due \
            FROM {schema}.ready q JOIN {schema}.runs r ON r.id = q.run \
            WHERE q.workflow = l.workflow AND q.queue = $3 AND q.version <= l.version \
            AND r.version <= l.version AND r.format <= 1 \
            ORDER BY q.rank, q.run LIMIT $4 FOR NO KEY UPDATE OF r SKIP LOCKED) h), \
        ended AS (UPDATE {schema}.runs r SET status = 'cancelled', outcome_kind = NULL, outcome = NULL, error = $5, \
            failed_on = '[]', changed_at = at.now, wake_at = NULL, cancel_requested = false, owner = NULL, \
            lease_until = 0, listed = 3, unique_key = NULL, \
            due_at = CASE WHEN r.parent_run IS NOT NULL THEN at.now END FROM hints h, at \
            WHERE NOT h.fits AND h.late AND h.due <= at.now AND r.id = h.slot), \
        corrected AS (UPDATE {schema}.runs r SET due_at = h.due FROM hints h, at \
            WHERE NOT h.fits AND NOT (h.late AND h.due <= at.now) AND r.id = h.slot), \
        gone AS (DELETE FROM {schema}.ready WHERE ctid = ANY(ARRAY(SELECT h.place FROM hints h WHERE NOT h.fits))) \
        SELECT count(*) FROM hints h WHERE NOT h.fits"
    );

    /// Stores the state of the rate and the virtual time. If the settings do not make the queue special, it stays
    /// special only while a run is behind a limit.
    keep: "UPDATE {schema}.queues q SET arrival = $2, virtual_time = greatest(virtual_time, $3), \
        special = $4 OR EXISTS (SELECT 1 FROM {schema}.behind b WHERE b.queue = q.name) WHERE name = $1";

    /// Removes the keys of a fair queue whose next run would get the virtual time as its rank without their row.
    forget_keys: "DELETE FROM {schema}.queue_keys k USING {schema}.queues q \
        WHERE q.name = $1 AND k.queue = q.name AND k.next <= q.virtual_time";
}
