// SPDX-License-Identifier: Apache-2.0
//! Probes of the area `network`.

pub mod connections;
mod counts;
pub mod dcb;
pub mod dropwatch;
pub mod hardware;
mod host_names;
pub mod lacp;
pub mod link;
pub mod neighbor;
pub mod netdev;
pub mod netstat;
mod packet;
pub mod qdisc;
pub mod rdma;
pub mod receive_latency;
pub mod sockstat;
pub mod tcp_memory;
pub mod transmit_timeout;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// A list of network devices.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "PascalCase", default, deny_unknown_fields)]
pub struct DeviceListConfig {
    /// Names of the devices; none by default.
    pub device_list: Vec<String>,
}
