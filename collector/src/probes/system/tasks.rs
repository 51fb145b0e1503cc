// SPDX-License-Identifier: Apache-2.0
//! Tasks (threads) by their state, of the host and of each container.
//! Hook: iterator over tasks.   Signals: `linux.task.*`, `linux.cgroup.task.*`.

use std::collections::HashMap;

use ebpf::system_tasks::records::task_record;
use ebpf::system_tasks::{OBJECT, global, program};
use semconv::{MetricDef, attribute, metric};
use zerocopy::FromBytes;

use crate::bpf::{Global, Hook, Object, Plan, Twin, Way};
use crate::entity::Place;
use crate::probes::cpu::loadavg;
use crate::probes::{Built, Collect, CollectError, Probe, ProbeDef, StartContext, Started};
use crate::signal::{EntityRecorder, Recorder, UnixNanos, Value};

/// The probe.
pub static PROBE: ProbeDef =
    ProbeDef { name: "system.tasks", legacy_names: &[], start, decoder: None };

const HOOKS: &[Hook] = &[Hook {
    target: "task",
    required: true,
    purpose: "walks over all tasks",
    twins: &[Twin::new(Way::Iter, program::TASKS_ITER)],
}];

fn start(cx: &StartContext<'_>) -> Started {
    let plan = Plan {
        object: OBJECT,
        hooks: HOOKS,
        globals: vec![Global::Bool(global::MEMORY_IS_V1, cx.support.memory_is_v1)],
        ..Plan::default()
    };
    // HUATUO's word for the host's load is the word for the tasks of containers too.
    let tells_of_containers = !loadavg::PROBE.is_listed(cx.config);
    Started::from_object(cx, &plan, |object| {
        let probe = Tasks { object, records: Vec::new(), tells_of_containers };
        Ok(Built { probe: Box::new(probe), events: None })
    })
}

struct Tasks {
    object: Object,
    /// What the last walk wrote, kept for its room.
    records: Vec<u8>,
    tells_of_containers: bool,
}

/// Tasks by state, in the order of [`STATES`], and those that wait for block devices.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
struct Counts {
    by_state: [u64; STATES.len()],
    in_iowait: u64,
}

/// Bits of `TASK_*` and `EXIT_*` (include/linux/sched.h), the first that is set tells.
const STATES: [(&str, u32); 5] = [
    ("zombie", EXIT_DEAD | EXIT_ZOMBIE),
    ("stopped", TASK_STOPPED | TASK_TRACED),
    ("uninterruptible", TASK_UNINTERRUPTIBLE),
    ("sleeping", TASK_INTERRUPTIBLE),
    ("running", 0),
];
const TASK_INTERRUPTIBLE: u32 = 1;
const TASK_UNINTERRUPTIBLE: u32 = 2;
const TASK_STOPPED: u32 = 4;
const TASK_TRACED: u32 = 8;
const EXIT_DEAD: u32 = 0x10;
const EXIT_ZOMBIE: u32 = 0x20;
/// With it an uninterruptible task is idle, and no load.
const TASK_NOLOAD: u32 = 0x400;

impl Probe for Tasks {
    fn collect(&mut self, cx: &mut Collect<'_>, out: &mut Recorder) -> Result<(), CollectError> {
        let containers =
            if self.tells_of_containers { cx.entities.containers() } else { Vec::new() };
        // Of the host only a push tells.
        if !out.admits_what_is_only_pushed() && containers.is_empty() {
            return Ok(());
        }
        self.object.walk(program::TASKS_ITER, &mut self.records)?;
        let by_cgroup = count(&self.records);
        let mut all = Counts::default();
        by_cgroup.values().for_each(|counts| all.add(counts));
        record(&mut out.host(), &OF_HOST, &all, cx.boot_time);

        let places = cx.entities.places(by_cgroup.keys().copied());
        let mut of_containers: HashMap<_, Counts> = HashMap::new();
        for (counts, place) in by_cgroup.values().zip(places) {
            if let Place::Running(Some(container)) = place {
                of_containers.entry(container.id.clone()).or_default().add(counts);
            }
        }
        for container in containers {
            let counts = of_containers.get(&container.id).copied().unwrap_or_default();
            let mut out = out.entity(&container.resource);
            record(&mut out, &OF_CONTAINER, &counts, container.started);
        }
        Ok(())
    }
}

impl Counts {
    fn add(&mut self, other: &Counts) {
        for (sum, count) in self.by_state.iter_mut().zip(other.by_state) {
            *sum += count;
        }
        self.in_iowait += other.in_iowait;
    }
}

/// Counts by cgroup.
fn count(records: &[u8]) -> HashMap<u64, Counts> {
    let mut by_cgroup: HashMap<u64, Counts> = HashMap::new();
    for bytes in records.chunks_exact(size_of::<task_record>()) {
        let Ok(task) = task_record::read_from_bytes(bytes) else { continue };
        let counts = by_cgroup.entry(task.cgroup_id).or_default();
        counts.by_state[state_of(task.state)] += 1;
        counts.in_iowait += u64::from(task.is_in_iowait != 0);
    }
    by_cgroup
}

/// Which of [`STATES`] the bits tell.
fn state_of(bits: u32) -> usize {
    let bits = if bits & TASK_NOLOAD == 0 { bits } else { TASK_INTERRUPTIBLE };
    let running = STATES.len() - 1;
    STATES.iter().position(|(_, mask)| bits & mask != 0).unwrap_or(running)
}

/// The metrics of an entity: tasks by state, and tasks that wait for block devices.
type Metrics = [&'static MetricDef; 2];

static OF_HOST: Metrics = [&metric::LINUX_TASK_COUNT, &metric::LINUX_TASK_IOWAIT_COUNT];
static OF_CONTAINER: Metrics =
    [&metric::LINUX_CGROUP_TASK_COUNT, &metric::LINUX_CGROUP_TASK_IOWAIT_COUNT];

fn record(
    out: &mut EntityRecorder<'_>,
    [by_state, in_iowait]: &Metrics,
    counts: &Counts,
    start: UnixNanos,
) {
    for ((state, _), count) in STATES.iter().zip(counts.by_state) {
        let state = vec![(&attribute::LINUX_TASK_STATE, Value::Static(state))];
        out.sum(by_state, state, start, count);
    }
    out.sum(in_iowait, Vec::new(), start, counts.in_iowait);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bits_tell_the_state() {
        let name = |bits| STATES[state_of(bits)].0;
        // TASK_WAKEKILL | TASK_UNINTERRUPTIBLE is "killable", TASK_NOLOAD with it "idle".
        for (bits, expected) in [
            (0, "running"),
            (1, "sleeping"),
            (2, "uninterruptible"),
            (0x102, "uninterruptible"),
            (0x402, "sleeping"),
            (4, "stopped"),
            (8, "stopped"),
            (0x20, "zombie"),
            (0x10 | 0x80, "zombie"),
        ] {
            assert_eq!(name(bits), expected, "{bits:#x}");
        }
    }

    #[test]
    fn records_are_counted_by_cgroup_and_a_torn_one_is_left_out() {
        let record = |cgroup: u64, state: u32, iowait: u32| {
            let mut bytes = cgroup.to_ne_bytes().to_vec();
            bytes.extend(state.to_ne_bytes());
            bytes.extend(iowait.to_ne_bytes());
            bytes
        };
        let mut records = record(7, 0, 0);
        records.extend(record(7, 2, 1));
        records.extend(record(9, 1, 0));
        records.extend([1, 2, 3]);
        let counts = count(&records);
        assert_eq!(counts.len(), 2);
        assert_eq!(counts[&7], Counts { by_state: [0, 0, 1, 0, 1], in_iowait: 1 });
        assert_eq!(counts[&9], Counts { by_state: [0, 0, 0, 1, 0], in_iowait: 0 });
    }
}
