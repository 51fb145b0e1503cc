// SPDX-License-Identifier: Apache-2.0
//! The host's devices by netlink (`EnableNetlink`): what `/proc/net/dev` has, and each kind of error
//! by itself.

use semconv::{attribute, metric};

use super::{Found, Netdev, Scope, record};
use crate::netlink::{Link, LinkStats};
use crate::signal::{EntityRecorder, UnixNanos, Value};

/// Kinds of errors that netlink tells apart, in the order of [`details`].
const DETAILS: [(&str, &str); 11] = [
    ("receive", "length"),
    ("receive", "over"),
    ("receive", "crc"),
    ("receive", "frame"),
    ("receive", "fifo"),
    ("receive", "missed"),
    ("transmit", "aborted"),
    ("transmit", "carrier"),
    ("transmit", "fifo"),
    ("transmit", "heartbeat"),
    ("transmit", "window"),
];

/// What the columns of `/proc/net/dev` would be (`dev_seq_printf_stats`, net/core/net-procfs.c).
fn columns(stats: &LinkStats) -> [u64; 16] {
    let sum = |parts: &[u64]| parts.iter().fold(0, |sum: u64, part| sum.wrapping_add(*part));
    [
        stats.rx_bytes,
        stats.rx_packets,
        stats.rx_errors,
        sum(&[stats.rx_dropped, stats.rx_missed_errors]),
        stats.rx_fifo_errors,
        sum(&[
            stats.rx_length_errors,
            stats.rx_over_errors,
            stats.rx_crc_errors,
            stats.rx_frame_errors,
        ]),
        stats.rx_compressed,
        stats.multicast,
        stats.tx_bytes,
        stats.tx_packets,
        stats.tx_errors,
        stats.tx_dropped,
        stats.tx_fifo_errors,
        stats.collisions,
        sum(&[
            stats.tx_carrier_errors,
            stats.tx_aborted_errors,
            stats.tx_window_errors,
            stats.tx_heartbeat_errors,
        ]),
        stats.tx_compressed,
    ]
}

/// Errors as [`DETAILS`] has them, and packets that nobody took.
fn details(stats: &LinkStats) -> [u64; 12] {
    [
        stats.rx_length_errors,
        stats.rx_over_errors,
        stats.rx_crc_errors,
        stats.rx_frame_errors,
        stats.rx_fifo_errors,
        stats.rx_missed_errors,
        stats.tx_aborted_errors,
        stats.tx_carrier_errors,
        stats.tx_fifo_errors,
        stats.tx_heartbeat_errors,
        stats.tx_window_errors,
        stats.rx_nohandler,
    ]
}

impl Netdev {
    /// Records the devices as they are in the collection at `now`.
    pub(super) fn collect_links(
        &mut self,
        links: &[Link],
        (now, since): (UnixNanos, UnixNanos),
        host: &mut EntityRecorder<'_>,
    ) {
        let wanted = || links.iter().filter(|link| self.filter.passes(&link.name));
        let found = Found { scope: Scope::Host, now, since };
        let devices = wanted().map(|link| (link.name.as_str(), columns(&link.stats)));
        record(&mut self.host, devices, &found, host);
        for link in wanted() {
            let device = self.details.see(&link.name, details(&link.stats), now, since);
            let name = (&attribute::NETWORK_INTERFACE_NAME, Value::from(&device.name));
            let [errors @ .., unhandled] = device.counters;
            for ((direction, error), counter) in DETAILS.into_iter().zip(errors) {
                let attributes = vec![
                    name.clone(),
                    (&attribute::NETWORK_IO_DIRECTION, Value::Static(direction)),
                    (&attribute::ERROR_TYPE, Value::Static(error)),
                ];
                let def = &metric::LINUX_NETWORK_INTERFACE_DETAILED_ERRORS;
                host.sum(def, attributes, counter.start, counter.value);
            }
            let def = &metric::LINUX_NETWORK_INTERFACE_UNHANDLED_PACKETS;
            host.sum(def, vec![name], unhandled.start, unhandled.value);
        }
        self.details.end(now);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_are_what_procfs_prints() {
        let stats = LinkStats {
            rx_bytes: 1,
            rx_dropped: 2,
            rx_missed_errors: 3,
            rx_crc_errors: 4,
            rx_frame_errors: 5,
            tx_carrier_errors: 6,
            tx_aborted_errors: 7,
            ..LinkStats::default()
        };
        let columns = columns(&stats);
        assert_eq!((columns[0], columns[3], columns[5], columns[14]), (1, 5, 9, 13));
        assert_eq!(details(&stats), [0, 0, 4, 5, 0, 3, 7, 6, 0, 0, 0, 0]);
    }
}
