// SPDX-License-Identifier: Apache-2.0
//! Every metric that comes from a file of the kernel against a second reader of the file, which
//! shares nothing with the agent's: ours lies between its readings before and after.

#![allow(clippy::unwrap_used, clippy::print_stdout, reason = "tests tell what they compared")]

mod containers;
mod host;
mod listed;
mod network;
mod reading;

use std::collections::{BTreeMap, BTreeSet};
use std::thread::sleep;
use std::time::Duration;

use anyhow::ensure;
use integration::lab::{SoftRoce, in_lab};
use integration::{Agent, Collector, Point};
use semconv::{family, metric};

use containers::Containers;
use listed::{ABSENT, ELSEWHERE};
use reading::{Reading, Series};

/// Metrics that come from the same files.
struct Source {
    /// Their names; with a dot at the end, all that begin with it.
    metrics: &'static [&'static str],
    read: fn(&Containers, &mut Reading),
    /// How far beside its two readings a size may be that goes up and down meanwhile: by so much, and
    /// by this share of itself. A count may not.
    slack: [f64; 2],
}

/// Bytes, and pages of 4 KiB, by which a machine's memory moves within a second or two.
const MOVING: f64 = (128 << 20) as f64;
const MOVING_PAGES: f64 = MOVING / 4096.0;

static SOURCES: &[Source] = &[
    Source {
        metrics: &["system.cpu.time", "system.cpu.logical.count"],
        read: host::cpu,
        slack: [0.0, 0.0],
    },
    Source {
        metrics: &[
            "linux.cpu.context_switches",
            "linux.cpu.interrupts",
            "system.process.created",
            "linux.file.handle.",
            "linux.random.entropy",
        ],
        read: host::kernel,
        slack: [200.0, 0.0],
    },
    Source { metrics: &["system.cpu.load_average."], read: host::load, slack: [0.0, 0.0] },
    Source {
        metrics: &["system.memory.", "system.paging.usage"],
        read: host::memory,
        slack: [MOVING, 0.0],
    },
    Source {
        metrics: &["linux.vmstat.", "system.paging.faults"],
        read: host::vmstat,
        slack: [MOVING_PAGES, 0.0],
    },
    Source {
        metrics: &["linux.buddyinfo.block.count"],
        read: host::buddyinfo,
        slack: [500.0, 0.5],
    },
    Source { metrics: &["system.disk."], read: host::disks, slack: [0.0, 0.0] },
    Source {
        metrics: &["system.filesystem.usage", "system.filesystem.limit"],
        read: host::file_systems,
        slack: [MOVING, 0.0],
    },
    Source { metrics: &["linux.mount.read_only"], read: host::read_only, slack: [0.0, 0.0] },
    Source {
        metrics: &[
            "system.cpu.linux.pressure.",
            "system.memory.linux.pressure.",
            "system.io.linux.pressure.",
            "system.irq.linux.pressure.",
        ],
        read: host::pressure,
        slack: [0.01, 0.0],
    },
    Source {
        metrics: &[
            "system.network.io",
            "system.network.packet.",
            "system.network.errors",
            "linux.network.interface.errors",
            "linux.network.interface.compressed.packet.count",
            "linux.network.interface.multicast.packet.count",
        ],
        read: network::devices,
        slack: [0.0, 0.0],
    },
    Source { metrics: &["linux.netstat."], read: network::protocols, slack: [8.0, 0.0] },
    Source {
        metrics: &["linux.sockstat.", "linux.tcp.memory."],
        read: network::sockets,
        slack: [64.0, 0.1],
    },
    Source { metrics: &["linux.rdma."], read: network::rdma, slack: [0.0, 0.0] },
    Source { metrics: &["linux.network.neighbor."], read: network::neighbors, slack: [4.0, 0.0] },
    Source {
        metrics: &[
            "container.cpu.time",
            "linux.cgroup.cpu.allotted",
            "linux.cgroup.cpu.limit",
            "linux.cgroup.cpu.periods",
            "linux.cgroup.cpu.throttled.",
            "linux.cgroup.cpu.burst.",
        ],
        read: containers::cpu,
        slack: [0.0, 0.0],
    },
    Source {
        metrics: &[
            "container.memory.",
            "container.paging.faults",
            "linux.cgroup.memory.stat.",
            "linux.cgroup.memory.events",
        ],
        read: containers::memory,
        slack: [(256 << 10) as f64, 0.0],
    },
    Source {
        metrics: &["linux.cgroup.pressure.time"],
        read: containers::pressure,
        slack: [0.0, 0.0],
    },
];

/// The kernel lets these fall by a few ticks.
const FALLING: (&str, f64) = ("system.cpu.time", 0.05);

/// Snapshots that are compared at most: a size that has been up and down again is elsewhere in the
/// next.
const TRIES: usize = 6;

fn is_of(name: &str, wanted: &str) -> bool {
    name == wanted || wanted.ends_with('.') && name.starts_with(wanted)
}

fn source(name: &str) -> Option<&'static Source> {
    SOURCES.iter().find(|source| source.metrics.iter().any(|wanted| is_of(name, wanted)))
}

fn kernel(containers: &Containers) -> Reading {
    let mut reading = Reading::default();
    SOURCES.iter().for_each(|source| (source.read)(containers, &mut reading));
    reading
}

/// The first snapshot of an agent, with what the kernel says before and after it.
fn bracketed(collector: &Collector, containers: &Containers) -> [Reading; 3] {
    const LAST: &str = "linux.cpu.context_switches";
    let config = format!(
        "[Otlp]\nEndpoint = \"http://127.0.0.1:{}\"\nInterval = 3600\n\
         [MetricCollector.NetdevStats]\nDeviceExcluded = \"\"\n\
         [MetricCollector.Netstat]\nIncluded = \"\"\nExcluded = \"\"\n\
         [MetricCollector.Vmstat]\nIncludedOnHost = \"\"\nExcludedOnHost = \"\"\n\
         IncludedOnContainer = \"\"\nExcludedOnContainer = \"\"\n",
        collector.grpc
    );
    let begin = integration::unix_now();
    let before = kernel(containers);
    let mut agent = Agent::with(&config).start().unwrap();
    let times = |wanted: usize| {
        collector
            .until(|got| {
                let points = got.of(LAST).into_iter().map(|point| point.time);
                let times: BTreeSet<u64> = points.filter(|time| *time > begin).collect();
                ensure!(times.len() >= wanted, "{} of {wanted} snapshots", times.len());
                Ok(times)
            })
            .unwrap()
    };
    times(1);
    let after = kernel(containers);
    // It takes another at its end, if the first is a second old; then this one has come whole.
    sleep(Duration::from_millis(1200));
    agent.terminate().unwrap();
    let first = *times(2).first().unwrap();
    let got = collector.received().unwrap();
    let ours = got.points.iter().filter(|point| point.time == first && is_compared(point));
    let ours = ours.map(|point| (Series::of(point), point.value, point.is_monotonic));
    let ours = ours.filter(|(series, ..)| containers.has(series));
    [before, Reading::from_ours(ours), after]
}

fn is_compared(point: &Point) -> bool {
    let is_listed = ELSEWHERE.iter().any(|(wanted, _)| is_of(&point.name, wanted));
    !is_listed && source(&point.name).is_some()
}

/// Series of which ours does not lie between.
fn outside([before, ours, after]: &[Reading; 3]) -> BTreeMap<Series, String> {
    let mut outside = BTreeMap::new();
    for (series, value) in &ours.values {
        let both = [before, after].map(|reading| reading.values.get(series).copied());
        let bounds: Vec<f64> = both.into_iter().flatten().collect();
        let (least, most) = bounds.iter().fold((f64::MAX, f64::MIN), |(least, most), bound| {
            (least.min(*bound), most.max(*bound))
        });
        let slack = match series.metric == FALLING.0 {
            true => FALLING.1,
            false if ours.counts.contains(series) => 0.0,
            false => {
                let [by, share] = source(&series.metric).unwrap().slack;
                by + share * value.abs()
            }
        };
        // Seconds of ticks are rounded by both.
        let rounding = 1e-9 * value.abs();
        let is_between = least - slack - rounding <= *value && *value <= most + slack + rounding;
        if !is_between {
            outside.insert(series.clone(), format!("ours {value}, the kernel's {bounds:?}"));
        }
    }
    for series in before.values.keys().filter(|series| after.values.contains_key(series)) {
        if !ours.values.contains_key(series) {
            outside.insert(series.clone(), "only the kernel has it".to_owned());
        }
    }
    outside
}

#[test]
fn what_comes_from_a_file_lies_between_two_readings_of_it() {
    let collector = Collector::start(None).unwrap();
    let containers = Containers::start();
    let rdma = in_lab().then(|| SoftRoce::with_traffic().unwrap());
    let mut compared = BTreeSet::new();
    let mut left: Option<BTreeMap<Series, String>> = None;
    for _ in 0..TRIES {
        let readings = bracketed(&collector, &containers);
        compared.extend(readings[1].values.keys().cloned());
        let mut outside = outside(&readings);
        if let Some(left) = &left {
            outside.retain(|series, _| left.contains_key(series));
        }
        println!("files: {} series, {} outside", readings[1].values.len(), outside.len());
        let is_done = outside.is_empty();
        left = Some(outside);
        if is_done {
            break;
        }
    }
    let has_rdma = compared.iter().any(|series| series.metric == "linux.rdma.sent_pkts");
    assert!(rdma.is_none() || has_rdma, "nothing of the RDMA device");
    let left = left.unwrap();
    assert!(left.is_empty(), "in each of {TRIES} snapshots: {left:#?}");
    for wanted in SOURCES.iter().flat_map(|source| source.metrics) {
        let is_there = compared.iter().any(|series| is_of(&series.metric, wanted));
        let reason = ABSENT.iter().find(|(name, _)| name == wanted);
        match reason {
            Some((_, reason)) if !is_there => println!("not here: {wanted}: {reason}"),
            _ => assert!(is_there, "nothing was compared of {wanted}"),
        }
    }
}

#[test]
fn every_metric_is_compared_or_listed_with_the_reason() {
    let names = metric::ALL.iter().map(|def| def.name).chain(family::ALL.iter().map(|f| f.prefix));
    let names: Vec<&str> = names.collect();
    let is_listed = |name: &str| ELSEWHERE.iter().any(|(wanted, _)| is_of(name, wanted));
    let missing: Vec<_> =
        names.iter().filter(|name| source(name).is_none() && !is_listed(name)).collect();
    assert!(missing.is_empty(), "neither compared nor listed: {missing:#?}");
    let wanted = SOURCES.iter().flat_map(|source| source.metrics).copied();
    for wanted in wanted.chain(ELSEWHERE.iter().map(|(name, _)| *name)) {
        assert!(names.iter().any(|name| is_of(name, wanted)), "{wanted} is no metric any more");
    }
}
