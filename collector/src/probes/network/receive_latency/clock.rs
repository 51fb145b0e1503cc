// SPDX-License-Identifier: Apache-2.0
//! The wall clock as BPF programs see it, and what its steps do to what they measure.

use std::sync::{Arc, Mutex};

use ebpf::network_receive_latency::records::{late_packet, receive_clock, receive_clocks};

use crate::bpf::{Cell, MapError};
use crate::kernel::{ClockWatch, boot_now, boot_offset};
use crate::sync::lock;

/// What moves it by more is a step (ns); less is how exactly we can read it.
const STEP: u64 = 1_000_000;
/// A step may have been noticed this much later (ns).
const NOTICED: u64 = 1_000_000_000;

/// Keeps the programs' clock right while it lives.
pub(super) struct WallClock {
    shared: Arc<Mutex<Shared>>,
    /// `None` where steps cannot be watched: then they are noticed by the next collection.
    _watch: Option<ClockWatch>,
}

struct Shared {
    cell: Cell<receive_clocks>,
    known: Option<receive_clock>,
}

impl WallClock {
    pub(super) fn start(cell: Cell<receive_clocks>) -> Self {
        let shared = Arc::new(Mutex::new(Shared { cell, known: None }));
        let watched = Arc::clone(&shared);
        let watch = ClockWatch::start(move || {
            if let Err(error) = lock(&watched).refresh() {
                tracing::warn!(%error, "BPF programs have not been told of a step of the clock");
            }
        });
        if let Err(error) = &watch {
            tracing::warn!(%error, "steps of the wall clock are noticed late");
        }
        Self { shared, _watch: watch.ok() }
    }

    pub(super) fn refresh(&self) -> Result<(), MapError> {
        lock(&self.shared).refresh()
    }
}

impl Shared {
    fn refresh(&mut self) -> Result<(), MapError> {
        let wall = following(self.known, boot_offset(), boot_now());
        // What programs learnt of jiffies may be outdated, too: jiffies stop where the machine sleeps.
        self.cell.set(receive_clocks { wall, jiffies_began_ns: 0 })?;
        self.known = Some(wall);
        Ok(())
    }
}

/// The clock that is to be known now: another than before if it was set.
fn following(known: Option<receive_clock>, offset_ns: i64, now_ns: u64) -> receive_clock {
    match known {
        None => receive_clock { offset_ns, step_ns: 0, stepped_ns: 0 },
        Some(known) if offset_ns.abs_diff(known.offset_ns) <= STEP => known,
        Some(known) => {
            let step_ns = offset_ns.saturating_sub(known.offset_ns);
            receive_clock { offset_ns, step_ns, stepped_ns: now_ns }
        }
    }
}

/// Whether the clock was set while the packet was on its way, or just now.
pub(super) fn is_across_step(late: &late_packet, offset_ns: i64) -> bool {
    let clock = &late.clock;
    let is_outdated = offset_ns.abs_diff(clock.offset_ns) > STEP;
    let since = late.time_ns.saturating_sub(clock.stepped_ns);
    // If it was set back, the packet took longer than it seems.
    let reach = late.delay_ns.saturating_add(clock.step_ns.unsigned_abs()).saturating_add(NOTICED);
    is_outdated || clock.stepped_ns != 0 && since < reach
}

#[cfg(test)]
mod tests {
    use zerocopy::FromZeros;

    use super::*;

    const SECOND: u64 = 1_000_000_000;

    /// Noticed at 100 s that the clock had been set by `step` s.
    fn after(step: i64) -> receive_clock {
        let step_ns = step * SECOND as i64;
        receive_clock { offset_ns: 7 + step_ns, step_ns, stepped_ns: 100 * SECOND }
    }

    fn late(second: u64, delay: u64, clock: receive_clock) -> late_packet {
        let mut late = late_packet::new_zeroed();
        (late.time_ns, late.delay_ns, late.clock) = (second * SECOND, delay * SECOND, clock);
        late
    }

    #[test]
    fn a_step_is_noticed_and_a_reading_that_is_a_little_off_is_none() {
        let first = following(None, 7, 5);
        assert_eq!((first.offset_ns, first.stepped_ns), (7, 0));
        assert_eq!(following(Some(first), 999_000, 6).offset_ns, 7);
        let next = following(Some(first), -3_000_000, 6);
        assert_eq!((next.offset_ns, next.step_ns, next.stepped_ns), (-3_000_000, -3_000_007, 6));
    }

    #[test]
    fn a_packet_that_was_on_its_way_when_the_clock_was_set_is_not_believed() {
        for (second, delay, step, is_across) in [
            (101, 1, 3, true),
            (103, 2, 3, true),
            (110, 2, 3, false),
            // Set back: it was on its way for five seconds.
            (104, 2, -3, true),
            (107, 2, -3, false),
        ] {
            let late = late(second, delay, after(step));
            let found = is_across_step(&late, late.clock.offset_ns);
            assert_eq!(found, is_across, "{second} {delay} {step}");
        }
    }

    #[test]
    fn a_clock_that_is_not_the_one_now_is_not_believed() {
        let never = receive_clock { offset_ns: 7, step_ns: 0, stepped_ns: 0 };
        assert!(!is_across_step(&late(50, 2, never), 900_000));
        assert!(is_across_step(&late(50, 2, never), 2_000_000));
    }
}
