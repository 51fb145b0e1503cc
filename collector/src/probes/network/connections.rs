// SPDX-License-Identifier: Apache-2.0
//! TCP connections of the host by their state.
//! Source: netlink, `TCPDIAG_GETSOCK` (net/ipv4/inet_diag.c).   Signals:
//! `system.network.connection.count`.

use semconv::{attribute, metric};

use crate::netlink::{NetlinkSocket, TCP_STATES, connections};
use crate::probes::{Collect, CollectError, Probe, ProbeDef, Started};
use crate::signal::{Recorder, Value};

/// The probe.
pub static PROBE: ProbeDef = ProbeDef {
    name: "network.connections",
    legacy_names: &[],
    start: |_| {
        let socket = NetlinkSocket::sock_diag().map_err(Into::into);
        Started::from_result(socket.map(|socket| Connections { socket }))
    },
    decoder: None,
};

/// States in OpenTelemetry's words, in the kernel's order. The last is one of a listener's waiting
/// connections: the same as the third to whoever looks from outside.
pub(super) const STATES: [&str; TCP_STATES] = [
    "established",
    "syn_sent",
    "syn_received",
    "fin_wait_1",
    "fin_wait_2",
    "time_wait",
    "closed",
    "close_wait",
    "last_ack",
    "listen",
    "closing",
    "syn_received",
];

struct Connections {
    socket: NetlinkSocket,
}

impl Probe for Connections {
    fn collect(&mut self, cx: &mut Collect<'_>, out: &mut Recorder) -> Result<(), CollectError> {
        let mut counts = connections(&mut self.socket)?;
        counts[2] += counts[TCP_STATES - 1];
        let mut host = out.host();
        for (state, count) in STATES.into_iter().zip(counts).take(TCP_STATES - 1) {
            let attributes = vec![
                (&attribute::NETWORK_TRANSPORT, Value::Static("tcp")),
                (&attribute::NETWORK_CONNECTION_STATE, Value::Static(state)),
            ];
            host.sum(&metric::SYSTEM_NETWORK_CONNECTION_COUNT, attributes, cx.boot_time, count);
        }
        Ok(())
    }
}
