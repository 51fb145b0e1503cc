// SPDX-License-Identifier: Apache-2.0
//! Containers of real engines are known by what these know of them.

#![allow(clippy::unwrap_used, reason = "helpers of tests may panic as tests do")]

use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use integration::{
    Agent, Collector, Containerd, Podman, Point, Received, Record, container_id, push_config,
    wait_for,
};

const OOM: &str = "linux.memory.oom_kill";
const UID: &str = "275ecb36-5aa8-4c2a-9c47-d8bb681b9aff";

fn config(collector: &Collector) -> String {
    push_config("grpc", collector.grpc, "gzip", "http", "")
}

/// The newest point of one metric of one container.
fn last<'a>(got: &'a Received, name: &str, id: &str) -> Result<&'a Point> {
    let is_its = |point: &&&Point| point.resource.get("container.id").is_some_and(|of| of == id);
    got.of(name).into_iter().rfind(|point| is_its(&point)).with_context(|| format!("no {name}"))
}

fn kill_in(got: &Received, id: &str) -> Result<Record> {
    let is_it = |record: &&Record| {
        record.event_name == OOM && record.resource.get("container.id").is_some_and(|of| of == id)
    };
    got.records.iter().find(is_it).cloned().context("no event yet")
}

#[test]
fn a_container_of_podman_is_known_by_its_name_within_a_second() {
    let collector = Collector::start(None).unwrap();
    let agent = Agent::with(&config(&collector)).start().unwrap();
    let others = agent.containers().unwrap();
    let podman = Podman::new("huatuo-test-named").unwrap();
    let id = podman.run(&[], &["sleep", "600"]).unwrap();
    let begin = Instant::now();
    wait_for(Duration::from_secs(5), || {
        let running = agent.containers()?;
        ensure!(running == others + 1, "{running} run, {others} others");
        Ok(())
    })
    .unwrap();
    assert!(begin.elapsed() < Duration::from_secs(1), "{:?}", begin.elapsed());
    let point = collector.until(|got| Ok(last(got, "container.memory.usage", &id)?.clone()));
    let resource = point.unwrap().resource;
    assert_eq!(resource["container.name"], "huatuo-test-named");
    assert_eq!(resource["container.runtime.name"], "podman");
    assert_eq!(resource["huatuo.container.type"], "normal");
    let page = agent.get("metrics").unwrap();
    let label = "container_name=\"huatuo-test-named\",container_type=\"normal\"";
    assert!(page.contains(label), "{label}");
    collector.until(|got| Ok(last(got, "container.cpu.time", &id)?.time)).unwrap();
}

#[test]
fn an_oom_kill_in_a_real_container_names_it_although_it_is_removed_at_once() {
    let collector = Collector::start(None).unwrap();
    let agent = Agent::with(&config(&collector)).start().unwrap();
    let podman = Podman::new("huatuo-test-killed").unwrap();
    let options = ["--rm", "--memory", "16m"];
    let id = podman.run(&options, &["sh", "-c", "sleep 2; tail /dev/zero"]).unwrap();
    let record = collector.until(|got| kill_in(got, &id)).unwrap();
    assert_eq!(record.resource["container.name"], "huatuo-test-killed");
    assert!(record.body.contains(&format!("of container {}", &id[..12])), "{}", record.body);
    drop(agent);
}

/// What CRI writes down of a container of a pod.
fn notes<'a>(kind: &'a str, name: &'a str) -> Vec<(&'a str, &'a str)> {
    vec![
        ("io.kubernetes.cri.container-type", kind),
        ("io.kubernetes.cri.container-name", name),
        ("io.kubernetes.cri.image-name", "registry.example/shop:2"),
        ("io.kubernetes.cri.sandbox-name", "shop-6c9f8d7b5-abcde"),
        ("io.kubernetes.cri.sandbox-namespace", "prod"),
    ]
}

#[test]
fn a_pods_containers_of_containerd_are_named_and_what_holds_its_namespaces_is_none() {
    let collector = Collector::start(None).unwrap();
    let mut containerd = Containerd::start().unwrap();
    let agent = Agent::with(&config(&collector)).start().unwrap();
    let others = agent.containers().unwrap();
    let [pause, app, proxy] = [0xc0, 0xc1, 0xc2].map(container_id);
    let path = |id: &str| format!("/kubepods/burstable/pod{UID}/{id}");
    let sleep = ["/bin/sleep", "600"];
    containerd.run(&pause, &path(&pause), &notes("sandbox", ""), &sleep).unwrap();
    containerd.run(&app, &path(&app), &notes("container", "app"), &sleep).unwrap();
    containerd.run(&proxy, &path(&proxy), &notes("container", "istio-proxy"), &sleep).unwrap();
    let usage = "container.memory.usage";
    let (app_point, proxy_point) = collector
        .until(|got| Ok((last(got, usage, &app)?.clone(), last(got, usage, &proxy)?.clone())))
        .unwrap();
    for (key, value) in [
        ("container.runtime.name", "containerd"),
        ("container.image.name", "registry.example/shop"),
        ("k8s.container.name", "app"),
        ("k8s.pod.name", "shop-6c9f8d7b5-abcde"),
        ("k8s.pod.uid", UID),
        ("k8s.namespace.name", "prod"),
        ("k8s.pod.qos_class", "Burstable"),
        ("huatuo.container.type", "normal"),
    ] {
        assert_eq!(app_point.resource.get(key).map(String::as_str), Some(value), "{key}");
    }
    assert_eq!(proxy_point.resource["huatuo.container.type"], "sidecar");
    let got = collector.received().unwrap();
    let is_pauses = |point: &Point| point.resource.get("container.id") == Some(&pause);
    assert!(!got.points.iter().any(is_pauses), "the sandbox is no container of the user");
    let page = agent.get("metrics").unwrap();
    let labels = "container_host=\"shop-6c9f8d7b5-abcde\",container_hostnamespace=\"prod\",\
                  container_level=\"burstable\",container_name=\"app\",container_type=\"normal\"";
    assert!(page.contains(labels), "{labels}");
    let status = agent.status().unwrap();
    assert_eq!(status["containers"]["running"], others + 2);
    // Nobody is a kubelet here; that is said once, and costs nothing else.
    assert_eq!(status["sources"][0]["works"], false, "{status}");

    containerd.kill(&app).unwrap();
    collector
        .until(|got| {
            ensure!(last(got, usage, &app)?.ended, "its series go on");
            ensure!(!last(got, usage, &proxy)?.ended, "its neighbour runs");
            Ok(())
        })
        .unwrap();
}
