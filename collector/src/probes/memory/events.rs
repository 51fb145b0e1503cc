// SPDX-License-Identifier: Apache-2.0
//! How often a container came to a limit of its memory.
//! Source: `memory.events` of cgroup v2 (Documentation/admin-guide/cgroup-v2.rst); mainline v1 has
//! none.   Signals: `linux.cgroup.memory.events`.

use std::collections::HashMap;
use std::sync::Arc;

use schemars::JsonSchema;
use semconv::{attribute, metric};
use serde::{Deserialize, Serialize};

use crate::hostfs::{CgroupFiles, CgroupMount, HostFs, parse};
use crate::probes::{Collect, CollectError, Filter, PerContainer, Probe, ProbeDef, Started};
use crate::signal::{Recorder, Value};

/// The probe.
pub static PROBE: ProbeDef = ProbeDef {
    name: "memory.events",
    legacy_names: &["memory_events"],
    start: |cx| {
        let config = &cx.config.metric_collector.memory_events;
        Started::from_files(MemoryEvents {
            fs: cx.fs.clone(),
            mount: cx.fs.controller("memory"),
            filter: Filter::new(&config.included, &config.excluded),
            words: HashMap::new(),
            containers: PerContainer::default(),
        })
    },
    decode: None,
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
    fs: HostFs,
    mount: Option<CgroupMount>,
    filter: Filter,
    /// The text of each word that passes the filter, made once.
    words: HashMap<String, Option<Arc<str>>>,
    containers: PerContainer<CgroupFiles>,
}

impl Probe for MemoryEvents {
    fn collect(&mut self, cx: &mut Collect<'_>, out: &mut Recorder) -> Result<(), CollectError> {
        let (fs, Some(mount)) = (&self.fs, &self.mount) else { return Ok(()) };
        for container in cx.entities.containers() {
            let open = || CgroupFiles::new(fs, mount, &container.path);
            let files = self.containers.of(&container, cx.now, open);
            let Some(text) = files.read("memory.events") else { continue };
            let mut entity = out.entity(&container.resource);
            for (word, count) in parse::fields(text) {
                let Some(word) = known(&mut self.words, &self.filter, word) else { continue };
                let attributes =
                    vec![(&attribute::LINUX_CGROUP_MEMORY_EVENT_NAME, Value::Str(word))];
                let def = &metric::LINUX_CGROUP_MEMORY_EVENTS;
                entity.sum(def, attributes, container.started, count);
            }
        }
        self.containers.retain_seen(cx.now);
        Ok(())
    }
}

fn known(
    words: &mut HashMap<String, Option<Arc<str>>>,
    filter: &Filter,
    word: &str,
) -> Option<Arc<str>> {
    if let Some(known) = words.get(word) {
        return known.clone();
    }
    let text = filter.passes(word).then(|| Arc::from(word));
    words.insert(word.to_owned(), text.clone());
    text
}
