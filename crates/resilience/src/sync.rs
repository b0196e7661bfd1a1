//! The primitives that threads meet at, so that a model can schedule them.
//!
//! With `--cfg awaitly_models` they are those of the model checker.

#[cfg(not(awaitly_models))]
pub(crate) use {
    parking_lot::{Mutex, MutexGuard},
    std::sync::{Arc, atomic},
    std::thread_local,
};

#[cfg(awaitly_models)]
pub(crate) use shuttle::{
    sync::{Arc, Mutex, MutexGuard, atomic},
    thread_local,
};

/// Locks.
#[cfg(not(awaitly_models))]
#[inline]
pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock()
}

/// Locks. What of the caller's runs under a lock, as a key's hash or the drop of what a cache evicts, leaves nothing half
/// done where it panics.
#[cfg(awaitly_models)]
pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
}
