// SPDX-License-Identifier: Apache-2.0
//! A container, as probes and events see it.

use std::sync::Arc;

use crate::signal::{Resource, UnixNanos};

/// A container that was seen. What is learnt of it later makes a new one with the same id.
#[derive(Debug)]
pub struct Container {
    /// 64 hex digits, or the name of a machine of systemd-nspawn.
    pub id: Arc<str>,
    /// Its OpenTelemetry Resource.
    pub resource: Arc<Resource>,
    /// Path of its cgroup below the root of its hierarchy.
    pub path: Arc<str>,
    /// Since when its counters count: when it was made, or when its first process started.
    pub started: UnixNanos,
    /// It only holds the namespaces of a pod ("pause"), and is no container of the user.
    pub is_sandbox: bool,
    /// `[Container.Filter]` lets its metrics pass.
    pub is_selected: bool,
}

impl Container {
    /// Its metrics are wanted.
    pub fn is_collected(&self) -> bool {
        self.is_selected && !self.is_sandbox
    }
}
