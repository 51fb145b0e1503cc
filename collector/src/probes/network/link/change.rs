// SPDX-License-Identifier: Apache-2.0
//! What has become of a device, in the words of `linux.network.interface.state`.

use crate::netlink::Device;
use crate::signal::Severity;

/// Words of `linux.network.interface.state`.
pub type State = &'static str;

const ADMIN: [State; 2] = ["admin_down", "admin_up"];
const CARRIER: [State; 2] = ["carrier_down", "carrier_up"];

/// How a device is.
pub fn standing(device: &Device) -> Vec<State> {
    vec![ADMIN[usize::from(device.is_up())], CARRIER[usize::from(device.has_carrier())]]
}

/// What has become of a device that is there for the first time.
pub fn added(device: &Device) -> Vec<State> {
    let mut states = vec!["added"];
    states.extend(device.is_up().then_some(ADMIN[1]));
    states.extend(device.has_carrier().then_some(CARRIER[1]));
    states
}

/// What has become of a device since `before`.
pub fn changes(before: &Device, now: &Device) -> Vec<State> {
    let mut states = Vec::new();
    if before.is_up() != now.is_up() {
        states.push(ADMIN[usize::from(now.is_up())]);
    }
    if before.has_carrier() != now.has_carrier() {
        states.push(CARRIER[usize::from(now.has_carrier())]);
    }
    if before.mtu != now.mtu {
        states.push("mtu_changed");
    }
    if before.name != now.name {
        states.push("renamed");
    }
    states
}

/// A link that is lost is a fault, unless the device was turned off: that takes its link too.
pub fn severity(states: &[State]) -> Severity {
    if states.contains(&"admin_down") || states.contains(&"removed") {
        Severity(13)
    } else if states.contains(&"carrier_down") {
        Severity(17)
    } else {
        Severity(9)
    }
}

#[cfg(test)]
mod tests {
    use semconv::attribute;

    use super::*;

    fn device(flags: u32) -> Device {
        Device { index: 2, name: "eth0".to_owned(), flags, mtu: 1500, ..Device::default() }
    }

    #[test]
    fn each_change_has_its_words_and_its_severity() {
        let (off, no_link, on) = (device(0), device(1), device(0x10001));
        let renamed = Device { name: "lan0".to_owned(), mtu: 9000, ..on.clone() };
        for (before, now, states, severe) in [
            (&on, &on, &[][..], 9),
            (&off, &no_link, &["admin_up"], 9),
            (&no_link, &on, &["carrier_up"], 9),
            (&on, &no_link, &["carrier_down"], 17),
            (&on, &off, &["admin_down", "carrier_down"], 13),
            (&on, &renamed, &["mtu_changed", "renamed"], 9),
        ] {
            assert_eq!(changes(before, now), states);
            assert_eq!(severity(states), Severity(severe), "{states:?}");
        }
        assert_eq!(added(&off), ["added"]);
        assert_eq!(added(&on), ["added", "admin_up", "carrier_up"]);
        assert_eq!(standing(&no_link), ["admin_up", "carrier_down"]);
        assert_eq!(severity(&["removed"]), Severity(13));
    }

    #[test]
    fn all_words_are_those_of_the_registry() {
        let words = attribute::LINUX_NETWORK_INTERFACE_STATE.members;
        let ours =
            ADMIN.iter().chain(&CARRIER).chain(&["mtu_changed", "renamed", "added", "removed"]);
        assert!(ours.clone().all(|word| words.contains(word)));
        assert_eq!(ours.count(), words.len());
    }
}
