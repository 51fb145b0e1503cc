// SPDX-License-Identifier: Apache-2.0
//! Threads that hold up their CPU (`bpf/burn.bpf.c`).

use std::fs;
use std::hint::black_box;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use aya::Ebpf;
use aya::programs::RawTracePoint;
use rustix::process::{Signal, getpid, kill_process};

use crate::bpf::compiled;

/// The programs, and the tracepoint of each.
const PROGRAMS: [(&str, &str); 4] = [
    ("take_order", "task_rename"),
    ("burn_in_softirq", "softirq_entry"),
    ("lock_up_in_softirq", "softirq_entry"),
    ("burn_with_interrupts_off", "signal_generate"),
];

/// How long a thread can be interrupted: softirqs come some times a second.
const BUSY: Duration = Duration::from_secs(1);

/// The BPF programs of the burner; they are gone when this is dropped.
pub struct Burner {
    _programs: Ebpf,
}

impl Burner {
    /// Compiles and attaches it.
    pub fn attach() -> Result<Self> {
        let mut programs = Ebpf::load(&compiled("burn")?)?;
        for (name, tracepoint) in PROGRAMS {
            let program = programs.program_mut(name).context(name)?;
            let program: &mut RawTracePoint = program.try_into()?;
            program.load().with_context(|| format!("load {name}"))?;
            program.attach(tracepoint)?;
        }
        Ok(Self { _programs: programs })
    }

    /// Has a thread hold up its CPU by its name, e.g. `softirq 40`. Returns its id when it is over.
    pub fn burn(&self, name: &str) -> Result<u32> {
        let path = self.run(name, || {
            let begin = Instant::now();
            while begin.elapsed() < BUSY {
                black_box(());
            }
            // Which nobody minds.
            kill_process(getpid(), Signal::URG)?;
            fs::read_link("/proc/thread-self")
        })??;
        let tid = path.file_name().and_then(|name| name.to_str()).context("no thread id")?;
        Ok(tid.parse()?)
    }

    /// Runs `work` in a thread of that name.
    pub fn run<T: Send + 'static>(
        &self,
        name: &str,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> Result<T> {
        let thread = thread::Builder::new().name(name.to_owned()).spawn(work)?;
        thread.join().ok().context("the thread panicked")
    }
}
