// SPDX-License-Identifier: Apache-2.0
//! QEMU's monitor: a guest may ask for faults of its hardware, and the lab asks what a guest does
//! that stands still.

use std::io::{BufRead, BufReader, Write};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::thread::sleep;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use serde_json::{Value as Json, json};

use super::qemu::Files;

/// First words of what a guest may ask for.
const ALLOWED: [&str; 4] = ["mce", "pcie_aer_inject_error", "set_link", "block_set_io_throttle"];

/// Magic keys of Linux (Documentation/admin-guide/sysrq.rst): what each CPU does, blocked tasks, all
/// tasks.
const QUESTIONS: [&str; 3] = ["alt-sysrq-l", "alt-sysrq-w", "alt-sysrq-t"];

/// Looks at the CPUs.
const LOOKS: u32 = 20;

/// A connection that speaks QMP (QEMU's docs/interop/qmp-spec).
struct Monitor {
    lines: BufReader<UnixStream>,
}

impl Monitor {
    fn connect(path: &Path) -> Result<Self> {
        let mut monitor = Self { lines: BufReader::new(connected(path)?) };
        monitor.ask(&json!({ "execute": "qmp_capabilities" }))?;
        Ok(monitor)
    }

    /// What a command for people answers; nothing is what most say that did it.
    fn human(&mut self, command: &str) -> Result<String> {
        let arguments = json!({ "command-line": command });
        let answer =
            self.ask(&json!({ "execute": "human-monitor-command", "arguments": arguments }))?;
        Ok(answer.as_str().unwrap_or_default().trim().to_owned())
    }

    fn ask(&mut self, question: &Json) -> Result<Json> {
        writeln!(self.lines.get_mut(), "{question}")?;
        let mut line = String::new();
        while self.lines.read_line(&mut line)? > 0 {
            // Its greeting and its events come in between.
            let answer: Json = serde_json::from_str(&line)?;
            if let Some(error) = answer.get("error") {
                bail!("QEMU: {error}");
            }
            if let Some(answer) = answer.get("return") {
                return Ok(answer.clone());
            }
            line.clear();
        }
        bail!("QEMU is gone")
    }
}

/// QEMU makes its sockets some time after it starts.
fn connected(path: &Path) -> Result<UnixStream> {
    let begin = Instant::now();
    loop {
        match UnixStream::connect(path) {
            Ok(stream) => return Ok(stream),
            Err(error) if begin.elapsed() > Duration::from_secs(20) => {
                return Err(error).with_context(|| path.display().to_string());
            }
            Err(_) => sleep(Duration::from_millis(50)),
        }
    }
}

/// Answers requests of the guest, a line of JSON each, until it is gone.
pub fn serve(files: &Files) -> Result<()> {
    let mut guest = BufReader::new(connected(&files.requests())?);
    let mut monitor = Monitor::connect(&files.guest_monitor())?;
    let mut line = String::new();
    while guest.read_line(&mut line)? > 0 {
        let command = line.trim();
        let word = command.split(' ').next().unwrap_or_default();
        let answer = if ALLOWED.contains(&word) {
            match monitor.human(command) {
                Ok(answer) => json!({ "answer": answer }),
                Err(error) => json!({ "error": format!("{error:#}") }),
            }
        } else {
            json!({ "error": format!("the lab does not allow {word:?}") })
        };
        writeln!(guest.get_mut(), "{answer}")?;
        line.clear();
    }
    Ok(())
}

/// What the CPUs do, looked at more than once.
pub fn registers(files: &Files) -> Result<String> {
    let mut monitor = Monitor::connect(&files.lab_monitor())?;
    let mut registers = String::new();
    for _ in 0..LOOKS {
        registers += &monitor.human("info registers -a")?;
        registers.push('\n');
        sleep(Duration::from_millis(50));
    }
    Ok(registers)
}

/// Makes the kernel print what all of its tasks do.
pub fn print_tasks(files: &Files) -> Result<()> {
    let mut monitor = Monitor::connect(&files.lab_monitor())?;
    for keys in QUESTIONS {
        monitor.human(&format!("sendkey {keys}"))?;
        sleep(Duration::from_secs(5));
    }
    Ok(())
}
