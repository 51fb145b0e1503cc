// SPDX-License-Identifier: Apache-2.0
//! What the kernel counts of itself.
//! Source: `/proc/stat`, `/proc/sys/fs/file-nr`, `/sys/kernel/softlockup_count`,
//! `/proc/sys/kernel/hung_task_detect_count`, `/proc/sys/kernel/random/entropy_avail`.
//! Signals: `linux.cpu.context_switches`, `linux.cpu.interrupts`, `system.process.created`,
//! `linux.file.handle.*`, `linux.kernel.*`, `linux.random.entropy`.

use std::path::Path;

use semconv::{MetricDef, metric};

use crate::hostfs::KeptFile;
use crate::probes::{Collect, CollectError, Probe, ProbeDef, Started};
use crate::signal::Recorder;

/// The probe.
pub static PROBE: ProbeDef = ProbeDef {
    name: "system.kernel",
    legacy_names: &["softlockup", "hungtask"],
    start: |cx| {
        let path = cx.fs.rooted(Path::new("/sys/kernel/softlockup_count"));
        Started::from_files(Kernel { softlockups: KeptFile::new(path) })
    },
    decoder: None,
};

/// Tasks found hung, since v6.13.
const HUNG_TASKS: &str = "sys/kernel/hung_task_detect_count";
/// Bits (drivers/char/random.c).
const ENTROPY: &str = "sys/kernel/random/entropy_avail";
/// Open files, a zero, and their limit.
const FILES: &str = "sys/fs/file-nr";

struct Kernel {
    /// Since v6.17.
    softlockups: KeptFile,
}

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
        // Where the kernel does not count, there is no point.
        let softlockups = self.softlockups.read().ok();
        sum(&metric::LINUX_KERNEL_SOFTLOCKUPS, softlockups.and_then(|text| nth(text, 0)));
        let hung_tasks = cx.files.proc(HUNG_TASKS).ok();
        sum(&metric::LINUX_KERNEL_HUNG_TASKS, hung_tasks.and_then(|text| nth(text, 0)));
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
