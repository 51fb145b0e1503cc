// SPDX-License-Identifier: Apache-2.0
//! `[Container]`

use std::time::Duration;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{ContainerFilterConfig, Keep};

/// `[Container]`: which containers have metrics, and how long ended ones are remembered.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "PascalCase", default, deny_unknown_fields)]
pub struct ContainerConfig {
    /// Seconds that an ended container is still known, so that late events find it.
    #[schemars(range(min = 1, max = 86400))]
    pub keep_ended: u64,
    /// Ended cgroups that are known at most; the oldest go first.
    #[schemars(range(min = 16, max = 65536))]
    pub keep_ended_number: usize,
    /// `[Container.Filter]`: containers whose metrics are collected; their events always are.
    pub filter: ContainerFilterConfig,
}

impl Default for ContainerConfig {
    fn default() -> Self {
        Self { keep_ended: 300, keep_ended_number: 1024, filter: ContainerFilterConfig::default() }
    }
}

impl ContainerConfig {
    pub(super) fn keep(&self) -> Keep {
        Keep { time: Duration::from_secs(self.keep_ended), number: self.keep_ended_number }
    }
}
