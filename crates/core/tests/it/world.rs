//! A small world for steps to act on: a service that fails as it is told, and counts its calls.

use std::sync::Mutex;
use std::sync::atomic::{AtomicU32, Ordering};

use awaitly_core::RunError;
use serde::{Deserialize, Serialize};

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
pub(crate) enum ServiceError {
    #[error("the service is down")]
    Down,
    #[error("declined, code {0}")]
    Declined(u32),
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, thiserror::Error)]
pub(crate) enum AppError {
    #[error(transparent)]
    Service(#[from] ServiceError),
    #[error("{0}")]
    Own(String),
    #[error(transparent)]
    Run(#[from] RunError),
}

/// Answers with a script, and with its number of calls when the script has ended.
#[derive(Debug, Default)]
pub(crate) struct Service {
    calls: AtomicU32,
    script: Mutex<Vec<ServiceError>>,
}

impl Service {
    pub(crate) fn failing(script: impl IntoIterator<Item = ServiceError>) -> Self {
        let mut script: Vec<_> = script.into_iter().collect();
        script.reverse();
        Self { calls: AtomicU32::new(0), script: Mutex::new(script) }
    }

    pub(crate) async fn call(&self) -> Result<u32, ServiceError> {
        let call = self.calls.fetch_add(1, Ordering::Relaxed) + 1;
        match self.script.lock().unwrap().pop() {
            Some(error) => Err(error),
            None => Ok(call),
        }
    }

    /// Waits for ever, once called.
    pub(crate) async fn hang(&self) -> Result<u32, ServiceError> {
        self.calls.fetch_add(1, Ordering::Relaxed);
        std::future::pending().await
    }

    pub(crate) fn calls(&self) -> u32 {
        self.calls.load(Ordering::Relaxed)
    }
}
