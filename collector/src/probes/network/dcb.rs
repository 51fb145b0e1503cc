// SPDX-License-Identifier: Apache-2.0
//! Priority flow control of network devices (data center bridging).
//! Source: routing netlink, `RTM_GETDCB` (net/dcb/dcbnl.c).   Signals:
//! `linux.network.dcb.pfc.frames`.

use semconv::{attribute, metric};

use crate::netlink::{NetlinkError, NetlinkSocket, pfc};
use crate::probes::{Collect, CollectError, Devices, Probe, ProbeDef, Started};
use crate::signal::{Recorder, Value};

/// The probe.
pub static PROBE: ProbeDef = ProbeDef {
    name: "network.dcb",
    legacy_names: &["netdev_dcb"],
    start: |cx| {
        let names = cx.config.metric_collector.netdev_dcb.device_list.clone();
        let socket = NetlinkSocket::route().map_err(Into::into);
        Started::from_result(socket.map(|socket| FlowControl {
            socket,
            names,
            devices: Devices::default(),
        }))
    },
    decoder: None,
};

struct FlowControl {
    socket: NetlinkSocket,
    names: Vec<String>,
    devices: Devices<16>,
}

impl Probe for FlowControl {
    /// A device that is not there, or cannot do it, has no points.
    fn collect(&mut self, cx: &mut Collect<'_>, out: &mut Recorder) -> Result<(), CollectError> {
        let mut host = out.host();
        for name in &self.names {
            let frames = match pfc(&mut self.socket, name) {
                Ok(Some(frames)) => frames,
                Ok(None) | Err(NetlinkError::Io(_)) => continue,
                Err(error) => return Err(error.into()),
            };
            let mut values = [0; 16];
            values[..8].copy_from_slice(&frames.sent);
            values[8..].copy_from_slice(&frames.received);
            let device = self.devices.see(name, values, cx.now, cx.boot_time);
            for (index, counter) in device.counters.into_iter().enumerate() {
                let direction = if index < 8 { "transmit" } else { "receive" };
                let attributes = vec![
                    (&attribute::NETWORK_INTERFACE_NAME, Value::from(&device.name)),
                    (&attribute::NETWORK_IO_DIRECTION, Value::Static(direction)),
                    (&attribute::LINUX_NETWORK_DCB_PRIORITY, Value::Int(index as i64 % 8)),
                ];
                let def = &metric::LINUX_NETWORK_DCB_PFC_FRAMES;
                host.sum(def, attributes, counter.start, counter.value);
            }
        }
        self.devices.end(cx.now);
        Ok(())
    }
}
