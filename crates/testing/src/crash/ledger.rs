use std::fmt;

use awaitly_core::extend::stage::current_step;

use super::boundary::{Act, Boundary, Side};
use super::finding::Finding;
use super::life::Fate;
use super::notes::{Effect, Notes};
use super::watcher::Watcher;

/// What happens outside of a workflow, written down: the services that a test fakes note their effects here, and a
/// crash test compares them.
///
/// It belongs to one process. What that one notes after its death does not happen.
///
/// ```
/// use awaitly_testing::crash::Ledger;
///
/// struct Bank {
///     ledger: Ledger,
/// }
///
/// impl Bank {
///     async fn charge(&self, cents: u64, idempotency_key: &str) {
///         self.ledger.note_once(idempotency_key, format!("charge {cents}"));
///     }
/// }
/// ```
#[derive(Clone)]
pub struct Ledger(Watcher);

impl Ledger {
    pub(super) const fn new(watcher: Watcher) -> Self {
        Self(watcher)
    }

    /// Something happens, each time anew: an effect of a service that cannot tell a repeated call.
    pub fn note(&self, what: impl Into<String>) {
        self.happens(what.into().into(), None, false);
    }

    /// Something happens once for each idempotency key, however often it is asked for. `false`: it had happened
    /// already.
    pub fn note_once(&self, idempotency_key: &str, what: impl Into<String>) -> bool {
        self.happens(what.into().into(), Some(idempotency_key.into()), false)
    }

    /// Undoes the effect that [`note_once`](Self::note_once) noted as `what`, once for each idempotency key. Returns
    /// `false` if the key was used before.
    ///
    /// ```
    /// use awaitly_testing::crash::Ledger;
    ///
    /// fn book(ledger: &Ledger, idempotency_key: &str) {
    ///     ledger.note_once(idempotency_key, "a seat");
    /// }
    ///
    /// fn give_back(ledger: &Ledger, idempotency_key: &str) {
    ///     ledger.undo_once(idempotency_key, "a seat");
    /// }
    /// ```
    pub fn undo_once(&self, idempotency_key: &str, what: impl Into<String>) -> bool {
        self.happens(what.into().into(), Some(idempotency_key.into()), true)
    }

    /// What has happened, in order, over all processes of the case.
    #[must_use]
    pub fn effects(&self) -> Vec<String> {
        self.notes().effects().into_iter().map(|Effect { what, .. }| what.into()).collect()
    }

    fn happens(&self, what: Box<str>, key: Option<Box<str>>, undoes: bool) -> bool {
        let step = current_step().map(|(step, _)| step);
        if self.0.life.has_ended() {
            let last_step = self.notes().last_step();
            self.notes().find(Finding::EffectAfterEnd { what: what.into(), last_step });
            return true;
        }
        let boundary = |side| Boundary::new(side, Act::Effect(what.clone()), step.clone());
        if self.0.life.pass(false, || boundary(Side::Before)) == Fate::Dies {
            return true;
        }
        let (number, step) = (self.0.number, step.clone());
        let effect = Effect { number, what: what.clone(), key, step, after: None, undoes };
        let is_new = self.notes().effect(effect);
        self.0.life.pass(false, || boundary(Side::After));
        is_new
    }

    fn notes(&self) -> &Notes {
        &self.0.notes
    }
}

impl fmt::Debug for Ledger {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Ledger").field("effects", &self.effects()).finish_non_exhaustive()
    }
}
