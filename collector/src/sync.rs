// SPDX-License-Identifier: Apache-2.0
//! Locks that outlive a panic.

use std::sync::{Mutex, MutexGuard, PoisonError};

/// The guarded value, also after a thread panicked while it held the lock: what is guarded is whole
/// between any two statements, and one panic must not become many.
pub fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
