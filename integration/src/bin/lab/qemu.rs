// SPDX-License-Identifier: Apache-2.0
//! The machine that is booted: its devices and the kernel's parameters.

use std::fs::{self, File};
use std::path::{Path, PathBuf};

use anyhow::Result;
use integration::lab::firmware;

use super::image;
use super::kernel::Kernel;

/// Bytes of the scratch disk; they take no room until they are written.
const DISK: u64 = 512 << 20;
/// Bytes of the disk behind NVMe.
const NVME: u64 = 64 << 20;

/// Files of one run.
pub struct Files {
    folder: PathBuf,
}

impl Files {
    /// What the guest needs, in an empty folder.
    pub fn new(folder: &Path, kernel: &Kernel, script: &str) -> Result<Self> {
        let files = Self { folder: folder.to_owned() };
        fs::create_dir(files.out())?;
        fs::write(files.out().join("script"), script)?;
        fs::write(files.at("hest"), firmware::table())?;
        File::create(files.at("disk"))?.set_len(DISK)?;
        File::create(files.at("nvme"))?.set_len(NVME)?;
        image::first_root(kernel, &files.at("first-root"))?;
        Ok(files)
    }

    /// Shared with the guest, which writes there.
    pub fn out(&self) -> PathBuf {
        self.at("out")
    }

    /// What the kernel printed.
    pub fn console(&self) -> PathBuf {
        self.at("console")
    }

    /// What QEMU complained of.
    pub fn complaints(&self) -> PathBuf {
        self.at("complaints")
    }

    /// Socket of the guest's requests to the monitor.
    pub fn requests(&self) -> PathBuf {
        self.at("requests")
    }

    /// Socket of the monitor that serves the guest.
    pub fn guest_monitor(&self) -> PathBuf {
        self.at("guest-monitor")
    }

    /// Socket of the monitor that serves the lab itself.
    pub fn lab_monitor(&self) -> PathBuf {
        self.at("lab-monitor")
    }

    fn at(&self, name: &str) -> PathBuf {
        self.folder.join(name)
    }

    /// Arguments of QEMU.
    pub fn arguments(&self, kernel: &Kernel) -> Vec<String> {
        let modules = kernel.folder.join("lib/modules").join(&kernel.release);
        let mut all = machine();
        let mut add = |option: &str, value: String| all.extend([option.to_owned(), value]);
        add("-append", parameters());
        add("-kernel", kernel.folder.join("vmlinux").display().to_string());
        add("-initrd", self.at("first-root").display().to_string());
        add("-acpitable", format!("sig=HEST,rev=1,data={}", self.at("hest").display()));
        // ttyS0, 1 and 2: the kernel, the tests, requests to the monitor.
        add("-serial", format!("file:{}", self.console().display()));
        add("-serial", "file:/dev/stdout".to_owned());
        let socket = |path: &Path| format!("{},server=on,wait=off", path.display());
        add("-chardev", format!("socket,id=requests,path={}", socket(&self.requests())));
        add("-serial", "chardev:requests".to_owned());
        add("-qmp", format!("unix:{}", socket(&self.guest_monitor())));
        add("-qmp", format!("unix:{}", socket(&self.lab_monitor())));
        add("-virtfs", share(&self.out(), "out", ""));
        add("-virtfs", share(Path::new("/"), "host", ",readonly=on"));
        add("-virtfs", share(&modules, "modules", ",readonly=on"));
        for (file, id) in [("disk", "scratch"), ("nvme", "namespace")] {
            let path = self.at(file).display().to_string();
            add("-drive", format!("file={path},format=raw,if=none,id={id},cache=unsafe"));
        }
        all
    }
}

fn share(path: &Path, tag: &str, options: &str) -> String {
    let path = path.display();
    format!("local,path={path},mount_tag={tag},security_model=none,multidevs=remap{options}")
}

/// The board and its devices. Those with PCI Express errors and power of their own are behind ports.
fn machine() -> Vec<String> {
    let pairs = [
        ["-machine", "q35"],
        ["-accel", "tcg,thread=multi"],
        ["-cpu", "max"],
        ["-smp", "2"],
        ["-m", "3G"],
        ["-display", "none"],
        ["-device", "virtio-blk-pci,drive=scratch,id=scratch0"],
        // A disk that could have more paths, as those of servers.
        ["-device", "nvme-subsys,id=subsystem0"],
        ["-device", "nvme,serial=lab,subsys=subsystem0,id=controller0"],
        ["-device", "nvme-ns,drive=namespace,bus=controller0,shared=on"],
        ["-device", "pcie-root-port,id=port0,chassis=1,slot=1"],
        ["-device", "virtio-rng-pci,aer=on,bus=port0,id=pcie0"],
        ["-device", "pcie-root-port,id=port1,chassis=2,slot=2"],
        ["-device", "e1000e,bus=port1,id=nic0"],
        // Two cards on one cable.
        ["-netdev", "hubport,id=end0,hubid=0"],
        ["-netdev", "hubport,id=end1,hubid=0"],
        ["-device", "e1000,netdev=end0"],
        ["-device", "vmxnet3,netdev=end1"],
    ];
    let flags = ["-nodefaults", "-no-user-config", "-no-reboot"];
    pairs.concat().into_iter().chain(flags).map(str::to_owned).collect()
}

fn parameters() -> String {
    // Firmware's error records have memory of their own.
    format!(
        "console=ttyS0 panic=-1 mitigations=off random.trust_cpu=on no_timer_check tsc=reliable \
         net.ifnames=0 sysrq_always_enabled=1 memmap=64K${:#x}",
        firmware::BASE
    )
}
