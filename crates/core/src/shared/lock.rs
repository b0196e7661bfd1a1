use std::sync::{Mutex, MutexGuard, PoisonError};

/// Locks the mutex. The content is valid even after a panic, because no foreign code runs under a lock.
pub(super) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
