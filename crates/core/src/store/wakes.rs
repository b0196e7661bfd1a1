use tokio::sync::watch;

/// Tells when runs of a store may have become due: somebody answered, a run was cancelled, imported or set
/// back to running. What is due, [`Operate::due`](super::Operate::due) says.
///
/// No change is missed, and several that come together are told once. What other processes did is told where
/// the store can know of it.
#[derive(Debug, Clone)]
pub struct Wakes(watch::Receiver<Rings>);

/// What rings for the [`Wakes`] of a store.
#[derive(Debug, Clone)]
pub struct Bell(watch::Sender<Rings>);

/// How often it has rung. `None`: it never will again.
type Rings = Option<u64>;

impl Wakes {
    /// Waits for a change that was not told yet. `false`: there will be none any more, since the store was closed, or its
    /// last handle is gone.
    pub async fn changed(&mut self) -> bool {
        self.0.borrow().is_some() && self.0.changed().await.is_ok() && self.0.borrow().is_some()
    }
}

impl Bell {
    /// A bell that nobody listens to yet.
    #[must_use]
    pub fn new() -> Self {
        Self(watch::Sender::new(Some(0)))
    }

    /// Tells everybody who listens.
    pub fn ring(&self) {
        self.0.send_if_modified(|rings| rings.as_mut().map(|rings| *rings += 1).is_some());
    }

    /// Tells everybody who listens, and all who will, that nothing comes any more: the store was closed.
    pub fn end(&self) {
        self.0.send_replace(None);
    }

    /// Whether [`end`](Self::end) was called.
    #[must_use]
    pub fn has_ended(&self) -> bool {
        self.0.borrow().is_none()
    }

    /// Somebody who listens from now on.
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
