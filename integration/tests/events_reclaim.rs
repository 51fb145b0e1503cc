// SPDX-License-Identifier: Apache-2.0
//! Tasks of containers that lose their time to reclaiming memory.

#![allow(clippy::unwrap_used, reason = "helpers of tests may panic as tests do")]

use std::fs;
use std::thread::sleep;
use std::time::Duration;

use anyhow::{Context, ensure};
use integration::{
    Agent, Cgroup, Collector, Received, Record, container_id, only, push_config, wait_for,
};
use serde_json::Value as Json;

const EVENT: &str = "linux.memory.direct_reclaim.stall";
const RECLAIMS: &str = "linux.cgroup.memory.direct_reclaims";
/// Seconds: reclaim of a few hundred MiB takes longer on any machine.
const THRESHOLD: f64 = 0.001;

/// An agent with a threshold of [`THRESHOLD`], and more of the configuration.
fn pushing(collector: &Collector, more: &str) -> Agent {
    let config = push_config("grpc", collector.grpc, "gzip", "http", "");
    let threshold = "[EventTracing.MemoryReclaim]\nBlockedThreshold = 1000000\n";
    Agent::with(&format!("{more}{config}{threshold}")).start().unwrap()
}

fn stalls(got: &Received) -> Vec<&Record> {
    got.records.iter().filter(|record| record.event_name == EVENT).collect()
}

/// Times that a container reclaimed.
fn reclaims(got: &Received, container: &str) -> f64 {
    let points = got.of(RECLAIMS);
    let of = points.iter().rfind(|point| point.resource["container.id"] == container);
    of.map_or(0.0, |point| point.value)
}

#[test]
fn a_task_that_reclaims_within_the_limit_of_its_container_is_told_once_a_second() {
    let collector = Collector::start(None).unwrap();
    let agent = pushing(&collector, &only(&["memory.reclaim", "memory.stall"]));
    let id = container_id(0xe1);
    let cgroup = Cgroup::new(&format!("docker/{id}")).unwrap();
    cgroup.take_page_cache(100, 4).unwrap();
    let record = collector
        .until(|got| {
            let stalls = stalls(got);
            Ok((*stalls.first().context("no stall")?).clone())
        })
        .unwrap();
    assert_eq!((record.severity, record.scope.as_str()), (13, "huatuo-otel/memory.stall"));
    assert_eq!(record.resource["container.id"], id);
    // The shell, too, may be the one that finds no room.
    let name = record.attributes["thread.name"].as_str();
    assert!(["dd", "sh"].contains(&name), "{name}");
    let seconds: f64 = record.attributes["linux.memory.direct_reclaim.duration"].parse().unwrap();
    println!("direct reclaim: {seconds} s within a second; {}", record.body);
    assert!((THRESHOLD..60.0).contains(&seconds), "{seconds} s");
    let got = collector.received().unwrap();
    for stall in stalls(&got) {
        let thread = &stall.attributes["thread.id"];
        let of_thread = stalls(&got)
            .into_iter()
            .filter(|other| other.attributes["thread.id"] == *thread && other.time > stall.time);
        let next = of_thread.map(|other| other.time - stall.time).min();
        // Of two seconds, one may be told at its end and the next at its start.
        assert!(next.is_none_or(|ns| ns > 1_000_000), "again after {next:?} ns");
    }
    let document = wait_for(Duration::from_secs(5), || {
        let text = fs::read_to_string(agent.event_file("memory_reclaim_events"))?;
        Ok(serde_json::from_str::<Json>(text.lines().next().context("empty")?)?)
    });
    let document = document.unwrap();
    assert_eq!(document["container_id"], id);
    let data = &document["tracer_data"];
    assert_eq!(data["comm"], name);
    assert_eq!(data["pid"].to_string(), record.attributes["process.pid"]);
    assert_eq!(data["deltatime"], (seconds * 1e9).round() as u64);
    assert_eq!(data.as_object().unwrap().len(), 3);
}

#[test]
fn tasks_of_the_host_and_containers_with_enough_memory_are_silent() {
    let collector = Collector::start(None).unwrap();
    let _agent = pushing(&collector, &only(&["memory.reclaim", "memory.stall"]));
    let id = container_id(0xe2);
    let idle = Cgroup::new(&format!("docker/{id}")).unwrap();
    idle.run("dd if=/dev/zero of=/dev/null bs=1M count=100 status=none", 1).unwrap();
    let of_host = Cgroup::new("plain/one").unwrap();
    of_host.take_page_cache(50, 4).unwrap();
    sleep(Duration::from_secs(2));
    let got = collector.received().unwrap();
    assert_eq!((stalls(&got).len(), reclaims(&got, &id)), (0, 0.0));
}

#[test]
fn the_black_list_turns_off_the_event_and_leaves_the_metrics() {
    let collector = Collector::start(None).unwrap();
    let _agent = pushing(&collector, "BlackList = [\"memory_reclaim_events\"]\n");
    let id = container_id(0xe3);
    let cgroup = Cgroup::new(&format!("docker/{id}")).unwrap();
    cgroup.take_page_cache(50, 4).unwrap();
    collector
        .until(|got| {
            ensure!(reclaims(got, &id) > 0.0, "no reclaim");
            Ok(got.last("linux.memory.allocation.stall.time")?.time)
        })
        .unwrap();
    assert!(stalls(&collector.received().unwrap()).is_empty());
}
