// SPDX-License-Identifier: Apache-2.0
//! Tasks of containers that had to reclaim memory before they got any.
//! Hook: mm_vmscan_memcg_reclaim_begin.   Signals: `linux.cgroup.memory.direct_reclaims`.

use std::collections::HashMap;

use ebpf::memory_reclaim::records::reclaim_count;
use ebpf::memory_reclaim::{OBJECT, global, map, program};
use semconv::metric;

use crate::bpf::{CgroupTable, Global, Hook, Object, Plan, Twin, Way};
use crate::entity::Tally;
use crate::kernel::unix_now;
use crate::probes::{
    Built, Collect, CollectError, PerContainer, Probe, ProbeDef, StartContext, Started,
};
use crate::signal::{Recorder, UnixNanos};

/// The probe.
pub static PROBE: ProbeDef =
    ProbeDef { name: "memory.reclaim", legacy_names: &["memory_reclaim"], start, decoder: None };

const HOOKS: &[Hook] = &[Hook {
    target: "mm_vmscan_memcg_reclaim_begin",
    required: true,
    purpose: "a task begins to reclaim memory of its cgroup",
    twins: &[Twin::new(Way::RawTp, program::MEMCG_RECLAIM_BEGIN_RAW)],
}];

fn start(cx: &StartContext<'_>) -> Started {
    let plan = Plan {
        object: OBJECT,
        hooks: HOOKS,
        globals: vec![Global::Bool(global::MEMORY_IS_V1, cx.support.memory_is_v1)],
        ..Plan::default()
    };
    Started::from_object(cx, &plan, |mut object| {
        let probe = DirectReclaims {
            cgroups: object.table(map::CGROUP_RECLAIMS)?,
            tally: Tally::new(|sum, count| sum.reclaims += count.reclaims),
            starts: PerContainer::default(),
            attached: unix_now(),
            _object: object,
        };
        Ok(Built { probe: Box::new(probe), events: None })
    })
}

struct DirectReclaims {
    cgroups: CgroupTable<reclaim_count>,
    tally: Tally<reclaim_count>,
    /// Since when each container's count counts: since it started, or since we looked.
    starts: PerContainer<UnixNanos>,
    attached: UnixNanos,
    _object: Object,
}

impl Probe for DirectReclaims {
    /// A container that never had to has a count of 0: we would have seen it.
    fn collect(&mut self, cx: &mut Collect<'_>, out: &mut Recorder) -> Result<(), CollectError> {
        let entries = self.cgroups.entries()?;
        let sums = self.tally.sum(&entries, cx.entities, |_, _| None);
        let counts: HashMap<&str, u64> =
            sums.shares.iter().map(|share| (&*share.container.id, share.value.reclaims)).collect();
        for container in cx.entities.containers() {
            let reclaims = counts.get(&*container.id).copied().unwrap_or(0);
            let attached = self.attached;
            let start = *self.starts.of(&container, cx.now, || container.started.max(attached));
            let def = &metric::LINUX_CGROUP_MEMORY_DIRECT_RECLAIMS;
            out.entity(&container.resource).sum(def, Vec::new(), start, reclaims);
        }
        self.starts.retain_seen(cx.now);
        for id in sums.ended {
            self.cgroups.remove(id)?;
        }
        Ok(())
    }
}
