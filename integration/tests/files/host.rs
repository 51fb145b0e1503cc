// SPDX-License-Identifier: Apache-2.0
//! Files of the host: CPUs, memory, disks, file systems.

use std::collections::BTreeMap;
use std::fs;
use std::process::Command;

use integration::proc;

use super::containers::Containers;
use super::reading::{Reading, numbers, pairs};

/// Clock ticks in which the kernel prints CPU time, per second (`USER_HZ`).
pub const TICKS: f64 = 100.0;

/// `/proc/stat`
pub fn cpu(_: &Containers, out: &mut Reading) {
    let text = proc("stat").unwrap();
    let (mut cpus, modes) =
        (0, ["user", "nice", "system", "idle", "iowait", "interrupt", "softirq", "steal"]);
    for line in text.lines().filter_map(|line| line.strip_prefix("cpu")) {
        match line.strip_prefix(' ') {
            Some(all) => {
                for (mode, ticks) in modes.into_iter().zip(numbers(all)) {
                    out.add("system.cpu.time", &[("cpu.mode", mode)], ticks / TICKS);
                }
            }
            None => cpus += 1,
        }
    }
    out.add("system.cpu.logical.count", &[], f64::from(cpus));
}

/// `/proc/stat` and settings.
pub fn kernel(_: &Containers, out: &mut Reading) {
    let text = proc("stat").unwrap();
    for (word, value) in pairs(&text) {
        let metric = match word {
            "ctxt" => "linux.cpu.context_switches",
            "intr" => "linux.cpu.interrupts",
            "processes" => "system.process.created",
            _ => continue,
        };
        out.add(metric, &[], value);
    }
    let files = numbers(&proc("sys/fs/file-nr").unwrap());
    out.add("linux.file.handle.count", &[], files[0]);
    out.add("linux.file.handle.limit", &[], files[2]);
    let bits = numbers(&proc("sys/kernel/random/entropy_avail").unwrap());
    out.add("linux.random.entropy", &[], bits[0]);
}

/// `/proc/loadavg`
pub fn load(_: &Containers, out: &mut Reading) {
    let text = proc("loadavg").unwrap();
    for (minutes, value) in ["1m", "5m", "15m"].into_iter().zip(numbers(&text)) {
        out.add(&format!("system.cpu.load_average.{minutes}"), &[], value);
    }
}

/// `/proc/meminfo`
pub fn memory(_: &Containers, out: &mut Reading) {
    let text = proc("meminfo").unwrap();
    let all: BTreeMap<&str, f64> = pairs(&text).map(|(word, kib)| (word, kib * 1024.0)).collect();
    let cached = all["Cached"] + all["SReclaimable"];
    let rest = all["MemTotal"] - all["MemFree"] - all["Buffers"] - cached;
    for (metric, key, value, bytes) in [
        ("system.memory.usage", "system.memory.state", "free", all["MemFree"]),
        ("system.memory.usage", "system.memory.state", "buffers", all["Buffers"]),
        ("system.memory.usage", "system.memory.state", "cached", cached),
        ("system.memory.usage", "system.memory.state", "used", rest),
        (SLAB, "system.memory.linux.slab.state", "reclaimable", all["SReclaimable"]),
        (SLAB, "system.memory.linux.slab.state", "unreclaimable", all["SUnreclaim"]),
        ("system.paging.usage", "system.paging.state", "free", all["SwapFree"]),
        ("system.paging.usage", "system.paging.state", "used", all["SwapTotal"] - all["SwapFree"]),
    ] {
        out.add(metric, &[(key, value)], bytes);
    }
    out.add("system.memory.limit", &[], all["MemTotal"]);
    out.add("system.memory.linux.available", &[], all["MemAvailable"]);
    out.add("system.memory.linux.shared", &[], all["Shmem"]);
}

const SLAB: &str = "system.memory.linux.slab.usage";

/// `/proc/vmstat`
pub fn vmstat(_: &Containers, out: &mut Reading) {
    let text = proc("vmstat").unwrap();
    let all: BTreeMap<&str, f64> = pairs(&text).collect();
    for (word, value) in &all {
        let in_kib = ["pgpgin", "pgpgout", "nr_kernel_stack", "nr_shadow_call_stack"];
        let factor = if in_kib.contains(word) { 1024.0 } else { 1.0 };
        out.add(&format!("linux.vmstat.{word}"), &[], value * factor);
    }
    let (faults, major) = (all["pgfault"], all["pgmajfault"]);
    for (kind, count) in [("major", major), ("minor", faults - major)] {
        out.add("system.paging.faults", &[("system.paging.fault.type", kind)], count);
    }
}

/// `/proc/buddyinfo`: `Node 0, zone DMA`, then blocks of each order.
pub fn buddyinfo(_: &Containers, out: &mut Reading) {
    for line in proc("buddyinfo").unwrap().lines() {
        let (node, rest) = line.split_once(", zone").unwrap();
        let node = node.strip_prefix("Node ").unwrap();
        let (zone, blocks) = rest.trim().split_once(' ').unwrap();
        for (order, count) in numbers(blocks).into_iter().enumerate() {
            let attributes = [
                ("linux.numa.node", node),
                ("linux.memory.zone", zone),
                ("linux.memory.order", &order.to_string()),
            ];
            out.add("linux.buddyinfo.block.count", &attributes, count);
        }
    }
}

/// `/proc/diskstats`: two numbers, a name, and reads, merged, sectors, milliseconds; the same of
/// writes; in flight, and milliseconds that it was busy.
pub fn disks(_: &Containers, out: &mut Reading) {
    for line in proc("diskstats").unwrap().lines() {
        let name = line.split_whitespace().nth(2).unwrap();
        let at = line.find(name).unwrap() + name.len();
        let n = numbers(&line[at..]);
        let is_used = n[..8].iter().chain([&n[9]]).any(|number| *number > 0.0);
        if !is_used || fs::exists(format!("/sys/class/block/{name}/partition")).unwrap() {
            continue;
        }
        for (direction, n) in [("read", &n[..4]), ("write", &n[4..8])] {
            let attributes = [("system.device", name), ("disk.io.direction", direction)];
            out.add("system.disk.operations", &attributes, n[0]);
            out.add("system.disk.merged", &attributes, n[1]);
            out.add("system.disk.io", &attributes, n[2] * 512.0);
            out.add("system.disk.operation_time", &attributes, n[3] / 1000.0);
        }
        out.add("system.disk.io_time", &[("system.device", name)], n[9] / 1000.0);
    }
}

/// What `df` prints of file systems on devices.
pub fn file_systems(_: &Containers, out: &mut Reading) {
    let columns = "--output=source,fstype,size,used,avail,target";
    let printed = Command::new("df").args(["--block-size=1", columns]).output().unwrap();
    let modes = modes();
    for line in String::from_utf8(printed.stdout).unwrap().lines().skip(1) {
        let words: Vec<&str> = line.split_whitespace().collect();
        let [source, kind, size, used, free, target] = words[..] else { continue };
        if !source.starts_with("/dev/") {
            continue;
        }
        let mode = if modes[target] { "ro" } else { "rw" };
        let attributes = [
            ("system.device", source),
            ("system.filesystem.type", kind),
            ("system.filesystem.mode", mode),
            ("system.filesystem.mountpoint", target),
        ];
        let [size, used, free]: [f64; 3] = [size, used, free].map(|word| word.parse().unwrap());
        out.add("system.filesystem.limit", &attributes, size);
        for (state, bytes) in [("used", used), ("free", free), ("reserved", size - used - free)] {
            let state = [("system.filesystem.state", state)];
            out.add("system.filesystem.usage", &[&attributes[..], &state].concat(), bytes);
        }
    }
}

/// Whether what is mounted at a place can only be read: the last that is mounted there.
fn modes() -> BTreeMap<String, bool> {
    let text = proc("1/mounts").unwrap();
    let mode = |line: &str| {
        let words: Vec<&str> = line.split(' ').collect();
        (words[1].to_owned(), words[3].split(',').any(|option| option == "ro"))
    };
    text.lines().map(mode).collect()
}

/// `/proc/1/mounts`
pub fn read_only(_: &Containers, out: &mut Reading) {
    for (place, is_read_only) in modes() {
        if ["/", "/home", "/boot"].contains(&place.as_str()) {
            let attributes = [("system.filesystem.mountpoint", &*place)];
            out.add("linux.mount.read_only", &attributes, is_read_only.into());
        }
    }
}

/// `/proc/pressure/*`: `some avg10=0.00 avg60=0.00 avg300=0.00 total=0`, percents and microseconds.
pub fn pressure(_: &Containers, out: &mut Reading) {
    for resource in ["cpu", "memory", "io", "irq"] {
        for line in proc(&format!("pressure/{resource}")).unwrap_or_default().lines() {
            let (kind, rest) = line.split_once(' ').unwrap();
            // Not all tasks of a machine can wait for a CPU: the kernel prints zeros.
            if (resource, kind) == ("cpu", "full") {
                continue;
            }
            let attributes = [("system.pressure.stall_type", kind)];
            let values = rest.split(' ').map(|pair| pair.split_once('=').unwrap().1);
            let values: Vec<f64> = values.map(|value| value.parse().unwrap()).collect();
            let names = [("10s", 100.0), ("1m", 100.0), ("5m", 100.0), ("total", 1e6)];
            for ((name, unit), value) in names.into_iter().zip(values) {
                let metric = format!("system.{resource}.linux.pressure.{name}");
                out.add(&metric, &attributes, value / unit);
            }
        }
    }
}
