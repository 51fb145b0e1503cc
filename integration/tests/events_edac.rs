// SPDX-License-Identifier: Apache-2.0
//! Errors of memory controllers. No machine of ours has one that tells (docs/lab.md), so the agent's
//! own program is run with what the tracepoint would give it.

#![allow(clippy::unwrap_used, reason = "helpers of tests may panic as tests do")]

use std::collections::BTreeMap;

use anyhow::{Context, Result, ensure};
use integration::lab::is_elsewhere;
use integration::{Agent, Collector, KernelText, Program, Received, Record, only, push_config};
use serde_json::{Value as Json, json};

const EVENT: &str = "linux.ras.error";
const COUNTER: &str = "linux.ras.errors";

/// Errors as they were counted, by severity; of memory controllers all.
fn ensure_counts(got: &Received, wanted: &BTreeMap<String, f64>) -> Result<()> {
    let newest = got.last(COUNTER)?.time;
    let points = got.of(COUNTER).into_iter();
    let counted: BTreeMap<String, f64> = points
        .filter(|point| point.time == newest && point.value > 0.0)
        .map(|point| {
            assert_eq!(point.attributes["linux.ras.source"], "edac");
            (point.attributes["linux.ras.severity"].clone(), point.value)
        })
        .collect();
    ensure!(counted == *wanted, "counted {counted:?} instead of {wanted:?}");
    Ok(())
}

/// The one event of a severity.
fn told(got: &Received, severity: &str) -> Result<Record> {
    let of = |record: &&Record| {
        record.event_name == EVENT && record.attributes["linux.ras.severity"] == severity
    };
    let found: Vec<_> = got.records.iter().filter(of).collect();
    ensure!(found.len() == 1, "{} {severity}: {:?}", found.len(), got.records);
    found.first().map(|record| (*record).clone()).context("none")
}

#[test]
fn errors_of_a_memory_controller_are_counted_by_their_number_and_told_with_their_place() {
    if is_elsewhere("events_edac", "a kernel with the tracepoint mc_event") {
        return;
    }
    let collector = Collector::start(None).unwrap();
    let config = push_config("grpc", collector.grpc, "gzip", "http", "");
    let agent = Agent::with(&format!("{}{config}", only(&["system.ras"]))).start().unwrap();
    let program = Program::of(agent.pid(), "mc_event_raw").unwrap();
    let text = |text: &str| KernelText::of(text).unwrap();
    let [message, label, detail, none] =
        [text("memory read error"), text("DIMM_A1 or DIMM_B1"), text("rank:1 bank:3"), text("")];
    let mut counts = BTreeMap::new();
    // As `enum hw_event_mc_err_type` numbers them.
    for (number, (severity, level, kind)) in (0..).zip([
        ("corrected", 13, "Corrected"),
        ("recoverable", 18, "UncorrectedRecoverable"),
        ("deferred", 17, "UncorrectedDeferred"),
        ("fatal", 21, "UncorrectedFatal"),
        ("info", 9, "Info"),
    ]) {
        let label = if severity == "info" { &none } else { &label };
        let errors = number + 2;
        // Small types are not extended: this layer is -1, which is one that is not known.
        let place = [1, 0, 2, 0xff, 0xdead_b000, 6, 0xab];
        let args =
            [&[number, message.address, label.address, errors], &place[..], &[detail.address]];
        program.run(&args.concat()).unwrap();
        counts.insert(severity.to_owned(), errors as f64);
        let record = collector
            .until(|got| {
                ensure_counts(got, &counts)?;
                told(got, severity)
            })
            .unwrap();
        println!("{}\n{:#?}", record.body, record.attributes);
        let (label, id) =
            if severity == "info" { ("", "mc1") } else { ["DIMM_A1 or DIMM_B1"; 2].into() };
        assert_eq!((record.severity, record.scope.as_str()), (level, "huatuo-otel/system.ras"));
        for (key, wanted) in [
            ("linux.ras.source", "edac"),
            ("hw.id", id),
            ("hw.type", "memory"),
            ("hw.name", "MEM"),
            ("error.type", "memory_error"),
        ] {
            assert_eq!(record.attributes[key], wanted, "{key}");
        }
        assert!(!record.attributes.contains_key("cpu.logical_number"));
        let data = &agent.document("ras", &record).unwrap()["tracer_data"];
        assert_eq!([&data["dev"], &data["event"], &data["type"]], ["MEM", "EDAC", kind]);
        let info: Json = serde_json::from_str(data["info"].as_str().unwrap()).unwrap();
        let wanted = json!({
            "err_count": errors, "err_type": kind, "err_msg": "memory read error", "label": label,
            "mc_index": 1, "top_layer": 0, "mid_layer": 2, "low_layer": -1,
            "addr": 0xdead_b000_u64, "grain": 64, "syndrome": 0xab, "driver": "rank:1 bank:3"
        });
        assert_eq!(info, wanted);
    }
    let page = agent.get("metrics").unwrap();
    for name in ["ras_hw_total{", "ras_hw_err_total{"] {
        let of = |line: &&str| line.contains(&format!("_{name}")) && line.contains("\"edac\"");
        assert!(page.lines().find(of).unwrap().ends_with(" 20"), "{page}");
    }
}
