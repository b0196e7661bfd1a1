//! All statements, built once. The caller's values reach them only as parameters.

mod claiming;
mod exchange;
mod lists;
mod queues;
mod rules;
mod special;
mod submitting;

use std::sync::Arc;

use awaitly_core::journal::Record;
use awaitly_core::store::Lease;
use sqlx::AssertSqlSafe;

use super::text;
use claiming::Claiming;
pub(super) use exchange::Exchange;
use lists::Lists;
use queues::Queues;
use rules::{due, listed};
use special::Special;
use submitting::Submitting;

/// A statement that is executed repeatedly. Each connection prepares it once.
#[derive(Debug, Clone)]
pub(super) struct Statement(Arc<str>);

type Query<'q> = sqlx::query::Query<'q, sqlx::Postgres, sqlx::postgres::PgArguments>;

impl Statement {
    pub(super) const fn sql(&self) -> &Arc<str> {
        &self.0
    }

    pub(super) fn query(&self) -> Query<'_> {
        sqlx::query(AssertSqlSafe(Arc::clone(&self.0)))
    }

    /// Binds the statement that writes one record under a lease.
    pub(super) fn writing<'q>(&'q self, lease: &'q Lease, record: &'q Record) -> Query<'q> {
        self.query()
            .bind(lease.slot())
            .bind(text::stored(lease.run()))
            .bind(lease.token().cast_signed())
            .bind(record.input.map(|input| input.to_bits().cast_signed()))
            .bind(i16::from(record.outcome.kind().to_number()))
            .bind(text::stored(&record.key))
            .bind(text::stored(record.outcome.payload().as_str()))
    }

    /// Binds the statement that writes a value without an input.
    pub(super) fn writing_value<'q>(&'q self, lease: &'q Lease, record: &'q Record) -> Query<'q> {
        self.query()
            .bind(lease.slot())
            .bind(lease.token().cast_signed())
            .bind(text::stored(&record.key))
            .bind(text::stored(record.outcome.payload().as_str()))
    }

    /// Binds the statement that looks for one record under a lease.
    pub(super) fn looking<'q>(&'q self, lease: &'q Lease, record: &'q Record) -> Query<'q> {
        self.query()
            .bind(lease.slot())
            .bind(text::stored(lease.run()))
            .bind(lease.token().cast_signed())
            .bind(text::stored(&record.key))
            .bind(i16::from(record.outcome.kind().to_number()))
            .bind(text::stored(record.outcome.payload().as_str()))
    }
}

/// Declares a struct of statements. Its parts are structs of statements, too.
macro_rules! statements {
    (
        $(#[$of:meta])* $struct:ident { $($part:ident: $parts:ty),* }
        $($(#[$doc:meta])* $name:ident: $sql:expr;)+
    ) => {
        $(#[$of])*
        #[derive(Debug)]
        pub(in crate::postgres) struct $struct {
            $(pub(in crate::postgres) $part: $parts,)*
            $($(#[$doc])* pub(in crate::postgres) $name: $crate::postgres::statements::Statement,)+
        }

        impl $struct {
            pub(in crate::postgres) fn new(schema: &$crate::postgres::schema::Schema) -> Self {
                Self {
                    $($part: <$parts>::new(schema),)*
                    $($name: $crate::postgres::statements::Statement(schema.sql($sql).0),)+
                }
            }
        }
    };
}

use statements;

/// The columns of a run, in the order in which `rows::run` reads them.
macro_rules! run_columns {
    () => {
        "id, workflow, version, format, status, input, input_fingerprint, outcome_kind, outcome, error, failed_on, \
         token, owner, lease_until, created_at, changed_at, wake_at, cancel_requested, \
         queue, queue_key, priority, rank, start_by, paused, crashes, parent_run, parent_key, tags, unique_key, restarts"
    };
}

use run_columns;

/// Appends many records in one statement. The runs are locked in the order of their ids, so that two processes with
/// several runs in common do not deadlock.
macro_rules! append_many {
    ($mode:literal, $from:literal) => {
        concat!(
            "WITH ",
            $mode,
            "ops AS MATERIALIZED (SELECT * FROM unnest($1::bigint[], $2::text[], $3::bigint[], $4::bigint[], \
                $5::smallint[], $6::text[], $7::text[]) WITH ORDINALITY \
                AS o(run, run_id, token, input, kind, key, payload, ord)), \
            held AS MATERIALIZED (SELECT r.id, r.token, r.run_id FROM {schema}.runs r \
                WHERE r.id = ANY($1) AND r.owner IS NOT NULL ORDER BY r.id FOR SHARE), \
            added AS (INSERT INTO {schema}.steps (run, token, recorded_at, input_fingerprint, kind, key, payload) \
                SELECT o.run, o.token, {now}, o.input, o.kind, o.key, o.payload FROM ops o \
                JOIN held h ON h.id = o.run AND h.token = o.token AND h.run_id = o.run_id",
            $from,
            " ORDER BY o.ord ON CONFLICT DO NOTHING RETURNING run, key) \
            SELECT o.ord, EXISTS (SELECT 1 FROM held h \
                WHERE h.id = o.run AND h.token = o.token AND h.run_id = o.run_id) \
            FROM ops o WHERE NOT EXISTS (SELECT 1 FROM added a WHERE a.run = o.run AND a.key = o.key)"
        )
    };
}

statements! {
    Statements { exchange: Exchange, lists: Lists, claiming: Claiming, special: Special, submitting: Submitting, queues: Queues }

    /// Begins a new run; an existing run stays unchanged.
    begin: "WITH at AS MATERIALIZED (SELECT {now} AS now, set_config('synchronous_commit', 'off', true)) \
        INSERT INTO {schema}.runs (run_id, workflow, version, status, input, input_fingerprint, token, owner, \
            lease_until, created_at, changed_at, rank, due_at) \
        SELECT $1, $2, $3, 'running', $4, $5, {token}, $6, now + $7, now, now, now, now + $7 FROM at \
        ON CONFLICT (run_id) DO NOTHING RETURNING run_id, id, created_at, owner, token";

    /// Begins many new runs at once; existing runs stay unchanged.
    begin_many: "WITH at AS MATERIALIZED (SELECT {now} AS now, set_config('synchronous_commit', 'off', true)) \
        INSERT INTO {schema}.runs (run_id, workflow, version, status, input, input_fingerprint, token, owner, \
            lease_until, created_at, changed_at, rank, due_at) \
        SELECT o.run_id, o.workflow, o.version, 'running', o.input, o.fingerprint, {token}, o.owner, now + o.ttl, \
            now, now, now, now + o.ttl \
        FROM unnest($1::text[], $2::text[], $3::bigint[], $4::text[], $5::bigint[], $6::text[], $7::bigint[]) \
            AS o(run_id, workflow, version, input, fingerprint, owner, ttl), at \
        ON CONFLICT (run_id) DO NOTHING RETURNING run_id, id, created_at, owner, token";

    /// Appends one record, if the lease is the newest and was not released.
    ///
    /// Comparing the token is not enough: another process could take the lease, read the journal and continue between the
    /// comparison and the commit, and then find a record that it has never read. Therefore the statement also locks the row of
    /// the run until the record is committed. A takeover updates that row, so it comes either before the lock, and the
    /// statement does not see its token any more, or after the commit, and the new owner reads the record. This lock is the
    /// fence. It is a shared lock, so that the records of one run do not wait for each other.
    ///
    /// An existing key is an error of the server, because a prior lookup would make every record slower.
    append: "INSERT INTO {schema}.steps (run, token, recorded_at, input_fingerprint, kind, key, payload) \
        SELECT id, $3, {now}, $4, $5, $6, $7 FROM {schema}.runs \
        WHERE id = $1 AND run_id = $2 AND token = $3 AND owner IS NOT NULL FOR SHARE";

    /// Appends the most common kind of record: a value without an input. Each omitted parameter saves a part of a
    /// step's wait between two commits; the token alone identifies the lease.
    append_value: "INSERT INTO {schema}.steps (run, token, recorded_at, input_fingerprint, kind, key, payload) \
        SELECT id, $2, {now}, NULL, 0, $3, $4 FROM {schema}.runs \
        WHERE id = $1 AND token = $2 AND owner IS NOT NULL FOR SHARE";

    /// Appends many records. Returns the records that were not added, and whether their leases are held.
    append_many: append_many!("", "");

    /// Appends many records without waiting for the disk.
    append_many_batched: append_many!("at AS MATERIALIZED (SELECT set_config('synchronous_commit', 'off', true)), ", ", at");

    /// Returns whether a lease is the newest and was not released, and the record under a key.
    look: "SELECT EXISTS (SELECT 1 FROM {schema}.runs \
            WHERE id = $1 AND run_id = $2 AND token = $3 AND owner IS NOT NULL), \
        (SELECT s.token = $3 AND s.kind = $5 AND s.payload = $6 FROM {schema}.steps s WHERE s.run = $1 AND s.key = $4)";

    replace: "WITH held AS (SELECT id FROM {schema}.runs \
            WHERE id = $1 AND run_id = $2 AND token = $3 AND owner IS NOT NULL FOR SHARE) \
        INSERT INTO {schema}.steps (run, token, recorded_at, input_fingerprint, kind, key, payload) \
        SELECT id, $3, {now}, $4, $5, $6, $7 FROM held \
        ON CONFLICT (run, key) DO UPDATE SET seq = DEFAULT, token = excluded.token, \
            recorded_at = excluded.recorded_at, input_fingerprint = excluded.input_fingerprint, \
            kind = excluded.kind, payload = excluded.payload";

    /// Ends a run that does not wait, and releases its lease.
    finish: concat!(
        "UPDATE {schema}.runs r SET \
            status = $4, outcome_kind = $5, outcome = $6, error = $7, failed_on = $8, changed_at = {now}, \
            wake_at = CASE WHEN $4 = 'waiting' AND cancel_requested AND NOT $10 THEN {now} ELSE $9 END, \
            due_at = CASE WHEN $4 = 'waiting' AND NOT paused \
                THEN CASE WHEN cancel_requested AND NOT $10 THEN {now} ELSE $9 END \
                WHEN $4 <> 'waiting' AND parent_run IS NOT NULL THEN {now} END, unique_key = NULL, \
            listed = ", listed!("$4"), ", \
            cancel_requested = $4 = 'waiting' AND (cancel_requested OR $10), \
            owner = NULL, lease_until = 0 \
        WHERE id = $1 AND run_id = $2 AND token = $3 AND owner IS NOT NULL \
        RETURNING id, token, $4 <> 'waiting' AND parent_run IS NOT NULL"
    );

    /// Ends runs that complete with a value. Their order is that of the request. The server expects one row of the
    /// parameters because of the range, so it finds each run by its id, even if the table was empty when it planned.
    finish_values: "WITH at AS MATERIALIZED (SELECT {now} AS now) \
        UPDATE {schema}.runs r SET status = 'completed', outcome_kind = $5, outcome = o.value, error = NULL, \
            failed_on = '[]', changed_at = at.now, cancel_requested = false, wake_at = NULL, unique_key = NULL, \
            due_at = CASE WHEN r.parent_run IS NOT NULL THEN at.now END, listed = NULL, owner = NULL, lease_until = 0 \
        FROM at, unnest($1::bigint[], $2::text[], $3::bigint[], $4::text[]) AS o(id, run_id, token, value) \
        WHERE o.id BETWEEN 1 AND 9223372036854775807 \
            AND r.id = o.id AND r.token = o.token AND (r.run_id = o.run_id) IS TRUE AND r.owner IS NOT NULL \
        RETURNING r.id, r.token, r.parent_run IS NOT NULL";

    /// Ends many runs at once, whose rows are locked in the order of their ids. If a waiting run was answered
    /// meanwhile, it becomes due at once: the row shows the answer, because it is read again once it is locked.
    finish_many: concat!(
        "WITH o AS MATERIALIZED (SELECT * FROM unnest($1::bigint[], $2::text[], $3::bigint[], $4::text[], \
                $5::smallint[], $6::text[], $7::text[], $8::text[], $9::bigint[], $10::text[], $11::bool[]) \
                AS o(id, run_id, token, status, outcome_kind, outcome, error, failed_on, wake, waits_on, \
                    cancelling)), \
            held AS MATERIALIZED (SELECT r.id, r.token, r.run_id, r.wake_at, r.cancel_requested \
                FROM {schema}.runs r WHERE r.id = ANY($1) AND r.owner IS NOT NULL ORDER BY r.id FOR NO KEY UPDATE), \
            ends AS MATERIALIZED (SELECT o.*, h.cancel_requested, CASE WHEN o.status <> 'waiting' THEN NULL \
                WHEN h.cancel_requested AND NOT o.cancelling THEN {now} \
                WHEN o.waits_on IS NOT NULL AND (h.wake_at IS NOT NULL OR EXISTS (SELECT 1 FROM {schema}.steps s \
                    WHERE s.run = o.id AND s.key IN (SELECT json_array_elements_text(o.waits_on::json)))) \
                THEN {now} ELSE o.wake END AS wakes \
                FROM o JOIN held h ON h.id = o.id AND h.token = o.token AND h.run_id = o.run_id) \
        UPDATE {schema}.runs r SET \
            status = e.status, outcome_kind = e.outcome_kind, outcome = e.outcome, error = e.error, \
            failed_on = e.failed_on, changed_at = {now}, \
            cancel_requested = e.status = 'waiting' AND (e.cancel_requested OR e.cancelling), \
            wake_at = e.wakes, unique_key = NULL, \
            due_at = CASE WHEN e.status <> 'waiting' THEN CASE WHEN r.parent_run IS NOT NULL THEN {now} END \
                WHEN NOT r.paused THEN e.wakes END, \
            listed = ", listed!("e.status"), ", \
            owner = NULL, lease_until = 0 \
        FROM ends e WHERE r.id = e.id RETURNING r.id, r.token, e.status <> 'waiting' AND r.parent_run IS NOT NULL"
    );

    /// Returns whether a run is in the state in which the holder of a lease left it.
    rests: "SELECT EXISTS (SELECT 1 FROM {schema}.runs \
        WHERE id = $1 AND run_id = $2 AND token = $3 AND owner IS NULL AND status IN ($4, 'cancelled'))";

    /// Renews leases. A claim looks at the run when the old lease ends, and finds the new end; so `due_at` changes only
    /// if the new end is earlier.
    renew: "WITH at AS MATERIALIZED (SELECT {now} AS now, set_config('synchronous_commit', 'off', true)), \
            o AS MATERIALIZED (SELECT * FROM unnest($1::bigint[], $2::text[], $3::bigint[], $4::bigint[]) \
                AS o(id, run_id, token, ttl)), \
            held AS MATERIALIZED (SELECT r.id, r.token, r.run_id FROM {schema}.runs r \
                WHERE r.id = ANY($1) AND r.owner IS NOT NULL ORDER BY r.id FOR NO KEY UPDATE) \
        UPDATE {schema}.runs r SET lease_until = at.now + o.ttl, \
            due_at = CASE WHEN at.now + o.ttl < r.lease_until THEN at.now + o.ttl ELSE r.due_at END \
        FROM at, o JOIN held h ON h.id = o.id AND h.token = o.token AND h.run_id = o.run_id \
        WHERE r.id = h.id RETURNING r.id, r.token, at.now, r.cancel_requested";

    release: concat!("WITH at AS MATERIALIZED (SELECT set_config('synchronous_commit', 'off', true), pg_notify($4, '')), \
            o AS MATERIALIZED (SELECT * FROM unnest($1::bigint[], $2::text[], $3::bigint[]) AS o(id, run_id, token)), \
            held AS MATERIALIZED (SELECT r.id, r.token, r.run_id FROM {schema}.runs r \
                WHERE r.id = ANY($1) AND r.owner IS NOT NULL ORDER BY r.id FOR NO KEY UPDATE) \
        UPDATE {schema}.runs r SET owner = NULL, lease_until = 0, due_at = ", due!("NULL::bigint"), " \
        FROM at, o JOIN held h ON h.id = o.id AND h.token = o.token AND h.run_id = o.run_id WHERE r.id = h.id");

    /// Releases the leases of the rows that no other session has locked, and returns the other leases.
    release_unlocked: concat!("WITH at AS MATERIALIZED (SELECT set_config('synchronous_commit', 'off', true), pg_notify($4, '')), \
            o AS MATERIALIZED (SELECT * FROM unnest($1::bigint[], $2::text[], $3::bigint[]) AS o(id, run_id, token)), \
            held AS MATERIALIZED (SELECT r.id, r.token, r.run_id FROM {schema}.runs r \
                WHERE r.id = ANY($1) AND r.owner IS NOT NULL ORDER BY r.id FOR NO KEY UPDATE SKIP LOCKED), \
            released AS (UPDATE {schema}.runs r SET owner = NULL, lease_until = 0, due_at = ", due!("NULL::bigint"), " \
                FROM at, o JOIN held h ON h.id = o.id AND h.token = o.token AND h.run_id = o.run_id \
                WHERE r.id = h.id RETURNING r.id) \
        SELECT o.id, o.token FROM o JOIN {schema}.runs r \
            ON r.id = o.id AND r.token = o.token AND r.run_id = o.run_id AND r.owner IS NOT NULL \
        WHERE o.id NOT IN (SELECT id FROM released)");

    run: concat!("SELECT ", run_columns!(), ", {now} FROM {schema}.runs WHERE run_id = $1");

    run_for_update: concat!("SELECT ", run_columns!(), ", {now} FROM {schema}.runs WHERE run_id = $1 FOR UPDATE");

    /// Takes the lease if the state that was decided on is unchanged. The commit waits for the disk even if the
    /// server's setting does not, because a token must not be assigned twice.
    take: concat!(
        "WITH taken AS (UPDATE {schema}.runs r SET token = token + 1, owner = $4, lease_until = {now} + $5, \
                due_at = ", due!("({now} + $5)"), " \
            WHERE id = $1 AND token = $2 AND status = $6 AND owner IS NOT DISTINCT FROM $3 AND lease_until = $7 \
            RETURNING id, token, queue, {now} AS now), \
        counted AS (INSERT INTO {schema}.running (queue, run, token) SELECT t.queue, t.id, t.token FROM taken t \
            WHERE EXISTS (SELECT 1 FROM {schema}.queues s WHERE s.name = t.queue AND s.special)) \
        SELECT now, (SELECT set_config('synchronous_commit', 'on', true) \
            WHERE current_setting('synchronous_commit') = 'off') FROM taken"
    );

    records: "SELECT seq, key, kind, payload, input_fingerprint FROM {schema}.steps WHERE run = $1";

    waits: "SELECT key, token, request, since, expires_at FROM {schema}.waits WHERE run = $1 ORDER BY key";

    held: "SELECT id FROM {schema}.runs \
        WHERE id = $1 AND run_id = $2 AND token = $3 AND owner IS NOT NULL FOR UPDATE";

    recorded: "SELECT seq, key, kind, payload, input_fingerprint FROM {schema}.steps WHERE run = $1 AND key = $2";

    wait_under: "SELECT key, token, request, since, expires_at FROM {schema}.waits WHERE run = $1 AND key = $2";

    wait: "INSERT INTO {schema}.waits (run, key, token, request, since, expires_at) \
        SELECT $1, $2, $3, $4, at.now, least(at.now + $5, 9007199254740991) FROM (SELECT {now} AS now) at ON CONFLICT DO NOTHING";

    put_wait: "INSERT INTO {schema}.waits (run, key, token, request, since, expires_at) \
        VALUES ($1, $2, $3, $4, $5, $6) ON CONFLICT DO NOTHING";

    drop_wait: "DELETE FROM {schema}.waits WHERE run = $1 AND key = $2";

    put_answer: "INSERT INTO {schema}.steps (run, token, recorded_at, kind, key, payload) \
        VALUES ($1, 0, {now}, $2, $3, $4)";

    /// Wakes a run. This includes a run that is being executed: it may be about to wait, and may have looked for the
    /// answer before this statement.
    wake: "UPDATE {schema}.runs SET wake_at = {now}, \
        due_at = CASE WHEN status = 'waiting' AND NOT paused THEN {now} ELSE due_at END \
        WHERE id = $1 AND status IN ('running', 'waiting')";

    now: "SELECT {now}";

    /// Commits an empty message that waits for the disk and leaves no row.
    flush: "SELECT pg_logical_emit_message(true, 'awaitly', '')";

    /// Notifies other processes once the transaction is committed.
    notify: "SELECT pg_notify($1, '')";

    revive: "UPDATE {schema}.runs SET status = 'running', outcome_kind = NULL, outcome = NULL, error = NULL, \
        failed_on = '[]', changed_at = {now}, wake_at = NULL, unique_key = NULL, \
        crashes = CASE WHEN status IN ('completed', 'failed', 'cancelled') THEN 0 ELSE crashes END, \
        due_at = CASE WHEN NOT paused THEN lease_until END, listed = CASE WHEN paused THEN 4 END WHERE id = $1";

    drop_steps: "DELETE FROM {schema}.steps WHERE run = $1 AND key = ANY($2)";

    drop_all_steps: "DELETE FROM {schema}.steps WHERE run = $1";

    put_steps: "INSERT INTO {schema}.steps (run, token, recorded_at, input_fingerprint, kind, key, payload) \
        SELECT $1, $2, {now}, o.input, o.kind, o.key, o.payload \
        FROM unnest($3::bigint[], $4::smallint[], $5::text[], $6::text[]) WITH ORDINALITY \
            AS o(input, kind, key, payload, ord) ORDER BY ord";

    set_version: "UPDATE {schema}.runs SET version = $2, failed_on = $3 WHERE id = $1";

    request_cancel: "UPDATE {schema}.runs SET cancel_requested = true, \
        wake_at = CASE WHEN status = 'waiting' THEN {now} ELSE wake_at END, \
        due_at = CASE WHEN status = 'waiting' AND NOT paused THEN {now} ELSE due_at END WHERE id = $1";

    cancel_without_undo: "UPDATE {schema}.runs SET status = 'cancelled', outcome_kind = NULL, outcome = NULL, error = NULL, \
        failed_on = '[]', changed_at = {now}, wake_at = NULL, cancel_requested = false, owner = NULL, \
        lease_until = 0, unique_key = NULL, \
        due_at = CASE WHEN parent_run IS NOT NULL THEN {now} END, listed = 3 WHERE id = $1";

    /// Locks and returns the given runs whose lease is free. Owners that execute a run never wait for this.
    deletable: "SELECT id, run_id, status, changed_at, greatest(lease_until - {now}, 0), owner IS NOT NULL \
        FROM {schema}.runs WHERE run_id = ANY($1) AND (owner IS NULL OR lease_until <= {now}) ORDER BY id FOR UPDATE";

    /// Removes runs from the lists of due runs.
    unlist: "WITH found AS MATERIALIZED (SELECT r.id, r.workflow, r.queue, r.queue_key, r.rank FROM {schema}.runs r \
            WHERE r.id = ANY($1)), \
        unlisted AS (DELETE FROM {schema}.ready q USING found f \
            WHERE q.workflow = f.workflow AND q.queue = f.queue AND q.rank = f.rank AND q.run = f.id) \
        DELETE FROM {schema}.behind b USING found f \
            WHERE b.queue = f.queue AND b.key = f.queue_key AND b.rank = f.rank AND b.run = f.id";

    delete_steps: "DELETE FROM {schema}.steps WHERE run = ANY($1)";

    delete_waits: "DELETE FROM {schema}.waits WHERE run = ANY($1)";

    delete_runs: "DELETE FROM {schema}.runs WHERE id = ANY($1)";

    import: concat!(
        "INSERT INTO {schema}.runs AS r (run_id, workflow, version, status, input, input_fingerprint, outcome_kind, \
            outcome, error, failed_on, token, lease_until, created_at, changed_at, wake_at, cancel_requested, \
            queue, queue_key, priority, rank, start_by, paused, crashes, parent_run, parent_key, tags, restarts, unique_key, \
            due_at, listed) \
        SELECT r.*, ", due!("NULL::bigint"), ", ", listed!("r.status"), " \
        FROM (SELECT $1::text AS run_id, $2::text, $3::bigint, $4::text AS status, $5::text, $6::bigint, $7::smallint, \
            $8::text, $9::text, $10::text, 1, 0, $11::bigint, $12::bigint AS changed_at, $13::bigint AS wake_at, \
            $14::boolean, $15::text, $16::text, $17::integer, $18::bigint, $19::bigint, $20::boolean AS paused, \
            $21::integer, $22::text, $23::text, $24::text[], $26::integer, (SELECT $25::text WHERE NOT EXISTS (SELECT 1 \
                FROM {schema}.runs u WHERE u.queue = $15 AND u.unique_key = $25))) r \
        ON CONFLICT (run_id) DO NOTHING RETURNING id"
    );
}
