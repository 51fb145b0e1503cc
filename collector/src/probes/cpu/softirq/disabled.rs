// SPDX-License-Identifier: Apache-2.0
//! The event: softirqs of a CPU were held off, or all of its interrupts.

use ebpf::cpu_softirq::records::softirq_disabled;
use semconv::{attribute, event};

use super::{SoftirqConfig, VECTORS, of};
use crate::kernel::{boot_to_unix, interrupted};
use crate::probes::{Decode, DecodeContext, Malformed, Whom, kernel_text, record};
use crate::signal::{Attribute, Event, Value};

/// Functions that run softirqs (kernel/softirq.c). The second is the first's other name where it is
/// the only one of its section; the third is since v6.9.
const RUN_SOFTIRQS: [&str; 3] = ["__do_softirq+", "__softirqentry_text_start+", "handle_softirqs"];

/// Makes events of what was held off.
pub(super) struct Disabled {
    /// Seconds.
    threshold: f64,
}

impl Disabled {
    pub(super) fn new(config: &SoftirqConfig) -> Self {
        Self { threshold: seconds(config.disabled_threshold) }
    }
}

impl Decode for Disabled {
    fn decode(&mut self, bytes: &[u8], cx: &mut DecodeContext<'_>) -> Result<(), Malformed> {
        let held: softirq_disabled = record(bytes)?;
        let trace = cx.symbols.trace(&held.holder.frames);
        if !is_held_off(&held, &trace) {
            return Ok(());
        }
        let stack = interrupted(&trace);
        let whom = (held.is_sampled != 0).then(|| Whom::of(&held.holder.task, cx.entities));
        let mut attributes = self.attributes(&held);
        attributes.extend(whom.iter().flat_map(Whom::attributes));
        attributes.extend(cx.of_stack(stack));
        let body = body(&held, whom.as_ref());
        let resource = whom.map_or_else(|| cx.entities.host().clone(), |whom| whom.resource);
        let time = boot_to_unix(held.time_ns);
        cx.raise(Event::new(&event::LINUX_SOFTIRQ_DISABLED, time, resource, attributes, body));
        Ok(())
    }
}

impl Disabled {
    fn attributes(&self, held: &softirq_disabled) -> Vec<Attribute> {
        let duration = seconds(held.duration_ns);
        let mut out = vec![
            (&attribute::CPU_LOGICAL_NUMBER, held.cpu.into()),
            (&attribute::LINUX_SOFTIRQ_DISABLED_DURATION, duration.into()),
            (&attribute::LINUX_SOFTIRQ_DISABLED_THRESHOLD, self.threshold.into()),
            (&attribute::LINUX_TIME_MONOTONIC, Value::Int(held.monotonic_ns.cast_signed())),
        ];
        out.extend(vector(held).map(of));
        out
    }
}

/// Whether code of the kernel held them off.
///
/// Where softirqs take too long they are left to ksoftirqd, which waits for the CPU like any other
/// thread, and holds off nothing but its own work. Interrupts that come late while user space runs
/// are a handler's, or a hypervisor's that ran another machine: nobody turned them off.
fn is_held_off(held: &softirq_disabled, trace: &str) -> bool {
    if held.is_sampled == 0 {
        return held.by_ksoftirqd == 0;
    }
    if kernel_text(&held.holder.task.comm).starts_with("ksoftirqd/") {
        return false;
    }
    let stack = interrupted(trace);
    if RUN_SOFTIRQS.iter().any(|function| stack.contains(function)) {
        return true;
    }
    // Without names of functions it cannot be told.
    let in_kernel = trace.is_empty() || !stack.is_empty();
    let is_turn = vector(held).is_some() && held.by_ksoftirqd != 0;
    held.holder.task.tid != 0 && in_kernel && !is_turn
}

/// `None`: interrupts were off.
fn vector(held: &softirq_disabled) -> Option<&'static str> {
    VECTORS.get(held.vector as usize).copied()
}

fn body(held: &softirq_disabled, whom: Option<&Whom>) -> String {
    let what = match vector(held) {
        Some(vector) => format!("softirq {vector} held off"),
        None => "interrupts off".to_owned(),
    };
    let ms = held.duration_ns as f64 / 1e6;
    let ran = whom.map(|whom| format!(", which ran {}", whom.shown())).unwrap_or_default();
    format!("{what} for {ms:.0} ms on CPU {}{ran}", held.cpu)
}

fn seconds(ns: u64) -> f64 {
    ns as f64 / 1e9
}

#[cfg(test)]
mod tests {
    use std::mem::offset_of;

    use ebpf::cpu_softirq::records::{SOFTIRQ_VECTORS, softirq_holder};
    use ebpf::event_task::event_task;
    use jiff::tz::TimeZone;
    use serde_json::json;

    use super::*;
    use crate::export::document::document;
    use crate::probes::tests;

    /// `vector` waited for 237 ms on CPU 1; the tick saw java where `sampled`.
    fn bytes(vector: u32, sampled: bool) -> Vec<u8> {
        let mut bytes = vec![0; size_of::<softirq_disabled>()];
        let mut put = |at: usize, value: &[u8]| bytes[at..at + value.len()].copy_from_slice(value);
        put(offset_of!(softirq_disabled, monotonic_ns), &5_532_940_660_025_295u64.to_ne_bytes());
        put(offset_of!(softirq_disabled, duration_ns), &237_328_905u64.to_ne_bytes());
        put(offset_of!(softirq_disabled, cpu), &1u32.to_ne_bytes());
        put(offset_of!(softirq_disabled, vector), &vector.to_ne_bytes());
        if sampled {
            put(offset_of!(softirq_disabled, is_sampled), &1u32.to_ne_bytes());
            let task = offset_of!(softirq_disabled, holder) + offset_of!(softirq_holder, task);
            put(task + offset_of!(event_task, pid), &42u32.to_ne_bytes());
            put(task + offset_of!(event_task, tid), &43u32.to_ne_bytes());
            put(task + offset_of!(event_task, comm), b"java");
        }
        bytes
    }

    fn decode(bytes: &[u8]) -> Result<Vec<Event>, Malformed> {
        tests::decode(&mut Disabled::new(&SoftirqConfig::default()), bytes)
    }

    #[test]
    fn a_record_becomes_an_event_and_a_document_of_huatuo() {
        let event = decode(&bytes(3, true)).unwrap().remove(0);
        assert_eq!(event.severity.0, 13);
        assert_eq!(
            event.body,
            "softirq net_rx held off for 237 ms on CPU 1, which ran java (pid 42)"
        );
        let expected: Vec<Attribute> = vec![
            (&attribute::CPU_LOGICAL_NUMBER, Value::Int(1)),
            (&attribute::LINUX_SOFTIRQ_DISABLED_DURATION, Value::Double(0.237_328_905)),
            (&attribute::LINUX_SOFTIRQ_DISABLED_THRESHOLD, Value::Double(0.01)),
            (&attribute::LINUX_TIME_MONOTONIC, Value::Int(5_532_940_660_025_295)),
            (&attribute::LINUX_SOFTIRQ_VECTOR, Value::Static("net_rx")),
            (&attribute::PROCESS_PID, Value::Int(42)),
            (&attribute::THREAD_ID, Value::Int(43)),
            (&attribute::THREAD_NAME, "java".into()),
        ];
        let keys = |all: &[Attribute]| {
            all.iter().map(|(key, value)| (key.key, value.clone())).collect::<Vec<_>>()
        };
        assert_eq!(keys(&event.attributes), keys(&expected));
        let document = document(&event, &TimeZone::UTC);
        assert_eq!(document["tracer_name"], "softirq_tracing");
        let data = json!({
            "offtime": 237_328_905, "threshold": 10_000_000, "comm": "java", "pid": 42, "cpu": 1,
            "now": 5_532_940_660_025_295u64, "stack": "",
        });
        assert_eq!(document["tracer_data"], data);
    }

    #[test]
    fn without_a_sample_and_without_a_vector_an_event_says_what_is_known() {
        let event = decode(&bytes(1, false)).unwrap().remove(0);
        assert_eq!(event.body, "softirq timer held off for 237 ms on CPU 1");
        assert!(event.get(&attribute::PROCESS_PID).is_none());
        let event = decode(&bytes(SOFTIRQ_VECTORS, true)).unwrap().remove(0);
        assert_eq!(event.body, "interrupts off for 237 ms on CPU 1, which ran java (pid 42)");
        assert!(event.get(&attribute::LINUX_SOFTIRQ_VECTOR).is_none());
        assert!(matches!(decode(&[0; 3]), Err(Malformed)));
    }

    #[test]
    fn what_only_waited_for_its_turn_was_not_held_off() {
        let tick = "hrtimer_interrupt+0x1/0x2\nasm_sysvec_apic_timer_interrupt+0x16/0x20";
        let kernel = format!("{tick}\next4_sync+0x1/0x2");
        let serving = format!("{tick}\nnet_rx_action+0x1/0x2\nhandle_softirqs+0x3/0x4");
        let off = SOFTIRQ_VECTORS;
        // Vector, tid, in ksoftirqd at last, trace, held off.
        let cases = [
            (1, 43, false, kernel.as_str(), true),
            (1, 43, true, &kernel, false),
            (1, 43, true, &serving, true),
            (1, 0, false, &serving, true),
            (1, 0, false, &kernel, false),
            (1, 43, false, tick, false),
            (1, 43, false, "", true),
            (off, 43, false, &kernel, true),
            (off, 43, false, tick, false),
        ];
        for (vector, tid, by_ksoftirqd, trace, expected) in cases {
            let mut held: softirq_disabled = record(&bytes(vector, true)).unwrap();
            held.holder.task.tid = tid;
            held.by_ksoftirqd = by_ksoftirqd.into();
            assert_eq!(is_held_off(&held, trace), expected, "{vector} {tid} {trace}");
        }
    }
}
