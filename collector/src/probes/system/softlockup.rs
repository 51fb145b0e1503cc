// SPDX-License-Identifier: Apache-2.0
//! CPUs that the kernel's watchdog found running kernel code without a break.
//! Hook: add_taint, or else console.   Source: `/sys/kernel/softlockup_count`.   Signals: the event
//! `linux.kernel.softlockup`, `linux.kernel.softlockups`.

use std::path::Path;

use ebpf::system_softlockup::records::softlockup;
use ebpf::system_softlockup::{OBJECT, global, program};
use semconv::{attribute, event, metric};

use super::backtraces::AllCpus;
use super::found::Found;
use crate::bpf::{Global, Hook, Object, Plan, Twin, Way};
use crate::hostfs::HostFs;
use crate::kernel::{boot_to_unix, interrupted};
use crate::probes::{
    Backoff, Built, Collect, CollectError, Decode, DecodeContext, EventSource, Malformed, Probe,
    ProbeDef, StartContext, StartError, Started, Suppression, Whom, record, suppressed_before,
};
use crate::signal::{Event, Recorder, Value};

/// The probe.
pub static PROBE: ProbeDef = ProbeDef {
    name: "system.softlockup",
    legacy_names: &["softlockup"],
    start,
    decoder: Some(|cx| {
        Box::new(SoftlockupDecoder { all_cpus: AllCpus::new(cx), backoff: Backoff::default() })
    }),
};

const HOOKS: &[Hook] = &[Hook {
    target: "add_taint",
    required: true,
    purpose: "tells what the watchdog found",
    twins: &[
        Twin::new(Way::Fentry, program::ADD_TAINT_FENTRY),
        Twin::new(Way::Kprobe, program::ADD_TAINT_KPROBE),
        Twin::at(Way::RawTp, program::CONSOLE_RAW, "console"),
    ],
}];

/// Settings of the watchdog below `/proc/sys/kernel`; each turns it off with a 0.
const SETTINGS: [&str; 3] = ["soft_watchdog", "watchdog", "watchdog_thresh"];

/// Since v6.17.
const COUNT: &str = "/sys/kernel/softlockup_count";

fn start(cx: &StartContext<'_>) -> Started {
    if let Err(error) = is_watched(cx.fs) {
        return Started::failed(error, Vec::new());
    }
    let plan = Plan {
        object: OBJECT,
        hooks: HOOKS,
        globals: vec![Global::Bool(global::MEMORY_IS_V1, cx.support.memory_is_v1)],
        ..Plan::default()
    };
    Started::from_object(cx, &plan, |mut object| {
        let events = EventSource::ring(&mut object)?;
        let found = Found::new(cx.fs.rooted(Path::new(COUNT)), &mut object)?;
        let probe = Softlockups { found, _object: object };
        Ok(Built { probe: Box::new(probe), events: Some(events) })
    })
}

/// The kernel's watchdog is there and on.
fn is_watched(fs: &HostFs) -> Result<(), StartError> {
    for setting in SETTINGS {
        let Ok(value) = fs.read_proc(&format!("sys/kernel/{setting}")) else {
            return Err(StartError::Lacks(
                "this kernel does not look for soft lockups; it needs \
                 CONFIG_SOFTLOCKUP_DETECTOR=y",
            ));
        };
        if value.trim() == "0" {
            return Err(StartError::SwitchedOff(format!(
                "the kernel does not look for soft lockups because kernel.{setting} is 0; set it \
                 with sysctl and start the agent anew"
            )));
        }
    }
    Ok(())
}

struct Softlockups {
    found: Found,
    _object: Object,
}

impl Probe for Softlockups {
    fn collect(&mut self, cx: &mut Collect<'_>, out: &mut Recorder) -> Result<(), CollectError> {
        self.found.collect(&metric::LINUX_KERNEL_SOFTLOCKUPS, cx, out)
    }
}

struct SoftlockupDecoder {
    all_cpus: AllCpus,
    backoff: Backoff,
}

impl Decode for SoftlockupDecoder {
    fn decode(&mut self, bytes: &[u8], cx: &mut DecodeContext<'_>) -> Result<(), Malformed> {
        let lockup: softlockup = record(bytes)?;
        let Some(held_back) = self.backoff.admit(lockup.time_ns) else {
            cx.suppress(&event::LINUX_KERNEL_SOFTLOCKUP, Suppression::Backoff);
            return Ok(());
        };
        let whom = Whom::of(&lockup.task, cx.entities);
        let trace = cx.symbols.trace(&lockup.frames);
        let stack = interrupted(&trace);
        let backtraces = match self.all_cpus.ask() {
            Some(text) => text.into(),
            None => of_one_cpu(lockup.cpu, stack),
        };
        let mut attributes = whom.attributes();
        attributes.push((&attribute::CPU_LOGICAL_NUMBER, lockup.cpu.into()));
        attributes.push((&attribute::LINUX_CPU_BACKTRACES, backtraces));
        attributes.extend(cx.of_stack(stack));
        attributes.extend(suppressed_before(held_back));
        let body = format!("soft lockup of CPU {} by {}", lockup.cpu, whom.shown());
        let time = boot_to_unix(lockup.time_ns);
        let def = &event::LINUX_KERNEL_SOFTLOCKUP;
        cx.raise(Event::new(def, time, whom.resource, attributes, body));
        Ok(())
    }
}

fn of_one_cpu(cpu: u32, stack: &str) -> Value {
    Value::Array(vec![Value::Map(vec![("cpu", cpu.into()), ("stack", stack.into())])])
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
        let mut bytes = vec![0; size_of::<softlockup>()];
        let mut put = |at: usize, value: &[u8]| bytes[at..at + value.len()].copy_from_slice(value);
        put(offset_of!(softlockup, cpu), &15u32.to_ne_bytes());
        let task = offset_of!(softlockup, task);
        put(task + offset_of!(event_task, pid), &12345u32.to_ne_bytes());
        put(task + offset_of!(event_task, comm), b"kworker/15:0");
        bytes
    }

    #[test]
    fn the_first_is_recorded_and_the_next_is_held_back() {
        let root = tempfile::tempdir().unwrap();
        let entities = Entities::discover(&Config::default(), &HostFs::new(root.path()));
        let (symbols, issues) = (Symbols::default(), KnownIssues::default());
        let mut cx = DecodeContext::new(&entities, &symbols, &issues);
        let mut decoder =
            SoftlockupDecoder { all_cpus: AllCpus::never(), backoff: Backoff::default() };
        for _ in 0..2 {
            decoder.decode(&bytes(), &mut cx).unwrap();
        }
        assert_eq!(decoder.decode(&[0; 3], &mut cx), Err(Malformed));
        let (mut events, suppressed) = cx.into_found();
        assert_eq!((events.len(), suppressed.len()), (1, 1));
        let event = events.remove(0);
        assert_eq!(event.body, "soft lockup of CPU 15 by kworker/15:0 (pid 12345)");
        let document = document(&event, &TimeZone::UTC);
        assert_eq!(document["tracer_name"], "softlockup");
        let data =
            json!({"cpu": 15, "pid": 12345, "comm": "kworker/15:0", "cpus_stack": "cpu: 15\n"});
        assert_eq!(document["tracer_data"], data);
    }

    #[test]
    fn a_watchdog_that_is_missing_or_off_is_told_with_what_would_mend_it() {
        let root = tempfile::tempdir().unwrap();
        let folder = root.path().join("proc/sys/kernel");
        let judged = || is_watched(&HostFs::new(root.path()));
        assert!(matches!(judged(), Err(StartError::Lacks(_))));
        fs::create_dir_all(&folder).unwrap();
        SETTINGS.iter().for_each(|setting| fs::write(folder.join(setting), "1\n").unwrap());
        assert!(judged().is_ok());
        fs::write(folder.join("watchdog_thresh"), "0\n").unwrap();
        let error = judged().unwrap_err();
        assert!(matches!(error, StartError::SwitchedOff(_)));
        assert!(error.to_string().contains("kernel.watchdog_thresh is 0"));
    }
}
