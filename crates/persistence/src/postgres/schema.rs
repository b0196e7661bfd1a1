use std::sync::Arc;

use awaitly_core::store::StoreError;
use sqlx::postgres::PgConnection;
use sqlx::{AssertSqlSafe, Connection, Executor, Row};

/// All changes to the tables since version 1, the first. Released migrations are never edited.
const MIGRATIONS: [&str; 3] = [
    include_str!("migrations/0001.sql"),
    include_str!("migrations/0002.sql"),
    include_str!("migrations/0003.sql"),
];

/// The newest format that this version reads and writes.
pub(super) const NEWEST: u32 = MIGRATIONS.len() as u32;

/// The format of a run that this version reads.
pub(super) const RUN_FORMAT: i32 = 1;

/// The name of the schema. It is the only value that becomes a part of statements, so it may contain only letters,
/// digits and `_`.
#[derive(Debug, Clone)]
pub(super) struct Schema(Arc<str>);

impl Schema {
    pub(super) fn new(name: &str) -> Result<Self, StoreError> {
        let first = name.starts_with(|first: char| first.is_ascii_lowercase() || first == '_');
        let rest = name.chars().all(|rest| rest.is_ascii_lowercase() || rest.is_ascii_digit() || rest == '_');
        if first && rest && name.len() <= 48 {
            return Ok(Self(name.into()));
        }
        let detail =
            "the name of a schema has up to 48 small letters, digits and `_`, and begins with no digit";
        Err(StoreError::NotThere { detail: detail.into() })
    }

    pub(super) fn name(&self) -> &str {
        &self.0
    }

    /// Returns a statement in which the schema replaces `{schema}`, the server's time replaces `{now}`, and the name of the
    /// channel replaces `{channel}`.
    pub(super) fn sql(&self, text: &str) -> AssertSqlSafe<Arc<str>> {
        let now = "(extract(epoch FROM clock_timestamp()) * 1000)::bigint";
        // A token that grows with time, so that a claim has one for all its runs. Its last 20 bits are random, because a
        // server that crashed may assign an id again.
        let token = "((extract(epoch FROM clock_timestamp()) * 1000)::bigint * 1048576 + floor(random() * 1048576)::bigint)";
        let text = text.replace("{schema}", &format!("\"{}\"", self.0)).replace("{now}", now);
        let text = text.replace("{channel}", &format!("'{}'", self.channel()));
        AssertSqlSafe(text.replace("{token}", token).into())
    }

    /// Returns the name of the channel through which processes notify each other.
    pub(super) fn channel(&self) -> String {
        format!("awaitly_wakes_{}", self.0)
    }

    /// Applies the missing migrations, in one transaction under a lock. If several processes open the store at once,
    /// one migrates the tables, and the others find them migrated. If no migration is missing, the database is
    /// unchanged, so that a role that may not create tables can use existing ones.
    pub(super) async fn migrate(&self, connection: &mut PgConnection) -> Result<(), Failure> {
        if self.version(connection).await? == NEWEST {
            return Ok(());
        }
        // Each statement needs a snapshot of its own, because the tables may exist once the lock is acquired.
        let mut transaction = connection.begin_with("BEGIN ISOLATION LEVEL READ COMMITTED").await?;
        sqlx::query("SELECT pg_advisory_xact_lock(hashtextextended($1, 0))")
            .bind(format!("awaitly {}", self.0))
            .execute(&mut *transaction)
            .await?;
        let found = self.version(&mut transaction).await?;
        if found == 0 {
            for sql in [
                "CREATE SCHEMA IF NOT EXISTS {schema}",
                "CREATE TABLE {schema}.migrations (version integer PRIMARY KEY, applied_at bigint NOT NULL)",
            ] {
                transaction.execute(self.sql(sql)).await?;
            }
        }
        for (version, sql) in (1..).zip(MIGRATIONS).skip(found as usize) {
            sqlx::raw_sql(self.sql(sql)).execute(&mut *transaction).await?;
            sqlx::query(self.sql("INSERT INTO {schema}.migrations VALUES ($1, {now})"))
                .bind(version)
                .execute(&mut *transaction)
                .await?;
        }
        transaction.commit().await?;
        Ok(())
    }

    /// Returns the version of the tables, or 0 if they do not exist.
    async fn version(&self, connection: &mut PgConnection) -> Result<u32, Failure> {
        // Queries the catalog itself: the connection's cache of names may be older than the lock that was just
        // acquired.
        let made = "SELECT EXISTS (SELECT 1 FROM pg_catalog.pg_class c \
             JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace \
             WHERE n.nspname = $1 AND c.relname = 'migrations')";
        let row = sqlx::query(made).bind(&*self.0).fetch_one(&mut *connection).await?;
        if !row.try_get::<bool, _>(0)? {
            return Ok(0);
        }
        let sql = self.sql("SELECT coalesce(max(version), 0) FROM {schema}.migrations");
        let version: i32 = sqlx::query(sql).fetch_one(connection).await?.try_get(0)?;
        let found = u32::try_from(version).unwrap_or(0);
        if found > NEWEST {
            return Err(StoreError::NewerFormat { found, supported: NEWEST }.into());
        }
        Ok(found)
    }
}

/// The reason for which an operation was not carried out.
#[derive(Debug)]
pub(super) enum Failure {
    /// The operation was refused before it changed anything.
    Refused(StoreError),
    /// Postgres failed.
    Postgres(sqlx::Error),
}

impl From<sqlx::Error> for Failure {
    fn from(error: sqlx::Error) -> Self {
        Self::Postgres(error)
    }
}

impl From<StoreError> for Failure {
    fn from(error: StoreError) -> Self {
        Self::Refused(error)
    }
}

impl From<Failure> for StoreError {
    fn from(failure: Failure) -> Self {
        match failure {
            Failure::Refused(error) => error,
            Failure::Postgres(error) => super::error::store_error(&error),
        }
    }
}

/// Begins a transaction. The timeout keeps a process that freezes in the middle from holding its locked rows. The
/// commit waits for the disk, whatever the application has set on the connection; the setting applies to this
/// transaction only.
pub(super) const BEGIN: &str = "BEGIN ISOLATION LEVEL READ COMMITTED; \
     SET LOCAL idle_in_transaction_session_timeout = '3s'; \
     SELECT set_config('synchronous_commit', 'on', true) WHERE current_setting('synchronous_commit') = 'off'";

/// Carries out `$body` in a transaction. A refusal is rolled back before its answer is passed on, so that no lock
/// outlives it.
macro_rules! in_transaction {
    ($connection:expr, $transaction:ident => $body:block) => {
        $crate::postgres::schema::in_transaction!($crate::postgres::schema::BEGIN, $connection, $transaction => $body)
    };
    ($begin:expr, $connection:expr, $transaction:ident => $body:block) => {{
        let mut $transaction = $connection.begin_with($begin).await?;
        let done: Result<_, Failure> = async { $body }.await;
        match done {
            Ok(done) => {
                $transaction.commit().await?;
                Ok(done)
            }
            Err(failure) => {
                // A lost connection rolls back by itself.
                drop($transaction.rollback().await);
                Err(failure)
            }
        }
    }};
}

pub(super) use in_transaction;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_plain_name_becomes_a_part_of_a_statement() {
        for name in ["awaitly", "_a1", "orders_2"] {
            assert!(Schema::new(name).is_ok(), "{name}");
        }
        for name in ["", "1a", "Awaitly", "a b", "a\"b", "a;b", "a.b", "é", &"a".repeat(49)] {
            assert!(matches!(Schema::new(name), Err(StoreError::NotThere { .. })), "{name}");
        }
    }

    #[test]
    fn placeholders_are_replaced_by_schema_and_clock() {
        let AssertSqlSafe(sql) = Schema::new("awaitly").unwrap().sql("SELECT {now} FROM {schema}.runs");
        assert!(sql.ends_with("FROM \"awaitly\".runs") && !sql.contains('{'), "{sql}");
    }
}
