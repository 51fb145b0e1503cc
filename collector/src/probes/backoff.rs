// SPDX-License-Identifier: Apache-2.0
//! Holding back events that come again and again: a host that hangs tells of it over and over, and
//! each time costs what the event gathers.

use std::time::Duration;

use semconv::attribute;

use crate::signal::Attribute;

/// How long events are held back after the first.
const FIRST: Duration = Duration::from_secs(10 * 60);
/// How long at most; each time it is twice as long as before.
const LONGEST: Duration = Duration::from_secs(3 * 60 * 60);
/// When none came for so long, the next one is a first one.
const QUIET: Duration = Duration::from_secs(60 * 60);

/// Decides which events of one kind are recorded.
#[derive(Debug)]
pub struct Backoff {
    first: Duration,
    longest: Duration,
    quiet: Duration,
    storm: Option<Storm>,
}

impl Default for Backoff {
    /// Of what gathers much for each event.
    fn default() -> Self {
        Self { first: FIRST, longest: LONGEST, quiet: QUIET, storm: None }
    }
}

#[derive(Debug)]
struct Storm {
    /// When the last event came, recorded or not.
    last: Duration,
    /// Until when events are held back.
    until: Duration,
    /// How long they are, from the last one that was recorded.
    pause: Duration,
    held_back: u32,
}

impl Backoff {
    /// One that always holds back for so long; not at all where that is 0.
    pub fn flat(pause: Duration) -> Self {
        Self { first: pause, longest: pause, quiet: Duration::MAX, storm: None }
    }

    /// Whether an event of the time `now_ns` on CLOCK_BOOTTIME is recorded: then how many were held
    /// back before it.
    pub fn admit(&mut self, now_ns: u64) -> Option<u32> {
        let now = Duration::from_nanos(now_ns);
        let Some(storm) = &mut self.storm else { return Some(self.begin(now, self.first, 0)) };
        let is_over = now.saturating_sub(storm.last) >= self.quiet;
        if !is_over && now < storm.until {
            storm.last = now;
            storm.held_back = storm.held_back.saturating_add(1);
            return None;
        }
        let doubled = self.longest.min(storm.pause.saturating_mul(2));
        let pause = if is_over { self.first } else { doubled };
        let held_back = storm.held_back;
        Some(self.begin(now, pause, held_back))
    }

    fn begin(&mut self, now: Duration, pause: Duration, held_back: u32) -> u32 {
        self.storm =
            Some(Storm { last: now, until: now.saturating_add(pause), pause, held_back: 0 });
        held_back
    }
}

/// Tells on a record how many were held back before it, where any were.
pub fn suppressed_before(held_back: u32) -> Option<Attribute> {
    (held_back > 0).then(|| (&attribute::HUATUO_EVENT_SUPPRESSED_BEFORE, held_back.into()))
}

#[cfg(test)]
mod tests {
    use super::*;

    const MINUTE: u64 = 60 * 1_000_000_000;

    /// Minutes at which an event that comes every `every` minutes for `total` is recorded, with how
    /// many were held back.
    fn recorded(backoff: &mut Backoff, every: u64, total: u64) -> Vec<(u64, u32)> {
        let times = (0..total).step_by(every as usize);
        times.filter_map(|at| Some((at, backoff.admit(at * MINUTE)?))).collect()
    }

    #[test]
    fn the_pause_doubles_up_to_three_hours_and_what_is_held_back_is_told() {
        let all = recorded(&mut Backoff::default(), 2, 900);
        let expected =
            [(0, 0), (10, 4), (30, 9), (70, 19), (150, 39), (310, 79), (490, 89), (670, 89)];
        assert_eq!(all[..8], expected);
        assert_eq!(all[8..], [(850, 89)]);
    }

    #[test]
    fn after_an_hour_of_quiet_the_next_is_recorded_and_the_pause_is_short_again() {
        let mut backoff = Backoff::default();
        recorded(&mut backoff, 2, 320);
        assert_eq!(backoff.admit(377 * MINUTE), None);
        // Recorded although the pause of three hours goes on until 490.
        assert_eq!(backoff.admit(437 * MINUTE), Some(5));
        assert_eq!(backoff.admit(446 * MINUTE), None);
        assert_eq!(backoff.admit(447 * MINUTE), Some(1));
    }

    #[test]
    fn what_comes_too_soon_is_held_back_and_counted() {
        let mut flat = Backoff::flat(Duration::from_nanos(10));
        let passed: Vec<_> =
            [5, 6, 14, 15, 30, 29].into_iter().map(|now| flat.admit(now)).collect();
        assert_eq!(passed, [Some(0), None, None, Some(2), Some(0), None]);
        let mut none = Backoff::flat(Duration::ZERO);
        assert_eq!((none.admit(1), none.admit(1)), (Some(0), Some(0)));
    }

    #[test]
    fn a_clock_that_steps_back_holds_back() {
        let mut backoff = Backoff::default();
        assert_eq!(backoff.admit(100 * MINUTE), Some(0));
        assert_eq!(backoff.admit(99 * MINUTE), None);
    }
}
