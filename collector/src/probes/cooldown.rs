// SPDX-License-Identifier: Apache-2.0
//! A flat cool-down: after one event, none for a while.

use std::time::Duration;

/// Holds back what comes too soon after what was let through.
pub struct Cooldown {
    length_ns: u64,
    /// When the last one was let through, in ns of the records' clock.
    last_ns: Option<u64>,
    held: u32,
}

impl Cooldown {
    /// One that lasts so long; none where that is 0.
    pub fn new(length: Duration) -> Self {
        let length_ns = u64::try_from(length.as_nanos()).unwrap_or(u64::MAX);
        Self { length_ns, last_ns: None, held: 0 }
    }

    /// Whether an event at `now_ns` is let through, and then how many were held back before it.
    pub fn pass(&mut self, now_ns: u64) -> Option<u32> {
        if self.last_ns.is_some_and(|last| now_ns.saturating_sub(last) < self.length_ns) {
            self.held = self.held.saturating_add(1);
            return None;
        }
        self.last_ns = Some(now_ns);
        Some(std::mem::take(&mut self.held))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_comes_too_soon_is_held_back_and_counted() {
        let mut cooldown = Cooldown::new(Duration::from_nanos(10));
        let passed: Vec<_> =
            [5, 6, 14, 15, 30, 29].into_iter().map(|now| cooldown.pass(now)).collect();
        assert_eq!(passed, [Some(0), None, None, Some(2), Some(0), None]);
        let mut none = Cooldown::new(Duration::ZERO);
        assert_eq!((none.pass(1), none.pass(1)), (Some(0), Some(0)));
    }
}
