// SPDX-License-Identifier: Apache-2.0
//! What BPF programs and netlink tell, against a second witness.

#![allow(clippy::unwrap_used, reason = "helpers of tests may panic as tests do")]

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use integration::lab::{NullDisk, Overrun, in_lab, is_elsewhere};
use integration::{Agent, Cgroup, Collector, Point, Received, container_id, proc};

/// The newest points of a metric.
fn newest<'a>(got: &'a Received, name: &str) -> Result<Vec<&'a Point>> {
    let time = got.last(name)?.time;
    Ok(got.of(name).into_iter().filter(|point| point.time == time).collect())
}

fn last<'a>(got: &'a Received, name: &str, container: &str) -> Result<&'a Point> {
    let of = |point: &&Point| {
        point.resource.get("container.id").is_some_and(|id| *id == container) && !point.ended
    };
    got.of(name).into_iter().rfind(of).with_context(|| format!("no {name} of {container}"))
}

/// How often each softirq ran, on all CPUs.
fn softirqs() -> BTreeMap<String, f64> {
    let text = proc("softirqs").unwrap();
    let line = |line: &str| {
        let mut words = line.split_whitespace();
        let vector = words.next()?.trim_end_matches(':').to_lowercase();
        Some((vector, words.filter_map(|word| word.parse::<f64>().ok()).sum()))
    };
    text.lines().skip(1).filter_map(line).collect()
}

#[test]
fn each_softirq_that_ran_was_waited_for_once() {
    let collector = Collector::start(None).unwrap();
    let config =
        format!("[Otlp]\nEndpoint = \"http://127.0.0.1:{}\"\nInterval = 3600\n", collector.grpc);
    let earliest = softirqs();
    let mut agent = Agent::with(&config).start().unwrap();
    let name = "linux.softirq.wait.duration";
    let first = collector.until(|got| Ok(got.last(name)?.time)).unwrap();
    let before = softirqs();
    // Packets and timers.
    for _ in 0..2000 {
        let server = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        std::net::TcpStream::connect(server.local_addr().unwrap()).unwrap();
    }
    std::thread::sleep(Duration::from_secs(2));
    let after = softirqs();
    agent.terminate().unwrap();
    let latest = softirqs();
    let got = collector
        .until(|got| {
            ensure!(got.last(name)?.time != first, "the last snapshot has not come");
            collector.received()
        })
        .unwrap();
    let counted = |vector: &str| {
        let points = got.of(name).into_iter();
        let of = points.filter(|point| point.attributes["linux.softirq.vector"] == vector);
        let counts: Vec<f64> = of.map(|point| point.count as f64).collect();
        counts[counts.len() - 1] - counts[0]
    };
    for vector in ["net_rx", "timer"] {
        let (kernel, ours) = (after[vector] - before[vector], counted(vector));
        let most = latest[vector] - earliest[vector];
        println!("softirq {vector}: kernel {kernel} to {most}, ours {ours}");
        assert!(kernel > 10.0, "{vector} ran {kernel} times only");
        // One that is raised again while it starts is waited for once.
        assert!(kernel * 0.95 <= ours && ours <= most, "{vector}: {kernel} {ours} {most}");
    }
}

/// Reads and writes of a disk, and the milliseconds that they took.
fn disk(name: &str) -> [f64; 4] {
    let text = proc("diskstats").unwrap();
    let line = text.lines().find(|line| line.split_whitespace().nth(2) == Some(name)).unwrap();
    let columns: Vec<f64> =
        line.split_whitespace().skip(3).map(|word| word.parse().unwrap()).collect();
    [columns[0], columns[4], columns[3], columns[7]]
}

/// The disk below the folder of temporary files: its name and number. A virtual machine of the lab
/// has none, and takes one of the kernel's test disks.
fn disk_of(path: &Path) -> (String, String) {
    let number = {
        use std::os::unix::fs::MetadataExt;
        let device = fs::metadata(path).unwrap().dev();
        format!("{}:{}", rustix::fs::major(device), rustix::fs::minor(device))
    };
    let link = fs::read_link(format!("/sys/dev/block/{number}")).unwrap();
    let mut folder = Path::new("/sys/dev/block").join(link);
    if folder.join("partition").exists() {
        folder.pop();
    }
    let name = folder.file_name().unwrap().to_str().unwrap().to_owned();
    (name, fs::read_to_string(folder.join("dev")).unwrap().trim().to_owned())
}

fn direct_writes(file: &Path, count: u32) -> String {
    format!("dd if=/dev/zero of={} bs=16k count={count} oflag=direct status=none", file.display())
}

#[test]
fn block_requests_are_counted_and_timed_as_the_disk_does() {
    if !in_lab() {
        let folder = tempfile::tempdir_in(integration::root().join("target")).unwrap();
        let file = folder.path().join("written");
        let (name, number) = disk_of(folder.path());
        let collector = Collector::start(None).unwrap();
        let agent = Agent::pushing(&collector).unwrap();
        let id = container_id(0xb1);
        let cgroup = Cgroup::with_io(&format!("docker/{id}")).unwrap();
        collector.until(|got| Ok(got.last("linux.task.count")?.time)).unwrap();
        let before = disk(&name);
        cgroup.run(&direct_writes(&file, 2000), 1).unwrap();
        // All of them where nobody else writes. The kernel may merge one with another's that is
        // being written, and does not run a program that interrupts itself.
        let least = 1900;
        let after = disk(&name);
        let [_, writes, _, ms] = std::array::from_fn(|at| after[at] - before[at]);
        let ours = collector
            .until(|got| {
                let found = last(got, "linux.cgroup.block.io.duration", &id)?.clone();
                ensure!(found.count >= least, "{} requests", found.count);
                Ok(found)
            })
            .unwrap();
        assert_eq!(ours.attributes["linux.block.device"], number);
        assert_eq!(ours.attributes["system.device"], name);
        assert_eq!(ours.attributes["disk.io.direction"], "write");
        println!("block: kernel {writes} in {ms} ms, ours {} in {} s", ours.count, ours.sum);
        assert!((ours.count as f64) <= writes, "ours {}, the disk's {writes}", ours.count);
        // The disk has others' requests too, and rounds each to a jiffy's milliseconds.
        assert!(ours.sum * 1e3 <= ms * 1.1 + 50.0, "ours {} s, the disk's {ms} ms", ours.sum);
        let got = collector.received().unwrap();
        let device = last(&got, "linux.cgroup.block.io.device.duration", &id).unwrap();
        assert!(device.count >= least && device.sum <= ours.sum * 1.001);
        let of_host = newest(&got, "linux.block.io.duration").unwrap();
        let of_host = of_host.iter().filter(|point| {
            point.attributes["system.device"] == name
                && point.attributes["disk.io.direction"] == "write"
        });
        assert!(of_host.map(|point| point.count).sum::<u64>() >= ours.count);
        // Requests are gone with the container, and the host still has them.
        drop(agent);
    }
}

#[test]
fn requests_to_a_disk_that_takes_30_ms_are_in_their_bucket() {
    if is_elsewhere("kernel", "the module null_blk") {
        return;
    }
    let parameters = "nr_devices=1 queue_mode=2 irqmode=2 completion_nsec=30000000";
    let _disk = NullDisk::with(parameters).unwrap();
    let collector = Collector::start(None).unwrap();
    let agent = Agent::pushing(&collector).unwrap();
    let id = container_id(0xb2);
    let cgroup = Cgroup::with_io(&format!("docker/{id}")).unwrap();
    collector.until(|got| Ok(got.last("linux.task.count")?.time)).unwrap();
    let read = "dd if=/dev/nullb0 of=/dev/null bs=4k count=50 iflag=direct";
    cgroup.run(read, 1).unwrap();
    for name in ["linux.cgroup.block.io.duration", "linux.cgroup.block.io.device.duration"] {
        let point = collector
            .until(|got| {
                let found = last(got, name, &id)?.clone();
                ensure!(found.count >= 50, "{} requests", found.count);
                Ok(found)
            })
            .unwrap();
        assert_eq!(point.attributes["system.device"], "nullb0", "{name}");
        let below: u64 = point.buckets[..8].iter().sum();
        assert_eq!((below, point.count), (0, 50), "{name}: {:?}", point.buckets);
        let mean = point.sum / 50.0;
        assert!((0.03..0.2).contains(&mean), "{name}: {mean} s");
    }
    // Changing the scheduler stops the queue meanwhile.
    for scheduler in ["mq-deadline", "none"] {
        fs::write("/sys/block/nullb0/queue/scheduler", scheduler).unwrap();
    }
    collector
        .until(|got| {
            let points = newest(got, "linux.block.freezes")?;
            let of = |point: &&&Point| point.attributes["system.device"] == "nullb0";
            let freezes = points.iter().find(of).context("none of the disk")?.value;
            ensure!(freezes >= 1.0, "{freezes}");
            Ok(())
        })
        .unwrap();
    let page = agent.get("metrics").unwrap();
    let zones = page.lines().filter(|line| line.starts_with("huatuo_bamai_iolatency_blkdisk_d2c{"));
    let zones: f64 =
        zones.map(|line| line.rsplit(' ').next().unwrap().parse::<f64>().unwrap()).sum();
    assert!(zones >= 50.0, "{zones}");
}

#[test]
fn a_container_at_its_limit_reclaims_and_an_idle_one_does_not() {
    let collector = Collector::start(None).unwrap();
    let _agent = Agent::pushing(&collector).unwrap();
    let (busy_id, idle_id) = (container_id(0xc1), container_id(0xc2));
    let busy = Cgroup::new(&format!("docker/{busy_id}")).unwrap();
    let idle = Cgroup::new(&format!("docker/{idle_id}")).unwrap();
    let _held = idle.hold("sleep 600").unwrap();
    let name = "linux.cgroup.memory.direct_reclaims";
    collector.until(|got| last(got, name, &idle_id).cloned()).unwrap();
    // Its limit is 8 MiB: the kernel reclaims before it kills.
    busy.kill_one().unwrap();
    let reclaims = collector
        .until(|got| {
            let found = last(got, name, &busy_id)?.clone();
            ensure!(found.value > 0.0, "none");
            Ok(found)
        })
        .unwrap();
    println!("direct reclaims before the kill: {}", reclaims.value);
    let got = collector.received().unwrap();
    assert_eq!(last(&got, name, &idle_id).unwrap().value, 0.0);
    got.last("linux.memory.allocation.stall.time").unwrap();
}

#[test]
fn time_of_compaction_is_seen_when_memory_is_compacted() {
    let collector = Collector::start(None).unwrap();
    let _agent = Agent::pushing(&collector).unwrap();
    let name = "linux.memory.compaction.stall.time";
    let before = collector.until(|got| Ok(got.last(name)?.value)).unwrap();
    let begin = std::time::Instant::now();
    fs::write("/proc/sys/vm/compact_memory", "1").unwrap();
    let took = begin.elapsed().as_secs_f64();
    let after = collector
        .until(|got| {
            let now = got.last(name)?.value;
            ensure!(now > before, "{now} s");
            Ok(now)
        })
        .unwrap();
    let seen = after - before;
    println!("compaction: took {took} s, seen {seen} s");
    assert!(seen <= took, "took {took} s, seen {seen} s");
}

#[test]
fn tasks_of_a_container_are_counted_by_their_state() {
    let collector = Collector::start(None).unwrap();
    let agent = Agent::pushing(&collector).unwrap();
    let id = container_id(0xc3);
    let cgroup = Cgroup::new(&format!("docker/{id}")).unwrap();
    let _sleeping: Vec<_> = (0..3).map(|_| cgroup.hold("sleep 600").unwrap()).collect();
    let _busy = cgroup.hold("sh -c 'while :; do :; done'").unwrap();
    let _stopped = cgroup.hold("sh -c 'kill -STOP $$'").unwrap();
    let name = "linux.cgroup.task.count";
    collector
        .until(|got| {
            let time = last(got, name, &id)?.time;
            let now = got
                .of(name)
                .into_iter()
                .filter(|point| point.time == time && point.resource["container.id"] == id);
            let counts: BTreeMap<&str, f64> = now
                .map(|point| (point.attributes["linux.task.state"].as_str(), point.value))
                .collect();
            let expected = [
                ("running", 1.0),
                ("sleeping", 3.0),
                ("stopped", 1.0),
                ("uninterruptible", 0.0),
                ("zombie", 0.0),
            ];
            ensure!(counts == BTreeMap::from(expected), "{counts:?}");
            Ok(())
        })
        .unwrap();
    let page = agent.get("metrics").unwrap();
    let short = &id[..12];
    let line = page
        .lines()
        .find(|line| {
            line.starts_with("huatuo_bamai_loadavg_container_nr_running{") && line.contains(short)
        })
        .unwrap();
    assert!(line.ends_with(" 1"), "{line}");
    // Of the host: what /proc tells.
    let got = collector.received().unwrap();
    let all: f64 = newest(&got, "linux.task.count").unwrap().iter().map(|p| p.value).sum();
    let text = proc("loadavg").unwrap();
    let kernel: f64 = text.split(['/', ' ']).nth(4).unwrap().parse().unwrap();
    assert!((all - kernel).abs() <= 30.0, "ours {all}, the kernel's {kernel}");
}

#[test]
fn connections_are_counted_by_their_state() {
    let collector = Collector::start(None).unwrap();
    let _agent = Agent::pushing(&collector).unwrap();
    let server = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = server.local_addr().unwrap();
    let clients: Vec<_> = (0..40).map(|_| std::net::TcpStream::connect(address).unwrap()).collect();
    let accepted: Vec<_> = (0..40).map(|_| server.accept().unwrap()).collect();
    // State 01 of /proc/net/tcp and tcp6 is established.
    let kernel = |state: &str| {
        let files = [proc("net/tcp").unwrap(), proc("net/tcp6").unwrap_or_default()];
        let of = |line: &&str| line.split_whitespace().nth(3) == Some(state);
        files.iter().map(|text| text.lines().filter(of).count() as f64).sum::<f64>()
    };
    let name = "system.network.connection.count";
    for (state, number, at_least) in [("established", "01", 80.0), ("listen", "0A", 1.0)] {
        collector
            .until(|got| {
                let points = newest(got, name)?;
                let of = |point: &&&Point| point.attributes["network.connection.state"] == state;
                let ours = points.iter().find(of).context("no such state")?.value;
                let theirs = kernel(number);
                ensure!(ours >= at_least && (ours - theirs).abs() <= 2.0, "{ours}, {theirs}");
                Ok(())
            })
            .unwrap();
    }
    drop((clients, accepted));
}

/// Bytes that the root queue of a device sent, as `tc` prints them; `None` where none has a queue.
fn queue() -> Option<(String, String, f64)> {
    let output = Command::new("tc").args(["-s", "-j", "qdisc", "show"]).output().unwrap();
    let queues: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    let of = |queue: &serde_json::Value| {
        let kind = queue["kind"].as_str()?.to_owned();
        let is_root = queue["root"].as_bool() == Some(true) && kind != "noqueue";
        let device = queue["dev"].as_str()?.to_owned();
        is_root.then(|| Some((device, kind, queue["bytes"].as_f64()?)))?
    };
    queues.as_array().unwrap().iter().find_map(of)
}

#[test]
fn queues_of_devices_are_those_that_tc_shows() {
    let made = queue().is_none().then(|| {
        let add = "ip link add hto0 type veth peer hto1 && ip link set hto0 up && \
                   ip link set hto1 up && tc qdisc add dev hto0 root pfifo";
        assert!(Command::new("sh").arg("-c").arg(add).status().unwrap().success(), "{add}");
    });
    let agent =
        Agent::with("[MetricCollector.Qdisc]\nDeviceExcluded = \"^lo$\"\n").start().unwrap();
    let (device, kind, before) = queue().unwrap();
    let page = agent.get("metrics").unwrap();
    let (_, _, after) = queue().unwrap();
    let start = format!("huatuo_bamai_netdev_qdisc_bytes_total{{device=\"{device}\",");
    let line = page.lines().find(|line| line.starts_with(&start)).unwrap();
    assert!(line.contains(&format!("kind=\"{kind}\"")), "{line}");
    let ours: f64 = line.rsplit(' ').next().unwrap().parse().unwrap();
    assert!(before <= ours && ours <= after, "{before} {ours} {after}");
    if made.is_some() {
        Command::new("ip").args(["link", "del", "hto0"]).status().unwrap();
    }
}

#[test]
fn packets_that_a_card_had_no_room_for_are_those_that_its_driver_counts() {
    if is_elsewhere("kernel", "a card of VMware") {
        return;
    }
    let cards = Overrun::ready().unwrap();
    let name = &cards.receiver;
    let config = format!(
        "BlackList = [\"metax_gpu\"]\n[MetricCollector.NetdevHW]\nDeviceList = [\"{name}\"]\n"
    );
    let agent = Agent::with(&config).start().unwrap();
    let dropped = || {
        // Longer than a snapshot is kept.
        std::thread::sleep(Duration::from_millis(1100));
        let page = agent.get("metrics").unwrap();
        let start = format!(
            "huatuo_bamai_netdev_hw_rx_dropped_total{{device=\"{name}\",driver=\"vmxnet3\""
        );
        let line = page.lines().find(|line| line.starts_with(&start)).unwrap();
        line.rsplit(' ').next().unwrap().parse::<u64>().unwrap()
    };
    let before = dropped();
    cards.drop_packets(50).unwrap();
    assert_eq!(dropped(), before + 50);
    assert_eq!(cards.received("rx_missed_errors").unwrap(), 0, "it is elsewhere");
}
