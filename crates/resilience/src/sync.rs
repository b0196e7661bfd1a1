//! The synchronization primitives of the crate, in one place so that a model checker can schedule them.
//!
//! With `--cfg awaitly_models`, they come from the model checker.

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

/// Locks the mutex.
#[cfg(not(awaitly_models))]
#[inline]
pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock()
}

/// Locks the mutex, even if it is poisoned. The caller's code that runs under a lock, such as a key's hash or the drop
/// of an evicted entry, leaves the state complete if it panics.
#[cfg(awaitly_models)]
pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
}
