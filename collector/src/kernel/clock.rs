// SPDX-License-Identifier: Apache-2.0
//! From the kernel's clock to wall time.

use std::sync::LazyLock;

use rustix::time::{ClockId, Timespec, clock_getres, clock_gettime};

use crate::signal::UnixNanos;

/// Wall time of a CLOCK_BOOTTIME stamp in ns. The offset is taken anew each time, so a step of the
/// wall clock never shifts later events.
pub fn boot_to_unix(boot_ns: u64) -> UnixNanos {
    let offset = unix_now().saturating_sub(nanos(clock_gettime(ClockId::Boottime)));
    offset.saturating_add(boot_ns)
}

/// CLOCK_REALTIME minus CLOCK_BOOTTIME in ns: constant but for steps of the wall clock. We may be
/// held up between two readings, so the closest of a few counts.
pub fn boot_offset() -> i64 {
    let measure = || {
        let before = nanos(clock_gettime(ClockId::Boottime));
        let wall = unix_now();
        let width = nanos(clock_gettime(ClockId::Boottime)).saturating_sub(before);
        (width, wall.wrapping_sub(before + width / 2).cast_signed())
    };
    (0..5).map(|_| measure()).min().map_or(0, |(_, offset)| offset)
}

/// A jiffy: the time from one tick of the kernel to the next, in ns.
pub fn tick() -> u64 {
    nanos(clock_getres(ClockId::MonotonicCoarse))
}

/// Now, in ns of CLOCK_BOOTTIME.
pub fn boot_now() -> u64 {
    nanos(clock_gettime(ClockId::Boottime))
}

/// Wall time since when a counter counts, from its CLOCK_BOOTTIME stamp in ns. With one offset for
/// the life of the agent: a start that moves, if only by a nanosecond, means a reset.
pub fn counter_start(boot_ns: u64) -> UnixNanos {
    static OFFSET: LazyLock<u64> = LazyLock::new(|| boot_to_unix(0));
    OFFSET.saturating_add(boot_ns)
}

/// Now, in ns since the Unix epoch.
pub fn unix_now() -> UnixNanos {
    nanos(clock_gettime(ClockId::Realtime))
}

/// Clock ticks per second, the unit of times in `/proc/stat` and the like (man sysconf(3)).
pub fn ticks_per_second() -> u64 {
    rustix::param::clock_ticks_per_second().max(1)
}

fn nanos(time: Timespec) -> u64 {
    let seconds = u64::try_from(time.tv_sec).unwrap_or(0);
    let nanos = u64::try_from(time.tv_nsec).unwrap_or(0);
    seconds.saturating_mul(1_000_000_000).saturating_add(nanos)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_start_of_a_counter_never_moves_and_is_about_right() {
        let first = counter_start(42);
        std::thread::sleep(std::time::Duration::from_millis(2));
        assert_eq!(counter_start(42), first);
        assert!(first.abs_diff(boot_to_unix(42)) < 1_000_000_000);
    }
}
