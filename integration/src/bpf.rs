// SPDX-License-Identifier: Apache-2.0
//! BPF objects of tests, and what bpftool tells of the agent's maps.

use std::fs;
use std::process::Command;

use anyhow::{Context, Result, ensure};
use serde_json::Value as Json;

use crate::{installed, root};

/// The bytes of an object of `bpf/`.
pub(crate) fn compiled(name: &str) -> Result<Vec<u8>> {
    let folder = tempfile::tempdir()?;
    let object = folder.path().join("compiled.o");
    let clang = Command::new(installed("clang")?)
        .args(["-target", "bpf", "-mcpu=v3", "-g", "-O2", "-D__TARGET_ARCH_x86", "-I"])
        .arg(root().join("ebpf/include"))
        .arg("-c")
        .arg(root().join(format!("integration/bpf/{name}.bpf.c")))
        .arg("-o")
        .arg(&object)
        .output()?;
    ensure!(clang.status.success(), "clang: {}", String::from_utf8_lossy(&clang.stderr));
    Ok(fs::read(&object)?)
}

/// Entries of all hash maps by cgroup that a process has open.
pub fn bpf_entries(pid: u32) -> Result<usize> {
    let mut sum = 0;
    for id in cgroup_maps(pid)? {
        let dump = bpftool(&["map", "dump", "id", &id])?;
        sum += dump.as_array().context("no list of entries")?.len();
    }
    Ok(sum)
}

fn cgroup_maps(pid: u32) -> Result<Vec<String>> {
    let mut found = Vec::new();
    for id in ids(pid, "map_id:")? {
        let map = bpftool(&["map", "show", "id", &id])?;
        if map["name"].as_str().is_some_and(|name| name.starts_with("cgroup_")) {
            found.push(id);
        }
    }
    ensure!(!found.is_empty(), "process {pid} has no map by cgroup");
    Ok(found)
}

/// What the descriptors of a process say behind a word (`/proc/<pid>/fdinfo`).
pub(crate) fn ids(pid: u32, word: &str) -> Result<Vec<String>> {
    let mut ids = Vec::new();
    for file in fs::read_dir(format!("/proc/{pid}/fdinfo"))? {
        let text = fs::read_to_string(file?.path()).unwrap_or_default();
        let id = text.lines().find_map(|line| line.strip_prefix(word));
        ids.extend(id.map(|id| id.trim().to_owned()));
    }
    Ok(ids)
}

fn bpftool(args: &[&str]) -> Result<Json> {
    let output = Command::new(installed("bpftool")?).arg("--json").args(args).output()?;
    let error = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success(), "bpftool {args:?}: {error}");
    Ok(serde_json::from_slice(&output.stdout)?)
}
