// SPDX-License-Identifier: Apache-2.0
//! What containers cost: finding them, measuring them, forgetting them.

use std::fs;
use std::thread::sleep;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use integration::{Agent, Cgroup, Collector, Held, bpf_entries, get, push_config};

use super::cost::{cpu, resident};
use super::{Figure, at, figure, sorted};

/// Containers of the set that is measured.
const SET: usize = 200;
/// Containers that come and go.
const CHURN: usize = 5000;
/// cgroups of a machine with very many.
const MANY: usize = 10_000;

/// A container of a pod with one process.
struct Container {
    _process: Held,
    /// Dropped, and so removed, after its process has ended.
    _cgroup: Cgroup,
}

fn path(number: usize) -> String {
    format!("kubepods/burstable/pod275ecb36-5aa8-4c2a-9c47-{number:012x}/{number:08x}{:056x}", 0)
}

fn start(number: usize) -> Result<Container> {
    let cgroup = Cgroup::with_cpu(&path(number), 100)?;
    let process = cgroup.hold("sleep 600")?;
    Ok(Container { _process: process, _cgroup: cgroup })
}

fn census(agent: &Agent, word: &str) -> Result<u64> {
    agent.status()?["containers"][word].as_u64().context("no census")
}

/// CPU seconds of the thread that discovers containers.
fn discovery_cpu(pid: u32) -> Result<f64> {
    for task in fs::read_dir(format!("/proc/{pid}/task"))? {
        let path = task?.path();
        if fs::read_to_string(path.join("comm"))?.trim() == "discovery" {
            let text = fs::read_to_string(path.join("schedstat"))?;
            let first = text.split(' ').next().unwrap_or_default();
            return Ok(first.parse::<f64>()? / 1e9);
        }
    }
    anyhow::bail!("no thread of this name")
}

/// Time from the making of a container's cgroup to the agent knowing it, and the CPU of that.
fn discovery(agent: &Agent) -> Result<Vec<Figure>> {
    let known = census(agent, "running")?;
    let mut times = Vec::new();
    let mut made = Vec::new();
    let before = discovery_cpu(agent.pid())?;
    for number in 0..50 {
        sleep(Duration::from_millis(20));
        let begin = Instant::now();
        made.push(Cgroup::new(&path(10_000 + number))?);
        while census(agent, "running")? <= known + number as u64 {
            ensure!(begin.elapsed() < Duration::from_secs(5), "not found");
        }
        times.push(begin.elapsed().as_secs_f64() * 1000.0);
    }
    let each = (discovery_cpu(agent.pid())? - before) / 50.0 * 1000.0;
    let times = sorted(times);
    let (middle, worst) = (at(&times, 0.5), at(&times, 1.0));
    Ok(vec![
        figure(
            "a new container is known",
            format!("after {middle:.1} ms (median of 50; worst {worst:.1})"),
            "≤ 1 s",
        ),
        figure("finding it and its names", format!("{each:.2} ms of CPU"), "≤ 1 ms"),
    ])
}

/// What tells of an event with a stack has the kernel's symbols in memory for a while: 5 MiB.
const WITHOUT_STACKS: &str =
    "BlackList = [\"dropwatch\", \"softirq_tracing\", \"memory_reclaim_events\"]\n";

pub fn containers() -> Result<Vec<Figure>> {
    let agent = Agent::with(WITHOUT_STACKS).start()?;
    scrape(&agent, 3)?;
    let without = resident(agent.pid())?;
    let set = (0..SET).map(start).collect::<Result<Vec<_>>>()?;
    let (each, series) = scrape(&agent, 20)?;
    let with = resident(agent.pid())?;
    let mut figures = vec![
        figure(
            format!("one scrape with {SET} containers of pods, {series} series"),
            format!("{each:.1} ms of CPU"),
            "≤ 20 ms",
        ),
        figure(
            format!("RSS with them ({with:.1} MiB) against without ({without:.1} MiB)"),
            format!("{:.0} KiB per container", (with - without) * 1024.0 / SET as f64),
            "≤ 40 KiB",
        ),
    ];
    figures.extend(discovery(&agent)?);
    // The first one last: it made the folders that all of them are in.
    set.into_iter().rev().for_each(drop);
    Ok(figures)
}

/// A machine with very many cgroups, none of them a container.
pub fn cgroups() -> Result<Vec<Figure>> {
    let root = std::path::Path::new("/sys/fs/cgroup/memory/huatuo-bench");
    fs::create_dir(root).context("this measures on cgroup v1")?;
    let folders: Vec<_> = (0..MANY).map(|number| root.join(number.to_string())).collect();
    folders.iter().try_for_each(fs::create_dir)?;
    let measured = (|| {
        let agent = Agent::with("").start()?;
        let start = agent.start_time.as_secs_f64() * 1000.0;
        let (each, _) = scrape(&agent, 5)?;
        Ok(vec![
            figure(
                format!("start with {} cgroups", census(&agent, "cgroups")?),
                format!("{start:.0} ms"),
                "",
            ),
            figure("RSS then", format!("{:.1} MiB", resident(agent.pid())?), "bounded"),
            figure("one scrape then", format!("{each:.2} ms of CPU"), ""),
        ])
    })();
    folders.iter().chain([&root.to_owned()]).try_for_each(fs::remove_dir)?;
    measured
}

/// Milliseconds of CPU of one scrape, the median of `rounds`, and its series.
fn scrape(agent: &Agent, rounds: usize) -> Result<(f64, usize)> {
    let mut costs = Vec::new();
    let mut series = 0;
    for _ in 0..rounds {
        // A snapshot is kept for a second.
        sleep(Duration::from_millis(1050));
        let before = cpu(agent.pid())?;
        let page = get(&format!("{}metrics", agent.url))?;
        sleep(Duration::from_millis(50));
        costs.push((cpu(agent.pid())? - before) * 1000.0);
        series = page.lines().filter(|line| !line.starts_with('#')).count();
    }
    Ok((at(&sorted(costs), 0.5), series))
}

/// Containers come and go, each with a process that ran.
fn come_and_go(agent: &Agent, numbers: std::ops::Range<usize>) -> Result<()> {
    for number in numbers {
        let mut cgroup = Cgroup::new(&path(number))?;
        cgroup.run("true", 1)?;
        cgroup.remove()?;
        if number % 100 == 0 {
            get(&format!("{}metrics", agent.url))?;
        }
    }
    Ok(())
}

pub fn churn() -> Result<Vec<Figure>> {
    let agent = Agent::with("[Container]\nKeepEnded = 10\n").start()?;
    // An agent that has not seen any has never run much of its code.
    come_and_go(&agent, 0..CHURN / 10)?;
    sleep(Duration::from_secs(11));
    let (_, series) = scrape(&agent, 3)?;
    let (before, entries) = (resident(agent.pid())?, bpf_entries(agent.pid())?);
    let begin = Instant::now();
    let used = cpu(agent.pid())?;
    come_and_go(&agent, CHURN..2 * CHURN)?;
    let took = begin.elapsed().as_secs_f64();
    let each = (cpu(agent.pid())? - used) / CHURN as f64 * 1000.0;
    let ended = census(&agent, "ended")?;
    let full = resident(agent.pid())?;
    sleep(Duration::from_secs(11));
    let (_, series_after) = scrape(&agent, 3)?;
    let (after, entries_after) = (resident(agent.pid())?, bpf_entries(agent.pid())?);
    let left = census(&agent, "ended")?;
    Ok(vec![
        figure(
            format!("{CHURN} containers made and removed in {took:.0} s"),
            format!("{each:.2} ms of CPU each, scraping after each 100"),
            "",
        ),
        figure(
            format!("RSS before, with {ended} ended ones known, and after these are forgotten"),
            format!("{before:.1}, {full:.1}, {after:.1} MiB ({left} known)"),
            "within 10 %",
        ),
        figure("series before and after", format!("{series}, {series_after}"), "the same"),
        figure(
            "entries of BPF hash maps before and after",
            format!("{entries}, {entries_after}"),
            "no leak",
        ),
    ])
}

/// Containers with network namespaces of their own, of each size that is measured.
const SCALE: [usize; 5] = [10, 50, 200, 380, 500];

/// What a push of everything costs, collecting, encoding and compressing, with ever more containers.
pub fn scale() -> Result<Vec<Figure>> {
    let mut containers = Vec::new();
    let mut figures = Vec::new();
    for size in SCALE {
        while containers.len() < size {
            let number = containers.len();
            let cgroup = Cgroup::with_cpu(&path(number), 100)?;
            let process = cgroup.hold("unshare --net sleep 3600")?;
            containers.push(Container { _process: process, _cgroup: cgroup });
        }
        let collector = Collector::start(None)?;
        let config = push_config("grpc", collector.grpc, "zstd", "http", "");
        let agent = Agent::with(&config).start()?;
        sleep(Duration::from_secs(10));
        let (before, begin) = (cpu(agent.pid())?, Instant::now());
        sleep(Duration::from_secs(20));
        let each = (cpu(agent.pid())? - before) / begin.elapsed().as_secs_f64() * 1000.0;
        let memory = resident(agent.pid())?;
        let received = collector.received()?;
        let newest = received.last("linux.cpu.runqueue.wait.duration")?.time;
        let series = received.points.iter().filter(|point| point.time == newest).count();
        let wanted = if size == 380 { "≤ 60 ms, ≤ 40 MiB" } else { "" };
        let per_series = each * 1000.0 / series as f64;
        figures.push(figure(
            format!("one push with {size} containers, {series} series, zstd"),
            format!("{each:.1} ms of CPU, {per_series:.2} µs per series; RSS {memory:.1} MiB"),
            wanted,
        ));
    }
    Ok(figures)
}
