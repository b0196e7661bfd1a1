//! Steps whose writes commit together with their record.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use awaitly::clock::{ms, secs};
use awaitly::persistence::{PostgresStore, PostgresTransaction};
use awaitly::store::Tx;
use awaitly::{DurableRun, Error, Retry, RunError, Workflow, step};
use sqlx::{AssertSqlSafe, Executor, Row};
use tokio::sync::Notify;

use crate::durable::{Declined, OrderError};
use crate::servers::Servers;

/// A store, and a table of the application in its schema.
struct Bank {
    store: PostgresStore,
    servers: Servers,
}

impl Bank {
    async fn open() -> Self {
        let servers = Servers::new();
        let bank = Self { store: servers.postgres().await, servers };
        bank.sql("CREATE TABLE {s}.debits (cents bigint NOT NULL)").await;
        bank
    }

    fn text(&self, sql: &str) -> AssertSqlSafe<String> {
        AssertSqlSafe(sql.replace("{s}", &self.servers.name))
    }

    async fn sql(&self, sql: &str) {
        Servers::connection().await.execute(self.text(sql)).await.unwrap();
    }

    async fn debits(&self) -> i64 {
        let sql = self.text("SELECT coalesce(sum(cents), 0)::bigint FROM {s}.debits");
        sqlx::query(sql).fetch_one(&mut Servers::connection().await).await.unwrap().get(0)
    }

    async fn debit(&self, mut tx: Tx<PostgresTransaction>, cents: i64, fail: bool) -> Result<i64, Declined> {
        let insert = sqlx::query(self.text("INSERT INTO {s}.debits VALUES ($1)")).bind(cents);
        insert.execute(&mut **tx).await.unwrap();
        if fail { Err(Declined(1)) } else { Ok(cents) }
    }

    async fn close(self) {
        self.servers.clear().await;
    }
}

#[tokio::test]
async fn writes_of_a_step_commit_with_its_record() {
    let bank = Bank::open().await;
    let workflow = Workflow::new("pay").store(bank.store.clone());
    let (calls, debited) = (AtomicU32::new(0), Notify::new());
    let body = async |run: &DurableRun| {
        calls.fetch_add(1, Ordering::Relaxed);
        let cents = step!(run, "debit", transaction = &bank.store, |tx| bank.debit(tx, 4200, false));
        // The process dies here, once.
        if calls.load(Ordering::Relaxed) == 1 {
            debited.notify_one();
            std::future::pending::<()>().await;
        }
        Ok::<_, OrderError>(cents)
    };
    tokio::select! {
        ran = workflow.run("r", body) => panic!("the run must die, but it returned {ran:?}"),
        () = debited.notified() => {}
    }
    assert_eq!(bank.debits().await, 4200);
    assert_eq!(workflow.run("r", body).await, Ok(4200));
    assert_eq!(bank.debits().await, 4200, "the resumed run does not debit again");
    bank.close().await;
}

#[tokio::test]
async fn failed_attempt_rolls_back_and_records_its_error() {
    let bank = Bank::open().await;
    let workflow = Workflow::new("pay").store(bank.store.clone());
    let attempts = AtomicU32::new(0);
    let body = async |run: &DurableRun| {
        let policy = Retry::fixed(ms(1)).attempts(3);
        let debited = step!(run, "debit", transaction = &bank.store, retry = policy, |tx| {
            let attempt = attempts.fetch_add(1, Ordering::Relaxed);
            bank.debit(tx, 100, attempt < 2)
        });
        let refused = run.step("refused", |tx| bank.debit(tx, 7, true)).transaction(&bank.store).await;
        assert_eq!(refused, Err(Error::Failed(Declined(1))));
        Ok::<_, OrderError>(debited)
    };
    assert_eq!(workflow.run("r", body).await, Ok(100));
    assert_eq!((attempts.load(Ordering::Relaxed), bank.debits().await), (3, 100));
    let (ran, state) = workflow.run_with_state("r", body).await;
    assert_eq!(ran, Ok(100));
    assert_eq!(state.keys().map(|key| &**key).collect::<Vec<_>>(), ["debit", "refused"]);
    bank.close().await;
}

#[tokio::test]
async fn attempt_that_times_out_rolls_back() {
    let bank = Bank::open().await;
    let workflow = Workflow::new("pay").store(bank.store.clone());
    let debited = Notify::new();
    let body = async |run: &DurableRun| {
        let slow = async |tx| {
            bank.debit(tx, 100, false).await?;
            debited.notify_one();
            std::future::pending::<Result<i64, Declined>>().await
        };
        let cents: i64 = step!(run, "debit", transaction = &bank.store, timeout = secs(20), slow);
        Ok::<_, OrderError>(cents)
    };
    let time_passes = async {
        debited.notified().await;
        // The clock is paused only while it advances, because the server's answers take real time.
        tokio::time::pause();
        tokio::time::advance(secs(20)).await;
        tokio::time::resume();
    };
    let (ran, ()) = tokio::join!(workflow.run("r", body), time_passes);
    assert!(matches!(ran, Err(OrderError::Run(RunError::Timeout { .. }))), "{ran:?}");
    assert_eq!(bank.debits().await, 0);
    bank.close().await;
}

#[tokio::test]
async fn operation_that_keeps_the_transaction_is_refused_and_rolled_back() {
    let bank = Bank::open().await;
    let workflow = Workflow::new("pay").store(bank.store.clone());
    let body = async |run: &DurableRun| {
        let mut kept = None;
        let debit = run
            .step("debit", |tx: Tx<PostgresTransaction>| {
                kept = Some(tx);
                async { Ok::<i64, Declined>(1) }
            })
            .transaction(&bank.store)
            .await;
        drop(kept);
        Ok::<_, OrderError>(debit.map_err(|error| error.to_string()))
    };
    let refused = workflow.run("r", body).await.unwrap().unwrap_err();
    assert!(refused.contains("drop it before you return"), "{refused}");
    assert_eq!(bank.debits().await, 0);
    bank.close().await;
}

#[tokio::test]
async fn body_with_a_transaction_can_be_spawned() {
    let bank = Arc::new(Bank::open().await);
    let workflow = Workflow::new("pay").store(bank.store.clone());
    let spawned = Arc::clone(&bank);
    let ran = tokio::spawn(async move {
        let body = async |run: &DurableRun| {
            let policy = Retry::fixed(ms(1)).attempts(2);
            let once = step!(run, "once", transaction = &spawned.store, |tx| spawned.debit(tx, 1, false));
            let again = step!(run, "again", transaction = &spawned.store, retry = policy, |tx| spawned
                .debit(tx, 2, false));
            Ok::<_, OrderError>(once + again)
        };
        workflow.run("r", body).await
    });
    assert_eq!(ran.await.unwrap(), Ok(3));
    assert_eq!(bank.debits().await, 3);
    Arc::into_inner(bank).unwrap().close().await;
}

#[tokio::test]
async fn failed_commit_fails_the_step() {
    let bank = Bank::open().await;
    bank.sql("ALTER TABLE {s}.debits ADD CONSTRAINT once UNIQUE (cents) DEFERRABLE INITIALLY DEFERRED").await;
    let workflow = Workflow::new("pay").store(bank.store.clone());
    let body = async |run: &DurableRun| {
        let first = step!(run, "first", transaction = &bank.store, |tx| bank.debit(tx, 5, false));
        let second = run.step("second", |tx| bank.debit(tx, 5, false)).transaction(&bank.store).await;
        let refused = matches!(second, Err(Error::Run(RunError::Refused { .. })));
        Ok::<_, OrderError>((first, refused))
    };
    assert_eq!(workflow.run("r", body).await, Ok((5, true)));
    assert_eq!(bank.debits().await, 5);
    bank.close().await;
}

#[tokio::test]
async fn failing_store_interrupts_the_run_without_a_retry() {
    let bank = Bank::open().await;
    let workflow = Workflow::new("pay").store(bank.store.clone());
    let calls = AtomicU32::new(0);
    let body = async |run: &DurableRun| {
        let policy = Retry::fixed(ms(1)).attempts(3);
        let debited = run
            .step("debit", |tx| {
                calls.fetch_add(1, Ordering::Relaxed);
                bank.debit(tx, 5, false)
            })
            .transaction(&bank.store)
            .retry(policy)
            .await;
        // The run fails even if the body ignores the failure.
        Ok::<_, OrderError>(debited.is_ok())
    };
    bank.sql("ALTER TABLE {s}.steps RENAME TO away").await;
    let ran = workflow.run("r", body).await;
    assert!(matches!(ran, Err(OrderError::Run(RunError::Store(_)))), "{ran:?}");
    bank.sql("ALTER TABLE {s}.away RENAME TO steps").await;
    assert_eq!((calls.load(Ordering::Relaxed), bank.debits().await), (1, 0));
    assert_eq!(workflow.run("r", body).await, Ok(true));
    assert_eq!(bank.debits().await, 5);
    bank.close().await;
}

/// The other store contains another run with the internal number of this one.
#[tokio::test]
async fn transaction_of_another_store_is_refused_and_rolled_back() {
    let (bank, elsewhere) = (Bank::open().await, Servers::new());
    let other = elsewhere.postgres().await;
    let in_other = Workflow::new("pay").store(other.clone());
    assert_eq!(in_other.run("other", async |_| Ok::<_, RunError>(1)).await, Ok(1));
    let workflow = Workflow::new("pay").store(bank.store.clone());
    let error = workflow
        .run("r", async |run| {
            let debited: i64 = step!(run, "debit", transaction = &other, |tx| bank.debit(tx, 7, false));
            Ok::<_, OrderError>(debited)
        })
        .await
        .unwrap_err();
    let OrderError::Run(RunError::Refused { by, reason, .. }) = error else { panic!("{error}") };
    assert_eq!(&*by, "transaction");
    assert!(reason.contains("not in this store"), "{reason}");
    assert_eq!(bank.debits().await, 0, "the transaction is rolled back");
    elsewhere.clear().await;
    bank.close().await;
}
