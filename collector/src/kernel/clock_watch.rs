// SPDX-License-Identifier: Apache-2.0
//! The thread that is told when the wall clock was set.

use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::sync::Arc;
use std::thread::{self, JoinHandle};

use rustix::event::{EventfdFlags, PollFd, PollFlags, eventfd, poll};
use rustix::io::Errno;
use rustix::time::{
    Itimerspec, TimerfdClockId, TimerfdFlags, TimerfdTimerFlags, Timespec, timerfd_create,
    timerfd_settime,
};

/// A time that does not come.
const NEVER: Itimerspec = Itimerspec {
    it_interval: Timespec { tv_sec: 0, tv_nsec: 0 },
    it_value: Timespec { tv_sec: i32::MAX as i64, tv_nsec: 0 },
};

/// The running thread; ends when dropped.
pub struct ClockWatch {
    stop: Arc<OwnedFd>,
    thread: Option<JoinHandle<()>>,
}

impl ClockWatch {
    /// Calls `look` now and after each time that the wall clock was set, or the machine has slept.
    pub fn start(mut look: impl FnMut() + Send + 'static) -> io::Result<Self> {
        let flags = TimerfdFlags::CLOEXEC | TimerfdFlags::NONBLOCK;
        let timer = timerfd_create(TimerfdClockId::Realtime, flags)?;
        let stop = Arc::new(eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK)?);
        let stopped = Arc::clone(&stop);
        let run = move || {
            if let Err(error) = run(&timer, &stopped, &mut look) {
                tracing::warn!(%error, "steps of the wall clock are noticed late");
            }
        };
        let thread = thread::Builder::new().name("clock".to_owned()).spawn(run)?;
        Ok(Self { stop, thread: Some(thread) })
    }
}

impl Drop for ClockWatch {
    fn drop(&mut self) {
        // Full means that it is to stop already.
        let _ = rustix::io::write(&self.stop, &1u64.to_ne_bytes());
        if let Some(thread) = self.thread.take()
            && thread.join().is_err()
        {
            tracing::error!("the thread that watches the clock panicked");
        }
    }
}

fn run(timer: &OwnedFd, stop: &OwnedFd, look: &mut impl FnMut()) -> Result<(), Errno> {
    loop {
        arm(timer)?;
        look();
        let wait_for = |descriptor| PollFd::from_borrowed_fd(descriptor, PollFlags::IN);
        let mut waited = [wait_for(timer.as_fd()), wait_for(stop.as_fd())];
        match poll(&mut waited, None) {
            Ok(_) | Err(Errno::INTR) => {}
            Err(error) => return Err(error),
        }
        if !waited[1].revents().is_empty() {
            return Ok(());
        }
    }
}

/// Cancelled (man timerfd_create(2)) is what it is to be when the clock is set, also meanwhile.
fn arm(timer: &OwnedFd) -> Result<(), Errno> {
    // Takes note of the last time.
    let _ = rustix::io::read(timer, &mut [0; 8]);
    let flags = TimerfdTimerFlags::ABSTIME | TimerfdTimerFlags::CANCEL_ON_SET;
    match timerfd_settime(timer, flags, &NEVER) {
        Ok(_) | Err(Errno::CANCELED) => Ok(()),
        Err(error) => Err(error),
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc::channel;
    use std::time::Duration;

    use super::*;

    #[test]
    fn it_looks_once_while_nobody_sets_the_clock_and_ends() {
        let (out, looks) = channel();
        let watch = ClockWatch::start(move || out.send(()).unwrap()).unwrap();
        looks.recv_timeout(Duration::from_secs(10)).unwrap();
        assert!(looks.recv_timeout(Duration::from_millis(50)).is_err());
        drop(watch);
        assert!(looks.recv().is_err());
    }
}
