// SPDX-License-Identifier: Apache-2.0
//! Every metric of the registry is received by a real Collector, or is listed here with the reason.

#![allow(clippy::unwrap_used, reason = "helpers of tests may panic as tests do")]

use std::collections::BTreeSet;

use anyhow::ensure;
use integration::{Agent, Cgroup, Collector, container_id, push_config};
use semconv::metric;

/// Metrics that this machine cannot give, and where else they are seen.
const ELSEWHERE: &[(&str, &str)] = &[
    ("container.network.io", "needs a container with a network of its own: tests/networks.rs"),
    ("k8s.pod.network.", "needs a pod: tests/networks.rs"),
    ("linux.network.interface.packet.", "needs a pod's network: tests/networks.rs"),
    ("linux.cgroup.memory.events", "cgroup v2 only: tests/containers.rs in the lab"),
    ("linux.cgroup.pressure.", "cgroup v2 only: collector/tests/kernels.rs"),
    ("linux.block.freezes", "needs kprobes or fentry; the lab's kernels have them"),
    ("linux.cgroup.cpu.wait.", "kernels of some vendors: unit test of cpu.cgroup"),
    ("linux.network.dcb.pfc.frames", "needs a device with DCB: unit test of netlink/dcb.rs"),
    ("linux.network.hardware.", "off by default, needs a list: tests/kernel.rs in the lab"),
    ("linux.network.interface.detailed_errors", "EnableNetlink: the second agent below"),
    ("linux.network.interface.unhandled_packets", "EnableNetlink: the second agent below"),
    ("linux.network.interface.state_changes", "needs a list and a change: tests/events_link.rs"),
    ("linux.network.bond.lacp.changes", "needs a bond: tests/events_link.rs in the lab"),
    (
        "linux.network.transmit_queue.timeouts",
        "needs a device that hangs: tests/events_transmit.rs in the lab",
    ),
    ("hw.", "needs a GPU: collector/tests/gpu.rs"),
    ("metax.", "needs a GPU: collector/tests/gpu.rs"),
    (
        "system.irq.linux.pressure.",
        "needs CONFIG_IRQ_TIME_ACCOUNTING: system.pressure reads it alike",
    ),
    ("huatuo.", "the agent's own: tests/push.rs"),
    ("otel.", "the agent's own: tests/push.rs"),
    ("process.", "the agent's own: tests/push.rs"),
];

#[test]
fn every_metric_is_received_or_listed_with_the_reason() {
    let collector = Collector::start(None).unwrap();
    let agent =
        Agent::with(&push_config("grpc", collector.grpc, "gzip", "http", "")).start().unwrap();
    let cgroup = Cgroup::with_cpu(&format!("docker/{}", container_id(0xd1)), 50).unwrap();
    let io = Cgroup::with_io(&format!("docker/{}", container_id(0xd2))).unwrap();
    let _busy = cgroup.hold("sh -c 'while :; do :; done'").unwrap();
    let folder = tempfile::tempdir_in(integration::root().join("target")).unwrap();
    let file = folder.path().join("written");
    let write =
        format!("dd if=/dev/zero of={} bs=4k count=50 oflag=direct status=none", file.display());
    io.run(&write, 1).unwrap();
    // One without a limit would have to take all of the machine's memory.
    let small = Cgroup::new(&format!("docker/{}", container_id(0xd3))).unwrap();
    small.kill_one().unwrap();
    // To a port that nobody listens on.
    let sender = std::net::UdpSocket::bind("127.0.0.1:0").unwrap();
    sender.send_to(b"dropped", "127.0.0.1:9").unwrap();

    let elsewhere = |name: &str| ELSEWHERE.iter().any(|(start, _)| name.starts_with(start));
    // What is not pushed is on the page.
    let pushed = metric::ALL.iter().filter(|def| !def.opt_in);
    let wanted: BTreeSet<&str> =
        pushed.map(|def| def.name).filter(|name| !elsewhere(name)).collect();
    collector
        .until(|got| {
            let got: BTreeSet<&str> = got.points.iter().map(|point| &*point.name).collect();
            let missing: Vec<_> = wanted.iter().filter(|name| !got.contains(**name)).collect();
            ensure!(missing.is_empty(), "not received: {missing:#?}");
            Ok(())
        })
        .unwrap();
    assert!(agent.get("metrics").unwrap().contains("huatuo_bamai_softirq_latency{"));
    for (start, reason) in ELSEWHERE {
        let is_known = metric::ALL.iter().any(|def| def.name.starts_with(start));
        assert!(is_known, "{start} ({reason}) is no metric any more");
    }
}

#[test]
fn the_hosts_devices_by_netlink_are_those_by_procfs() {
    let collector = Collector::start(None).unwrap();
    // A push takes a snapshot, which a scrape within a second takes over.
    let config = push_config("grpc", collector.grpc, "gzip", "http", "")
        .replace("Interval = 1\n", "Interval = 3600\n")
        + "[MetricCollector.NetdevStats]\nEnableNetlink = true\nDeviceExcluded = \"\"\n";
    let agent = Agent::with(&config).start().unwrap();
    for name in
        ["linux.network.interface.detailed_errors", "linux.network.interface.unhandled_packets"]
    {
        collector.until(|got| Ok(got.last(name)?.time)).unwrap();
    }
    let series = |page: &str| {
        let start = "huatuo_bamai_netdev_receive_packets_total{device=\"lo\"";
        let line = page.lines().find(|line| line.starts_with(start)).unwrap().to_owned();
        line.rsplit(' ').next().unwrap().parse::<f64>().unwrap()
    };
    let kernel = || {
        let text = integration::proc("1/net/dev").unwrap();
        let line =
            text.lines().find_map(|line| line.trim().strip_prefix("lo:")).unwrap().to_owned();
        line.split_whitespace().nth(1).unwrap().parse::<f64>().unwrap()
    };
    std::thread::sleep(std::time::Duration::from_millis(1100));
    let before = kernel();
    let ours = series(&agent.get("metrics").unwrap());
    assert!(before <= ours && ours <= kernel(), "{before} {ours}");
}
