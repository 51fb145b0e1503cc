// SPDX-License-Identifier: Apache-2.0
//! Ports of bonds that speak LACP, and which of them carry traffic.

use std::collections::{HashMap, HashSet};

use crate::netlink::{Device, LacpPort};

/// `LACP_STATE_COLLECTING | LACP_STATE_DISTRIBUTING` (drivers/net/bonding/bond_3ad.c).
const ENABLED: u8 = 0x10 | 0x20;

/// `LACP_STATE_LACP_ACTIVITY`: all that older kernels say of a partner that is not there; newer ones
/// say nothing.
const ACTIVITY: u16 = 0x01;

/// A port as it was last.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Port {
    /// Name of its device.
    pub name: String,
    /// Number of its bond.
    pub bond: u32,
    /// It collects and distributes.
    pub is_enabled: bool,
    /// The bond sends by it: a bond does so without a partner, too.
    is_active: bool,
}

/// By number of the device.
#[derive(Debug, Default)]
pub struct Ports(HashMap<u32, Port>);

impl Ports {
    /// A device as it is now; the port, where it has just been enabled or disabled.
    ///
    /// The kernel does not tell that an active port has found its partner, and it tells that a port
    /// has lost its link before the state of the port says so. So an active port with a partner
    /// that ceases to be active was enabled, whatever was told of it.
    pub fn see(&mut self, device: Device) -> Option<Port> {
        let Some(lacp) = device.lacp else { return self.remove(device.index) };
        let LacpPort { bond, is_active, actor_state, partner_state } = lacp;
        let has_partner = partner_state & !ACTIVITY != 0;
        let is_enabled = is_active && actor_state & ENABLED == ENABLED;
        let port = Port { name: device.name, bond, is_enabled, is_active };
        let before = self.0.insert(device.index, port.clone());
        let was_enabled = before.is_some_and(|before| {
            before.is_enabled || (before.is_active && !is_active && has_partner)
        });
        (was_enabled != is_enabled).then_some(port)
    }

    /// A device is gone, or is in no bond any more: the port, where it was enabled.
    pub fn remove(&mut self, index: u32) -> Option<Port> {
        let port = self.0.remove(&index)?;
        port.is_enabled.then_some(Port { is_enabled: false, ..port })
    }

    /// All devices as they are now: the ports that have been enabled or disabled.
    pub fn see_all(&mut self, devices: Vec<Device>) -> Vec<Port> {
        let there: HashSet<u32> = devices.iter().map(|device| device.index).collect();
        let gone: Vec<u32> =
            self.0.keys().filter(|index| !there.contains(index)).copied().collect();
        let mut changed: Vec<Port> =
            gone.into_iter().filter_map(|index| self.remove(index)).collect();
        changed.extend(devices.into_iter().filter_map(|device| self.see(device)));
        changed
    }

    /// Whether a port of the bond is enabled.
    pub fn is_any_enabled(&self, bond: u32) -> bool {
        self.0.values().any(|port| port.bond == bond && port.is_enabled)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const BACKUP: bool = false;
    const ACTIVE: bool = true;

    /// A port; its partner is there when it is in sync.
    fn device(index: u32, state: Option<(bool, u8)>) -> Device {
        let lacp = state.map(|(is_active, actor_state)| LacpPort {
            bond: 9,
            is_active,
            actor_state,
            partner_state: if actor_state & 0x40 == 0 { 0x3f } else { ACTIVITY },
        });
        Device { index, name: format!("eth{index}"), lacp, ..Device::default() }
    }

    fn told(port: Option<Port>) -> Option<(String, bool)> {
        port.map(|port| (port.name, port.is_enabled))
    }

    #[test]
    fn a_port_is_told_of_when_it_begins_and_ceases_to_collect_and_distribute() {
        let mut ports = Ports::default();
        let mut see = |state| told(ports.see(device(1, state)));
        let [enabled, disabled] = [true, false].map(|state| Some(("eth1".to_owned(), state)));
        // Defaulted, in sync, and collecting alone is no traffic yet.
        for state in [0x47, 0x0f, 0x1f] {
            assert_eq!(see(Some((BACKUP, state))), None);
        }
        assert_eq!(see(Some((ACTIVE, 0x3f))), enabled);
        assert_eq!(see(Some((ACTIVE, 0x3d))), None);
        // The partner is not heard any more.
        assert_eq!(see(Some((BACKUP, 0x87))), disabled);
        assert_eq!(see(None), None);
        assert_eq!(see(Some((ACTIVE, 0x3f))), enabled);
        // No port of a bond any more.
        assert_eq!(see(None), disabled);
    }

    #[test]
    fn what_the_kernel_tells_late_or_not_at_all_is_known_by_what_follows() {
        let mut ports = Ports::default();
        let mut see = |state| told(ports.see(device(1, state)));
        let disabled = Some(("eth1".to_owned(), false));
        // Active without a partner, which comes silently; then the link is lost.
        assert_eq!(see(Some((ACTIVE, 0x47))), None);
        assert_eq!(see(Some((BACKUP, 0x3f))), disabled);
        assert_eq!(see(Some((BACKUP, 0x07))), None);
        // The same, and the partner is not heard any more.
        assert_eq!(see(Some((ACTIVE, 0x47))), None);
        assert_eq!(see(Some((BACKUP, 0x87))), disabled);
        // No partner ever came.
        assert_eq!(see(Some((ACTIVE, 0x47))), None);
        assert_eq!(see(Some((BACKUP, 0x47))), None);
    }

    #[test]
    fn a_look_at_all_devices_finds_what_was_missed() {
        let mut ports = Ports::default();
        assert_eq!(
            ports
                .see_all(vec![device(1, Some((ACTIVE, 0x3f))), device(2, Some((ACTIVE, 0x3f)))])
                .len(),
            2
        );
        assert!(ports.is_any_enabled(9) && !ports.is_any_enabled(8));
        let changed = ports.see_all(vec![device(2, Some((BACKUP, 0x07))), device(3, None)]);
        let mut names: Vec<_> = changed.iter().map(|port| &*port.name).collect();
        names.sort_unstable();
        assert_eq!(names, ["eth1", "eth2"]);
        assert!(!ports.is_any_enabled(9));
    }
}
