// SPDX-License-Identifier: Apache-2.0
//! Queues of the host's network devices.
//! Source: routing netlink, `RTM_GETQDISC` (net/sched/sch_api.c).   Signals:
//! `linux.network.qdisc.*`.

use schemars::JsonSchema;
use semconv::{attribute, metric};
use serde::{Deserialize, Serialize};

use crate::netlink::{NetlinkSocket, Qdisc, qdiscs};
use crate::probes::{Collect, CollectError, Devices, Filter, Probe, ProbeDef, Started};
use crate::signal::{EntityRecorder, Recorder, UnixNanos, Value};

/// The probe.
pub static PROBE: ProbeDef = ProbeDef {
    name: "network.qdisc",
    legacy_names: &["netdev_qdisc"],
    start: |cx| {
        let config = &cx.config.metric_collector.qdisc;
        let filter = Filter::new(&config.device_included, &config.device_excluded);
        let socket = NetlinkSocket::route().map_err(Into::into);
        Started::from_result(socket.map(|socket| Queues {
            socket,
            filter,
            devices: Devices::default(),
        }))
    },
    decoder: None,
};

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

struct Queues {
    socket: NetlinkSocket,
    filter: Filter,
    devices: Devices<5>,
}

/// The device has no queue at all, and counts nothing.
const NO_QUEUE: &str = "noqueue";

impl Probe for Queues {
    fn collect(&mut self, cx: &mut Collect<'_>, out: &mut Recorder) -> Result<(), CollectError> {
        let mut host = out.host();
        for qdisc in qdiscs(&mut self.socket)? {
            if qdisc.kind == NO_QUEUE {
                continue;
            }
            // A device that has just gone costs its own points only.
            let Some(name) = self.socket.device_name(qdisc.device) else { continue };
            if self.filter.passes(&name) {
                record(&mut self.devices, &name, &qdisc, (cx.now, cx.boot_time), &mut host);
            }
        }
        self.devices.end(cx.now);
        Ok(())
    }
}

fn record(
    devices: &mut Devices<5>,
    name: &str,
    qdisc: &Qdisc,
    (now, since): (UnixNanos, UnixNanos),
    host: &mut EntityRecorder<'_>,
) {
    let Qdisc { bytes, packets, drops, overlimits, requeues, .. } = *qdisc;
    let values = [bytes, packets, drops.into(), overlimits.into(), requeues.into()];
    let device = devices.see(name, values, now, since);
    let attributes = || {
        vec![
            (&attribute::NETWORK_INTERFACE_NAME, Value::from(&device.name)),
            (&attribute::LINUX_NETWORK_QDISC_KIND, Value::from(qdisc.kind.as_str())),
        ]
    };
    let counters = [
        &metric::LINUX_NETWORK_QDISC_IO,
        &metric::LINUX_NETWORK_QDISC_PACKET_COUNT,
        &metric::LINUX_NETWORK_QDISC_PACKET_DROPPED,
        &metric::LINUX_NETWORK_QDISC_OVERLIMITS,
        &metric::LINUX_NETWORK_QDISC_REQUEUES,
    ];
    for (metric, counter) in counters.into_iter().zip(device.counters) {
        host.sum(metric, attributes(), counter.start, counter.value);
    }
    let (backlog, length) = (qdisc.backlog.into(), qdisc.length.into());
    host.sum(&metric::LINUX_NETWORK_QDISC_BACKLOG_USAGE, attributes(), device.since, backlog);
    host.sum(&metric::LINUX_NETWORK_QDISC_QUEUE_LENGTH, attributes(), device.since, length);
}
