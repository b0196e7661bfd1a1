use std::sync::{Mutex, MutexGuard, PoisonError};

/// Locks. The content is whole also after a panic, because no foreign code is called under a lock.
pub(super) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
