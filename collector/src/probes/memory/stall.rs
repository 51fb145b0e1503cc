// SPDX-License-Identifier: Apache-2.0
//! Time that tasks lost because memory was not free.
//! Hooks: mm_vmscan_direct_reclaim_*, mm_compaction_*.   Signals:
//! `linux.memory.allocation.stall.time`, `linux.memory.compaction.stall.time`.

use ebpf::memory_stall::records::memory_stall;
use ebpf::memory_stall::{OBJECT, map, program};
use semconv::metric;

use crate::bpf::{Hook, Object, PerCpuTotal, Plan, Twin, Way};
use crate::kernel::unix_now;
use crate::probes::{Built, Collect, CollectError, Probe, ProbeDef, StartContext, Started};
use crate::signal::{Recorder, UnixNanos};

/// The probe.
pub static PROBE: ProbeDef =
    ProbeDef { name: "memory.stall", legacy_names: &["memory_free"], start, decoder: None };

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
    let plan = Plan { object: OBJECT, hooks: HOOKS, ..Plan::default() };
    Started::from_object(cx, &plan, |mut object| {
        let probe = MemoryStall {
            stalls: object.per_cpu_total(map::STALLS)?,
            sees_compaction: object.is_attached(COMPACTION_BEGIN)
                && object.is_attached(COMPACTION_END),
            attached: unix_now(),
            _object: object,
        };
        Ok(Built { probe: Box::new(probe), events: None })
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
