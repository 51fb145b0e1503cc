// SPDX-License-Identifier: Apache-2.0
//! Time that tasks lost because memory was not free.
//! Hooks: mm_vmscan_direct_reclaim_*, mm_vmscan_memcg_reclaim_*, mm_compaction_*.
//! Signals: `linux.memory.allocation.stall.time`, `linux.memory.compaction.stall.time`, the event
//! `linux.memory.direct_reclaim.stall`.

use std::sync::Arc;

use ebpf::memory_stall::records::{memory_stall, reclaim_stall};
use ebpf::memory_stall::{OBJECT, global, map, program};
use schemars::JsonSchema;
use semconv::{attribute, event, metric};
use serde::{Deserialize, Serialize};

use crate::bpf::{Global, Hook, Object, PerCpuTotal, Plan, Twin, Way};
use crate::kernel::{boot_to_unix, unix_now};
use crate::probes::{
    Built, Collect, CollectError, Decode, DecodeContext, EventSource, Malformed, Probe, ProbeDef,
    StartContext, Started, Suppression, Whom, record,
};
use crate::signal::{Event, Recorder, UnixNanos};

/// The probe.
pub static PROBE: ProbeDef = ProbeDef {
    name: "memory.stall",
    legacy_names: &["memory_free"],
    start,
    decoder: Some(|_| Box::new(ReclaimStalls)),
};

/// `[EventTracing.MemoryReclaim]`: tasks that wait for memory to be reclaimed.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "PascalCase", default, deny_unknown_fields)]
pub struct MemoryReclaimConfig {
    /// Nanoseconds within one second.
    #[schemars(range(min = 1, max = 3600000000000u64))]
    pub blocked_threshold: u64,
}

impl Default for MemoryReclaimConfig {
    fn default() -> Self {
        Self { blocked_threshold: 900_000_000 }
    }
}

const HOOKS: &[Hook] = &[
    Hook {
        target: "mm_vmscan_direct_reclaim_begin",
        required: true,
        purpose: "a task begins to reclaim memory",
        twins: &[Twin::new(Way::RawTp, program::RECLAIM_BEGIN_RAW)],
    },
    Hook {
        target: "mm_vmscan_direct_reclaim_end",
        required: true,
        purpose: "it has reclaimed",
        twins: &[Twin::new(Way::RawTp, program::RECLAIM_END_RAW)],
    },
    Hook {
        target: "mm_vmscan_memcg_reclaim_begin",
        required: false,
        purpose: "a task begins to reclaim memory of a cgroup",
        twins: &[Twin::new(Way::RawTp, program::MEMCG_RECLAIM_BEGIN_RAW)],
    },
    Hook {
        target: "mm_vmscan_memcg_reclaim_end",
        required: false,
        purpose: "it has reclaimed",
        twins: &[Twin::new(Way::RawTp, program::MEMCG_RECLAIM_END_RAW)],
    },
    // Without CONFIG_COMPACTION nothing is compacted.
    Hook {
        target: COMPACTION_BEGIN,
        required: false,
        purpose: "a task begins to move memory together",
        twins: &[Twin::new(Way::RawTp, program::COMPACTION_BEGIN_RAW)],
    },
    Hook {
        target: COMPACTION_END,
        required: false,
        purpose: "it has moved it",
        twins: &[Twin::new(Way::RawTp, program::COMPACTION_END_RAW)],
    },
];

const COMPACTION_BEGIN: &str = "mm_compaction_begin";
const COMPACTION_END: &str = "mm_compaction_end";

fn start(cx: &StartContext<'_>) -> Started {
    let is_off = cx.config.is_listed(event::LINUX_MEMORY_DIRECT_RECLAIM_STALL.legacy.tracer);
    let threshold = cx.config.event_tracing.memory_reclaim.blocked_threshold;
    let threshold = if is_off { u64::MAX } else { threshold };
    let plan = Plan {
        object: OBJECT,
        hooks: HOOKS,
        globals: vec![
            Global::Bool(global::MEMORY_IS_V1, cx.support.memory_is_v1),
            Global::Words(global::BLOCKED_THRESHOLD_NS, vec![threshold]),
        ],
        ..Plan::default()
    };
    Started::from_object(cx, &plan, |mut object| {
        let events = EventSource::ring(&mut object)?;
        let probe = MemoryStall {
            stalls: object.per_cpu_total(map::STALLS)?,
            sees_compaction: object.is_attached(COMPACTION_BEGIN)
                && object.is_attached(COMPACTION_END),
            attached: unix_now(),
            _object: object,
        };
        Ok(Built { probe: Box::new(probe), events: Some(events) })
    })
}

struct MemoryStall {
    stalls: PerCpuTotal<memory_stall>,
    sees_compaction: bool,
    attached: UnixNanos,
    _object: Object,
}

impl Probe for MemoryStall {
    fn collect(&mut self, _: &mut Collect<'_>, out: &mut Recorder) -> Result<(), CollectError> {
        let cpus = self.stalls.values()?;
        let seconds =
            |part: fn(&memory_stall) -> u64| cpus.iter().map(part).sum::<u64>() as f64 / 1e9;
        let (mut host, start) = (out.host(), self.attached);
        let allocation = seconds(|cpu| cpu.allocation_ns);
        host.sum_f64(&metric::LINUX_MEMORY_ALLOCATION_STALL_TIME, Vec::new(), start, allocation);
        if self.sees_compaction {
            let compaction = seconds(|cpu| cpu.compaction_ns);
            let def = &metric::LINUX_MEMORY_COMPACTION_STALL_TIME;
            host.sum_f64(def, Vec::new(), start, compaction);
        }
        Ok(())
    }
}

struct ReclaimStalls;

impl Decode for ReclaimStalls {
    /// Of tasks of containers: the host's own have the metrics.
    fn decode(&mut self, bytes: &[u8], cx: &mut DecodeContext<'_>) -> Result<(), Malformed> {
        let stall: reclaim_stall = record(bytes)?;
        let whom = Whom::of(&stall.task, cx.entities);
        if whom.container.is_none() {
            cx.suppress(&event::LINUX_MEMORY_DIRECT_RECLAIM_STALL, Suppression::Excluded);
            return Ok(());
        }
        let seconds = stall.duration_ns as f64 / 1e9;
        let body = format!("{} reclaimed memory for {:.0} ms", whom.shown(), seconds * 1e3);
        let mut attributes = whom.attributes();
        attributes.push((&attribute::LINUX_MEMORY_DIRECT_RECLAIM_DURATION, seconds.into()));
        cx.raise(Event::new(
            &event::LINUX_MEMORY_DIRECT_RECLAIM_STALL,
            boot_to_unix(stall.time_ns),
            Arc::clone(&whom.resource),
            attributes,
            body,
        ));
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use jiff::tz::TimeZone;
    use serde_json::json;

    use super::*;
    use crate::export::document::document;
    use crate::probes::tests::decode;

    /// A record of a `java` that runs in the cgroup of this name.
    fn bytes(cgroup: &str) -> Vec<u8> {
        let mut bytes = Vec::new();
        for word in [5_u64, 1_412_702_917, 4026] {
            bytes.extend(word.to_ne_bytes());
        }
        for word in [1_896_137_u32, 1_896_140] {
            bytes.extend(word.to_ne_bytes());
        }
        for (text, length) in [("java", 16), (cgroup, 96)] {
            bytes.extend(text.bytes().chain(std::iter::repeat(0)).take(length));
        }
        bytes
    }

    fn decoded(bytes: &[u8]) -> Result<Vec<Event>, Malformed> {
        decode(&mut ReclaimStalls, bytes)
    }

    #[test]
    fn a_stall_of_a_container_is_an_event_and_one_of_the_host_is_none() {
        let id = "ab".repeat(32);
        let events = decoded(&bytes(&format!("cri-containerd-{id}.scope"))).unwrap();
        let [event] = &events[..] else { panic!("{} events", events.len()) };
        assert_eq!(event.resource.text(&attribute::CONTAINER_ID), id);
        assert_eq!(event.severity.0, 13);
        assert_eq!(
            event.attributes,
            [
                (&attribute::PROCESS_PID, 1_896_137_i64.into()),
                (&attribute::THREAD_ID, 1_896_140_i64.into()),
                (&attribute::THREAD_NAME, "java".into()),
                (&attribute::LINUX_MEMORY_DIRECT_RECLAIM_DURATION, 1.412_702_917.into()),
            ]
        );
        let document = document(event, &TimeZone::UTC);
        assert_eq!(document["tracer_name"], "memory_reclaim_events");
        assert_eq!(
            document["tracer_data"],
            json!({ "pid": 1_896_137, "comm": "java", "deltatime": 1_412_702_917 })
        );
        assert!(decoded(&bytes("user.slice")).unwrap().is_empty());
        assert_eq!(decoded(&[0; 7]).unwrap_err(), Malformed);
    }
}
