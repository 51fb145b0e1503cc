// SPDX-License-Identifier: Apache-2.0
//! What bpftool tells of the agent's maps.

use std::process::Command;

use anyhow::{Context, Result, ensure};
use serde_json::Value as Json;

use crate::installed;

/// Entries of all hash maps by cgroup that a process has open.
pub fn bpf_entries(pid: u32) -> Result<usize> {
    let mut sum = 0;
    for id in cgroup_maps(pid)? {
        let dump = bpftool(&["map", "dump", "id", &id])?;
        sum += dump.as_array().context("no list of entries")?.len();
    }
    Ok(sum)
}

/// Ids of the maps, from the descriptors of the process (`/proc/<pid>/fdinfo`).
fn cgroup_maps(pid: u32) -> Result<Vec<String>> {
    let mut ids = Vec::new();
    for file in std::fs::read_dir(format!("/proc/{pid}/fdinfo"))? {
        let text = std::fs::read_to_string(file?.path()).unwrap_or_default();
        let id = text.lines().find_map(|line| line.strip_prefix("map_id:")).map(str::trim);
        let Some(id) = id else { continue };
        let map = bpftool(&["map", "show", "id", id])?;
        if map["name"].as_str().is_some_and(|name| name.starts_with("cgroup_")) {
            ids.push(id.to_owned());
        }
    }
    ensure!(!ids.is_empty(), "process {pid} has no map by cgroup");
    Ok(ids)
}

fn bpftool(args: &[&str]) -> Result<Json> {
    let output = Command::new(installed("bpftool")?).arg("--json").args(args).output()?;
    let error = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success(), "bpftool {args:?}: {error}");
    Ok(serde_json::from_slice(&output.stdout)?)
}
