// SPDX-License-Identifier: Apache-2.0
//! Memory of containers.
//! Source: `memory.usage_in_bytes` and `memory.limit_in_bytes` of v1, `memory.current` and
//! `memory.max` of v2, `memory.stat` of both
//! (Documentation/admin-guide/cgroup-v1/memory.rst, …/cgroup-v2.rst).
//! Signals: `container.memory.*`, `container.paging.faults`, the family `linux.cgroup.memory.stat.*`.

use semconv::{attribute, family, metric};

use super::vmstat;
use crate::hostfs::parse;
use crate::probes::{
    Collect, CollectError, ContainerFiles, Fields, Filter, Probe, ProbeDef, Started,
};
use crate::signal::{EntityRecorder, Recorder, UnixNanos, Value};

/// The probe.
pub static PROBE: ProbeDef = ProbeDef {
    name: "memory.cgroup",
    legacy_names: &[],
    start: |cx| {
        let config = &cx.config.metric_collector.vmstat;
        let filter = Filter::new(&config.included_on_container, &config.excluded_on_container);
        // HUATUO's word for what the host's file says is the word for this one too.
        let tells = !vmstat::PROBE.is_listed(cx.config);
        Started::from_files(CgroupMemory {
            fields: tells.then(|| Fields::new(&family::MEMORY_STAT, filter)),
            files: ContainerFiles::new(cx.fs, "memory"),
        })
    },
    decoder: None,
};

/// What v1 calls otherwise. Its words with `total_` count the cgroups below too, as v2 does.
const NAMES_OF_V2: [(&str, &str); 6] = [
    ("cache", "file"),
    ("rss", "anon"),
    ("rss_huge", "anon_thp"),
    ("mapped_file", "file_mapped"),
    ("dirty", "file_dirty"),
    ("writeback", "file_writeback"),
];

/// More than any machine has: 2^62 bytes.
pub(super) const UNLIMITED: u64 = 1 << 62;

struct CgroupMemory {
    /// Nothing where its words are turned off.
    fields: Option<Fields>,
    files: ContainerFiles,
}

impl Probe for CgroupMemory {
    fn collect(&mut self, cx: &mut Collect<'_>, out: &mut Recorder) -> Result<(), CollectError> {
        for container in cx.entities.containers() {
            let Some(files) = self.files.of(&container, cx.now) else { break };
            let v1 = files.v1;
            let mut entity = out.entity(&container.resource);
            let usage = files.number(if v1 { "memory.usage_in_bytes" } else { "memory.current" });
            let limit = files.number(if v1 { "memory.limit_in_bytes" } else { "memory.max" });
            // v1 has a very large number where there is no limit.
            let limit = limit.filter(|limit| *limit < UNLIMITED);
            let Some(text) = files.read("memory.stat") else { continue };
            record_usage(&Reading { usage, limit, text, v1 }, container.started, &mut entity);
            let Some(fields) = &mut self.fields else { continue };
            for (word, value) in words(text, v1) {
                if let Some((metric, value)) = fields.read(word, value) {
                    entity.sum(metric, Vec::new(), container.started, value);
                }
            }
        }
        self.files.retain_seen(cx.now);
        Ok(())
    }
}

/// Words of v2 with their values. On v1 only what counts the cgroups below too; limits are not
/// statistics.
pub(super) fn words(text: &str, v1: bool) -> impl Iterator<Item = (&str, u64)> {
    parse::fields(text).filter_map(move |(word, value)| {
        if !v1 {
            return Some((word, value));
        }
        let word = word.strip_prefix("total_")?;
        let renamed = NAMES_OF_V2.iter().find(|(name, _)| *name == word);
        Some((renamed.map_or(word, |(_, name)| name), value))
    })
}

/// What the files of one container say.
struct Reading<'a> {
    usage: Option<u64>,
    /// `None` where there is none.
    limit: Option<u64>,
    /// `memory.stat`
    text: &'a str,
    v1: bool,
}

fn record_usage(reading: &Reading<'_>, start: UnixNanos, out: &mut EntityRecorder<'_>) {
    let find = |wanted: &str| {
        words(reading.text, reading.v1).find(|(word, _)| *word == wanted).map(|(_, value)| value)
    };
    if let Some(anon) = find("anon") {
        out.sum(&metric::CONTAINER_MEMORY_RSS, Vec::new(), start, anon);
    }
    if let Some((all, major)) = find("pgfault").zip(find("pgmajfault")) {
        for (kind, count) in [("minor", all.saturating_sub(major)), ("major", major)] {
            let kind = vec![(&attribute::SYSTEM_PAGING_FAULT_TYPE, Value::Static(kind))];
            out.sum(&metric::CONTAINER_PAGING_FAULTS, kind, start, count);
        }
    }
    let Some(usage) = reading.usage else { return };
    out.sum(&metric::CONTAINER_MEMORY_USAGE, Vec::new(), start, usage);
    let working_set = usage.saturating_sub(find("inactive_file").unwrap_or(0));
    out.sum(&metric::CONTAINER_MEMORY_WORKING_SET, Vec::new(), start, working_set);
    if let Some(limit) = reading.limit {
        let available = limit.saturating_sub(working_set);
        out.sum(&metric::CONTAINER_MEMORY_AVAILABLE, Vec::new(), start, available);
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::signal::{EntityKind, Resource};

    #[test]
    fn what_is_left_is_told_where_there_is_a_limit() {
        let text = "anon 10\ninactive_file 30\npgfault 9\npgmajfault 2\n";
        let host = Arc::new(Resource::new(EntityKind::Host, Vec::new()));
        let told = |limit| {
            let mut recorder = Recorder::new(&host);
            recorder.set_probe("memory.cgroup");
            let reading = Reading { usage: Some(100), limit, text, v1: false };
            record_usage(&reading, 1, &mut recorder.host());
            let points = recorder.finish(2).entities.remove(0).points.into_iter();
            points.map(|point| (point.metric.name, point.value.as_f64())).collect::<Vec<_>>()
        };
        let always = [
            ("container.memory.rss", 10.0),
            ("container.paging.faults", 7.0),
            ("container.paging.faults", 2.0),
            ("container.memory.usage", 100.0),
            ("container.memory.working_set", 70.0),
        ];
        assert_eq!(told(None), always);
        assert_eq!(told(Some(150))[5], ("container.memory.available", 80.0));
    }

    #[test]
    fn words_of_v1_are_those_that_count_what_is_below_under_their_names_of_v2() {
        let text = "cache 1\nrss 2\nhierarchical_memory_limit 9\ntotal_cache 10\ntotal_dirty 20\n\
                    total_inactive_file 30\n";
        let found: Vec<_> = words(text, true).collect();
        assert_eq!(found, [("file", 10), ("file_dirty", 20), ("inactive_file", 30)]);
        assert_eq!(words("anon 5\nfile 6\n", false).count(), 2);
    }
}
