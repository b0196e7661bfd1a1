use tokio::sync::watch;

/// The receiver of notifications about changes after which runs of a store may be due: an answer, a cancellation, an
/// import, or a run set back to running. [`Operate::due`](super::Operate::due) then lists the due runs.
///
/// The receiver misses no change, and merges changes that come together into one notification. The changes of other
/// processes are included if the store can detect them.
///
/// ```
/// use awaitly_core::store::{DueQuery, Operate, StoreError};
///
/// /// Waits until runs of the workflow `checkout` are due after a change, or until the store is closed.
/// async fn wait_for_due(store: &impl Operate) -> Result<(), StoreError> {
///     let mut wakes = store.wakes();
///     while store.due(DueQuery::new().workflow("checkout")).await?.is_empty() {
///         if !wakes.changed().await {
///             break;
///         }
///     }
///     Ok(())
/// }
/// ```
#[derive(Debug, Clone)]
pub struct Wakes(watch::Receiver<Rings>);

/// The sender of a store's notifications to its [`Wakes`].
///
/// ```
/// use awaitly_core::store::Bell;
///
/// # #[tokio::main(flavor = "current_thread")] async fn main() {
/// let bell = Bell::new();
/// let mut wakes = bell.listen();
/// bell.ring();
/// bell.ring(); // merged into the first notification
/// assert!(wakes.changed().await);
/// bell.end();
/// assert!(!wakes.changed().await);
/// # }
/// ```
#[derive(Debug, Clone)]
pub struct Bell(watch::Sender<Rings>);

/// The number of rings so far. `None`: it has ended.
type Rings = Option<u64>;

impl Wakes {
    /// Waits for the next change. Returns `false` if no more changes can come, because the store was closed or its last
    /// handle was dropped.
    pub async fn changed(&mut self) -> bool {
        self.0.borrow().is_some() && self.0.changed().await.is_ok() && self.0.borrow().is_some()
    }
}

impl Bell {
    /// Creates a bell without listeners.
    #[must_use]
    pub fn new() -> Self {
        Self(watch::Sender::new(Some(0)))
    }

    /// Notifies all listeners of a change.
    pub fn ring(&self) {
        self.0.send_if_modified(|rings| rings.as_mut().map(|rings| *rings += 1).is_some());
    }

    /// Notifies all present and future listeners that no more changes come, because the store was closed.
    pub fn end(&self) {
        self.0.send_replace(None);
    }

    /// Returns whether [`end`](Self::end) was called.
    #[must_use]
    pub fn has_ended(&self) -> bool {
        self.0.borrow().is_none()
    }

    /// Creates a listener for all changes from now on.
    #[must_use]
    pub fn listen(&self) -> Wakes {
        Wakes(self.0.subscribe())
    }
}

impl Default for Bell {
    fn default() -> Self {
        Self::new()
    }
}
