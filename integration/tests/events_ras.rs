// SPDX-License-Identifier: Apache-2.0
//! Errors of the hardware, real ones of an emulated machine: counted, and each an event.

#![allow(clippy::unwrap_used, reason = "helpers of tests may panic as tests do")]

use std::collections::BTreeMap;
use std::fs;

use anyhow::{Context, Result, ensure};
use integration::lab::firmware::{Error, FAILED, SLOT, Severity};
use integration::lab::{
    DEVICE, HeldReports, Trace, aer_by_monitor, is_elsewhere, machine_check, threshold_by_software,
};
use integration::{Agent, Collector, Received, Record, only, push_config};
use serde_json::{Value as Json, json};

const EVENT: &str = "linux.ras.error";
const COUNTER: &str = "linux.ras.errors";

/// Where errors are told.
struct Scene {
    collector: Collector,
    agent: Agent,
}

/// An error as it was told: to a Collector, and in HUATUO's document.
struct Told {
    record: Record,
    data: Json,
    info: Json,
}

impl Scene {
    fn new() -> Self {
        let collector = Collector::start(None).unwrap();
        let config = push_config("grpc", collector.grpc, "gzip", "http", "");
        let only = only(&["system.ras"]);
        let agent = Agent::with(&format!("{only}{config}")).start().unwrap();
        Self { collector, agent }
    }

    /// The error from this source and of this severity, once exactly these were counted.
    fn told(&self, source: &str, severity: &str, all: &[(&str, &str, u64)]) -> Told {
        let record = self.collector.until(|got| {
            ensure_counts(got, all)?;
            let of = |record: &&Record| {
                let is_it = |key: &str, value| record.attributes[key] == value;
                record.event_name == EVENT
                    && is_it("linux.ras.source", source)
                    && is_it("linux.ras.severity", severity)
            };
            let found = got.records.iter().find(of);
            found.cloned().with_context(|| format!("no {severity} {source}: {:?}", got.records))
        });
        let record = record.unwrap();
        assert_eq!(record.scope, "huatuo-otel/system.ras");
        let document = self.agent.document("ras", &record).unwrap();
        assert_eq!(document["tracer_name"], "ras");
        let data = document["tracer_data"].clone();
        let keys: Vec<_> = data.as_object().unwrap().keys().collect();
        assert_eq!(keys, ["dev", "event", "type", "timestamp", "info"]);
        assert_eq!(data["timestamp"], record.time);
        let info = serde_json::from_str(data["info"].as_str().unwrap()).unwrap();
        Told { record, data, info }
    }

    /// What the legacy page counts of a source, under both names.
    fn on_page(&self, source: &str) -> [f64; 2] {
        let page = self.agent.get("metrics").unwrap();
        ["ras_hw_total{", "ras_hw_err_total{"].map(|name| {
            let of = |line: &&str| {
                line.contains(&format!("_{name}")) && line.contains(&format!("\"{source}\""))
            };
            page.lines().find(of).unwrap().rsplit(' ').next().unwrap().parse().unwrap()
        })
    }
}

impl Told {
    fn check(&self, severity: u64, attributes: &[(&str, &str)], [dev, event, kind]: [&str; 3]) {
        assert_eq!(self.record.severity, severity);
        for (key, wanted) in attributes {
            assert_eq!(
                self.record.attributes.get(*key).map(String::as_str),
                Some(*wanted),
                "{key}"
            );
        }
        let data = [&self.data["dev"], &self.data["event"], &self.data["type"]];
        assert_eq!(data, [dev, event, kind]);
    }

    /// The details have the keys of the document, and texts are the same.
    fn check_details(&self) {
        let details: Json =
            serde_json::from_str(&self.record.attributes["linux.ras.details"]).unwrap();
        let pairs = details["values"].as_array().unwrap().iter();
        let details: BTreeMap<_, _> =
            pairs.map(|pair| (pair["key"].as_str().unwrap(), &pair["value"])).collect();
        let info = self.info.as_object().unwrap();
        assert_eq!(details.len(), info.len(), "{details:?}");
        for (key, value) in info {
            let ours = details[key.as_str()];
            assert!(!value.is_string() || ours["stringValue"] == *value, "{key}: {ours}");
        }
    }
}

/// Errors by source and severity: these, and no others.
fn ensure_counts(got: &Received, all: &[(&str, &str, u64)]) -> Result<()> {
    let newest = got.last(COUNTER)?.time;
    let points = got.of(COUNTER).into_iter().filter(|point| point.time == newest);
    let counted = points.filter(|point| point.value > 0.0).map(|point| {
        assert!(point.is_monotonic && point.unit == "{error}" && point.start > 0);
        let of = |key: &str| point.attributes[key].clone();
        (of("linux.ras.source"), of("linux.ras.severity"), point.value as u64)
    });
    let mut counted: Vec<_> = counted.collect();
    let mut wanted: Vec<_> =
        all.iter().map(|(a, b, n)| (a.to_string(), b.to_string(), *n)).collect();
    counted.sort();
    wanted.sort();
    ensure!(counted == wanted, "counted {counted:?} instead of {wanted:?}");
    Ok(())
}

#[test]
fn machine_checks_are_counted_and_told_with_their_registers() {
    if is_elsewhere("events_ras", "the module mce-inject") {
        return;
    }
    let scene = Scene::new();
    // An instruction fetch that was corrected in a cache; parity that was lost, and with it all.
    machine_check("0x9400000000000151").unwrap();
    machine_check("0xb200000000000005").unwrap();
    let all = [("mce", "corrected", 1), ("mce", "fatal", 1)];
    for (status, severity, number, reason, kind) in [
        ("0x9400000000000151", "corrected", 13, "cache_error", "Corrected"),
        ("0xb200000000000005", "fatal", 21, "internal_parity_error", "UncorrectedFatal"),
    ] {
        let told = scene.told("mce", severity, &all);
        let attributes = [
            ("hw.id", "cpu0/bank4"),
            ("hw.type", "cpu"),
            ("hw.name", "CPU/MEM"),
            ("cpu.logical_number", "0"),
            ("error.type", reason),
        ];
        told.check(number, &attributes, ["CPU/MEM", "MCE", kind]);
        told.check_details();
        assert!(told.record.attributes["linux.ras.details"].contains(status));
        let status = u64::from_str_radix(&status[2..], 16).unwrap();
        assert_eq!(told.info["banks_msr_status"], status);
        assert_eq!((&told.info["cpu"], &told.info["bank"]), (&0.into(), &4.into()));
    }
    assert_eq!(scene.on_page("mce"), [2.0, 2.0]);
}

#[test]
fn errors_of_a_device_that_come_at_once_are_told_with_all_reasons_and_the_packet() {
    if is_elsewhere("events_ras", "a device with error reporting") {
        return;
    }
    let scene = Scene::new();
    let held = HeldReports::new().unwrap();
    let port = held.port.clone();
    aer_by_monitor("port0", "COMP_TIME").unwrap();
    aer_by_monitor("port0", "POISON_TLP 0x11111111 0x22222222 0x33333333 0x44444444").unwrap();
    drop(held);
    let told = scene.told("aer", "recoverable", &[("aer", "recoverable", 1)]);
    let name = format!("PCIe {port}");
    let name = name.as_str();
    let attributes = [
        ("hw.id", port.as_str()),
        ("hw.type", "pci"),
        ("hw.name", name),
        ("error.type", "poisoned_tlp"),
    ];
    told.check(18, &attributes, [name, "AER", "UncorrectedRecoverable"]);
    told.check_details();
    check_reasons(&told, &["poisoned_tlp", "completion_timeout"]);
    let info = json!({
        "dev_name": port, "err_type": "UncorrectedRecoverable",
        "err_reason": "Poisoned TLP, Completion Timeout",
        "tlp_header": "0x11111111 0x22222222 0x33333333 0x44444444"
    });
    assert_eq!(told.info, info);
    assert_eq!(scene.on_page("aer"), [1.0, 1.0]);

    let held = HeldReports::new().unwrap();
    aer_by_monitor("port0", "MALF_TLP").unwrap();
    drop(held);
    let all = [("aer", "recoverable", 1), ("aer", "fatal", 1)];
    let told = scene.told("aer", "fatal", &all);
    let attributes = [("hw.id", port.as_str()), ("error.type", "malformed_tlp")];
    told.check(21, &attributes, [name, "AER", "UncorrectedFatal"]);
    assert!(!told.record.attributes.contains_key("linux.ras.reasons"));
}

fn check_reasons(told: &Told, wanted: &[&str]) {
    let list: Json = serde_json::from_str(&told.record.attributes["linux.ras.reasons"]).unwrap();
    let reasons = list["values"].as_array().unwrap().iter();
    let reasons: Vec<_> = reasons.map(|reason| reason["stringValue"].as_str().unwrap()).collect();
    assert_eq!(reasons, wanted);
    assert!(told.record.body.ends_with(&wanted.join(", ")), "{}", told.record.body);
}

#[test]
fn errors_of_memory_that_firmware_tells_of_are_told_as_no_processors() {
    if is_elsewhere("events_ras", "firmware that tells of errors") {
        return;
    }
    let scene = Scene::new();
    let mut all = Vec::new();
    for (fault, severity, number, kind) in [
        (Severity::Corrected, "corrected", 13, "Corrected"),
        (Severity::Recoverable, "recoverable", 18, "UncorrectedRecoverable"),
    ] {
        Error::Memory.raise(fault).unwrap();
        all.push(("mce", severity, 1));
        let told = scene.told("mce", severity, &all);
        let attributes = [
            ("hw.type", "memory"),
            ("hw.name", "CPU/MEM"),
            ("error.type", "memory_controller_error"),
        ];
        told.check(number, &attributes, ["CPU/MEM", "MCE", kind]);
        told.check_details();
        for absent in ["hw.id", "cpu.logical_number"] {
            assert!(!told.record.attributes.contains_key(absent), "{absent}");
        }
        assert_eq!(told.info["banks_msr_addr"], FAILED);
        assert_eq!(told.info["bank"], 255);
    }
    assert_eq!(scene.on_page("mce"), [2.0, 2.0]);
}

#[test]
fn errors_of_devices_that_firmware_tells_of_are_told_with_all_reasons() {
    if is_elsewhere("events_ras", "firmware that tells of errors") {
        return;
    }
    let scene = Scene::new();
    let name = format!("PCIe {DEVICE}");
    let name = name.as_str();
    let mut all = Vec::new();
    for (fault, severity, number, kind, reasons, names) in [
        (
            Severity::Corrected,
            "corrected",
            13,
            "Corrected",
            ["receiver_error", "bad_tlp"],
            "Receiver Error, Bad TLP",
        ),
        (
            Severity::Recoverable,
            "recoverable",
            18,
            "UncorrectedRecoverable",
            ["poisoned_tlp", "completion_timeout"],
            "Poisoned TLP, Completion Timeout",
        ),
    ] {
        let trace = Trace::of(&["ras:aer_event"]).unwrap();
        Error::Pcie.raise(fault).unwrap();
        let kernel = trace.until("aer_event:").unwrap();
        // Some kernels lose it.
        let header = if kernel.contains("TLP Header=Not available") {
            "not available"
        } else {
            "0x00000001 0x00000002 0x00000003 0x00000004"
        };
        all.push(("aer", severity, 1));
        let told = scene.told("aer", severity, &all);
        let attributes =
            [("hw.id", DEVICE), ("hw.type", "pci"), ("hw.name", name), ("error.type", reasons[0])];
        told.check(number, &attributes, [name, "AER", kind]);
        told.check_details();
        check_reasons(&told, &reasons);
        let info = json!({
            "dev_name": DEVICE, "err_type": kind, "err_reason": names, "tlp_header": header
        });
        assert_eq!(told.info, info);
    }
    assert_eq!(scene.on_page("aer"), [2.0, 2.0]);
}

#[test]
fn errors_that_only_their_vendor_knows_are_told_as_they_are() {
    if is_elsewhere("events_ras", "firmware that tells of errors") {
        return;
    }
    let scene = Scene::new();
    let mut all = Vec::new();
    for (fault, severity, number, kind, ours) in [
        (Severity::Corrected, "corrected", 13, "Corrected", 1),
        (Severity::Recoverable, "recoverable", 18, "UncorrectedRecoverable", 2),
    ] {
        Error::Vendor.raise(fault).unwrap();
        all.push(("ghes", severity, 1));
        let told = scene.told("ghes", severity, &all);
        let attributes =
            [("hw.id", SLOT), ("hw.name", "ACPI"), ("error.type", "vendor_specific_error")];
        told.check(number, &attributes, ["ACPI", "NON_STANDARD", kind]);
        told.check_details();
        assert!(!told.record.attributes.contains_key("hw.type"));
        let data: String = (0..32).map(|byte| format!("{byte:02x}")).collect();
        let info = json!({
            "severity": ours, "sec_type": "01234567-89ab-cdef-0123-456789abcdef",
            "fru_id": "89abcdef-0123-4567-89ab-cdef01234567", "fru_text": SLOT,
            "data_len": 32, "raw_data": data
        });
        assert_eq!(told.info, info);
    }
    assert_eq!(scene.on_page("acpi"), [2.0, 2.0]);
}

#[test]
fn errors_of_arm_processors_are_told_with_their_registers() {
    if is_elsewhere("events_ras", "firmware that tells of errors") {
        return;
    }
    let scene = Scene::new();
    Error::Processor.raise(Severity::Corrected).unwrap();
    // Kernels before v6.17 do not tell what it did.
    let format = fs::read_to_string("/sys/kernel/tracing/events/ras/arm_event/format").unwrap();
    let (severity, kind) =
        if format.contains(" sev;") { ("corrected", "Corrected") } else { ("unknown", "Unknown") };
    let told = scene.told("arm", severity, &[("arm", severity, 1)]);
    let attributes = [
        ("hw.id", "mpidr 0x0000000080000001"),
        ("hw.type", "cpu"),
        ("hw.name", "CPU"),
        ("error.type", "processor_error"),
    ];
    told.check(13, &attributes, ["CPU", "ARM_GHES", kind]);
    told.check_details();
    // This machine has no such processor.
    assert!(!told.record.attributes.contains_key("cpu.logical_number"));
    let info = json!({
        "mpidr": "0x0000000080000001", "midr": "0x00000000410fd0c0", "running_state": "1",
        "psci_state": "0", "affinity_level": "1"
    });
    assert_eq!(told.info, info);
    assert_eq!(scene.on_page("arm_ghes"), [1.0, 1.0]);
}

#[test]
fn a_processor_over_its_threshold_is_told_once_and_counted_each_time() {
    if is_elsewhere("events_ras", "the module mce-inject") {
        return;
    }
    let scene = Scene::new();
    threshold_by_software().unwrap();
    let told = scene.told("mce_threshold", "corrected", &[("mce_threshold", "corrected", 1)]);
    let attributes = [
        ("hw.id", "cpu0"),
        ("hw.type", "cpu"),
        ("hw.name", "CPU"),
        ("cpu.logical_number", "0"),
        ("error.type", "threshold_reached"),
    ];
    told.check(13, &attributes, ["CPU", "MCE_THRESHOLD", "Corrected"]);
    told.check_details();
    assert_eq!(told.info, json!({ "vector": 249, "cpu": 0 }));
    threshold_by_software().unwrap();
    let collected = scene.collector.until(|got| {
        ensure_counts(got, &[("mce_threshold", "corrected", 2)])?;
        let held = got.suppressed(EVENT, "backoff");
        ensure!(held == 1.0, "{held} held back");
        Ok(got.records.iter().filter(|record| record.event_name == EVENT).count())
    });
    assert_eq!(collected.unwrap(), 1);
    assert_eq!(scene.on_page("thr"), [2.0, 2.0]);
}

#[test]
fn hardware_without_errors_is_silent() {
    let scene = Scene::new();
    let got = scene.collector.settled().unwrap();
    assert!(got.records.iter().all(|record| record.event_name != EVENT));
    ensure_counts(&got, &[]).unwrap();
    assert!(!scene.agent.event_file("ras").exists());
}
