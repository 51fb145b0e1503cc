// SPDX-License-Identifier: Apache-2.0
//! Sections of metric probes below `[MetricCollector]`.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// A list of network devices.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "PascalCase", default, deny_unknown_fields)]
pub struct DeviceListConfig {
    /// Names of the devices; none by default.
    pub device_list: Vec<String>,
}

/// `[MetricCollector.Qdisc]`: queues of network devices.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "PascalCase", default, deny_unknown_fields)]
pub struct QdiscConfig {
    /// Devices to collect. A regular expression; empty means all.
    #[schemars(extend("format" = "regex"))]
    pub device_included: String,
    /// Devices to leave out. A regular expression; empty means none.
    #[schemars(extend("format" = "regex"))]
    pub device_excluded: String,
}

impl Default for QdiscConfig {
    fn default() -> Self {
        Self {
            device_included: String::new(),
            device_excluded: r"^(lo)|(docker\w*)|(veth\w*)$".to_owned(),
        }
    }
}

/// `[MetricCollector.Netstat]`: words of `/proc/net/netstat` and `/proc/net/snmp`.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "PascalCase", default, deny_unknown_fields)]
pub struct FilterConfig {
    /// Words to leave out. A regular expression; empty means none.
    #[schemars(extend("format" = "regex"))]
    pub excluded: String,
    /// Words to collect. A regular expression; empty means all.
    #[schemars(extend("format" = "regex"))]
    pub included: String,
}

/// `[MetricCollector.MountPointStat]`: mount points that must be writable.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "PascalCase", default, deny_unknown_fields)]
pub struct MountPointConfig {
    /// Mount points to collect. A regular expression.
    #[schemars(extend("format" = "regex"))]
    pub mount_points_included: String,
}

impl Default for MountPointConfig {
    fn default() -> Self {
        Self { mount_points_included: "(^/home$)|(^/$)|(^/boot$)".to_owned() }
    }
}
