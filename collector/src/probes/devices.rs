// SPDX-License-Identifier: Apache-2.0
//! Devices that count: they come and go, and their counters may start anew.

use std::collections::HashMap;
use std::sync::Arc;

use crate::signal::UnixNanos;

/// Devices between two collections, with `N` counters each.
pub struct Devices<const N: usize> {
    known: HashMap<String, Device<N>>,
    collected: Option<UnixNanos>,
}

/// One device.
pub struct Device<const N: usize> {
    /// Its name.
    pub name: Arc<str>,
    /// Since when its counters count.
    pub start: UnixNanos,
    /// Their values.
    pub last: [u64; N],
    seen: UnixNanos,
}

impl<const N: usize> Default for Devices<N> {
    fn default() -> Self {
        Self { known: HashMap::new(), collected: None }
    }
}

impl<const N: usize> Devices<N> {
    /// A device as it is in the collection at `now`. It counts since `since` if it was there when
    /// we came, else since the collection before it appeared or before its counters fell.
    pub fn see(
        &mut self,
        name: &str,
        values: [u64; N],
        now: UnixNanos,
        since: UnixNanos,
    ) -> &Device<N> {
        let since = self.collected.unwrap_or(since);
        let device = self.known.entry(name.to_owned()).or_insert_with(|| Device {
            name: name.into(),
            start: since,
            last: values,
            seen: now,
        });
        if device.last.iter().zip(&values).any(|(last, value)| value < last) {
            device.start = since;
        }
        device.last = values;
        device.seen = now;
        device
    }

    /// Ends the collection at `now`: what was not seen is forgotten.
    pub fn end(&mut self, now: UnixNanos) {
        self.known.retain(|_, device| device.seen == now);
        self.collected = Some(now);
    }

    /// The last collection.
    pub fn collected(&self) -> Option<UnixNanos> {
        self.collected
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn start(devices: &mut Devices<2>, name: &str, value: u64, now: UnixNanos) -> UnixNanos {
        let start = devices.see(name, [value; 2], now, 7).start;
        devices.end(now);
        start
    }

    #[test]
    fn those_found_at_first_count_since_boot_and_later_ones_since_the_collection_before() {
        let mut devices = Devices::default();
        assert_eq!(start(&mut devices, "eth0", 1, 100), 7);
        assert_eq!(start(&mut devices, "eth1", 1, 110), 100);
        // It was away for one collection.
        assert_eq!(start(&mut devices, "eth0", 2, 120), 110);
    }

    #[test]
    fn counters_that_fall_get_a_new_start() {
        let mut devices = Devices::default();
        assert_eq!(start(&mut devices, "eth0", 5, 100), 7);
        assert_eq!(start(&mut devices, "eth0", 6, 110), 7);
        assert_eq!(start(&mut devices, "eth0", 4, 120), 110);
    }
}
