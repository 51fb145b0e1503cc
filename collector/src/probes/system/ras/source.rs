// SPDX-License-Identifier: Apache-2.0
//! What each source tells of an error. Keys of the details are HUATUO's.

use ebpf::system_ras::records::{
    RAS_CORRECTED, RAS_GUID_LEN, RAS_MCE_NO_BANK, ras_aer, ras_arm, ras_edac, ras_ghes, ras_mce,
    ras_threshold,
};
use uuid::Uuid;

use super::aer;
use crate::probes::kernel_text;
use crate::signal::Value;

/// An error in the words of the registry.
pub(super) struct Report {
    /// What failed, unique on this host.
    pub id: Option<String>,
    /// Whose error it is.
    pub cpu: Option<i32>,
    /// Its kind.
    pub kind: Option<&'static str>,
    /// Its name for people, as HUATUO has it.
    pub name: String,
    /// Why, the first the most telling.
    pub reasons: Vec<String>,
    /// The rest.
    pub details: Vec<(&'static str, Value)>,
}

/// A machine check.
pub(super) fn mce(error: &ras_mce) -> Report {
    let cpu = error.head.cpu;
    let reason = mca_reason(error.status);
    let is_memory = reason == MEMORY_CONTROLLER;
    let has_bank = u32::from(error.bank) != RAS_MCE_NO_BANK;
    Report {
        id: has_bank.then(|| format!("cpu{cpu}/bank{}", error.bank)),
        // Else the one that heard of it.
        cpu: has_bank.then_some(cpu),
        kind: Some(if is_memory { "memory" } else { "cpu" }),
        name: "CPU/MEM".to_owned(),
        reasons: vec![reason.to_owned()],
        details: vec![
            ("mcg_cpu_cap", Value::Bits(error.mcg_cap)),
            ("mcg_msr_status", Value::Bits(error.mcg_status)),
            ("banks_msr_status", Value::Bits(error.status)),
            ("banks_msr_addr", Value::Bits(error.address)),
            ("banks_msr_misc", Value::Bits(error.misc)),
            ("mca_synd_msr", Value::Bits(error.syndrome)),
            ("mca_ipid_msr", Value::Bits(error.ipid)),
            ("instr_pointer", Value::Bits(error.ip)),
            ("tsc_timestamp", Value::Bits(error.tsc)),
            ("walltime", Value::Int(error.wall_time.cast_signed())),
            ("cpu", Value::Int(cpu.into())),
            ("cpuid", error.cpuid.into()),
            ("apicid", error.apic_id.into()),
            ("socketid", error.socket_id.into()),
            ("code_seg", Value::Int(error.code_segment.into())),
            ("bank", Value::Int(error.bank.into())),
            ("cpuvendor", Value::Int(error.vendor.into())),
        ],
    }
}

const MEMORY_CONTROLLER: &str = "memory_controller_error";

/// The class of a machine check's error code, bits 0 to 15 of its status without the filter bit
/// (Intel SDM volume 3, "Interpreting Machine-Check Error Codes"; AMD's are alike).
fn mca_reason(status: u64) -> &'static str {
    match status & 0xefff {
        0x0005 => "internal_parity_error",
        0x000c..=0x000f | 0x0100..=0x01ff => "cache_error",
        0x0010..=0x001f => "tlb_error",
        0x0080..=0x00ff | 0x0280..=0x02ff => MEMORY_CONTROLLER,
        0x0400 => "internal_timer_error",
        0x0401..=0x07ff => "internal_error",
        0x0800..=0x0fff => "bus_error",
        _ => "unclassified_error",
    }
}

/// An error of a memory controller.
pub(super) fn edac(error: &ras_edac, severity: &'static str) -> Report {
    let label = kernel_text(&error.label);
    let [top, middle, low] = error.layers.map(|layer| Value::Int(layer.into()));
    let id = if label.is_empty() { format!("mc{}", error.controller) } else { label.clone() };
    Report {
        id: Some(id),
        cpu: None,
        kind: Some("memory"),
        name: "MEM".to_owned(),
        reasons: vec!["memory_error".to_owned()],
        details: vec![
            ("err_count", error.count.into()),
            ("err_type", Value::Static(severity)),
            ("err_msg", kernel_text(&error.message).into()),
            ("label", label.into()),
            ("mc_index", Value::Int(error.controller.into())),
            ("top_layer", top),
            ("mid_layer", middle),
            ("low_layer", low),
            ("addr", Value::Bits(error.address)),
            ("grain", Value::Int(1_i64.checked_shl(error.grain_bits.into()).unwrap_or(0))),
            ("syndrome", Value::Bits(error.syndrome)),
            ("driver", kernel_text(&error.driver).into()),
        ],
    }
}

/// A section of the firmware that the kernel has no name for: only its vendor knows what it means.
pub(super) fn ghes(error: &ras_ghes) -> Report {
    let fru_text = kernel_text(&error.fru_text);
    let fru_id = guid(error.fru_id);
    let is_nil = error.fru_id == [0; RAS_GUID_LEN as usize];
    let length = error.data.len().min(usize::try_from(error.length).unwrap_or(usize::MAX));
    let id = if fru_text.is_empty() { fru_id.clone() } else { fru_text.clone() };
    Report {
        id: (!is_nil || !fru_text.is_empty()).then_some(id),
        cpu: None,
        kind: None,
        name: "ACPI".to_owned(),
        reasons: vec!["vendor_specific_error".to_owned()],
        details: vec![
            ("severity", error.severity.into()),
            ("sec_type", guid(error.section_type).into()),
            ("fru_id", fru_id.into()),
            ("fru_text", fru_text.into()),
            ("data_len", error.length.into()),
            ("raw_data", hex(error.data.get(..length).unwrap_or_default()).into()),
        ],
    }
}

/// As the kernel prints it: the first three groups have their low byte first.
fn guid(bytes: [u8; RAS_GUID_LEN as usize]) -> String {
    Uuid::from_bytes_le(bytes).to_string()
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// An error of a PCIe device.
pub(super) fn aer(error: &ras_aer, severity: &'static str) -> Report {
    let device = kernel_text(&error.device);
    let reasons = aer::reasons(error.status, error.head.severity == RAS_CORRECTED);
    let header = if error.has_tlp_header == 0 {
        "not available".to_owned()
    } else {
        error.tlp_header.map(|word| format!("{word:#010x}")).join(" ")
    };
    Report {
        id: Some(device.clone()),
        cpu: None,
        kind: Some("pci"),
        name: format!("PCIe {device}"),
        reasons: reasons.iter().map(|reason| snake_case(reason)).collect(),
        details: vec![
            ("dev_name", device.into()),
            ("err_type", Value::Static(severity)),
            ("err_reason", reasons.join(", ").into()),
            ("tlp_header", header.into()),
        ],
    }
}

/// `Advisory Non-Fatal Error` → `advisory_non_fatal_error`
fn snake_case(name: &str) -> String {
    let lower = |c: char| if c.is_ascii_alphanumeric() { c.to_ascii_lowercase() } else { '_' };
    name.chars().map(lower).collect()
}

/// Corrected errors of a CPU are over their threshold.
pub(super) fn threshold(error: &ras_threshold) -> Report {
    let cpu = error.head.cpu;
    Report {
        id: Some(format!("cpu{cpu}")),
        cpu: Some(cpu),
        kind: Some("cpu"),
        name: "CPU".to_owned(),
        reasons: vec!["threshold_reached".to_owned()],
        details: vec![("vector", error.vector.into()), ("cpu", Value::Int(cpu.into()))],
    }
}

/// `CPER_ARM_VALID_*` (include/linux/cper.h).
const VALID_MPIDR: u32 = 1;
const VALID_AFFINITY: u32 = 1 << 1;
const VALID_STATES: u32 = 1 << 2;

/// An error of an ARM processor. What the firmware did not fill in is left out.
pub(super) fn arm(error: &ras_arm) -> Report {
    let register = |value: u64| Some(format!("{value:#018x}"));
    let if_valid = |bit: u32, text: String| (error.valid & bit != 0).then_some(text);
    let details = [
        ("mpidr", register(error.mpidr).filter(|_| error.valid & VALID_MPIDR != 0)),
        ("midr", register(error.midr)),
        ("running_state", if_valid(VALID_STATES, error.running_state.to_string())),
        ("psci_state", if_valid(VALID_STATES, error.psci_state.to_string())),
        ("affinity_level", if_valid(VALID_AFFINITY, error.affinity.to_string())),
    ];
    let details: Vec<_> =
        details.into_iter().filter_map(|(key, text)| Some((key, Value::from(text?)))).collect();
    let cpu = Some(error.head.cpu).filter(|cpu| *cpu >= 0);
    let by_register = if_valid(VALID_MPIDR, format!("mpidr {:#018x}", error.mpidr));
    Report {
        id: cpu.map(|cpu| format!("cpu{cpu}")).or(by_register),
        cpu,
        kind: Some("cpu"),
        name: "CPU".to_owned(),
        reasons: vec!["processor_error".to_owned()],
        details,
    }
}
