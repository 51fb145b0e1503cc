// SPDX-License-Identifier: Apache-2.0
//! What a probe keeps of each container between two collections.

use std::collections::HashMap;
use std::sync::Arc;

use crate::entity::Container;
use crate::hostfs::{CgroupFiles, CgroupMount, HostFs};
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

/// Files of containers in the hierarchy of one controller, kept open between two collections.
pub struct ContainerFiles {
    fs: HostFs,
    mount: Option<CgroupMount>,
    kept: PerContainer<CgroupFiles>,
}

impl ContainerFiles {
    /// Files in the hierarchy with `controller`; none where there is no such hierarchy.
    pub fn new(fs: &HostFs, controller: &str) -> Self {
        let (fs, mount) = (fs.clone(), fs.controller(controller));
        Self { fs, mount, kept: PerContainer::default() }
    }

    /// The files of `container`, in the collection at `now`.
    pub fn of(&mut self, container: &Container, now: UnixNanos) -> Option<&mut CgroupFiles> {
        let (fs, mount) = (&self.fs, self.mount.as_ref()?);
        Some(self.kept.of(container, now, || CgroupFiles::new(fs, mount, &container.path)))
    }

    /// Closes what was not asked for in the collection at `now`.
    pub fn retain_seen(&mut self, now: UnixNanos) {
        self.kept.retain_seen(now);
    }
}
