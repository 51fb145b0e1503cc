// SPDX-License-Identifier: Apache-2.0
//! The first process of a cgroup: it tells since when the cgroup counts, and what it can see.

use std::fs;
use std::path::Path;

use crate::hostfs::{HostFs, read};
use crate::kernel::{counter_start, ticks_per_second};
use crate::signal::UnixNanos;

/// Cgroups below a container's that are looked at: one that runs systemd has its processes there.
const MAX_DEPTH: usize = 3;

/// The first process in the cgroup, or in one below it (`cgroup.procs`).
pub fn first_process(folder: &Path) -> Option<u32> {
    first_below(folder, MAX_DEPTH)
}

fn first_below(folder: &Path, depth: usize) -> Option<u32> {
    let processes = read(&folder.join("cgroup.procs")).ok()?;
    // Processes of other pid namespaces are shown as 0.
    let mut ids = processes.lines().filter_map(|line| line.parse().ok());
    if let Some(id) = ids.find(|id| *id != 0) {
        return Some(id);
    }
    if depth == 0 {
        return None;
    }
    let children = fs::read_dir(folder).ok()?.flatten();
    let mut folders = children.filter(|child| child.file_type().is_ok_and(|kind| kind.is_dir()));
    folders.find_map(|child| first_below(&child.path(), depth - 1))
}

/// When a process started (field 22 of `/proc/<pid>/stat`, proc(5)).
pub(super) fn started(fs: &HostFs, pid: u32) -> Option<UnixNanos> {
    let stat = fs.read_proc(&format!("{pid}/stat")).ok()?;
    let behind_name = stat.rsplit_once(')')?.1;
    let ticks: u64 = behind_name.split_ascii_whitespace().nth(19)?.parse().ok()?;
    Some(counter_start(ticks.saturating_mul(1_000_000_000) / ticks_per_second()))
}
