// SPDX-License-Identifier: Apache-2.0
//! The wall clock, set while the machine runs.

use anyhow::Result;
use rustix::time::{ClockId, clock_gettime, clock_settime};

/// The wall clock, set forward or back; as if it had not been when dropped.
pub struct ClockStep {
    seconds: i64,
}

impl ClockStep {
    /// Sets it by this many seconds.
    pub fn by(seconds: i64) -> Result<Self> {
        step(seconds)?;
        Ok(Self { seconds })
    }
}

impl Drop for ClockStep {
    fn drop(&mut self) {
        let _ = step(-self.seconds);
    }
}

fn step(seconds: i64) -> Result<()> {
    let mut time = clock_gettime(ClockId::Realtime);
    time.tv_sec += seconds;
    Ok(clock_settime(ClockId::Realtime, time)?)
}
