// SPDX-License-Identifier: Apache-2.0
//! What the agent itself takes.

use std::fs;
use std::io::Read;
use std::process::{Command, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use flate2::read::GzDecoder;
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

/// What a process serves, and what its scrapes took.
struct Scraped {
    pid: u32,
    url: String,
    /// Keeps its connection, as Prometheus does.
    client: ureq::Agent,
    /// CPU seconds of each.
    costs: Vec<f64>,
    series: usize,
}

impl Scraped {
    fn new(pid: u32, url: String) -> Self {
        Self { pid, url, client: ureq::Agent::new_with_defaults(), costs: Vec::new(), series: 0 }
    }

    fn scrape(&mut self, encoding: &str) -> Result<()> {
        let before = cpu(self.pid)?;
        let request = self.client.get(&self.url).header("Accept-Encoding", encoding);
        let body = request.call()?.body_mut().read_to_vec()?;
        sleep(Duration::from_millis(50));
        self.costs.push(cpu(self.pid)? - before);
        let page = if encoding == "gzip" { unpacked(&body)? } else { body };
        let lines = page.split(|byte| *byte == b'\n').filter(|line| !line.is_empty());
        self.series = lines.filter(|line| !line.starts_with(b"#")).count();
        Ok(())
    }

    /// Microseconds per series of one scrape.
    fn each(&self) -> f64 {
        self.cost() / self.series as f64 * 1e6
    }

    /// CPU seconds of one scrape, the median of many.
    fn cost(&self) -> f64 {
        at(&sorted(self.costs.clone()), 0.5)
    }

    fn figure(&self, name: &str, how: &str) -> Figure {
        let (cost, series, each) = (self.cost() * 1000.0, self.series, self.each());
        let measured = format!("{cost:.2} ms of CPU for {series} series, {each:.1} µs each");
        figure(format!("one scrape of {name}, {how}"), measured, "")
    }
}

fn unpacked(body: &[u8]) -> Result<Vec<u8>> {
    let mut page = Vec::new();
    GzDecoder::new(body).read_to_end(&mut page)?;
    Ok(page)
}

pub fn scrape() -> Result<Vec<Figure>> {
    let agent = Agent::with("").start()?;
    let port = free_port()?;
    let mut node = Command::new(installed("prometheus-node-exporter")?)
        .arg(format!("--web.listen-address=127.0.0.1:{port}"))
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()?;
    let urls = [format!("{}metrics", agent.url), format!("http://127.0.0.1:{port}/metrics")];
    let ready = wait_for(Duration::from_secs(10), || get(&urls[1]));
    let figures = ready.and_then(|_| {
        let plain = side_by_side([agent.pid(), node.id()], &urls, "identity", "plain")?;
        // What Prometheus asks for.
        let packed = side_by_side([agent.pid(), node.id()], &urls, "gzip", "gzip")?;
        Ok(plain.into_iter().chain(packed).collect())
    });
    node.kill()?;
    node.wait()?;
    figures
}

/// One scrape of ours, one of node_exporter's, and so on: what slows the machine slows both.
fn side_by_side(
    pids: [u32; 2],
    urls: &[String; 2],
    encoding: &str,
    how: &str,
) -> Result<[Figure; 3]> {
    let [mut ours, mut theirs] =
        [(pids[0], &urls[0]), (pids[1], &urls[1])].map(|(pid, url)| Scraped::new(pid, url.clone()));
    for _ in 0..40 {
        // A snapshot is kept for a second.
        for scraped in [&mut ours, &mut theirs] {
            sleep(Duration::from_millis(500));
            scraped.scrape(encoding)?;
        }
    }
    let ratio = theirs.each() / ours.each();
    Ok([
        ours.figure("the page", how),
        theirs.figure("node_exporter", how),
        figure(format!("node_exporter per series : ours, {how}"), format!("{ratio:.1}"), "≥ 5"),
    ])
}
