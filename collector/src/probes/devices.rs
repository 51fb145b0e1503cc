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
    /// Since when it is there.
    pub since: UnixNanos,
    /// What it counts.
    pub counters: [Counter; N],
    seen: UnixNanos,
}

/// A counter of a device. Some have 32 bits and start anew while the others go on.
#[derive(Debug, Clone, Copy)]
pub struct Counter {
    /// Its value.
    pub value: u64,
    /// Since when it counts.
    pub start: UnixNanos,
}

impl Counter {
    fn see(&mut self, value: u64, collected: UnixNanos) {
        if value < self.value {
            self.start = collected;
        }
        self.value = value;
    }
}

impl<const N: usize> Default for Devices<N> {
    fn default() -> Self {
        Self { known: HashMap::new(), collected: None }
    }
}

impl<const N: usize> Devices<N> {
    /// A device as it is in the collection at `now`. It counts since `since` if it was there when
    /// we came, else since the collection before it appeared; a counter that fell, since the
    /// collection before that.
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
            since,
            counters: values.map(|value| Counter { value, start: since }),
            seen: now,
        });
        for (counter, value) in device.counters.iter_mut().zip(values) {
            counter.see(value, since);
        }
        device.seen = now;
        device
    }

    /// Ends the collection at `now`: what was not seen is forgotten, but not at once. The kernel
    /// leaves devices out of a list while others come and go.
    pub fn end(&mut self, now: UnixNanos) {
        let before = self.collected.unwrap_or(now);
        self.known.retain(|_, device| device.seen >= before);
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
        let start = devices.see(name, [value, 9], now, 7).counters[0].start;
        devices.end(now);
        start
    }

    #[test]
    fn those_found_at_first_count_since_boot_and_later_ones_since_the_collection_before() {
        let mut devices = Devices::default();
        assert_eq!(start(&mut devices, "eth0", 1, 100), 7);
        assert_eq!(start(&mut devices, "eth1", 1, 110), 100);
        // It was away for one collection.
        assert_eq!(start(&mut devices, "eth0", 2, 120), 7);
        assert_eq!(start(&mut devices, "eth0", 2, 130), 7);
        // For two.
        assert_eq!(start(&mut devices, "eth1", 2, 140), 130);
    }

    #[test]
    fn a_counter_that_falls_gets_a_new_start_and_its_neighbours_go_on() {
        let mut devices = Devices::default();
        assert_eq!(start(&mut devices, "eth0", 5, 100), 7);
        assert_eq!(start(&mut devices, "eth0", 6, 110), 7);
        assert_eq!(start(&mut devices, "eth0", 4, 120), 110);
        let [fallen, other] = devices.see("eth0", [4, 9], 130, 7).counters;
        assert_eq!((fallen.start, other.start), (110, 7));
    }
}
