// SPDX-License-Identifier: Apache-2.0
//! What the kernel counts of itself.
//! Source: `/proc/stat`, `/proc/sys/fs/file-nr`, `/proc/sys/kernel/random/entropy_avail`.
//! Signals: `linux.cpu.context_switches`, `linux.cpu.interrupts`, `system.process.created`,
//! `linux.file.handle.*`, `linux.random.entropy`.

use semconv::{MetricDef, metric};

use crate::probes::{Collect, CollectError, Probe, ProbeDef, Started};
use crate::signal::Recorder;

/// The probe.
pub static PROBE: ProbeDef = ProbeDef {
    name: "system.kernel",
    legacy_names: &[],
    start: |_| Started::from_files(Kernel),
    decoder: None,
};

/// Bits (drivers/char/random.c).
const ENTROPY: &str = "sys/kernel/random/entropy_avail";
/// Open files, a zero, and their limit.
const FILES: &str = "sys/fs/file-nr";

struct Kernel;

impl Probe for Kernel {
    fn collect(&mut self, cx: &mut Collect<'_>, out: &mut Recorder) -> Result<(), CollectError> {
        let (mut host, start) = (out.host(), cx.boot_time);
        let mut sum = |metric: &'static MetricDef, value: Option<u64>| {
            if let Some(value) = value {
                host.sum(metric, Vec::new(), start, value);
            }
        };
        let stat = cx.files.proc("stat")?;
        for (word, metric) in [
            ("ctxt ", &metric::LINUX_CPU_CONTEXT_SWITCHES),
            ("intr ", &metric::LINUX_CPU_INTERRUPTS),
            ("processes ", &metric::SYSTEM_PROCESS_CREATED),
        ] {
            // Of interrupts the sum comes first, and then each.
            let line = stat.lines().find_map(|line| line.strip_prefix(word));
            sum(metric, line.and_then(|rest| nth(rest, 0)));
        }
        let files = cx.files.proc(FILES)?;
        sum(&metric::LINUX_FILE_HANDLE_COUNT, nth(files, 0));
        sum(&metric::LINUX_FILE_HANDLE_LIMIT, nth(files, 2));
        let entropy = cx.files.proc(ENTROPY).ok().and_then(|text| nth(text, 0));
        if let Some(bits) = entropy {
            host.gauge(&metric::LINUX_RANDOM_ENTROPY, Vec::new(), bits as f64);
        }
        Ok(())
    }
}

fn nth(text: &str, index: usize) -> Option<u64> {
    text.split_ascii_whitespace().nth(index)?.parse().ok()
}
