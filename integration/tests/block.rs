// SPDX-License-Identifier: Apache-2.0
//! Which disk served the block requests of a container (docs/decisions/0008).

#![allow(clippy::unwrap_used, reason = "helpers of tests may panic as tests do")]

use std::fs;
use std::path::Path;
use std::time::Duration;

use anyhow::{Result, ensure};
use integration::lab::{NvmeDisk, Partition, SlowDisk, is_elsewhere, scratch_disk};
use integration::{
    Agent, Cgroup, Collector, Point, Received, container_id, only, proc, push_config,
};

const QUEUED: &str = "linux.cgroup.block.io.duration";
const DISPATCHED: &str = "linux.cgroup.block.io.device.duration";
const OF_HOST: &str = "linux.block.io.duration";
const READS: u64 = 50;

/// Reads that a device completed (Documentation/admin-guide/iostats.rst).
fn reads(name: &str) -> u64 {
    let text = proc("diskstats").unwrap();
    let columns = |line: &str| line.split_whitespace().map(str::to_owned).collect::<Vec<_>>();
    let found = text.lines().map(columns).find(|columns| columns[2] == name).unwrap();
    found[3].parse().unwrap()
}

/// The newest points of reads of a metric of the container, or of the host where none is given.
fn newest<'a>(got: &'a Received, name: &str, container: Option<&String>) -> Result<Vec<&'a Point>> {
    let time = got.last(name)?.time;
    let is_it = |point: &&Point| {
        point.time == time
            && point.resource.get("container.id") == container
            && point.attributes["disk.io.direction"] == "read"
    };
    Ok(got.of(name).into_iter().filter(is_it).collect())
}

/// Has a container read from a device that is on the scratch disk.
fn read_of_scratch_disk(device: &Path, seed: u8) {
    let disk = scratch_disk().unwrap().file_name().unwrap().to_str().unwrap();
    read(device, disk, disk, seed);
}

/// Has a container read from a device that is on a disk: it is the disk's, and once. The kernel counts
/// it for what it calls `below`.
fn read(device: &Path, disk: &str, below: &str, seed: u8) {
    let number = fs::read_to_string(format!("/sys/block/{disk}/dev")).unwrap();
    let name = device.file_name().unwrap().to_str().unwrap();
    let collector = Collector::start(None).unwrap();
    let config = push_config("grpc", collector.grpc, "gzip", "http", "");
    let _agent = Agent::with(&format!("{}{config}", only(&["block.latency"]))).start().unwrap();
    let id = container_id(seed);
    let cgroup = Cgroup::with_io(&format!("docker/{id}")).unwrap();
    let before = reads(below);
    let read = format!("dd if={} of=/dev/null bs=4k count={READS}", device.display());
    cgroup.run(&format!("{read} iflag=direct status=none"), 1).unwrap();
    assert_eq!(reads(below) - before, READS);
    for metric in [QUEUED, DISPATCHED] {
        let points: Vec<Point> = collector
            .until(|got| {
                let found = newest(got, metric, Some(&id))?;
                ensure!(!found.is_empty(), "no {metric}");
                Ok(found.into_iter().cloned().collect())
            })
            .unwrap();
        let [point] = &points[..] else { panic!("more than one disk: {points:#?}") };
        assert_eq!(point.count, READS, "{metric}");
        assert_eq!(point.attributes["system.device"], disk);
        assert_eq!(point.attributes["linux.block.device"], number.trim());
    }
    let got = collector.settled().unwrap();
    let of_host = newest(&got, OF_HOST, None).unwrap();
    let of = |name: &str| {
        let of = |point: &&&Point| point.attributes["system.device"] == name;
        of_host.iter().find(of).map(|point| point.count)
    };
    let of_device = (name == disk).then_some(READS);
    assert_eq!((of(disk), of(name)), (Some(READS), of_device));
}

#[test]
fn requests_to_a_mapped_device_are_those_of_the_disk_that_serves_them() {
    if is_elsewhere("block", "a scratch disk") {
        return;
    }
    let mapped = SlowDisk::new(Duration::from_millis(1)).unwrap();
    read_of_scratch_disk(&mapped.path, 0xb3);
}

#[test]
fn requests_to_a_partition_are_those_of_the_whole_disk() {
    if is_elsewhere("block", "a scratch disk") {
        return;
    }
    let part = Partition::of_scratch_disk().unwrap();
    read_of_scratch_disk(&part.path, 0xb5);
}

#[test]
fn requests_by_a_path_of_nvme_are_those_of_the_disk_that_it_leads_to() {
    if is_elsewhere("block", "an NVMe disk behind a path") {
        return;
    }
    let disk = NvmeDisk::new().unwrap();
    let name = disk.path.file_name().unwrap().to_str().unwrap();
    read(&disk.path, name, &disk.below, 0xb7);
}
