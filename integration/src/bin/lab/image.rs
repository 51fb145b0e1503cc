// SPDX-License-Identifier: Apache-2.0
//! What QEMU boots: the kernel unpacked, which saves decompressing it in emulation, and a first root
//! with what is needed to reach this machine's.

use std::collections::HashMap;
use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail};
use integration::installed;

use super::kernel::{Kernel, run};

/// Modules that reach the root.
const MODULES: [&str; 4] = ["virtio_pci", "9pnet_virtio", "9p", "overlay"];

/// How kernels are compressed: the first bytes, and what undoes it.
const COMPRESSIONS: [(&[u8], &str); 3] =
    [(b"\xfd7zXZ\0", "xz"), (b"\x28\xb5\x2f\xfd", "zstd"), (b"\x1f\x8b\x08", "gzip")];

/// The ELF file inside of a `vmlinuz`.
pub fn unpacked(vmlinuz: &[u8]) -> Result<Vec<u8>> {
    for (magic, tool) in COMPRESSIONS {
        let starts = vmlinuz.windows(magic.len()).enumerate();
        for (start, _) in starts.filter(|(_, bytes)| *bytes == magic) {
            // What follows the compressed part makes the tool complain.
            let found = piped(tool, &vmlinuz[start..])?;
            if found.starts_with(b"\x7fELF") {
                return Ok(found);
            }
        }
    }
    bail!("no kernel in this vmlinuz")
}

fn piped(tool: &str, input: &[u8]) -> Result<Vec<u8>> {
    let mut child = Command::new(tool)
        .arg("-dc")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .with_context(|| format!("{tool}; run `make deps`"))?;
    let mut stdin = child.stdin.take().context("no pipe")?;
    std::thread::scope(|scope| {
        scope.spawn(move || {
            // It may end before it has read all.
            let _ = stdin.write_all(input);
        });
        Ok(child.wait_with_output()?.stdout)
    })
}

/// Mounts this machine's root, and runs the script of the run in it.
const INIT: &str = r#"#!/bin/busybox sh
/bin/busybox --install -s /bin
mount -t devtmpfs dev /dev; mount -t proc proc /proc; mount -t sysfs sys /sys
for module in $(cat /modules/order); do insmod /modules/$module; done
share() { mount -t 9p -o trans=virtio,version=9p2000.L,msize=512000,$1 $2 $3; }
share cache=none out /out
share ro,cache=loose host /host
mount -t tmpfs rw /rw; mkdir /rw/upper /rw/work
mount -t overlay -o lowerdir=/host,upperdir=/rw/upper,workdir=/rw/work root /root
for folder in dev proc sys; do mount --move /$folder /root/$folder; done
mkdir -p /root/out /root/dev/pts /root/dev/shm /root/lib/modules/$(uname -r)
mount --move /out /root/out
share ro,cache=loose modules /root/lib/modules/$(uname -r)
mount -t devpts pts /root/dev/pts
mkdir -p /root/var/lib/containers
for folder in dev/shm run var/lib/containers; do mount -t tmpfs tmp /root/$folder; done
mount -t cgroup2 cgroup /root/sys/fs/cgroup
echo +memory +cpu +io +pids > /root/sys/fs/cgroup/cgroup.subtree_control
mount -t tracefs trace /root/sys/kernel/tracing
mount -t bpf bpf /root/sys/fs/bpf
mount -t securityfs security /root/sys/kernel/security
mount -t debugfs debug /root/sys/kernel/debug
# A request to the monitor is a line, and so is its answer, for which 25 s are enough.
stty -F /root/dev/ttyS2 raw -echo min 0 time 250
ip link set lo up; hostname lab
chroot /root /bin/sh /out/script > /root/dev/ttyS1 2>&1 < /root/dev/null
sync; reboot -f
"#;

/// The first root as a cpio archive.
pub fn first_root(kernel: &Kernel, at: &Path) -> Result<()> {
    let top = tempfile::tempdir()?;
    for folder in ["bin", "dev", "proc", "sys", "host", "rw", "root", "out", "modules"] {
        fs::create_dir(top.path().join(folder))?;
    }
    fs::copy(installed("busybox")?, top.path().join("bin/busybox"))?;
    let init = top.path().join("init");
    fs::write(&init, INIT)?;
    run(Command::new("chmod").arg("755").arg(&init))?;
    let folder = kernel.folder.join("lib/modules").join(&kernel.release);
    let mut order = Vec::new();
    for path in in_order(&fs::read_to_string(folder.join("modules.dep"))?) {
        let name = path.file_name().context("a module without name")?.to_string_lossy();
        let name = name.trim_end_matches(".xz").trim_end_matches(".zst").to_owned();
        fs::write(top.path().join("modules").join(&name), module(&folder.join(&path))?)?;
        order.push(name);
    }
    fs::write(top.path().join("modules/order"), order.join(" "))?;
    let script = format!("find . | cpio --create --format=newc --quiet > {}", at.display());
    run(Command::new("sh").arg("-c").arg(script).current_dir(top.path())).map(drop)
}

fn module(path: &Path) -> Result<Vec<u8>> {
    let bytes = fs::read(path)?;
    match COMPRESSIONS.iter().find(|(magic, _)| bytes.starts_with(magic)) {
        Some((_, tool)) => piped(tool, &bytes),
        None => Ok(bytes),
    }
}

/// Paths of [`MODULES`] and of what they need, in the order to load them (`modules.dep`). One that
/// is not listed is part of the kernel.
fn in_order(dependencies: &str) -> Vec<PathBuf> {
    let mut known = HashMap::new();
    for line in dependencies.lines() {
        let Some((path, needed)) = line.split_once(':') else { continue };
        let name = path.rsplit('/').next().unwrap_or_default();
        let name = name.split(".ko").next().unwrap_or_default().replace('-', "_");
        known.insert(name, (path, needed));
    }
    let mut order: Vec<PathBuf> = Vec::new();
    for (path, needed) in MODULES.iter().filter_map(|name| known.get(*name)) {
        for path in needed.split_whitespace().rev().chain([*path]).map(PathBuf::from) {
            if !order.contains(&path) {
                order.push(path);
            }
        }
    }
    order
}
