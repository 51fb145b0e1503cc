// SPDX-License-Identifier: Apache-2.0
//! The scratch disk, made slow or frozen.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use memmap2::{MmapMut, MmapOptions};
use tempfile::{NamedTempFile, TempDir};

use super::kernel::Setting;
use super::{in_lab, modprobe, monitor, shell};
use crate::wait_for;

/// What QEMU calls it.
const DRIVE: &str = "scratch";

/// Where the scratch disk is: 512 MiB, empty or with what the last test left.
pub fn scratch_disk() -> Result<&'static Path> {
    modprobe("virtio_blk")?;
    let path = Path::new("/dev/vda");
    ensure!(path.exists(), "no {}", path.display());
    Ok(path)
}

/// A new ext4, on the scratch disk or outside of the lab on a file; unmounted when dropped.
pub struct Scratch {
    folder: TempDir,
    _image: Option<NamedTempFile>,
}

impl Scratch {
    /// Makes and mounts it.
    pub fn mounted() -> Result<Self> {
        let folder = tempfile::tempdir()?;
        let at = folder.path().display();
        if in_lab() {
            modprobe("ext4")?;
            let disk = scratch_disk()?.display();
            shell(&format!("mkfs.ext4 -qF {disk} && mount {disk} {at}"))?;
            return Ok(Self { folder, _image: None });
        }
        let image = NamedTempFile::new()?;
        image.as_file().set_len(16 << 20)?;
        let file = image.path().display();
        shell(&format!("mkfs.ext4 -qF {file} && mount -o loop {file} {at}"))?;
        Ok(Self { folder, _image: Some(image) })
    }

    /// Where it is mounted.
    pub fn path(&self) -> &Path {
        self.folder.path()
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = shell(&format!("umount {}", self.path().display()));
    }
}

/// A task that waits uninterruptibly, as its file system is frozen; both go on when dropped.
pub struct HungTask {
    writer: Child,
    scratch: Scratch,
    _timeout: Setting,
}

impl HungTask {
    /// The kernel tells of tasks that wait for over this many seconds from then on; those it tells of
    /// have waited for up to twice as long.
    pub fn new(seconds: u32) -> Result<Self> {
        let scratch = Scratch::mounted()?;
        let timeout = "/proc/sys/kernel/hung_task_timeout_secs";
        let timeout = Setting::new(timeout, &seconds.to_string())?;
        let folder = scratch.path();
        shell(&format!("fsfreeze -f {}", folder.display()))?;
        let mut write = Command::new("dd");
        write.args(["if=/dev/zero", "count=1", "status=none"]);
        write.arg(format!("of={}", folder.join("blocked").display())).stderr(Stdio::null());
        let hung = Self { writer: write.spawn()?, scratch, _timeout: timeout };
        wait_for(Duration::from_secs(5), || {
            let status = fs::read_to_string(format!("/proc/{}/status", hung.pid()))?;
            ensure!(status.contains("\nState:\tD"), "the writer does not wait");
            Ok(())
        })?;
        Ok(hung)
    }

    /// Its process id.
    pub fn pid(&self) -> u32 {
        self.writer.id()
    }
}

impl Drop for HungTask {
    fn drop(&mut self) {
        let _ = shell(&format!("fsfreeze -u {}", self.scratch.path().display()));
        let _ = self.writer.wait();
    }
}

/// The scratch disk behind the device mapper, which holds back each read; removed when dropped.
pub struct SlowDisk {
    /// Its device file.
    pub path: PathBuf,
}

impl SlowDisk {
    /// Reads take this long at least.
    pub fn new(delay: Duration) -> Result<Self> {
        modprobe("dm-delay")?;
        let (disk, delay) = (scratch_disk()?.display(), delay.as_millis());
        let size = shell(&format!("blockdev --getsz {disk}"))?;
        let table = format!("0 {size} delay {disk} 0 {delay}");
        shell(&format!("dmsetup create --noudevsync slow --table '{table}'"))?;
        let name = shell("dmsetup info -c --noheadings -o blkdevname slow")?;
        Ok(Self { path: Path::new("/dev").join(name) })
    }

    /// A page of memory that is on the disk still: who touches it first waits for the disk.
    #[allow(unsafe_code, reason = "nobody writes to this disk, so nobody changes the memory")]
    pub fn page(&self) -> Result<MmapMut> {
        let disk = File::open(&self.path)?;
        Ok(unsafe { MmapOptions::new().len(4096).map_copy(&disk) }?)
    }
}

impl Drop for SlowDisk {
    fn drop(&mut self) {
        let _ = shell("dmsetup remove --noudevsync slow");
    }
}

/// A part of the scratch disk; the disk has none again when dropped.
pub struct Partition {
    /// Its device file.
    pub path: PathBuf,
}

impl Partition {
    /// 64 MiB that begin after the first. Only the kernel knows of it, not the disk.
    pub fn of_scratch_disk() -> Result<Self> {
        let disk = scratch_disk()?.display();
        shell(&format!("addpart {disk} 1 2048 131072"))?;
        let partition = Self { path: format!("{disk}1").into() };
        ensure!(partition.path.exists(), "no {}", partition.path.display());
        Ok(partition)
    }
}

impl Drop for Partition {
    fn drop(&mut self) {
        if let Ok(disk) = scratch_disk() {
            let _ = shell(&format!("delpart {} 1", disk.display()));
        }
    }
}

/// An NVMe disk whose driver could have more paths to it; the driver is gone when dropped.
pub struct NvmeDisk {
    /// Its device file.
    pub path: PathBuf,
    /// What the kernel calls the path, which has no file.
    pub below: String,
}

impl NvmeDisk {
    /// Loads the driver.
    pub fn new() -> Result<Self> {
        modprobe("nvme")?;
        let (path, below) = (PathBuf::from("/dev/nvme0n1"), "nvme0c0n1".to_owned());
        let is_there = || path.exists() && Path::new("/sys/block").join(&below).exists();
        wait_for(Duration::from_secs(10), || {
            ensure!(is_there(), "no {} by {below}", path.display());
            Ok(())
        })?;
        Ok(Self { path, below })
    }
}

impl Drop for NvmeDisk {
    fn drop(&mut self) {
        let _ = shell("modprobe -r nvme");
    }
}

/// `/dev/nullb0`, a disk without memory; removed when dropped.
pub struct NullDisk;

impl NullDisk {
    /// With these parameters of the module `null_blk`.
    pub fn with(parameters: &str) -> Result<Self> {
        let is_there = Path::new("/sys/module/null_blk").exists();
        ensure!(!is_there, "another test left null_blk, with its own parameters");
        modprobe(&format!("null_blk {parameters}"))?;
        Ok(Self)
    }
}

impl Drop for NullDisk {
    fn drop(&mut self) {
        let _ = shell("modprobe -r null_blk");
    }
}

/// The scratch disk with few requests a second; as fast as before when dropped.
pub struct Throttled;

impl Throttled {
    /// QEMU holds back what is over.
    pub fn to(requests_per_second: u32) -> Result<Self> {
        scratch_disk()?;
        throttle(requests_per_second).context("throttle")?;
        Ok(Self)
    }
}

impl Drop for Throttled {
    fn drop(&mut self) {
        let _ = throttle(0);
    }
}

/// Bytes a second, of reads, of writes; requests, of reads, of writes: 0 is no limit.
fn throttle(requests: u32) -> Result<()> {
    monitor(&format!("block_set_io_throttle {DRIVE} 0 0 0 {requests} 0 0")).map(drop)
}
