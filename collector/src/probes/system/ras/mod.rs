// SPDX-License-Identifier: Apache-2.0
//! Errors of the hardware: of processors, memory and devices (reliability, availability,
//! serviceability).
//! Hooks: mce_record, mc_event, non_standard_event, aer_event, threshold_apic_entry, arm_event.
//! Signals: `linux.ras.errors`, the event `linux.ras.error`.

mod aer;
mod decode;
mod source;
#[cfg(test)]
mod tests;

use std::time::Duration;

use ebpf::system_ras::records::{RAS_ARM, RAS_SEVERITIES, RAS_SOURCES, RAS_UNKNOWN, ras_errors};
use ebpf::system_ras::{OBJECT, map, program};
use schemars::JsonSchema;
use semconv::{attribute, metric};
use serde::{Deserialize, Serialize};

use crate::bpf::{Hook, HookState, Object, PerCpuTotal, Plan, Twin, Way};
use crate::kernel::unix_now;
use crate::probes::{
    Built, Collect, CollectError, EventSource, Probe, ProbeDef, StartContext, StartError, Started,
};
use crate::signal::{Recorder, UnixNanos, Value};
use decode::HardwareErrorEvents;

/// The probe.
pub static PROBE: ProbeDef = ProbeDef {
    name: "system.ras",
    legacy_names: &["ras"],
    start,
    decoder: Some(|cx| {
        let backoff = Duration::from_secs(cx.config.event_tracing.ras.mce_thr_backoff);
        Box::new(HardwareErrorEvents::new(backoff))
    }),
};

/// `[EventTracing.Ras]`: errors of the hardware.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "PascalCase", default, deny_unknown_fields)]
pub struct RasConfig {
    /// Seconds between two events of corrected-error thresholds.
    #[schemars(range(min = 0, max = 86400))]
    pub mce_thr_backoff: u64,
}

impl Default for RasConfig {
    fn default() -> Self {
        Self { mce_thr_backoff: 1800 }
    }
}

const HOOKS: &[Hook] = &[
    Hook {
        target: "mce_record",
        required: false,
        purpose: "errors that processors report",
        twins: &[Twin::new(Way::RawTp, program::MCE_RECORD_RAW)],
    },
    Hook {
        target: "mc_event",
        required: false,
        purpose: "errors of memory controllers",
        twins: &[Twin::new(Way::RawTp, program::MC_EVENT_RAW)],
    },
    Hook {
        target: "non_standard_event",
        required: false,
        purpose: "errors that the firmware reports",
        twins: &[Twin::new(Way::RawTp, program::NON_STANDARD_EVENT_RAW)],
    },
    Hook {
        target: "aer_event",
        required: false,
        purpose: "errors of PCIe devices",
        twins: &[Twin::new(Way::RawTp, program::AER_EVENT_RAW)],
    },
    Hook {
        target: "threshold_apic_entry",
        required: false,
        purpose: "corrected errors over their threshold",
        twins: &[Twin::new(Way::RawTp, program::THRESHOLD_APIC_ENTRY_RAW)],
    },
    Hook {
        target: "arm_event",
        required: false,
        purpose: "errors of ARM processors",
        twins: &[
            Twin::new(Way::RawTp, program::ARM_EVENT_RAW),
            Twin::new(Way::RawTp, program::ARM_EVENT_OLD_RAW),
        ],
    },
];

/// Sources and severities as the program numbers them, with the source that each hook tells of.
const SOURCES: [(&str, &str); RAS_SOURCES as usize] = [
    ("mce", "mce_record"),
    ("edac", "mc_event"),
    ("ghes", "non_standard_event"),
    ("aer", "aer_event"),
    ("mce_threshold", "threshold_apic_entry"),
    ("arm", "arm_event"),
];
/// With the severity of their events.
const SEVERITIES: [(&str, u8); RAS_SEVERITIES as usize] = [
    ("corrected", 13),
    ("deferred", 17),
    ("recoverable", 18),
    ("fatal", 21),
    ("info", 9),
    ("unknown", 13),
];

fn start(cx: &StartContext<'_>) -> Started {
    let plan = Plan { object: OBJECT, hooks: HOOKS, ..Plan::default() };
    let started = Started::from_object(cx, &plan, |mut object| {
        let events = EventSource::ring(&mut object)?;
        let probe = HardwareErrors {
            errors: object.per_cpu_total(map::ERRORS)?,
            seen: SOURCES.map(|(_, hook)| object.is_attached(hook)),
            attached: unix_now(),
            _object: object,
        };
        Ok(Built { probe: Box::new(probe), events: Some(events) })
    });
    let is_blind = started.hooks.iter().all(|hook| hook.state != HookState::Attached);
    match started.probe {
        Ok(_) if is_blind => Started::failed(StartError::Hook("mc_event"), started.hooks),
        _ => started,
    }
}

struct HardwareErrors {
    errors: PerCpuTotal<ras_errors>,
    /// Which sources this kernel tells of.
    seen: [bool; SOURCES.len()],
    attached: UnixNanos,
    _object: Object,
}

impl Probe for HardwareErrors {
    fn collect(&mut self, _: &mut Collect<'_>, out: &mut Recorder) -> Result<(), CollectError> {
        let cpus = self.errors.values()?;
        let mut host = out.host();
        for (source, (name, _)) in SOURCES.into_iter().enumerate().filter(|(at, _)| self.seen[*at])
        {
            for (severity, (word, _)) in SEVERITIES.into_iter().enumerate() {
                // The others always tell.
                if severity == RAS_UNKNOWN as usize && source != RAS_ARM as usize {
                    continue;
                }
                let count: u64 = cpus.iter().map(|cpu| cpu.counts[source][severity]).sum();
                let attributes = vec![
                    (&attribute::LINUX_RAS_SOURCE, Value::Static(name)),
                    (&attribute::LINUX_RAS_SEVERITY, Value::Static(word)),
                ];
                host.sum(&metric::LINUX_RAS_ERRORS, attributes, self.attached, count);
            }
        }
        Ok(())
    }
}
