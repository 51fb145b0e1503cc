// SPDX-License-Identifier: Apache-2.0
//! How long block requests take, in all (q2c) and in the device alone (d2c).
//! Hooks: block_rq_issue, block_rq_complete, blk_mq_freeze_queue.   Signals: `linux.block.io.*`,
//! `linux.cgroup.block.io.*`, `linux.block.freezes`.

mod disks;

use std::collections::{BTreeMap, HashMap, HashSet};

use disks::Disks;
use ebpf::block_latency::records::{
    BLOCK_EDGES, block_disk, block_durations, block_key, block_latency,
};
use ebpf::block_latency::{OBJECT, global, map, program};
use semconv::{MetricDef, metric};

use crate::bpf::{Global, Hook, Object, Plan, Table, Twin, Way};
use crate::entity::{Hierarchy, Tally};
use crate::kernel::{counter_start, unix_now};
use crate::probes::durations::{add_buckets, earlier, edges_ns, histogram, table_size};
use crate::probes::{Built, Collect, CollectError, Probe, ProbeDef, StartContext, Started};
use crate::signal::{Attribute, EntityRecorder, Recorder, UnixNanos};

/// The probe.
pub static PROBE: ProbeDef =
    ProbeDef { name: "block.latency", legacy_names: &["iolatency"], start, decoder: None };

/// Id of no cgroup: of requests without a bio, like flushes of a device.
const NO_CGROUP: u64 = 0;

const FREEZE: &str = "blk_mq_freeze_queue";
/// Its name since v6.15.
const FREEZE_NOMEMSAVE: &str = "blk_mq_freeze_queue_nomemsave";

const HOOKS: &[Hook] = &[
    Hook {
        target: "block_rq_complete",
        required: true,
        purpose: "ends a request",
        twins: &[
            Twin::new(Way::TpBtf, program::BLOCK_RQ_COMPLETE_BTF),
            Twin::new(Way::RawTp, program::BLOCK_RQ_COMPLETE_RAW),
        ],
    },
    Hook {
        target: "block_rq_issue",
        required: false,
        purpose: "tells when the device got a request",
        twins: &[
            Twin::new(Way::RawTp, program::BLOCK_RQ_ISSUE_AFTER_QUEUE_RAW),
            Twin::new(Way::RawTp, program::BLOCK_RQ_ISSUE_RAW),
        ],
    },
    Hook {
        target: FREEZE,
        required: false,
        purpose: "counts queues that were frozen",
        twins: &[
            Twin::new(Way::Fentry, program::FREEZE_QUEUE_FENTRY),
            Twin::at(Way::Fentry, program::FREEZE_QUEUE_FENTRY, FREEZE_NOMEMSAVE),
            Twin::new(Way::Kprobe, program::FREEZE_QUEUE_KPROBE),
            Twin::at(Way::Kprobe, program::FREEZE_QUEUE_KPROBE, FREEZE_NOMEMSAVE),
        ],
    },
];

fn start(cx: &StartContext<'_>) -> Started {
    let plan = Plan {
        object: OBJECT,
        hooks: HOOKS,
        globals: vec![Global::Words(global::EDGES_NS, edges_ns(&metric::LINUX_BLOCK_IO_DURATION))],
        map_sizes: vec![(map::LATENCIES, table_size::<block_latency>(cx.support.possible_cpus))],
    };
    Started::from_object(cx, &plan, |mut object| {
        let probe = BlockLatency {
            requests: object.table_by(map::LATENCIES, total)?,
            overflow: object.table_by(map::OVERFLOW, total)?,
            has_overflown: false,
            freezes: object.table(map::FREEZES)?,
            sees_freezes: object.is_attached(FREEZE),
            hierarchy: Hierarchy::of(cx.fs, "blkio"),
            tally: Tally::new(add_work),
            gone: Work::new(),
            names: object.table(map::DISKS)?,
            disks: Disks::new(cx.fs),
            attached: unix_now(),
            left: HashMap::new(),
            _object: object,
        };
        Ok(Built { probe: Box::new(probe), events: None })
    })
}

/// Requests by disk and direction.
type Work = BTreeMap<(u32, Direction), block_latency>;

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Direction {
    Read,
    Write,
}

struct BlockLatency {
    requests: Table<block_key, block_latency>,
    /// By disk alone, of cgroups that found no room.
    overflow: Table<block_key, block_latency>,
    has_overflown: bool,
    freezes: Table<u32, u64>,
    sees_freezes: bool,
    hierarchy: Hierarchy,
    tally: Tally<Work>,
    /// Of cgroups whose entries were removed.
    gone: Work,
    names: Table<u32, block_disk>,
    disks: Disks,
    attached: UnixNanos,
    /// When a disk was gone last: what has its number since then began anew.
    left: HashMap<u32, UnixNanos>,
    _object: Object,
}

impl Probe for BlockLatency {
    fn collect(&mut self, cx: &mut Collect<'_>, out: &mut Recorder) -> Result<(), CollectError> {
        self.disks.look_again(&mut self.names)?;
        let mut by_cgroup = self.by_cgroup(cx.now)?;
        // It would be looked for in every cgroup, and in vain.
        let of_none = by_cgroup.remove(&NO_CGROUP).unwrap_or_default();
        let entries: Vec<(u64, Work)> = by_cgroup.into_iter().collect();
        let ids: Vec<u64> = entries.iter().map(|(id, _)| *id).collect();
        let places = self.hierarchy.places(&ids, cx.entities);
        let sums = self.tally.sum_at(&entries, places, cx.entities, |_, _| None);
        for share in sums.shares.iter().filter(|share| share.running) {
            let mut container = out.entity(&share.container.resource);
            for (key, latency) in &share.value {
                let Some(attributes) = self.disks.directed(*key) else { continue };
                let start = counter_start(latency.start_ns);
                record(&mut container, &OF_CONTAINER, &attributes, latency, start);
            }
        }
        let ended: HashSet<u64> = sums.ended.into_iter().collect();
        for (id, work) in entries.iter().filter(|(id, _)| ended.contains(id)) {
            add_work(&mut self.gone, work);
            for (device, direction) in work.keys() {
                for number in self.disks.numbers(*device) {
                    self.requests.remove(key_of(*id, number, *direction))?;
                }
            }
        }
        self.collect_host(of_none, &entries, &ended, &mut out.host())
    }
}

impl BlockLatency {
    /// Requests of each cgroup, without those of disks that are gone.
    fn by_cgroup(&mut self, now: UnixNanos) -> Result<HashMap<u64, Work>, CollectError> {
        let mut by_cgroup: HashMap<u64, Work> = HashMap::new();
        // Those that overflowed have no cgroup.
        for (table, overflows) in [(&mut self.requests, false), (&mut self.overflow, true)] {
            for (key, latency) in table.entries()? {
                let Some(disk) = self.disks.served(key.device) else {
                    self.left.insert(key.device, now);
                    table.remove(key)?;
                    continue;
                };
                if overflows && !std::mem::replace(&mut self.has_overflown, true) {
                    tracing::warn!(
                        "more cgroups use disks than fit: some count for the host alone"
                    );
                }
                let work = by_cgroup.entry(key.cgroup_id).or_default();
                add_to(work, (disk, direction(&key)), &latency);
            }
        }
        Ok(by_cgroup)
    }

    /// Since when requests of a disk count for the host.
    fn since(&self, disk: u32) -> UnixNanos {
        self.left.get(&disk).copied().unwrap_or(self.attached)
    }

    fn collect_host(
        &mut self,
        of_none: Work,
        entries: &[(u64, Work)],
        ended: &HashSet<u64>,
        host: &mut EntityRecorder<'_>,
    ) -> Result<(), CollectError> {
        let mut all = of_none;
        add_work(&mut all, &self.gone);
        for (_, work) in entries.iter().filter(|(id, _)| !ended.contains(id)) {
            add_work(&mut all, work);
        }
        self.gone.retain(|(device, _), _| self.disks.is_there(*device));
        for (key, latency) in &all {
            let Some(attributes) = self.disks.directed(*key) else { continue };
            record(host, &OF_HOST, &attributes, latency, self.since(key.0));
        }
        if !self.sees_freezes {
            return Ok(());
        }
        let mut freezes: BTreeMap<u32, u64> = all.keys().map(|(device, _)| (*device, 0)).collect();
        for (device, count) in self.freezes.entries()? {
            if let Some(disk) = self.disks.served(device) {
                *freezes.entry(disk).or_default() += count;
            } else {
                self.freezes.remove(device)?;
            }
        }
        for (device, count) in freezes {
            let Some(disk) = self.disks.attributes(device) else { continue };
            host.sum(&metric::LINUX_BLOCK_FREEZES, disk, self.since(device), count);
        }
        Ok(())
    }
}

/// The two metrics of an entity: q2c and d2c.
type Metrics = [&'static MetricDef; 2];

static OF_HOST: Metrics =
    [&metric::LINUX_BLOCK_IO_DURATION, &metric::LINUX_BLOCK_IO_DEVICE_DURATION];
static OF_CONTAINER: Metrics =
    [&metric::LINUX_CGROUP_BLOCK_IO_DURATION, &metric::LINUX_CGROUP_BLOCK_IO_DEVICE_DURATION];

fn record(
    out: &mut EntityRecorder<'_>,
    metrics: &Metrics,
    attributes: &[Attribute],
    latency: &block_latency,
    start: UnixNanos,
) {
    for (def, durations) in metrics.iter().zip([&latency.queued, &latency.dispatched]) {
        let value = histogram(&durations.buckets, durations.sum_ns);
        out.histogram(def, attributes.to_vec(), start, value);
    }
}

fn direction(key: &block_key) -> Direction {
    if key.is_write == 0 { Direction::Read } else { Direction::Write }
}

fn key_of(cgroup_id: u64, device: u32, direction: Direction) -> block_key {
    block_key { cgroup_id, device, is_write: u32::from(direction == Direction::Write) }
}

fn total(per_cpu: &[block_latency]) -> block_latency {
    let none = || block_durations { sum_ns: 0, buckets: [0; BLOCK_EDGES as usize + 1] };
    let mut total = block_latency { start_ns: 0, queued: none(), dispatched: none() };
    per_cpu.iter().for_each(|cpu| add(&mut total, cpu));
    total
}

fn add(sum: &mut block_latency, other: &block_latency) {
    sum.start_ns = earlier(sum.start_ns, other.start_ns);
    let parts = [(&mut sum.queued, &other.queued), (&mut sum.dispatched, &other.dispatched)];
    for (sum, other) in parts {
        sum.sum_ns += other.sum_ns;
        add_buckets(&mut sum.buckets, &other.buckets);
    }
}

fn add_work(sum: &mut Work, other: &Work) {
    for (key, latency) in other {
        add_to(sum, *key, latency);
    }
}

fn add_to(sum: &mut Work, key: (u32, Direction), latency: &block_latency) {
    sum.entry(key).and_modify(|sum| add(sum, latency)).or_insert(*latency);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_kernel_counts_against_the_bounds_of_the_registry() {
        for metric in OF_HOST.iter().chain(&OF_CONTAINER) {
            assert_eq!(metric.bounds.len(), BLOCK_EDGES as usize, "{}", metric.name);
        }
    }

    #[test]
    fn work_is_added_up_by_disk_and_direction() {
        let mut one = total(&[]);
        one.queued.buckets[3] = 2;
        one.queued.sum_ns = 10;
        one.start_ns = 5;
        let mut sum = Work::from([((1, Direction::Read), one)]);
        add_work(
            &mut sum,
            &Work::from([((1, Direction::Read), one), ((1, Direction::Write), one)]),
        );
        let read = sum[&(1, Direction::Read)];
        assert_eq!((read.queued.buckets[3], read.queued.sum_ns, read.start_ns), (4, 20, 5));
        assert_eq!(sum[&(1, Direction::Write)].queued.buckets[3], 2);
    }
}
