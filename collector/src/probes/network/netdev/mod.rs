// SPDX-License-Identifier: Apache-2.0
//! Traffic of network devices: of the host, and of each network namespace of pods and containers.
//! Source: `/proc/<pid>/net/dev` (net/core/net-procfs.c), or netlink for the host.   Signals: `system.network.*`,
//! `k8s.pod.network.*`, `container.network.io`, `linux.network.interface.*`.

mod by_netlink;

use std::collections::HashMap;
use std::sync::Arc;

use schemars::JsonSchema;
use semconv::{MetricDef, attribute, metric};
use serde::{Deserialize, Serialize};

use crate::hostfs::parse;
use crate::netlink::{NetlinkSocket, links};
use crate::probes::{Collect, CollectError, Devices, Filter, Probe, ProbeDef, Started};
use crate::signal::{Attribute, EntityKind, EntityRecorder, Recorder, UnixNanos, Value};

/// The probe.
pub static PROBE: ProbeDef = ProbeDef {
    name: "network.netdev",
    legacy_names: &["netdev"],
    start: |cx| {
        let config = &cx.config.metric_collector.netdev_stats;
        let filter = Filter::new(&config.device_included, &config.device_excluded);
        let socket = config.enable_netlink.then(NetlinkSocket::route).transpose();
        Started::from_result(socket.map_err(Into::into).map(|socket| Netdev {
            filter,
            socket,
            host: Devices::default(),
            details: Devices::default(),
            others: HashMap::new(),
            text: Vec::new(),
        }))
    },
    decoder: None,
};

/// `[MetricCollector.NetdevStats]`: which network devices are collected, and how.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "PascalCase", default, deny_unknown_fields)]
pub struct NetdevStatsConfig {
    /// Ask netlink for the devices of the host instead of reading `/proc/net/dev`: the same, and each
    /// kind of error by itself. Only devices of the agent's network namespace are seen.
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

/// Whose devices they are: OpenTelemetry names the same count differently for each.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Scope {
    Host,
    Pod,
    Container,
}

/// What one column of the file counts.
enum Column {
    Bytes(&'static str),
    Packets(&'static str),
    Errors(&'static str),
    Dropped(&'static str),
    /// Errors of one kind.
    Part(&'static str, &'static str),
    Compressed(&'static str),
    Multicast,
}

/// The columns in the file's order.
static COLUMNS: [Column; 16] = [
    Column::Bytes("receive"),
    Column::Packets("receive"),
    Column::Errors("receive"),
    Column::Dropped("receive"),
    Column::Part("receive", "fifo"),
    Column::Part("receive", "frame"),
    Column::Compressed("receive"),
    Column::Multicast,
    Column::Bytes("transmit"),
    Column::Packets("transmit"),
    Column::Errors("transmit"),
    Column::Dropped("transmit"),
    Column::Part("transmit", "fifo"),
    Column::Part("transmit", "collision"),
    Column::Part("transmit", "carrier"),
    Column::Compressed("transmit"),
];

impl Column {
    fn metric(&self, scope: Scope) -> &'static MetricDef {
        match (self, scope) {
            (Self::Bytes(_), Scope::Host) => &metric::SYSTEM_NETWORK_IO,
            (Self::Bytes(_), Scope::Pod) => &metric::K8S_POD_NETWORK_IO,
            (Self::Bytes(_), Scope::Container) => &metric::CONTAINER_NETWORK_IO,
            (Self::Packets(_), Scope::Host) => &metric::SYSTEM_NETWORK_PACKET_COUNT,
            (Self::Packets(_), _) => &metric::LINUX_NETWORK_INTERFACE_PACKET_COUNT,
            (Self::Errors(_), Scope::Host) => &metric::SYSTEM_NETWORK_ERRORS,
            (Self::Errors(_), Scope::Pod) => &metric::K8S_POD_NETWORK_ERRORS,
            (Self::Errors(_), Scope::Container) => &metric::LINUX_NETWORK_INTERFACE_PACKET_ERRORS,
            (Self::Dropped(_), Scope::Host) => &metric::SYSTEM_NETWORK_PACKET_DROPPED,
            (Self::Dropped(_), _) => &metric::LINUX_NETWORK_INTERFACE_PACKET_DROPPED,
            (Self::Part(..), _) => &metric::LINUX_NETWORK_INTERFACE_ERRORS,
            (Self::Compressed(_), _) => &metric::LINUX_NETWORK_INTERFACE_COMPRESSED_PACKET_COUNT,
            (Self::Multicast, _) => &metric::LINUX_NETWORK_INTERFACE_MULTICAST_PACKET_COUNT,
        }
    }

    fn direction(&self) -> Option<&'static str> {
        match self {
            Self::Bytes(direction)
            | Self::Packets(direction)
            | Self::Errors(direction)
            | Self::Dropped(direction)
            | Self::Part(direction, _)
            | Self::Compressed(direction) => Some(direction),
            Self::Multicast => None,
        }
    }

    fn attributes(&self, metric: &MetricDef, device: &Arc<str>) -> Vec<Attribute> {
        let mut attributes: Vec<Attribute> = Vec::with_capacity(3);
        attributes.push((&attribute::NETWORK_INTERFACE_NAME, Value::from(device)));
        // Upstream names the device differently on this one metric; both are sent until that is
        // mended.
        if metric.attributes.iter().any(|def| def.key == attribute::SYSTEM_DEVICE.key) {
            attributes.push((&attribute::SYSTEM_DEVICE, Value::from(device)));
        }
        if let Some(direction) = self.direction() {
            attributes.push((&attribute::NETWORK_IO_DIRECTION, Value::Static(direction)));
        }
        if let Self::Part(_, error) = self {
            attributes.push((&attribute::ERROR_TYPE, Value::Static(error)));
        }
        attributes
    }
}

struct Netdev {
    filter: Filter,
    /// Asked for the host's devices, if so configured.
    socket: Option<NetlinkSocket>,
    host: Devices<16>,
    details: Devices<12>,
    /// Those of pods and containers, by their inode.
    others: HashMap<u64, Devices<16>>,
    /// Room for the files of network namespaces.
    text: Vec<u8>,
}

/// Whose the devices are that are recorded.
struct Found {
    scope: Scope,
    now: UnixNanos,
    /// Since when a device counts that was there when we came.
    since: UnixNanos,
}

impl Probe for Netdev {
    fn collect(&mut self, cx: &mut Collect<'_>, out: &mut Recorder) -> Result<(), CollectError> {
        self.collect_others(cx, out);
        let (now, since) = (cx.now, cx.boot_time);
        if let Some(socket) = &mut self.socket {
            let links = links(socket)?;
            self.collect_links(&links, (now, since), &mut out.host());
            return Ok(());
        }
        // Of the first process's network namespace: the host's, even where the agent runs in another.
        // Without the right to look there, our own.
        let text = cx.files.first_of(["1/net/dev", "net/dev"])?;
        let devices = parse::interfaces(text).filter(|(name, _)| self.filter.passes(name));
        let found = Found { scope: Scope::Host, now, since };
        record(&mut self.host, devices, &found, &mut out.host());
        Ok(())
    }
}

impl Netdev {
    /// A namespace that goes while we look costs its own points only.
    fn collect_others(&mut self, cx: &mut Collect<'_>, out: &mut Recorder) {
        let now = cx.now;
        for network in cx.networks.list(cx.entities, now) {
            let Some(text) = network.read("dev", &mut self.text) else { continue };
            let is_pod = network.owner.kind == EntityKind::Pod;
            let scope = if is_pod { Scope::Pod } else { Scope::Container };
            let found = Found { scope, now, since: network.started };
            let known = self.others.entry(network.id).or_default();
            let devices = parse::interfaces(text).filter(|(name, _)| self.filter.passes(name));
            record(known, devices, &found, &mut out.entity(&network.owner));
        }
        self.others.retain(|_, devices| devices.collected() == Some(now));
    }
}

fn record<'a>(
    known: &mut Devices<16>,
    devices: impl Iterator<Item = (&'a str, [u64; 16])>,
    found: &Found,
    out: &mut EntityRecorder<'_>,
) {
    for (name, values) in devices {
        let device = known.see(name, values, found.now, found.since);
        for (column, counter) in COLUMNS.iter().zip(device.counters) {
            let metric = column.metric(found.scope);
            let attributes = column.attributes(metric, &device.name);
            out.sum(metric, attributes, counter.start, counter.value);
        }
    }
    known.end(found.now);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_column_has_a_metric_for_each_scope_that_carries_its_attributes() {
        let device: Arc<str> = "eth0".into();
        for scope in [Scope::Host, Scope::Pod, Scope::Container] {
            let mut seen = Vec::new();
            for column in &COLUMNS {
                let metric = column.metric(scope);
                let attributes = column.attributes(metric, &device);
                let carries = |key: &str| metric.attributes.iter().any(|def| def.key == key);
                assert!(attributes.iter().all(|(key, _)| carries(key.key)), "{}", metric.name);
                seen.push((metric.name, attributes));
            }
            for (index, point) in seen.iter().enumerate() {
                assert!(!seen[..index].contains(point), "{point:?}");
            }
        }
    }
}
