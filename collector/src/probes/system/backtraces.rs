// SPDX-License-Identifier: Apache-2.0
//! What all CPUs run, when one of them or a task hangs.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::hostfs::HostFs;
use crate::kernel::sysrq;
use crate::probes::StartContext;

/// `[EventTracing.Lockup]`: CPUs and tasks that hang.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "PascalCase", default, deny_unknown_fields)]
pub struct LockupConfig {
    /// Have the kernel tell what every CPU runs, with each event of a soft lockup or a hung task
    /// (sysrq `l`). It interrupts all CPUs for that, and writes into its log.
    pub all_cpu_backtraces: bool,
}

/// Asks the kernel where the configuration wants it.
pub(super) struct AllCpus(Option<HostFs>);

impl AllCpus {
    pub fn new(cx: &StartContext<'_>) -> Self {
        Self(cx.config.event_tracing.lockup.all_cpu_backtraces.then(|| cx.fs.clone()))
    }

    /// Without asking.
    #[cfg(test)]
    pub fn never() -> Self {
        Self(None)
    }

    /// The kernel's own text, bounded in time and size; `None` where it was not asked or says
    /// nothing.
    pub fn ask(&self) -> Option<String> {
        match sysrq(self.0.as_ref()?, 'l') {
            Ok(text) => Some(text).filter(|text| !text.is_empty()),
            Err(error) => {
                tracing::warn!(%error, "the kernel cannot be asked what all CPUs run (sysrq l)");
                None
            }
        }
    }
}
