// SPDX-License-Identifier: Apache-2.0
//! Transmit queues that are stuck, of a card that really hangs.

#![allow(clippy::unwrap_used, reason = "helpers of tests may panic as tests do")]

use std::thread::sleep;
use std::time::{Duration, Instant};

use anyhow::ensure;
use integration::lab::{Nic, Trace, TransmitHang, is_elsewhere};
use integration::{Agent, Collector, Received, Record, only, push_config, unix_now, wait_for};
use serde_json::json;

const EVENT: &str = "linux.network.transmit_queue.timeout";
const COUNTER: &str = "linux.network.transmit_queue.timeouts";

/// An agent that looks for stuck queues.
fn pushing(collector: &Collector) -> Agent {
    let config = push_config("grpc", collector.grpc, "gzip", "http", "");
    let only = only(&["network.transmit_timeout"]);
    Agent::with(&format!("{only}{config}")).start().unwrap()
}

fn timeouts(got: &Received) -> Vec<&Record> {
    got.records.iter().filter(|record| record.event_name == EVENT).collect()
}

#[test]
fn a_queue_that_is_stuck_is_told_and_counted() {
    if is_elsewhere("events_transmit", "a network card that hangs") {
        return;
    }
    let collector = Collector::start(None).unwrap();
    let agent = pushing(&collector);
    let trace = Trace::of(&["net:net_dev_xmit_timeout"]).unwrap();
    let before = unix_now();
    let hang = TransmitHang::new().unwrap();
    let nic = hang.nic.name.as_str();
    let kernel = trace.until("net_dev_xmit_timeout:").unwrap();
    let record =
        collector.until(|got| Ok(got.event(EVENT, "network.interface.name", nic)?.clone()));
    let record = record.unwrap();
    println!("{}\n{:#?}", record.body, record.attributes);
    let (_, behind) = kernel.split_once("queue=").unwrap();
    // Newer kernels tell more.
    let queue = behind.split(' ').next().unwrap();
    assert_eq!(record.body, format!("transmit queue {queue} of {nic} timed out"));
    let scope = record.scope.as_str();
    assert_eq!((record.severity, scope), (17, "huatuo-otel/network.transmit_timeout"));
    for (key, value) in [
        ("linux.network.driver", "e1000e"),
        ("linux.network.queue.index", queue),
        ("error.type", "timeout"),
    ] {
        assert_eq!(record.attributes[key], value, "{key}");
    }
    assert!((before..unix_now()).contains(&record.time), "{}", record.time);
    let document = agent.document("netdev_txqueue_timeout", &record).unwrap();
    assert_eq!(document["tracer_name"], "netdev_txqueue_timeout");
    let queue: u32 = queue.parse().unwrap();
    let data = json!({ "queue_index": queue, "device_name": nic, "driver_name": "e1000e" });
    assert_eq!(document["tracer_data"], data);
    // The kernel may have found it again meanwhile.
    collector
        .until(|got| {
            let (point, told) = (got.last(COUNTER)?, timeouts(got).len());
            ensure!(point.value == told as f64, "{} counted, {told} told", point.value);
            assert!(point.is_monotonic && point.start >= before && point.unit == "{timeout}");
            assert_eq!(point.attributes["network.interface.name"], nic);
            assert_eq!(point.attributes["linux.network.driver"], "e1000e");
            Ok(())
        })
        .unwrap();
}

#[test]
fn a_card_that_sends_is_silent() {
    if is_elsewhere("events_transmit", "a network card") {
        return;
    }
    let collector = Collector::start(None).unwrap();
    let agent = pushing(&collector);
    let nic = Nic::up().unwrap();
    let before = nic.sent().unwrap();
    // The kernel looks for stuck queues every five seconds.
    let begin = Instant::now();
    while begin.elapsed() < Duration::from_secs(12) {
        nic.send().unwrap();
        sleep(Duration::from_millis(200));
    }
    wait_for(Duration::from_secs(3), || {
        let sent = nic.sent()? - before;
        ensure!(sent >= 100, "{sent} packets");
        Ok(())
    })
    .unwrap();
    let got = collector.settled().unwrap();
    assert!(timeouts(&got).is_empty() && got.of(COUNTER).is_empty());
    assert!(!agent.event_file("netdev_txqueue_timeout").exists());
}
