// SPDX-License-Identifier: Apache-2.0
//! Events of network devices, each provoked for real in a network of its own.

#![allow(clippy::unwrap_used, reason = "helpers of tests may panic as tests do")]

use std::collections::BTreeSet;
use std::fs;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use integration::lab::in_lab;
use integration::{
    Agent, Attributes, Collector, Network, Received, Record, Watch, ip, only, push_config, wait_for,
};
use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value as Json;

const CHANGED: &str = "linux.network.interface.state_changed";

/// An agent that watches these devices and pushes every second.
fn watching(collector: &Collector, list: &str) -> Agent {
    let config = push_config("grpc", collector.grpc, "gzip", "http", "");
    let netdev = format!("[EventTracing.Netdev]\nDeviceList = {list}\n");
    let only = only(&["network.link"]);
    Agent::with(&format!("{only}{config}{netdev}")).start().unwrap()
}

fn pair(device: &str, peer: &str) {
    ip(&["link", "add", device, "type", "veth", "peer", "name", peer]).unwrap();
}

fn set(device: &str, what: &[&str]) {
    ip(&[&["link", "set", "dev", device][..], what].concat()).unwrap();
}

/// States of an event, as the Collector wrote them.
fn states(record: &Record) -> Vec<String> {
    let list: Json =
        serde_json::from_str(&record.attributes["linux.network.interface.states"]).unwrap();
    let values = list["values"].as_array().or_else(|| list.as_array()).unwrap().iter();
    values.map(|value| value["stringValue"].as_str().unwrap().to_owned()).collect()
}

/// Waits for event number `at` of this name, which has to have these states.
fn expect(
    collector: &Collector,
    at: usize,
    name: &str,
    expected: &[&str],
    severity: u64,
) -> Record {
    let record = collector
        .until(|got| {
            let mut changes = got.records.iter().filter(|record| record.event_name == CHANGED);
            Ok(changes.nth(at).with_context(|| format!("no event {at}"))?.clone())
        })
        .unwrap();
    assert_eq!(states(&record), expected, "{record:#?}");
    assert_eq!(record.attributes["network.interface.name"], name);
    assert_eq!(record.severity, severity, "{expected:?}");
    record
}

/// The last document of a file of events.
fn document(agent: &Agent, tracer: &str) -> Json {
    let text =
        wait_for(Duration::from_secs(5), || Ok(fs::read_to_string(agent.event_file(tracer))?));
    serde_json::from_str(text.unwrap().lines().last().unwrap()).unwrap()
}

#[test]
fn what_becomes_of_a_listed_device_is_told_and_of_others_it_is_not() {
    let network = Network::new("link").unwrap();
    network.run(|| {
        pair("wan0", "far0");
        let collector = Collector::start(None).unwrap();
        let agent = watching(&collector, r#"["wan0", "lan[0-9]"]"#);
        let first = expect(&collector, 0, "wan0", &["admin_down", "carrier_down"], 5);
        assert_eq!(first.attributes["huatuo.baseline"], "true");
        assert_eq!(document(&agent, "netdev_events")["tracer_data"]["start"], true);
        let only = r#"{"filters":{"tracer_name":"netdev_events"}}"#;
        let watch = Watch::subscribe(&agent, only).unwrap();

        set("wan0", &["up"]);
        expect(&collector, 1, "wan0", &["admin_up"], 9);
        set("far0", &["up"]);
        expect(&collector, 2, "wan0", &["carrier_up"], 9);
        set("far0", &["down"]);
        let lost = expect(&collector, 3, "wan0", &["carrier_down"], 17);
        assert_eq!(lost.body, "wan0: carrier down");
        assert_eq!(lost.attributes["huatuo.baseline"], "false");
        assert_eq!(lost.attributes["linux.network.driver"], "veth");
        assert_eq!(lost.attributes["hw.network.physical_address"].len(), 17);
        check_document(&document(&agent, "netdev_events"), "linkStatusCarrierDown");
        let (_, streamed) = watch.next().unwrap();
        assert_eq!(streamed["data"]["tracer_name"], "netdev_events");
        assert_eq!(streamed["data"]["tracer_data"]["linkstatus"], "linkStatusAdminUp");

        set("far0", &["up"]);
        expect(&collector, 4, "wan0", &["carrier_up"], 9);
        set("wan0", &["mtu", "1400"]);
        let mtu = expect(&collector, 5, "wan0", &["mtu_changed"], 9);
        assert_eq!(mtu.attributes["linux.network.interface.mtu"], "1400");
        set("wan0", &["down"]);
        expect(&collector, 6, "wan0", &["admin_down", "carrier_down"], 13);
        let words = "linkStatusAdminDown, linkStatusCarrierDown";
        check_document(&document(&agent, "netdev_events"), words);
        set("wan0", &["name", "lan7"]);
        let renamed = expect(&collector, 7, "lan7", &["renamed"], 9);
        assert_eq!(renamed.attributes["linux.network.interface.previous_name"], "wan0");

        others_are_silent();
        ip(&["link", "del", "lan7"]).unwrap();
        expect(&collector, 8, "lan7", &["removed"], 13);
        pair("wan0", "far0");
        expect(&collector, 9, "wan0", &["added"], 9);
        counted(&collector, &agent);
        let got = collector.received().unwrap();
        let of = |record: &&Record| record.event_name == CHANGED;
        assert_eq!(got.records.iter().filter(of).count(), 10);
    });
}

/// Fields as HUATUO's documents have them.
fn check_document(document: &Json, words: &str) {
    let data = &document["tracer_data"];
    let keys: Vec<&str> = data.as_object().unwrap().keys().map(String::as_str).collect();
    let expected = [
        "ifname",
        "index",
        "linkstatus",
        "mac",
        "start",
        "driver",
        "driver_version",
        "firmware_version",
    ];
    assert_eq!(keys, expected);
    assert_eq!((&data["ifname"], &data["linkstatus"]), (&"wan0".into(), &words.into()));
    assert_eq!((&data["start"], &data["driver"]), (&false.into(), &"veth".into()));
    assert!(data["index"].as_u64().unwrap() > 1);
}

/// Devices that are not listed, and a listed one that becomes the port of a bridge.
fn others_are_silent() {
    set("far0", &["down"]);
    set("far0", &["up"]);
    pair("other0", "other1");
    ip(&["link", "del", "other0"]).unwrap();
    ip(&["link", "add", "bridge0", "type", "bridge"]).unwrap();
    set("lan7", &["master", "bridge0"]);
    set("lan7", &["nomaster"]);
}

fn counted(collector: &Collector, agent: &Agent) {
    let name = "linux.network.interface.state_changes";
    collector
        .until(|got| {
            let is_it = |state: &str| {
                let of = got.of(name).into_iter();
                let of = of.filter(|point| point.attributes["network.interface.name"] == "wan0");
                let mut of =
                    of.filter(|point| point.attributes["linux.network.interface.state"] == state);
                of.any(|point| point.value == 2.0 && point.is_monotonic && point.start > 0)
            };
            ensure!(is_it("carrier_up") && is_it("carrier_down"), "not yet");
            Ok(())
        })
        .unwrap();
    let page = agent.get("metrics").unwrap();
    for (word, count) in [("adminup", 1), ("admindown", 1), ("carrierup", 2), ("carrierdown", 2)] {
        let start = format!("huatuo_bamai_netdev_events_linkstatus_{word}_total{{");
        let line = page.lines().find(|line| line.starts_with(&start)).unwrap();
        assert!(line.contains("device=\"wan0\",driver=\"veth\",driver_version=\""), "{line}");
        assert!(line.ends_with(&format!(" {count}")), "{line}");
    }
}

#[test]
fn what_the_kernel_had_no_room_to_tell_is_found_by_looking() {
    let network = Network::new("lost").unwrap();
    network.run(|| {
        for name in ["wan0", "wan1", "wan2"] {
            pair(name, &name.replace("wan", "far"));
            set(name, &["up"]);
        }
        pair("noise0", "noise1");
        let collector = Collector::start(None).unwrap();
        let agent = watching(&collector, r#"["wan.*"]"#);
        collector.until(|got| ensure_count(got, 3)).unwrap();
        let pid = Pid::from_raw(agent.pid() as i32).unwrap();
        kill_process(pid, Signal::STOP).unwrap();
        // A message takes some kilobytes of the socket's room.
        change_often("noise0", 2000);
        set("wan0", &["down"]);
        set("wan1", &["mtu", "1300"]);
        ip(&["link", "del", "wan2"]).unwrap();
        let lost = lost_messages(agent.pid());
        kill_process(pid, Signal::CONT).unwrap();
        assert!(lost > 0, "the kernel had room for all");
        let found = collector
            .until(|got| {
                ensure_count(got, 6)?;
                let changes = got.records.iter().filter(|record| record.event_name == CHANGED);
                let of = |record: &Record| {
                    (record.attributes["network.interface.name"].clone(), states(record).join(" "))
                };
                Ok(changes.skip(3).map(of).collect::<BTreeSet<_>>())
            })
            .unwrap();
        let expected = [("wan0", "admin_down"), ("wan1", "mtu_changed"), ("wan2", "removed")];
        let expected = expected.map(|(name, states)| (name.to_owned(), states.to_owned()));
        assert_eq!(found, BTreeSet::from(expected));
    });
}

#[test]
fn a_storm_of_changes_is_looked_at_now_and_then_and_what_is_left_out_is_counted() {
    if in_lab() {
        println!("not here: an emulated machine does not make a thousand changes a second");
        return;
    }
    let network = Network::new("storm").unwrap();
    network.run(|| {
        pair("wan0", "far0");
        let collector = Collector::start(None).unwrap();
        let _agent = watching(&collector, r#"["wan0"]"#);
        collector.until(|got| ensure_count(got, 1)).unwrap();
        let (changes, begin) = (20_000, Instant::now());
        change_often("wan0", changes);
        set("wan0", &["mtu", "1234"]);
        let seconds = begin.elapsed().as_secs();
        let told = collector
            .until(|got| {
                let of = got.records.iter().filter(|record| record.event_name == CHANGED);
                let of: Vec<_> = of.collect();
                let last = of.last().context("no event")?;
                ensure!(last.attributes["linux.network.interface.mtu"] == "1234", "not yet");
                Ok(of.len() as u64)
            })
            .unwrap();
        assert!(told <= 1002 * (seconds + 2), "{told}");
        let (thrown, no_room) = collector
            .until(|got| {
                let points = got.of("huatuo.bpf.events.lost");
                let lost = |why: &str| {
                    let is_it = |attributes: &Attributes| {
                        attributes["huatuo.probe.name"] == "network.link"
                            && attributes["huatuo.loss.reason"] == why
                    };
                    points.iter().rfind(|point| is_it(&point.attributes)).map_or(0.0, |p| p.value)
                };
                let (thrown, no_room) = (lost("rate_limited"), lost("ring_full"));
                ensure!(thrown > 0.0 && thrown + no_room + told as f64 >= f64::from(changes));
                Ok((thrown, no_room))
            })
            .unwrap();
        println!(
            "{changes} changes in {seconds} s: {told} told, {thrown} thrown away, no room for {no_room}"
        );
    });
}

/// Changes a device as often, as quickly as the kernel can.
fn change_often(device: &str, times: u32) {
    let line = |at| format!("link set {device} mtu {}\n", 1000 + at % 2);
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("batch");
    fs::write(&file, (0..times).map(line).collect::<String>()).unwrap();
    ip(&["-batch", file.to_str().unwrap()]).unwrap();
}

fn ensure_count(got: &Received, expected: usize) -> Result<()> {
    let count = got.records.iter().filter(|record| record.event_name == CHANGED).count();
    ensure!(count == expected, "{count} events");
    Ok(())
}

/// Messages that sockets of rtnetlink in the network of a process had no room for.
fn lost_messages(pid: u32) -> u64 {
    let text = integration::proc(&format!("{pid}/net/netlink")).unwrap();
    let rows = text.lines().skip(1).map(|line| line.split_whitespace().collect::<Vec<_>>());
    let of_route = rows.filter(|row| row.get(1) == Some(&"0"));
    of_route.filter_map(|row| row.get(8)?.parse::<u64>().ok()).sum()
}

#[test]
fn where_no_device_is_listed_the_status_says_so() {
    let agent = Agent::with("").start().unwrap();
    let status = agent.status().unwrap();
    let verdict = |name: &str| {
        let all = status["probes"].as_array().unwrap();
        all.iter().find(|verdict| verdict["probe"] == name).unwrap().clone()
    };
    let link = verdict("network.link");
    assert_eq!(link["state"], "absent");
    assert!(link["reason"].as_str().unwrap().contains("DeviceList"), "{link}");
    // Bonds may come later.
    assert_eq!(verdict("network.lacp")["state"], "attached");
    let timeout = verdict("network.transmit_timeout");
    assert_eq!(timeout["state"], "attached", "{timeout}");
}
