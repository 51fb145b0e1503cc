// SPDX-License-Identifier: Apache-2.0
//! `[EventTracing]`: anomalies of the kernel.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::probes::cpu::softirq::SoftirqConfig;
use crate::probes::memory::stall::MemoryReclaimConfig;
use crate::probes::network::dropwatch::DropwatchConfig;
use crate::probes::network::link::LinkConfig;
use crate::probes::network::receive_latency::NetRxLatencyConfig;
use crate::probes::system::LockupConfig;
use crate::probes::system::ras::RasConfig;

/// A known issue: its label, and a regular expression that finds it in a stack or title.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize, JsonSchema)]
pub struct KnownIssue(
    /// The label.
    pub String,
    /// The regular expression.
    #[schemars(extend("format" = "regex"))]
    pub String,
);

/// `[EventTracing]`: thresholds of kernel anomalies.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "PascalCase", default, deny_unknown_fields)]
pub struct EventTracingConfig {
    /// Known issues: `[label, regular expression]` each. An event that matches is labelled.
    pub issues_list: Vec<KnownIssue>,
    /// `[EventTracing.Softirq]`: softirqs that were held off.
    pub softirq: SoftirqConfig,
    /// `[EventTracing.Lockup]`: CPUs and tasks that hang.
    pub lockup: LockupConfig,
    /// `[EventTracing.MemoryReclaim]`: tasks that wait for memory to be reclaimed.
    pub memory_reclaim: MemoryReclaimConfig,
    /// `[EventTracing.NetRxLatency]`: packets that are received late.
    pub net_rx_latency: NetRxLatencyConfig,
    /// `[EventTracing.Netdev]`: devices that go up and down.
    pub netdev: LinkConfig,
    /// `[EventTracing.Dropwatch]`: TCP packets that are dropped.
    pub dropwatch: DropwatchConfig,
    /// `[EventTracing.Ras]`: errors of the hardware.
    pub ras: RasConfig,
}
