//! The two lives of the run that is interrupted and resumed.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

use anyhow::{Context, Result, ensure};
use tokio::sync::mpsc;

/// Which life of the run this is.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Life {
    /// The new step is reached, and stays in its body for good.
    First,
    /// The new step is reached and taken.
    Second,
}

/// The bodies of the run's steps, and what they saw in this life.
#[derive(Clone)]
pub struct Lives {
    life: Life,
    /// Bodies of recorded steps that were entered in this life.
    entered: Arc<AtomicU64>,
    reached: mpsc::UnboundedSender<Instant>,
}

impl Lives {
    /// The bodies, and where the instants come out at which the body of the new
    /// step is reached.
    pub fn new(life: Life) -> (Self, mpsc::UnboundedReceiver<Instant>) {
        let (reached, instants) = mpsc::unbounded_channel();
        let entered = Arc::default();
        (
            Self {
                life,
                entered,
                reached,
            },
            instants,
        )
    }

    /// The body of a step that the first life records.
    pub fn recorded_step(&self, index: u64) -> u64 {
        self.entered.fetch_add(1, Ordering::Relaxed);
        index
    }

    /// The body of the step at which the first life ends.
    pub async fn new_step(&self, index: u64) -> u64 {
        // Nobody listens any more once the measurement is over.
        let _ = self.reached.send(Instant::now());
        match self.life {
            Life::First => std::future::pending().await,
            Life::Second => index,
        }
    }

    /// Waits for the new step, and checks that each of the `steps` before it
    /// was entered in the first life and none in the second.
    pub async fn until_new_step(
        &self,
        instants: &mut mpsc::UnboundedReceiver<Instant>,
        steps: u64,
    ) -> Result<Instant> {
        let reached = instants.recv().await.context("the run stopped")?;
        let expected = match self.life {
            Life::First => steps,
            Life::Second => 0,
        };
        let entered = self.entered.load(Ordering::Relaxed);
        ensure!(
            entered == expected,
            "{entered} bodies of recorded steps were entered, not {expected}"
        );
        Ok(reached)
    }
}
