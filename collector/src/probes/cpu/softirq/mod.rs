// SPDX-License-Identifier: Apache-2.0
//! Time from raising a softirq to running it, and who held softirqs off.
//! Hooks: softirq_raise, softirq_entry, hrtimer_expire_entry.   Signals:
//! `linux.softirq.wait.duration` by vector, on the legacy page those of the network for each CPU;
//! the event `linux.softirq.disabled`.

mod disabled;

use ebpf::cpu_softirq::records::{SOFTIRQ_EDGES, SOFTIRQ_VECTORS, softirq_cpu, softirq_waits};
use ebpf::cpu_softirq::{OBJECT, global, map, program};
use schemars::JsonSchema;
use semconv::{attribute, metric};
use serde::{Deserialize, Serialize};

use crate::bpf::{Global, Hook, Object, PerCpuTotal, Plan, Twin, Way};
use crate::kernel::unix_now;
use crate::probes::durations::{add_buckets, edges_ns, histogram};
use crate::probes::{
    Built, Collect, CollectError, EventSource, Probe, ProbeDef, StartContext, Started,
};
use crate::signal::{Attribute, Recorder, UnixNanos, Value};

/// The probe.
pub static PROBE: ProbeDef = ProbeDef {
    name: "cpu.softirq",
    legacy_names: &["softirq"],
    start,
    decoder: Some(|cx| Box::new(disabled::Disabled::new(&cx.config.event_tracing.softirq))),
};

/// HUATUO's word for the event alone.
const EVENT_WORD: &str = "softirq_tracing";

/// `[EventTracing.Softirq]`: softirqs that were held off.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "PascalCase", default, deny_unknown_fields)]
pub struct SoftirqConfig {
    /// Nanoseconds.
    #[schemars(range(min = 1, max = 3600000000000u64))]
    pub disabled_threshold: u64,
}

impl Default for SoftirqConfig {
    fn default() -> Self {
        Self { disabled_threshold: 10_000_000 }
    }
}

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
    // The last one: only the event needs it.
    Hook {
        target: "hrtimer_expire_entry",
        required: false,
        purpose: "tells who holds softirqs off",
        twins: &[
            Twin::new(Way::TpBtf, program::HRTIMER_EXPIRE_ENTRY_BTF),
            Twin::new(Way::RawTp, program::HRTIMER_EXPIRE_ENTRY_RAW),
        ],
    },
];

/// The vectors in the kernel's order (include/linux/interrupt.h).
const VECTORS: [&str; SOFTIRQ_VECTORS as usize] =
    ["hi", "timer", "net_tx", "net_rx", "block", "irq_poll", "tasklet", "sched", "hrtimer", "rcu"];

/// Those that HUATUO has.
const OF_NETWORK: [&str; 2] = ["net_tx", "net_rx"];

fn start(cx: &StartContext<'_>) -> Started {
    let edges = edges_ns(&metric::LINUX_SOFTIRQ_WAIT_DURATION);
    let mut globals = vec![
        Global::Words(global::EDGES_NS, edges),
        Global::Bool(global::MEMORY_IS_V1, cx.support.memory_is_v1),
    ];
    let tells = !cx.config.black_list.iter().any(|word| word == EVENT_WORD);
    if tells {
        let threshold = cx.config.event_tracing.softirq.disabled_threshold;
        globals.push(Global::Words(global::THRESHOLD_NS, vec![threshold]));
    }
    let hooks = if tells { HOOKS } else { &HOOKS[..HOOKS.len() - 1] };
    let plan = Plan { object: OBJECT, hooks, globals, ..Plan::default() };
    Started::from_object(cx, &plan, |mut object| {
        let cpus = object.per_cpu_total(map::CPUS)?;
        let events = tells.then(|| EventSource::ring(&mut object)).transpose()?;
        let probe = SoftirqWait { cpus, attached: unix_now(), _object: object };
        Ok(Built { probe: Box::new(probe), events })
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
