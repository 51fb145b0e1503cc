// SPDX-License-Identifier: Apache-2.0
//! How often a container came to a limit of its memory.
//! Source: `memory.events` of cgroup v2 (Documentation/admin-guide/cgroup-v2.rst); mainline v1 has
//! none.   Signals: `linux.cgroup.memory.events`.

use std::sync::Arc;

use schemars::JsonSchema;
use semconv::{attribute, metric};
use serde::{Deserialize, Serialize};

use crate::hostfs::parse;
use crate::probes::{
    Collect, CollectError, ContainerFiles, Filter, Probe, ProbeDef, Started, Words,
};
use crate::signal::{Recorder, Value};

/// The probe.
pub static PROBE: ProbeDef = ProbeDef {
    name: "memory.events",
    legacy_names: &["memory_events"],
    start: |cx| {
        let config = &cx.config.metric_collector.memory_events;
        Started::from_files(MemoryEvents {
            words: Words::new(Filter::new(&config.included, &config.excluded)),
            files: ContainerFiles::new(cx.fs, "memory"),
        })
    },
    decoder: None,
};

/// `[MetricCollector.MemoryEvents]`: words of a container's `memory.events`.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "PascalCase", default, deny_unknown_fields)]
pub struct MemoryEventsConfig {
    /// Words to collect. A regular expression; empty means all.
    #[schemars(extend("format" = "regex"))]
    pub included: String,
    /// Words to leave out. A regular expression; empty means none.
    #[schemars(extend("format" = "regex"))]
    pub excluded: String,
}

struct MemoryEvents {
    words: Words<Arc<str>>,
    files: ContainerFiles,
}

impl Probe for MemoryEvents {
    fn collect(&mut self, cx: &mut Collect<'_>, out: &mut Recorder) -> Result<(), CollectError> {
        for container in cx.entities.containers() {
            let Some(files) = self.files.of(&container, cx.now) else { break };
            let Some(text) = files.read("memory.events") else { continue };
            let mut entity = out.entity(&container.resource);
            for (word, count) in parse::fields(text) {
                let Some(word) = self.words.get(word, |word| Some(word.into())) else { continue };
                let attributes =
                    vec![(&attribute::LINUX_CGROUP_MEMORY_EVENT_NAME, Value::Str(word))];
                let def = &metric::LINUX_CGROUP_MEMORY_EVENTS;
                entity.sum(def, attributes, container.started, count);
            }
        }
        self.files.retain_seen(cx.now);
        Ok(())
    }
}
