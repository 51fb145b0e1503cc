// SPDX-License-Identifier: Apache-2.0
//! Memory of containers.
//! Source: `memory.usage_in_bytes` of v1, `memory.current` of v2, `memory.stat` of both
//! (Documentation/admin-guide/cgroup-v1/memory.rst, …/cgroup-v2.rst).
//! Signals: `container.memory.*`, the family `linux.cgroup.memory.stat.*`.

use semconv::{family, metric};

use crate::entity::Container;
use crate::hostfs::parse;
use crate::probes::{
    Collect, CollectError, ContainerFiles, Fields, Filter, Probe, ProbeDef, Started,
};
use crate::signal::{EntityRecorder, Recorder};

/// The probe.
pub static PROBE: ProbeDef = ProbeDef {
    name: "memory.cgroup",
    legacy_names: &[],
    start: |cx| {
        let config = &cx.config.metric_collector.vmstat;
        let filter = Filter::new(&config.included_on_container, &config.excluded_on_container);
        Started::from_files(CgroupMemory {
            fields: Fields::new(&family::MEMORY_STAT, filter),
            files: ContainerFiles::new(cx.fs, "memory"),
        })
    },
    decode: None,
};

/// What v1 calls otherwise. Its words with `total_` count the cgroups below too, as v2 does.
const NAMES_OF_V2: [(&str, &str); 5] = [
    ("cache", "file"),
    ("rss", "anon"),
    ("mapped_file", "file_mapped"),
    ("dirty", "file_dirty"),
    ("writeback", "file_writeback"),
];

struct CgroupMemory {
    fields: Fields,
    files: ContainerFiles,
}

impl Probe for CgroupMemory {
    fn collect(&mut self, cx: &mut Collect<'_>, out: &mut Recorder) -> Result<(), CollectError> {
        for container in cx.entities.containers() {
            let Some(files) = self.files.of(&container, cx.now) else { break };
            let v1 = files.v1;
            let mut entity = out.entity(&container.resource);
            let usage = files.number(if v1 { "memory.usage_in_bytes" } else { "memory.current" });
            let Some(text) = files.read("memory.stat") else { continue };
            record_usage(usage, text, v1, &container, &mut entity);
            for (word, value) in words(text, v1) {
                if let Some((metric, value)) = self.fields.read(word, value) {
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
fn words(text: &str, v1: bool) -> impl Iterator<Item = (&str, u64)> {
    parse::fields(text).filter_map(move |(word, value)| {
        if !v1 {
            return Some((word, value));
        }
        let word = word.strip_prefix("total_")?;
        let renamed = NAMES_OF_V2.iter().find(|(name, _)| *name == word);
        Some((renamed.map_or(word, |(_, name)| name), value))
    })
}

fn record_usage(
    usage: Option<u64>,
    text: &str,
    v1: bool,
    container: &Container,
    out: &mut EntityRecorder<'_>,
) {
    let find = |wanted: &str| words(text, v1).find(|(word, _)| *word == wanted).map(|(_, v)| v);
    if let Some(anon) = find("anon") {
        out.sum(&metric::CONTAINER_MEMORY_RSS, Vec::new(), container.started, anon);
    }
    let Some(usage) = usage else { return };
    out.sum(&metric::CONTAINER_MEMORY_USAGE, Vec::new(), container.started, usage);
    let idle = find("inactive_file").unwrap_or(0);
    let working_set = usage.saturating_sub(idle);
    out.sum(&metric::CONTAINER_MEMORY_WORKING_SET, Vec::new(), container.started, working_set);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_of_v1_are_those_that_count_what_is_below_under_their_names_of_v2() {
        let text = "cache 1\nrss 2\nhierarchical_memory_limit 9\ntotal_cache 10\ntotal_dirty 20\n\
                    total_inactive_file 30\n";
        let found: Vec<_> = words(text, true).collect();
        assert_eq!(found, [("file", 10), ("file_dirty", 20), ("inactive_file", 30)]);
        assert_eq!(words("anon 5\nfile 6\n", false).count(), 2);
    }
}
