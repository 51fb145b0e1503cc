// SPDX-License-Identifier: Apache-2.0
//! TCP connections by their state.
//! Hook: iterator over TCP sockets.   Signals: `system.network.connection.count`.

use ebpf::network_connections::{OBJECT, program};
use semconv::{attribute, metric};

use crate::bpf::{Hook, Object, Plan, Twin, Way};
use crate::probes::{Built, Collect, CollectError, Probe, ProbeDef, StartContext, Started};
use crate::signal::{Recorder, Value};

/// The probe.
pub static PROBE: ProbeDef =
    ProbeDef { name: "network.connections", legacy_names: &[], start, decode: None };

const HOOKS: &[Hook] = &[Hook {
    target: "tcp",
    required: true,
    purpose: "walks over all TCP sockets",
    twins: &[Twin::new(Way::Iter, program::CONNECTIONS_ITER)],
}];

/// States in OpenTelemetry's words, at the kernel's numbers less one (include/net/tcp_states.h).
const STATES: [&str; 11] = [
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
];
/// TCP_NEW_SYN_RECV: the same to whoever looks from outside.
const NEW_SYN_RECEIVED: u8 = 12;
const SYN_RECEIVED: u8 = 3;

fn start(cx: &StartContext<'_>) -> Started {
    let plan = Plan { object: OBJECT, hooks: HOOKS, ..Plan::default() };
    Started::from_object(cx, &plan, |object| {
        Ok(Built { probe: Box::new(Connections { object, states: Vec::new() }), ring: None })
    })
}

struct Connections {
    object: Object,
    /// What the last walk wrote, kept for its room.
    states: Vec<u8>,
}

impl Probe for Connections {
    fn collect(&mut self, cx: &mut Collect<'_>, out: &mut Recorder) -> Result<(), CollectError> {
        self.object.walk(program::CONNECTIONS_ITER, &mut self.states)?;
        let mut host = out.host();
        for (state, count) in STATES.into_iter().zip(count(&self.states)) {
            let attributes = vec![
                (&attribute::NETWORK_TRANSPORT, Value::Static("tcp")),
                (&attribute::NETWORK_CONNECTION_STATE, Value::Static(state)),
            ];
            host.sum(&metric::SYSTEM_NETWORK_CONNECTION_COUNT, attributes, cx.boot_time, count);
        }
        Ok(())
    }
}

fn count(states: &[u8]) -> [u64; STATES.len()] {
    let mut counts = [0; STATES.len()];
    for state in states {
        let state = if *state == NEW_SYN_RECEIVED { SYN_RECEIVED } else { *state };
        if let Some(count) = state.checked_sub(1).and_then(|at| counts.get_mut(usize::from(at))) {
            *count += 1;
        }
    }
    counts
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_socket_counts_in_its_state() {
        // The last two are none: bound and not connected, and what no kernel has.
        let counts = count(&[1, 1, 10, 3, 12, 6, 0, 13, 200]);
        assert_eq!(counts, [2, 0, 2, 0, 0, 1, 0, 0, 0, 1, 0]);
    }
}
