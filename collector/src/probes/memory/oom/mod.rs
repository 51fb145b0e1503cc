// SPDX-License-Identifier: Apache-2.0
//! Processes that the OOM killer killed.
//! Hooks: signal_generate with mark_victim; oom_kill_process adds why.
//! Signals: the event `linux.memory.oom_kill`, `linux.memory.oom_kills` of the host,
//! `linux.cgroup.memory.oom_kills` of each container.
//!
//! The victim is described by the kernel record alone: the process and its cgroup may be gone when
//! we read it. What else the memory was used for is read from files, right after the kill.

mod snapshot;

use std::sync::Arc;

use ebpf::event_task::event_task;
use ebpf::memory_oom::records::{OOM_CONSTRAINT_UNKNOWN, oom_count, oom_kill, oom_memory};
use ebpf::memory_oom::{OBJECT, global, map, program};
use semconv::{AttributeDef, attribute, event, metric};

use crate::bpf::{CgroupTable, Global, Hook, Object, Plan, Twin, Way};
use crate::entity::{Entities, Tally};
use crate::kernel::{boot_to_unix, counter_start, unix_now};
use crate::probes::{
    Built, Collect, CollectError, Decode, DecodeContext, EventSource, Malformed, Probe, ProbeDef,
    StartContext, Started, Whom, kernel_text, record,
};
use crate::signal::{Attribute, Event, Recorder, Severity, UnixNanos, Value};
use snapshot::Snapshot;

use super::cgroup::UNLIMITED;

/// The probe.
pub static PROBE: ProbeDef = ProbeDef {
    name: "memory.oom",
    legacy_names: &["oom"],
    start,
    decoder: Some(|cx| Box::new(OomDecoder { snapshot: Snapshot::new(cx.fs) })),
};

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

/// A cgroup whose processes are killed together (`memory.oom.group`) may have hundreds.
const EVENTS_PER_SECOND: u64 = 1000;

fn start(cx: &StartContext<'_>) -> Started {
    let plan = Plan {
        object: OBJECT,
        hooks: HOOKS,
        globals: vec![
            Global::Bool(global::MEMORY_IS_V1, cx.support.memory_is_v1),
            Global::Words(global::EVENTS_PER_SECOND, vec![EVENTS_PER_SECOND]),
        ],
        ..Plan::default()
    };
    Started::from_object(cx, &plan, |mut object| {
        let events = EventSource::ring(&mut object)?;
        let probe = OomKills {
            cgroups: object.table(map::CGROUP_KILLS)?,
            tally: Tally::new(|sum, count| {
                sum.kills += count.kills;
                sum.start_ns = sum.start_ns.min(count.start_ns);
            }),
            attached: unix_now(),
            _object: object,
        };
        Ok(Built { probe: Box::new(probe), events: Some(events) })
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

struct OomDecoder {
    snapshot: Snapshot,
}

impl Decode for OomDecoder {
    fn decode(&mut self, bytes: &[u8], cx: &mut DecodeContext<'_>) -> Result<(), Malformed> {
        let kill: oom_kill = record(bytes)?;
        let victim = Party::of(&kill.victim, cx.entities);
        let trigger = Party::of(&kill.trigger, cx.entities);
        let limit = limit_path(&kill, cx.entities);
        let resource = Arc::clone(&victim.whom.resource);
        let time = boot_to_unix(kill.time_ns);
        let body = body(&victim, &trigger, limit.as_deref());
        let full = limit.clone().or_else(|| victim.cgroup_path.clone());
        let mut attributes = attributes(&kill, victim, trigger, limit);
        let maps = [
            (&attribute::LINUX_OOM_MEMORY_HOST, self.snapshot.host()),
            (&attribute::LINUX_OOM_MEMORY_CGROUP, full.and_then(|at| self.snapshot.cgroup(&at))),
        ];
        attributes.extend(maps.into_iter().filter_map(|(key, map)| Some((key, map?))));
        let mut event = Event::new(&event::LINUX_MEMORY_OOM_KILL, time, resource, attributes, body);
        event.severity = severity(kill.constraint);
        cx.raise(event);
        Ok(())
    }
}

/// The victim, or the thread whose allocation failed.
struct Party {
    whom: Whom,
    cgroup_path: Option<Arc<str>>,
}

impl Party {
    fn of(task: &event_task, entities: &Entities) -> Self {
        let whom = Whom::of(task, entities);
        Self { cgroup_path: entities.cgroup_path(whom.cgroup_id), whom }
    }

    fn shown(&self) -> String {
        match (&self.whom.container, &self.cgroup_path) {
            (None, Some(path)) => format!("{} in {path}", self.whom.shown()),
            _ => self.whom.shown(),
        }
    }
}

fn attributes(
    kill: &oom_kill,
    victim: Party,
    trigger: Party,
    limit: Option<Arc<str>>,
) -> Vec<Attribute> {
    let mut out = victim.whom.attributes();
    out.extend([
        (&attribute::LINUX_CGROUP_ID, cgroup_id(victim.whom.cgroup_id)),
        (&attribute::LINUX_OOM_SCORE_ADJ, i64::from(kill.score_adj).into()),
        (&attribute::LINUX_OOM_TRIGGER_PROCESS_PID, trigger.whom.pid.into()),
        (&attribute::LINUX_OOM_TRIGGER_THREAD_NAME, Value::Str(trigger.whom.comm)),
        (&attribute::LINUX_OOM_TRIGGER_CGROUP_ID, cgroup_id(trigger.whom.cgroup_id)),
    ] as [Attribute; 5]);
    let container = trigger.whom.container.as_ref();
    let trigger_id = container.map(|container| Arc::clone(&container.id));
    let trigger_pod = container.and_then(|container| {
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
    out.extend(memory(
        &kill.victim_memory,
        [&attribute::LINUX_OOM_VICTIM_CGROUP_USAGE, &attribute::LINUX_OOM_VICTIM_CGROUP_LIMIT],
    ));
    out.extend(memory(
        &kill.trigger_memory,
        [&attribute::LINUX_OOM_TRIGGER_CGROUP_USAGE, &attribute::LINUX_OOM_TRIGGER_CGROUP_LIMIT],
    ));
    out
}

/// Usage and limit of a cgroup in bytes, where they are known and there is one.
fn memory(
    pages: &oom_memory,
    [usage, limit]: [&'static AttributeDef; 2],
) -> impl Iterator<Item = Attribute> {
    let page_size = rustix::param::page_size() as u64;
    [(usage, pages.usage), (limit, pages.limit)].into_iter().filter_map(move |(key, pages)| {
        let bytes = pages.checked_mul(page_size).filter(|bytes| (1..UNLIMITED).contains(bytes))?;
        Some((key, Value::Int(bytes.try_into().ok()?)))
    })
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
    let limit = limit.map(|path| format!(" at the limit of {path}")).unwrap_or_default();
    format!("OOM kill of {}{limit}, triggered by {}", victim.shown(), trigger.shown())
}
