// SPDX-License-Identifier: Apache-2.0
//! No more than so many within a time.

use std::time::{Duration, Instant};

/// Lets through the first ones of each span of time.
#[derive(Debug)]
pub struct RateLimit {
    most: u32,
    span: Duration,
    begin: Instant,
    passed: u32,
}

impl RateLimit {
    /// So many within each `span`.
    pub fn new(most: u32, span: Duration) -> Self {
        Self { most, span, begin: Instant::now(), passed: 0 }
    }

    /// Whether one more may pass now.
    pub fn admit(&mut self) -> bool {
        self.admit_at(Instant::now())
    }

    fn admit_at(&mut self, now: Instant) -> bool {
        if now.duration_since(self.begin) >= self.span {
            (self.begin, self.passed) = (now, 0);
        }
        let is_within = self.passed < self.most;
        self.passed += u32::from(is_within);
        is_within
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_span_lets_through_its_first_ones() {
        let mut limit = RateLimit::new(2, Duration::from_secs(1));
        let begin = limit.begin;
        let mut at = |ms| limit.admit_at(begin + Duration::from_millis(ms));
        let passed = [0, 10, 20, 999, 1000, 1500, 1999, 3500].map(&mut at);
        assert_eq!(passed, [true, true, false, false, true, true, false, true]);
    }
}
