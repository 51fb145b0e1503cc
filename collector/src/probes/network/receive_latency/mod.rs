// SPDX-License-Identifier: Apache-2.0
//! TCP packets that are received late: by the network stack, by TCP, by their reader.
//! Hooks: netif_receive_skb, tcp_probe, tcp_rcv_space_adjust.   Signals: the event
//! `linux.network.receive.delayed`.
//!
//! The kernel stamps a packet as the driver hands it over, while somebody has asked for stamps. We
//! do, with a socket that is kept open: each packet of the host then takes a reading of the clock.

mod clock;
mod decoder;

use std::net::{Ipv4Addr, UdpSocket};

use ebpf::network_receive_latency::{OBJECT, global, map, program};
use nix::sys::socket::setsockopt;
use nix::sys::socket::sockopt::ReceiveTimestamp;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::bpf::{Global, Hook, Object, Plan, Twin, Way};
use crate::entity::host_network;
use crate::kernel::tick;
use crate::probes::{
    Built, Collect, CollectError, EventSource, Probe, ProbeDef, StartContext, StartError, Started,
};
use crate::signal::Recorder;
use clock::WallClock;
use decoder::LateDecoder;

/// The probe.
pub static PROBE: ProbeDef = ProbeDef {
    name: "network.receive_latency",
    legacy_names: &["net_rx_latency"],
    start,
    decoder: Some(|cx| Box::new(LateDecoder::new(cx))),
};

const HOOKS: &[Hook] = &[
    Hook {
        target: "netif_receive_skb",
        required: false,
        purpose: "sees packets that reach the network stack",
        twins: &[Twin::new(Way::TpBtf, program::NETIF_RECEIVE_SKB)],
    },
    Hook {
        target: "tcp_probe",
        required: false,
        purpose: "sees packets that reach their connection",
        twins: &[Twin::new(Way::TpBtf, program::TCP_PROBE)],
    },
    Hook {
        target: "tcp_rcv_space_adjust",
        required: true,
        purpose: "sees packets that are read",
        twins: &[Twin::new(Way::TpBtf, program::TCP_RCV_SPACE_ADJUST)],
    },
];

fn start(cx: &StartContext<'_>) -> Started {
    let stamps = match ask_for_stamps() {
        Ok(stamps) => stamps,
        Err(error) => return Started::failed(StartError::Stamps(error), Vec::new()),
    };
    let plan = Plan { object: OBJECT, hooks: HOOKS, globals: globals(cx), ..Plan::default() };
    Started::from_object(cx, &plan, |mut object| {
        let events = EventSource::ring(&mut object)?;
        let clock = WallClock::start(object.cell(map::CLOCKS)?);
        let probe = ReceiveLatency { clock, _stamps: stamps, _object: object };
        Ok(Built { probe: Box::new(probe), events: Some(events) })
    })
}

fn globals(cx: &StartContext<'_>) -> Vec<Global> {
    let config = &cx.config.event_tracing.net_rx_latency;
    let ms = [config.driver2_net_rx, config.driver2_tcp, config.driver2_userspace];
    let thresholds = ms.iter().map(|ms| ms.saturating_mul(1_000_000)).collect();
    let host = host_network(cx.fs).filter(|_| config.excluded_host_netnamespace);
    vec![
        Global::Bool(global::MEMORY_IS_V1, cx.support.memory_is_v1),
        Global::Words(global::THRESHOLDS_NS, thresholds),
        Global::Words(global::TICK_NS, vec![tick()]),
        Global::Words(global::EXCLUDED_NETWORK, vec![host.unwrap_or(0)]),
    ]
}

/// A socket that wants stamps (man socket(7), SO_TIMESTAMP). Nothing is ever sent to it.
fn ask_for_stamps() -> std::io::Result<UdpSocket> {
    let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0))?;
    setsockopt(&socket, ReceiveTimestamp, &true)?;
    Ok(socket)
}

struct ReceiveLatency {
    clock: WallClock,
    _stamps: UdpSocket,
    _object: Object,
}

impl Probe for ReceiveLatency {
    fn collect(&mut self, _: &mut Collect<'_>, _: &mut Recorder) -> Result<(), CollectError> {
        Ok(self.clock.refresh()?)
    }
}

/// `[EventTracing.NetRxLatency]`: packets that are received late. While they are looked for, the
/// kernel takes a reading of the clock for each packet of the host.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "PascalCase", default, deny_unknown_fields)]
pub struct NetRxLatencyConfig {
    /// Milliseconds from the driver to the network stack.
    #[schemars(range(min = 1, max = 3600000))]
    #[serde(rename = "Driver2NetRx")]
    pub driver2_net_rx: u64,
    /// Milliseconds from the driver to TCP.
    #[schemars(range(min = 1, max = 3600000))]
    #[serde(rename = "Driver2TCP")]
    pub driver2_tcp: u64,
    /// Milliseconds from the driver to the reader.
    #[schemars(range(min = 1, max = 3600000))]
    pub driver2_userspace: u64,
    /// QoS classes that are left out: guaranteed, burstable, besteffort.
    pub excluded_container_qos: Vec<String>,
    /// Leave out the host's network namespace.
    pub excluded_host_netnamespace: bool,
}

impl Default for NetRxLatencyConfig {
    fn default() -> Self {
        Self {
            driver2_net_rx: 5,
            driver2_tcp: 10,
            driver2_userspace: 115,
            excluded_container_qos: Vec::new(),
            excluded_host_netnamespace: true,
        }
    }
}
