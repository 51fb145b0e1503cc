// SPDX-License-Identifier: Apache-2.0
//! What each block device read and wrote, and how long that took.
//! Source: `/proc/diskstats` (Documentation/admin-guide/iostats.rst).   Signals: `system.disk.*`.

use std::collections::HashMap;
use std::path::Path;
use std::sync::Arc;

use semconv::{MetricDef, attribute, metric};

use crate::hostfs::{HostFs, parse};
use crate::probes::{Collect, CollectError, Counter, Devices, Probe, ProbeDef, Started};
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
            ] = device.counters;
            let name = &device.name;
            let counts: [(&'static MetricDef, &'static str, Counter, u64); 6] = [
                (&metric::SYSTEM_DISK_OPERATIONS, "read", reads, 1),
                (&metric::SYSTEM_DISK_OPERATIONS, "write", writes, 1),
                (&metric::SYSTEM_DISK_MERGED, "read", reads_merged, 1),
                (&metric::SYSTEM_DISK_MERGED, "write", writes_merged, 1),
                (&metric::SYSTEM_DISK_IO, "read", read, SECTOR),
                (&metric::SYSTEM_DISK_IO, "write", written, SECTOR),
            ];
            for (metric, direction, Counter { value, start }, factor) in counts {
                let value = value.saturating_mul(factor);
                host.sum(metric, attributes(name, Some(direction)), start, value);
            }
            let times: [(&'static MetricDef, Option<&'static str>, Counter); 3] = [
                (&metric::SYSTEM_DISK_OPERATION_TIME, Some("read"), read_ms),
                (&metric::SYSTEM_DISK_OPERATION_TIME, Some("write"), write_ms),
                (&metric::SYSTEM_DISK_IO_TIME, None, busy),
            ];
            for (metric, direction, Counter { value, start }) in times {
                host.sum_f64(metric, attributes(name, direction), start, value as f64 / 1e3);
            }
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
