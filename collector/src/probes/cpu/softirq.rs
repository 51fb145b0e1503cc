// SPDX-License-Identifier: Apache-2.0
//! Time from raising a softirq to running it.
//! Hooks: softirq_raise, softirq_entry.   Signals: `linux.softirq.wait.duration` by vector, on the
//! legacy page those of the network for each CPU.

use ebpf::cpu_softirq::records::{SOFTIRQ_EDGES, SOFTIRQ_VECTORS, softirq_cpu, softirq_waits};
use ebpf::cpu_softirq::{OBJECT, global, map, program};
use semconv::{attribute, metric};

use crate::bpf::{Global, Hook, Object, PerCpuTotal, Plan, Twin, Way};
use crate::kernel::unix_now;
use crate::probes::durations::{add_buckets, edges_ns, histogram};
use crate::probes::{Built, Collect, CollectError, Probe, ProbeDef, StartContext, Started};
use crate::signal::{Attribute, Recorder, UnixNanos, Value};

/// The probe.
pub static PROBE: ProbeDef =
    ProbeDef { name: "cpu.softirq", legacy_names: &["softirq"], start, decoder: None };

const HOOKS: &[Hook] = &[
    Hook {
        target: "softirq_raise",
        required: true,
        purpose: "begins the wait",
        twins: &[Twin::new(Way::RawTp, program::SOFTIRQ_RAISE_RAW)],
    },
    Hook {
        target: "softirq_entry",
        required: true,
        purpose: "ends the wait",
        twins: &[Twin::new(Way::RawTp, program::SOFTIRQ_ENTRY_RAW)],
    },
];

/// The vectors in the kernel's order (include/linux/interrupt.h).
const VECTORS: [&str; SOFTIRQ_VECTORS as usize] =
    ["hi", "timer", "net_tx", "net_rx", "block", "irq_poll", "tasklet", "sched", "hrtimer", "rcu"];

/// Those that HUATUO has.
const OF_NETWORK: [&str; 2] = ["net_tx", "net_rx"];

fn start(cx: &StartContext<'_>) -> Started {
    let edges = edges_ns(&metric::LINUX_SOFTIRQ_WAIT_DURATION);
    let plan = Plan {
        object: OBJECT,
        hooks: HOOKS,
        globals: vec![Global::Words(global::EDGES_NS, edges)],
        map_sizes: Vec::new(),
    };
    Started::from_object(cx, &plan, |mut object| {
        let cpus = object.per_cpu_total(map::CPUS)?;
        let probe = SoftirqWait { cpus, attached: unix_now(), _object: object };
        Ok(Built { probe: Box::new(probe), events: None })
    })
}

struct SoftirqWait {
    cpus: PerCpuTotal<softirq_cpu>,
    attached: UnixNanos,
    _object: Object,
}

impl Probe for SoftirqWait {
    fn collect(&mut self, _: &mut Collect<'_>, out: &mut Recorder) -> Result<(), CollectError> {
        let cpus = self.cpus.values()?;
        let mut host = out.host();
        for (index, vector) in VECTORS.into_iter().enumerate() {
            let waits = cpus.iter().map(|cpu| &cpu.waits[index]);
            let all = total(waits.clone());
            let all = histogram(&all.buckets, all.sum_ns);
            host.histogram(
                &metric::LINUX_SOFTIRQ_WAIT_DURATION,
                vec![of(vector)],
                self.attached,
                all,
            );
            if !OF_NETWORK.contains(&vector) {
                continue;
            }
            for (cpu, waits) in waits.enumerate() {
                let number = (&attribute::CPU_LOGICAL_NUMBER, Value::Int(cpu as i64));
                host.histogram(
                    &metric::LINUX_CPU_SOFTIRQ_WAIT_DURATION,
                    vec![of(vector), number],
                    self.attached,
                    histogram(&waits.buckets, waits.sum_ns),
                );
            }
        }
        Ok(())
    }
}

fn of(vector: &'static str) -> Attribute {
    (&attribute::LINUX_SOFTIRQ_VECTOR, Value::Static(vector))
}

fn total<'a>(cpus: impl Iterator<Item = &'a softirq_waits>) -> softirq_waits {
    let mut total = softirq_waits { sum_ns: 0, buckets: [0; SOFTIRQ_EDGES as usize + 1] };
    for cpu in cpus {
        total.sum_ns += cpu.sum_ns;
        add_buckets(&mut total.buckets, &cpu.buckets);
    }
    total
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_kernel_counts_against_the_bounds_of_the_registry() {
        for metric in
            [&metric::LINUX_SOFTIRQ_WAIT_DURATION, &metric::LINUX_CPU_SOFTIRQ_WAIT_DURATION]
        {
            assert_eq!(metric.bounds.len(), SOFTIRQ_EDGES as usize);
        }
        assert_eq!(VECTORS, *attribute::LINUX_SOFTIRQ_VECTOR.members);
    }
}
