// SPDX-License-Identifier: Apache-2.0
//! Sections of probes that are not in this version: accepted, so that a file of HUATUO loads
//! unchanged, and moved beside their probe when it arrives.

mod auto_tracing;
mod event_tracing;
mod metric_collector;
mod node;

pub use auto_tracing::AutoTracingConfig;
pub use event_tracing::EventTracingConfig;
pub use metric_collector::{
    DeviceListConfig, FilterConfig, MemoryEventsConfig, MountPointConfig, QdiscConfig,
};
pub use node::{ElasticsearchConfig, PodConfig, RuntimeCgroupConfig};

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

/// One rule of a container filter.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "PascalCase", deny_unknown_fields)]
pub struct ContainerRule {
    /// What is looked at.
    pub field: ContainerField,
    /// A regular expression.
    #[schemars(extend("format" = "regex"))]
    pub pattern: String,
}

/// What a [`ContainerRule`] looks at.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum ContainerField {
    /// Kubernetes namespace.
    #[serde(rename = "container_host_namespace")]
    Namespace,
    /// Host name of the pod.
    #[serde(rename = "container_hostname")]
    Hostname,
    /// QoS class of the pod.
    #[serde(rename = "container_qos")]
    Qos,
}

/// Which containers are looked at. All rules of a list must match; without rules all containers
/// are.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "PascalCase", default, deny_unknown_fields)]
pub struct ContainerFilterConfig {
    /// Only containers that match.
    pub included: Vec<ContainerRule>,
    /// No containers that match.
    pub excluded: Vec<ContainerRule>,
}
