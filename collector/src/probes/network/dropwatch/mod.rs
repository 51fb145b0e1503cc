// SPDX-License-Identifier: Apache-2.0
//! Packets that the kernel drops.
//! Hooks: kfree_skb; functions of TCP's handshake add what it does not show.   Signals: the event
//! `linux.network.packet.dropped` for packets of TCP, `linux.network.packet.drops` for all.

mod decoder;
mod reasons;

use std::sync::Arc;

use ebpf::network_dropwatch::records::drop_counts;
use ebpf::network_dropwatch::{OBJECT, global, map, program};
use schemars::JsonSchema;
use semconv::{attribute, metric};
use serde::{Deserialize, Serialize};

use crate::bpf::{Global, Hook, Object, PerCpuTotal, Plan, Twin, Way};
use crate::kernel::unix_now;
use crate::probes::{
    Built, Collect, CollectError, EventSource, Probe, ProbeDef, StartContext, Started,
};
use crate::signal::{Recorder, UnixNanos, Value};
use decoder::DropDecoder;
use reasons::Reasons;

/// The probe.
pub static PROBE: ProbeDef = ProbeDef {
    name: "network.dropwatch",
    legacy_names: &["dropwatch"],
    start,
    decoder: Some(|cx| Box::new(DropDecoder::new(cx, Reasons::of(cx.types).into()))),
};

const HOOKS: &[Hook] = &[
    Hook {
        target: "kfree_skb",
        required: true,
        purpose: "tells of packets that are dropped",
        // Each refuses a kernel whose tracepoint has fewer arguments.
        twins: &[
            Twin::new(Way::TpBtf, program::KFREE_SKB_SOCKET),
            Twin::new(Way::TpBtf, program::KFREE_SKB_REASON),
            Twin::new(Way::TpBtf, program::KFREE_SKB_PLAIN),
        ],
    },
    Hook {
        target: "tcp_conn_request",
        required: false,
        purpose: "tells of connection requests that find a full queue",
        twins: &[
            Twin::new(Way::Fentry, program::TCP_CONN_REQUEST_FENTRY),
            Twin::new(Way::Kprobe, program::TCP_CONN_REQUEST_KPROBE),
        ],
    },
    Hook {
        target: "tcp_v4_syn_recv_sock",
        required: false,
        purpose: "tells which accept queue was full, where the drop does not",
        twins: &[
            Twin::new(Way::Fentry, program::TCP_V4_SYN_RECV_SOCK_FENTRY),
            Twin::new(Way::Kprobe, program::SYN_RECV_SOCK_KPROBE),
        ],
    },
    Hook {
        target: "tcp_v6_syn_recv_sock",
        required: false,
        purpose: "the same for IPv6",
        twins: &[
            Twin::new(Way::Fentry, program::TCP_V6_SYN_RECV_SOCK_FENTRY),
            Twin::new(Way::Kprobe, program::SYN_RECV_SOCK_KPROBE),
        ],
    },
];

fn start(cx: &StartContext<'_>) -> Started {
    let plan = Plan {
        object: OBJECT,
        hooks: HOOKS,
        globals: vec![Global::Bool(global::MEMORY_IS_V1, cx.support.memory_is_v1)],
        ..Plan::default()
    };
    Started::from_object(cx, &plan, |mut object| {
        let reasons = Arc::new(Reasons::of(cx.types));
        let decoder = DropDecoder::new(cx, Arc::clone(&reasons));
        let events = EventSource::ring(&mut object)?.decoded_by(decoder);
        let probe = Drops {
            counts: object.per_cpu_total(map::DROPS)?,
            reasons,
            attached: unix_now(),
            _object: object,
        };
        Ok(Built { probe: Box::new(probe), events: Some(events) })
    })
}

struct Drops {
    counts: PerCpuTotal<drop_counts>,
    reasons: Arc<Reasons>,
    attached: UnixNanos,
    _object: Object,
}

impl Probe for Drops {
    fn collect(&mut self, _: &mut Collect<'_>, out: &mut Recorder) -> Result<(), CollectError> {
        let cpus = self.counts.values()?;
        let mut host = out.host();
        for (reason, packets) in self.reasons.sum(&cpus) {
            let attributes = vec![(&attribute::LINUX_NETWORK_DROP_REASON, Value::Str(reason))];
            host.sum(&metric::LINUX_NETWORK_PACKET_DROPS, attributes, self.attached, packets);
        }
        Ok(())
    }
}

/// `[EventTracing.Dropwatch]`: TCP packets that are dropped.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "PascalCase", default, deny_unknown_fields)]
pub struct DropwatchConfig {
    /// Leave out packets that waited for a neighbour which never answered.
    pub excluded_neigh_invalidate: bool,
    /// Ask DNS for the names of the addresses.
    pub resolve_host_names: bool,
}

impl Default for DropwatchConfig {
    fn default() -> Self {
        Self { excluded_neigh_invalidate: true, resolve_host_names: true }
    }
}
