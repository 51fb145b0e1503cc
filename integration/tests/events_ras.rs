// SPDX-License-Identifier: Apache-2.0
//! Errors of the hardware, injected: counted, and each an event.

#![allow(clippy::unwrap_used, reason = "helpers of tests may panic as tests do")]

use std::fs;
use std::thread::sleep;
use std::time::Duration;

use anyhow::{Context, ensure};
use integration::lab::{is_elsewhere, machine_check};
use integration::{Agent, Collector, Point, Received, wait_for};
use serde_json::Value as Json;

const EVENT: &str = "linux.ras.error";
const COUNTER: &str = "linux.ras.errors";

/// Errors that processors reported, by severity.
fn counted(got: &Received, severity: &str) -> Option<f64> {
    let of_mce = |point: &&&Point| {
        point.attributes["linux.ras.source"] == "mce"
            && point.attributes["linux.ras.severity"] == severity
    };
    got.of(COUNTER).iter().rfind(of_mce).map(|point| point.value)
}

#[test]
fn a_machine_check_is_counted_and_told_with_its_registers() {
    if is_elsewhere("events_ras", "the module mce-inject") {
        return;
    }
    let collector = Collector::start(None).unwrap();
    let agent = Agent::pushing(&collector).unwrap();
    // An instruction fetch that was corrected in a cache, and parity that was lost.
    machine_check("0x9400000000000151").unwrap();
    machine_check("0xb200000000000005").unwrap();
    let got = collector
        .until(|got| {
            let counts = ["corrected", "fatal", "recoverable"].map(|word| counted(got, word));
            ensure!(counts == [Some(1.0), Some(1.0), Some(0.0)], "{counts:?}");
            got.event(EVENT, "linux.ras.severity", "fatal")?;
            collector.received()
        })
        .unwrap();
    for (status, severity, number, reason) in [
        ("0x9400000000000151", "corrected", 13, "cache_error"),
        ("0xb200000000000005", "fatal", 21, "internal_parity_error"),
    ] {
        let record = got.event(EVENT, "linux.ras.severity", severity).unwrap();
        assert_eq!((record.severity, record.scope.as_str()), (number, "huatuo-otel/system.ras"));
        for (key, wanted) in [
            ("linux.ras.source", "mce"),
            ("hw.id", "cpu0/bank4"),
            ("hw.type", "cpu"),
            ("hw.name", "CPU/MEM"),
            ("cpu.logical_number", "0"),
            ("error.type", reason),
        ] {
            assert_eq!(record.attributes[key], wanted, "{key}");
        }
        let details = &record.attributes["linux.ras.details"];
        assert!(details.contains(status), "{details}");
    }
    let page = agent.get("metrics").unwrap();
    for name in ["ras_hw_total{", "ras_hw_err_total{"] {
        let line = page.lines().find(|line| line.contains(name) && line.contains("\"mce\""));
        assert!(line.unwrap().ends_with(" 2"), "{line:?}");
    }
    let document = wait_for(Duration::from_secs(5), || {
        let text = fs::read_to_string(agent.event_file("ras"))?;
        Ok(serde_json::from_str::<Json>(text.lines().next().context("empty")?)?)
    });
    let data = &document.unwrap()["tracer_data"];
    assert_eq!((&data["event"], &data["type"]), (&"MCE".into(), &"Corrected".into()));
    let info: Json = serde_json::from_str(data["info"].as_str().unwrap()).unwrap();
    assert_eq!(info["banks_msr_status"], 0x9400_0000_0000_0151_u64);
    assert_eq!((&info["cpu"], &info["bank"]), (&0.into(), &4.into()));
}

#[test]
fn hardware_without_errors_is_silent() {
    let collector = Collector::start(None).unwrap();
    let agent = Agent::pushing(&collector).unwrap();
    collector.until(|got| Ok(got.last(COUNTER)?.time)).unwrap();
    sleep(Duration::from_secs(2));
    let got = collector.received().unwrap();
    assert!(got.records.iter().all(|record| record.event_name != EVENT));
    assert!(got.of(COUNTER).iter().all(|point| point.value == 0.0));
    assert!(!agent.event_file("ras").exists());
}
