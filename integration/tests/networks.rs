// SPDX-License-Identifier: Apache-2.0
//! Network data belongs to who has the network namespace.

#![allow(clippy::unwrap_used, reason = "helpers of tests may panic as tests do")]

use std::collections::BTreeMap;
use std::fs;
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::os::unix::fs::symlink;
use std::path::Path;

use anyhow::{Result, ensure};
use integration::{
    Agent, Cgroup, Collector, Namespace, Point, Received, container_id, proc, push_config,
};
use rustix::thread::{CpuSet, sched_getaffinity, sched_setaffinity};
use semconv::family;
use tempfile::TempDir;

const UID: &str = "275ecb36-5aa8-4c2a-9c47-d8bb681b9aff";
const HOST_UID: &str = "275ecb36-5aa8-4c2a-9c47-d8bb681b9a00";

/// A network namespace with a device `eth0`.
fn isolated(cgroup: &Cgroup) -> Namespace {
    let network = Namespace::of(cgroup).unwrap();
    network.ip("link add eth0 type veth peer eth1").unwrap();
    for device in ["eth0", "eth1"] {
        network.ip(&format!("link set {device} up")).unwrap();
    }
    network
}

/// Bytes that `eth0` of a process sent, as the kernel says.
fn sent(pid: u32) -> f64 {
    let text = proc(&format!("{pid}/net/dev")).unwrap();
    let line = text.lines().find_map(|line| line.trim().strip_prefix("eth0:")).unwrap();
    line.split_whitespace().nth(8).unwrap().parse().unwrap()
}

fn last<'a>(got: &'a Received, name: &str, key: &str, id: &str) -> Result<&'a Point> {
    let is_it = |point: &&&Point| {
        point.resource.get(key).is_some_and(|of| of == id)
            && point.attributes["network.interface.name"] == "eth0"
            && point.attributes["network.io.direction"] == "transmit"
    };
    let points = got.of(name);
    points.iter().rfind(is_it).copied().ok_or_else(|| anyhow::anyhow!("no {name} of {id}"))
}

#[test]
fn a_pods_traffic_is_the_pods_and_each_of_its_containers_on_the_legacy_page() {
    let collector = Collector::start(None).unwrap();
    let agent =
        Agent::with(&push_config("grpc", collector.grpc, "gzip", "http", "")).start().unwrap();
    let [first, second, on_host] = [0xd1, 0xd2, 0xd3].map(container_id);
    let of_pod = |id: &str| Cgroup::new(&format!("kubepods/burstable/pod{UID}/{id}")).unwrap();
    let (one, two) = (of_pod(&first), of_pod(&second));
    let held = isolated(&one);
    let target = held.pid();
    let shares = two.hold(&format!("nsenter --net --target {target} sleep 600")).unwrap();
    let host = Cgroup::new(&format!("kubepods/pod{HOST_UID}/{on_host}")).unwrap();
    let of_host = host.hold("sleep 600").unwrap();

    let before = sent(target);
    // Neighbour solicitation of IPv6 is traffic enough.
    let point = collector
        .until(|got| {
            let point = last(got, "k8s.pod.network.io", "k8s.pod.uid", UID)?;
            ensure!(point.value > before, "{} bytes", point.value);
            last(got, "linux.network.interface.packet.count", "k8s.pod.uid", UID)?;
            last(got, "k8s.pod.network.errors", "k8s.pod.uid", UID)?;
            Ok(point.clone())
        })
        .unwrap();
    assert!(point.value <= sent(target));
    assert!(!point.resource.contains_key("container.id"), "it is the pod's");
    assert_eq!(point.resource["k8s.pod.qos_class"], "Burstable");
    assert!(point.resource.contains_key("host.name"));
    let got = collector.received().unwrap();
    let of_host_pod = |point: &&Point| {
        point.name.contains("network")
            && point.resource.get("k8s.pod.uid").is_some_and(|uid| uid == HOST_UID)
    };
    assert!(got.points.iter().find(of_host_pod).is_none(), "the host's traffic is the host's");

    let page = agent.get("metrics").unwrap();
    for id in [&first, &second] {
        let series = format!(
            "huatuo_bamai_netdev_container_transmit_bytes_total{{container_host=\"{}\"",
            &id[..12]
        );
        assert!(page.contains(&series), "{series}");
        for name in [
            "arp_container_entries",
            "netstat_container_TcpExt_ListenDrops",
            "netstat_container_TcpExt_TW",
            "sockstat_container_sockets_used",
            "sockstat_container_TCP_alloc",
        ] {
            let series = format!("huatuo_bamai_{name}{{container_host=\"{}\"", &id[..12]);
            assert!(page.contains(&series), "{series}");
        }
    }
    let of_pod = |point: &&Point| {
        point.name == "linux.netstat.tcp.activeopens"
            && point.resource.get("k8s.pod.uid").is_some_and(|uid| uid == UID)
    };
    assert!(got.points.iter().any(|point| of_pod(&point)), "what TCP counted is the pod's");
    drop((held, shares, of_host));
    collector
        .until(|got| {
            ensure!(last(got, "k8s.pod.network.io", "k8s.pod.uid", UID)?.ended, "it goes on");
            Ok(())
        })
        .unwrap();
}

#[test]
fn a_container_without_a_pod_has_its_own() {
    let collector = Collector::start(None).unwrap();
    let agent =
        Agent::with(&push_config("grpc", collector.grpc, "gzip", "http", "")).start().unwrap();
    let id = container_id(0xd4);
    let cgroup = Cgroup::new(&format!("docker/{id}")).unwrap();
    let held = isolated(&cgroup);
    for name in ["container.network.io", "linux.network.interface.packet.errors"] {
        collector.until(|got| Ok(last(got, name, "container.id", &id)?.value)).unwrap();
    }
    drop((held, agent));
}

/// Connects on each CPU, once in vain; the connections, which stay.
fn talk() -> Vec<[TcpStream; 2]> {
    let all = sched_getaffinity(None).unwrap();
    let cpus = (0..CpuSet::MAX_CPU).filter(|cpu| all.is_set(*cpu));
    let talked = cpus.map(|cpu| {
        let mut one = CpuSet::new();
        one.set(cpu);
        sched_setaffinity(None, &one).unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let mut client = TcpStream::connect(address).unwrap();
        let mut server = listener.accept().unwrap().0;
        client.write_all(b"question").unwrap();
        server.read_exact(&mut [0; 8]).unwrap();
        drop(listener);
        TcpStream::connect(address).unwrap_err();
        [client, server]
    });
    talked.collect()
}

/// What TCP counted in the namespace of a process, by the name of its metric.
fn counted(pid: u32) -> BTreeMap<String, f64> {
    let text = ["snmp", "netstat"].map(|file| proc(&format!("{pid}/net/{file}")).unwrap()).concat();
    let lines: Vec<&str> = text.lines().collect();
    let mut all = BTreeMap::new();
    for pair in lines.chunks(2) {
        let (group, names) = pair[0].split_once(':').unwrap();
        let values = pair[1].split_whitespace().skip(1);
        for (name, value) in names.split_whitespace().zip(values) {
            if let Some(field) = family::NETSTAT.field(&format!("{group}_{name}")) {
                all.insert(field.metric.name.to_owned(), value.parse().unwrap());
            }
        }
    }
    all
}

/// The same as it was pushed last, as soon as it is what the kernel's files say.
fn pushed(launch: &str, root: Option<&Path>, pid: u32, id: &str) -> BTreeMap<String, f64> {
    let collector = Collector::start(None).unwrap();
    let config = push_config("grpc", collector.grpc, "gzip", "http", "");
    let mut launched = Agent::with(&format!("{config}{launch}"));
    if let Some(root) = root {
        launched = launched.arg("--procfs-prefix").arg(root.display().to_string());
    }
    let agent = launched.start().unwrap();
    let status = agent.status().unwrap();
    let probes = status["probes"].as_array().unwrap();
    let probe = probes.iter().find(|probe| probe["probe"] == "network.netstat").unwrap();
    let state = if root.is_some() { "attached" } else { "partial" };
    assert_eq!(probe["state"], state, "{probe}");
    let is_it = |point: &&Point| {
        let owner = point.resource.get("container.id");
        point.name.starts_with("linux.netstat.") && owner.is_some_and(|owner| owner == id)
    };
    let found = collector.until(|got| {
        let points: Vec<&Point> = got.points.iter().filter(is_it).collect();
        let newest = points.iter().map(|point| point.time).max();
        let newest = points.iter().filter(|point| Some(point.time) == newest);
        let ours: BTreeMap<String, f64> =
            newest.map(|point| (point.name.clone(), point.value)).collect();
        ensure!(!ours.is_empty(), "nothing of {id}");
        let kernel = counted(pid);
        for (name, value) in &ours {
            ensure!(kernel.get(name) == Some(value), "{name}: {value}, the kernel's {kernel:?}");
        }
        Ok(ours)
    });
    found.unwrap()
}

/// A root like the machine's, where this process has no files of its network.
fn without_files_of(pid: u32) -> TempDir {
    let root = tempfile::tempdir().unwrap();
    let folder = root.path().join("proc");
    fs::create_dir(&folder).unwrap();
    for entry in fs::read_dir("/proc").unwrap().flatten() {
        symlink(entry.path(), folder.join(entry.file_name())).unwrap();
    }
    symlink("/sys", root.path().join("sys")).unwrap();
    let process = folder.join(pid.to_string());
    fs::remove_file(&process).unwrap();
    fs::create_dir_all(process.join("net")).unwrap();
    symlink(format!("/proc/{pid}/ns"), process.join("ns")).unwrap();
    root
}

/// The default of `IncludedInPushOfContainers`.
fn pushed_by_default() -> String {
    let output = Agent::with("").arg("config").run().unwrap();
    let config: toml::Table = String::from_utf8(output.stdout).unwrap().parse().unwrap();
    let words = &config["MetricCollector"]["Netstat"]["IncludedInPushOfContainers"];
    words.as_str().unwrap().to_owned()
}

#[test]
fn what_tcp_counted_is_pushed_without_its_files_and_from_them_where_a_word_is_only_there() {
    let id = container_id(0xd5);
    let cgroup = Cgroup::new(&format!("docker/{id}")).unwrap();
    let network = Namespace::of(&cgroup).unwrap();
    network.ip("link set lo up").unwrap();
    let connections = network.run(talk).unwrap();
    let pid = network.pid();

    let root = without_files_of(pid);
    let mut ours = pushed("", Some(root.path()), pid, &id);
    let open = 2.0 * connections.len() as f64;
    for (name, value) in [("activeopens", open), ("currestab", open), ("attemptfails", open / 2.0)]
    {
        assert_eq!(ours[&format!("linux.netstat.tcp.{name}")], value, "{name}");
    }
    // The kernel's name for it is not made of this word.
    let words = format!("{}|^TcpExt_TW$", pushed_by_default());
    let config = format!("[MetricCollector.Netstat]\nIncludedInPushOfContainers = '{words}'\n");
    let of_files = pushed(&config, None, pid, &id);
    ours.insert("linux.netstat.tcpext.tw".to_owned(), 0.0);
    assert_eq!(ours, of_files);
}
