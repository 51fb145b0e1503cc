// SPDX-License-Identifier: Apache-2.0
//! Cgroups as container runtimes make them, and real OOM kills in them.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use anyhow::{Context, Result, bail};

use crate::lab::{NullDisk, in_lab};
use crate::{root, wait_for};

/// Bytes that a process may take before it is killed.
pub const LIMIT: &str = "8388608";

/// Folders that outlive who made them, as others have cgroups below; who comes last removes them.
static SHARED: Mutex<BTreeSet<PathBuf>> = Mutex::new(BTreeSet::new());

/// A cgroup with little memory; removed when dropped.
pub struct Cgroup {
    folder: PathBuf,
    /// Its twins in the hierarchies of other controllers; v1 only.
    twins: Vec<PathBuf>,
    made: Vec<PathBuf>,
    v1: bool,
}

/// A process that the OOM killer killed.
#[derive(Debug, Clone, Copy)]
pub struct Killed {
    /// Its process id.
    pub pid: u32,
}

/// A process in a cgroup; killed when dropped.
pub struct Held(Child);

impl Held {
    /// Its process id.
    pub fn pid(&self) -> u32 {
        self.0.id()
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// This process in a cgroup; where all processes begin when dropped.
pub struct Inside(PathBuf);

impl Drop for Inside {
    fn drop(&mut self) {
        let _ = fs::write(&self.0, std::process::id().to_string());
    }
}

/// An id as container runtimes make them.
pub fn container_id(seed: u8) -> String {
    format!("{seed:02x}").repeat(32)
}

impl Cgroup {
    /// Makes the cgroup `path` below the root of the memory controller's hierarchy.
    pub fn new(path: &str) -> Result<Self> {
        let v1_root = Path::new("/sys/fs/cgroup/memory");
        let v2_root = Path::new("/sys/fs/cgroup");
        let v1 = v1_root.join("memory.limit_in_bytes").exists();
        let controllers =
            fs::read_to_string(v2_root.join("cgroup.controllers")).unwrap_or_default();
        let mut folder = match (v1, controllers.contains("memory")) {
            (true, _) => v1_root.to_owned(),
            (false, true) => v2_root.to_owned(),
            (false, false) => {
                bail!("no memory controller below /sys/fs/cgroup; OOM kills cannot be made here")
            }
        };
        let mut cgroup = Self { folder: PathBuf::new(), twins: Vec::new(), made: Vec::new(), v1 };
        for part in Path::new(path) {
            if !v1 {
                fs::write(folder.join("cgroup.subtree_control"), "+memory +cpu +cpuset +io")?;
            }
            folder.push(part);
            if !folder.exists() {
                fs::create_dir(&folder).with_context(|| format!("make {}", folder.display()))?;
                cgroup.made.push(folder.clone());
            }
        }
        let limit = if v1 { "memory.limit_in_bytes" } else { "memory.max" };
        fs::write(folder.join(limit), LIMIT)?;
        cgroup.folder = folder;
        Ok(cgroup)
    }

    /// The same with its CPU time counted and held to a share of one CPU, in percent.
    pub fn with_cpu(path: &str, percent: u32) -> Result<Self> {
        let mut cgroup = Self::new(path)?;
        let quota = percent * 1000;
        if !cgroup.v1 {
            fs::write(cgroup.folder.join("cpu.max"), format!("{quota} 100000"))?;
            return Ok(cgroup);
        }
        cgroup.twin(path, &["cpu", "cpuacct"])?;
        fs::write(cgroup.twins[0].join("cpu.cfs_quota_us"), quota.to_string())?;
        Ok(cgroup)
    }

    /// The same held to these CPUs, e.g. `0,2-3`.
    pub fn with_cpus(path: &str, cpus: &str) -> Result<Self> {
        let mut cgroup = Self::new(path)?;
        if !cgroup.v1 {
            fs::write(cgroup.folder.join("cpuset.cpus"), cpus)?;
            return Ok(cgroup);
        }
        let others = cgroup.made.len();
        cgroup.twin(path, &["cpuset"])?;
        // On v1 a new one has none, and may have only what the one above has.
        for folder in &cgroup.made[others..] {
            fs::write(folder.join("cpuset.cpus"), cpus)?;
        }
        Ok(cgroup)
    }

    /// The same with its block requests told apart from those of others.
    pub fn with_io(path: &str) -> Result<Self> {
        let mut cgroup = Self::new(path)?;
        if cgroup.v1 {
            cgroup.twin(path, &["blkio"])?;
        }
        Ok(cgroup)
    }

    /// Makes it in the hierarchies of other controllers too, where each has its own.
    fn twin(&mut self, path: &str, controllers: &[&str]) -> Result<()> {
        for controller in controllers {
            let mut folder = Path::new("/sys/fs/cgroup").join(controller);
            for part in Path::new(path) {
                folder.push(part);
                if !folder.exists() {
                    fs::create_dir(&folder)
                        .with_context(|| format!("make {}", folder.display()))?;
                    self.made.push(folder.clone());
                }
            }
            self.twins.push(folder);
        }
        Ok(())
    }

    /// A file of the cgroup: of the memory controller, or on v1 of `cpu` or `cpuacct`.
    pub fn read(&self, controller: &str, file: &str) -> Result<String> {
        let of = |folder: &&PathBuf| folder.components().any(|part| part.as_os_str() == controller);
        let folder = self.twins.iter().find(of).unwrap_or(&self.folder);
        let path = folder.join(file);
        fs::read_to_string(&path).with_context(|| format!("read {}", path.display()))
    }

    /// The memory controller is one of v1.
    pub fn is_v1(&self) -> bool {
        self.v1
    }

    /// Path below the hierarchy's root, as the agent shows it.
    pub fn path(&self) -> String {
        let below = self.folder.strip_prefix(self.root()).unwrap_or(&self.folder);
        format!("/{}", below.display())
    }

    /// Has a process take too much memory, and waits for its end.
    pub fn kill_one(&self) -> Result<Killed> {
        // `tail` keeps the last line, and /dev/zero is one endless line.
        let script =
            format!("echo $$ > {}/cgroup.procs && exec tail /dev/zero", self.folder.display());
        let mut child = Command::new("sh").arg("-c").arg(script).stdout(Stdio::null()).spawn()?;
        let pid = child.id();
        let status = child.wait()?;
        if status.success() {
            bail!("the process was not killed");
        }
        Ok(Killed { pid })
    }

    /// Runs a command in the cgroup, `copies` times at once, without limit of memory, and waits for
    /// all of them.
    pub fn run(&self, command: &str, copies: usize) -> Result<()> {
        self.lift_limit()?;
        self.run_within(command, copies)
    }

    /// The same within its limit of memory.
    pub fn run_within(&self, command: &str, copies: usize) -> Result<()> {
        let script = format!("{}exec {command}", self.join());
        let start = |_| Command::new("sh").arg("-c").arg(&script).spawn();
        let started = (0..copies).map(start).collect::<Result<Vec<_>, _>>()?;
        for mut child in started {
            child.wait()?;
        }
        Ok(())
    }

    /// Tasks that each take `mib` MiB of page cache within the limit of the cgroup, and have to give
    /// up what they took before.
    pub fn take_page_cache(&self, mib: u32, copies: usize) -> Result<()> {
        if in_lab() {
            // Its disk is memory, which cannot be reclaimed.
            let _disk = NullDisk::with("nr_devices=1")?;
            let read = format!("dd if=/dev/nullb0 of=/dev/null bs=1M count={mib} status=none");
            return self.run_within(&read, copies);
        }
        let folder = tempfile::tempdir_in(root().join("target"))?;
        // Each has a file of its own.
        let file = format!("{}/$$", folder.path().display());
        let write = format!("dd if=/dev/zero of={file} bs=1M count={mib} status=none");
        self.run_within(&write, copies)
    }

    /// Moves this process into the cgroup, without limit of memory.
    pub fn enter(&self) -> Result<Inside> {
        self.lift_limit()?;
        let process = std::process::id().to_string();
        fs::write(self.folder.join("cgroup.procs"), process)?;
        Ok(Inside(Path::new(self.root()).join("cgroup.procs")))
    }

    /// Of the hierarchy.
    fn root(&self) -> &'static str {
        if self.v1 { "/sys/fs/cgroup/memory" } else { "/sys/fs/cgroup" }
    }

    fn lift_limit(&self) -> Result<()> {
        let limit = if self.v1 { ("memory.limit_in_bytes", "-1") } else { ("memory.max", "max") };
        Ok(fs::write(self.folder.join(limit.0), limit.1)?)
    }

    /// Starts a command in the cgroup, without limit of memory.
    pub fn hold(&self, command: &str) -> Result<Held> {
        self.lift_limit()?;
        let script = format!("{}exec {command}", self.join());
        let mut shell = Command::new("sh");
        Ok(Held(shell.arg("-c").arg(script).stdout(Stdio::null()).spawn()?))
    }

    /// Commands of a shell that enter the cgroup.
    fn join(&self) -> String {
        let folders = self.twins.iter().chain([&self.folder]);
        folders.map(|folder| format!("echo $$ > {}/cgroup.procs && ", folder.display())).collect()
    }

    /// Removes the cgroup as soon as the kernel lets it go.
    pub fn remove(&mut self) -> Result<()> {
        let mut shared = SHARED.lock().unwrap_or_else(PoisonError::into_inner);
        shared.extend(self.made.drain(..));
        let mut removed = Ok(());
        // Those below come after those above.
        for folder in std::mem::take(&mut *shared).into_iter().rev() {
            if has_folders(&folder) {
                shared.insert(folder);
                continue;
            }
            let now = wait_for(Duration::from_secs(5), || Ok(fs::remove_dir(&folder)?));
            removed = removed.and(now.with_context(|| format!("remove {}", folder.display())));
        }
        removed
    }
}

/// Whether there are cgroups below it.
pub(crate) fn has_folders(folder: &Path) -> bool {
    fs::read_dir(folder).is_ok_and(|entries| entries.flatten().any(|entry| entry.path().is_dir()))
}

impl Drop for Cgroup {
    fn drop(&mut self) {
        let _ = self.remove();
    }
}
