//! A small world that writes down what is done to it.

use std::sync::Mutex;
use std::time::Duration;

use awaitly_core::RunError;
use serde::{Deserialize, Serialize};

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
#[error("{0} is refused")]
pub(crate) struct Refused(pub(crate) String);

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
pub(crate) enum TripError {
    #[error(transparent)]
    Refused(#[from] Refused),
    #[error(transparent)]
    Run(#[from] RunError),
}

pub(crate) fn refused(what: &str) -> TripError {
    Refused(what.to_owned()).into()
}

#[derive(Debug, Default)]
pub(crate) struct World(Mutex<Vec<String>>);

impl World {
    /// Does a thing, and gives its length.
    pub(crate) async fn act(&self, what: impl Into<String>) -> Result<usize, Refused> {
        let what = what.into();
        let length = what.len();
        self.0.lock().unwrap().push(what);
        Ok(length)
    }

    /// Does a thing that takes a while.
    pub(crate) async fn act_after(&self, wait: Duration, what: impl Into<String>) -> Result<usize, Refused> {
        tokio::time::sleep(wait).await;
        self.act(what).await
    }

    /// Refuses, which is written down too.
    pub(crate) async fn refuse(&self, what: &str) -> Result<usize, Refused> {
        self.0.lock().unwrap().push(format!("no {what}"));
        Err(Refused(what.to_owned()))
    }

    /// Refuses after a while.
    pub(crate) async fn refuse_after(&self, wait: Duration, what: &str) -> Result<usize, Refused> {
        tokio::time::sleep(wait).await;
        self.refuse(what).await
    }

    /// Does a thing, and never says so.
    pub(crate) async fn hang(&self, what: &str) -> Result<usize, Refused> {
        self.act(what).await?;
        std::future::pending().await
    }

    /// What was done so far.
    pub(crate) fn log(&self) -> Vec<String> {
        self.0.lock().unwrap().clone()
    }
}
