// SPDX-License-Identifier: Apache-2.0
//! What a real OpenTelemetry Collector receives, over every way that it can be reached by.

#![allow(clippy::unwrap_used, reason = "helpers of tests may panic as tests do")]

use std::collections::BTreeSet;
use std::fs;
use std::sync::LazyLock;
use std::time::Duration;

use anyhow::ensure;
use integration::{
    Agent, Cgroup, Collector, LIMIT, Point, Received, Record, Tls, container_id, number, proc,
    push_config, wait_for,
};
use semconv::{Instrument, MetricDef, attribute, family, metric};

const OOM: &str = "linux.memory.oom_kill";
const WAITS: &str = "linux.cpu.runqueue.wait.duration";

/// Kills a process in a container-like cgroup and checks all that the Collector got.
fn round_trip(collector: &Collector, config: &str, seed: u8) {
    let agent = Agent::with(config).start().unwrap();
    let id = container_id(seed);
    let cgroup = Cgroup::new(&format!("docker/{id}")).unwrap();
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
    // Absent where the kernel lets nobody hook `oom_kill_process`; where it does: `events_oom`.
    for (key, wanted) in [("linux.oom.constraint", "memcg"), ("linux.oom.cgroup.path", cgroup)] {
        let found = attributes.get(key);
        assert!(found.is_none_or(|found| found == wanted), "{key}: {found:?}");
    }
    for party in ["victim", "trigger"] {
        assert_eq!(attributes[&format!("linux.oom.{party}.cgroup.limit")], LIMIT, "{party}");
        let usage: u64 = attributes[&format!("linux.oom.{party}.cgroup.usage")].parse().unwrap();
        let limit: u64 = LIMIT.parse().unwrap();
        assert!(usage > limit / 2 && usage <= limit, "{party}: {usage}");
    }
    for (key, word) in [("host", "\"MemAvailable\""), ("cgroup", "\"anon\"")] {
        let map = &attributes[&format!("linux.oom.memory.{key}")];
        assert!(map.contains(word), "{map}");
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
    for family in family::ALL.iter().filter(|family| !family.grouped) {
        if let Some(word) = name.strip_prefix(family.prefix) {
            return Some(family.field(word)?.metric);
        }
    }
    metric::ALL.iter().chain(&*OF_GROUPS).find(|def| def.name == name).copied()
}

/// Metrics of words that have a group, as this kernel has them.
static OF_GROUPS: LazyLock<Vec<&MetricDef>> = LazyLock::new(of_groups);

fn of_groups() -> Vec<&'static MetricDef> {
    let mut found = Vec::new();
    for (file, family, step) in [
        ("1/net/netstat", &family::NETSTAT, 1),
        ("1/net/snmp", &family::NETSTAT, 1),
        ("1/net/sockstat", &family::SOCKSTAT, 2),
    ] {
        for line in proc(file).unwrap().lines() {
            let (group, words) = line.split_once(':').unwrap();
            let words = words.split_whitespace().step_by(step);
            let fields = words.filter_map(|word| family.field(&format!("{group}_{word}")));
            found.extend(fields.map(|field| field.metric));
        }
    }
    found
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

fn without_tls(protocol: &str, compression: &str, seed: u8) {
    let collector = Collector::start(None).unwrap();
    let port = if protocol == "grpc" { collector.grpc } else { collector.http };
    round_trip(&collector, &push_config(protocol, port, compression, "http", ""), seed);
}

#[test]
fn over_grpc() {
    without_tls("grpc", "none", 0x11);
}

#[test]
fn over_grpc_with_gzip() {
    without_tls("grpc", "gzip", 0x12);
}

#[test]
fn over_grpc_with_zstd() {
    without_tls("grpc", "zstd", 0x13);
}

#[test]
fn over_http() {
    without_tls("http/protobuf", "none", 0x14);
}

#[test]
fn over_http_with_gzip() {
    without_tls("http/protobuf", "gzip", 0x15);
}

#[test]
fn over_http_with_zstd() {
    without_tls("http/protobuf", "zstd", 0x16);
}

#[test]
fn with_tls_over_both() {
    let tls = Tls::new().unwrap();
    let folder = tempfile::tempdir().unwrap();
    let authority = folder.path().join("ca.pem");
    fs::write(&authority, &tls.authority).unwrap();
    let trusted = format!("Certificate = \"{}\"\n", authority.display());
    let collector = Collector::start(Some(&tls)).unwrap();
    round_trip(&collector, &push_config("grpc", collector.grpc, "gzip", "https", &trusted), 0x17);
    let collector = Collector::start(Some(&tls)).unwrap();
    let http = push_config("http/protobuf", collector.http, "gzip", "https", &trusted);
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
    let stranger =
        Agent::with(&push_config("grpc", collector.grpc, "gzip", "https", &trusted)).start();
    wait_for(Duration::from_secs(10), || {
        let status = stranger.as_ref().unwrap().status()?;
        ensure!(status["exporters"][0]["works"] == false, "{status}");
        Ok(())
    })
    .unwrap();
    drop(stranger);
    assert!(collector.received().unwrap().points.is_empty());
    round_trip(&collector, &push_config("grpc", collector.grpc, "gzip", "https", &own), 0x19);
    let collector = Collector::start(Some(&tls)).unwrap();
    round_trip(
        &collector,
        &push_config("http/protobuf", collector.http, "gzip", "https", &own),
        0x1a,
    );
}

#[test]
fn a_peer_that_nobody_vouches_for_gets_nothing() {
    let tls = Tls::new().unwrap();
    let collector = Collector::start(Some(&tls)).unwrap();
    for config in [
        push_config("grpc", collector.grpc, "gzip", "https", ""),
        push_config("http/protobuf", collector.http, "gzip", "https", ""),
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
