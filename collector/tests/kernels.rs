// SPDX-License-Identifier: Apache-2.0
//! Files of real kernels (`kernels/<version>`, taken from Debian's 5.10, 6.1 and 6.12 on cgroup v2,
//! and from a 6.18 on v1), and every point and line of the page that they give.

#![allow(clippy::unwrap_used, reason = "helpers of tests may panic as tests do")]

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::{env, fs};

use huatuo_otel::collect::{Collector, Starter};
use huatuo_otel::config::Config;
use huatuo_otel::entity::Entities;
use huatuo_otel::export::prometheus::{Format, render};
use huatuo_otel::hostfs::HostFs;
use huatuo_otel::kernel::KernelSupport;
use huatuo_otel::signal::{Audience, EntityKind, Point, PointValue, Snapshot, Value};
use huatuo_otel::status::Board;

/// Probes that ask the running kernel and not its files.
const NOT_FILES: [&str; 20] = [
    "block.latency",
    "cpu.runqlat",
    "cpu.softirq",
    "gpu.metax",
    "gpu.nvidia",
    "memory.oom",
    "memory.reclaim",
    "memory.stall",
    "network.connections",
    "network.dcb",
    "network.dropwatch",
    "network.lacp",
    "network.link",
    "network.qdisc",
    "network.receive_latency",
    "network.transmit_timeout",
    "system.hung_task",
    "system.ras",
    "system.softlockup",
    "system.tasks",
];

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/kernels")
}

/// One collection of the files below `root`, and when its container started.
fn collect(root: &Path) -> (Snapshot, u64) {
    let (mut collector, started) = collector(root, &[]);
    (collector.collect(Audience::Everyone), started)
}

/// Collects from the files below `root`, without what these words turn off.
fn collector(root: &Path, turned_off: &[&str]) -> (Collector, u64) {
    let config = Config {
        black_list: NOT_FILES.iter().chain(turned_off).map(|word| (*word).to_owned()).collect(),
        region: "dev".to_owned(),
        ..Config::default()
    };
    let config = Arc::new(config);
    let fs = HostFs::new(root);
    let support = KernelSupport::gather(&fs);
    let entities = Arc::new(Entities::discover(&config, &fs));
    let started = entities.containers().first().map_or(0, |container| container.started);
    let board = Arc::new(Board::default());
    let starter = Starter { config, fs, support, board, events: None };
    (Collector::start(starter, entities), started)
}

/// The points of a metric, or of all that begin with its dot.
fn points<'a>(snapshot: &'a Snapshot, name: &str) -> Vec<&'a Point> {
    let all = snapshot.entities.iter().flat_map(|entity| &entity.points);
    let is_it = |of: &str| of == name || name.ends_with('.') && of.starts_with(name);
    all.filter(|point| is_it(point.metric.name)).collect()
}

fn value(value: &Value) -> String {
    match value {
        Value::Int(number) => number.to_string(),
        other => other.as_str().unwrap_or("?").to_owned(),
    }
}

fn line(kind: EntityKind, point: &Point, container: u64) -> String {
    let attributes: Vec<String> =
        point.attributes.iter().map(|(key, v)| format!("{}={}", key.key, value(v))).collect();
    let since = match point.start {
        0 => "",
        start if start == container => " since the container",
        _ => " since boot",
    };
    let number = match &point.value {
        PointValue::Int(number) => number.to_string(),
        PointValue::Double(number) => number.to_string(),
        PointValue::Histogram(histogram) => format!("{:?}", histogram.buckets),
    };
    let def = point.metric;
    let page_only = if point.page_only { " (page only)" } else { "" };
    format!(
        "{kind:?} {}{{{}}} {:?} {}{since}{page_only}: {number}",
        def.name,
        attributes.join(","),
        def.instrument,
        def.unit
    )
}

fn told(root: &Path) -> String {
    let (snapshot, container) = collect(root);
    let mut lines: Vec<String> = snapshot
        .entities
        .iter()
        .flat_map(|entity| {
            entity.points.iter().map(|point| line(entity.resource.kind, point, container))
        })
        .collect();
    lines.sort();
    let mut out = lines.join("\n");
    let page = render(&snapshot, Format::Text);
    let host = page.split("host=\"").nth(1).unwrap().split('"').next().unwrap();
    let _ = write!(out, "\n\n{}", page.replace(&format!("host=\"{host}\""), "host=\"hostname\""));
    out
}

fn is_as_expected(version: &str) {
    let told = told(&folder().join(version));
    let path = folder().join(format!("{version}.txt"));
    if env::var_os("UPDATE_GENERATED").is_some() {
        fs::write(&path, &told).unwrap();
    }
    let expected = fs::read_to_string(&path).unwrap();
    let (told, expected): (BTreeSet<&str>, BTreeSet<&str>) =
        (told.lines().collect(), expected.lines().collect());
    let missing: Vec<_> = expected.difference(&told).collect();
    let more: Vec<_> = told.difference(&expected).collect();
    assert!(missing.is_empty() && more.is_empty(), "missing {missing:#?}\nmore {more:#?}");
}

#[test]
fn linux_5_10() {
    is_as_expected("5.10");
}

#[test]
fn linux_6_1() {
    is_as_expected("6.1");
}

#[test]
fn linux_6_12() {
    is_as_expected("6.12");
}

#[test]
fn linux_6_18_with_cgroup_v1() {
    is_as_expected("6.18");
}

/// What becomes of a file's bytes.
type Ruin = fn(&[u8]) -> Vec<u8>;

/// Every file of a tree, in ruins: whatever can be read is told, and nothing else happens.
#[test]
fn files_that_are_torn_empty_or_no_text_cost_their_own_points_only() {
    let root = tempfile::tempdir().unwrap();
    copy(&folder().join("6.12"), root.path());
    let whole = collect(root.path()).0.entities.iter().map(|e| e.points.len()).sum::<usize>();
    let mut paths = Vec::new();
    files(root.path(), &mut paths);
    let ruins: [(&str, Ruin); 5] = [
        ("empty", |_| Vec::new()),
        ("torn", |bytes| bytes[..bytes.len() / 2].to_vec()),
        ("binary", |bytes| bytes.iter().map(|byte| byte ^ 0xa5).collect()),
        ("negative", |bytes| String::from_utf8_lossy(bytes).replace(' ', " -").into_bytes()),
        ("overflowing", |bytes| {
            String::from_utf8_lossy(bytes).replace('1', "99999999999999999999").into_bytes()
        }),
    ];
    for path in &paths {
        let bytes = fs::read(path).unwrap();
        for (what, ruin) in ruins {
            fs::write(path, ruin(&bytes)).unwrap();
            let points = collect(root.path()).0.entities.iter().map(|e| e.points.len()).sum();
            assert!((1..=whole).contains(&points), "{} {what}: {points}", path.display());
        }
        fs::remove_file(path).unwrap();
        collect(root.path());
        fs::write(path, &bytes).unwrap();
    }
}

/// A large machine: 512 CPUs, 300 disks, 5,000 devices.
#[test]
fn a_large_machine_is_told_whole() {
    let root = tempfile::tempdir().unwrap();
    copy(&folder().join("6.18"), root.path());
    let proc = root.path().join("proc");
    let rows = |count: usize, row: &dyn Fn(usize) -> String| {
        (0..count).map(row).collect::<Vec<_>>().join("\n") + "\n"
    };
    let cpus = rows(512, &|cpu| format!("cpu{cpu} 10 0 5 1000 1 0 1 0 0 0"));
    let stat = format!("cpu  5120 0 2560 512000 512 0 512 0 0 0\n{cpus}ctxt 7\nbtime 1700000000\n");
    fs::write(proc.join("stat"), stat).unwrap();
    let disk = |disk| format!("  8 {disk} sd{disk} 1 2 3 4 5 6 7 8 0 10 11 0 0 0 0 0 0");
    fs::write(proc.join("diskstats"), rows(300, &disk)).unwrap();
    let head = fs::read_to_string(proc.join("1/net/dev")).unwrap();
    let head: Vec<&str> = head.lines().take(2).collect();
    let device = |at| format!("  eth{at}: 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16");
    let devices = format!("{}\n{}", head.join("\n"), rows(5000, &device));
    fs::write(proc.join("1/net/dev"), devices).unwrap();
    let (snapshot, _) = collect(root.path());
    let cpus = &points(&snapshot, "system.cpu.logical.count")[0].value;
    assert!(matches!(cpus, PointValue::Int(512)), "{cpus:?}");
    assert_eq!(points(&snapshot, "system.network.io").len(), 2 * 5000);
    assert_eq!(points(&snapshot, "system.disk.io").len(), 2 * 300);
    assert!(render(&snapshot, Format::Text).contains("device=\"eth4999\""));
}

/// When each device of a metric began to count, and what it has.
fn devices(snapshot: &Snapshot, name: &str) -> BTreeMap<String, (u64, f64)> {
    let one = |point: &&Point| match &point.attributes[0].1 {
        Value::Int(number) => panic!("{number} is no device"),
        device => (device.as_str().unwrap().to_owned(), (point.start, point.value.as_f64())),
    };
    points(snapshot, name).iter().map(one).collect()
}

#[test]
fn counters_that_fall_begin_anew_and_those_of_other_devices_go_on() {
    const MULTICAST: &str = "linux.network.interface.multicast.packet.count";
    const BUSY: &str = "system.disk.io_time";
    let root = tempfile::tempdir().unwrap();
    copy(&folder().join("6.18"), root.path());
    let proc = root.path().join("proc");
    let write = |packets: [u64; 2], busy: [u64; 2]| {
        let device = |at| format!(" eth{at}: 1 {0} 0 0 0 0 0 {0} 1 1 0 0 0 0 0 0\n", packets[at]);
        let text = format!("Inter-|\n face |\n{}{}", device(0), device(1));
        fs::write(proc.join("1/net/dev"), text).unwrap();
        let disk = |at| format!(" 8 {at} sd{at} 1 2 3 4 5 6 7 8 0 {} 11\n", busy[at]);
        fs::write(proc.join("diskstats"), [disk(0), disk(1)].concat()).unwrap();
    };
    let (mut collector, _) = collector(root.path(), &[]);
    let mut collect = |packets, busy| {
        write(packets, busy);
        collector.collect(Audience::Everyone)
    };
    let first = collect([50, 60], [5000, 6000]);
    // A driver was loaded anew, a disk was plugged in anew.
    let second = collect([7, 61], [5001, 1000]);
    let third = collect([8, 62], [5002, 1001]);
    for (name, other, fallen, values) in
        [(MULTICAST, "eth1", "eth0", [7.0, 8.0]), (BUSY, "sd0", "sd1", [1.0, 1.001])]
    {
        let [before, after, later] = [&first, &second, &third].map(|all| devices(all, name));
        assert_eq!(before[fallen].0, before[other].0, "both since boot: {name}");
        assert_eq!(before[other].0, after[other].0, "{name} of {other}");
        assert_eq!(before[other].0, later[other].0, "{name} of {other}");
        let begun = after[fallen].0;
        assert!(before[fallen].0 < begun && begun <= first.time, "{name} of {fallen}: {begun}");
        assert_eq!(later[fallen].0, begun, "{name} of {fallen}");
        assert_eq!([after[fallen].1, later[fallen].1], values, "{name} of {fallen}");
    }
}

#[test]
fn the_word_for_the_kernels_counters_turns_off_those_of_containers_too() {
    let (mut collector, _) = collector(&folder().join("6.18"), &["memory_vmstat"]);
    let snapshot = collector.collect(Audience::Everyone);
    for name in ["linux.vmstat.", "linux.cgroup.memory.stat."] {
        assert!(!points(&collect(&folder().join("6.18")).0, name).is_empty(), "{name}");
        assert_eq!(points(&snapshot, name).len(), 0, "{name}");
    }
    let page = render(&snapshot, Format::Text);
    assert!(!page.contains("memory_vmstat_"), "{page}");
    // What HUATUO does not have is not its word's.
    assert_eq!(points(&snapshot, "container.memory.usage").len(), 1);
}

fn files(folder: &Path, found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).unwrap().flatten() {
        let kind = entry.file_type().unwrap();
        if kind.is_dir() {
            files(&entry.path(), found);
        } else if kind.is_file() {
            found.push(entry.path());
        }
    }
}

fn copy(from: &Path, to: &Path) {
    for entry in fs::read_dir(from).unwrap().flatten() {
        let (kind, to) = (entry.file_type().unwrap(), to.join(entry.file_name()));
        if kind.is_dir() {
            fs::create_dir(&to).unwrap();
            copy(&entry.path(), &to);
        } else if kind.is_symlink() {
            std::os::unix::fs::symlink(fs::read_link(entry.path()).unwrap(), to).unwrap();
        } else {
            fs::copy(entry.path(), to).unwrap();
        }
    }
}
