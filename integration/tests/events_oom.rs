// SPDX-License-Identifier: Apache-2.0
//! Processes that the OOM killer killed, and such as died otherwise.

#![allow(clippy::unwrap_used, reason = "helpers of tests may panic as tests do")]

use std::os::unix::process::ExitStatusExt;
use std::process::{Command, Stdio};

use anyhow::{Context, Result, ensure};
use integration::lab::is_elsewhere;
use integration::{
    Agent, Cgroup, Collector, Received, Record, container_id, number, only, proc, push_config,
};
use serde_json::Value as Json;

const OOM: &str = "linux.memory.oom_kill";
const OF_HOST: &str = "linux.memory.oom_kills";
const OF_CONTAINER: &str = "linux.cgroup.memory.oom_kills";

/// An agent that pushes, and has counted for the first time.
fn pushing(collector: &Collector) -> Agent {
    let config = push_config("grpc", collector.grpc, "gzip", "http", "");
    let agent = Agent::with(&format!("{}{config}", only(&["memory.oom"]))).start().unwrap();
    collector.until(|got| Ok(got.last(OF_HOST)?.value)).unwrap();
    agent
}

/// The event of a victim.
fn told(got: &Received, pid: u32) -> Result<Record> {
    Ok(got.event(OOM, "process.pid", &pid.to_string())?.clone())
}

/// Kills that were counted for a container.
fn kills(got: &Received, container: &str) -> f64 {
    let points = got.of(OF_CONTAINER);
    let of = points.iter().rfind(|point| point.resource["container.id"] == container);
    of.map_or(0.0, |point| point.value)
}

/// A number in an attribute that is a map.
fn entry(record: &Record, attribute: &str, word: &str) -> Option<u64> {
    let map: Json = serde_json::from_str(record.attributes.get(attribute)?).unwrap();
    let pair = map["values"].as_array().unwrap().iter().find(|pair| pair["key"] == word)?;
    pair["value"]["intValue"].as_str()?.parse().ok()
}

#[test]
fn a_process_that_takes_all_memory_of_the_machine_is_told_as_fatal_and_counted_for_the_host() {
    if is_elsewhere("events_oom", "a machine that may be without memory") {
        return;
    }
    let collector = Collector::start(None).unwrap();
    let agent = pushing(&collector);
    // One endless line, which `tail` keeps; whoever asks for memory, it is the one to go.
    let script = "echo 1000 > /proc/self/oom_score_adj && exec tail /dev/zero";
    let mut hog = Command::new("sh").args(["-c", script]).stdout(Stdio::null()).spawn().unwrap();
    let pid = hog.id();
    assert_eq!(hog.wait().unwrap().signal(), Some(9));
    let record = collector.until(|got| told(got, pid)).unwrap();
    println!("{}\n{:#?}", record.body, record.attributes);
    assert_eq!((record.severity, record.scope.as_str()), (19, "huatuo-otel/memory.oom"));
    let of = |key: &str| record.attributes.get(key).map(String::as_str);
    for (key, value) in [
        ("thread.name", "tail"),
        ("linux.oom.constraint", "none"),
        ("linux.oom.score_adj", "1000"),
        ("process.linux.cgroup", "/"),
    ] {
        assert_eq!(of(key), Some(value), "{key}");
    }
    // Whose limit it was, and what is of a container or of a limit.
    for key in [
        "linux.oom.cgroup.path",
        "linux.oom.victim.cgroup.limit",
        "linux.oom.memory.cgroup",
        "container.id",
    ] {
        assert_eq!(of(key), None, "{key}");
    }
    assert!(
        !record.resource.contains_key("container.id") && record.resource.contains_key("host.id")
    );
    let total = number(&proc("meminfo").unwrap(), "MemTotal:").unwrap() << 10;
    assert_eq!(entry(&record, "linux.oom.memory.host", "MemTotal"), Some(total));
    for word in ["MemFree", "MemAvailable", "AnonPages", "Slab"] {
        let bytes = entry(&record, "linux.oom.memory.host", word);
        assert!(bytes.is_some_and(|bytes| bytes < total), "{word}: {bytes:?}");
    }
    let document = agent.document("oom", &record).unwrap();
    assert_eq!(document["tracer_data"]["victim_pid"], pid);
    collector
        .until(|got| {
            let count = got.last(OF_HOST)?.value;
            ensure!(count == 1.0, "{count} kills");
            Ok(())
        })
        .unwrap();
    assert!(collector.received().unwrap().of(OF_CONTAINER).is_empty());
}

#[test]
fn a_kill_at_a_limit_tells_whose_limit_it_was() {
    if is_elsewhere("events_oom", "fentry or kprobes") {
        return;
    }
    let collector = Collector::start(None).unwrap();
    let _agent = pushing(&collector);
    let id = container_id(0xa1);
    let container = Cgroup::new(&format!("docker/{id}")).unwrap();
    let kill = |cgroup: &Cgroup| {
        let killed = cgroup.kill_one().unwrap();
        let record = collector.until(|got| told(got, killed.pid)).unwrap();
        println!("{}", record.body);
        assert_eq!(record.attributes["process.linux.cgroup"], cgroup.path());
        assert_eq!(record.severity, 17);
        assert_eq!(record.resource["container.id"], id);
        assert_eq!(record.attributes["linux.oom.constraint"], "memcg");
        assert_eq!(record.attributes["linux.oom.cgroup.path"], container.path());
        assert!(entry(&record, "linux.oom.memory.cgroup", "anon").is_some());
    };
    kill(&container);
    // Without a limit of its own.
    let below = Cgroup::new(&format!("docker/{id}/below")).unwrap();
    below.run("true", 1).unwrap();
    kill(&below);
}

#[test]
fn a_process_of_a_container_that_dies_otherwise_is_not_told() {
    let collector = Collector::start(None).unwrap();
    let agent = pushing(&collector);
    let id = container_id(0xa2);
    let cgroup = Cgroup::new(&format!("docker/{id}")).unwrap();
    for command in [
        "true",
        "false",
        "sh -c 'kill -KILL $$'",
        // Over its CPU time: the kernel itself kills it.
        "sh -c 'ulimit -t 1 && while :; do :; done'",
    ] {
        cgroup.run_within(command, 1).unwrap();
    }
    let of = |got: &Received| {
        let is_ours = |record: &&Record| {
            record.event_name == OOM
                && record.resource.get("container.id").is_some_and(|of| *of == id)
        };
        got.records.iter().filter(is_ours).count()
    };
    let got = collector.settled().unwrap();
    assert_eq!((of(&got), kills(&got, &id)), (0, 0.0));
    assert!(!agent.event_file("oom").exists());
    // It would have been seen.
    let killed = cgroup.kill_one().unwrap();
    collector.until(|got| told(got, killed.pid).context("of a kill")).unwrap();
    let got = collector.settled().unwrap();
    assert_eq!((of(&got), kills(&got, &id)), (1, 1.0));
}
