// SPDX-License-Identifier: Apache-2.0
//! Boots a kernel in QEMU, by software emulation: hardware virtualisation is not everywhere.

use std::fs::{self, File};
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::mpsc::{RecvTimeoutError, channel};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use integration::installed;

use super::image;
use super::kernel::Kernel;

/// Runs `script` on the kernel; what it printed. It is printed as it comes, too.
pub fn run(kernel: &Kernel, script: &str, patience: Duration) -> Result<String> {
    let folder = tempfile::tempdir()?;
    let out = folder.path().join("out");
    fs::create_dir(&out)?;
    fs::write(out.join("script"), script)?;
    let first_root = folder.path().join("first-root");
    image::first_root(kernel, &first_root)?;
    let console = folder.path().join("console");
    let mut qemu = Command::new(installed("qemu-system-x86_64")?)
        .args(arguments(kernel, &first_root, &out, &console))
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(File::create(folder.path().join("complaints"))?)
        .spawn()?;
    let lines = BufReader::new(qemu.stdout.take().context("no pipe")?).lines();
    let (sender, receiver) = channel();
    std::thread::spawn(move || {
        for line in lines.map_while(Result::ok) {
            let _ = sender.send(line);
        }
    });
    let end = Instant::now() + patience;
    let mut output = String::new();
    loop {
        match receiver.recv_timeout(end.saturating_duration_since(Instant::now())) {
            Ok(line) => {
                println!("{line}");
                output.push_str(line.trim_end());
                output.push('\n');
            }
            Err(RecvTimeoutError::Disconnected) => break,
            Err(RecvTimeoutError::Timeout) => {
                qemu.kill()?;
                qemu.wait()?;
                bail!(
                    "the guest took over {} s; it said last: {}",
                    patience.as_secs(),
                    tail(&console)
                );
            }
        }
    }
    if !qemu.wait()?.success() {
        bail!("QEMU: {}", fs::read_to_string(folder.path().join("complaints"))?);
    }
    if output.is_empty() {
        bail!("the guest said nothing; its console: {}", tail(&console));
    }
    Ok(output)
}

fn tail(console: &Path) -> String {
    let text = fs::read(console).unwrap_or_default();
    let text = String::from_utf8_lossy(&text).into_owned();
    let lines: Vec<&str> = text.lines().collect();
    lines[lines.len().saturating_sub(25)..].join("\n")
}

fn arguments(kernel: &Kernel, first_root: &Path, out: &Path, console: &Path) -> Vec<String> {
    let share = |path: &Path, tag: &str, options: &str| {
        let path = path.display();
        let options = format!("mount_tag={tag},security_model=none,multidevs=remap{options}");
        ["-virtfs".to_owned(), format!("local,path={path},{options}")]
    };
    let append = "console=ttyS0 panic=-1 mitigations=off random.trust_cpu=on no_timer_check \
                  tsc=reliable net.ifnames=0";
    let modules = kernel.folder.join("lib/modules").join(&kernel.release);
    let plain = [
        ["-machine", "q35"],
        ["-accel", "tcg,thread=multi"],
        ["-cpu", "max"],
        ["-smp", "2"],
        ["-m", "3G"],
        ["-display", "none"],
        ["-append", append],
    ];
    let mut all: Vec<String> = plain.concat().into_iter().map(str::to_owned).collect();
    all.extend(["-nodefaults", "-no-user-config", "-no-reboot"].map(str::to_owned));
    all.extend(["-kernel".to_owned(), kernel.folder.join("vmlinux").display().to_string()]);
    all.extend(["-initrd".to_owned(), first_root.display().to_string()]);
    all.extend(["-serial".to_owned(), format!("file:{}", console.display())]);
    all.extend(["-serial".to_owned(), "file:/dev/stdout".to_owned()]);
    all.extend(share(out, "out", ""));
    all.extend(share(Path::new("/"), "host", ",readonly=on"));
    all.extend(share(&modules, "modules", ",readonly=on"));
    all
}
