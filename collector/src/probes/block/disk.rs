// SPDX-License-Identifier: Apache-2.0
//! What each block device read and wrote, and how long that took.
//! Source: `/proc/diskstats` (Documentation/admin-guide/iostats.rst).   Signals: `system.disk.*`.

use std::collections::HashMap;
use std::path::Path;
use std::sync::Arc;

use semconv::{MetricDef, attribute, metric};

use crate::hostfs::{HostFs, parse};
use crate::probes::{Collect, CollectError, Devices, Probe, ProbeDef, Started};
use crate::signal::{Attribute, Recorder, Value};

/// The probe.
pub static PROBE: ProbeDef = ProbeDef {
    name: "block.disk",
    legacy_names: &["diskio"],
    start: |_| {
        Started::from_files(Disks { devices: Devices::default(), partitions: HashMap::new() })
    },
    decoder: None,
};

/// Bytes of what the kernel calls a sector, whatever the disk does.
const SECTOR: u64 = 512;

struct Disks {
    devices: Devices<9>,
    /// Whether a device is a part of another: its work would be counted twice.
    partitions: HashMap<String, bool>,
}

impl Probe for Disks {
    fn collect(&mut self, cx: &mut Collect<'_>, out: &mut Recorder) -> Result<(), CollectError> {
        let (fs, now, boot_time) = (cx.files.host().clone(), cx.now, cx.boot_time);
        let mut host = out.host();
        for (name, values) in parse::disks(cx.files.proc("diskstats")?) {
            // Loop devices and the like are there before anybody uses them.
            if values.iter().all(|value| *value == 0) || self.is_partition(&fs, name) {
                continue;
            }
            let device = self.devices.see(name, values, now, boot_time);
            let [
                reads,
                reads_merged,
                read,
                read_ms,
                writes,
                writes_merged,
                written,
                write_ms,
                busy,
            ] = device.last;
            let name = &device.name;
            let counts: [(&'static MetricDef, &'static str, u64); 6] = [
                (&metric::SYSTEM_DISK_OPERATIONS, "read", reads),
                (&metric::SYSTEM_DISK_OPERATIONS, "write", writes),
                (&metric::SYSTEM_DISK_MERGED, "read", reads_merged),
                (&metric::SYSTEM_DISK_MERGED, "write", writes_merged),
                (&metric::SYSTEM_DISK_IO, "read", read.saturating_mul(SECTOR)),
                (&metric::SYSTEM_DISK_IO, "write", written.saturating_mul(SECTOR)),
            ];
            for (metric, direction, count) in counts {
                host.sum(metric, attributes(name, Some(direction)), device.start, count);
            }
            for (direction, ms) in [("read", read_ms), ("write", write_ms)] {
                let def = &metric::SYSTEM_DISK_OPERATION_TIME;
                let seconds = ms as f64 / 1e3;
                host.sum_f64(def, attributes(name, Some(direction)), device.start, seconds);
            }
            let def = &metric::SYSTEM_DISK_IO_TIME;
            host.sum_f64(def, attributes(name, None), device.start, busy as f64 / 1e3);
        }
        self.devices.end(now);
        Ok(())
    }
}

impl Disks {
    fn is_partition(&mut self, fs: &HostFs, name: &str) -> bool {
        if let Some(known) = self.partitions.get(name) {
            return *known;
        }
        let path = format!("/sys/class/block/{name}/partition");
        let is_partition = fs.rooted(Path::new(&path)).exists();
        self.partitions.insert(name.to_owned(), is_partition);
        is_partition
    }
}

fn attributes(device: &Arc<str>, direction: Option<&'static str>) -> Vec<Attribute> {
    let mut attributes: Vec<Attribute> = vec![(&attribute::SYSTEM_DEVICE, Value::from(device))];
    attributes.extend(direction.map(|way| (&attribute::DISK_IO_DIRECTION, Value::Static(way))));
    attributes
}
