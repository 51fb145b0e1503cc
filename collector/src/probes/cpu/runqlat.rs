// SPDX-License-Identifier: Apache-2.0
//! Time a runnable task waits for a CPU.
//! Hook: sched_switch.   Signals: `linux.cpu.runqueue.wait.duration` of the host,
//! `linux.cgroup.cpu.runqueue.wait.duration` of each container.

use ebpf::cpu_runqlat::records::{RUNQLAT_EDGES, runqlat_histogram};
use ebpf::cpu_runqlat::{OBJECT, global, map, program};
use semconv::metric;

use crate::bpf::{CgroupTable, Global, Hook, Object, PerCpuTotal, Plan, Twin, Way};
use crate::entity::Tally;
use crate::kernel::{counter_start, unix_now};
use crate::probes::durations::{add_buckets, earlier, edges_ns, histogram, table_size};
use crate::probes::{Built, Collect, CollectError, Probe, ProbeDef, StartContext, Started};
use crate::signal::{Recorder, UnixNanos};

/// The probe.
pub static PROBE: ProbeDef =
    ProbeDef { name: "cpu.runqlat", legacy_names: &["runqlat"], start, decoder: None };

const HOOKS: &[Hook] = &[Hook {
    target: "sched_switch",
    required: true,
    purpose: "closes the wait of the task that gets the CPU",
    twins: &[
        Twin::new(Way::TpBtf, program::SCHED_SWITCH_BTF),
        Twin::new(Way::RawTp, program::SCHED_SWITCH_RAW),
    ],
}];

fn start(cx: &StartContext<'_>) -> Started {
    let plan = Plan {
        object: OBJECT,
        hooks: HOOKS,
        globals: vec![
            Global::Words(global::EDGES_NS, edges_ns(&metric::LINUX_CPU_RUNQUEUE_WAIT_DURATION)),
            Global::Bool(global::MEMORY_IS_V1, cx.support.memory_is_v1),
        ],
        map_sizes: vec![(
            map::CGROUP_WAITS,
            table_size::<runqlat_histogram>(cx.support.possible_cpus),
        )],
    };
    Started::from_object(cx, &plan, |mut object| {
        let probe = RunQueueWait {
            host: object.per_cpu_total(map::HOST_WAITS)?,
            cgroups: object.table_by(map::CGROUP_WAITS, total)?,
            tally: Tally::new(add),
            attached: unix_now(),
            _object: object,
        };
        Ok(Built { probe: Box::new(probe), events: None })
    })
}

struct RunQueueWait {
    host: PerCpuTotal<runqlat_histogram>,
    cgroups: CgroupTable<runqlat_histogram>,
    tally: Tally<runqlat_histogram>,
    attached: UnixNanos,
    _object: Object,
}

impl Probe for RunQueueWait {
    fn collect(&mut self, cx: &mut Collect<'_>, out: &mut Recorder) -> Result<(), CollectError> {
        let host = total(&self.host.values()?);
        out.host().histogram(
            &metric::LINUX_CPU_RUNQUEUE_WAIT_DURATION,
            Vec::new(),
            self.attached,
            histogram(&host.buckets, host.sum_ns),
        );
        let entities = cx.entities;
        let entries = self.cgroups.entries()?;
        let sums = self.tally.sum(&entries, entities, |_, _| None);
        for share in sums.shares.iter().filter(|share| share.running) {
            out.entity(&share.container.resource).histogram(
                &metric::LINUX_CGROUP_CPU_RUNQUEUE_WAIT_DURATION,
                Vec::new(),
                counter_start(share.value.start_ns),
                histogram(&share.value.buckets, share.value.sum_ns),
            );
        }
        for id in sums.ended {
            self.cgroups.remove(id)?;
        }
        Ok(())
    }
}

/// Adds up the CPUs. Only the CPU that made an entry knows when; the other CPUs have 0.
fn total(per_cpu: &[runqlat_histogram]) -> runqlat_histogram {
    let mut total =
        runqlat_histogram { start_ns: 0, sum_ns: 0, buckets: [0; RUNQLAT_EDGES as usize + 1] };
    for cpu in per_cpu {
        add(&mut total, cpu);
    }
    total
}

/// Adds `other`; the sum counts since the earlier of two known starts.
fn add(sum: &mut runqlat_histogram, other: &runqlat_histogram) {
    sum.start_ns = earlier(sum.start_ns, other.start_ns);
    sum.sum_ns += other.sum_ns;
    add_buckets(&mut sum.buckets, &other.buckets);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_kernel_counts_against_the_bounds_of_the_registry() {
        for metric in [
            &metric::LINUX_CPU_RUNQUEUE_WAIT_DURATION,
            &metric::LINUX_CGROUP_CPU_RUNQUEUE_WAIT_DURATION,
        ] {
            assert_eq!(metric.bounds.len(), RUNQLAT_EDGES as usize);
            let edges = edges_ns(metric);
            assert_eq!((edges[0], edges[6], edges[12]), (10_000, 10_000_000, 1_000_000_000));
        }
    }

    #[test]
    fn cpus_are_added_up_and_the_start_is_where_it_is_known() {
        let mut one = total(&[]);
        one.buckets[0] = 3;
        one.sum_ns = 500;
        one.start_ns = 42;
        let mut other = total(&[]);
        other.buckets[13] = 1;
        other.sum_ns = 2_000_000_000;
        let sum = total(&[one, other]);
        assert_eq!((sum.start_ns, sum.buckets[0], sum.buckets[13]), (42, 3, 1));
        let histogram = histogram(&sum.buckets, sum.sum_ns);
        assert_eq!(histogram.count(), 4);
        assert!((histogram.sum - 2.000_000_5).abs() < 1e-12);
    }
}
