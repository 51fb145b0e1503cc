// SPDX-License-Identifier: Apache-2.0
//! What the page of old names says against what the kernel says; `tests/files` has all metrics.

#![allow(clippy::unwrap_used, reason = "helpers of tests may panic as tests do")]

use std::collections::BTreeMap;
use std::fs;
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

/// What a task has waited, in ns, and how often it got a CPU (Documentation/scheduler/
/// sched-stats.rst, `/proc/<pid>/schedstat`).
fn waits(schedstat: &str) -> Option<[f64; 2]> {
    let mut columns = schedstat.split_whitespace().skip(1).map(str::parse);
    Some([columns.next()?.ok()?, columns.next()?.ok()?])
}

/// Of every task that there is.
fn waits_of_all() -> BTreeMap<String, [f64; 2]> {
    let mut all = BTreeMap::new();
    for process in fs::read_dir("/proc").unwrap().flatten() {
        let Ok(tasks) = fs::read_dir(process.path().join("task")) else { continue };
        for task in tasks.flatten() {
            let text = fs::read_to_string(task.path().join("schedstat")).unwrap_or_default();
            if let Some(found) = waits(&text) {
                all.insert(task.path().display().to_string(), found);
            }
        }
    }
    all
}

#[test]
fn waits_on_the_run_queue_add_up_to_the_kernels_own() {
    let collector = integration::Collector::start(None).unwrap();
    let config =
        format!("[Otlp]\nEndpoint = \"http://127.0.0.1:{}\"\nInterval = 3600\n", collector.grpc);
    let mut agent = Agent::with(&config).start().unwrap();
    let name = "linux.cpu.runqueue.wait.duration";
    let first = collector.until(|got| Ok(got.last(name)?.clone())).unwrap();
    let before = waits_of_all();
    // Twice as many busy tasks as CPUs, so that there is something to wait for.
    let cpus = std::thread::available_parallelism().unwrap().get();
    let busy = || {
        let begin = Instant::now();
        while begin.elapsed() < Duration::from_secs(3) {
            std::hint::black_box(0u64);
        }
        waits(&proc("thread-self/schedstat").unwrap()).unwrap()
    };
    let ended: Vec<[f64; 2]> = std::thread::scope(|scope| {
        let threads: Vec<_> = (0..2 * cpus).map(|_| scope.spawn(busy)).collect();
        threads.into_iter().map(|thread| thread.join().unwrap()).collect()
    });
    let [mut time, mut count] = [0.0, 0.0];
    for (task, [wait, runs]) in waits_of_all() {
        let [wait_before, runs_before] = before.get(&task).copied().unwrap_or_default();
        time += wait - wait_before;
        count += runs - runs_before;
    }
    for [wait, runs] in ended {
        time += wait;
        count += runs;
    }
    agent.terminate().unwrap();
    let last = collector
        .until(|got| {
            anyhow::ensure!(got.of(name).len() == 2, "the last snapshot has not come");
            Ok(got.last(name)?.clone())
        })
        .unwrap();
    let ours = (last.sum - first.sum) * 1e9;
    let counted = (last.count - first.count) as f64;
    println!("waits: kernel {count} in {time} ns, ours {counted} in {ours} ns");
    // The windows differ by what happens before the first and after the last reading.
    assert!((ours / time - 1.0).abs() < 0.05, "time: ours {ours}, the kernel's {time}");
    assert!((counted / count - 1.0).abs() < 0.10, "count: ours {counted}, the kernel's {count}");
}
