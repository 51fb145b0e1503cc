// SPDX-License-Identifier: Apache-2.0
//! From the start to the end of an agent that pushes: how it is pointed at a Collector, what it
//! does while that is away, what it sends last.

#![allow(clippy::unwrap_used, reason = "helpers of tests may panic as tests do")]

use std::time::Duration;

use anyhow::{Context, ensure};
use integration::{
    Agent, Cgroup, Collector, Point, Record, container_id, free_port, push_config, root, unix_now,
    wait_for,
};

const OOM: &str = "linux.memory.oom_kill";
const WAITS: &str = "linux.cpu.runqueue.wait.duration";

#[test]
fn an_endpoint_that_is_away_is_said_once_and_served_when_it_comes() {
    let (grpc, http) = (free_port().unwrap(), free_port().unwrap());
    let agent = Agent::with(&push_config("grpc", grpc, "gzip", "http", "")).start().unwrap();
    let id = container_id(0x31);
    let cgroup = Cgroup::new(&format!("docker/{id}")).unwrap();
    let pid = cgroup.kill_one().unwrap().pid.to_string();
    wait_for(Duration::from_secs(10), || {
        ensure!(agent.status()?["exporters"][1]["works"] == false, "not tried yet");
        Ok(())
    })
    .unwrap();
    std::thread::sleep(Duration::from_secs(3));
    let long_ago = unix_now() - 2_000_000_000;
    let collector = Collector::start_on(grpc, http, None).unwrap();
    collector
        .until(|got| {
            got.event(OOM, "process.pid", &pid)?;
            let first = got.of(WAITS).first().context("no metric yet")?.time;
            ensure!(first < long_ago, "no metric of the time before the Collector was there");
            Ok(())
        })
        .unwrap();
    let log = agent.output("err").unwrap();
    assert_eq!(log.matches("cannot send").count(), 2, "once for each signal:\n{log}");
    wait_for(Duration::from_secs(10), || {
        let log = agent.output("err")?;
        ensure!(log.matches("sends again").count() == 2, "{log}");
        Ok(())
    })
    .unwrap();
}

#[test]
fn the_example_for_the_collector_is_one_that_it_takes() {
    let output = std::process::Command::new(Collector::binary().unwrap())
        .args(["validate", "--config"])
        .arg(root().join("otel-config/collector.yaml"))
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}

#[test]
fn variables_of_the_environment_point_it_at_a_collector() {
    let collector = Collector::start(None).unwrap();
    let agent = Agent::with("")
        .env("OTEL_EXPORTER_OTLP_ENDPOINT", format!("http://127.0.0.1:{}", collector.http))
        .env("OTEL_EXPORTER_OTLP_PROTOCOL", "http/protobuf")
        .env("OTEL_RESOURCE_ATTRIBUTES", "deployment.environment.name=test,host.name=renamed")
        .env("OTEL_SERVICE_NAME", "kernel-agent")
        .env("OTEL_METRIC_EXPORT_INTERVAL", "500")
        .start()
        .unwrap();
    let point = collector.until(|got| Ok(got.last(WAITS)?.clone())).unwrap();
    assert_eq!(point.resource["deployment.environment.name"], "test");
    assert_eq!(point.resource["host.name"], "renamed");
    let own = collector.until(|got| Ok(got.last("process.uptime")?.clone())).unwrap();
    assert_eq!(own.resource["service.name"], "kernel-agent");
    drop(agent);
}

#[test]
fn the_end_flushes_what_is_left() {
    let collector = Collector::start(None).unwrap();
    let config =
        push_config("grpc", collector.grpc, "gzip", "http", "").replace("= 1\n", "= 3600\n");
    let mut agent = Agent::with(&config).start().unwrap();
    let first = collector.until(|got| Ok(got.last(WAITS)?.count)).unwrap();
    // A snapshot is shared for a second; the last one is to be another.
    std::thread::sleep(Duration::from_millis(1100));
    let (status, took) = agent.terminate().unwrap();
    assert!(status.success(), "{status}");
    assert!(took < Duration::from_secs(5), "{took:?}");
    let last = collector.until(|got| {
        ensure!(got.of(WAITS).len() == 2, "the last snapshot has not come");
        Ok(got.last(WAITS)?.count)
    });
    assert!(last.unwrap() > first);
    let said =
        |record: &Record| record.resource.contains_key("service.name") && record.body == "ends";
    collector
        .until(|got| {
            ensure!(got.records.iter().any(said), "its log has not come");
            Ok(())
        })
        .unwrap();
}

#[test]
fn what_the_programs_cost_is_told_where_it_is_asked_for() {
    let collector = Collector::start(None).unwrap();
    let config = push_config("grpc", collector.grpc, "gzip", "http", "");
    let agent = Agent::with(&format!("BpfStatistics = true\n{config}")).start().unwrap();
    collector
        .until(|got| {
            let of = "huatuo.bpf.program.name";
            let runs = got.of("huatuo.bpf.program.run.count");
            let is_switch = |p: &&&Point| p.attributes[of].starts_with("sched_switch");
            let runs = runs.iter().rfind(is_switch).context("not told yet")?;
            let time = got.of("huatuo.bpf.program.run.time");
            let time = time.iter().rfind(is_switch).context("not told yet")?;
            ensure!(runs.value > 100.0, "{} runs", runs.value);
            let each = time.value / runs.value;
            assert!((1e-8..1e-4).contains(&each), "{each} s per switch");
            Ok(())
        })
        .unwrap();
    drop(agent);
}
