// SPDX-License-Identifier: Apache-2.0
//! Network data belongs to who has the network namespace.

#![allow(clippy::unwrap_used, reason = "helpers of tests may panic as tests do")]

use anyhow::{Result, ensure};
use integration::{
    Agent, Cgroup, Collector, Namespace, Point, Received, container_id, proc, push_config,
};

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
            Ok(point.clone())
        })
        .unwrap();
    assert!(point.value <= sent(target));
    assert!(!point.resource.contains_key("container.id"), "it is the pod's");
    assert_eq!(point.resource["k8s.pod.qos_class"], "Burstable");
    assert!(point.resource.contains_key("host.name"));
    let got = collector.received().unwrap();
    last(&got, "linux.network.interface.packet.count", "k8s.pod.uid", UID).unwrap();
    last(&got, "k8s.pod.network.errors", "k8s.pod.uid", UID).unwrap();
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
