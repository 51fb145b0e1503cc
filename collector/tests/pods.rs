// SPDX-License-Identifier: Apache-2.0
//! Documents as the kubelet answers them.

#![allow(clippy::unwrap_used, reason = "helpers of tests may panic as tests do")]

use std::fs;
use std::path::Path;

use huatuo_otel::entity::PodFacts;
use huatuo_otel::kubelet::document::{Pods, read};

fn pods(name: &str) -> Pods {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/pods").join(name);
    read(fs::File::open(path.with_extension("json")).unwrap()).unwrap()
}

fn one(name: &str) -> PodFacts {
    let mut pods = pods(name);
    assert_eq!((pods.pods.len(), pods.left_out), (1, 0), "{name}");
    pods.pods.remove(0)
}

fn id(number: u64) -> String {
    format!("{number:064x}")
}

/// The name of a container by its id.
fn name(pod: &PodFacts, number: u64) -> Option<&str> {
    pod.containers.get(&id(number))?.name.as_deref()
}

#[test]
fn an_ordinary_pod_tells_all_that_names_it() {
    let pod = one("ordinary");
    assert_eq!(pod.uid, "275ecb36-5aa8-4c2a-9c47-000000000001");
    assert_eq!(pod.name.as_deref(), Some("web-7d4b9c5f6-x2x9k"));
    assert_eq!((pod.namespace.as_deref(), pod.node.as_deref()), (Some("prod"), Some("node-1")));
    assert_eq!((pod.qos.as_deref(), pod.host_network), (Some("Burstable"), false));
    let container = &pod.containers[&id(0x11)];
    assert_eq!(container.name.as_deref(), Some("nginx"));
    assert_eq!(container.image.as_deref(), Some("registry.example/nginx:1.27"));
    assert_eq!((container.runtime.as_deref(), container.restarts), (Some("containerd"), Some(0)));
    assert!(pod.is_complete);
    assert_eq!(pod.class_of(Some("nginx")), "normal");
}

#[test]
fn a_container_that_crashes_hides_neither_its_neighbour_nor_its_last_try() {
    let pod = one("crash_looping");
    assert_eq!(name(&pod, 0x21), Some("app"));
    assert_eq!(name(&pod, 0x22), Some("app"));
    assert_eq!(name(&pod, 0x23), Some("istio-proxy"));
    assert_eq!(pod.containers[&id(0x22)].restarts, Some(7));
    assert_eq!(pod.class_of(Some("istio-proxy")), "sidecar");
    assert_eq!(pod.class_of(Some("app")), "normal");
}

#[test]
fn init_and_ephemeral_containers_are_containers_too() {
    let pod = one("init_and_ephemeral");
    let names = [(0x31, "main"), (0x32, "setup"), (0x33, "log-shipper"), (0x34, "debugger")];
    for (number, expected) in names {
        assert_eq!(name(&pod, number), Some(expected));
    }
    assert!(pod.is_complete);
    assert_eq!(pod.class_of(Some("log-shipper")), "sidecar");
    assert_eq!(pod.class_of(Some("setup")), "normal");
}

#[test]
fn a_static_pod_has_the_uid_that_its_cgroup_has() {
    let pod = one("static");
    assert_eq!(pod.uid, "0123456789abcdef0123456789abcdef");
    assert_eq!(name(&pod, 0x41), Some("etcd"));
    assert_eq!(pod.class_of(Some("etcd")), "normal");
}

#[test]
fn pods_of_daemon_sets_are_told_from_others_with_and_without_the_hosts_network() {
    let pods = pods("host_network").pods;
    let facts: Vec<_> = pods.iter().map(|pod| (pod.host_network, pod.class_of(None))).collect();
    assert_eq!(facts, [(true, "daemonset"), (false, "daemonset")]);
    assert_eq!(pods[0].host_name("node-1"), Some("node-1"));
    assert_eq!(pods[1].host_name("node-1"), Some("cni-9q8zz"));
}

#[test]
fn a_pod_without_status_is_named_before_it_has_containers() {
    let pods = pods("no_status_yet").pods;
    assert_eq!(pods.len(), 2);
    assert!(pods.iter().all(|pod| pod.containers.is_empty() && !pod.is_complete));
    assert_eq!(pods[0].name.as_deref(), Some("new-1"));
    assert_eq!(pods[1].host_name("node-1"), Some("newer"));
}

#[test]
fn a_pod_that_has_ended_still_names_its_containers() {
    let pod = one("terminated");
    assert_eq!(name(&pod, 0x91), Some("main"));
}

#[test]
fn what_is_odd_costs_itself_alone() {
    let all = pods("unknown_fields");
    assert_eq!((all.pods.len(), all.left_out), (2, 5));
    assert_eq!(name(&all.pods[0], 0xa1), Some("app"));
    let odd = &all.pods[1];
    assert_eq!((&odd.name, &odd.namespace, &odd.qos), (&None, &None, &None));
    assert!(!odd.host_network && !odd.is_complete && !odd.is_of_daemon_set);
    assert_eq!(odd.containers[&id(0xb1)].runtime.as_deref(), Some("cri-o"));
    assert_eq!((odd.containers.len(), odd.containers[&id(0xb1)].restarts), (1, None));
}

#[test]
fn what_is_no_list_of_pods_is_an_error_and_no_pods_are_none() {
    for none in [r#"{"items":null}"#, r#"{"items":[]}"#, r#"{"kind":"PodList","items":[]}"#] {
        assert!(read(none.as_bytes()).unwrap().pods.is_empty(), "{none}");
    }
    for broken in ["", "{}", "[]", "<html></html>", "{\"items\":", "{\"items\":{}}", "\u{0}", "7"] {
        assert!(read(broken.as_bytes()).is_err(), "{broken}");
    }
    let deep = format!("{{\"items\":{}", "[".repeat(100_000));
    assert!(read(deep.as_bytes()).is_err());
}

#[test]
fn no_cut_and_no_flipped_byte_makes_the_parser_panic() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/pods/unknown_fields.json");
    let whole = fs::read(path).unwrap();
    for end in 0..whole.len() {
        let _ = read(&whole[..end]);
    }
    let mut random = fastrand::Rng::with_seed(7);
    for _ in 0..2000 {
        let mut bytes = whole.clone();
        for _ in 0..random.usize(1..8) {
            let at = random.usize(..bytes.len());
            bytes[at] = random.u8(..);
        }
        let _ = read(&*bytes);
    }
}
