// SPDX-License-Identifier: Apache-2.0
//! From the kernel to the consumer.

use std::collections::BTreeMap;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use anyhow::{Context, Result, ensure};
use integration::{Agent, Cgroup, Collector, Watch};

use super::{Figure, at, figure, sorted};

const KILLS: usize = 120;

pub fn start() -> Result<Vec<Figure>> {
    let mut times = Vec::new();
    for _ in 0..10 {
        let begin = SystemTime::now();
        let agent = Agent::with("").start()?;
        agent.get("metrics")?;
        times.push(begin.elapsed()?.as_secs_f64() * 1000.0);
    }
    let times = sorted(times);
    let value = format!("{:.0} ms (median of 10; worst {:.0})", at(&times, 0.5), at(&times, 1.0));
    Ok(vec![figure("start of the process to its first metric", value, "≤ 300 ms")])
}

fn since(time_ns: u64, now: SystemTime) -> Result<f64> {
    let now = now.duration_since(UNIX_EPOCH)?.as_nanos() as f64;
    Ok((now - time_ns as f64) / 1e6)
}

pub fn kills() -> Result<Vec<Figure>> {
    let collector = Collector::start(None)?;
    let config = format!("[Otlp]\nEndpoint = \"http://127.0.0.1:{}\"\n", collector.grpc);
    let agent = Agent::with(&config).start()?;
    let watch = Watch::subscribe(&agent, "{}")?;
    let cgroup = Cgroup::new("huatuo-bench")?;
    let (mut to_watch, mut to_collector) = (Vec::new(), Vec::new());
    let mut seen_by_collector: BTreeMap<String, SystemTime> = BTreeMap::new();
    for _ in 0..KILLS {
        cgroup.kill_one()?;
        let (at, event) = watch.next()?;
        let uid = event["id"].as_str().context("id")?.to_owned();
        let record = poll(&collector, &uid, &mut seen_by_collector)?;
        to_watch.push(since(record, at)?);
        to_collector.push(since(record, seen_by_collector[&uid])?);
    }
    let show = |values: Vec<f64>| {
        let values = sorted(values);
        let (p50, p99) = (at(&values, 0.5), at(&values, 0.99));
        format!("p50 {p50:.1} ms, p99 {p99:.1} ms of {} kills", values.len())
    };
    Ok(vec![
        figure("OOM kill to SSE subscriber", show(to_watch), "p99 ≤ 50 ms"),
        figure("OOM kill to the Collector's file", show(to_collector), "p99 ≤ 300 ms"),
    ])
}

/// Looks until the Collector has the record, and returns when the kernel says it happened.
fn poll(collector: &Collector, uid: &str, seen: &mut BTreeMap<String, SystemTime>) -> Result<u64> {
    for _ in 0..400 {
        let received = collector.received()?;
        let now = SystemTime::now();
        let is_it = |record: &&integration::Record| {
            record.attributes.get("log.record.uid").is_some_and(|known| known == uid)
        };
        if let Some(record) = received.records.iter().find(is_it) {
            seen.insert(uid.to_owned(), now);
            return Ok(record.time);
        }
        std::thread::sleep(Duration::from_millis(5));
    }
    ensure!(false, "the Collector has not got {uid}");
    Ok(0)
}
