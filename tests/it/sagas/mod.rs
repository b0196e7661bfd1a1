//! Sagas on durable runs: crashes at each boundary, cancellation, retries, and random sagas compared with a model.

mod corners;
mod crashes;
mod model;
mod resumed;

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use awaitly::RunError;
use serde::{Deserialize, Serialize};

use crate::fuse::Fuse;

/// The error of the sagas in these tests.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
pub(crate) enum TripError {
    #[error("{0} is not to be had")]
    Refused(String),
    #[error(transparent)]
    Run(#[from] RunError),
}

/// The services. Each action has one effect for each idempotency key, regardless of the number of calls.
#[derive(Clone, Default)]
pub(crate) struct World {
    books: Arc<Mutex<Books>>,
    pub(crate) fuse: Fuse,
}

#[derive(Default)]
struct Books {
    /// The effects in their order, each key once.
    done: Vec<String>,
    calls: BTreeMap<String, u32>,
}

impl World {
    /// Performs an action, with a boundary before and after it.
    pub(crate) async fn act(&self, key: impl Into<String>) -> Result<u64, Refused> {
        let key = key.into();
        self.fuse.pass().await;
        {
            let mut books = self.books.lock().unwrap();
            *books.calls.entry(key.clone()).or_default() += 1;
            if !books.done.contains(&key) {
                books.done.push(key);
            }
        }
        self.fuse.pass().await;
        Ok(7)
    }

    /// Fails without an effect.
    pub(crate) async fn refuse(&self, what: &str) -> Result<u64, Refused> {
        self.fuse.pass().await;
        Err(Refused(what.to_owned()))
    }

    pub(crate) fn done(&self) -> Vec<String> {
        self.books.lock().unwrap().done.clone()
    }

    pub(crate) fn calls(&self, key: &str) -> u32 {
        self.books.lock().unwrap().calls.get(key).copied().unwrap_or_default()
    }
}

/// The error of a service that refuses.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
#[error("refused {0}")]
pub(crate) struct Refused(pub(crate) String);

impl From<Refused> for TripError {
    fn from(Refused(what): Refused) -> Self {
        Self::Refused(what)
    }
}
