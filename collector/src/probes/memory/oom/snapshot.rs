// SPDX-License-Identifier: Apache-2.0
//! What the memory was used for, as the host and the cgroup tell right after a kill.
//! Source: `/proc/meminfo`, `memory.stat` of the cgroup.

use crate::hostfs::{CgroupMount, HostFs, parse, read};
use crate::probes::memory::cgroup;
use crate::signal::Value;

/// Words of `/proc/meminfo` that tell where the memory is.
const OF_HOST: &[&str] = &[
    "MemTotal",
    "MemFree",
    "MemAvailable",
    "Buffers",
    "Cached",
    "SwapCached",
    "Active",
    "Inactive",
    "Active(anon)",
    "Inactive(anon)",
    "Active(file)",
    "Inactive(file)",
    "Unevictable",
    "Mlocked",
    "SwapTotal",
    "SwapFree",
    "Dirty",
    "Writeback",
    "AnonPages",
    "Mapped",
    "Shmem",
    "Slab",
    "SReclaimable",
    "SUnreclaim",
    "KernelStack",
    "PageTables",
];

/// Words of `memory.stat` that do, as v2 calls them.
const OF_CGROUP: &[&str] = &[
    "anon",
    "file",
    "kernel",
    "kernel_stack",
    "pagetables",
    "percpu",
    "sock",
    "vmalloc",
    "shmem",
    "file_mapped",
    "file_dirty",
    "file_writeback",
    "swap",
    "swapcached",
    "inactive_anon",
    "active_anon",
    "inactive_file",
    "active_file",
    "unevictable",
    "slab_reclaimable",
    "slab_unreclaimable",
];

/// Reads the files.
pub struct Snapshot {
    fs: HostFs,
    mount: Option<CgroupMount>,
}

impl Snapshot {
    /// Of the host whose files these are.
    pub fn new(fs: &HostFs) -> Self {
        Self { fs: fs.clone(), mount: fs.controller("memory") }
    }

    /// Memory of the host in bytes.
    pub fn host(&self) -> Option<Value> {
        let text = self.fs.read_proc("meminfo").ok()?;
        map(OF_HOST, parse::memory(&text))
    }

    /// Memory of the cgroup at `path` in bytes; `None` where it is gone, and for the root, which is
    /// the host.
    pub fn cgroup(&self, path: &str) -> Option<Value> {
        let path = path.trim_start_matches('/');
        let mount = self.mount.as_ref().filter(|_| !path.is_empty())?;
        let text = read(&self.fs.rooted(&mount.root).join(path).join("memory.stat")).ok()?;
        map(OF_CGROUP, cgroup::words(&text, mount.v1))
    }
}

/// Those of the fields that are wanted.
fn map<'a>(wanted: &[&'static str], fields: impl Iterator<Item = (&'a str, u64)>) -> Option<Value> {
    let pair = |(word, bytes)| {
        let key = wanted.iter().find(|wanted| **wanted == word)?;
        Some((*key, Value::Int(i64::try_from(bytes).ok()?)))
    };
    let pairs: Vec<_> = fields.filter_map(pair).collect();
    (!pairs.is_empty()).then_some(Value::Map(pairs))
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    #[test]
    fn words_are_in_bytes_under_their_names_of_v2_and_what_is_gone_is_absent() {
        let root = tempfile::tempdir().unwrap();
        let at = |path: &str| root.path().join(path);
        fs::create_dir_all(at("proc/self")).unwrap();
        fs::write(at("proc/self/mounts"), "cgroup /cg cgroup rw,memory 0 0\n").unwrap();
        fs::write(at("proc/meminfo"), "MemTotal: 16 kB\nHugePages_Total: 3\nMlocked: 1 kB\n")
            .unwrap();
        fs::create_dir_all(at("cg/docker/x")).unwrap();
        let stat = "cache 1\ntotal_cache 4096\ntotal_rss 8192\ntotal_pgfault 7\n";
        fs::write(at("cg/docker/x/memory.stat"), stat).unwrap();
        fs::write(at("cg/memory.stat"), stat).unwrap();
        let snapshot = Snapshot::new(&HostFs::new(root.path()));
        let map = |pairs: [(&'static str, i64); 2]| {
            Some(Value::Map(pairs.map(|(key, bytes)| (key, Value::Int(bytes))).to_vec()))
        };
        assert_eq!(snapshot.host(), map([("MemTotal", 16384), ("Mlocked", 1024)]));
        assert_eq!(snapshot.cgroup("/docker/x"), map([("file", 4096), ("anon", 8192)]));
        assert_eq!(snapshot.cgroup("/docker/gone"), None);
        assert_eq!(snapshot.cgroup("/"), None);
    }
}
