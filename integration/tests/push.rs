// SPDX-License-Identifier: Apache-2.0
//! What a real OpenTelemetry Collector receives, over every way that it can be reached by.

#![allow(clippy::unwrap_used, reason = "helpers of tests may panic as tests do")]

use std::collections::BTreeSet;
use std::fs;
use std::time::Duration;

use anyhow::{Context, ensure};
use integration::{
    Agent, Collector, MemoryCgroup, Point, Received, Record, Tls, container_id, free_port, number,
    proc, wait_for,
};
use semconv::{Instrument, MetricDef, attribute, family, metric};

const OOM: &str = "linux.memory.oom_kill";
const WAITS: &str = "linux.cpu.runqueue.wait.duration";

/// How an agent reaches the Collector.
fn otlp(protocol: &str, port: u16, compression: &str, scheme: &str, more: &str) -> String {
    format!(
        "Region = \"dev\"\n[Otlp]\nEndpoint = \"{scheme}://localhost:{port}\"\n\
         Protocol = \"{protocol}\"\nCompression = \"{compression}\"\nInterval = 1\n{more}"
    )
}

/// Kills a process in a container-like cgroup and checks all that the Collector got.
fn round_trip(collector: &Collector, config: &str, seed: u8) {
    let agent = Agent::with(config).start().unwrap();
    let id = container_id(seed);
    let cgroup = MemoryCgroup::new(&format!("docker/{id}")).unwrap();
    let killed = cgroup.kill_one().unwrap();
    let pid = killed.pid.to_string();
    let record = collector.until(|got| Ok(got.event(OOM, "process.pid", &pid)?.clone())).unwrap();
    check_record(&record, &id, &cgroup.path());
    let counted = collector.until(|got| Ok(got.last("linux.cgroup.memory.oom_kills")?.clone()));
    let counted = counted.unwrap();
    assert_eq!((counted.value, &counted.resource["container.id"]), (1.0, &id));
    let got = collector
        .until(|got| {
            ensure!(got.of(WAITS).len() >= 3, "not three collections yet");
            got.last("process.memory.usage")?;
            ensure!(got.spans.iter().any(|span| span == "collect"), "no span yet");
            collector.received()
        })
        .unwrap();
    check_metrics(&got);
    check_times(&got);
    check_waits(&got.of(WAITS));
    check_resources(&got);
    drop(agent);
}

fn check_record(record: &Record, container: &str, cgroup: &str) {
    assert_eq!(record.scope, "huatuo-otel/memory.oom");
    assert_eq!(record.severity, 17);
    assert_eq!(record.resource["container.id"], container);
    assert_eq!(record.resource["container.runtime.name"], "docker");
    assert!(record.body.starts_with("OOM kill of tail (pid "), "{}", record.body);
    let attributes = &record.attributes;
    for (key, wanted) in [
        ("thread.name", "tail"),
        ("process.linux.cgroup", cgroup),
        ("linux.oom.trigger.thread.name", "tail"),
        ("linux.oom.trigger.container.id", container),
        ("huatuo.tracer.name", "oom"),
        ("huatuo.tracer.run_type", "auto"),
        ("cloudevents.event_spec_version", "1.0"),
        ("cloudevents.event_type", "tech.huatuo.kernel.event"),
        ("cloudevents.event_subject", container),
    ] {
        assert_eq!(attributes[key], wanted, "{key}");
    }
    assert_eq!(attributes["log.record.uid"], attributes["cloudevents.event_id"]);
    assert_eq!(attributes["log.record.uid"].len(), 36);
    let host = &record.resource["host.name"];
    assert_eq!(attributes["cloudevents.event_source"], format!("/huatuo/{host}/oom"));
    let declared: BTreeSet<&str> = attribute::ALL.iter().map(|def| def.key).collect();
    for key in attributes.keys().chain(record.resource.keys()) {
        assert!(declared.contains(key.as_str()), "{key} is not in the registry");
    }
}

fn definition(name: &str) -> Option<&'static MetricDef> {
    if let Some(word) = name.strip_prefix(family::VMSTAT.prefix) {
        return Some(family::VMSTAT.field(word)?.metric);
    }
    metric::ALL.iter().find(|def| def.name == name).copied()
}

/// Every point is as the registry says.
fn check_metrics(got: &Received) {
    for point in got.points.iter().filter(|point| point.scope.starts_with("huatuo-otel/")) {
        let def = definition(&point.name).unwrap_or_else(|| panic!("{} is unknown", point.name));
        let kind = match def.instrument {
            Instrument::Counter => ("sum", true),
            Instrument::UpDownCounter => ("sum", false),
            Instrument::Gauge => ("gauge", false),
            Instrument::Histogram => ("histogram", false),
        };
        assert_eq!((point.kind, point.is_monotonic), kind, "{}", def.name);
        assert_eq!(point.unit, def.unit, "{}", def.name);
        assert_eq!(point.scope, format!("huatuo-otel/{}", def.probe), "{}", def.name);
        for key in point.attributes.keys() {
            let declared = def.attributes.iter().any(|def| def.key == key);
            assert!(declared, "{} has {key}", def.name);
        }
        if def.instrument == Instrument::Histogram && def.probe != "agent" {
            assert_eq!(point.bounds, def.bounds, "{}", def.name);
        }
    }
    for name in ["system.cpu.time", "system.cpu.load_average.1m", "system.network.io"] {
        assert!(!got.of(name).is_empty(), "{name}");
    }
    assert!(!got.of("linux.vmstat.nr_free_pages").is_empty());
}

/// The kernel's own counters count since boot, ours since we count.
fn check_times(got: &Received) {
    let boot = number(&proc("stat").unwrap(), "btime").unwrap() * 1_000_000_000;
    for point in got.of("system.cpu.time") {
        assert_eq!(point.start, boot);
    }
    let waits = got.of(WAITS);
    let begin = waits[0].start;
    assert!(waits.iter().all(|point| point.start == begin && point.time > begin));
    assert!(begin > boot);
    for point in got.of("system.cpu.load_average.1m") {
        assert_eq!(point.start, 0, "a gauge has no start");
    }
    let identity = |point: &Point| {
        (point.name.clone(), point.attributes.clone(), point.resource.clone(), point.time)
    };
    let unique: BTreeSet<_> = got.points.iter().map(identity).collect();
    assert_eq!(unique.len(), got.points.len(), "two points of one series at one time");
}

fn check_waits(waits: &[&Point]) {
    for point in waits {
        assert_eq!(point.buckets.iter().sum::<u64>(), point.count);
        assert_eq!(point.buckets.len(), point.bounds.len() + 1);
        assert!(point.sum >= 0.0);
    }
    for pair in waits.windows(2) {
        assert!(pair[0].count <= pair[1].count && pair[0].sum <= pair[1].sum);
        let grows = pair[0].buckets.iter().zip(&pair[1].buckets).all(|(a, b)| a <= b);
        assert!(grows, "{pair:?}");
    }
    assert!(waits[waits.len() - 1].count > waits[0].count, "tasks ran in two seconds");
}

fn check_resources(got: &Received) {
    let host = &got.last("system.cpu.load_average.1m").unwrap().resource;
    for key in ["host.id", "host.name", "host.arch", "os.name", "linux.kernel.release"] {
        assert!(host.get(key).is_some_and(|value| !value.is_empty()), "{key}");
    }
    assert_eq!(host["os.type"], "linux");
    assert_eq!(host["cloud.region"], "dev");
    assert_eq!(host["telemetry.distro.name"], "huatuo-otel");
    assert!(!host.contains_key("service.name"), "we observe hosts, not services");
    let agent = &got.last("process.memory.usage").unwrap().resource;
    assert_eq!(agent["service.name"], "huatuo-otel");
    assert_eq!(agent["host.id"], host["host.id"]);
    assert_eq!(agent["service.instance.id"].len(), 36);
    for name in ["process.cpu.time", "huatuo.probe.status", "huatuo.collection.duration"] {
        got.last(name).unwrap();
    }
}

#[test]
fn over_grpc() {
    let collector = Collector::start(None).unwrap();
    round_trip(&collector, &otlp("grpc", collector.grpc, "none", "http", ""), 0x11);
}

#[test]
fn over_grpc_with_gzip() {
    let collector = Collector::start(None).unwrap();
    round_trip(&collector, &otlp("grpc", collector.grpc, "gzip", "http", ""), 0x12);
}

#[test]
fn over_grpc_with_zstd() {
    let collector = Collector::start(None).unwrap();
    round_trip(&collector, &otlp("grpc", collector.grpc, "zstd", "http", ""), 0x13);
}

#[test]
fn over_http() {
    let collector = Collector::start(None).unwrap();
    round_trip(&collector, &otlp("http/protobuf", collector.http, "none", "http", ""), 0x14);
}

#[test]
fn over_http_with_gzip() {
    let collector = Collector::start(None).unwrap();
    round_trip(&collector, &otlp("http/protobuf", collector.http, "gzip", "http", ""), 0x15);
}

#[test]
fn over_http_with_zstd() {
    let collector = Collector::start(None).unwrap();
    round_trip(&collector, &otlp("http/protobuf", collector.http, "zstd", "http", ""), 0x16);
}

#[test]
fn with_tls_over_both() {
    let tls = Tls::new().unwrap();
    let folder = tempfile::tempdir().unwrap();
    let authority = folder.path().join("ca.pem");
    fs::write(&authority, &tls.authority).unwrap();
    let trusted = format!("Certificate = \"{}\"\n", authority.display());
    let collector = Collector::start(Some(&tls)).unwrap();
    round_trip(&collector, &otlp("grpc", collector.grpc, "gzip", "https", &trusted), 0x17);
    let collector = Collector::start(Some(&tls)).unwrap();
    let http = otlp("http/protobuf", collector.http, "gzip", "https", &trusted);
    round_trip(&collector, &http, 0x18);
}

#[test]
fn with_a_certificate_of_its_own_it_is_let_in_and_without_it_is_not() {
    let mut tls = Tls::new().unwrap();
    tls.mutual = true;
    let folder = tempfile::tempdir().unwrap();
    let file = |name: &str, text: &str| {
        let path = folder.path().join(name);
        fs::write(&path, text).unwrap();
        path.display().to_string()
    };
    let trusted = format!("Certificate = \"{}\"\n", file("ca.pem", &tls.authority));
    let own = format!(
        "{trusted}ClientCertificate = \"{}\"\nClientKey = \"{}\"\n",
        file("client.pem", &tls.client.0),
        file("client.key", &tls.client.1)
    );
    let collector = Collector::start(Some(&tls)).unwrap();
    let stranger = Agent::with(&otlp("grpc", collector.grpc, "gzip", "https", &trusted)).start();
    wait_for(Duration::from_secs(10), || {
        let status = stranger.as_ref().unwrap().status()?;
        ensure!(status["exporters"][0]["works"] == false, "{status}");
        Ok(())
    })
    .unwrap();
    drop(stranger);
    assert!(collector.received().unwrap().points.is_empty());
    round_trip(&collector, &otlp("grpc", collector.grpc, "gzip", "https", &own), 0x19);
    let collector = Collector::start(Some(&tls)).unwrap();
    round_trip(&collector, &otlp("http/protobuf", collector.http, "gzip", "https", &own), 0x1a);
}

#[test]
fn what_the_programs_cost_is_told_where_it_is_asked_for() {
    let collector = Collector::start(None).unwrap();
    let config = otlp("grpc", collector.grpc, "gzip", "http", "");
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

#[test]
fn a_peer_that_nobody_vouches_for_gets_nothing() {
    let tls = Tls::new().unwrap();
    let collector = Collector::start(Some(&tls)).unwrap();
    for config in [
        otlp("grpc", collector.grpc, "gzip", "https", ""),
        otlp("http/protobuf", collector.http, "gzip", "https", ""),
    ] {
        let agent = Agent::with(&config).start().unwrap();
        let reason = wait_for(Duration::from_secs(10), || {
            let status = agent.status()?;
            let exporter = &status["exporters"][0];
            ensure!(exporter["works"] == false, "{exporter}");
            Ok(exporter["reason"].as_str().unwrap_or_default().to_owned())
        });
        let reason = reason.unwrap().to_lowercase();
        assert!(reason.contains("certificate"), "{reason}");
    }
    assert!(collector.received().unwrap().points.is_empty());
}

#[test]
fn a_victim_whose_container_is_gone_at_once_is_told_of_all_the_same() {
    let collector = Collector::start(None).unwrap();
    let agent = Agent::with(&otlp("grpc", collector.grpc, "gzip", "http", "")).start().unwrap();
    for seed in 0x20..0x28 {
        let id = container_id(seed);
        let mut cgroup = MemoryCgroup::new(&format!("docker/{id}")).unwrap();
        let killed = cgroup.kill_one().unwrap();
        cgroup.remove().unwrap();
        let pid = killed.pid.to_string();
        let record = collector.until(|got| Ok(got.event(OOM, "process.pid", &pid)?.clone()));
        assert_eq!(record.unwrap().resource["container.id"], id);
    }
    collector
        .until(|got| {
            let counted: BTreeSet<_> = got
                .of("linux.cgroup.memory.oom_kills")
                .iter()
                .map(|point| point.resource["container.id"].clone())
                .collect();
            ensure!(counted.len() == 8, "{} of 8 are counted", counted.len());
            Ok(())
        })
        .unwrap();
    assert_eq!(agent.series("oom_host_total{host=\"\",region=\"dev\"}").ok(), None);
}

#[test]
fn waits_of_a_container_are_its_own() {
    let collector = Collector::start(None).unwrap();
    let agent = Agent::with(&otlp("grpc", collector.grpc, "gzip", "http", "")).start().unwrap();
    let id = container_id(0x51);
    let cgroup = MemoryCgroup::new(&format!("docker/{id}/nested")).unwrap();
    // More busy tasks than CPUs, so that they wait for each other.
    let cpus = std::thread::available_parallelism().unwrap().get();
    cgroup.run("timeout 3 sh -c 'while :; do :; done'", 2 * cpus).unwrap();
    let name = "linux.cgroup.cpu.runqueue.wait.duration";
    let is_ours = |point: &&&Point| point.resource["container.id"] == id;
    let (first, last) = collector
        .until(|got| {
            let points = got.of(name);
            let ours: Vec<_> = points.iter().filter(is_ours).collect();
            ensure!(ours.len() >= 3, "{} points", ours.len());
            Ok(((**ours[0]).clone(), (**ours[ours.len() - 1]).clone()))
        })
        .unwrap();
    check_waits(&[&first, &last]);
    assert_eq!(first.start, last.start);
    let waited = (last.sum - first.sum) / (last.time - first.time) as f64 * 1e9;
    // Twice as many tasks as CPUs wait as much as they run.
    assert!((0.5..1.5).contains(&(waited / cpus as f64)), "{waited} s per second");
    drop(agent);
}

#[test]
fn a_victim_outside_of_containers_belongs_to_the_host() {
    let collector = Collector::start(None).unwrap();
    let agent = Agent::with(&otlp("grpc", collector.grpc, "gzip", "http", "")).start().unwrap();
    let cgroup = MemoryCgroup::new("huatuo-test").unwrap();
    let pid = cgroup.kill_one().unwrap().pid.to_string();
    let record = collector.until(|got| Ok(got.event(OOM, "process.pid", &pid)?.clone())).unwrap();
    assert!(!record.resource.contains_key("container.id"));
    assert_eq!(record.attributes["cloudevents.event_subject"], record.resource["host.name"]);
    assert_eq!(record.attributes["process.linux.cgroup"], "/huatuo-test");
    collector
        .until(|got| {
            let counted = got.last("linux.memory.oom_kills")?;
            ensure!(counted.value == 1.0, "{}", counted.value);
            Ok(())
        })
        .unwrap();
    drop(agent);
}

#[test]
fn an_endpoint_that_is_away_is_said_once_and_served_when_it_comes() {
    let (grpc, http) = (free_port().unwrap(), free_port().unwrap());
    let agent = Agent::with(&otlp("grpc", grpc, "gzip", "http", "")).start().unwrap();
    let id = container_id(0x31);
    let cgroup = MemoryCgroup::new(&format!("docker/{id}")).unwrap();
    let pid = cgroup.kill_one().unwrap().pid.to_string();
    wait_for(Duration::from_secs(10), || {
        ensure!(agent.status()?["exporters"][1]["works"] == false, "not tried yet");
        Ok(())
    })
    .unwrap();
    std::thread::sleep(Duration::from_secs(3));
    let collector = Collector::start_on(grpc, http, None).unwrap();
    let before = collector.until(|got| {
        got.event(OOM, "process.pid", &pid)?;
        let first = got.of(WAITS).first().copied().cloned().context("no metric yet")?;
        Ok(first)
    });
    // Metrics of the time before the Collector was there have come too.
    let newest = collector.until(|got| Ok(got.last(WAITS)?.time)).unwrap();
    assert!(newest - before.unwrap().time > 2_000_000_000);
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
    let config = otlp("grpc", collector.grpc, "gzip", "http", "").replace("= 1\n", "= 3600\n");
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
    let said = collector.until(|got| {
        let own = |record: &&Record| record.resource.contains_key("service.name");
        Ok(got.records.iter().find(own).context("its log has not come")?.clone())
    });
    assert_eq!(said.unwrap().body, "ends");
}
