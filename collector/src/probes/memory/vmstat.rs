// SPDX-License-Identifier: Apache-2.0
//! The kernel's counters of virtual memory.
//! Source: `/proc/vmstat` (mm/vmstat.c).   Signals: the family `linux.vmstat.*`; kind and unit of
//! each word come from `semconv/kernel_fields.yaml`.

use schemars::JsonSchema;
use semconv::family;
use serde::{Deserialize, Serialize};

use crate::hostfs::parse;
use crate::probes::{Collect, CollectError, Fields, Filter, Probe, ProbeDef, Started};
use crate::signal::Recorder;

/// The probe.
pub static PROBE: ProbeDef = ProbeDef {
    name: "memory.vmstat",
    legacy_names: &["memory_vmstat"],
    start: |cx| {
        let config = &cx.config.metric_collector.vmstat;
        let filter = Filter::new(&config.included_on_host, &config.excluded_on_host);
        Started::from_files(Vmstat { fields: Fields::new(&family::VMSTAT, filter) })
    },
    decoder: None,
};

/// `[MetricCollector.Vmstat]`: which words of `/proc/vmstat` and of a container's `memory.stat` are
/// collected. Regular expressions, not anchored; an empty one filters nothing.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "PascalCase", default, deny_unknown_fields)]
pub struct VmstatConfig {
    /// Words of `/proc/vmstat` to collect.
    #[schemars(extend("format" = "regex"))]
    pub included_on_host: String,
    /// Words of `/proc/vmstat` to leave out.
    #[schemars(extend("format" = "regex"))]
    pub excluded_on_host: String,
    /// Words of `memory.stat` to collect.
    #[schemars(extend("format" = "regex"))]
    pub included_on_container: String,
    /// Words of `memory.stat` to leave out.
    #[schemars(extend("format" = "regex"))]
    pub excluded_on_container: String,
}

impl Default for VmstatConfig {
    fn default() -> Self {
        Self {
            included_on_host: "allocstall|nr_active_anon|nr_active_file|nr_boost_pages|nr_dirty|\
                nr_free_pages|nr_inactive_anon|nr_inactive_file|nr_kswapd_boost|nr_mlock|nr_shmem|\
                nr_slab_reclaimable|nr_slab_unreclaimable|nr_unevictable|nr_writeback|\
                numa_pages_migrated|pgdeactivate|pgrefill|pgscan_direct|pgscan_kswapd|\
                pgsteal_direct|pgsteal_kswapd"
                .to_owned(),
            excluded_on_host: "total".to_owned(),
            included_on_container: "active_anon|active_file|dirty|inactive_anon|inactive_file|\
                pgdeactivate|pgrefill|pgscan_direct|pgscan_kswapd|pgsteal_direct|pgsteal_kswapd|\
                shmem|unevictable|writeback|pgscan_globaldirect|pgscan_globalkswapd|\
                pgscan_cswapd|pgsteal_cswapd|pgsteal_globaldirect|pgsteal_globalkswapd"
                .to_owned(),
            excluded_on_container: "total".to_owned(),
        }
    }
}

struct Vmstat {
    fields: Fields,
}

impl Probe for Vmstat {
    fn collect(&mut self, cx: &mut Collect<'_>, out: &mut Recorder) -> Result<(), CollectError> {
        let boot_time = cx.boot_time;
        let mut host = out.host();
        for (word, value) in parse::fields(cx.files.proc("vmstat")?) {
            if let Some((metric, value)) = self.fields.read(word, value) {
                host.sum(metric, Vec::new(), boot_time, value);
            }
        }
        Ok(())
    }
}
