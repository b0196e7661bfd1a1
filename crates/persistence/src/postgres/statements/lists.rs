//! The statements that list runs and questions.

use super::rules::due;
use super::statements;

/// The columns of a run in a list: those of `run_columns` without large values, the server's time, and the run id.
macro_rules! summary_columns {
    () => {
        "id, workflow, version, format, status, NULL::text, NULL::bigint, NULL::smallint, NULL::text, \
         error, failed_on, token, owner, lease_until, created_at, changed_at, wake_at, cancel_requested, \
         queue, queue_key, priority, rank, start_by, paused, crashes, NULL::text, NULL::text, tags, unique_key, {now}, run_id"
    };
}

/// The condition that a run matches a query.
macro_rules! asked_for {
    () => {
        "($1::bigint IS NULL OR id < $1) AND ($2::text IS NULL OR workflow = $2) \
        AND ($3::text[] IS NULL OR status = ANY($3)) \
        AND ($4::bigint IS NULL OR created_at >= $4) AND ($5::bigint IS NULL OR created_at < $5) \
        AND ($6::bigint IS NULL OR changed_at < $6) \
        AND ($7::text IS NULL OR position($7 IN error) > 0) \
        AND ($8::text IS NULL OR EXISTS (SELECT 1 FROM {schema}.steps s WHERE s.run = r.id AND s.key = $8)) \
        AND ($10::text IS NULL OR tags @> ARRAY[$10]) AND ($11::text IS NULL OR queue = $11)"
    };
}

statements! {
    Lists {}

    /// Returns the newest runs. Completed runs are in no list, because their completion changes no indexed column, so this
    /// follows the order of their ids.
    newest: concat!(
        "SELECT ", summary_columns!(), " FROM {schema}.runs r WHERE ", asked_for!(), " ORDER BY id DESC LIMIT $9"
    );

    /// Returns the newest runs with the tag `$10`, which an index finds.
    tagged: concat!(
        "SELECT ", summary_columns!(), " FROM {schema}.runs r \
        WHERE id = ANY(ARRAY(SELECT t.id FROM {schema}.runs t WHERE t.tags @> ARRAY[$10] AND t.tags IS NOT NULL)) \
        AND ", asked_for!(), " ORDER BY id DESC LIMIT $9"
    );

    /// Returns the newest runs among the last `$12`.
    among_newest: concat!(
        "SELECT ", summary_columns!(), " FROM {schema}.runs r \
        WHERE id >= coalesce($1, (SELECT max(id) FROM {schema}.runs) + 1) - $12 AND ", asked_for!(), " \
        ORDER BY id DESC LIMIT $9"
    );

    /// Returns the newest runs of lists, each of which the index keeps in order.
    listed: concat!(
        "SELECT ", summary_columns!(), " FROM {schema}.runs r \
        WHERE id = ANY(ARRAY(SELECT f.id FROM unnest($12::smallint[]) AS l(number), LATERAL ( \
            SELECT r.id FROM {schema}.runs r WHERE r.listed = l.number AND ", asked_for!(), " \
            ORDER BY r.id DESC LIMIT $9) f)) ORDER BY id DESC LIMIT $9"
    );

    /// Returns the newest runs that have not ended, or are in one of the lists. A run that has not ended is ready, behind a
    /// limit, claimed, becomes due at a time, or is in a list.
    open: concat!(
        "SELECT ", summary_columns!(), " FROM {schema}.runs r WHERE id = ANY(ARRAY( \
            SELECT run FROM {schema}.ready UNION SELECT run FROM {schema}.behind \
            UNION SELECT unnest(runs) FROM {schema}.claims \
            UNION SELECT id FROM {schema}.runs WHERE due_at IS NOT NULL \
            UNION SELECT id FROM {schema}.runs WHERE listed = ANY($12::smallint[]))) \
        AND ", asked_for!(), " ORDER BY id DESC LIMIT $9"
    );

    waiting: "SELECT w.key, w.token, w.request, w.since, w.expires_at, r.run_id, r.workflow \
        FROM {schema}.waits w JOIN {schema}.runs r ON r.id = w.run \
        WHERE r.status IN ('running', 'waiting') \
        AND ($1::text IS NULL OR r.run_id = $1) AND ($2::text IS NULL OR w.key = $2) \
        AND ($3::text IS NULL OR w.token = $3) \
        AND ($4::bigint IS NULL OR (w.since, r.run_id, w.key) < ($4, $5, $6)) \
        ORDER BY w.since DESC, r.run_id DESC, w.key DESC LIMIT $7";

    /// Selects due runs, the longest overdue first. Each part of the query follows an index, and the runs themselves show
    /// whether they are due.
    due: concat!(
        "WITH RECURSIVE lanes AS ( \
            (SELECT q.workflow, q.queue FROM {schema}.ready q ORDER BY q.workflow, q.queue LIMIT 1) \
            UNION ALL SELECT n.workflow, n.queue FROM lanes l, LATERAL (SELECT q.workflow, q.queue FROM {schema}.ready q \
                WHERE (q.workflow, q.queue) > (l.workflow, l.queue) ORDER BY q.workflow, q.queue LIMIT 1) n), \
        found AS ( \
            (SELECT r.id FROM {schema}.runs r WHERE r.due_at <= (SELECT {now}) AND ", due!(), " <= (SELECT {now}) \
                AND ($2::text[] IS NULL OR r.workflow = ANY($2)) ORDER BY r.due_at LIMIT $1) \
            UNION ALL (SELECT q.run FROM lanes l, LATERAL (SELECT q.run FROM {schema}.ready q \
                WHERE q.workflow = l.workflow AND q.queue = l.queue ORDER BY q.rank, q.run LIMIT $1) q \
                WHERE $2::text[] IS NULL OR l.workflow = ANY($2)) \
            UNION ALL (SELECT b.run FROM {schema}.behind b WHERE $2::text[] IS NULL OR b.workflow = ANY($2) LIMIT $1) \
            UNION ALL (SELECT unnest(c.runs) FROM {schema}.claims c WHERE c.due_at <= (SELECT {now}) LIMIT $1)) \
        SELECT r.run_id, r.workflow, r.version, ", due!(), " AS since FROM {schema}.runs r \
        WHERE r.id = ANY(ARRAY(SELECT id FROM found)) AND ($2::text[] IS NULL OR r.workflow = ANY($2)) \
        AND ", due!(), " <= (SELECT {now}) \
        ORDER BY since, run_id LIMIT $1"
    );
}
