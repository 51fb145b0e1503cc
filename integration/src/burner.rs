// SPDX-License-Identifier: Apache-2.0
//! Threads that hold up their CPU (`bpf/burn.bpf.c`).

use std::fs;
use std::hint::black_box;
use std::sync::mpsc::channel;
use std::thread::{self, sleep};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use aya::Ebpf;
use aya::programs::RawTracePoint;

use crate::bpf::compiled;

/// The programs, and the tracepoint of each.
const PROGRAMS: [(&str, &str); 3] = [
    ("take_order", "task_rename"),
    ("burn_in_softirq", "softirq_entry"),
    ("burn_with_interrupts_off", "sched_waking"),
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
        let (wake, woken) = channel::<()>();
        let sleeper = thread::Builder::new().name("sleeper".to_owned());
        let sleeper = sleeper.spawn(move || woken.recv().is_ok())?;
        // It waits in the kernel by then, and has to be woken.
        sleep(BUSY);
        let burn = move || {
            let begin = Instant::now();
            while begin.elapsed() < BUSY {
                black_box(());
            }
            let _ = wake.send(());
            fs::read_link("/proc/thread-self")
        };
        let thread = thread::Builder::new().name(name.to_owned()).spawn(burn)?;
        let path = thread.join().ok().context("the thread panicked")??;
        ensure!(sleeper.join().is_ok_and(|woken| woken), "the other thread was not woken");
        let tid = path.file_name().and_then(|name| name.to_str()).context("no thread id")?;
        Ok(tid.parse()?)
    }
}
