// SPDX-License-Identifier: Apache-2.0
//! `[AutoTracing]`: automatic captures.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::config::KnownIssue;
use crate::entity::ContainerFilterConfig;

/// `[AutoTracing]`: captures that start when a threshold is crossed.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "PascalCase", default, deny_unknown_fields)]
pub struct AutoTracingConfig {
    /// Known issues: `[label, regular expression]` each. A stack that matches gets the label.
    pub issues_list: Vec<KnownIssue>,
    /// `[AutoTracing.CPUIdle]`: flame graph of a container whose CPU usage jumps.
    #[serde(rename = "CPUIdle")]
    pub cpu_idle: CpuIdleConfig,
    /// `[AutoTracing.CPUSys]`: flame graph of the host when its system time jumps.
    #[serde(rename = "CPUSys")]
    pub cpu_sys: CpuSysConfig,
    /// `[AutoTracing.Dload]`: stacks of a container's tasks in D state.
    pub dload: DloadConfig,
    /// `[AutoTracing.IOTracing]`: who keeps a disk busy.
    #[serde(rename = "IOTracing")]
    pub io_tracing: IoTracingConfig,
    /// `[AutoTracing.MemoryBurst]`: who took the memory that is suddenly gone.
    pub memory_burst: MemoryBurstConfig,
}

/// `[AutoTracing.CPUIdle]`: flame graph of a container whose CPU usage jumps.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "PascalCase", default, deny_unknown_fields)]
pub struct CpuIdleConfig {
    /// Percent of user time.
    #[schemars(range(min = 0, max = 100))]
    pub user_threshold: u64,
    /// Percent of system time.
    #[schemars(range(min = 0, max = 100))]
    pub sys_threshold: u64,
    /// Percent of both.
    #[schemars(range(min = 0, max = 100))]
    pub usage_threshold: u64,
    /// Growth of user time in points.
    #[schemars(range(min = 0, max = 100))]
    pub delta_user_threshold: u64,
    /// Growth of system time in points.
    #[schemars(range(min = 0, max = 100))]
    pub delta_sys_threshold: u64,
    /// Growth of both in points.
    #[schemars(range(min = 0, max = 100))]
    pub delta_usage_threshold: u64,
    /// Seconds between two looks.
    #[schemars(range(min = 1, max = 86400))]
    pub interval: u64,
    /// Seconds between two captures of one container.
    #[schemars(range(min = 1, max = 86400))]
    pub interval_tracing: u64,
    /// Seconds one capture takes.
    #[schemars(range(min = 1, max = 86400))]
    pub run_tracing_tool_timeout: u64,
    /// `[AutoTracing.CPUIdle.Filter]`: Which containers are looked at.
    pub filter: ContainerFilterConfig,
}

impl Default for CpuIdleConfig {
    fn default() -> Self {
        Self {
            user_threshold: 75,
            sys_threshold: 45,
            usage_threshold: 90,
            delta_user_threshold: 45,
            delta_sys_threshold: 20,
            delta_usage_threshold: 55,
            interval: 10,
            interval_tracing: 1800,
            run_tracing_tool_timeout: 10,
            filter: ContainerFilterConfig::default(),
        }
    }
}

/// `[AutoTracing.CPUSys]`: flame graph of the host when its system time jumps.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "PascalCase", default, deny_unknown_fields)]
pub struct CpuSysConfig {
    /// Percent of system time.
    #[schemars(range(min = 0, max = 100))]
    pub sys_threshold: u64,
    /// Growth of system time in points.
    #[schemars(range(min = 0, max = 100))]
    pub delta_sys_threshold: u64,
    /// Seconds between two looks.
    #[schemars(range(min = 1, max = 86400))]
    pub interval: u64,
    /// Seconds one capture takes.
    #[schemars(range(min = 1, max = 86400))]
    pub run_tracing_tool_timeout: u64,
}

impl Default for CpuSysConfig {
    fn default() -> Self {
        Self {
            sys_threshold: 45,
            delta_sys_threshold: 20,
            interval: 10,
            run_tracing_tool_timeout: 10,
        }
    }
}

/// `[AutoTracing.Dload]`: stacks of a container's tasks in D state.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "PascalCase", default, deny_unknown_fields)]
pub struct DloadConfig {
    /// Load average of uninterruptible tasks.
    #[schemars(range(min = 0, max = 1000000))]
    pub threshold_load: u64,
    /// Seconds between two looks.
    #[schemars(range(min = 1, max = 86400))]
    pub interval: u64,
    /// Seconds between two captures.
    #[schemars(range(min = 1, max = 86400))]
    pub interval_tracing: u64,
}

impl Default for DloadConfig {
    fn default() -> Self {
        Self { threshold_load: 5, interval: 10, interval_tracing: 1800 }
    }
}

/// `[AutoTracing.IOTracing]`: who keeps a disk busy.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "PascalCase", default, deny_unknown_fields)]
pub struct IoTracingConfig {
    /// MB written per second.
    #[schemars(range(min = 0, max = 1000000))]
    pub wbps_threshold: u64,
    /// MB read per second.
    #[schemars(range(min = 0, max = 1000000))]
    pub rbps_threshold: u64,
    /// Percent of time the disk is busy.
    #[schemars(range(min = 0, max = 100))]
    pub util_threshold: u64,
    /// Milliseconds a request takes on average.
    #[schemars(range(min = 0, max = 1000000))]
    pub await_threshold: u64,
    /// Seconds one capture takes.
    #[schemars(range(min = 1, max = 86400))]
    pub run_tracing_tool_timeout: u64,
    /// Processes in a capture.
    #[schemars(range(min = 1, max = 1000))]
    pub max_proc_dump: u64,
    /// Files per process in a capture.
    #[schemars(range(min = 1, max = 1000))]
    pub max_files_per_proc_dump: u64,
}

impl Default for IoTracingConfig {
    fn default() -> Self {
        Self {
            wbps_threshold: 1500,
            rbps_threshold: 2000,
            util_threshold: 90,
            await_threshold: 100,
            run_tracing_tool_timeout: 10,
            max_proc_dump: 10,
            max_files_per_proc_dump: 5,
        }
    }
}

/// `[AutoTracing.MemoryBurst]`: who took the memory that is suddenly gone.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "PascalCase", default, deny_unknown_fields)]
pub struct MemoryBurstConfig {
    /// Growth of used memory in percent.
    #[schemars(range(min = 0, max = 100000))]
    pub delta_memory_burst: u64,
    /// Anonymous memory in percent of all memory.
    #[schemars(range(min = 0, max = 100000))]
    pub delta_anon_threshold: u64,
    /// Seconds between two looks.
    #[schemars(range(min = 1, max = 86400))]
    pub interval: u64,
    /// Seconds between two captures.
    #[schemars(range(min = 1, max = 86400))]
    pub interval_tracing: u64,
    /// Looks that growth is measured over.
    #[schemars(range(min = 1, max = 100000))]
    pub sliding_window_length: u64,
    /// Processes in a capture.
    #[schemars(range(min = 1, max = 1000))]
    pub dump_process_max_num: u64,
}

impl Default for MemoryBurstConfig {
    fn default() -> Self {
        Self {
            delta_memory_burst: 100,
            delta_anon_threshold: 70,
            interval: 10,
            interval_tracing: 1800,
            sliding_window_length: 60,
            dump_process_max_num: 10,
        }
    }
}
