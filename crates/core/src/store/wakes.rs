use tokio::sync::watch;

/// Notifies of changes after which runs of a store may be due: an answer, a cancellation, an import, or a run set back
/// to running. [`Operate::due`](super::Operate::due) then lists the due runs.
///
/// `Wakes` misses no change and merges changes that come together into one notification. It includes the changes of
/// other processes if the store can detect them.
#[derive(Debug, Clone)]
pub struct Wakes(watch::Receiver<Rings>);

/// The sender for the [`Wakes`] of a store.
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
