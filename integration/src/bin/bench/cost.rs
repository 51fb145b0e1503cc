// SPDX-License-Identifier: Apache-2.0
//! What the agent itself takes.

use std::fs;
use std::process::{Command, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use integration::{Agent, Collector, free_port, get, installed, proc, wait_for};

use super::{Figure, at, figure, sorted};

/// CPU seconds of all threads, from their scheduler statistics (ns), and of those that ended.
pub fn cpu(pid: u32) -> Result<f64> {
    let mut sum = 0.0;
    for task in fs::read_dir(format!("/proc/{pid}/task"))? {
        let text = fs::read_to_string(task?.path().join("schedstat")).unwrap_or_default();
        let first = text.split(' ').next().unwrap_or_default();
        sum += first.parse::<f64>().unwrap_or_default();
    }
    Ok(sum / 1e9)
}

pub fn resident(pid: u32) -> Result<f64> {
    let status = proc(&format!("{pid}/status"))?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).context("VmRSS")?;
    Ok(line.trim().trim_end_matches(" kB").trim().parse::<f64>()? / 1024.0)
}

fn pushing(collector: &Collector, interval: f64, compression: &str) -> Result<Agent> {
    let config = format!(
        "[Otlp]\nEndpoint = \"http://127.0.0.1:{}\"\nInterval = {interval:.1}\n\
         Compression = \"{compression}\"\n",
        collector.grpc
    );
    Agent::with(&config).start()
}

pub fn idle() -> Result<Vec<Figure>> {
    let collector = Collector::start(None)?;
    let agent = pushing(&collector, 10.0, "gzip")?;
    sleep(Duration::from_secs(12));
    let (before, begin) = (cpu(agent.pid())?, Instant::now());
    sleep(Duration::from_secs(60));
    let share = (cpu(agent.pid())? - before) / begin.elapsed().as_secs_f64() * 100.0;
    let memory = resident(agent.pid())?;
    Ok(vec![
        figure("RSS, idle, pushing every 10 s", format!("{memory:.1} MiB"), "≤ 20 MiB"),
        figure("CPU, idle, pushing every 10 s", format!("{share:.3} % of a core"), "≤ 0.3 %"),
    ])
}

/// Collects and pushes ten times a second, its own telemetry too; the CPU time of everything,
/// divided. Collecting and encoding alone are measured by `cargo bench --bench collection`.
pub fn collection() -> Result<Vec<Figure>> {
    let mut figures = Vec::new();
    for compression in ["none", "gzip", "zstd"] {
        let collector = Collector::start(None)?;
        let agent = pushing(&collector, 0.1, compression)?;
        sleep(Duration::from_secs(3));
        let (before, begin) = (cpu(agent.pid())?, Instant::now());
        sleep(Duration::from_secs(20));
        let used = cpu(agent.pid())? - before;
        let rounds = begin.elapsed().as_secs_f64() / 0.1;
        let received = collector.received()?;
        let newest = received.last("linux.cpu.runqueue.wait.duration")?.time;
        let is_new =
            |point: &&integration::Point| point.time == newest && !point.scope.ends_with("/agent");
        let series = received.points.iter().filter(is_new).count();
        let each = used / rounds * 1000.0;
        figures.push(figure(
            format!("one push of {series} series, {compression}, with the agent's own telemetry"),
            format!("{each:.2} ms of CPU"),
            "",
        ));
    }
    Ok(figures)
}

/// CPU seconds and series of one scrape, as the median of many.
fn scrapes(pid: u32, url: &str) -> Result<(f64, usize)> {
    let mut costs = Vec::new();
    let mut series = 0;
    for _ in 0..20 {
        // A snapshot is kept for a second.
        sleep(Duration::from_millis(1050));
        let before = cpu(pid)?;
        let page = get(url)?;
        sleep(Duration::from_millis(50));
        costs.push(cpu(pid)? - before);
        series = page.lines().filter(|line| !line.starts_with('#')).count();
    }
    Ok((at(&sorted(costs), 0.5), series))
}

pub fn scrape() -> Result<Vec<Figure>> {
    let agent = Agent::with("").start()?;
    let (ours, our_series) = scrapes(agent.pid(), &format!("{}metrics", agent.url))?;
    let per_series = |cost: f64, series: usize| cost / series as f64 * 1e6;
    let show = |cost: f64, series: usize| {
        let each = per_series(cost, series);
        format!("{:.2} ms of CPU for {series} series, {each:.1} µs each", cost * 1000.0)
    };
    let mut figures = vec![figure("one scrape of the page", show(ours, our_series), "")];

    let port = free_port()?;
    let mut node = Command::new(installed("prometheus-node-exporter")?)
        .arg(format!("--web.listen-address=127.0.0.1:{port}"))
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()?;
    let url = format!("http://127.0.0.1:{port}/metrics");
    let theirs =
        wait_for(Duration::from_secs(10), || get(&url)).and_then(|_| scrapes(node.id(), &url));
    node.kill()?;
    node.wait()?;
    let (theirs, their_series) = theirs?;
    figures.push(figure("one scrape of node_exporter", show(theirs, their_series), ""));
    let ratio = per_series(theirs, their_series) / per_series(ours, our_series);
    figures.push(figure("node_exporter per series : ours", format!("{ratio:.1}"), ""));
    Ok(figures)
}
