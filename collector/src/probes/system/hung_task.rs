// SPDX-License-Identifier: Apache-2.0
//! Tasks that the kernel found waiting uninterruptibly for too long.
//! Hook: sched_process_hang.   Source: `/proc/sys/kernel/hung_task_detect_count`, `/proc/<pid>/task`.
//! Signals: the event `linux.kernel.hung_task`, `linux.kernel.hung_tasks`.

use ebpf::system_hung_task::records::hung_task;
use ebpf::system_hung_task::{OBJECT, global, program};
use semconv::{attribute, event, metric};

use super::backtraces::AllCpus;
use super::blocked::{Blocked, blocked, stack};
use super::found::Found;
use crate::bpf::{Global, Hook, Object, Plan, Twin, Way};
use crate::hostfs::HostFs;
use crate::kernel::boot_to_unix;
use crate::probes::{
    Backoff, Built, Collect, CollectError, Decode, DecodeContext, EventSource, Malformed, Probe,
    ProbeDef, StartContext, StartError, Started, Suppression, Whom, record, suppressed_before,
};
use crate::signal::{Event, Recorder, Value};

/// The probe.
pub static PROBE: ProbeDef = ProbeDef {
    name: "system.hung_task",
    legacy_names: &["hungtask"],
    start,
    decoder: Some(|cx| Box::new(HungTaskDecoder::new(cx))),
};

const HOOKS: &[Hook] = &[Hook {
    target: "sched_process_hang",
    required: true,
    purpose: "tells which task the kernel found",
    twins: &[Twin::new(Way::RawTp, program::SCHED_PROCESS_HANG_RAW)],
}];

/// Seconds; 0 turns it off.
const TIMEOUT: &str = "sys/kernel/hung_task_timeout_secs";
/// Since v6.13.
const COUNT: &str = "sys/kernel/hung_task_detect_count";

fn start(cx: &StartContext<'_>) -> Started {
    if let Err(error) = is_watched(cx.fs) {
        return Started::failed(error, Vec::new());
    }
    let globals = vec![Global::Bool(global::MEMORY_IS_V1, cx.support.memory_is_v1)];
    let plan = Plan { object: OBJECT, hooks: HOOKS, globals, ..Plan::default() };
    Started::from_object(cx, &plan, |mut object| {
        let events = EventSource::ring(&mut object)?;
        let found = Found::new(cx.fs.proc(COUNT), &mut object)?;
        Ok(Built { probe: Box::new(HungTasks { found, _object: object }), events: Some(events) })
    })
}

/// The kernel looks for hung tasks.
fn is_watched(fs: &HostFs) -> Result<(), StartError> {
    match timeout(fs) {
        Some(0) => Err(StartError::SwitchedOff(
            "the kernel does not look for hung tasks because kernel.hung_task_timeout_secs is 0; \
             set it with sysctl and start the agent anew"
                .to_owned(),
        )),
        Some(_) => Ok(()),
        None => Err(StartError::Lacks(
            "this kernel does not look for hung tasks; it needs CONFIG_DETECT_HUNG_TASK=y",
        )),
    }
}

fn timeout(fs: &HostFs) -> Option<i64> {
    fs.read_proc(TIMEOUT).ok()?.trim().parse().ok()
}

struct HungTasks {
    found: Found,
    _object: Object,
}

impl Probe for HungTasks {
    fn collect(&mut self, cx: &mut Collect<'_>, out: &mut Recorder) -> Result<(), CollectError> {
        self.found.collect(&metric::LINUX_KERNEL_HUNG_TASKS, cx, out)
    }
}

struct HungTaskDecoder {
    fs: HostFs,
    all_cpus: AllCpus,
    backoff: Backoff,
}

impl HungTaskDecoder {
    fn new(cx: &StartContext<'_>) -> Self {
        Self { fs: cx.fs.clone(), all_cpus: AllCpus::new(cx), backoff: Backoff::default() }
    }
}

impl Decode for HungTaskDecoder {
    fn decode(&mut self, bytes: &[u8], cx: &mut DecodeContext<'_>) -> Result<(), Malformed> {
        let hung: hung_task = record(bytes)?;
        let Some(held_back) = self.backoff.admit(hung.time_ns) else {
            cx.suppress(&event::LINUX_KERNEL_HUNG_TASK, Suppression::Backoff);
            return Ok(());
        };
        let whom = Whom::of(&hung.task, cx.entities);
        let mut attributes = whom.attributes();
        attributes.extend(cx.of_stack(&stack(&self.fs, whom.pid.into(), whom.tid.into())));
        let tasks = blocked(&self.fs).into_iter().map(Blocked::into_value).collect();
        attributes.push((&attribute::LINUX_TASK_BLOCKED, Value::Array(tasks)));
        if let Some(seconds) = timeout(&self.fs) {
            attributes.push((&attribute::LINUX_HUNG_TASK_TIMEOUT, seconds.into()));
        }
        if let Some(text) = self.all_cpus.ask() {
            attributes.push((&attribute::LINUX_CPU_BACKTRACES, text.into()));
        }
        attributes.extend(suppressed_before(held_back));
        let body = format!("hung task {}", whom.shown());
        let (def, time) = (&event::LINUX_KERNEL_HUNG_TASK, boot_to_unix(hung.time_ns));
        cx.raise(Event::new(def, time, whom.resource, attributes, body));
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::mem::offset_of;

    use ebpf::event_task::event_task;
    use jiff::tz::TimeZone;
    use serde_json::json;

    use super::*;
    use crate::config::Config;
    use crate::entity::Entities;
    use crate::export::document::document;
    use crate::kernel::Symbols;
    use crate::probes::KnownIssues;

    fn bytes() -> Vec<u8> {
        let mut bytes = vec![0; size_of::<hung_task>()];
        let task = offset_of!(hung_task, task);
        for at in [offset_of!(event_task, pid), offset_of!(event_task, tid)] {
            bytes[task + at..task + at + 4].copy_from_slice(&42u32.to_ne_bytes());
        }
        bytes[task + offset_of!(event_task, comm)..][..2].copy_from_slice(b"dd");
        bytes
    }

    #[test]
    fn a_hung_task_has_its_stack_and_those_of_all_blocked_tasks() {
        let root = tempfile::tempdir().unwrap();
        let folder = root.path().join("proc/42/task/42");
        fs::create_dir_all(&folder).unwrap();
        fs::write(folder.join("stat"), "42 (dd) D 1\n").unwrap();
        fs::write(folder.join("stack"), "[<0>] percpu_rwsem_wait+0x1/0x2\n").unwrap();
        fs::create_dir_all(root.path().join("proc/sys/kernel")).unwrap();
        let fs = HostFs::new(root.path());
        fs::write(fs.proc(TIMEOUT), "120\n").unwrap();
        let entities = Entities::discover(&Config::default(), &fs);
        let (symbols, issues) = (Symbols::default(), KnownIssues::default());
        let mut cx = DecodeContext::new(&entities, &symbols, &issues);
        let mut decoder =
            HungTaskDecoder { fs, all_cpus: AllCpus::never(), backoff: Backoff::default() };
        decoder.decode(&bytes(), &mut cx).unwrap();
        let event = cx.into_found().0.remove(0);
        assert_eq!(event.body, "hung task dd (pid 42)");
        assert_eq!(event.severity.0, 17);
        assert_eq!(event.get(&attribute::LINUX_HUNG_TASK_TIMEOUT), Some(&Value::Int(120)));
        let stack = event.get(&attribute::CODE_STACKTRACE).and_then(Value::as_str);
        assert_eq!(stack, Some("percpu_rwsem_wait+0x1/0x2"));
        let document = document(&event, &TimeZone::UTC);
        assert_eq!(document["tracer_name"], "hungtask");
        let blocked = "process.pid: 42 thread.id: 42 thread.name: dd\n percpu_rwsem_wait+0x1/0x2\n";
        let data = json!({
            "pid": 42, "comm": "dd", "cpus_stack": "", "blocked_processes_stack": blocked,
        });
        assert_eq!(document["tracer_data"], data);
    }

    #[test]
    fn a_timeout_of_0_or_none_is_told_with_what_would_mend_it() {
        let root = tempfile::tempdir().unwrap();
        let fs = HostFs::new(root.path());
        assert!(matches!(is_watched(&fs), Err(StartError::Lacks(_))));
        fs::create_dir_all(root.path().join("proc/sys/kernel")).unwrap();
        for (text, is_on) in [("0\n", false), ("120\n", true)] {
            fs::write(fs.proc(TIMEOUT), text).unwrap();
            assert_eq!(is_watched(&fs).is_ok(), is_on);
        }
    }
}
