// SPDX-License-Identifier: Apache-2.0
//! Errors that firmware tells the kernel of: a generic hardware error source (ACPI 6.5, 18.3.2.7)
//! with common platform error records (UEFI 2.10, appendix N). The lab's guest has a table with one
//! source at a fixed place in memory, where the kernel looks from time to time; a test writes there.

use std::fs::OpenOptions;
use std::iter::repeat;
use std::os::unix::fs::FileExt;
use std::time::Duration;

use anyhow::{Context, Result, ensure};

use crate::wait_for;

/// Physical address of a page that points to the record, which is in the next page.
pub const BASE: u64 = 0x3000_0000;
const RECORD: u64 = BASE + 0x1000;
const PAGE: u64 = 0x1000;
/// Milliseconds between two looks of the kernel.
const INTERVAL: u64 = 200;
/// Text of the vendor's error, which fills the field: no NUL ends it.
pub const SLOT: &str = "slot 3 of riser left";
/// Where memory failed: a page that the kernel has no use for.
pub const FAILED: u64 = BASE + 0x8000;

/// 27 November 2026, 12:30:59, in decimal digits.
const TIME: [u8; 8] = [0x59, 0x30, 0x12, 1, 0x27, 0x11, 0x26, 0x20];

/// What an error did. A fatal one would end the kernel.
#[derive(Debug, Clone, Copy)]
pub enum Severity {
    /// Nothing, but it happened.
    Corrected,
    /// Something is lost, and the machine goes on.
    Recoverable,
}

impl Severity {
    /// Its number, and the bit that says that a status block has such errors.
    fn numbers(self) -> (u64, u64) {
        match self {
            Severity::Corrected => (2, 1 << 1),
            Severity::Recoverable => (0, 1),
        }
    }
}

/// An error, by the kind of its record.
#[derive(Debug, Clone, Copy)]
pub enum Error {
    /// Of memory: `mce:mce_record`. Debian has no `ghes_edac`, which would make it `ras:mc_event`.
    Memory,
    /// Of an Arm processor: `ras:arm_event`.
    Processor,
    /// Of the device 0000:01:00.0, the one behind the first port: `ras:aer_event`.
    Pcie,
    /// Of something that only its vendor knows: `ras:non_standard_event`.
    Vendor,
}

impl Error {
    /// Makes the firmware tell of it; until the kernel has taken it.
    pub fn raise(self, severity: Severity) -> Result<()> {
        let memory = OpenOptions::new().read(true).write(true).open("/dev/mem")?;
        let record = self.record(severity);
        // The first word says that there is one.
        memory.write_all_at(&record[4..], RECORD + 4)?;
        memory.write_all_at(&RECORD.to_le_bytes(), BASE)?;
        memory.write_all_at(&record[..4], RECORD).context("write the record")?;
        wait_for(Duration::from_secs(3), || {
            let mut status = [0; 4];
            memory.read_exact_at(&mut status, RECORD)?;
            ensure!(status == [0; 4], "the kernel did not take the record of {self:?}");
            Ok(())
        })
    }

    /// A status block with one entry (ACPI, tables 18.11 and 18.12).
    fn record(self, severity: Severity) -> Vec<u8> {
        let (id, body) = self.section(severity);
        let (part, name) = self.part();
        let (number, kind) = severity.numbers();
        let length = body.len() as u64;
        let mut record =
            packed(&[(1 << 4 | kind, 4), (0, 4), (0, 4), (72 + length, 4), (number, 4)]);
        record.extend(guid(id));
        // Severity, revision, what is valid, flags, length; the part and its name, time.
        let valid = if part == 0 { 0 } else { 0b111 };
        record.extend(packed(&[(number, 4), (0x300, 2), (valid, 1), (0, 1), (length, 4)]));
        record.extend(guid(part));
        record.extend(name.bytes().chain(repeat(0)).take(20));
        record.extend(TIME);
        record.extend(body);
        record
    }

    /// What failed: an id, and a name for people.
    fn part(self) -> (u128, &'static str) {
        match self {
            Error::Vendor => (0x89abcdef_0123_4567_89ab_cdef01234567, SLOT),
            _ => (0, ""),
        }
    }

    /// Its type and its body (UEFI, N.2.4.4, N.2.5, N.2.7).
    fn section(self, severity: Severity) -> (u128, Vec<u8>) {
        match self {
            Error::Memory => (0xa5bc1114_6f64_4ede_b863_3e83ed7c83b1, memory()),
            Error::Processor => (0xe19e3d16_bc11_11e4_9caa_c2051d5d46b0, processor()),
            Error::Pcie => (0xd995e954_bbc1_430f_ad91_b44dcb3c6f35, pcie(severity)),
            Error::Vendor => (0x01234567_89ab_cdef_0123_456789abcdef, (0..32).collect()),
        }
    }
}

/// A single bit of DRAM: valid fields, status, address, mask; then node to row; type.
fn memory() -> Vec<u8> {
    let mut body = packed(&[(0x41ff, 8), (0x400, 8), (FAILED, 8), (!0xfff, 8)]);
    body.extend(packed(&[(0, 2), (1, 2), (2, 2), (3, 2), (4, 2), (5, 2)]));
    body.extend([0; 2 + 2 + 3 * 8]);
    body.extend(packed(&[(2, 1), (0, 7)]));
    body
}

/// A cache error: the processor, then what it says of the error.
fn processor() -> Vec<u8> {
    let mut body = packed(&[(0xf, 4), (1, 2), (0, 2), (72, 4), (1, 1), (0, 3)]);
    body.extend(packed(&[(0x8000_0001, 8), (0x410f_d0c0, 8), (1, 4), (0, 4)]));
    body.extend(packed(&[(0, 1), (32, 1), (0x1f, 2), (0, 1), (1, 2), (0, 1)]));
    body.extend(packed(&[(0x9100_0000_000f, 8), (0x1000, 8), (0x2000, 8)]));
    body
}

/// Two errors of a device at once: a receiver error and a bad packet; or a poisoned packet, whose
/// header is there, and an answer that did not come. Valid fields, kind of port, version; the device on
/// bus 1; its capability; its error registers.
fn pcie(severity: Severity) -> Vec<u8> {
    let (uncorrected, corrected) = match severity {
        Severity::Corrected => (0, 0x41),
        Severity::Recoverable => (0x5000, 0),
    };
    let mut body = packed(&[(0x8f, 8), (0, 4), (0x0301, 4), (0, 8)]);
    body.extend(packed(&[(0x1af4, 2), (0x1044, 2), (0, 7), (1, 1), (0, 4)]));
    body.extend([0; 8 + 4 + 60]);
    body.extend(packed(&[(0, 4), (uncorrected, 4), (0, 8), (corrected, 4), (0, 8)]));
    body.extend(packed(&[(1, 4), (2, 4), (3, 4), (4, 4)]));
    body.resize(208, 0);
    body
}

/// The table behind its header: one source.
pub fn table() -> Vec<u8> {
    let mut table = packed(&[(1, 4)]);
    // A generic source without relatives, enabled, with room for one record of one section.
    table.extend(packed(&[(9, 2), (0, 2), (0xffff, 2), (0, 1), (1, 1), (1, 4), (1, 4), (PAGE, 4)]));
    // Where the pointer is: 64 bits of memory.
    table.extend(packed(&[(0, 1), (64, 1), (0, 1), (4, 1), (BASE, 8)]));
    // How the kernel knows: it looks.
    table.extend(packed(&[(0, 1), (28, 1), (0, 2), (INTERVAL, 4), (0, 8), (0, 8), (0, 4)]));
    table.extend(packed(&[(PAGE, 4)]));
    table
}

/// Values with their lengths in bytes, least significant byte first.
fn packed(fields: &[(u64, usize)]) -> Vec<u8> {
    fields.iter().flat_map(|(value, length)| value.to_le_bytes()[..*length].to_vec()).collect()
}

/// The bytes of an identifier as UEFI orders them.
fn guid(id: u128) -> [u8; 16] {
    let mut bytes = id.to_be_bytes();
    bytes[..4].reverse();
    bytes[4..6].reverse();
    bytes[6..8].reverse();
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn records_and_the_table_have_the_lengths_of_their_standards() {
        assert_eq!(table().len(), 4 + 64);
        let length = |error: Error| error.section(Severity::Recoverable).1.len();
        assert_eq!(length(Error::Memory), 80);
        assert_eq!(length(Error::Processor), 72);
        assert_eq!(length(Error::Pcie), 208);
        for error in [Error::Vendor, Error::Memory] {
            assert_eq!(error.record(Severity::Corrected).len(), 20 + 72 + length(error));
        }
        assert_eq!(SLOT.len(), 20);
    }

    #[test]
    fn an_identifier_starts_with_its_numbers_turned_around() {
        let bytes = guid(0x01234567_89ab_cdef_0123_456789abcdef);
        assert_eq!(bytes[..8], [0x67, 0x45, 0x23, 0x01, 0xab, 0x89, 0xef, 0xcd]);
        assert_eq!(bytes[8..], [0x01, 0x23, 0x45, 0x67, 0x89, 0xab, 0xcd, 0xef]);
    }
}
