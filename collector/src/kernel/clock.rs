// SPDX-License-Identifier: Apache-2.0
//! From the kernel's clock to wall time.

use rustix::time::{ClockId, Timespec, clock_gettime};

use crate::signal::UnixNanos;

/// Wall time of a CLOCK_BOOTTIME stamp in ns. The offset is taken anew each time, so a step of the
/// wall clock never shifts later events.
pub fn boot_to_unix(boot_ns: u64) -> UnixNanos {
    let offset = unix_now().saturating_sub(nanos(clock_gettime(ClockId::Boottime)));
    offset.saturating_add(boot_ns)
}

/// Now, in ns since the Unix epoch.
pub fn unix_now() -> UnixNanos {
    nanos(clock_gettime(ClockId::Realtime))
}

fn nanos(time: Timespec) -> u64 {
    let seconds = u64::try_from(time.tv_sec).unwrap_or(0);
    let nanos = u64::try_from(time.tv_nsec).unwrap_or(0);
    seconds.saturating_mul(1_000_000_000).saturating_add(nanos)
}
