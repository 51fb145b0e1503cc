// SPDX-License-Identifier: Apache-2.0
//! Hand-made records of each source, to the last attribute and field.

use std::time::Duration;

use ebpf::system_ras::records::{RAS_AER, RAS_ARM, RAS_EDAC, RAS_GHES, RAS_MCE, RAS_MCE_THRESHOLD};
use jiff::tz::TimeZone;
use semconv::{AttributeDef, attribute};
use serde_json::{Value as Json, json};

use super::decode::HardwareErrorEvents;
use crate::config::Config;
use crate::entity::Entities;
use crate::export::document::document;
use crate::hostfs::HostFs;
use crate::kernel::Symbols;
use crate::probes::{Decode, DecodeContext, KnownIssues, Malformed};
use crate::signal::{Event, Value};

/// A record as the program writes it.
struct Record(Vec<u8>);

impl Record {
    fn new(time_ns: u64, source: u32, severity: u32, cpu: i32) -> Self {
        let mut head = Self(Vec::new());
        head.u64s(&[time_ns]).u32s(&[source, severity, cpu.cast_unsigned(), 0]);
        head
    }

    fn u64s(&mut self, words: &[u64]) -> &mut Self {
        self.0.extend(words.iter().flat_map(|word| word.to_ne_bytes()));
        self
    }

    fn u32s(&mut self, words: &[u32]) -> &mut Self {
        self.0.extend(words.iter().flat_map(|word| word.to_ne_bytes()));
        self
    }

    /// Bytes, and zeros up to `length`.
    fn bytes(&mut self, bytes: &[u8], length: usize) -> &mut Self {
        self.0.extend(bytes.iter().copied().chain(std::iter::repeat(0)).take(length));
        self
    }
}

/// What a decoder makes of records: events, and how many are held back.
fn decoded(backoff: u64, records: &[&Record]) -> Result<(Vec<Event>, usize), Malformed> {
    let root = tempfile::tempdir().unwrap();
    let entities = Entities::discover(&Config::default(), &HostFs::new(root.path()));
    let (symbols, issues) = (Symbols::default(), KnownIssues::default());
    let mut cx = DecodeContext::new(&entities, &symbols, &issues);
    let mut decoder = HardwareErrorEvents::new(Duration::from_secs(backoff));
    for record in records {
        decoder.decode(&record.0, &mut cx)?;
    }
    let (events, suppressed) = cx.into_found();
    Ok((events, suppressed.len()))
}

/// The event of a record, and HUATUO's data of it with `info` parsed.
fn told(record: &Record) -> (Event, Json, Json) {
    let (mut events, _) = decoded(0, &[record]).unwrap();
    let event = events.remove(0);
    let mut data = document(&event, &TimeZone::UTC)["tracer_data"].take();
    assert_eq!(data["timestamp"], event.time);
    data.as_object_mut().unwrap().remove("timestamp");
    let info = data.as_object_mut().unwrap().remove("info").unwrap();
    (event, data, serde_json::from_str(info.as_str().unwrap()).unwrap())
}

fn text(event: &Event, key: &'static AttributeDef) -> String {
    event.get(key).and_then(Value::as_str).unwrap_or_default().to_owned()
}

#[test]
fn a_machine_check_has_its_registers() {
    let status = 0xbd00_0000_0000_009f;
    let mut record = Record::new(5, RAS_MCE, 2, 2);
    record.u64s(&[4096, 7, status, 0x1234, 1, 2, 3, 4, u64::MAX, 1_749_600_000]);
    record.u32s(&[0x50654, 18, 1]).bytes(&[0x33, 5, 0], 4);
    let (event, data, info) = told(&record);
    assert_eq!((event.severity.0, event.def.name), (18, "linux.ras.error"));
    assert_eq!(
        event.body,
        "recoverable error of CPU/MEM cpu2/bank5 (mce): memory_controller_error"
    );
    assert_eq!(
        event.attributes[..3],
        [
            (&attribute::LINUX_RAS_SOURCE, Value::Static("mce")),
            (&attribute::LINUX_RAS_SEVERITY, Value::Static("recoverable")),
            (&attribute::HW_NAME, "CPU/MEM".into()),
        ]
    );
    assert_eq!(
        event.attributes[4..],
        [
            (&attribute::HW_ID, "cpu2/bank5".into()),
            (&attribute::HW_TYPE, Value::Static("memory")),
            (&attribute::ERROR_TYPE, "memory_controller_error".into()),
            (&attribute::CPU_LOGICAL_NUMBER, Value::Int(2)),
        ]
    );
    let expected = json!({ "dev": "CPU/MEM", "event": "MCE", "type": "UncorrectedRecoverable" });
    assert_eq!(data, expected);
    // Numbers, even those that OpenTelemetry cannot say.
    assert_eq!(
        info,
        json!({
            "mcg_cpu_cap": 4096, "mcg_msr_status": 7, "banks_msr_status": status,
            "banks_msr_addr": 0x1234, "banks_msr_misc": 1, "mca_synd_msr": 2, "mca_ipid_msr": 3,
            "instr_pointer": 4, "tsc_timestamp": u64::MAX, "walltime": 1_749_600_000, "cpu": 2,
            "cpuid": 0x50654, "apicid": 18, "socketid": 1, "code_seg": 0x33, "bank": 5,
            "cpuvendor": 0
        })
    );
}

#[test]
fn an_error_of_memory_that_the_firmware_tells_of_is_no_processors() {
    let mut record = Record::new(5, RAS_MCE, 0, 2);
    record.u64s(&[0, 0, 0x9c00_0000_0000_009f, 0x1234, 0x8c, 0, 0, 0, 0, 0]);
    record.u32s(&[0, 0, 0]).bytes(&[0, 255, 0], 4);
    let (event, _, info) = told(&record);
    assert_eq!(event.body, "corrected error of CPU/MEM (mce): memory_controller_error");
    assert_eq!(text(&event, &attribute::HW_TYPE), "memory");
    for absent in [&attribute::HW_ID, &attribute::CPU_LOGICAL_NUMBER] {
        assert_eq!(event.get(absent), None);
    }
    // HUATUO has what the kernel filled in.
    assert_eq!((&info["bank"], &info["cpu"]), (&json!(255), &json!(2)));
}

#[test]
fn an_error_of_memory_has_its_module_and_place() {
    let mut record = Record::new(5, RAS_EDAC, 0, -1);
    record.u64s(&[0x8000_0000, 0xab]).u32s(&[3]).bytes(&[1, 0, 2, 0xff, 6], 12);
    record.bytes(b"memory read error", 128).bytes(b"CPU_SrcID#0_DIMM#1", 128).bytes(b"rank 1", 128);
    let (event, data, info) = told(&record);
    assert_eq!(event.severity.0, 13);
    assert_eq!(text(&event, &attribute::HW_ID), "CPU_SrcID#0_DIMM#1");
    assert_eq!(text(&event, &attribute::HW_TYPE), "memory");
    assert_eq!(event.get(&attribute::CPU_LOGICAL_NUMBER), None);
    assert_eq!(data, json!({ "dev": "MEM", "event": "EDAC", "type": "Corrected" }));
    assert_eq!(
        info,
        json!({
            "err_count": 3, "err_type": "Corrected", "err_msg": "memory read error",
            "label": "CPU_SrcID#0_DIMM#1", "mc_index": 1, "top_layer": 0, "mid_layer": 2,
            "low_layer": -1, "addr": 0x8000_0000_u64, "grain": 64, "syndrome": 0xab,
            "driver": "rank 1"
        })
    );
}

#[test]
fn a_section_of_the_firmware_has_its_data_as_far_as_they_were_recorded() {
    let section = [0x8f, 0x3b, 0x11, 0xe8, 0x10, 0x72, 0xcb, 0x45, 1, 2, 3, 4, 5, 6, 7, 8];
    let mut record = Record::new(5, RAS_GHES, 3, -1);
    record.bytes(&section, 16).bytes(&[], 16).bytes(b"slot 3", 24).u32s(&[3, 4]);
    record.bytes(&[0xde, 0xad, 0xbe, 0xef, 9], 512);
    let (event, data, info) = told(&record);
    assert_eq!(event.severity.0, 21);
    assert_eq!(text(&event, &attribute::HW_ID), "slot 3");
    assert_eq!(event.get(&attribute::HW_TYPE), None);
    assert_eq!(data, json!({ "dev": "ACPI", "event": "NON_STANDARD", "type": "UncorrectedFatal" }));
    assert_eq!(
        info,
        json!({
            "severity": 3, "sec_type": "e8113b8f-7210-45cb-0102-030405060708",
            "fru_id": "00000000-0000-0000-0000-000000000000", "fru_text": "slot 3",
            "data_len": 4, "raw_data": "deadbeef"
        })
    );
    // A length beyond what is there, and nothing that names the part.
    let mut record = Record::new(5, RAS_GHES, 4, -1);
    record.bytes(&section, 16).bytes(&[], 16).bytes(&[], 24).u32s(&[0, u32::MAX]).bytes(&[], 512);
    let (event, data, info) = told(&record);
    assert_eq!((event.severity.0, event.get(&attribute::HW_ID)), (9, None));
    assert_eq!((&data["type"], &info["data_len"]), (&json!("Info"), &json!(u32::MAX)));
    assert_eq!(info["raw_data"].as_str().unwrap().len(), 1024);
}

#[test]
fn an_error_of_a_device_has_all_its_reasons() {
    let mut record = Record::new(5, RAS_AER, 2, -1);
    record.u32s(&[0x0004_4000, 0, 0, 0, 0, 0]).bytes(b"0000:3b:00.0", 128);
    let (event, data, info) = told(&record);
    assert_eq!(event.severity.0, 18);
    assert_eq!(text(&event, &attribute::HW_ID), "0000:3b:00.0");
    assert_eq!(text(&event, &attribute::HW_TYPE), "pci");
    assert_eq!(text(&event, &attribute::ERROR_TYPE), "completion_timeout");
    assert_eq!(
        event.get(&attribute::LINUX_RAS_REASONS),
        Some(&Value::Array(vec!["completion_timeout".into(), "malformed_tlp".into()]))
    );
    assert_eq!(
        event.body,
        "recoverable error of PCIe 0000:3b:00.0 (aer): completion_timeout, malformed_tlp"
    );
    assert_eq!(
        data,
        json!({ "dev": "PCIe 0000:3b:00.0", "event": "AER", "type": "UncorrectedRecoverable" })
    );
    assert_eq!(
        info,
        json!({
            "dev_name": "0000:3b:00.0", "err_type": "UncorrectedRecoverable",
            "err_reason": "Completion Timeout, Malformed TLP", "tlp_header": "not available"
        })
    );
    let mut record = Record::new(5, RAS_AER, 3, -1);
    record.u32s(&[0x0010_0000, 1, 1, 2, 3, 0xff00_0000]).bytes(b"0000:00:01.0", 128);
    let (event, _, info) = told(&record);
    assert_eq!(event.get(&attribute::LINUX_RAS_REASONS), None);
    assert_eq!(info["tlp_header"], "0x00000001 0x00000002 0x00000003 0xff000000");
    assert_eq!(info["err_type"], "UncorrectedFatal");
}

#[test]
fn an_error_of_an_arm_processor_has_what_the_firmware_filled_in() {
    let mut record = Record::new(5, RAS_ARM, 5, -1);
    record.u64s(&[0x8100_0000, 0x410f_d0c0]).u32s(&[0b101, 1, 0, 7]);
    let (event, data, info) = told(&record);
    assert_eq!(event.severity.0, 13);
    assert_eq!(text(&event, &attribute::HW_ID), "mpidr 0x0000000081000000");
    assert_eq!(data, json!({ "dev": "CPU", "event": "ARM_GHES", "type": "Unknown" }));
    assert_eq!(
        info,
        json!({
            "mpidr": "0x0000000081000000", "midr": "0x00000000410fd0c0", "running_state": "1",
            "psci_state": "0"
        })
    );
    let mut record = Record::new(5, RAS_ARM, 0, 3);
    record.u64s(&[0, 1]).u32s(&[0b010, 0, 0, 7]);
    let (event, _, info) = told(&record);
    assert_eq!(text(&event, &attribute::HW_ID), "cpu3");
    assert_eq!(event.get(&attribute::CPU_LOGICAL_NUMBER), Some(&Value::Int(3)));
    assert_eq!(info, json!({ "midr": "0x0000000000000001", "affinity_level": "7" }));
}

#[test]
fn thresholds_that_come_again_soon_are_held_back_and_told_later() {
    let threshold = |seconds: u64| {
        let mut record = Record::new(seconds * 1_000_000_000, RAS_MCE_THRESHOLD, 0, 1);
        record.u32s(&[249, 0]);
        record
    };
    let records = [10, 11, 1809, 1811].map(threshold);
    let mut aer = Record::new(12_000_000_000, RAS_AER, 0, -1);
    aer.u32s(&[1, 0, 0, 0, 0, 0]).bytes(b"0000:00:01.0", 128);
    let [first, second, third, last] = &records;
    let (events, held) = decoded(1800, &[first, second, &aer, third, last]).unwrap();
    assert_eq!(held, 2);
    let suppressed = &attribute::HUATUO_EVENT_SUPPRESSED_BEFORE;
    let before: Vec<_> = events.iter().map(|event| event.get(suppressed).cloned()).collect();
    assert_eq!(before, [None, None, Some(Value::Int(2))]);
    let (event, data, info) = told(first);
    assert_eq!(event.severity.0, 13);
    assert_eq!(data, json!({ "dev": "CPU", "event": "MCE_THRESHOLD", "type": "Corrected" }));
    assert_eq!(info, json!({ "vector": 249, "cpu": 1 }));
}

#[test]
fn what_is_no_record_is_malformed() {
    let mut short = Record::new(5, RAS_AER, 0, 0);
    short.u32s(&[1, 2]);
    let mut long = Record::new(5, RAS_MCE_THRESHOLD, 0, 0);
    long.u32s(&[1, 2, 3]);
    let unknown = Record::new(5, 9, 0, 0);
    let mut severity = Record::new(5, RAS_MCE_THRESHOLD, 6, 0);
    severity.u32s(&[1, 2]);
    for record in [&short, &long, &unknown, &severity, &Record(Vec::new())] {
        assert_eq!(decoded(0, &[record]).unwrap_err(), Malformed);
    }
}
