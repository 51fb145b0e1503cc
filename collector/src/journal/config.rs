// SPDX-License-Identifier: Apache-2.0
//! `[Journal]`.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// `[Journal]`: where events wait for those who follow them.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "PascalCase", default, deny_unknown_fields)]
pub struct JournalConfig {
    /// Events kept for followers that are away; older ones are given up and counted.
    #[schemars(range(min = 1, max = 1000000))]
    pub max_events: usize,
}

impl Default for JournalConfig {
    fn default() -> Self {
        Self { max_events: 8192 }
    }
}
