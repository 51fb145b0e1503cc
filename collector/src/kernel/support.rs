// SPDX-License-Identifier: Apache-2.0
//! Facts about the running kernel, gathered once at start. Features are asked for, never versions.

use std::path::PathBuf;

use crate::hostfs::HostFs;

/// What this kernel can. Facts only; decisions are made from them elsewhere.
#[derive(Debug, Clone)]
pub struct KernelSupport {
    /// `/sys/kernel/btf/vmlinux` is there.
    pub btf: bool,
    /// Probes on kernel functions by breakpoint are built in.
    pub kprobes: bool,
    /// The memory controller is mounted as cgroup v1.
    pub memory_is_v1: bool,
    /// CPUs that may ever be online; per-CPU maps have a value for each.
    pub possible_cpus: usize,
    /// `events/` of tracefs, where it is mounted.
    tracepoints: Option<PathBuf>,
}

impl KernelSupport {
    /// Asks the running kernel. Hooks are always the running kernel's, so BTF and tracefs are read
    /// from the real `/sys`, whatever prefix is set for files.
    pub fn gather(fs: &HostFs) -> Self {
        Self {
            btf: PathBuf::from("/sys/kernel/btf/vmlinux").exists(),
            kprobes: PathBuf::from("/sys/bus/event_source/devices/kprobe").exists(),
            memory_is_v1: fs.controller("memory").is_some_and(|mount| mount.v1),
            possible_cpus: crate::bpf::possible_cpus(),
            tracepoints: ["/sys/kernel/tracing/events", "/sys/kernel/debug/tracing/events"]
                .map(PathBuf::from)
                .into_iter()
                .find(|folder| folder.is_dir()),
        }
    }

    /// Whether some subsystem has a tracepoint of that name; `None` where tracefs does not tell.
    pub fn has_tracepoint(&self, name: &str) -> Option<bool> {
        let systems = std::fs::read_dir(self.tracepoints.as_ref()?).ok()?;
        Some(systems.flatten().any(|system| system.path().join(name).is_dir()))
    }
}
