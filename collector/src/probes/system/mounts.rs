// SPDX-License-Identifier: Apache-2.0
//! Mounted file systems: their room, and whether they can be written.
//! Source: `/proc/1/mountinfo` (man proc(5)), statvfs(3).   Signals: `system.filesystem.*`,
//! `linux.mount.read_only`.

use std::collections::HashSet;
use std::path::Path;

use rustix::fs::{StatVfs, statvfs};
use schemars::JsonSchema;
use semconv::{attribute, metric};
use serde::{Deserialize, Serialize};

use crate::hostfs::mounts::{Mount, mounts};
use crate::probes::{Collect, CollectError, Filter, Probe, ProbeDef, Started};
use crate::signal::{Attribute, EntityRecorder, Recorder, UnixNanos, Value};

/// The probe.
pub static PROBE: ProbeDef = ProbeDef {
    name: "system.mounts",
    legacy_names: &["mountpoint_perm"],
    start: |cx| {
        let included = &cx.config.metric_collector.mount_point_stat.mount_points_included;
        Started::from_files(Mounts { watched: Filter::new(included, "") })
    },
    decoder: None,
};

/// `[MetricCollector.MountPointStat]`: mount points that must be writable.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "PascalCase", default, deny_unknown_fields)]
pub struct MountPointConfig {
    /// Mount points to collect. A regular expression.
    #[schemars(extend("format" = "regex"))]
    pub mount_points_included: String,
}

impl Default for MountPointConfig {
    fn default() -> Self {
        Self { mount_points_included: "(^/home$)|(^/$)|(^/boot$)".to_owned() }
    }
}

struct Mounts {
    watched: Filter,
}

impl Probe for Mounts {
    fn collect(&mut self, cx: &mut Collect<'_>, out: &mut Recorder) -> Result<(), CollectError> {
        let (fs, start) = (cx.files.host().clone(), cx.boot_time);
        let text = cx.files.first_of(["1/mountinfo", "self/mountinfo"])?;
        let with_room = out.admits_what_is_only_pushed();
        let mut host = out.host();
        let mut devices = HashSet::new();
        for mount in visible(text) {
            if self.watched.passes(&mount.point) {
                let point = vec![of_point(&mount)];
                host.sum(&metric::LINUX_MOUNT_READ_ONLY, point, start, mount.read_only.into());
            }
            // Asking a file system of the network may wait for ever. Of a device that is mounted
            // in many places one is enough.
            let is_disk = mount.source.starts_with("/dev/");
            if !with_room || !is_disk || !devices.insert(mount.device) {
                continue;
            }
            if let Ok(room) = statvfs(fs.rooted(Path::new(&*mount.point))) {
                record(&mut host, &mount, &room, start);
            }
        }
        Ok(())
    }
}

/// Mounts that are seen: the last on a place hides the others. Those of a whole file system come
/// first, so that one is known by where it is mounted and not by a folder of it.
fn visible(mountinfo: &str) -> Vec<Mount<'_>> {
    let mut points = HashSet::new();
    let mut all: Vec<Mount<'_>> = mounts(mountinfo).collect();
    all.reverse();
    all.retain(|mount| points.insert(mount.point.clone()));
    all.reverse();
    all.sort_by_key(|mount| !mount.is_whole);
    all
}

fn record(host: &mut EntityRecorder<'_>, mount: &Mount<'_>, room: &StatVfs, start: UnixNanos) {
    let bytes = |blocks: u64| blocks.saturating_mul(room.f_frsize);
    let reserved = room.f_bfree.saturating_sub(room.f_bavail);
    let used = room.f_blocks.saturating_sub(room.f_bfree);
    let limit = bytes(room.f_blocks);
    for (state, blocks) in [("used", used), ("free", room.f_bavail), ("reserved", reserved)] {
        let mut attributes = attributes(mount);
        attributes.push((&attribute::SYSTEM_FILESYSTEM_STATE, Value::Static(state)));
        let value = bytes(blocks);
        host.sum(&metric::SYSTEM_FILESYSTEM_USAGE, attributes.clone(), start, value);
        if limit > 0 {
            let share = value as f64 / limit as f64;
            host.gauge(&metric::SYSTEM_FILESYSTEM_UTILIZATION, attributes, share);
        }
    }
    host.sum(&metric::SYSTEM_FILESYSTEM_LIMIT, attributes(mount), start, limit);
}

fn attributes(mount: &Mount<'_>) -> Vec<Attribute> {
    let mode = if mount.read_only { "ro" } else { "rw" };
    vec![
        (&attribute::SYSTEM_DEVICE, Value::from(&*mount.source)),
        (&attribute::SYSTEM_FILESYSTEM_MODE, Value::Static(mode)),
        of_point(mount),
        (&attribute::SYSTEM_FILESYSTEM_TYPE, Value::from(mount.kind)),
    ]
}

fn of_point(mount: &Mount<'_>) -> Attribute {
    (&attribute::SYSTEM_FILESYSTEM_MOUNTPOINT, Value::from(&*mount.point))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_system_is_known_by_its_first_whole_mount_that_is_seen() {
        let line =
            |root: &str, point: &str| format!("1 1 8:1 {root} {point} rw - ext4 /dev/sda1 rw\n");
        let text = [line("/", "/data"), line("/", "/"), line("/run/netns", "/run/netns")].concat();
        let points: Vec<String> =
            visible(&text).iter().map(|mount| mount.point.to_string()).collect();
        assert_eq!(points, ["/data", "/", "/run/netns"]);
        let hidden = line("/old", "/") + &text;
        assert!(visible(&hidden)[1].is_whole);
    }
}
