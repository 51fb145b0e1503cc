// SPDX-License-Identifier: Apache-2.0
//! Traffic of the host's network devices.
//! Source: `/proc/net/dev` (net/core/net-procfs.c).   Signals: `system.network.*`,
//! `linux.network.interface.*`.

use std::collections::HashMap;
use std::sync::Arc;

use schemars::JsonSchema;
use semconv::{AttributeDef, MetricDef, attribute, metric};
use serde::{Deserialize, Serialize};

use crate::hostfs::parse;
use crate::probes::{Collect, CollectError, Filter, Probe, ProbeDef, Started};
use crate::signal::{Attribute, EntityRecorder, Recorder, UnixNanos, Value};

/// The probe.
pub static PROBE: ProbeDef = ProbeDef {
    name: "network.netdev",
    legacy_names: &["netdev"],
    start: |cx| {
        let config = &cx.config.metric_collector.netdev_stats;
        let filter = Filter::new(&config.device_included, &config.device_excluded);
        Started::from_files(Netdev { filter, devices: HashMap::new(), collected: None })
    },
    decode: None,
};

/// `[MetricCollector.NetdevStats]`: which network devices are collected, and how.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "PascalCase", default, deny_unknown_fields)]
pub struct NetdevStatsConfig {
    /// Ask netlink instead of reading `/proc/net/dev`.
    pub enable_netlink: bool,
    /// Devices to collect. A regular expression; empty means all.
    #[schemars(extend("format" = "regex"))]
    pub device_included: String,
    /// Devices to leave out. A regular expression; empty means none.
    #[schemars(extend("format" = "regex"))]
    pub device_excluded: String,
}

impl Default for NetdevStatsConfig {
    fn default() -> Self {
        Self {
            enable_netlink: false,
            device_included: String::new(),
            device_excluded: r"^(lo)|(docker\w*)|(veth\w*)$".to_owned(),
        }
    }
}

/// What one column of the file counts.
struct Column {
    metric: &'static MetricDef,
    direction: Option<&'static str>,
    error: Option<&'static str>,
}

const fn column(metric: &'static MetricDef, direction: &'static str) -> Column {
    Column { metric, direction: Some(direction), error: None }
}

const fn part(direction: &'static str, error: &'static str) -> Column {
    Column {
        metric: &metric::LINUX_NETWORK_INTERFACE_ERRORS,
        direction: Some(direction),
        error: Some(error),
    }
}

/// The columns in the file's order.
static COLUMNS: [Column; 16] = [
    column(&metric::SYSTEM_NETWORK_IO, "receive"),
    column(&metric::SYSTEM_NETWORK_PACKET_COUNT, "receive"),
    column(&metric::SYSTEM_NETWORK_ERRORS, "receive"),
    column(&metric::SYSTEM_NETWORK_PACKET_DROPPED, "receive"),
    part("receive", "fifo"),
    part("receive", "frame"),
    column(&metric::LINUX_NETWORK_INTERFACE_COMPRESSED_PACKET_COUNT, "receive"),
    Column {
        metric: &metric::LINUX_NETWORK_INTERFACE_MULTICAST_PACKET_COUNT,
        direction: None,
        error: None,
    },
    column(&metric::SYSTEM_NETWORK_IO, "transmit"),
    column(&metric::SYSTEM_NETWORK_PACKET_COUNT, "transmit"),
    column(&metric::SYSTEM_NETWORK_ERRORS, "transmit"),
    column(&metric::SYSTEM_NETWORK_PACKET_DROPPED, "transmit"),
    part("transmit", "fifo"),
    part("transmit", "collision"),
    part("transmit", "carrier"),
    column(&metric::LINUX_NETWORK_INTERFACE_COMPRESSED_PACKET_COUNT, "transmit"),
];

struct Device {
    name: Arc<str>,
    start: UnixNanos,
    last: [u64; 16],
    /// Collection in which it was last seen.
    seen: UnixNanos,
}

struct Netdev {
    filter: Filter,
    devices: HashMap<String, Device>,
    collected: Option<UnixNanos>,
}

impl Probe for Netdev {
    fn collect(&mut self, cx: &mut Collect<'_>, out: &mut Recorder) -> Result<(), CollectError> {
        let (now, boot_time) = (cx.now, cx.boot_time);
        let mut host = out.host();
        for (name, values) in parse::interfaces(host_devices(cx)?) {
            if self.filter.passes(name) {
                let device = self.device(name, values, now, boot_time);
                record(device, &mut host);
            }
        }
        self.devices.retain(|_, device| device.seen == now);
        self.collected = Some(now);
        Ok(())
    }
}

/// The devices of the first process's network namespace: the host's, even where the agent itself
/// runs in another. Without the right to look there, our own.
fn host_devices<'a>(cx: &'a mut Collect<'_>) -> Result<&'a str, CollectError> {
    if cx.files.proc("1/net/dev").is_ok() {
        return Ok(cx.files.proc("1/net/dev")?);
    }
    Ok(cx.files.proc("net/dev")?)
}

impl Netdev {
    /// Keeps the device's start: boot for devices that were there when we came, else the collection
    /// before it appeared or before its counters fell.
    fn device(
        &mut self,
        name: &str,
        values: [u64; 16],
        now: UnixNanos,
        boot_time: UnixNanos,
    ) -> &Device {
        let since = self.collected.unwrap_or(boot_time);
        let device = self.devices.entry(name.to_owned()).or_insert_with(|| Device {
            name: name.into(),
            start: since,
            last: values,
            seen: now,
        });
        if device.last.iter().zip(&values).any(|(last, value)| value < last) {
            device.start = since;
        }
        device.last = values;
        device.seen = now;
        device
    }
}

fn record(device: &Device, host: &mut EntityRecorder<'_>) {
    for (column, value) in COLUMNS.iter().zip(device.last) {
        host.sum(column.metric, attributes(column, &device.name), device.start, value);
    }
}

fn attributes(column: &Column, device: &Arc<str>) -> Vec<Attribute> {
    let mut attributes: Vec<Attribute> =
        vec![(&attribute::NETWORK_INTERFACE_NAME, Value::from(device))];
    // Upstream names the device differently on this one metric; both are sent until that is mended.
    if declares(column.metric, &attribute::SYSTEM_DEVICE) {
        attributes.push((&attribute::SYSTEM_DEVICE, Value::from(device)));
    }
    if let Some(direction) = column.direction {
        attributes.push((&attribute::NETWORK_IO_DIRECTION, Value::Static(direction)));
    }
    if let Some(error) = column.error {
        attributes.push((&attribute::ERROR_TYPE, Value::Static(error)));
    }
    attributes
}

fn declares(metric: &MetricDef, key: &AttributeDef) -> bool {
    metric.attributes.iter().any(|def| def.key == key.key)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn netdev() -> Netdev {
        Netdev { filter: Filter::new("", ""), devices: HashMap::new(), collected: None }
    }

    #[test]
    fn devices_found_at_first_count_since_boot_and_later_ones_since_the_collection_before() {
        let mut netdev = netdev();
        assert_eq!(netdev.device("eth0", [1; 16], 100, 7).start, 7);
        netdev.collected = Some(100);
        assert_eq!(netdev.device("eth1", [1; 16], 110, 7).start, 100);
        assert_eq!(netdev.device("eth0", [2; 16], 110, 7).start, 7);
    }

    #[test]
    fn counters_that_fall_get_a_new_start() {
        let mut netdev = netdev();
        netdev.device("eth0", [5; 16], 100, 7);
        netdev.collected = Some(100);
        assert_eq!(netdev.device("eth0", [4; 16], 110, 7).start, 100);
    }
}
