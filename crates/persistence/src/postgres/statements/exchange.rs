//! The statements about children, mail, published values and schedules.

use super::{run_columns, statements};

statements! {
    Exchange {}

    /// Answers the parents of ended children, and notifies other processes if a parent got an answer. A parent whose row
    /// another session has locked gets its answer later: the child stays due until then. `$1` and `$2` are the outcome of a
    /// child that ended without one.
    ///
    /// The entry must ask for the child: `ChildQuestion`. This is not checked if the request cannot be read, or if the stored
    /// form of the id differs from the id.
    report: "WITH at AS MATERIALIZED (SELECT {now} AS now), \
        found AS MATERIALIZED (SELECT c.id, c.run_id, c.parent_run, c.parent_key, coalesce(c.outcome_kind, $1::smallint) AS kind, \
            coalesce(c.outcome, $2) AS payload FROM {schema}.runs c \
            WHERE c.due_at <= (SELECT now FROM at) AND c.parent_run IS NOT NULL \
            AND c.status IN ('completed', 'failed', 'cancelled') \
            ORDER BY c.due_at LIMIT 1000 FOR NO KEY UPDATE SKIP LOCKED), \
        parents AS MATERIALIZED (SELECT p.id, p.run_id, p.status FROM {schema}.runs p \
            WHERE p.run_id = ANY(ARRAY(SELECT f.parent_run FROM found f)) ORDER BY p.id FOR NO KEY UPDATE SKIP LOCKED), \
        answers AS MATERIALIZED (SELECT p.id AS run, f.parent_key AS key, f.kind, f.payload \
            FROM found f JOIN parents p ON p.run_id = f.parent_run, at \
            WHERE p.status IN ('queued', 'running', 'waiting') \
            AND EXISTS (SELECT 1 FROM {schema}.waits w WHERE w.run = p.id AND w.key = f.parent_key \
                AND (w.expires_at IS NULL OR w.expires_at > at.now) \
                AND (NOT starts_with(w.request, '{\"child\":') OR strpos(f.run_id, chr(26)) > 0 \
                    OR starts_with(w.request, '{\"child\":' || to_json(f.run_id)::text || ','))) \
            AND NOT EXISTS (SELECT 1 FROM {schema}.steps s WHERE s.run = p.id AND s.key = f.parent_key)), \
        recorded AS (INSERT INTO {schema}.steps (run, token, recorded_at, kind, key, payload) \
            SELECT a.run, 0, at.now, a.kind, a.key, a.payload FROM answers a, at ON CONFLICT DO NOTHING), \
        unasked AS (DELETE FROM {schema}.waits w USING answers a WHERE w.run = a.run AND w.key = a.key), \
        woken AS (UPDATE {schema}.runs r SET wake_at = at.now, \
            due_at = CASE WHEN r.status = 'waiting' AND NOT r.paused THEN at.now ELSE r.due_at END FROM at \
            WHERE r.id = ANY(ARRAY(SELECT a.run FROM answers a)) AND r.status IN ('running', 'waiting')), \
        told AS (UPDATE {schema}.runs r SET due_at = NULL FROM found f WHERE r.id = f.id \
            AND (EXISTS (SELECT 1 FROM parents p WHERE p.run_id = f.parent_run) \
                OR NOT EXISTS (SELECT 1 FROM {schema}.runs p WHERE p.run_id = f.parent_run)) RETURNING r.id) \
        SELECT count(*), (SELECT count(pg_notify({channel}, '')) FROM (SELECT FROM answers LIMIT 1) a) FROM told";

    headers: concat!("SELECT ", run_columns!(), ", {now}, run_id FROM {schema}.runs WHERE run_id = ANY($1)");

    /// Locks the runs that get mail.
    addressees: "SELECT id, run_id, status FROM {schema}.runs WHERE run_id = ANY($1) ORDER BY id FOR NO KEY UPDATE";

    /// Counts the messages that runs have not received yet.
    unread: "SELECT run, count(*) FROM {schema}.mail WHERE run = ANY($1) GROUP BY run";

    known_ids: "SELECT run, id FROM {schema}.mail_ids \
        WHERE (run, id) IN (SELECT * FROM unnest($1::bigint[], $2::text[]))";

    put_mail: "INSERT INTO {schema}.mail (run, mailbox, payload) SELECT o.run, o.mailbox, o.payload \
        FROM unnest($1::bigint[], $2::text[], $3::text[]) WITH ORDINALITY AS o(run, mailbox, payload, ord) ORDER BY o.ord";

    put_ids: "INSERT INTO {schema}.mail_ids (run, id) SELECT * FROM unnest($1::bigint[], $2::text[]) ON CONFLICT DO NOTHING";

    /// Wakes the runs that got mail, as `wake` does.
    wake_many: "UPDATE {schema}.runs SET wake_at = {now}, \
        due_at = CASE WHEN status = 'waiting' AND NOT paused THEN {now} ELSE due_at END \
        WHERE id = ANY($1) AND status IN ('running', 'waiting')";

    take_mail: "DELETE FROM {schema}.mail WHERE run = $1 AND mailbox = $2 AND seq = (SELECT m.seq FROM {schema}.mail m \
        WHERE m.run = $1 AND m.mailbox = $2 ORDER BY m.seq LIMIT 1) RETURNING payload";

    /// Forgets earlier wakes of a running run, which has found a mailbox empty. If another mailbox contains a message, it may
    /// have come since the run looked there, so the run stays woken.
    no_mail: "UPDATE {schema}.runs SET wake_at = NULL WHERE id = $1 AND status = 'running' AND wake_at IS NOT NULL \
        AND NOT EXISTS (SELECT 1 FROM {schema}.mail WHERE run = $1)";

    lengths: "SELECT name, max(index) + 1 FROM {schema}.published WHERE run = $1 AND name = ANY($2) AND index >= 0 \
        GROUP BY name";

    publish: "INSERT INTO {schema}.published AS p (run, name, index, payload) VALUES ($1, $2, $3, $4) \
        ON CONFLICT (run, name, index) DO UPDATE SET payload = CASE WHEN p.index < 0 THEN excluded.payload ELSE p.payload END";

    published: "SELECT p.payload FROM {schema}.published p JOIN {schema}.runs r ON r.id = p.run \
        WHERE r.run_id = $1 AND p.name = $2 AND p.index = -1";

    /// Returns whether a run has ended, with the items of a stream.
    stream: "SELECT r.status IN ('completed', 'failed', 'cancelled'), p.payload FROM {schema}.runs r \
        LEFT JOIN LATERAL (SELECT p.index, p.payload FROM {schema}.published p WHERE p.run = r.id AND p.name = $2 \
            AND p.index >= $3 ORDER BY p.index LIMIT $4) p ON true WHERE r.run_id = $1 ORDER BY p.index";

    delete_mail: "DELETE FROM {schema}.mail WHERE run = ANY($1)";

    delete_ids: "DELETE FROM {schema}.mail_ids WHERE run = ANY($1)";

    delete_published: "DELETE FROM {schema}.published WHERE run = ANY($1)";

    delete_streams: "DELETE FROM {schema}.published WHERE run = $1 AND index >= 0";

    restart: "UPDATE {schema}.runs SET status = 'queued', version = 0, outcome_kind = NULL, outcome = NULL, error = NULL, \
        failed_on = '[]', changed_at = $2, wake_at = $2, crashes = 0, restarts = restarts + 1, rank = $3, start_by = NULL, unique_key = NULL, \
        input = CASE WHEN $4 THEN $5 ELSE input END, input_fingerprint = CASE WHEN $4 THEN $6 ELSE input_fingerprint END, \
        due_at = CASE WHEN NOT paused THEN $2 END, listed = CASE WHEN paused THEN 4 END, owner = NULL, lease_until = 0 \
        WHERE id = $1";

    schedules: "SELECT name, version, due_at, rule FROM {schema}.schedules WHERE ($1::text IS NULL OR name = $1) \
        AND ($2::bigint IS NULL OR due_at <= $2) AND ($3::text IS NULL OR name > $3) ORDER BY name LIMIT $4";

    add_schedule: "INSERT INTO {schema}.schedules (name, version, due_at, rule) VALUES ($1, {now}, $2, $3) \
        ON CONFLICT DO NOTHING";

    change_schedule: "UPDATE {schema}.schedules SET version = version + 1, due_at = $3, rule = $4 \
        WHERE name = $1 AND version = $2";

    delete_schedule: "DELETE FROM {schema}.schedules WHERE name = $1 AND version = $2";
}
