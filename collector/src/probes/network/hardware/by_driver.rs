// SPDX-License-Identifier: Apache-2.0
//! What drivers count elsewhere than in `rx_missed_errors`.

use std::collections::HashMap;

use crate::netlink::{NetlinkSocket, Statistics};

/// Statistics of packets that the device dropped for lack of room: in its buffer, or of descriptors
/// of its queues. A packet is in one of them only. Of the rows of a driver that counts which the
/// device has any of.
static ROWS: [(&str, &[&str]); 9] = [
    // Since v6.7, and before.
    ("i40e", &["rx_missed_errors", "port.rx_discards"]),
    ("i40e", &["rx_dropped", "port.rx_dropped"]),
    ("igb", &["rx_missed_errors", "rx_fifo_errors"]),
    ("ixgbe", &["rx_missed_errors", "rx_no_dma_resources"]),
    ("mana", &["hc_rx_discards_no_wqe"]),
    ("mlx5_core", &["rx_out_of_buffer", "rx_discards_phy"]),
    ("qede", &["no_buff_discards", "brb_discards"]),
    ("sfc", &["port_rx_nodesc_drops"]),
    // Once per queue.
    ("vmxnet3", &["pkts rx OOB"]),
];

/// Asks drivers that are in the table.
#[derive(Default)]
pub struct ByDriver {
    /// Opened when there is something to ask.
    asking: Option<(NetlinkSocket, Statistics)>,
    known: HashMap<String, Known>,
}

/// Where a device has what is counted.
#[derive(PartialEq, Eq, Debug)]
struct Known {
    driver: String,
    /// Of all its statistics; another number means other places.
    count: usize,
    places: Vec<usize>,
}

impl ByDriver {
    /// Packets that `device` dropped; nothing where its driver has all of them in `rx_missed_errors`,
    /// or where it cannot be asked.
    pub fn dropped(&mut self, device: &str, driver: &str) -> Option<u64> {
        if !ROWS.iter().any(|(name, _)| *name == driver) {
            return None;
        }
        if self.asking.is_none() {
            self.asking = Some((NetlinkSocket::route().ok()?, Statistics::default()));
        }
        let (socket, statistics) = self.asking.as_mut()?;
        if let Some(known) = self.known.get(device).filter(|known| known.driver == driver)
            && let Some(dropped) = known.sum(statistics.values(socket, device))
        {
            return Some(dropped);
        }
        self.known.remove(device);
        // Files may be of another network namespace than the socket, where another has this name.
        if socket.driver(device).name != driver {
            return None;
        }
        let known = Known::of(driver, &statistics.names(socket, device))?;
        let dropped = known.sum(statistics.values(socket, device));
        self.known.insert(device.to_owned(), known);
        dropped
    }
}

impl Known {
    fn of(driver: &str, names: &[String]) -> Option<Self> {
        let rows = ROWS.iter().filter(|(name, _)| *name == driver);
        let places = |wanted: &[&str]| {
            let is_wanted = |at: &usize| wanted.contains(&names[*at].as_str());
            (0..names.len()).filter(is_wanted).collect::<Vec<_>>()
        };
        let places = rows.map(|(_, wanted)| places(wanted)).find(|places| !places.is_empty())?;
        Some(Self { driver: driver.to_owned(), count: names.len(), places })
    }

    /// Nothing where the device has others now.
    fn sum(&self, values: impl ExactSizeIterator<Item = u64>) -> Option<u64> {
        let is_known = values.len() == self.count;
        let counts = values.enumerate().filter(|(at, _)| self.places.contains(at));
        is_known.then(|| counts.fold(0, |sum: u64, (_, value)| sum.saturating_add(value)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn known(driver: &str, names: &[&str]) -> Option<Known> {
        let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
        Known::of(driver, &names)
    }

    #[test]
    fn counts_of_the_port_and_of_the_queues_are_added() {
        let names = ["rx_packets", "rx_missed_errors", "rx_no_dma_resources"];
        let known = known("ixgbe", &names).unwrap();
        assert_eq!(known.sum([100, 2, 3].into_iter()), Some(5));
        assert_eq!(known.sum([100, 2, 3, 4].into_iter()), None, "there are others now");
    }

    #[test]
    fn a_statistic_of_each_queue_is_added_up() {
        let names = ["pkts rx OOB", "pkts rx err", "pkts rx OOB", "pkts rx err"];
        let known = known("vmxnet3", &names).unwrap();
        assert_eq!(known.sum([1, 10, 2, 20].into_iter()), Some(3));
    }

    #[test]
    fn an_older_driver_has_its_own_row() {
        let new = ["rx_dropped", "rx_missed_errors", "port.rx_discards"];
        assert_eq!(known("i40e", &new).unwrap().places, [1, 2]);
        assert_eq!(known("i40e", &["rx_dropped", "port.rx_dropped"]).unwrap().places, [0, 1]);
    }

    #[test]
    fn a_device_that_has_none_of_them_or_is_no_such_device_is_not_asked_for_them() {
        assert_eq!(known("mlx5_core", &["rx_packets"]), None);
        let mut by_driver = ByDriver::default();
        assert_eq!(by_driver.dropped("lo", "virtio_net"), None);
        assert!(by_driver.asking.is_none());
        // The device of this name here has another driver.
        assert_eq!(by_driver.dropped("lo", "ixgbe"), None);
        assert!(by_driver.known.is_empty());
    }
}
