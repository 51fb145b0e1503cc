// SPDX-License-Identifier: Apache-2.0
//! What the kernel itself says of a fault, so that a fault that did not happen is told apart from a
//! probe that did not see it.

use std::fs::{self, OpenOptions};
use std::io::Read;
use std::path::Path;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use rustix::fs::OFlags;

use crate::wait_for;

const TRACING: &str = "/sys/kernel/tracing";

/// Events of tracefs that are recorded; no longer when dropped. One at a time.
pub struct Trace;

impl Trace {
    /// Records these, e.g. `ras:aer_event`.
    pub fn of(events: &[&str]) -> Result<Self> {
        let trace = Self;
        write("trace", "")?;
        for event in events {
            let event = event.replace(':', "/");
            write(&format!("events/{event}/enable"), "1")?;
        }
        write("tracing_on", "1")?;
        Ok(trace)
    }

    /// The first event whose line has this text; waits for it.
    pub fn until(&self, text: &str) -> Result<String> {
        let path = Path::new(TRACING).join("trace");
        wait_for(Duration::from_secs(6), || found(&fs::read_to_string(&path)?, text))
    }
}

impl Drop for Trace {
    fn drop(&mut self) {
        // The lab ends with the tests.
        let _ = write("events/enable", "0");
    }
}

fn write(file: &str, text: &str) -> Result<()> {
    let path = Path::new(TRACING).join(file);
    fs::write(&path, text).with_context(|| path.display().to_string())
}

/// Lines of the kernel's log from now on.
pub struct KernelLog {
    file: fs::File,
    seen: String,
}

impl KernelLog {
    /// What was said before is not looked at.
    pub fn from_now() -> Result<Self> {
        let nonblocking = OFlags::NONBLOCK.bits().cast_signed();
        let mut options = OpenOptions::new();
        let options = std::os::unix::fs::OpenOptionsExt::custom_flags(&mut options, nonblocking);
        let mut log = Self { file: options.read(true).open("/dev/kmsg")?, seen: String::new() };
        log.read();
        log.seen.clear();
        Ok(log)
    }

    /// The first line that has this text; waits for it.
    pub fn until(&mut self, text: &str) -> Result<String> {
        wait_for(Duration::from_secs(6), || {
            self.read();
            found(&self.seen, text)
        })
    }

    fn read(&mut self) {
        // One record a read; the end is an error of its own (EAGAIN), and so is a record that was
        // overwritten (EPIPE), after which the next one comes.
        let mut room = [0; 8192];
        while let Ok(length) = self.file.read(&mut room) {
            self.seen.push_str(&String::from_utf8_lossy(&room[..length]));
        }
    }
}

fn found(lines: &str, text: &str) -> Result<String> {
    let line = lines.lines().find(|line| !line.starts_with('#') && line.contains(text));
    line.map(|line| line.trim().to_owned()).with_context(|| {
        let last: Vec<&str> = lines.lines().rev().take(5).collect();
        format!("no {text:?}; the last lines are {last:?}")
    })
}

/// A number of the kernel (`/proc/sys`, `/sys`), as before when dropped.
pub struct Setting {
    path: String,
    before: String,
}

impl Setting {
    /// Sets it.
    pub fn new(path: &str, value: &str) -> Result<Self> {
        let before = fs::read_to_string(path).with_context(|| path.to_owned())?;
        ensure!(!before.is_empty(), "{path} has no value");
        fs::write(path, value).with_context(|| path.to_owned())?;
        Ok(Self { path: path.to_owned(), before })
    }
}

impl Drop for Setting {
    fn drop(&mut self) {
        let _ = fs::write(&self.path, &self.before);
    }
}
