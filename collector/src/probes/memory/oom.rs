// SPDX-License-Identifier: Apache-2.0
//! Processes that the OOM killer killed.
//! Hooks: signal_generate with mark_victim; oom_kill_process adds why.
//! Signals: the event `linux.memory.oom_kill`, `linux.memory.oom_kills` of the host,
//! `linux.cgroup.memory.oom_kills` of each container.
//!
//! The victim is described by the kernel record alone: the process and its cgroup may be gone when
//! we read it.

use std::sync::Arc;

use ebpf::memory_oom::records::{OOM_CONSTRAINT_UNKNOWN, oom_count, oom_kill, oom_task};
use ebpf::memory_oom::{OBJECT, global, map, program};
use semconv::{AttributeDef, attribute, event, metric};
use uuid::Uuid;
use zerocopy::FromBytes;

use crate::bpf::{CgroupTable, Global, Hook, Object, Plan, Twin, Way};
use crate::entity::{Container, Entities, Tally};
use crate::kernel::{boot_to_unix, counter_start, unix_now};
use crate::probes::{
    Built, Collect, CollectError, EventRing, Probe, ProbeDef, StartContext, Started,
};
use crate::signal::{Attribute, Event, Recorder, RunType, Severity, UnixNanos, Value};

/// The probe.
pub static PROBE: ProbeDef =
    ProbeDef { name: "memory.oom", legacy_names: &["oom"], start, decode: Some(decode) };

const HOOKS: &[Hook] = &[
    Hook {
        target: "signal_generate",
        required: true,
        purpose: "tells whom the kernel kills",
        twins: &[Twin::new(Way::RawTp, program::SIGNAL_GENERATE_RAW)],
    },
    Hook {
        target: "mark_victim",
        required: true,
        purpose: "tells that it was the OOM killer",
        twins: &[Twin::new(Way::RawTp, program::MARK_VICTIM_RAW)],
    },
    Hook {
        target: "oom_kill_process",
        required: false,
        purpose: "tells why, and whose limit it was",
        twins: &[
            Twin::new(Way::Fentry, program::OOM_KILL_PROCESS_FENTRY),
            Twin::new(Way::Kprobe, program::OOM_KILL_PROCESS_KPROBE),
        ],
    },
];

fn start(cx: &StartContext<'_>) -> Started {
    let plan = Plan {
        object: OBJECT,
        hooks: HOOKS,
        globals: vec![Global::Bool(global::MEMORY_IS_V1, cx.support.memory_is_v1)],
        map_sizes: Vec::new(),
    };
    Started::from_object(cx, &plan, |mut object| {
        let ring = EventRing {
            ring: object.ring(map::EVENTS)?,
            losses: object.per_cpu_total(map::LOSSES)?,
        };
        let probe = OomKills {
            cgroups: object.table(map::CGROUP_KILLS)?,
            tally: Tally::new(|sum, count| {
                sum.kills += count.kills;
                sum.start_ns = sum.start_ns.min(count.start_ns);
            }),
            attached: unix_now(),
            _object: object,
        };
        Ok(Built { probe: Box::new(probe), ring: Some(ring) })
    })
}

struct OomKills {
    cgroups: CgroupTable<oom_count>,
    tally: Tally<oom_count>,
    attached: UnixNanos,
    _object: Object,
}

impl Probe for OomKills {
    fn collect(&mut self, cx: &mut Collect<'_>, out: &mut Recorder) -> Result<(), CollectError> {
        let entities = cx.entities;
        let entries = self.cgroups.entries()?;
        let sums = self.tally.sum(&entries, entities, |id, count| {
            entities.container_of_event(id, &kernel_text(&count.cgroup_name))
        });
        // A container seldom outlives its kill: its counter is shown while it is remembered.
        for share in sums.shares {
            out.entity(&share.container.resource).sum(
                &metric::LINUX_CGROUP_MEMORY_OOM_KILLS,
                Vec::new(),
                counter_start(share.value.start_ns),
                share.value.kills,
            );
        }
        for id in sums.ended {
            self.cgroups.remove(id)?;
        }
        let on_host = sums.elsewhere.map_or(0, |count| count.kills);
        out.host().sum(&metric::LINUX_MEMORY_OOM_KILLS, Vec::new(), self.attached, on_host);
        Ok(())
    }
}

fn decode(bytes: &[u8], entities: &Entities) -> Option<Event> {
    let kill = oom_kill::read_from_bytes(bytes).ok()?;
    let victim = Party::of(&kill.victim, entities);
    let trigger = Party::of(&kill.trigger, entities);
    let limit = limit_path(&kill, entities);
    let resource = match &victim.container {
        Some(container) => Arc::clone(&container.resource),
        None => Arc::clone(entities.host()),
    };
    Some(Event {
        uid: Uuid::now_v7(),
        def: &event::LINUX_MEMORY_OOM_KILL,
        time: boot_to_unix(kill.time_ns),
        observed: unix_now(),
        severity: severity(kill.constraint),
        run_type: RunType::Auto,
        resource,
        body: body(&victim, &trigger, limit.as_deref()),
        attributes: attributes(&kill, victim, trigger, limit),
    })
}

/// The victim, or the thread whose allocation failed.
struct Party {
    pid: u32,
    comm: Arc<str>,
    cgroup_id: u64,
    cgroup_path: Option<Arc<str>>,
    container: Option<Arc<Container>>,
}

impl Party {
    fn of(task: &oom_task, entities: &Entities) -> Self {
        let name = kernel_text(&task.cgroup_name);
        Self {
            pid: task.pid,
            comm: kernel_text(&task.comm).into(),
            cgroup_id: task.cgroup_id,
            container: entities.container_of_event(task.cgroup_id, &name),
            cgroup_path: entities.cgroup_path(task.cgroup_id),
        }
    }
}

fn attributes(
    kill: &oom_kill,
    victim: Party,
    trigger: Party,
    limit: Option<Arc<str>>,
) -> Vec<Attribute> {
    let mut out: Vec<Attribute> = vec![
        (&attribute::PROCESS_PID, victim.pid.into()),
        (&attribute::THREAD_NAME, Value::Str(victim.comm)),
        (&attribute::LINUX_CGROUP_ID, cgroup_id(victim.cgroup_id)),
        (&attribute::LINUX_OOM_SCORE_ADJ, i64::from(kill.victim.score_adj).into()),
        (&attribute::LINUX_OOM_TRIGGER_PROCESS_PID, trigger.pid.into()),
        (&attribute::LINUX_OOM_TRIGGER_THREAD_NAME, Value::Str(trigger.comm)),
        (&attribute::LINUX_OOM_TRIGGER_CGROUP_ID, cgroup_id(trigger.cgroup_id)),
    ];
    let trigger_id = trigger.container.as_ref().map(|container| Arc::clone(&container.id));
    let trigger_pod = trigger.container.as_ref().and_then(|container| {
        let hostname = container.resource.text(&attribute::K8S_POD_HOSTNAME);
        (!hostname.is_empty()).then(|| Arc::from(hostname))
    });
    let texts: [(&'static AttributeDef, Option<Arc<str>>); 6] = [
        (&attribute::PROCESS_LINUX_CGROUP, victim.cgroup_path),
        (&attribute::LINUX_OOM_CONSTRAINT, constraint(kill.constraint).map(Arc::from)),
        (&attribute::LINUX_OOM_CGROUP_PATH, limit),
        (&attribute::LINUX_OOM_TRIGGER_CONTAINER_ID, trigger_id),
        (&attribute::LINUX_OOM_TRIGGER_K8S_POD_HOSTNAME, trigger_pod),
        (&attribute::LINUX_OOM_TRIGGER_CGROUP_PATH, trigger.cgroup_path),
    ];
    out.extend(texts.into_iter().filter_map(|(key, text)| Some((key, Value::Str(text?)))));
    out
}

/// Inode numbers of kernfs stay far below 2^63.
fn cgroup_id(id: u64) -> Value {
    Value::Int(i64::try_from(id).unwrap_or(i64::MAX))
}

/// The cgroup whose limit was hit: told by oom_kill_process, where it is hooked.
fn limit_path(kill: &oom_kill, entities: &Entities) -> Option<Arc<str>> {
    (kill.limit_cgroup_id != 0).then(|| entities.cgroup_path(kill.limit_cgroup_id)).flatten()
}

/// The machine without memory is worse than one cgroup at its limit.
fn severity(constraint: i32) -> Severity {
    match constraint {
        OOM_CONSTRAINT_UNKNOWN | MEMCG => Severity(event::LINUX_MEMORY_OOM_KILL.severity),
        _ => Severity(19),
    }
}

/// `CONSTRAINT_MEMCG` of `enum oom_constraint` (include/linux/oom.h).
const MEMCG: i32 = 3;

/// `enum oom_constraint` in the words of the registry.
fn constraint(number: i32) -> Option<&'static str> {
    let words = attribute::LINUX_OOM_CONSTRAINT.members;
    words.get(usize::try_from(number).ok()?).copied()
}

fn body(victim: &Party, trigger: &Party, limit: Option<&str>) -> String {
    let of = |party: &Party| match (&party.container, &party.cgroup_path) {
        (Some(container), _) => format!(" of container {}", short(&container.id)),
        (None, Some(path)) => format!(" in {path}"),
        (None, None) => String::new(),
    };
    let limit = limit.map(|path| format!(" at the limit of {path}")).unwrap_or_default();
    format!(
        "OOM kill of {} (pid {}){}{limit}, triggered by {} (pid {}){}",
        victim.comm,
        victim.pid,
        of(victim),
        trigger.comm,
        trigger.pid,
        of(trigger)
    )
}

/// As the command line tools of container runtimes show it.
fn short(id: &str) -> &str {
    id.get(..12).unwrap_or(id)
}

/// Text of a fixed-size field, up to its NUL; bytes that are no UTF-8 are replaced.
fn kernel_text(field: &[std::ffi::c_char]) -> String {
    let bytes: Vec<u8> = field.iter().map(|c| c.cast_unsigned()).take_while(|b| *b != 0).collect();
    String::from_utf8_lossy(&bytes).into_owned()
}
