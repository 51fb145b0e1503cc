// SPDX-License-Identifier: Apache-2.0
//! The thread that learns of containers as they come: it waits for the kernel's word, looks up
//! names, and walks over all cgroups now and then.

use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use rustix::event::{EventfdFlags, PollFd, PollFlags, Timespec, eventfd, poll};
use rustix::io::Errno;

use super::Entities;
use super::cgroup::SWEEP;

/// Between two looks where nothing can be watched.
const BLIND: Duration = Duration::from_secs(1);
/// A wait that fails at once must not become a busy loop.
const AFTER_FAILURE: Duration = Duration::from_secs(1);

/// Wakes the thread from others.
#[derive(Debug)]
pub(super) struct Bell(Option<OwnedFd>);

impl Bell {
    pub fn new() -> Self {
        // Without one, names come with the next look at the cgroups.
        Self(eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK).ok())
    }

    pub fn ring(&self) {
        if let Some(bell) = &self.0 {
            // Full means that it rings already.
            let _ = rustix::io::write(bell, &1u64.to_ne_bytes());
        }
    }

    fn silence(&self) {
        if let Some(bell) = &self.0 {
            let _ = rustix::io::read(bell, &mut [0; 8]);
        }
    }
}

/// The running thread; ends when dropped.
pub struct Discovery {
    entities: Arc<Entities>,
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Discovery {
    /// Starts the thread.
    pub fn start(entities: &Arc<Entities>) -> io::Result<Self> {
        let stop = Arc::new(AtomicBool::new(false));
        let (shared, stopped) = (Arc::clone(entities), Arc::clone(&stop));
        let run = move || run(&shared, &stopped);
        let thread = thread::Builder::new().name("discovery".to_owned()).spawn(run)?;
        Ok(Self { entities: Arc::clone(entities), stop, thread: Some(thread) })
    }
}

impl Drop for Discovery {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        self.entities.bell.ring();
        if let Some(thread) = self.thread.take()
            && thread.join().is_err()
        {
            tracing::error!("the thread that discovers containers panicked");
        }
    }
}

fn run(entities: &Entities, stop: &AtomicBool) {
    let mut next_sweep = Instant::now() + SWEEP;
    loop {
        let left = next_sweep.saturating_duration_since(Instant::now());
        if let Err(error) = wait(entities, left) {
            tracing::debug!(%error, "waiting for changes of cgroups failed");
            thread::sleep(AFTER_FAILURE);
        }
        if stop.load(Ordering::Relaxed) {
            return;
        }
        let is_due = Instant::now() >= next_sweep;
        if is_due {
            entities.sweep();
            next_sweep = Instant::now() + SWEEP;
        }
        entities.refresh();
        entities.bell.silence();
        entities.look_up_names(is_due);
    }
}

/// Ends when cgroups change, when the bell rings, or after `left`.
fn wait(entities: &Entities, left: Duration) -> Result<(), Errno> {
    let changes = entities.descriptor();
    let left = if changes.is_some() { left } else { left.min(BLIND) };
    let limit = Timespec { tv_sec: left.as_secs() as i64, tv_nsec: left.subsec_nanos().into() };
    let descriptors = [entities.bell.0.as_ref(), changes.as_deref()];
    let mut waited: Vec<PollFd<'_>> = descriptors
        .into_iter()
        .flatten()
        .map(|descriptor| PollFd::from_borrowed_fd(descriptor.as_fd(), PollFlags::IN))
        .collect();
    match poll(&mut waited, Some(&limit)) {
        Ok(_) | Err(Errno::INTR) => Ok(()),
        Err(error) => Err(error),
    }
}
