// SPDX-License-Identifier: Apache-2.0
//! Free blocks of physical memory by their size: how fragmented it is.
//! Source: `/proc/buddyinfo` (mm/vmstat.c).   Signals: `linux.buddyinfo.block.count`.

use std::sync::Arc;

use semconv::{attribute, metric};

use crate::hostfs::parse;
use crate::probes::{Collect, CollectError, Probe, ProbeDef, Started};
use crate::signal::{Recorder, Value};

/// The probe.
pub static PROBE: ProbeDef = ProbeDef {
    name: "memory.buddyinfo",
    legacy_names: &["memory_buddyinfo"],
    start: |_| Started::from_files(BuddyInfo),
    decoder: None,
};

struct BuddyInfo;

impl Probe for BuddyInfo {
    fn collect(&mut self, cx: &mut Collect<'_>, out: &mut Recorder) -> Result<(), CollectError> {
        let start = cx.boot_time;
        let mut host = out.host();
        for zone in parse::buddy_zones(cx.files.proc("buddyinfo")?) {
            let name: Arc<str> = zone.name.into();
            for (order, blocks) in zone.blocks().enumerate() {
                let attributes = vec![
                    (&attribute::LINUX_NUMA_NODE, Value::Int(zone.node.into())),
                    (&attribute::LINUX_MEMORY_ZONE, Value::from(&name)),
                    (&attribute::LINUX_MEMORY_ORDER, Value::Int(order as i64)),
                ];
                host.sum(&metric::LINUX_BUDDYINFO_BLOCK_COUNT, attributes, start, blocks);
            }
        }
        Ok(())
    }
}
