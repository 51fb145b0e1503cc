// SPDX-License-Identifier: Apache-2.0
//! The legacy page has HUATUO's names, types, labels and HELP texts (`legacy.txt`).

#![allow(clippy::unwrap_used, reason = "helpers of tests may panic as tests do")]

use std::collections::BTreeMap;

use semconv::{LegacyKind, LegacyMetric, LegacyScope, family, metric};

/// Labels that every series of a container has beside those of the host.
const OF_CONTAINERS: [&str; 5] = [
    "container_host",
    "container_hostnamespace",
    "container_level",
    "container_name",
    "container_type",
];

fn line(legacy: &LegacyMetric, is_container: bool) -> String {
    let kind = match legacy.kind {
        LegacyKind::Gauge => "gauge",
        LegacyKind::Counter => "counter",
    };
    let mut labels = vec!["host", "region"];
    labels.extend(legacy.labels.iter().map(|(label, _)| *label));
    if !legacy.zones.is_empty() {
        labels.push("zone");
    }
    if is_container {
        labels.extend(OF_CONTAINERS);
    }
    labels.sort_unstable();
    format!("{} {kind} {} {}", legacy.name, labels.join(","), legacy.help)
}

#[test]
fn every_metric_of_huatuos_page_so_far_looks_as_it_did() {
    let mut made = BTreeMap::new();
    for def in metric::ALL {
        // Names of these metrics say whose they are.
        let of_containers =
            ["linux.cgroup.", "container.", "k8s.pod.", "linux.network.interface.packet."];
        let is_of_containers = of_containers.iter().any(|prefix| def.name.starts_with(prefix));
        for legacy in def.legacy {
            let is_container = is_of_containers || legacy.scope == LegacyScope::Container;
            made.insert(legacy.name, line(legacy, is_container));
        }
    }
    for expected in include_str!("legacy.txt").lines().filter(|line| !line.starts_with('#')) {
        let name = expected.split(' ').next().unwrap();
        // The longer prefix first: one begins with the other.
        let families = [
            (&family::MEMORY_STAT, family::MEMORY_STAT.legacy_prefix, 0, true),
            (&family::VMSTAT, family::VMSTAT.legacy_prefix, 0, false),
            (&family::NETSTAT, family::NETSTAT.legacy_container, 1, true),
            (&family::NETSTAT, family::NETSTAT.legacy_prefix, 0, false),
            (&family::SOCKSTAT, family::SOCKSTAT.legacy_container, 1, true),
            (&family::SOCKSTAT, family::SOCKSTAT.legacy_prefix, 0, false),
        ];
        let of_family = families.into_iter().find_map(|(family, prefix, entry, is_container)| {
            let field = family.field(name.strip_prefix(prefix)?)?;
            Some(line(&field.metric.legacy[entry], is_container))
        });
        let found = of_family.or_else(|| made.remove(name)).unwrap_or_default();
        assert_eq!(found, expected);
    }
    assert!(made.is_empty(), "not in legacy.txt: {:?}", made.keys());
}
