// SPDX-License-Identifier: Apache-2.0
//! Two containers and their files, on both versions of cgroups.

use std::collections::BTreeMap;
use std::thread::available_parallelism;

use integration::{Cgroup, Held, container_id};

use super::host::TICKS;
use super::reading::{Reading, Series, numbers, pairs};

/// One that is busy and over its quota of CPU time, and one that is empty and has a limit of memory.
pub struct Containers {
    // Ended before its cgroup is removed.
    _busy: Held,
    all: [(String, Cgroup); 2],
}

impl Containers {
    pub fn start() -> Self {
        let all = [0xe1, 0xe2].map(|seed| {
            let id = container_id(seed);
            let cgroup = Cgroup::with_cpu(&format!("docker/{id}"), 50).unwrap();
            (id, cgroup)
        });
        let busy = all[0].1.hold("sh -c 'while :; do :; done'").unwrap();
        Self { _busy: busy, all }
    }

    /// Whether a series is of one of them, or of the host.
    pub fn has(&self, series: &Series) -> bool {
        series.container.is_empty() || self.all.iter().any(|(id, _)| *id == series.container)
    }

    fn each(&self, out: &mut Reading, read: impl Fn(&Cgroup, &mut Reading)) {
        for (id, cgroup) in &self.all {
            out.set_container(id);
            read(cgroup, out);
        }
        out.set_container("");
    }
}

fn file(text: &str) -> BTreeMap<&str, f64> {
    pairs(text).collect()
}

/// `cpu.stat`, `cpuacct.stat`, `cpu.max`, `cpu.cfs_*`
pub fn cpu(containers: &Containers, out: &mut Reading) {
    containers.each(out, |cgroup, out| {
        let text = cgroup.read("cpu", "cpu.stat").unwrap();
        let stat = file(&text);
        let (throttled, burst, unit) = match cgroup.is_v1() {
            true => ("throttled_time", "burst_time", 1e9),
            false => ("throttled_usec", "burst_usec", 1e6),
        };
        for (metric, word, unit) in [
            ("linux.cgroup.cpu.periods", "nr_periods", 1.0),
            ("linux.cgroup.cpu.throttled.periods", "nr_throttled", 1.0),
            ("linux.cgroup.cpu.throttled.time", throttled, unit),
            ("linux.cgroup.cpu.burst.periods", "nr_bursts", 1.0),
            ("linux.cgroup.cpu.burst.time", burst, unit),
        ] {
            if let Some(value) = stat.get(word) {
                out.add(metric, &[], value / unit);
            }
        }
        let (quota, used) = if cgroup.is_v1() {
            let number = |name: &str| numbers(&cgroup.read("cpu", name).unwrap())[0];
            let text = cgroup.read("cpuacct", "cpuacct.stat").unwrap();
            let used = file(&text);
            let used = ["user", "system"].map(|mode| used[mode] / TICKS);
            ([number("cpu.cfs_quota_us"), number("cpu.cfs_period_us")], used)
        } else {
            let max = numbers(&cgroup.read("cpu", "cpu.max").unwrap());
            ([max[0], max[1]], ["user_usec", "system_usec"].map(|word| stat[word] / 1e6))
        };
        let cpus = quota[0] / quota[1];
        assert!(cpus < available_parallelism().unwrap().get() as f64, "{cpus} CPUs");
        out.add("linux.cgroup.cpu.limit", &[], cpus);
        out.add("linux.cgroup.cpu.allotted", &[], cpus);
        for (mode, seconds) in ["user", "system"].into_iter().zip(used) {
            out.add("container.cpu.time", &[("cpu.mode", mode)], seconds);
        }
    });
}

/// Words of v1 that v2 has under another name.
const RENAMED: [(&str, &str); 6] = [
    ("cache", "file"),
    ("rss", "anon"),
    ("rss_huge", "anon_thp"),
    ("mapped_file", "file_mapped"),
    ("dirty", "file_dirty"),
    ("writeback", "file_writeback"),
];

/// `memory.stat`, how much there is and may be, `memory.events`
pub fn memory(containers: &Containers, out: &mut Reading) {
    containers.each(out, |cgroup, out| {
        let text = cgroup.read("memory", "memory.stat").unwrap();
        let mut stat = file(&text);
        if cgroup.is_v1() {
            // What counts the cgroups below too.
            let all = pairs(&text).filter_map(|(word, v)| Some((word.strip_prefix("total_")?, v)));
            let renamed = |word| RENAMED.iter().find(|(old, _)| *old == word).map(|(_, new)| *new);
            stat = all.map(|(word, value)| (renamed(word).unwrap_or(word), value)).collect();
        }
        for (word, value) in &stat {
            out.add(&format!("linux.cgroup.memory.stat.{word}"), &[], *value);
        }
        let major = stat["pgmajfault"];
        for (kind, count) in [("major", major), ("minor", stat["pgfault"] - major)] {
            out.add("container.paging.faults", &[("system.paging.fault.type", kind)], count);
        }
        let (usage, limit) = match cgroup.is_v1() {
            true => ("memory.usage_in_bytes", "memory.limit_in_bytes"),
            false => ("memory.current", "memory.max"),
        };
        let number = |name: &str| numbers(&cgroup.read("memory", name).unwrap()).first().copied();
        let usage = number(usage).unwrap();
        let working_set = usage - stat["inactive_file"];
        out.add("container.memory.rss", &[], stat["anon"]);
        out.add("container.memory.usage", &[], usage);
        out.add("container.memory.working_set", &[], working_set);
        // Without one: no number on v2, and on v1 all that 63 bits hold.
        if let Some(limit) = number(limit).filter(|limit| *limit < 1e18) {
            out.add("container.memory.available", &[], limit - working_set);
        }
        for (word, count) in pairs(&cgroup.read("memory", "memory.events").unwrap_or_default()) {
            let name = [("linux.cgroup.memory.event.name", word)];
            out.add("linux.cgroup.memory.events", &name, count);
        }
    });
}

/// `cpu.pressure` and so on, of v2 only.
pub fn pressure(containers: &Containers, out: &mut Reading) {
    containers.each(out, |cgroup, out| {
        for resource in ["cpu", "memory", "io"] {
            let text = cgroup.read("memory", &format!("{resource}.pressure")).unwrap_or_default();
            for line in text.lines() {
                let (kind, rest) = line.split_once(' ').unwrap();
                let micros: f64 = rest.rsplit_once("total=").unwrap().1.parse().unwrap();
                let attributes =
                    [("linux.pressure.resource", resource), ("system.pressure.stall_type", kind)];
                out.add("linux.cgroup.pressure.time", &attributes, micros / 1e6);
            }
        }
    });
}
