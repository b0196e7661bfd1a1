use std::fmt;
use std::future::Future;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use awaitly_core::store::around::{Call, Calls, Parts, Reply, Request};
use awaitly_core::store::{Around, Lease, Opened, Store, StoreError};

use super::plan::{Called, Fault, Injected, Plan, When};

/// A store that fails on command, around another store. Without a fault, it behaves like the inner store.
///
/// A rule applies a fault to some [`Calls`]: once, at the n-th call, always, or at random. If several rules match a call,
/// the newest applies. [`assert_used`](Self::assert_used) checks that every fault was applied. Cloning is cheap; clones
/// share the store and the rules. The store supports operators' calls and transactions if the inner store does.
///
/// ```
/// use awaitly_core::clock::ms;
/// use awaitly_persistence::MemoryStore;
/// use awaitly_testing::fault::{Call, Calls, Fault, FaultyStore};
///
/// let store = FaultyStore::new(MemoryStore::new());
/// store
///     .seed(7)
///     .chance(Calls::WRITES, 0.1, Fault::LoseAnswer)
///     .always(Call::Load, Fault::Delay(ms(20)))
///     .once(Call::Append.key("charge"), Fault::Full);
/// ```
pub struct FaultyStore<S>(Arc<Shared<S>>);

struct Shared<S> {
    inner: S,
    plan: Mutex<Plan>,
}

impl<S> FaultyStore<S> {
    /// Creates a store without a fault around `inner`.
    #[must_use]
    pub fn new(inner: S) -> Self {
        Self(Arc::new(Shared { inner, plan: Mutex::default() }))
    }

    /// Returns the inner store.
    #[must_use]
    pub fn inner(&self) -> &S {
        &self.0.inner
    }

    /// Sets the seed of random faults. A draw depends on the seed and on the run, key and number of the call, but not on
    /// other runs.
    ///
    /// # Default
    /// 0.
    #[expect(clippy::must_use_candidate, reason = "it is called for what it does")]
    pub fn seed(&self, seed: u64) -> &Self {
        self.plan().seed = seed;
        self
    }

    /// Applies `fault` to the first of `calls` from now on.
    ///
    /// # Panics
    /// Panics if `fault` cannot affect any of `calls`, for example [`Fault::DropRecord`] on reads.
    #[track_caller]
    pub fn once(&self, calls: impl Into<Calls>, fault: Fault) -> &Self {
        self.nth(calls, 1, fault)
    }

    /// Applies `fault` to one of `calls`: the `number`th from now on, counted from 1.
    ///
    /// # Panics
    /// Panics if `fault` cannot affect any of `calls`, for example [`Fault::DropRecord`] on reads.
    #[track_caller]
    pub fn nth(&self, calls: impl Into<Calls>, number: u64, fault: Fault) -> &Self {
        self.add(calls.into(), When::Numbers(number, number), fault)
    }

    /// Applies `fault` to the first `times` of `calls` from now on.
    ///
    /// # Panics
    /// Panics if `fault` cannot affect any of `calls`, for example [`Fault::DropRecord`] on reads.
    #[track_caller]
    pub fn times(&self, calls: impl Into<Calls>, times: u64, fault: Fault) -> &Self {
        self.add(calls.into(), When::Numbers(1, times), fault)
    }

    /// Applies `fault` to all of `calls`.
    ///
    /// # Panics
    /// Panics if `fault` cannot affect any of `calls`, for example [`Fault::DropRecord`] on reads.
    #[track_caller]
    pub fn always(&self, calls: impl Into<Calls>, fault: Fault) -> &Self {
        self.add(calls.into(), When::Always, fault)
    }

    /// Applies `fault` to each of `calls` with a probability between 0 and 1.
    ///
    /// # Panics
    /// Panics if `fault` cannot affect any of `calls`, for example [`Fault::DropRecord`] on reads.
    /// Also panics if `chance` is not between 0 and 1.
    #[track_caller]
    pub fn chance(&self, calls: impl Into<Calls>, chance: f64, fault: Fault) -> &Self {
        self.add(calls.into(), When::Chance(chance), fault)
    }

    /// Removes all rules, so that later calls succeed. [`assert_used`](Self::assert_used) still reports removed rules
    /// that were never applied.
    pub fn heal(&self) {
        self.plan().heal();
    }

    /// Asserts that the store used each rule. A rule is used if its fault was applied to a call. A rule with a
    /// probability is used if a matching call was made, even if the draw spared that call. Call this method at the end
    /// of a test: otherwise the test also passes if a key is misspelt.
    ///
    /// ```should_panic
    /// use awaitly_core::{DurableRun, RunError, step};
    /// use awaitly_testing::Harness;
    /// use awaitly_testing::fault::{Call, Fault, FaultyStore};
    ///
    /// # tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build().unwrap().block_on(async {
    /// let harness = Harness::new();
    /// let store = FaultyStore::new(harness.clock().store());
    /// store.once(Call::Append.key("chrage"), Fault::Full);
    /// let order = async |run: &DurableRun| Ok::<_, RunError>(step!(run, "charge", async { Ok::<_, RunError>(7) }));
    ///
    /// let report = harness.store(store.clone()).run(order).await;
    /// assert_eq!(report.result, Ok(7));
    /// store.assert_used(); // `Full`, once, for append of `chrage`: no such call was made
    /// # });
    /// ```
    ///
    /// # Panics
    /// Panics if a rule was not used, and lists all such rules.
    #[track_caller]
    pub fn assert_used(&self) {
        let unused = self.plan().unused();
        assert!(
            unused.is_empty(),
            "faults that were never applied, so this test does not test them; correct the keys, or remove them:\n- {}",
            unused.join("\n- ")
        );
    }

    /// Returns the applied faults, in order.
    #[must_use]
    pub fn injected(&self) -> Vec<Injected> {
        self.plan().injected.clone()
    }

    #[track_caller]
    fn add(&self, calls: Calls, when: When, fault: Fault) -> &Self {
        self.plan().add(calls, when, fault);
        self
    }

    /// A refused rule leaves the plan unchanged, so a poisoned lock is still usable.
    fn plan(&self) -> MutexGuard<'_, Plan> {
        self.0.plan.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<S: Store> Around for FaultyStore<S> {
    type Inner = S;

    fn inner(&self) -> &S {
        &self.0.inner
    }

    async fn around<R: Request<S>>(&self, mut request: R) -> Result<R::Answer, StoreError> {
        let fault = self.decide(R::CALL, &request.parts())?;
        if fault == Some(Fault::IgnoreFencing)
            && let Some(lease) = request.parts().lease_mut()
        {
            *lease = self.plan().newest(lease);
        }
        if fault == Some(Fault::DropRecord)
            && let Some(answer) = request.acknowledge()
        {
            return Ok(answer);
        }
        carry_out(fault, async {
            let mut answer = request.send(self.inner()).await?;
            if let Reply::Open(Opened::Held { lease, .. }) = R::reply(&mut answer) {
                self.plan().taken(lease);
            }
            Ok(answer)
        })
        .await
    }

    fn release_around(&self, lease: &Lease) {
        // A refusal has no answer either: the lease expires.
        match self.fail(Called { call: Call::Release, run: Some(lease.run()), key: None, lease: Some(lease) })
        {
            Ok(Some(Fault::IgnoreFencing)) => {
                let newest = self.plan().newest(lease);
                self.inner().release(&newest);
            }
            Ok(_) => self.inner().release(lease),
            Err(_) => {}
        }
    }
}

impl<S: Store> FaultyStore<S> {
    /// Chooses the fault of a call, and takes the lease away if the fault is a stale lease.
    ///
    /// # Errors
    /// Returns the answer to the call if the fault refuses it.
    fn decide(&self, call: Call, parts: &Parts<'_>) -> Result<Option<Fault>, StoreError> {
        let (run, key, lease) = (parts.run(), parts.key(), parts.lease());
        let fault = self.fail(Called { call, run, key, lease })?;
        match (fault, lease) {
            (Some(Fault::StaleLease), Some(lease)) => {
                self.inner().release(lease);
                Err(StoreError::LeaseLost { run: (**lease.run()).into() })
            }
            _ => Ok(fault),
        }
    }

    fn fail(&self, called: Called<'_>) -> Result<Option<Fault>, StoreError> {
        let fault = self.plan().decide(called);
        match fault {
            Some(Fault::Refuse) => Err(StoreError::Unavailable { detail: "refused by a test".into() }),
            Some(Fault::Full) => Err(StoreError::Full { detail: "filled by a test".into() }),
            Some(Fault::ReadOnly) => Err(StoreError::ReadOnly { detail: "made so by a test".into() }),
            fault => Ok(fault),
        }
    }
}

/// Carries out a call with its fault.
async fn carry_out<T>(
    fault: Option<Fault>,
    call: impl Future<Output = Result<T, StoreError>>,
) -> Result<T, StoreError> {
    if let Some(Fault::Delay(delay)) = fault {
        tokio::time::sleep(delay).await;
    }
    let answer = call.await;
    match fault {
        Some(Fault::LoseAnswer) => Err(StoreError::Unavailable { detail: "a test lost its answer".into() }),
        Some(Fault::DelayAnswer(delay)) => {
            tokio::time::sleep(delay).await;
            answer
        }
        _ => answer,
    }
}

impl<S> Clone for FaultyStore<S> {
    fn clone(&self) -> Self {
        Self(Arc::clone(&self.0))
    }
}

impl<S: fmt::Debug> fmt::Debug for FaultyStore<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("FaultyStore")
            .field("inner", self.inner())
            .field("injected", &self.plan().injected.len())
            .finish_non_exhaustive()
    }
}
