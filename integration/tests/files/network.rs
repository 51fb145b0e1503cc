// SPDX-License-Identifier: Apache-2.0
//! Files of the host's network.

use std::collections::HashSet;
use std::fs;
use std::path::{Path, PathBuf};

use integration::proc;
use rustix::param::page_size;

use super::containers::Containers;
use super::reading::{Reading, numbers};

/// What the columns of `/proc/net/dev` count: metric, direction, kind of error.
const COLUMNS: [(&str, &str, &str); 16] = [
    ("system.network.io", "receive", ""),
    ("system.network.packet.count", "receive", ""),
    ("system.network.errors", "receive", ""),
    ("system.network.packet.dropped", "receive", ""),
    (ERRORS, "receive", "fifo"),
    (ERRORS, "receive", "frame"),
    (COMPRESSED, "receive", ""),
    ("linux.network.interface.multicast.packet.count", "", ""),
    ("system.network.io", "transmit", ""),
    ("system.network.packet.count", "transmit", ""),
    ("system.network.errors", "transmit", ""),
    ("system.network.packet.dropped", "transmit", ""),
    (ERRORS, "transmit", "fifo"),
    (ERRORS, "transmit", "collision"),
    (ERRORS, "transmit", "carrier"),
    (COMPRESSED, "transmit", ""),
];
const ERRORS: &str = "linux.network.interface.errors";
const COMPRESSED: &str = "linux.network.interface.compressed.packet.count";

/// `/proc/1/net/dev`
pub fn devices(_: &Containers, out: &mut Reading) {
    for line in proc("1/net/dev").unwrap().lines().skip(2) {
        let (name, rest) = line.trim().split_once(':').unwrap();
        for ((metric, direction, error), value) in COLUMNS.into_iter().zip(numbers(rest)) {
            let mut attributes = vec![("network.interface.name", name)];
            if metric == "system.network.packet.count" {
                attributes.push(("system.device", name));
            }
            for (key, value) in [("network.io.direction", direction), ("error.type", error)] {
                if !value.is_empty() {
                    attributes.push((key, value));
                }
            }
            out.add(metric, &attributes, value);
        }
    }
}

/// `/proc/1/net/netstat` and `snmp`: a line of names, then one of values.
pub fn protocols(_: &Containers, out: &mut Reading) {
    let text = proc("1/net/netstat").unwrap() + &proc("1/net/snmp").unwrap();
    let lines: Vec<&str> = text.lines().collect();
    for two in lines.chunks(2) {
        let [(group, names), (_, values)] = [two[0], two[1]].map(|l| l.split_once(": ").unwrap());
        for (name, value) in names.split(' ').zip(numbers(values)) {
            let metric = format!("linux.netstat.{group}.{name}").to_lowercase();
            out.add(&metric, &[], value);
        }
    }
}

/// `/proc/1/net/sockstat`, and TCP's limit.
pub fn sockets(_: &Containers, out: &mut Reading) {
    let page = page_size() as f64;
    let limit = numbers(&proc("sys/net/ipv4/tcp_mem").unwrap())[2];
    out.add("linux.tcp.memory.limit", &[], limit * page);
    for line in proc("1/net/sockstat").unwrap().lines() {
        let (group, rest) = line.split_once(": ").unwrap();
        let words: Vec<&str> = rest.split(' ').collect();
        for pair in words.chunks(2) {
            let (name, value) = (pair[0], pair[1].parse::<f64>().unwrap());
            let group = if group == "sockets" { "socket" } else { group };
            let metric = format!("linux.sockstat.{group}.{name}").to_lowercase();
            out.add(&metric, &[], value);
            if metric == "linux.sockstat.tcp.mem" {
                out.add("linux.tcp.memory.usage", &[], value * page);
                out.add("linux.tcp.memory.utilization", &[], value / limit);
            }
        }
    }
}

/// `/proc/1/net/arp`, the table of all namespaces (entries in hexadecimal first), and its limit.
pub fn neighbors(_: &Containers, out: &mut Reading) {
    let ipv4 = [("network.type", "ipv4")];
    let entries = proc("1/net/arp").unwrap().lines().count() - 1;
    out.add("linux.network.neighbor.entry.count", &ipv4, entries as f64);
    let table = proc("net/stat/arp_cache").unwrap();
    let first = table.lines().nth(1).unwrap().split_whitespace().next().unwrap();
    let entries = u32::from_str_radix(first, 16).unwrap();
    out.add("linux.network.neighbor.usage", &ipv4, entries.into());
    let limit = numbers(&proc("sys/net/ipv4/neigh/default/gc_thresh3").unwrap())[0];
    out.add("linux.network.neighbor.limit", &ipv4, limit);
}

/// `/sys/class/infiniband/<device>/ports/<port>/{hw_counters,counters}`; of a word in both, the
/// driver's own.
pub fn rdma(_: &Containers, out: &mut Reading) {
    let name = |path: &Path| path.file_name().unwrap().to_string_lossy().into_owned();
    for device in inside(Path::new("/sys/class/infiniband")) {
        for port in inside(&device.join("ports")) {
            let groups = ["hw_counters", "counters"].map(|group| inside(&port.join(group)));
            let mut words = HashSet::new();
            let (of_device, of_port) = (name(&device), name(&port));
            let attributes = [("linux.rdma.device", &*of_device), ("linux.rdma.port", &*of_port)];
            for file in groups.concat() {
                if !words.insert(name(&file)) {
                    continue;
                }
                let Ok(text) = fs::read_to_string(&file) else { continue };
                // Data is counted in words of four bytes.
                let unit = if name(&file).ends_with("_data") { 4.0 } else { 1.0 };
                if let Some(value) = numbers(&text).first() {
                    let metric = format!("linux.rdma.{}", name(&file).to_lowercase());
                    out.add(&metric, &attributes, value * unit);
                }
            }
        }
    }
}

fn inside(folder: &Path) -> Vec<PathBuf> {
    fs::read_dir(folder).into_iter().flatten().flatten().map(|entry| entry.path()).collect()
}
