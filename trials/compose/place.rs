//! The stores, behind one type.

use std::sync::Arc;

use anyhow::Result;
use awaitly::journal::{Timestamp, Unanswered};
use awaitly::persistence::{
    MemoryStore, PostgresOptions, PostgresStore, RedisOptions, RedisStore, SqliteStore,
};
use awaitly::store::{
    Answer, AnyStore, Cancelled, Due, DueQuery, Operate, Page, RunId, RunQuery, RunSummary, Store,
    StoreError, StoredRun, WaitQuery, Waiting,
};
use awaitly_trials::servers::{self, url};
use clap::ValueEnum;
use tempfile::TempDir;

/// The kind of store that holds the journals.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum StoreName {
    Memory,
    Sqlite,
    Postgres,
    Redis,
}

/// A store. Clones share it.
#[derive(Clone)]
pub(crate) enum Place {
    Memory(MemoryStore),
    Sqlite(SqliteStore),
    Postgres(PostgresStore),
    Redis(RedisStore),
}

/// Calls `$call` on the store.
macro_rules! on {
    ($place:expr, $store:ident => $call:expr) => {
        match $place {
            $crate::place::Place::Memory($store) => $call,
            $crate::place::Place::Sqlite($store) => $call,
            $crate::place::Place::Postgres($store) => $call,
            $crate::place::Place::Redis($store) => $call,
        }
    };
}
pub(crate) use on;

impl Place {
    pub(crate) fn any(&self) -> AnyStore {
        on!(self, store => AnyStore::new(store.clone()))
    }

    pub(crate) async fn due(&self, query: DueQuery) -> Result<Vec<Due>, StoreError> {
        on!(self, store => store.due(query).await)
    }

    pub(crate) async fn waiting(&self, query: WaitQuery) -> Result<Page<Waiting>, StoreError> {
        on!(self, store => store.waiting(query).await)
    }

    pub(crate) async fn answer(&self, answer: Answer) -> Result<Result<(), Unanswered>, StoreError> {
        on!(self, store => store.answer(answer).await)
    }

    pub(crate) async fn cancel(&self, run: &RunId) -> Result<Cancelled, StoreError> {
        on!(self, store => store.cancel(run).await)
    }

    pub(crate) async fn list(&self, query: RunQuery) -> Result<Vec<RunSummary>, StoreError> {
        on!(self, store => store.list(query).await.map(|page| page.items))
    }

    pub(crate) async fn load(&self, run: &RunId) -> Result<Option<StoredRun>, StoreError> {
        on!(self, store => store.load(run).await)
    }

    pub(crate) async fn now(&self) -> Result<Timestamp, StoreError> {
        on!(self, store => store.now().await)
    }

    /// Copies the run to a new store in memory.
    pub(crate) async fn copy(&self, run: &RunId) -> Result<Option<Self>, StoreError> {
        let Some(stored) = self.load(run).await? else { return Ok(None) };
        let copy = MemoryStore::new();
        let imported = copy.import(run.clone(), stored).await?;
        Ok((imported).then_some(Self::Memory(copy)))
    }
}

/// A store that exists for one test.
#[derive(Clone)]
pub(crate) struct Opened {
    pub(crate) name: StoreName,
    pub(crate) place: Place,
    folder: Arc<TempDir>,
}

impl Opened {
    pub(crate) async fn open(name: StoreName) -> Result<Self> {
        let folder = tempfile::tempdir()?;
        let unique = servers::name(folder.path());
        let place = match name {
            StoreName::Memory => Place::Memory(MemoryStore::new()),
            StoreName::Sqlite => Place::Sqlite(SqliteStore::open(folder.path().join("compose.db")).await?),
            StoreName::Postgres => {
                Place::Postgres(PostgresOptions::new().schema(unique).connect(&url("POSTGRES")?).await?)
            }
            StoreName::Redis => {
                Place::Redis(RedisOptions::new().prefix(unique).connect(&url("REDIS")?).await?)
            }
        };
        Ok(Self { name, place, folder: Arc::new(folder) })
    }

    /// Removes the data that is not in the folder.
    pub(crate) async fn remove(self) -> Result<()> {
        let name = servers::name(self.folder.path());
        match self.name {
            StoreName::Memory | StoreName::Sqlite => Ok(()),
            StoreName::Postgres => servers::drop_schema(&name).await,
            StoreName::Redis => servers::drop_keys(&name),
        }
    }
}
