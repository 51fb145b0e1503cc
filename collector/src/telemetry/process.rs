// SPDX-License-Identifier: Apache-2.0
//! What the agent's own process takes. Source: `/proc/self/stat`, `/proc/self/fd` (proc(5)).

use std::fs;
use std::path::Path;

use crate::kernel::ticks_per_second;

/// The agent's process at one moment.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct ProcessUsage {
    /// Seconds in user mode.
    pub user: f64,
    /// Seconds in the kernel.
    pub system: f64,
    /// Threads.
    pub threads: i64,
    /// Resident memory in bytes.
    pub resident: i64,
    /// Open descriptors.
    pub descriptors: i64,
}

impl ProcessUsage {
    /// `None` where `/proc` is not mounted.
    pub fn read() -> Option<Self> {
        let mut usage = parse(
            &fs::read_to_string("/proc/self/stat").ok()?,
            ticks_per_second() as f64,
            rustix::param::page_size() as i64,
        )?;
        usage.descriptors = descriptors()?;
        Some(usage)
    }
}

/// Since v6.2 the folder's size tells; before, it has none.
fn descriptors() -> Option<i64> {
    let folder = Path::new("/proc/self/fd");
    match fs::metadata(folder).ok()?.len() {
        // One of them is the folder that we count in.
        0 => Some(fs::read_dir(folder).ok()?.count() as i64 - 1),
        size => i64::try_from(size).ok(),
    }
}

/// Fields are counted behind the name, which may hold anything up to its last parenthesis.
fn parse(stat: &str, hertz: f64, page_size: i64) -> Option<ProcessUsage> {
    let fields: Vec<&str> = stat.rsplit_once(')')?.1.split_ascii_whitespace().collect();
    let number = |index: usize| fields.get(index)?.parse::<i64>().ok();
    Some(ProcessUsage {
        user: number(11)? as f64 / hertz,
        system: number(12)? as f64 / hertz,
        threads: number(17)?,
        resident: number(21)?.checked_mul(page_size)?,
        descriptors: 0,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_are_found_behind_a_name_with_blanks_and_parentheses() {
        let stat = "42 (a) b) c) S 1 1 1 0 -1 4194560 100 0 0 0 250 50 0 0 20 0 7 0 100 1000 2 \
                    18446744073709551615";
        let usage = parse(stat, 100.0, 4096).unwrap();
        assert_eq!((usage.user, usage.system), (2.5, 0.5));
        assert_eq!((usage.threads, usage.resident), (7, 8192));
        assert_eq!(parse("42 (short) S 1", 100.0, 4096), None);
        assert_eq!(parse("", 100.0, 4096), None);
    }

    #[test]
    fn our_own_process_has_memory_and_descriptors() {
        let usage = ProcessUsage::read().unwrap();
        assert!(usage.resident > 0 && usage.threads > 0 && usage.descriptors > 2);
    }
}
