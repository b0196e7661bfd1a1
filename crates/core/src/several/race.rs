use std::fmt;
use std::future::{Future, pending};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};

use futures_util::FutureExt;

use super::scope::Scope;
use crate::event::ScopeKind;
use crate::journal::Key;
use crate::run::{Mode, Run};

/// The calls of one `race!`.
///
/// The macro joins the calls with `try_join!`, which returns at the first `Err`. So a call that succeeds returns
/// `Err` with its index and its value, and a call that fails leaves its failure here.
pub struct Race<'r, E> {
    calls: AtomicUsize,
    /// The failure that came first.
    failure: Mutex<Option<E>>,
    scope: Option<Scope<'r>>,
}

impl<'r, E> Race<'r, E> {
    /// Begins the scope `name` of `run`.
    pub(crate) fn new<M: Mode>(run: &'r Run<M>, name: &Key) -> Self {
        let scope = Scope::begin(run, name, ScopeKind::Race);
        Self { calls: AtomicUsize::new(0), failure: Mutex::new(None), scope }
    }

    /// Adds a call.
    pub fn enter<T>(
        &self,
        call: impl Future<Output = Result<T, E>>,
    ) -> impl Future<Output = Result<(), (usize, T)>> {
        let index = self.calls.fetch_add(1, Ordering::Relaxed);
        call.map(move |ended| match ended {
            Ok(value) => Err((index, value)),
            Err(error) => {
                self.failure.lock().unwrap_or_else(PoisonError::into_inner).get_or_insert(error);
                Ok(())
            }
        })
    }

    /// Returns the value of the winner, or the first failure if all calls failed.
    ///
    /// # Errors
    /// Returns the first failure.
    pub async fn end<T, L>(mut self, joined: Result<L, (usize, T)>) -> Result<T, E> {
        let Err((index, value)) = joined else {
            let failure = self.failure.into_inner().unwrap_or_else(PoisonError::into_inner);
            // A race has at least one call, so there is a failure.
            return Err(match failure {
                Some(failure) => failure,
                None => pending().await,
            });
        };
        if let Some(scope) = &mut self.scope {
            scope.winner = Some(index);
        }
        Ok(value)
    }
}

impl<E> fmt::Debug for Race<'_, E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Race").field("calls", &self.calls).finish_non_exhaustive()
    }
}
