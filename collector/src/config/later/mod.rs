// SPDX-License-Identifier: Apache-2.0
//! Sections of probes that are not in this version: accepted, so that a file of HUATUO loads
//! unchanged, and moved beside their probe when it arrives.

mod auto_tracing;
mod event_tracing;
mod node;

pub use auto_tracing::AutoTracingConfig;
pub use event_tracing::EventTracingConfig;
pub use node::{ElasticsearchConfig, RuntimeCgroupConfig};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// A known issue: its label, and a regular expression that finds it in a stack or title.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize, JsonSchema)]
pub struct KnownIssue(
    /// The label.
    pub String,
    /// The regular expression.
    #[schemars(extend("format" = "regex"))]
    pub String,
);
