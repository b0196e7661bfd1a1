//! The events of a saga.

use std::fmt;
use std::time::Duration;

use awaitly_core::event::EventKind;
use awaitly_core::extend::undo;
use awaitly_core::journal::Key;
use awaitly_core::{Mode, Run};

/// The events of one saga, for observers and logs.
pub(crate) struct Story<'r, M> {
    run: &'r Run<M>,
    saga: Key,
    began: Duration,
}

impl<'r, M: Mode> Story<'r, M> {
    pub(crate) fn begin(run: &'r Run<M>, saga: Key) -> Self {
        undo::tell(run, || EventKind::SagaStarted { saga: saga.clone() });
        Self { run, saga, began: undo::elapsed(run) }
    }

    pub(crate) fn succeeded(&self) {
        self.tell(|saga, duration| EventKind::SagaSucceeded { saga, duration });
    }

    pub(crate) fn failed(&self, error: &dyn fmt::Display) {
        tracing::debug!(saga = %self.saga, %error, "the saga failed, and is undone");
        self.tell(|saga, duration| EventKind::SagaFailed { saga, duration, error: error.to_string() });
    }

    pub(crate) fn undo_begins(&mut self, steps: usize) {
        self.tell(|saga, _| EventKind::UndoStarted { saga, steps });
        self.began = undo::elapsed(self.run);
    }

    pub(crate) fn undo_ended(&self, failed: usize) {
        if failed > 0 {
            tracing::error!(saga = %self.saga, failed, "not all of the saga could be undone");
        }
        self.tell(|saga, duration| EventKind::UndoEnded { saga, duration, failed });
    }

    fn tell(&self, kind: impl FnOnce(Key, Duration) -> EventKind) {
        undo::tell(self.run, || kind(self.saga.clone(), undo::elapsed(self.run).saturating_sub(self.began)));
    }
}
