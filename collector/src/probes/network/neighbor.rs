// SPDX-License-Identifier: Apache-2.0
//! Neighbours whose hardware addresses are known (ARP), of the host and of each network namespace.
//! Source: `/proc/<pid>/net/arp`, `/proc/net/stat/arp_cache`,
//! `/proc/sys/net/ipv4/neigh/default/gc_thresh3` (net/ipv4/arp.c, net/core/neighbour.c).
//! Signals: `linux.network.neighbor.*`.

use semconv::{attribute, metric};

use crate::hostfs::parse;
use crate::probes::{Collect, CollectError, Probe, ProbeDef, Started};
use crate::signal::{Attribute, Recorder, Value};

/// The probe.
pub static PROBE: ProbeDef = ProbeDef {
    name: "network.neighbor",
    legacy_names: &["arp"],
    start: |_| Started::from_files(Neighbors { text: Vec::new() }),
    decoder: None,
};

/// The table's limit.
const LIMIT: &str = "sys/net/ipv4/neigh/default/gc_thresh3";

struct Neighbors {
    /// Room for the files of network namespaces.
    text: Vec<u8>,
}

impl Probe for Neighbors {
    fn collect(&mut self, cx: &mut Collect<'_>, out: &mut Recorder) -> Result<(), CollectError> {
        let start = cx.boot_time;
        let count = &metric::LINUX_NETWORK_NEIGHBOR_ENTRY_COUNT;
        for network in cx.networks.list(cx.entities, cx.now) {
            // A namespace that goes while we look costs its own point only.
            let Some(text) = network.read("arp", &mut self.text) else { continue };
            let mut owner = out.entity(&network.owner);
            owner.sum(count, ipv4(), network.started, parse::neighbors(text));
        }
        let mut host = out.host();
        let known = parse::neighbors(cx.files.first_of(["1/net/arp", "net/arp"])?);
        host.sum(count, ipv4(), start, known);
        // Of all namespaces together; a kernel may have neither file.
        if let Some(all) = cx.files.proc("net/stat/arp_cache").ok().and_then(parse::neighbor_table)
        {
            host.sum(&metric::LINUX_NETWORK_NEIGHBOR_USAGE, ipv4(), start, all);
        }
        if let Some(limit) = cx.files.proc(LIMIT).ok().and_then(|text| text.trim().parse().ok()) {
            host.sum(&metric::LINUX_NETWORK_NEIGHBOR_LIMIT, ipv4(), start, limit);
        }
        Ok(())
    }
}

fn ipv4() -> Vec<Attribute> {
    vec![(&attribute::NETWORK_TYPE, Value::Static("ipv4"))]
}
