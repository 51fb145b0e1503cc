// SPDX-License-Identifier: Apache-2.0
//! Disks by the numbers that the kernel gives them (`/sys/dev/block`).
//!
//! A path to a disk of NVMe multipath has a number that `/sys` does not show. Its requests are those
//! of the disk that it leads to (drivers/nvme/host/multipath.c: `nvme0c1n2` leads to `nvme0n2`).

use std::collections::HashMap;
use std::path::Path;
use std::sync::Arc;

use ebpf::block_latency::records::block_disk;
use semconv::attribute;

use super::Direction;
use crate::bpf::{MapError, Table};
use crate::hostfs::{HostFs, KeptFile};
use crate::probes::kernel_text;
use crate::signal::{Attribute, Value};

/// Disks, looked up once, and again when the kernel's devices have changed.
pub struct Disks {
    fs: HostFs,
    /// Grows with each device that comes, goes or is renamed (lib/kobject_uevent.c).
    changes: KeptFile,
    changes_seen: Option<u64>,
    /// By the number of a disk, or of a path to one.
    known: HashMap<u32, Option<Disk>>,
}

#[derive(Debug, Clone)]
struct Disk {
    device: u32,
    name: Arc<str>,
    number: Arc<str>,
}

impl Disks {
    pub fn new(fs: &HostFs) -> Self {
        let changes = KeptFile::new(fs.rooted(Path::new("/sys/kernel/uevent_seqnum")));
        Self { fs: fs.clone(), changes, changes_seen: None, known: HashMap::new() }
    }

    /// Disks come and go. `names` has what the kernel calls them.
    pub fn look_again(&mut self, names: &mut Table<u32, block_disk>) -> Result<(), MapError> {
        self.forget_if_devices_changed();
        for (device, named) in names.entries()? {
            if !self.is_there(device) && !self.add_path(device, &kernel_text(&named.name)) {
                names.remove(device)?;
            }
        }
        Ok(())
    }

    /// Comes before disks are looked up: one that comes meanwhile is a change again.
    fn forget_if_devices_changed(&mut self) {
        let changes = self.changes.read().ok().and_then(|text| text.trim().parse().ok());
        if changes.is_none() || changes != self.changes_seen {
            self.known.clear();
        }
        self.changes_seen = changes;
    }

    /// Remembers where a path leads; false where it leads to no disk.
    fn add_path(&mut self, device: u32, name: &str) -> bool {
        let Some(disk) = head(name).and_then(|head| look_up_by_name(&self.fs, &head)) else {
            return false;
        };
        self.known.insert(device, Some(disk));
        true
    }

    /// Number of the disk that this number is of; none if it is gone.
    pub fn served(&mut self, device: u32) -> Option<u32> {
        self.find(device).map(|disk| disk.device)
    }

    pub fn is_there(&mut self, device: u32) -> bool {
        self.find(device).is_some()
    }

    /// Numbers under which the kernel counts requests of a disk.
    pub fn numbers(&self, device: u32) -> Vec<u32> {
        let leads_there = |(number, disk): (&u32, &Option<Disk>)| {
            let is_path = *number != device && disk.as_ref()?.device == device;
            is_path.then_some(*number)
        };
        self.known.iter().filter_map(leads_there).chain([device]).collect()
    }

    pub fn directed(&mut self, (device, direction): (u32, Direction)) -> Option<Vec<Attribute>> {
        let direction = match direction {
            Direction::Read => "read",
            Direction::Write => "write",
        };
        let mut attributes = self.attributes(device)?;
        attributes.push((&attribute::DISK_IO_DIRECTION, Value::Static(direction)));
        Some(attributes)
    }

    pub fn attributes(&mut self, device: u32) -> Option<Vec<Attribute>> {
        let Disk { name, number, .. } = self.find(device)?;
        Some(vec![
            (&attribute::SYSTEM_DEVICE, Value::from(name)),
            (&attribute::LINUX_BLOCK_DEVICE, Value::from(number)),
        ])
    }

    fn find(&mut self, device: u32) -> Option<&Disk> {
        let fs = &self.fs;
        self.known.entry(device).or_insert_with(|| look_up(fs, device)).as_ref()
    }
}

fn look_up(fs: &HostFs, device: u32) -> Option<Disk> {
    let number = format!("{}:{}", device >> 20, device & 0xf_ffff);
    let link = fs.rooted(Path::new("/sys/dev/block")).join(&number);
    let target = std::fs::read_link(link).ok()?;
    let name = target.file_name()?.to_str()?;
    Some(Disk { device, name: name.into(), number: number.into() })
}

fn look_up_by_name(fs: &HostFs, name: &str) -> Option<Disk> {
    let file = fs.rooted(Path::new("/sys/block")).join(name).join("dev");
    let number = std::fs::read_to_string(file).ok()?;
    let (major, minor) = number.trim().split_once(':')?;
    let device = major.parse::<u32>().ok()? << 20 | minor.parse::<u32>().ok()?;
    Some(Disk { device, name: name.into(), number: number.trim().into() })
}

/// `nvme0c1n2` → `nvme0n2`; none where it is not named like a path.
fn head(name: &str) -> Option<String> {
    let (subsystem, rest) = name.strip_prefix("nvme")?.split_once('c')?;
    let (controller, namespace) = rest.split_once('n')?;
    let all = [subsystem, controller, namespace];
    let is_number = |part: &str| !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_digit());
    all.into_iter().all(is_number).then(|| format!("nvme{subsystem}n{namespace}"))
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::symlink;

    use super::*;

    #[test]
    fn a_disk_is_named_until_it_is_gone() {
        let root = tempfile::tempdir().unwrap();
        let folder = root.path().join("sys/dev/block");
        fs::create_dir_all(&folder).unwrap();
        symlink("../../devices/pci0000:00/nvme/nvme0n1", folder.join("259:1048575")).unwrap();
        let mut disks = Disks::new(&HostFs::new(root.path()));
        let device = 259 << 20 | 0xf_ffff;
        let disk = disks.find(device).unwrap();
        assert_eq!((&*disk.name, &*disk.number), ("nvme0n1", "259:1048575"));
        assert!(!disks.is_there(8 << 20));
        let changes = root.path().join("sys/kernel/uevent_seqnum");
        fs::create_dir_all(changes.parent().unwrap()).unwrap();
        fs::write(&changes, "7\n").unwrap();
        disks.forget_if_devices_changed();
        assert!(disks.is_there(device));
        fs::remove_file(folder.join("259:1048575")).unwrap();
        disks.forget_if_devices_changed();
        assert!(disks.is_there(device), "no device has changed");
        fs::write(&changes, "8\n").unwrap();
        disks.forget_if_devices_changed();
        assert!(disks.attributes(device).is_none());
    }

    #[test]
    fn a_path_is_the_disk_that_it_leads_to() {
        let root = tempfile::tempdir().unwrap();
        let folder = root.path().join("sys/block/nvme0n2");
        fs::create_dir_all(&folder).unwrap();
        fs::write(folder.join("dev"), "259:5\n").unwrap();
        let mut disks = Disks::new(&HostFs::new(root.path()));
        let (disk, path) = (259 << 20 | 5, 259 << 20 | 7);
        assert!(disks.add_path(path, "nvme0c1n2"));
        assert_eq!((disks.served(path), disks.numbers(disk)), (Some(disk), vec![path, disk]));
        assert_eq!(disks.attributes(path).unwrap()[0].1, Value::from("nvme0n2"));
        for name in ["nvme0c1n3", "nvme0n2", "nvme0c1n2p1", "nvmecn", "sda", "", "nvme0c1n/../n2"] {
            assert!(!disks.add_path(path, name), "{name}");
        }
    }
}
