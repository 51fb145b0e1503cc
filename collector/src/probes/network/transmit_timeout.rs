// SPDX-License-Identifier: Apache-2.0
//! Transmit queues of network devices that sent nothing for too long.
//! Hook: net_dev_xmit_timeout. Signals: the event `linux.network.transmit_queue.timeout`,
//! `linux.network.transmit_queue.timeouts`.

use std::sync::Arc;

use ebpf::network_transmit_timeout::records::{transmit_count, transmit_device, transmit_timeout};
use ebpf::network_transmit_timeout::{OBJECT, map, program};
use semconv::{attribute, event, metric};

use crate::bpf::{Hook, Object, Plan, Table, Twin, Way};
use crate::kernel::{boot_to_unix, counter_start};
use crate::probes::{
    Built, Collect, CollectError, Decode, DecodeContext, EventSource, Malformed, Probe, ProbeDef,
    StartContext, Started, kernel_text, record,
};
use crate::signal::{Attribute, Event, Recorder, Value};

/// The probe.
pub static PROBE: ProbeDef = ProbeDef {
    name: "network.transmit_timeout",
    legacy_names: &["netdev_txqueue_timeout"],
    start,
    decoder: Some(|_| Box::new(TimeoutDecoder)),
};

const HOOKS: &[Hook] = &[Hook {
    target: "net_dev_xmit_timeout",
    required: true,
    purpose: "tells which queue is stuck",
    twins: &[Twin::new(Way::RawTp, program::NET_DEV_XMIT_TIMEOUT_RAW)],
}];

fn start(cx: &StartContext<'_>) -> Started {
    let plan = Plan { object: OBJECT, hooks: HOOKS, ..Plan::default() };
    Started::from_object(cx, &plan, |mut object| {
        let events = EventSource::ring(&mut object)?;
        let probe = Timeouts { devices: object.table(map::DEVICE_TIMEOUTS)?, _object: object };
        Ok(Built { probe: Box::new(probe), events: Some(events) })
    })
}

struct Timeouts {
    devices: Table<transmit_device, transmit_count>,
    _object: Object,
}

impl Probe for Timeouts {
    /// A device has a point once a queue of it was stuck.
    fn collect(&mut self, _: &mut Collect<'_>, out: &mut Recorder) -> Result<(), CollectError> {
        let mut host = out.host();
        for (device, count) in self.devices.entries()? {
            let def = &metric::LINUX_NETWORK_TRANSMIT_QUEUE_TIMEOUTS;
            let start = counter_start(count.start_ns);
            host.sum(def, device_attributes(&device), start, count.timeouts);
        }
        Ok(())
    }
}

struct TimeoutDecoder;

impl Decode for TimeoutDecoder {
    fn decode(&mut self, bytes: &[u8], cx: &mut DecodeContext<'_>) -> Result<(), Malformed> {
        let timeout: transmit_timeout = record(bytes)?;
        let mut attributes = device_attributes(&timeout.device);
        attributes.push((&attribute::LINUX_NETWORK_QUEUE_INDEX, timeout.queue.into()));
        attributes.push((&attribute::ERROR_TYPE, Value::Static("timeout")));
        let name = kernel_text(&timeout.device.name);
        let body = format!("transmit queue {} of {name} timed out", timeout.queue);
        let (def, host) = (&event::LINUX_NETWORK_TRANSMIT_QUEUE_TIMEOUT, cx.entities.host());
        let time = boot_to_unix(timeout.time_ns);
        cx.raise(Event::new(def, time, Arc::clone(host), attributes, body));
        Ok(())
    }
}

fn device_attributes(device: &transmit_device) -> Vec<Attribute> {
    let mut out = vec![(&attribute::NETWORK_INTERFACE_NAME, kernel_text(&device.name).into())];
    let driver = kernel_text(&device.driver);
    if !driver.is_empty() {
        out.push((&attribute::LINUX_NETWORK_DRIVER, driver.into()));
    }
    out
}

#[cfg(test)]
mod tests {
    use jiff::tz::TimeZone;
    use serde_json::json;

    use super::*;
    use crate::export::document::document;
    use crate::probes::tests::decode;

    /// `struct transmit_timeout` as bytes.
    fn record(driver: &str) -> Vec<u8> {
        let mut bytes = 1_000_000_000u64.to_ne_bytes().to_vec();
        bytes.extend(b"eth0");
        bytes.resize(8 + 16, 0);
        bytes.extend(driver.as_bytes());
        bytes.resize(8 + 16 + 32, 0);
        bytes.extend(3u32.to_ne_bytes());
        bytes.extend([0; 4]);
        bytes
    }

    #[test]
    fn a_timeout_is_told_with_its_queue_and_driver() {
        let event = decode(&mut TimeoutDecoder, &record("ixgbe")).unwrap().remove(0);
        assert_eq!(event.severity.0, 17);
        assert_eq!(event.body, "transmit queue 3 of eth0 timed out");
        let expected = [
            (&attribute::NETWORK_INTERFACE_NAME, Value::from("eth0")),
            (&attribute::LINUX_NETWORK_DRIVER, Value::from("ixgbe")),
            (&attribute::LINUX_NETWORK_QUEUE_INDEX, Value::Int(3)),
            (&attribute::ERROR_TYPE, Value::Static("timeout")),
        ];
        assert_eq!(event.attributes, expected);
        let document = document(&event, &TimeZone::UTC);
        assert_eq!(document["tracer_name"], "netdev_txqueue_timeout");
        let data = json!({ "queue_index": 3, "device_name": "eth0", "driver_name": "ixgbe" });
        assert_eq!(document["tracer_data"], data);
    }

    #[test]
    fn a_device_may_have_no_driver_and_a_record_has_its_whole_size() {
        let event = decode(&mut TimeoutDecoder, &record("")).unwrap().remove(0);
        assert!(event.get(&attribute::LINUX_NETWORK_DRIVER).is_none());
        let record = record("ixgbe");
        assert!(decode(&mut TimeoutDecoder, &record[..record.len() - 1]).is_err());
    }
}
