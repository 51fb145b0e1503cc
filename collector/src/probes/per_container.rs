// SPDX-License-Identifier: Apache-2.0
//! What a probe keeps of each container between two collections.

use std::collections::HashMap;
use std::sync::Arc;

use crate::entity::Container;
use crate::signal::UnixNanos;

/// Values of containers that run; others are dropped.
pub struct PerContainer<T> {
    kept: HashMap<Arc<str>, Kept<T>>,
}

struct Kept<T> {
    value: T,
    seen: UnixNanos,
}

impl<T> Default for PerContainer<T> {
    fn default() -> Self {
        Self { kept: HashMap::new() }
    }
}

impl<T> PerContainer<T> {
    /// What is kept of `container`; made where it is new in the collection at `now`.
    pub fn of(
        &mut self,
        container: &Container,
        now: UnixNanos,
        make: impl FnOnce() -> T,
    ) -> &mut T {
        let id = Arc::clone(&container.id);
        let kept = self.kept.entry(id).or_insert_with(|| Kept { value: make(), seen: now });
        kept.seen = now;
        &mut kept.value
    }

    /// Drops what was not asked for in the collection at `now`.
    pub fn retain_seen(&mut self, now: UnixNanos) {
        self.kept.retain(|_, kept| kept.seen == now);
    }
}
