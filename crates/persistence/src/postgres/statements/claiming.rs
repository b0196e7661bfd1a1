//! The statements of claims. They run on a connection whose planner follows indexes.

use super::rules::{due, may_be_taken, too_late};
use super::{run_columns, statements};

/// The time of a statement. The commit of the statement does not wait for the disk. If the server crashes and loses the
/// commit, the runs are due again, and no later lease gets the lost tokens.
macro_rules! at {
    () => {
        "at AS MATERIALIZED (SELECT {now} AS now, {token} AS fresh, set_config('synchronous_commit', 'off', true)), "
    };
}

/// The first hints of each lane, up to its share, with their runs. Skips rows that another session has locked.
macro_rules! hints {
    () => {
        concat!(
            "lanes AS MATERIALIZED (SELECT l.* FROM unnest($1::text[], $2::text[], $3::bigint[], $4::bigint[]) \
                AS l(workflow, queue, version, share) WHERE NOT EXISTS (SELECT 1 FROM {schema}.queues s \
                    WHERE s.name = l.queue AND (s.special OR s.paused))), \
            hints AS MATERIALIZED (SELECT h.*, l.version AS served FROM lanes l, LATERAL ( \
                SELECT q.ctid AS place, r.id AS slot, r.token AS old_token, r.owner AS old_owner, ",
            may_be_taken!("(SELECT now FROM at)"),
            " AS fits, ",
            too_late!("(SELECT now FROM at)"),
            " AS late, ",
            due!(),
            " AS due \
                FROM {schema}.ready q JOIN {schema}.runs r ON r.id = q.run \
                WHERE q.workflow = l.workflow AND q.queue = l.queue AND q.version <= l.version \
                AND r.version <= l.version AND r.format <= 1 \
                ORDER BY q.rank, q.run LIMIT l.share FOR NO KEY UPDATE OF r SKIP LOCKED) h), "
        )
    };
}

/// Takes the leases of the rows `$of`, whose columns are those of `hints`, and notes the claim. `$owner` and `$ttl` are
/// parameters.
///
/// The new token is the time of the claim. If the server's clock was set back, it is larger than the old token.
macro_rules! taken {
    ($of:literal, $owner:literal, $ttl:literal, $part:literal) => {
        concat!(
            "taken AS (UPDATE {schema}.runs r SET \
                status = CASE r.status WHEN 'queued' THEN 'running' ELSE r.status END, \
                version = CASE r.status WHEN 'queued' THEN h.served ELSE r.version END, \
                changed_at = CASE r.status WHEN 'queued' THEN at.now ELSE r.changed_at END, \
                wake_at = CASE r.status WHEN 'queued' THEN NULL ELSE r.wake_at END, \
                unique_key = CASE r.status WHEN 'queued' THEN NULL ELSE r.unique_key END, \
                crashes = CASE WHEN h.old_owner IS NULL AND r.crashes = 0 THEN 0 \
                    WHEN EXISTS (SELECT 1 FROM {schema}.steps s WHERE s.run = h.slot AND s.token = h.old_token) THEN 0 \
                    WHEN h.old_owner IS NULL THEN r.crashes ELSE r.crashes + 1 END, \
                token = CASE WHEN r.token < at.fresh THEN at.fresh \
                    ELSE r.token + 1 + floor(random() * 1048576)::bigint END, \
                owner = ",
            $owner,
            ", lease_until = at.now + ",
            $ttl,
            ", due_at = NULL \
                FROM ",
            $of,
            " h, at WHERE h.fits AND r.id = h.slot RETURNING r.*, h.old_token), \
            noted AS (INSERT INTO {schema}.claims (owner, part, due_at, runs) \
                SELECT ",
            $owner,
            ", ",
            $part,
            ", at.now + ",
            $ttl,
            ", n.runs FROM at, (SELECT array_agg(t.id) AS runs FROM taken t) n WHERE n.runs IS NOT NULL) "
        )
    };
}

pub(super) use {at, taken};

statements! {
    Claiming {}

    /// Returns the time, the next time at which `promote` and `lapse` have work, and the lanes with due runs: the
    /// queues of each served workflow that are not paused. The statement reads one index entry per lane.
    probe: "WITH RECURSIVE at AS MATERIALIZED (SELECT {now} AS now), \
        lanes AS ( \
            SELECT s.workflow, s.version, (SELECT q.queue FROM {schema}.ready q WHERE q.workflow = s.workflow \
                ORDER BY q.queue LIMIT 1) AS queue \
            FROM unnest($1::text[], $2::bigint[]) AS s(workflow, version) \
            UNION ALL SELECT l.workflow, l.version, (SELECT q.queue FROM {schema}.ready q \
                WHERE q.workflow = l.workflow AND q.queue > l.queue ORDER BY q.queue LIMIT 1) \
            FROM lanes l WHERE l.queue IS NOT NULL), \
        behind AS ( \
            SELECT (SELECT b.queue FROM {schema}.behind b ORDER BY b.queue LIMIT 1) AS queue \
            UNION ALL SELECT (SELECT b.queue FROM {schema}.behind b WHERE b.queue > h.queue ORDER BY b.queue LIMIT 1) \
            FROM behind h WHERE h.queue IS NOT NULL), \
        found AS (SELECT * FROM (SELECT workflow, version, queue FROM lanes \
            UNION ALL SELECT NULL, 0, queue FROM behind) f WHERE f.queue IS NOT NULL) \
        SELECT at.now, (SELECT min(due_at) FROM {schema}.runs WHERE due_at IS NOT NULL), \
            (SELECT min(due_at) FROM {schema}.claims), o.workflow, o.version, o.queue, o.special, \
            (SELECT min(due_at) FROM {schema}.schedules WHERE due_at IS NOT NULL) \
        FROM at LEFT JOIN (SELECT f.*, coalesce(s.special, false) AS special FROM found f \
            LEFT JOIN {schema}.queues s ON s.name = f.queue WHERE NOT coalesce(s.paused, false)) o ON true";

    /// Checks the runs whose time has come. Adds the due runs to `ready`, and sets the next time of the others.
    promote: concat!(
        "WITH ", at!(),
        "found AS MATERIALIZED (SELECT r.id, r.workflow, r.queue, r.rank, r.version, ", due!(), " AS due \
            FROM {schema}.runs r WHERE r.due_at <= (SELECT now FROM at) \
            AND NOT (r.parent_run IS NOT NULL AND r.status IN ('completed', 'failed', 'cancelled')) \
            ORDER BY r.due_at LIMIT $1 FOR NO KEY UPDATE SKIP LOCKED), \
        moved AS (UPDATE {schema}.runs r SET due_at = CASE WHEN f.due > at.now THEN f.due END \
            FROM found f, at WHERE r.id = f.id), \
        listed AS (INSERT INTO {schema}.ready (run, rank, version, workflow, queue) \
            SELECT f.id, f.rank, f.version, f.workflow, f.queue FROM found f, at WHERE f.due <= at.now) \
        SELECT count(*) FROM found"
    );

    /// Checks the claims whose leases may have expired. Adds the runs of dead owners to `ready`, and removes a claim if
    /// all its runs have ended or were released.
    lapse: concat!(
        "WITH ", at!(),
        "found AS MATERIALIZED (SELECT c.owner, c.part, c.runs FROM {schema}.claims c \
            WHERE c.due_at <= (SELECT now FROM at) ORDER BY c.due_at LIMIT $1 FOR UPDATE SKIP LOCKED), \
        held AS MATERIALIZED (SELECT f.owner, f.part, r.id, r.workflow, r.queue, r.rank, r.version, r.lease_until, \
                r.lease_until > at.now AS lives, r.paused OR r.status NOT IN ('queued', 'running', 'waiting') AS rests \
            FROM at, found f, LATERAL unnest(f.runs) AS u(id) \
            JOIN {schema}.runs r ON r.id = u.id WHERE r.owner = f.owner), \
        listed AS (INSERT INTO {schema}.ready (run, rank, version, workflow, queue) \
            SELECT h.id, h.rank, h.version, h.workflow, h.queue FROM held h WHERE NOT h.lives AND NOT h.rests), \
        left_over AS MATERIALIZED (SELECT h.owner, h.part, min(h.lease_until) AS due_at, array_agg(h.id) AS runs \
            FROM held h WHERE h.lives GROUP BY h.owner, h.part), \
        moved AS (UPDATE {schema}.claims c SET due_at = k.due_at, runs = k.runs FROM left_over k \
            WHERE c.owner = k.owner AND c.part = k.part), \
        gone AS (DELETE FROM {schema}.claims c USING found f WHERE c.owner = f.owner AND c.part = f.part \
            AND NOT EXISTS (SELECT 1 FROM left_over k WHERE k.owner = f.owner AND k.part = f.part)) \
        SELECT count(*) FROM found"
    );

    /// Returns the number of runs that a claim takes from each lane. The claim takes runs from the queues in turn, and
    /// from the lanes of a queue by rank.
    shares: "WITH lanes AS MATERIALIZED (SELECT * FROM unnest($1::text[], $2::text[], $3::bigint[]) WITH ORDINALITY \
                AS l(workflow, queue, version, lane)), \
            places AS MATERIALIZED (SELECT queue, row_number() OVER (ORDER BY queue) AS place, count(*) OVER () AS queues \
                FROM lanes GROUP BY queue), \
            peeked AS (SELECT l.lane, l.queue, q.rank, q.run FROM lanes l, LATERAL (SELECT q.rank, q.run \
                FROM {schema}.ready q WHERE q.workflow = l.workflow AND q.queue = l.queue AND q.version <= l.version \
                ORDER BY q.rank, q.run LIMIT $4) q), \
            turns AS (SELECT k.lane, k.queue, row_number() OVER (PARTITION BY k.queue ORDER BY k.rank, k.run) AS turn \
                FROM peeked k) \
        SELECT c.lane, count(*) FROM (SELECT t.lane FROM turns t JOIN places p ON p.queue = t.queue \
            ORDER BY t.turn, (p.place + $6) % p.queues LIMIT $5) c GROUP BY c.lane";

    /// Takes the runs of lanes of queues that are not special, and returns them with their old tokens. The last two
    /// columns show whether `relist` must check some hints, and whether the statement skipped rows that another session
    /// has locked.
    take: concat!(
        "WITH ", at!(), hints!(), taken!("hints", "$5", "$6", "0"),
        ", used AS (DELETE FROM {schema}.ready \
            WHERE ctid = ANY(ARRAY(SELECT h.place FROM hints h WHERE h.fits))) \
        SELECT ", run_columns!(), ", at.now, t.run_id, t.old_token, \
            (SELECT count(*) FROM hints h WHERE NOT h.fits) > 0, \
            CASE WHEN (SELECT count(*) FROM hints) < (SELECT sum(share) FROM lanes) THEN \
                (SELECT count(*) FROM lanes l, LATERAL (SELECT 1 FROM {schema}.ready q \
                    WHERE q.workflow = l.workflow AND q.queue = l.queue AND q.version <= l.version LIMIT l.share) q) \
                > (SELECT count(*) FROM hints) ELSE false END \
        FROM at LEFT JOIN taken t ON true"
    );

    /// Ends queued runs that are too late to start, and corrects the hints of runs that are not due. Returns the number
    /// of removed hints.
    relist: concat!(
        "WITH ", at!(), hints!(),
        "ended AS (UPDATE {schema}.runs r SET status = 'cancelled', outcome_kind = NULL, outcome = NULL, error = $5, \
            failed_on = '[]', changed_at = at.now, wake_at = NULL, cancel_requested = false, owner = NULL, \
            lease_until = 0, listed = 3, unique_key = NULL, \
            due_at = CASE WHEN r.parent_run IS NOT NULL THEN at.now END FROM hints h, at \
            WHERE NOT h.fits AND h.late AND h.due <= at.now AND r.id = h.slot), \
        corrected AS (UPDATE {schema}.runs r SET due_at = h.due FROM hints h, at \
            WHERE NOT h.fits AND NOT (h.late AND h.due <= at.now) AND r.id = h.slot), \
        gone AS (DELETE FROM {schema}.ready WHERE ctid = ANY(ARRAY(SELECT h.place FROM hints h WHERE NOT h.fits))) \
        SELECT count(*) FROM hints h WHERE NOT h.fits"
    );

    /// Returns the runs that a claim took whose answer was lost.
    claimed: concat!(
        "SELECT ", run_columns!(), ", {now}, run_id FROM {schema}.runs \
        WHERE id = ANY(ARRAY(SELECT unnest(c.runs) FROM {schema}.claims c WHERE c.owner = $1)) AND owner = $1"
    );

    /// Removes the deleted rows and their index entries, without a lock that blocks other sessions.
    vacuum: "VACUUM (SKIP_LOCKED, INDEX_CLEANUP true, TRUNCATE false) {schema}.ready";

    /// The records of several runs, each in their order.
    records: "SELECT seq, key, kind, payload, input_fingerprint, run FROM {schema}.steps \
        WHERE run = ANY($1) ORDER BY seq";

    waits: "SELECT key, token, request, since, expires_at, run FROM {schema}.waits WHERE run = ANY($1) ORDER BY key";
}
