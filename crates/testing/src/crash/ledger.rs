use std::fmt;

use awaitly_core::extend::stage::current_step;

use super::boundary::{Act, Boundary, Side};
use super::finding::Finding;
use super::life::Fate;
use super::notes::{Effect, Notes};
use super::watcher::Watcher;

/// A record of effects outside the workflow. The test's fake services note their effects in it, and the crash test
/// compares them.
///
/// A ledger belongs to one process. After that process dies, its notes are ignored.
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

    /// Notes an effect that happens on every call, as with a service that does not recognize repeated calls.
    ///
    /// ```
    /// use awaitly_core::{RunError, Workflow, step};
    /// use awaitly_testing::crash::crash_everywhere;
    /// # awaitly_testing::simulate(async || {
    /// let report = crash_everywhere(async |world| {
    ///     let ledger = world.ledger();
    ///     let mail = async || {
    ///         ledger.note("a mail");
    ///         Ok::<_, RunError>(())
    ///     };
    ///     let workflow = world.workflow(Workflow::new("order"));
    ///     workflow.run("order-42", async |run| Ok::<_, RunError>(step!(run, "mail", mail()))).await
    /// });
    /// // A process that dies after the mail and before the record sends the mail again.
    /// assert_eq!(report.await.findings().len(), 1);
    /// # });
    /// ```
    pub fn note(&self, what: impl Into<String>) {
        self.happens(what.into().into(), None, false);
    }

    /// Notes an effect that happens once per idempotency key. Returns `false` if the key was used before.
    pub fn note_once(&self, idempotency_key: &str, what: impl Into<String>) -> bool {
        self.happens(what.into().into(), Some(idempotency_key.into()), false)
    }

    /// Notes that an effect of [`note_once`](Self::note_once) with the description `what` is undone, once per
    /// idempotency key. Returns `false` if the key was used before.
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

    /// Returns the descriptions of all effects so far, in order, over all processes of the case. An effect that was
    /// undone stays in the list.
    ///
    /// ```
    /// use awaitly_core::{RunError, Workflow, step};
    /// use awaitly_testing::crash::crash_everywhere;
    /// # awaitly_testing::simulate(async || {
    /// crash_everywhere(async |world| {
    ///     let ledger = world.ledger();
    ///     let ship = async |key: String| {
    ///         ledger.note_once(&key, "a parcel");
    ///         Ok::<_, RunError>(())
    ///     };
    ///     let workflow = world.workflow(Workflow::new("order"));
    ///     let run = workflow.run("order-42", async |run| {
    ///         Ok::<_, RunError>(step!(run, "ship", ship(run.idempotency_key("ship"))))
    ///     });
    ///     run.await?;
    ///     assert_eq!(ledger.effects(), ["a parcel"]);
    ///     Ok::<_, RunError>(())
    /// })
    /// .await
    /// .assert_same_outcome();
    /// # });
    /// ```
    #[must_use]
    pub fn effects(&self) -> Vec<String> {
        self.notes().effects().into_iter().map(|Effect { what, .. }| what.into()).collect()
    }

    fn happens(&self, what: Box<str>, key: Option<Box<str>>, undoes: bool) -> bool {
        let step = current_step().map(|(step, _)| step);
        // After an accident, the process of the code under test would exit with all its tasks.
        if self.0.life.has_ended() && self.0.life.accident().is_some() {
            return true;
        }
        if self.0.life.has_ended() {
            let last_step = self.notes().last_step();
            self.notes().find(Finding::EffectAfterEnd { effect: what.into(), last_step });
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
