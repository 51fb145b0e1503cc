// SPDX-License-Identifier: Apache-2.0
//! Real container engines: Podman, and containerd with what Kubernetes' runtime interface (CRI)
//! writes down. Their containers have a busybox and nothing else.

use std::fs::{self, File};
use std::path::Path;
use std::process::{Child, Command, Output, Stdio};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use tempfile::TempDir;

use crate::cgroup::has_folders;
use crate::{installed, wait_for};

/// A root folder with a busybox.
fn root_folder() -> Result<TempDir> {
    let root = tempfile::tempdir()?;
    for folder in ["bin", "proc", "sys", "dev", "etc", "tmp"] {
        fs::create_dir(root.path().join(folder))?;
    }
    fs::copy(installed("busybox")?, root.path().join("bin/busybox"))?;
    for command in ["sh", "sleep", "tail"] {
        std::os::unix::fs::symlink("busybox", root.path().join("bin").join(command))?;
    }
    Ok(root)
}

fn checked(output: Output, what: &str) -> Result<String> {
    let error = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success(), "{what}: {error}");
    Ok(String::from_utf8(output.stdout)?.trim().to_owned())
}

/// One container of Podman; removed when dropped.
pub struct Podman {
    name: &'static str,
    root: TempDir,
}

impl Podman {
    /// A container of this name, which does not run yet.
    pub fn new(name: &'static str) -> Result<Self> {
        Ok(Self { name, root: root_folder()? })
    }

    /// Runs a command in it; the container's id.
    pub fn run(&self, options: &[&str], command: &[&str]) -> Result<String> {
        // Limits that a machine without CAP_SYS_RESOURCE can set, and no network to be made.
        let limits = ["--ulimit", "nofile=1024:1024", "--ulimit", "nproc=1000:1000"];
        let output = Command::new(installed("podman")?)
            .args(["--runtime", "runc", "--cgroup-manager", "cgroupfs", "run", "--detach"])
            .args(["--name", self.name, "--net", "none"])
            .args(limits)
            .args(options)
            .arg("--rootfs")
            .arg(self.root.path())
            .args(command)
            // Its monitor leaves a file where it was started when the container is out of memory.
            .current_dir(self.root.path())
            .output()?;
        checked(output, "podman run")
    }
}

impl Drop for Podman {
    fn drop(&mut self) {
        let remove = ["rm", "--force", "--time", "0", self.name];
        let _ = Command::new("podman").args(remove).output();
        // Its monitor ends after its container.
        let _ = remove_cgroups("libpod_parent/conmon");
    }
}

/// A containerd of our own; ended when dropped, with its containers.
pub struct Containerd {
    daemon: Child,
    folder: TempDir,
    root: TempDir,
    /// Ids, and cgroups.
    started: Vec<(String, String)>,
}

/// Where containerd keeps what runs, and where the agent looks for it.
const STATE: &str = "/run/containerd";

impl Containerd {
    /// Starts it.
    pub fn start() -> Result<Self> {
        let other = Path::new(STATE).join("containerd.sock");
        ensure!(!other.exists(), "{} exists: a containerd runs here already", other.display());
        let folder = tempfile::tempdir()?;
        let log = File::create(folder.path().join("log"))?;
        let daemon = Command::new(installed("containerd")?)
            .args(["--state", STATE, "--root"])
            .arg(folder.path().join("root"))
            .arg("--address")
            .arg(folder.path().join("sock"))
            .stdin(Stdio::null())
            .stdout(log.try_clone()?)
            .stderr(log)
            .spawn()?;
        let containerd = Self { daemon, folder, root: root_folder()?, started: Vec::new() };
        wait_for(Duration::from_secs(20), || containerd.ctr(&["version"]))
            .context("containerd does not answer")?;
        Ok(containerd)
    }

    /// Runs a container with this id in the cgroup at `path`, with annotations of its bundle.
    pub fn run(
        &mut self,
        id: &str,
        path: &str,
        notes: &[(&str, &str)],
        command: &[&str],
    ) -> Result<()> {
        let notes: Vec<String> =
            notes.iter().map(|(key, value)| format!("{key}={value}")).collect();
        let mut args = vec!["run", "--detach", "--null-io", "--cgroup", path];
        notes.iter().for_each(|note| args.extend(["--annotation", note.as_str()]));
        let root = self.root.path().display().to_string();
        args.extend(["--rootfs", &root, id]);
        args.extend(command);
        self.started.push((id.to_owned(), path.to_owned()));
        self.ctr(&args).map(drop)
    }

    /// Ends a container.
    pub fn kill(&self, id: &str) -> Result<()> {
        self.ctr(&["task", "kill", "--signal", "SIGKILL", id])?;
        wait_for(Duration::from_secs(10), || self.ctr(&["task", "rm", id])).map(drop)
    }

    fn ctr(&self, args: &[&str]) -> Result<String> {
        let output = Command::new(installed("ctr")?)
            .arg("--address")
            .arg(self.folder.path().join("sock"))
            .args(["--namespace", "k8s.io"])
            .args(args)
            .output()?;
        checked(output, "ctr")
    }
}

impl Drop for Containerd {
    fn drop(&mut self) {
        for (id, cgroup) in &self.started {
            let _ = self.kill(id);
            let _ = self.ctr(&["container", "rm", id]);
            let _ = remove_cgroups(cgroup);
        }
        let _ = self.daemon.kill();
        let _ = self.daemon.wait();
    }
}

/// Removes a cgroup and those above it from all hierarchies, unless others are below them: engines
/// make them and leave them.
fn remove_cgroups(path: &str) -> Result<()> {
    let root = Path::new("/sys/fs/cgroup");
    let hierarchies = fs::read_dir(root)?.flatten().map(|entry| entry.path());
    for hierarchy in hierarchies.chain([root.to_owned()]) {
        for below in Path::new(path.trim_start_matches('/')).ancestors() {
            let folder = hierarchy.join(below);
            if below == Path::new("") || !folder.exists() || has_folders(&folder) {
                continue;
            }
            wait_for(Duration::from_secs(2), || Ok(fs::remove_dir(&folder)?))?;
        }
    }
    Ok(())
}
