// SPDX-License-Identifier: Apache-2.0
//! Memory of the host under the names of OpenTelemetry.
//! Source: `/proc/meminfo`, `/proc/vmstat` (fs/proc/meminfo.c, mm/vmstat.c).
//! Signals: `system.memory.*`, `system.paging.*`.

use semconv::{AttributeDef, MetricDef, attribute, metric};

use crate::hostfs::parse;
use crate::probes::{Collect, CollectError, Probe, ProbeDef, Started};
use crate::signal::{EntityRecorder, Recorder, UnixNanos, Value};

/// The probe.
pub static PROBE: ProbeDef = ProbeDef {
    name: "memory.meminfo",
    legacy_names: &[],
    start: |_| Started::from_files(MemInfo),
    decoder: None,
};

struct MemInfo;

/// Where points go, all of them counting since boot.
struct Out<'a> {
    host: EntityRecorder<'a>,
    start: UnixNanos,
}

impl Probe for MemInfo {
    fn collect(&mut self, cx: &mut Collect<'_>, out: &mut Recorder) -> Result<(), CollectError> {
        let mut out = Out { host: out.host(), start: cx.boot_time };
        memory(cx.files.proc("meminfo")?, &mut out);
        faults(cx.files.proc("vmstat")?, &mut out);
        Ok(())
    }
}

fn memory(text: &str, out: &mut Out<'_>) {
    let find = |word: &str| parse::memory(text).find(|(name, _)| *name == word).map(|(_, v)| v);
    let reclaimable = find("SReclaimable");
    if let (Some(total), Some(free), Some(buffers), Some(cached)) =
        (find("MemTotal"), find("MemFree"), find("Buffers"), find("Cached"))
    {
        // Objects that hold files are given back as files are.
        let cached = cached.saturating_add(reclaimable.unwrap_or(0));
        let used = total.saturating_sub(free).saturating_sub(buffers).saturating_sub(cached);
        let def = &metric::SYSTEM_MEMORY_USAGE;
        let states = [("used", used), ("free", free), ("buffers", buffers), ("cached", cached)];
        out.of(def, &attribute::SYSTEM_MEMORY_STATE, &states);
        out.plain(&metric::SYSTEM_MEMORY_LIMIT, Some(total));
    }
    out.plain(&metric::SYSTEM_MEMORY_LINUX_AVAILABLE, find("MemAvailable"));
    out.plain(&metric::SYSTEM_MEMORY_LINUX_SHARED, find("Shmem"));
    if let (Some(reclaimable), Some(not)) = (reclaimable, find("SUnreclaim")) {
        let def = &metric::SYSTEM_MEMORY_LINUX_SLAB_USAGE;
        let states = [("reclaimable", reclaimable), ("unreclaimable", not)];
        out.of(def, &attribute::SYSTEM_MEMORY_LINUX_SLAB_STATE, &states);
    }
    if let (Some(total), Some(free)) = (find("SwapTotal"), find("SwapFree")) {
        let def = &metric::SYSTEM_PAGING_USAGE;
        let states = [("used", total.saturating_sub(free)), ("free", free)];
        out.of(def, &attribute::SYSTEM_PAGING_STATE, &states);
    }
}

/// The kernel counts major faults among all.
fn faults(text: &str, out: &mut Out<'_>) {
    let (all, major) = (parse::field(text, "pgfault"), parse::field(text, "pgmajfault"));
    if let (Some(all), Some(major)) = (all, major) {
        let def = &metric::SYSTEM_PAGING_FAULTS;
        let types = [("major", major), ("minor", all.saturating_sub(major))];
        out.of(def, &attribute::SYSTEM_PAGING_FAULT_TYPE, &types);
    }
}

impl Out<'_> {
    fn plain(&mut self, metric: &'static MetricDef, value: Option<u64>) {
        if let Some(value) = value {
            self.host.sum(metric, Vec::new(), self.start, value);
        }
    }

    fn of(
        &mut self,
        metric: &'static MetricDef,
        key: &'static AttributeDef,
        values: &[(&'static str, u64)],
    ) {
        for (word, value) in values {
            self.host.sum(metric, vec![(key, Value::Static(word))], self.start, *value);
        }
    }
}
