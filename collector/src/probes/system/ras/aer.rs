// SPDX-License-Identifier: Apache-2.0
//! Errors of PCIe devices: the bits of their status registers (PCI Express Base Specification,
//! Advanced Error Reporting; include/uapi/linux/pci_regs.h).

/// Bits of the Correctable Error Status Register.
const CORRECTABLE: &[(u32, &str)] = &[
    (0, "Receiver Error"),
    (6, "Bad TLP"),
    (7, "Bad DLLP"),
    (8, "REPLAY_NUM Rollover"),
    (12, "Replay Timer Timeout"),
    (13, "Advisory Non-Fatal Error"),
    (14, "Corrected Internal Error"),
    (15, "Header Log Overflow"),
];

/// Bits of the Uncorrectable Error Status Register.
const UNCORRECTABLE: &[(u32, &str)] = &[
    (0, "Undefined"),
    (4, "Data Link Protocol Error"),
    (5, "Surprise Down Error"),
    (12, "Poisoned TLP"),
    (13, "Flow Control Protocol Error"),
    (14, "Completion Timeout"),
    (15, "Completer Abort"),
    (16, "Unexpected Completion"),
    (17, "Receiver Overflow"),
    (18, "Malformed TLP"),
    (19, "ECRC Error"),
    (20, "Unsupported Request"),
    (21, "ACS Violation"),
    (22, "Uncorrectable Internal Error"),
    (23, "MC Blocked TLP"),
    (24, "AtomicOp Egress Blocked"),
    (25, "TLP Prefix Blocked Error"),
];

/// Names of the errors in a status register, which may be several.
pub(super) fn reasons(status: u32, is_correctable: bool) -> Vec<&'static str> {
    let bits = if is_correctable { CORRECTABLE } else { UNCORRECTABLE };
    let set = bits.iter().filter(|(bit, _)| status >> bit & 1 == 1);
    let names: Vec<_> = set.map(|(_, name)| *name).collect();
    if names.is_empty() { vec!["Unknown"] } else { names }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_bit_is_an_error_and_several_may_come_at_once() {
        assert_eq!(reasons(0x0004_4000, false), ["Completion Timeout", "Malformed TLP"]);
        assert_eq!(reasons(0x0000_0041, true), ["Receiver Error", "Bad TLP"]);
        assert_eq!(reasons(0x0000_0002, false), ["Unknown"]);
        assert_eq!(reasons(u32::MAX, true).len(), 8);
        assert_eq!(reasons(u32::MAX, false).len(), 17);
    }
}
