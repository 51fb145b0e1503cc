// SPDX-License-Identifier: Apache-2.0
//! What the page of old names says against what the kernel says; `tests/files` has all metrics.

#![allow(clippy::unwrap_used, reason = "helpers of tests may panic as tests do")]

use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use integration::{Agent, number, proc};

fn host(agent: &Agent) -> String {
    let page = agent.get("metrics").unwrap();
    let start = page.find("host=\"").unwrap() + 6;
    page[start..].split('"').next().unwrap().to_owned()
}

/// Reads a counter of the kernel before and after ours, until nothing else moved meanwhile too far.
fn bracket(read: impl Fn() -> Result<f64>, ours: impl Fn() -> Result<f64>) {
    // Snapshots are kept for a second: ours must be taken between the two readings.
    std::thread::sleep(Duration::from_millis(1100));
    let before = read().unwrap();
    let value = ours().unwrap();
    let after = read().unwrap();
    assert!(before <= value && value <= after, "{before} {value} {after}");
}

#[test]
fn counters_lie_between_two_readings_of_the_kernels_file() {
    let agent = Agent::with(
        "[MetricCollector.NetdevStats]\nDeviceExcluded = \"\"\n\
         [MetricCollector.Vmstat]\nIncludedOnHost = \"pgfault|pgalloc_normal\"\n",
    )
    .start()
    .unwrap();
    let labels = format!("host=\"{}\",region=\"\"", host(&agent));
    for word in ["pgfault", "pgalloc_normal"] {
        let series = format!("memory_vmstat_{word}{{{labels}}}");
        let read = || Ok(number(&proc("vmstat")?, word)? as f64);
        bracket(read, || agent.series(&series));
    }
    let series = format!("netdev_receive_packets_total{{device=\"lo\",{labels}}}");
    let read = || {
        let text = proc("1/net/dev")?;
        let line = text.lines().find_map(|line| line.trim().strip_prefix("lo:")).context("lo")?;
        Ok(line.split_whitespace().nth(1).context("packets")?.parse::<f64>()?)
    };
    bracket(read, || agent.series(&series));
}

/// A number of `/proc/1/net/snmp` or `netstat`, two lines per group.
fn protocol(file: &str, group: &str, word: &str) -> Result<f64> {
    let text = proc(&format!("1/net/{file}"))?;
    let head = format!("{group}:");
    let mut lines = text.lines().filter(|line| line.split(' ').next() == Some(&head));
    let (names, values) = (lines.next().context("no head")?, lines.next().context("no values")?);
    let column = names.split(' ').position(|name| name == word).context("no such word")?;
    Ok(values.split(' ').nth(column).context("no value")?.parse()?)
}

#[test]
fn counts_of_protocols_lie_between_two_readings_of_the_kernels_file() {
    let agent = Agent::with("").start().unwrap();
    let labels = format!("host=\"{}\",region=\"\"", host(&agent));
    for (file, group, word) in [
        ("snmp", "Tcp", "InSegs"),
        ("snmp", "Ip", "InReceives"),
        ("netstat", "TcpExt", "TCPOrigDataSent"),
    ] {
        let series = format!("netstat_{group}_{word}{{{labels}}}");
        bracket(|| protocol(file, group, word), || agent.series(&series));
    }
    // It goes up and down, but seldom.
    let series = format!("sockstat_sockets_used{{{labels}}}");
    let ours = agent.series(&series).unwrap();
    let kernel = proc("1/net/sockstat").unwrap();
    let kernel: f64 = kernel.lines().next().unwrap().rsplit(' ').next().unwrap().parse().unwrap();
    assert!((ours - kernel).abs() <= 8.0, "ours {ours}, the kernel's {kernel}");
}

#[test]
fn shares_of_cpu_time_follow_a_busy_loop() {
    let agent = Agent::with("").start().unwrap();
    let labels = format!("host=\"{}\",region=\"\"", host(&agent));
    agent.get("metrics").unwrap();
    std::thread::sleep(Duration::from_millis(1100));
    agent.get("metrics").unwrap();
    let begin = Instant::now();
    let mut sum = 0u64;
    while begin.elapsed() < Duration::from_millis(2200) {
        sum = std::hint::black_box(sum.wrapping_add(1));
    }
    let busy = agent.series(&format!("cpu_util_usr{{{labels}}}")).unwrap();
    let cpus = proc("stat").unwrap().lines().filter(|line| line.starts_with("cpu")).count() - 1;
    let one = 100.0 / cpus as f64;
    assert!(busy > one * 0.8 && busy <= 101.0, "{busy} % on {cpus} CPUs");
    let total = agent.series(&format!("cpu_util_total{{{labels}}}")).unwrap();
    assert!(total >= busy);
}
